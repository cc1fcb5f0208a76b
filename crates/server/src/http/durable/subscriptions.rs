//! `__ds/subscriptions/…`: who is woken when streams grow. The shapes are the protocol's, in its own case.

use std::sync::Arc;

use ::http::{HeaderMap, StatusCode};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use spool_chat::functions::subscriptions::wakes::Held;
use spool_chat::functions::subscriptions::{LinkView, View};
use spool_protocol::{Code, Error};

use super::super::{Body, status_of};
use super::{caller, offset, paths};
use crate::app::App;
use crate::instant;
use crate::streams::webhook;

const LEASE_MS: u64 = 30_000;
const LEASES_MS: std::ops::RangeInclusive<u64> = 1_000..=600_000;

/// A refusal in the protocol's form: `{error: {code, message, …}}`.
pub struct Fault {
    status: StatusCode,
    body: Value,
    /// Seconds.
    retry_after: Option<u64>,
}

type Answer = Result<Response, Fault>;

impl Fault {
    fn new(status: StatusCode, code: &str, message: &str) -> Self {
        Self { status, body: json!({ "error": { "code": code, "message": message } }), retry_after: None }
    }

    fn invalid(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
    }

    fn token(code: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, "The token is not valid for this wake.")
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        let error = crate::functions::shown("subscriptions", error);
        let data = |name: &str| error.data.as_ref().and_then(|data| data.get(name)).cloned();
        let reason = data("reason").and_then(|reason| reason.as_str().map(str::to_owned));
        let status = status_of(error.code);
        let code = match (error.code, status) {
            (Code::AlreadyExists, _) => "SUBSCRIPTION_ALREADY_EXISTS",
            (_, StatusCode::BAD_REQUEST) => "INVALID_REQUEST",
            (_, StatusCode::UNAUTHORIZED) => "TOKEN_INVALID",
            (_, StatusCode::FORBIDDEN) => "FORBIDDEN",
            (_, StatusCode::NOT_FOUND) => "SUBSCRIPTION_NOT_FOUND",
            (_, StatusCode::CONFLICT) => reason.as_deref().unwrap_or("CONFLICT"),
            (_, StatusCode::PAYLOAD_TOO_LARGE) => "TOO_LARGE",
            (_, StatusCode::TOO_MANY_REQUESTS) => "RATE_LIMITED",
            (_, StatusCode::SERVICE_UNAVAILABLE) => "OVERLOADED",
            _ => "INTERNAL",
        };
        let mut fault = Self::new(status, code, &error.message);
        fault.retry_after = data("retryAfterMs").and_then(|ms| Some(ms.as_u64()?.div_ceil(1000)));
        if let Some(holder) = data("holder") {
            fault.body["error"]["current_holder"] = holder;
            fault.body["error"]["generation"] = data("generation").unwrap_or_default();
        }
        fault
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = (self.status, [("cache-control", "no-store")], Json(self.body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert("retry-after", seconds.into());
        }
        response
    }
}

fn body<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Fault> {
    let bytes = if bytes.is_empty() { b"{}" } else { bytes };
    serde_json::from_slice(bytes).map_err(|error| Fault::invalid(&format!("the body: {error}")))
}

fn normal(path: &str) -> String {
    path.trim_matches('/').to_owned()
}

/// A name or a pattern of streams. Nobody is woken for an answer: its log is no stream, only shown as one.
fn watched(path: &str) -> Result<String, Fault> {
    let path = normal(path);
    if paths::is_answer(&path) {
        let message = format!(
            "{path}: answers are not watched by subscriptions; follow generations:active, or the stream itself"
        );
        return Err(Fault::invalid(&message));
    }
    Ok(path)
}

async fn owner(app: &App, headers: &HeaderMap, needs: &str) -> Result<String, Fault> {
    Ok(caller::identify(app, headers, needs).await?.owner)
}

#[derive(Deserialize)]
struct Wanted {
    r#type: String,
    pattern: Option<String>,
    #[serde(default)]
    streams: Vec<String>,
    webhook: Option<Hook>,
    wake_stream: Option<String>,
    lease_ttl_ms: Option<u64>,
    description: Option<String>,
}

#[derive(Deserialize)]
struct Hook {
    url: String,
}

pub async fn create(
    State(app): State<Arc<App>>, Path(id): Path<String>, request: HeaderMap, Body(bytes): Body,
) -> Answer {
    let owner = owner(&app, &request, "subscriptions:create").await?;
    let wanted: Wanted = body(&bytes)?;
    let pattern = wanted.pattern.map(|pattern| watched(&pattern)).transpose()?.filter(|pattern| !pattern.is_empty());
    let streams: Vec<String> = wanted.streams.iter().map(|path| watched(path)).collect::<Result<_, _>>()?;
    if pattern.is_none() && streams.is_empty() {
        return Err(Fault::invalid("a pattern or streams say what to watch"));
    }
    let lease = wanted.lease_ttl_ms.unwrap_or(LEASE_MS);
    if !LEASES_MS.contains(&lease) {
        return Err(Fault::invalid("lease_ttl_ms is 1000 to 600000"));
    }
    let mut args = json!({
        "owner": owner, "name": id, "pattern": pattern, "streams": streams, "leaseTtlMs": lease,
        "description": wanted.description,
        "origin": paths::origin(app.config.streams.public_url.as_deref(), &request),
    });
    match (wanted.r#type.as_str(), wanted.webhook, wanted.wake_stream) {
        ("webhook", Some(hook), _) => {
            let allowed = webhook::check(&hook.url, app.config.streams.dev_open);
            allowed.map_err(|reason| Fault::new(StatusCode::BAD_REQUEST, "WEBHOOK_URL_REJECTED", reason))?;
            args["webhookUrl"] = hook.url.into();
        }
        ("pull-wake", _, Some(stream)) if !normal(&stream).is_empty() => args["wakeStream"] = watched(&stream)?.into(),
        ("webhook", None, _) => return Err(Fault::invalid("a webhook subscription needs webhook.url")),
        ("pull-wake", ..) => return Err(Fault::invalid("a pull-wake subscription needs wake_stream")),
        _ => return Err(Fault::invalid("type is webhook or pull-wake")),
    }
    #[derive(Deserialize)]
    struct Created {
        created: bool,
        view: View,
    }
    let Created { created, view } = app.functions.tell("subscriptions:create", args).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(shown(&app, &view))).into_response())
}

pub async fn show(State(app): State<Arc<App>>, Path(id): Path<String>, request: HeaderMap) -> Answer {
    let owner = owner(&app, &request, "subscriptions:get").await?;
    let args = json!({ "owner": owner, "name": id });
    let view = app.functions.ask("subscriptions:get", args).await?;
    Ok(Json(shown(&app, &view)).into_response())
}

pub async fn remove(State(app): State<Arc<App>>, Path(id): Path<String>, request: HeaderMap) -> Answer {
    let owner = owner(&app, &request, "subscriptions:remove").await?;
    app.functions.tell::<()>("subscriptions:remove", json!({ "owner": owner, "name": id })).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub async fn link(
    State(app): State<Arc<App>>, Path(id): Path<String>, request: HeaderMap, Body(bytes): Body,
) -> Answer {
    #[derive(Deserialize)]
    struct More {
        streams: Vec<String>,
    }
    let owner = owner(&app, &request, "subscriptions:link").await?;
    let named = body::<More>(&bytes)?.streams;
    let streams: Vec<String> = named.iter().map(|path| watched(path)).collect::<Result<_, _>>()?;
    if streams.is_empty() || streams.iter().any(String::is_empty) {
        return Err(Fault::invalid("streams is a list of names, not empty"));
    }
    let args = json!({ "owner": owner, "name": id, "streams": streams });
    app.functions.tell::<()>("subscriptions:link", args).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub async fn unlink(
    State(app): State<Arc<App>>, Path((id, path)): Path<(String, String)>, request: HeaderMap,
) -> Answer {
    let owner = owner(&app, &request, "subscriptions:unlink").await?;
    let args = json!({ "owner": owner, "name": id, "path": normal(&path) });
    app.functions.tell::<()>("subscriptions:unlink", args).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub async fn claim(
    State(app): State<Arc<App>>, Path(id): Path<String>, request: HeaderMap, Body(bytes): Body,
) -> Answer {
    #[derive(Deserialize)]
    struct Worker {
        worker: String,
    }
    let owner = owner(&app, &request, "subscriptions:claim").await?;
    let Worker { worker } = body(&bytes)?;
    if worker.is_empty() {
        return Err(Fault::invalid("worker is a name, not empty"));
    }
    let args = json!({ "owner": owner, "name": id, "worker": worker });
    let held: Held = app.functions.tell("subscriptions:claim", args).await?;
    let token = app.stream_keys.token(&held.id, held.generation, app.clock.now_ms());
    Ok(Json(json!({
        "wake_id": held.wake_id, "generation": held.generation, "token": token,
        "streams": links(&held.streams), "lease_ttl_ms": held.lease_ttl_ms,
    }))
    .into_response())
}

pub async fn callback(
    State(app): State<Arc<App>>, Path(id): Path<String>, request: HeaderMap, Body(bytes): Body,
) -> Answer {
    settle(&app, &id, &request, &bytes, "webhook", None).await
}

pub async fn ack(State(app): State<Arc<App>>, Path(id): Path<String>, request: HeaderMap, Body(bytes): Body) -> Answer {
    settle(&app, &id, &request, &bytes, "worker", None).await
}

/// Like an acknowledgement of nothing that is done.
pub async fn release(
    State(app): State<Arc<App>>, Path(id): Path<String>, request: HeaderMap, Body(bytes): Body,
) -> Answer {
    settle(&app, &id, &request, &bytes, "worker", Some(true)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct Said {
    wake_id: Option<String>,
    generation: Option<u64>,
    #[serde(default)]
    acks: Vec<Acked>,
    #[serde(default)]
    done: bool,
}

#[derive(Deserialize)]
struct Acked {
    #[serde(alias = "path")]
    stream: String,
    offset: String,
}

/// The caller shows the token that it was woken with; it needs no other credentials.
async fn settle(app: &App, name: &str, request: &HeaderMap, bytes: &[u8], by: &str, release: Option<bool>) -> Answer {
    let header = request.get("authorization").and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(|| Fault::token("TOKEN_INVALID"))?;
    let (id, generation) = app.stream_keys.open(token, app.clock.now_ms()).map_err(Fault::token)?;
    let mut said: Said = body(bytes)?;
    if release.is_some() {
        said.acks.clear();
    }
    let mut acks = Vec::with_capacity(said.acks.len());
    for acked in said.acks {
        let place = offset::parse(&acked.offset).map_err(|_| {
            Fault::new(StatusCode::CONFLICT, "INVALID_OFFSET", "An acknowledged offset is not one of ours.")
        })?;
        acks.push(json!({ "path": normal(&acked.stream), "offset": place }));
    }
    let args = json!({
        "id": id, "tokenGeneration": generation, "name": name, "by": by, "wakeId": said.wake_id,
        "generation": said.generation, "acks": acks, "done": release.unwrap_or(said.done),
    });
    let settled: Value = app.functions.tell("subscriptions:settle", args).await?;
    Ok(Json(json!({ "ok": true, "next_wake": settled["nextWake"] })).into_response())
}

/// `GET __ds/jwks.json`: the key that signs webhooks.
pub async fn jwks(State(app): State<Arc<App>>) -> Response {
    let headers = [("content-type", "application/jwk-set+json"), ("cache-control", "public, max-age=300")];
    (headers, app.stream_keys.jwks().to_string()).into_response()
}

fn shown(app: &App, view: &View) -> Value {
    let streams: Vec<Value> = links(&view.streams);
    let mut shown = json!({
        "id": view.name, "subscription_id": view.name, "streams": streams, "lease_ttl_ms": view.lease_ttl_ms,
        "created_at": instant::format(view.created_at as u64),
        "status": if view.failing { "failed" } else { "active" },
    });
    shown["type"] = if view.webhook_url.is_some() { "webhook".into() } else { "pull-wake".into() };
    if let Some(url) = &view.webhook_url {
        let jwks = format!("{}{}__ds/jwks.json", view.origin, paths::ROOT);
        let signing = json!({ "alg": "ed25519", "kid": app.stream_keys.key_id(), "jwks_url": jwks });
        shown["webhook"] = json!({ "url": url, "signing": signing });
    }
    if view.truncated {
        shown["truncated"] = true.into();
    }
    for (name, value) in
        [("pattern", &view.pattern), ("wake_stream", &view.wake_stream), ("description", &view.description)]
    {
        if let Some(value) = value {
            shown[name] = value.as_str().into();
        }
    }
    shown
}

/// The streams of a wake, as its holder sees them.
pub fn links(streams: &[LinkView]) -> Vec<Value> {
    let one = |link: &LinkView| {
        json!({
            "path": link.path,
            "link_type": if link.explicit { "explicit" } else { "glob" },
            "acked_offset": link.acked.map_or_else(|| "-1".to_owned(), offset::format),
            "tail_offset": offset::format(link.tail),
            "has_pending": link.is_pending(),
        })
    };
    streams.iter().map(one).collect()
}
