//! A mail with a link that sets another password.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;
use spool_chat::tables::credential::secret_hash;
use spool_protocol::{Code, Error};

use super::{Form, Refusal, check_enabled};
use crate::app::App;
use crate::auth::passwords::{LINK_MS, link};
use crate::auth::random_token;
use crate::auth::throttle::Key;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forgot {
    email: String,
}

/// `POST /api/auth/forgot {email}`: the answer is the same whether the address has an account or not, and
/// comes before anybody has looked.
pub async fn forgot(State(app): State<Arc<App>>, Form { body, client }: Form<Forgot>) -> Result<Response, Refusal> {
    check_enabled(&app)?;
    if app.mail.is_none() {
        let message = "This server sends no mails. Its administrator can give you a link: spool admin reset.";
        return Err(Refusal(Error::new(Code::Forbidden, message).with("reason", "mail_off")));
    }
    let keys = [Key::Address(client.address.clone())];
    app.passwords.throttle.attempt(app.clock.now_ms(), &keys).map_err(Refusal)?;
    // Silently: who asks again and again must not learn from a refusal, nor fill anybody's mailbox.
    let mailbox = [Key::Mail(body.email.trim().to_lowercase())];
    if app.passwords.throttle.attempt(app.clock.now_ms(), &mailbox).is_ok() {
        let tasks = app.tasks.clone();
        tasks.spawn(async move {
            if let Err(error) = write(&app, &body.email).await {
                tracing::error!(error = format!("{error:#}"), "a mail with a link could not be sent");
            }
        });
    }
    Ok(Json(json!({})).into_response())
}

async fn write(app: &App, email: &str) -> anyhow::Result<()> {
    let (mail, url) = (app.mail.as_ref().context("no [mail]")?, app.config.public_url().context("no public_url")?);
    let token = random_token();
    let reset = json!({ "hash": secret_hash(&token), "expiresAt": app.clock.now_ms() + LINK_MS });
    let args = json!({ "email": email, "reset": reset });
    let to = app.functions.mutate_as_system("passwords:allowReset", args).await?;
    let Some(to): Option<String> = serde_json::from_str(&to)? else { return Ok(()) };
    let text = format!(
        "Somebody, probably you, asked for a new password at {url}.\n\nThis link sets it. It works once, for an hour:\n\n{}\n\nIf it was not you, nothing needs to be done.\n",
        link(url, &token),
    );
    mail.send(&to, "Set a new password", text).await
}
