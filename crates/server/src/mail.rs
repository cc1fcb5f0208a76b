//! Mails: the few that sign-in needs, as plain text, through the SMTP server of the configuration.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use crate::config::sign_in::Mail;

/// How long the SMTP server may take for one step.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    pub fn new(config: &Mail) -> Result<Self> {
        // The library's own words may repeat the password.
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(config.smtp.expose()).ok();
        let transport = transport.context("mail.smtp: not a URL of an SMTP server")?.timeout(Some(PATIENCE)).build();
        let from = config.from.parse().ok().context("mail.from: not an address")?;
        Ok(Self { transport, from })
    }

    /// Sends one mail. Its text may hold a secret link, so neither is logged.
    pub async fn send(&self, to: &str, subject: &str, text: String) -> Result<()> {
        let to: Mailbox = to.parse().ok().context("the address of the account cannot be written to")?;
        let mail = Message::builder().from(self.from.clone()).to(to).subject(subject);
        let mail = mail.header(ContentType::TEXT_PLAIN).body(text).context("writing a mail")?;
        self.transport.send(mail).await.context("the SMTP server")?;
        Ok(())
    }
}
