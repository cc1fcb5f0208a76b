//! Tells browsers and the webhook what waits for people.
//!
//! What is owed is in rows (`chat/functions/notices.rs`), written with what it speaks of; this looks at what is
//! due, sends it and settles it, and may stop and begin again at any line. A notice can arrive twice, so it says
//! which approval it is about. Nothing of an endpoint or of what was said is logged.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::json;
use spool_chat::Principal;
use spool_chat::functions::notices::{Browser, Content, Outcome, Taken};
use spool_protocol::Error;
use spool_store::live::Output;
use tokio::sync::Notify;

use crate::app::App;
use crate::config::Config;
use crate::streams::webhook;

mod lanes;
mod sealed;
mod vapid;

use lanes::{Lanes, Receiver};
use vapid::Vapid;

/// The longest sleep: clocks can be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// A pause after a failure of our own.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a push service keeps a notice of something that never expires, in seconds: the longest that all keep.
const LONGEST_TTL: u64 = 28 * 24 * 3600;

/// The keys and connections of the sender.
pub struct Notices {
    vapid: Vapid,
    browsers: Client,
    webhook: Option<Webhook>,
    /// Whether endpoints of browsers may be on this machine.
    loopback: bool,
}

struct Webhook {
    url: String,
    key: hmac::Key,
    client: Client,
}

impl Notices {
    /// `secret` is the server's signing key.
    pub fn new(config: &Config, secret: &[u8]) -> anyhow::Result<Self> {
        let approvals = &config.approvals;
        // Whoever has an account names endpoints: a server that the world can reach must not call itself for them.
        let loopback = approvals.allow_private && config.listen.ip().is_loopback();
        let contact = approvals.push_contact.as_deref().or(config.public_url()).unwrap_or("mailto:nobody@localhost");
        let webhook = match (&approvals.webhook_url, &approvals.webhook_secret) {
            (Some(url), Some(secret)) => {
                // With `allow_private` whoever runs the server vouches for the address.
                let client = if approvals.allow_private {
                    let direct = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
                    direct.timeout(PATIENCE).build()?
                } else {
                    webhook::client(false)?
                };
                Some(Webhook { url: url.clone(), key: signing_key(secret.expose())?, client })
            }
            _ => None,
        };
        Ok(Self { vapid: Vapid::derive(secret, contact)?, browsers: webhook::client(loopback)?, webhook, loopback })
    }

    /// The public key with which browsers subscribe, base64url.
    pub fn push_key(&self) -> String {
        self.vapid.public_key()
    }

    /// Tells a browser. The payload is for its keys alone.
    fn to_browser(&self, to: &Browser, content: &Content, now_ms: u64) -> Result<RequestBuilder, &'static str> {
        webhook::check(&to.endpoint, self.loopback)?;
        let body = sealed::seal(content.payload.to_string().as_bytes(), &to.p256dh, &to.auth)?;
        let ttl = content.expires_at.map_or(LONGEST_TTL, |at| at.saturating_sub(now_ms) / 1000).min(LONGEST_TTL);
        let request = self.browsers.post(&to.endpoint).header("content-encoding", "aes128gcm");
        let request = request.header("content-type", "application/octet-stream").header("ttl", ttl);
        let request = request.header("urgency", "high");
        Ok(request.header("authorization", self.vapid.authorization(&to.endpoint, now_ms)?).body(body))
    }

    /// Tells the webhook, signed as Standard Webhooks say: the id, the time and the body together.
    fn to_webhook(&self, id: &str, content: &Content, now_ms: u64) -> Result<RequestBuilder, &'static str> {
        let webhook = self.webhook.as_ref().ok_or("there is no webhook")?;
        let (body, seconds) = (content.payload.to_string(), now_ms / 1000);
        let signature = hmac::sign(&webhook.key, format!("{id}.{seconds}.{body}").as_bytes());
        let request = webhook.client.post(&webhook.url).header("content-type", "application/json");
        let request = request.header("webhook-id", id).header("webhook-timestamp", seconds);
        Ok(request.header("webhook-signature", format!("v1,{}", BASE64.encode(signature))).body(body))
    }
}

/// `whsec_` and base64, as Standard Webhooks give secrets, or any text.
fn signing_key(secret: &str) -> anyhow::Result<hmac::Key> {
    let bytes = match secret.strip_prefix("whsec_") {
        Some(encoded) => {
            BASE64.decode(encoded).ok().context("approvals.webhook_secret: whsec_ needs base64 behind it")?
        }
        None => secret.as_bytes().to_vec(),
    };
    Ok(hmac::Key::new(HMAC_SHA256, &bytes))
}

/// Runs until shutdown.
pub async fn run(app: Arc<App>) {
    let sending = async {
        loop {
            if let Err(error) = send_all(&app).await {
                tracing::error!(%error, "sending notices failed; it will be tried again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    };
    tokio::select! {
        () = sending => {}
        () = app.shutdown.cancelled() => {}
    }
}

/// Follows the time of the next notice that is due.
async fn send_all(app: &Arc<App>) -> Result<(), Error> {
    let wake = Arc::new(Notify::new());
    let next = app.functions.subscribe("notices:nextDue", &Arc::new(Principal::System), json!({}), None, &wake)?;
    let lanes = Arc::new(Lanes::default());
    let mut last: Option<Arc<Output>> = None;
    loop {
        let due = last.as_deref().map(due_of).transpose()?.flatten();
        let pause = due.map_or(LONGEST_SLEEP, |at| Duration::from_millis(at.saturating_sub(app.clock.now_ms())));
        tokio::select! {
            output = app.functions.store().changed(&next, &wake, last.clone()) => { last = Some(output?); }
            () = tokio::time::sleep(pause.min(LONGEST_SLEEP)), if last.is_some() => advance(app, &lanes).await?,
        }
    }
}

fn due_of(output: &Output) -> Result<Option<u64>, Error> {
    serde_json::from_str(&output.value.clone()?).map_err(|e| Error::internal(format!("notices:nextDue: {e}")))
}

/// Sets everything on its way that is due. Waits for no receiver.
async fn advance(app: &Arc<App>, lanes: &Arc<Lanes>) -> Result<(), Error> {
    // A look first: an idle server must not write.
    let (_, next) = app.functions.query_as_system("notices:nextDue", json!({})).await?;
    if serde_json::from_str::<Option<u64>>(&next).ok().flatten().is_none_or(|at| at > app.clock.now_ms()) {
        return Ok(());
    }
    let taken = app.functions.mutate_as_system("notices:take", json!({})).await?;
    let taken: Vec<Taken> = serde_json::from_str(&taken).map_err(|e| Error::internal(format!("notices:take: {e}")))?;
    for Taken { notice_id, user_id } in taken {
        let receiver = user_id.map(|user| user.as_str().to_owned());
        if lanes.put(&receiver, notice_id.as_str().to_owned()) {
            tokio::spawn(send_lane(Arc::clone(app), Arc::clone(lanes), receiver));
        }
    }
    Ok(())
}

/// Sends what waits for one receiver, one after another.
async fn send_lane(app: Arc<App>, lanes: Arc<Lanes>, receiver: Receiver) {
    while let Some(id) = lanes.next(&receiver) {
        let permit = match receiver {
            Some(_) => lanes.browsers.acquire().await.ok(),
            None => None,
        };
        if let Err(error) = deliver(&app, &id).await {
            tracing::error!(%error, notice = id, "the outcome of a notice was not stored; it will be sent again");
        }
        drop(permit);
    }
}

async fn deliver(app: &App, id: &str) -> Result<(), Error> {
    let (_, content) = app.functions.query_as_system("notices:content", json!({ "noticeId": id })).await?;
    let content: Option<Content> =
        serde_json::from_str(&content).map_err(|e| Error::internal(format!("notices:content: {e}")))?;
    let outcome = match content {
        None => Outcome::Done,
        Some(content) => tokio::select! {
            outcome = send(app, id, &content) => outcome,
            // It is in its row; whoever runs next sends it again.
            () = app.shutdown.cancelled() => return Ok(()),
        },
    };
    let settled = json!({ "noticeId": id, "outcome": outcome });
    app.functions.mutate_as_system("notices:settle", settled).await.map(drop)
}

async fn send(app: &App, id: &str, content: &Content) -> Outcome {
    let (notices, now) = (&app.notices, app.clock.now_ms());
    let request = match &content.browser {
        Some(browser) => notices.to_browser(browser, content, now),
        None => notices.to_webhook(id, content, now),
    };
    let request = match request {
        Ok(request) => request,
        // Keys that are none, and endpoints that must not be called, will not get better.
        Err(reason) => {
            tracing::warn!(notice = id, reason, "a notice cannot be sent");
            return Outcome::Gone;
        }
    };
    match request.send().await {
        Ok(answer) => outcome_of(id, answer.status(), content.browser.is_some()),
        Err(error) => {
            tracing::warn!(notice = id, error = %error.without_url(), "a notice was not delivered");
            Outcome::Failed
        }
    }
}

/// A browser that is gone never comes back under its endpoint; whoever runs the webhook may mend it.
fn outcome_of(id: &str, status: StatusCode, browser: bool) -> Outcome {
    match status {
        status if status.is_success() => Outcome::Done,
        StatusCode::NOT_FOUND | StatusCode::GONE if browser => Outcome::Gone,
        status => {
            tracing::warn!(notice = id, %status, "a notice was not taken");
            Outcome::Failed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ap_01_endpoints_on_this_machine_are_called_only_by_a_server_that_only_this_machine_reaches() {
        for (listen, called) in
            [("127.0.0.1:3210", true), ("[::1]:3210", true), ("0.0.0.0:3210", false), ("192.0.2.1:80", false)]
        {
            let mut config = Config { listen: listen.parse().unwrap(), ..Config::default() };
            assert!(!Notices::new(&config, &[7; 32]).unwrap().loopback, "not unless it is allowed");
            config.approvals.allow_private = true;
            assert_eq!(Notices::new(&config, &[7; 32]).unwrap().loopback, called, "{listen}");
        }
    }

    #[test]
    fn a_webhook_is_signed_over_its_id_its_time_and_its_body() {
        // The example of the Standard Webhooks specification.
        let key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = hmac::sign(&key, br#"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{"test": 2432232314}"#);
        assert_eq!(BASE64.encode(signature), "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(signing_key("whsec_?").is_err());
        assert!(signing_key("any text of one's own").is_ok());
    }
}
