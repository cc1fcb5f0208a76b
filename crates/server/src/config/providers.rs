//! Identity providers that people sign in with in the built-in UI, as `[[auth.providers]]` says. A mistake is
//! named with its field, never with its value.

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::auth::{ClaimNames, Issuer, Secret, resolve};

/// A client of ours at an OpenID provider. Texts may be `${NAME}`, taken from the environment, or `${file:PATH}`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// Its name in addresses: lowercase letters, digits and `-`. The provider is told to come back to
    /// `/api/auth/oidc/<id>/callback`.
    pub id: String,
    /// What people know it by. Default: the id.
    pub name: Option<String>,
    /// The `iss` of its tokens, to the letter. Its `/.well-known/openid-configuration` says where everything is.
    pub issuer: String,
    pub client_id: String,
    /// Absent for a public client, which PKCE alone protects.
    pub client_secret: Option<Secret>,
    /// What to ask for. `openid` is among them in any case.
    #[serde(default = "scopes")]
    pub scopes: Vec<String>,
    /// Lets the provider be reached without TLS on other machines. For private networks only.
    #[serde(default)]
    pub allow_http: bool,
    #[serde(default)]
    pub claims: ClaimNames,
}

fn scopes() -> Vec<String> {
    ["openid", "email", "profile"].map(str::to_owned).to_vec()
}

impl Provider {
    pub(super) fn resolve(&mut self, field: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        resolve(&mut self.issuer, &format!("{field}.issuer"), variable)?;
        resolve(&mut self.client_id, &format!("{field}.client_id"), variable)?;
        match &mut self.client_secret {
            Some(secret) => secret.resolve(&format!("{field}.client_secret"), variable),
            None => Ok(()),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.id.is_empty() || self.id.len() > 64 || !self.id.bytes().all(plain) {
            bail!("id: must be 1 to 64 lowercase letters, digits and -, because it is part of an address");
        }
        for (field, text) in [("client_id", &self.client_id), ("name", self.name.as_ref().unwrap_or(&self.id))] {
            if text.trim().is_empty() {
                bail!("{field}: must not be blank");
            }
        }
        if self.client_secret.as_ref().is_some_and(|secret| secret.expose().is_empty()) {
            bail!("client_secret: must not be empty; leave it out for a public client");
        }
        if self.scopes.iter().any(|scope| scope.is_empty() || scope.contains(char::is_whitespace)) {
            bail!("scopes: must be words");
        }
        let issuer = self.as_issuer();
        issuer.check_name()?;
        issuer.discovery_url().context("issuer")?;
        Ok(())
    }

    /// Whose id tokens are taken: those of the issuer that are for this client.
    pub fn as_issuer(&self) -> Issuer {
        let issuer = Issuer::of_client(self.issuer.clone(), self.client_id.clone());
        Issuer { allow_http: self.allow_http, claims: self.claims.clone(), ..issuer }
    }

    pub fn shown_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

/// Every provider for itself, and that their ids differ.
pub(super) fn check(providers: &[Provider]) -> Result<()> {
    for (at, provider) in providers.iter().enumerate() {
        provider.check().with_context(|| format!("auth.providers[{at}]"))?;
        if providers[..at].iter().any(|earlier| earlier.id == provider.id) {
            bail!("auth.providers[{at}].id: is used twice");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    #[test]
    fn op_09_each_mistake_of_a_provider_is_named_with_its_field() {
        let whole = "id = \"x\"\nissuer = \"https://x\"\nclient_id = \"c\"\n";
        for (lines, names) in [
            ("issuer = \"https://x\"\nclient_id = \"c\"", "id"),
            ("id = \"a/b\"\nissuer = \"https://x\"\nclient_id = \"c\"", "id: must be 1 to 64"),
            ("id = \"x\"\nissuer = \"http://x\"\nclient_id = \"c\"", "issuer: must use https"),
            ("id = \"x\"\nissuer = \"spool:x\"\nclient_id = \"c\"", "issuer: must be the iss"),
            ("id = \"x\"\nissuer = \"https://x\"\nclient_id = \" \"", "client_id: must not be blank"),
            (&format!("{whole}client_secret = \"${{NOT_SET}}\""), "client_secret: the environment variable NOT_SET"),
            (&format!("{whole}client_secret = \"\""), "client_secret: must not be empty"),
            (&format!("{whole}scopes = [\"a b\"]"), "scopes: must be words"),
            (&format!("{whole}secret = \"planted\""), "secret"),
            (&format!("{whole}[[auth.providers]]\n{whole}"), "auth.providers[1].id: is used twice"),
        ] {
            let error = format!("{:#}", load(&format!("[[auth.providers]]\n{lines}"), &[]).unwrap_err());
            assert!(error.contains(names) && !error.contains("planted"), "{lines}: {error}");
        }
        let config =
            load(&format!("[[auth.providers]]\n{whole}client_secret = \"${{S}}\""), &[("S", "hidden")]).unwrap();
        assert_eq!(config.auth.providers[0].client_secret.as_ref().unwrap().expose(), "hidden");
        assert!(!format!("{config:?}").contains("hidden"));
    }
}
