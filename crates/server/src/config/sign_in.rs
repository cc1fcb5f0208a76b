//! Sign-in of our own, as `[auth.password]` and `[mail]` say. A mistake is named with its field, never with
//! its value.

use anyhow::{Context, Result, bail};
use lettre::message::Mailbox;
use reqwest::Url;
use serde::Deserialize;

use super::Config;
use super::auth::{Secret, resolve};

/// Sign-in by e-mail and password.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasswordSignIn {
    pub enabled: bool,
    /// `off` (default): accounts are made by `spool admin`. `open`: anyone may make one.
    pub sign_up: SignUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignUp {
    #[default]
    Off,
    Open,
}

impl Default for PasswordSignIn {
    fn default() -> Self {
        Self { enabled: true, sign_up: SignUp::Off }
    }
}

/// A server that takes mails to send.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// `smtps://user:password@host`, or `smtp://…?tls=required`. `${NAME}` and `${file:PATH}` are resolved.
    pub smtp: Secret,
    /// Who writes, as `Spool <no-reply@example.com>`.
    pub from: String,
}

impl Mail {
    pub(super) fn resolve(&mut self, variable: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        let mut smtp = self.smtp.expose().to_owned();
        resolve(&mut smtp, "mail.smtp", variable)?;
        self.smtp = Secret::new(smtp);
        Ok(())
    }

    fn check(&self) -> Result<()> {
        // The parser's own words may repeat the password.
        let url = Url::parse(self.smtp.expose()).ok().context("smtp: must be a URL, smtps://user:password@host")?;
        let required = url.query_pairs().any(|(key, value)| key == "tls" && value == "required");
        match url.scheme() {
            "smtps" => {}
            "smtp" if required || is_local(&url) => {}
            "smtp" => bail!("smtp: must use smtps://, or smtp:// with ?tls=required; without TLS only to this machine"),
            _ => bail!("smtp: must begin with smtps:// or smtp://"),
        }
        self.from.parse::<Mailbox>().ok().context("from: must be an address, as Spool <no-reply@example.com>")?;
        Ok(())
    }
}

fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host))
}

pub(super) fn check(config: &Config) -> Result<()> {
    if let Some(url) = &config.public_url {
        let parsed = Url::parse(url).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
        let parsed = parsed.context("public_url: must be a URL, as https://spool.example")?;
        if parsed.path() != "/" || parsed.query().is_some() {
            bail!("public_url: must have no path; the server answers at the root of its address");
        }
    }
    if let Some(mail) = &config.mail {
        mail.check().context("mail")?;
        if config.public_url().is_none() {
            bail!("public_url: must be set with [mail], because mails have links to this server");
        }
    }
    Ok(())
}

impl Config {
    /// Whether cookies are sent over TLS alone. Not so where everything stays on this machine.
    pub fn secure_cookies(&self) -> bool {
        match self.public_url().and_then(|url| Url::parse(url).ok()) {
            Some(url) => url.scheme() == "https" || !is_local(&url),
            None => !self.listen.ip().is_loopback(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    #[test]
    fn op_09_mistakes_of_sign_in_and_mail_are_named_without_their_values() {
        let url = "public_url = \"https://spool.example\"\n";
        for (text, names) in [
            ("public_url = \"spool.example\"".to_owned(), "public_url"),
            ("public_url = \"https://spool.example/chat\"".to_owned(), "public_url"),
            ("[auth]\nsession_days = 0".to_owned(), "auth.session_days"),
            ("[auth.password]\nsign_up = \"maybe\"".to_owned(), "maybe"),
            ("[mail]\nsmtp = \"smtps://me:hidden@x\"\nfrom = \"a@b.c\"".to_owned(), "public_url"),
            (format!("{url}[mail]\nsmtp = \"smtp://me:hidden@x\"\nfrom = \"a@b.c\""), "smtp: must use smtps"),
            (format!("{url}[mail]\nsmtp = \"me:hidden\"\nfrom = \"a@b.c\""), "smtp"),
            (format!("{url}[mail]\nsmtp = \"smtps://me:hidden@x\"\nfrom = \"Spool\""), "from"),
            (format!("{url}[mail]\nsmtp = \"${{NOT_SET}}\"\nfrom = \"a@b.c\""), "mail.smtp"),
        ] {
            let error = format!("{:#}", load(&text, &[]).unwrap_err());
            assert!(error.contains(names) && !error.contains("hidden"), "{error}");
        }
        let mail = format!("{url}[mail]\nsmtp = \"${{SMTP}}\"\nfrom = \"Spool <a@b.c>\"");
        let config = load(&mail, &[("SMTP", "smtp://127.0.0.1:25")]).unwrap();
        assert!(!format!("{config:?}").contains("127.0.0.1:25"), "never shown");
    }

    #[test]
    fn ia_02_cookies_are_for_tls_unless_everything_stays_on_this_machine() {
        let secure = |text: &str| load(text, &[]).unwrap().secure_cookies();
        assert!(!secure(""));
        assert!(secure("listen = \"0.0.0.0:80\""));
        assert!(secure("public_url = \"https://spool.example\""));
        assert!(secure("public_url = \"http://spool.lan\""));
        assert!(!secure("public_url = \"http://localhost:3210\"\nlisten = \"0.0.0.0:3210\""));
        assert!(secure("[streams]\npublic_url = \"https://spool.example\""));
    }
}
