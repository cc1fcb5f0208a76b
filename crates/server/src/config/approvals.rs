//! Decisions of people: the section `[approvals]`. A mistake is named with its key, never with its value.

use anyhow::{Context, Result, bail};
use reqwest::Url;
use serde::Deserialize;
use spool_chat::{ApprovalPolicy, WebhookPolicy};

use super::Config;
use super::auth::Secret;
use super::roles::Roles;
use crate::streams::webhook;

/// Bytes that the secret of a webhook has at least: a shorter one can be guessed from a signature.
const SECRET_BYTES: usize = 16;
/// People who have to approve a call of high risk, at most.
const APPROVERS: u32 = spool_chat::limits::APPROVERS;

/// Decisions of people, and who is told that one waits.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Approvals {
    /// Minutes that a person has for a decision, unless the asker says otherwise; 0 is for ever. 0 to 525600.
    pub expire_minutes: u64,
    /// Tools whose calls are of high risk, as names in which `*` stands for any text: no remembered rule allows them.
    pub high_risk: Vec<String>,
    /// How many people have to approve a call of high risk, 1 to 20.
    pub approvers: u32,
    /// Whoever was given one of these roles may decide what several people decide.
    pub approver_roles: Vec<String>,
    /// Told of every approval that waits, by POST.
    pub webhook_url: Option<String>,
    /// Signs what the webhook is told (Standard Webhooks, HMAC-SHA256): `whsec_` and base64, or any text of 16 bytes
    /// or more. `${NAME}` and `${file:PATH}` are resolved.
    pub webhook_secret: Option<Secret>,
    /// Tells the webhook the arguments of calls, too.
    pub webhook_arguments: bool,
    /// Lets browsers be told by Web Push, which calls the push services of their makers.
    pub push: bool,
    /// Lets the webhook be at any address: for receivers in one's own network. While the server listens on loopback,
    /// endpoints of browsers may be on this machine, too: for development.
    pub allow_private: bool,
    /// Whom a push service writes to about this server (RFC 8292): `mailto:ops@example.com` or a URL. Default:
    /// `public_url`.
    pub push_contact: Option<String>,
}

impl Default for Approvals {
    fn default() -> Self {
        Self {
            expire_minutes: 24 * 60,
            high_risk: Vec::new(),
            approvers: 1,
            approver_roles: Vec::new(),
            webhook_url: None,
            webhook_secret: None,
            webhook_arguments: false,
            push: true,
            allow_private: false,
            push_contact: None,
        }
    }
}

impl Approvals {
    pub(super) fn resolve(&mut self, variable: &dyn Fn(&str) -> Option<String>) -> Result<()> {
        match &mut self.webhook_secret {
            Some(secret) => secret.resolve("approvals.webhook_secret", variable),
            None => Ok(()),
        }
    }

    pub(super) fn check(&self, roles: &Roles) -> Result<()> {
        if self.expire_minutes > 525_600 {
            bail!("approvals.expire_minutes: must be 0 to 525600");
        }
        if !(1..=APPROVERS).contains(&self.approvers) {
            bail!("approvals.approvers: must be 1 to {APPROVERS}");
        }
        if self.high_risk.iter().any(|pattern| pattern.trim().is_empty()) {
            bail!("approvals.high_risk: must hold names of tools, as \"pay_*\"");
        }
        if let Some(role) = self.approver_roles.iter().find(|role| !roles.known.contains_key(*role)) {
            bail!("approvals.approver_roles: must be of roles.known, not \"{role}\"");
        }
        let Some(url) = &self.webhook_url else { return Ok(()) };
        if self.allow_private {
            let parsed = Url::parse(url).ok().filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host());
            parsed.context("approvals.webhook_url: must be a URL, as https://hooks.example.com/spool")?;
        } else if let Err(reason) = webhook::check(url, false) {
            bail!("approvals.webhook_url: {reason}; approvals.allow_private lets it be anywhere");
        }
        match &self.webhook_secret {
            Some(secret) if secret.expose().len() >= SECRET_BYTES => Ok(()),
            _ => {
                bail!("approvals.webhook_secret: must be set with webhook_url, and have at least {SECRET_BYTES} bytes")
            }
        }
    }
}

impl Config {
    /// What functions know of it.
    pub fn approval_policy(&self) -> ApprovalPolicy {
        let approvals = &self.approvals;
        ApprovalPolicy {
            high_risk: approvals.high_risk.clone(),
            approvers: approvals.approvers,
            approver_roles: approvals.approver_roles.clone(),
            webhook: approvals.webhook_url.as_ref().map(|_| WebhookPolicy { arguments: approvals.webhook_arguments }),
            push: approvals.push,
            public_url: self.public_url().map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    #[test]
    fn op_09_a_mistake_in_approvals_is_named_with_its_key_and_never_shown() {
        let hook = "webhook_url = \"https://hooks.example.com/\"";
        for (text, names) in [
            ("expire_minutes = 525601".to_owned(), "approvals.expire_minutes"),
            ("approvers = 0".to_owned(), "approvals.approvers"),
            ("approvers = 21".to_owned(), "approvals.approvers"),
            ("high_risk = [\" \"]".to_owned(), "approvals.high_risk"),
            ("approver_roles = [\"nobody\"]".to_owned(), "approvals.approver_roles"),
            (hook.to_owned(), "approvals.webhook_secret"),
            (format!("{hook}\nwebhook_secret = \"planted\""), "approvals.webhook_secret"),
            (format!("{hook}\nwebhook_secret = \"${{NOT_SET}}\""), "approvals.webhook_secret"),
            (
                "webhook_url = \"http://10.0.0.1/\"\nwebhook_secret = \"planted but long enough\"".to_owned(),
                "approvals.webhook_url",
            ),
            ("webhook_url = \"nothing\"\nallow_private = true".to_owned(), "approvals.webhook_url"),
        ] {
            let error = format!("{:#}", load(&format!("[approvals]\n{text}"), &[]).unwrap_err());
            assert!(error.contains(names) && !error.contains("planted"), "{error}");
        }
        let good =
            format!("[approvals]\n{hook}\nwebhook_secret = \"${{HOOK}}\"\napprovers = 2\nhigh_risk = [\"pay*\"]");
        let config = load(&good, &[("HOOK", "planted but long enough")]).unwrap();
        assert!(!format!("{config:?}").contains("planted"), "never shown");
        let policy = config.approval_policy();
        assert!(policy.is_high_risk("pay_now") && !policy.is_high_risk("repay") && policy.webhook.is_some());
    }
}
