//! Calls to subscribers: signed, and never to an address inside somebody's network.
//!
//! An address is checked when the subscription is made and again when it is called, after the name was
//! resolved: a name can be pointed elsewhere in between.

use std::time::Duration;

use reqwest::{Client, Url};
use serde_json::{Value, json};
use spool_chat::functions::subscriptions::wakes::Held;

use crate::app::App;
use crate::egress::{self, Reach};
use crate::http::durable_links;

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are looked at.
const ANSWER_BYTES: usize = 64 << 10;

/// Whether subscribers may be called at `url`. `loopback` is for development.
pub fn check(url: &str, loopback: bool) -> Result<(), &'static str> {
    let url = Url::parse(url).map_err(|_| "webhook.url is not a URL")?;
    url.host_str().ok_or("webhook.url has no host")?;
    let is_loopback = egress::is_local_name(&url) || egress::literal(&url).is_some_and(|ip| ip.is_loopback());
    if !url.username().is_empty() || url.password().is_some() {
        return Err("webhook.url must not carry credentials");
    }
    match url.scheme() {
        "http" if is_loopback && loopback => Ok(()),
        "http" => Err("webhook.url must use https"),
        "https" if is_loopback && !loopback => Err("webhook.url must not target this machine"),
        "https" if !reach(loopback).admits_host(&url) => {
            Err("webhook.url must not target a private or link-local address")
        }
        "https" => Ok(()),
        _ => Err("webhook.url must use https"),
    }
}

fn reach(loopback: bool) -> Reach {
    if loopback { Reach::InternetAndLoopback } else { Reach::Internet }
}

/// The client that subscribers are called with.
pub fn client(loopback: bool) -> anyhow::Result<Client> {
    Ok(egress::client(reach(loopback)).timeout(PATIENCE).build()?)
}

/// Calls the subscriber. `true` if it says that it is done with everything it was told.
pub async fn send(app: &App, held: Held) -> Result<bool, String> {
    let url = held.webhook_url.as_deref().ok_or("the subscription has no URL")?;
    check(url, app.config.streams.dev_open)?;
    let now = app.clock.now_ms();
    // Names may hold anything; as one segment of a URL they are escaped.
    let mut callback = Url::parse(&held.origin).map_err(|_| "the subscription's origin is not a URL")?;
    callback.path_segments_mut().map_err(|()| "the subscription's origin is not a URL")?.pop_if_empty().extend([
        "v1",
        "stream",
        "__ds",
        "subscriptions",
        &held.name,
        "callback",
    ]);
    let body = json!({
        "subscription_id": held.name,
        "wake_id": held.wake_id,
        "generation": held.generation,
        "streams": durable_links(&held.streams),
        "callback_url": callback.as_str(),
        "callback_token": app.stream_keys.token(&held.id, held.generation, now),
    })
    .to_string();
    let request = app.webhooks.post(url).header("content-type", "application/json");
    let request = request.header("webhook-signature", app.stream_keys.sign(&body, now)).body(body);
    let mut answer = request.send().await.map_err(|e| format!("{}", e.without_url()))?;
    if !answer.status().is_success() {
        return Err(format!("the receiver answered {}", answer.status()));
    }
    let mut said = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        said.extend_from_slice(&chunk);
        if said.len() > ANSWER_BYTES {
            return Ok(false);
        }
    }
    Ok(serde_json::from_slice::<Value>(&said).is_ok_and(|said| said["done"] == true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_refused_in_every_spelling() {
        for url in [
            "http://example.com/",
            "ftp://example.com/",
            "https://10.0.0.1/",
            "https://172.31.0.1/",
            "https://192.168.1.1/",
            "https://169.254.169.254/latest",
            "https://127.0.0.1/",
            "https://localhost/",
            "https://0.0.0.0/",
            "https://[::1]/",
            "https://[fe80::1]/",
            "https://[fc00::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[2002:0a00:0001::]/",
            "https://100.64.0.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://017700000001/",
            "https://user:pw@example.com/",
            "not a url",
            "https://",
            "http://127.0.0.1/",
            "https://224.0.0.1/",
            "https://[ff02::1]/",
            "https://a.localhost/",
            "https://localhost./",
            "https://a.LOCALHOST./",
            "https://127.1/",
            "https://0/",
            "https://0177.0.0.1/",
            "https://127.0.0.1./",
            "https://\u{2460}\u{2461}\u{2466}.0.0.1/",
            "https://[::]/",
            "https://[::ffff:7f00:1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://[::127.0.0.1]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[2001:0:7f00:1::]/",
            "https://[fd00:ec2::254]/",
            "https://192.0.0.192/",
            "https://100.100.100.200/",
            "https://255.255.255.255/",
        ] {
            assert!(check(url, false).is_err(), "{url}");
        }
        for url in ["https://example.com/hook", "https://93.184.216.34/", "https://[2606:4700::1111]/"] {
            assert!(check(url, false).is_ok(), "{url}");
        }
    }

    #[test]
    fn development_adds_loopback_and_nothing_else() {
        for url in ["http://127.0.0.1:9/hook", "http://localhost:9/hook", "http://[::1]:9/"] {
            assert!(check(url, true).is_ok(), "{url}");
        }
        for url in
            ["http://10.0.0.1/hook", "https://10.0.0.1/hook", "http://example.com/", "http://127.0.0.1.example.com/"]
        {
            assert!(check(url, true).is_err(), "{url}");
        }
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_not_followed() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut seen = [0; 1024];
            let _ = socket.read(&mut seen).await.unwrap();
            let answer = b"HTTP/1.1 307 R\r\nlocation: http://169.254.169.254/latest\r\ncontent-length: 0\r\n\r\n";
            socket.write_all(answer).await.unwrap();
        });
        let answer = client(true).unwrap().post(&url).body("{}").send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.url().as_str()), (307, url.as_str()));
        serving.await.unwrap();
    }
}
