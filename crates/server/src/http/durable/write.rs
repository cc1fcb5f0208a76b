//! PUT, POST and DELETE.

use std::sync::Arc;

use ::http::{HeaderMap, StatusCode, header};
use axum::body::Body;
use axum::extract::{OriginalUri, Path, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};
use spool_chat::Principal;
use spool_chat::functions::streams::Meta;
use spool_chat::tables::Generation;
use spool_chat::tables::stream::media_type;
use spool_protocol::{Code, Error, Result};
use spool_store::Id;

use super::super::Body as Received;
use super::caller::{self, Whose};
use super::content::{Kind, pieces};
use super::paths::{self, Target};
use super::read::Reply;
use super::{Answer, headers, offset};
use crate::app::App;
use crate::functions::decoded;

/// Creating and deleting is for streams; a generation's log comes and goes with its answer.
fn writable(path: String) -> Result<String> {
    match paths::target(path)? {
        Target::Stream(path) => Ok(path),
        Target::Generation(_) => Err(read_only()),
    }
}

/// What `streams:create` answers.
#[derive(Deserialize)]
struct Created {
    created: bool,
    meta: Meta,
}

/// A producer as a request names it: its id, epoch and sequence.
type Producer = (String, u64, u64);

/// What `streams:append` answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Appended {
    end: u64,
    closed: bool,
    duplicate: bool,
    producer_seq: Option<u64>,
}

pub async fn create(
    State(app): State<Arc<App>>, Path(path): Path<String>, OriginalUri(uri): OriginalUri, request: HeaderMap,
    Received(body): Received,
) -> Answer {
    let whose = caller::identify(&app, &request, "streams:create").await?;
    let mut args = json!({
        "owner": whose.owner, "path": writable(path)?, "closed": headers::is_closing(&request)?,
    });
    headers::lifetime(&request, &mut args)?;
    let mut content_type = headers::content_type(&request)?;
    if let Some(fork) = headers::fork(&request)? {
        // The body is stored in the form of the source, so its type is asked for first; the creation
        // checks it again.
        if content_type.is_none() && !body.is_empty() {
            content_type = Some(inherited_type(&app, &whose.owner, [&fork["path"], &args["path"]]).await?);
        }
        args["fork"] = fork;
    }
    args["pieces"] = pieces(Kind::of(content_type.as_deref().unwrap_or_default()), &body, true)?.into();
    if let Some(content_type) = content_type {
        args["contentType"] = content_type.into();
    }
    let Created { created, meta } = app.functions.tell("streams:create", args).await?;
    let mut reply = Reply::new(&meta.content_type);
    reply.set(headers::NEXT_OFFSET, offset::format(meta.end));
    reply.set_if(meta.closed, headers::CLOSED);
    if created {
        let origin = paths::origin(app.config.streams.public_url.as_deref(), &request);
        reply.set(header::LOCATION, format!("{origin}{}", uri.path()));
    }
    Ok(reply.send(if created { StatusCode::CREATED } else { StatusCode::OK }, Body::empty()))
}

/// The type of the body of a fork that states none: its source's. A source that is not there is the creation's to
/// refuse; but what exists already under the fork's own name is compared by its type.
async fn inherited_type(app: &App, owner: &str, paths: [&Value; 2]) -> Result<String> {
    for path in paths {
        let named = json!({ "owner": owner, "path": path });
        match app.functions.ask::<Meta>("streams:meta", named).await {
            Ok(meta) => return Ok(meta.content_type),
            Err(error) if matches!(error.code, Code::NotFound | Code::Gone) => {}
            Err(error) => return Err(error),
        }
    }
    Ok("application/octet-stream".to_owned())
}

pub async fn append(
    State(app): State<Arc<App>>, Path(path): Path<String>, request: HeaderMap, Received(body): Received,
) -> Answer {
    let close = headers::is_closing(&request)?;
    if let Target::Generation(id) = paths::target(path.clone())? {
        let whose = caller::identify_for_answer(&app, &request, "generations:append").await?;
        return append_events(&app, &whose, &id, &request, &body, close).await;
    }
    let whose = caller::identify(&app, &request, "streams:append").await?;
    let mut args = json!({ "owner": whose.owner, "path": writable(path)?, "close": close });
    let producer = headers::producer(&request)?;
    if let Some((id, epoch, seq)) = &producer {
        args["producer"] = json!({ "id": id, "epoch": epoch, "seq": seq });
    }
    if body.is_empty() {
        if !close {
            return Err(Error::bad_request("the body is empty: there is nothing to append").into());
        }
    } else {
        let content_type = needed_type(&request);
        let cut = content_type.as_ref().map(|given| pieces(Kind::of(given), &body, false));
        args["pieces"] = match cut.map_err(Error::clone).flatten() {
            Ok(pieces) => pieces.into(),
            Err(fault) => {
                let earlier = earlier_fault(&app, &args, content_type.as_deref().ok()).await;
                return Err(earlier.unwrap_or(fault).into());
            }
        };
        args["contentType"] = content_type?.into();
        if let Some(seq) = headers::sequence(&request)? {
            args["seq"] = seq.into();
        }
    }
    let appended = app.functions.tell("streams:append", args).await?;
    Ok(said(&appended, producer.as_ref(), &body))
}

/// The answer to an append.
fn said(appended: &Appended, producer: Option<&Producer>, body: &[u8]) -> Response {
    let mut reply = Reply::bare();
    reply.set(headers::NEXT_OFFSET, offset::format(appended.end));
    reply.set_if(appended.closed, headers::CLOSED);
    if let (Some((_, epoch, _)), Some(seq)) = (producer, appended.producer_seq) {
        reply.set(headers::PRODUCER_EPOCH, epoch.to_string());
        reply.set(headers::PRODUCER_SEQ, seq.to_string());
    }
    // A producer tells new data from a repetition by the status.
    let is_news = producer.is_some() && !appended.duplicate && !body.is_empty();
    reply.send(if is_news { StatusCode::OK } else { StatusCode::NO_CONTENT }, Body::empty())
}

fn needed_type(request: &HeaderMap) -> Result<String> {
    let missing = || Error::bad_request("Content-Type is missing").with("path", "Content-Type");
    headers::content_type(request)?.ok_or_else(missing)
}

/// What the protocol asks about before it asks whether type and body are sound: is the stream there, is it
/// open, is it of this type (if there is one).
async fn earlier_fault(app: &App, args: &Value, content_type: Option<&str>) -> Option<Error> {
    let named = json!({ "owner": args["owner"], "path": args["path"] });
    match app.functions.ask::<Meta>("streams:meta", named).await {
        Err(error) => Some(error),
        Ok(meta) if meta.closed => Some(Error::new(Code::LogSealed, "The stream is closed.").with("end", meta.end)),
        Ok(meta) if content_type.is_some_and(|given| media_type(given) != media_type(&meta.content_type)) => {
            let message = format!("The stream is {}.", meta.content_type);
            Some(Error::new(Code::StreamConflict, message).with("reason", "content_type"))
        }
        Ok(_) => None,
    }
}

/// What `generations:append` answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Added {
    appended: bool,
    cursor: u64,
    reason: Option<String>,
    producer_seq: Option<u64>,
    #[serde(default)]
    duplicate: bool,
}

/// The runner of an answer adds events, under the rules of `generations:append`; users only read.
async fn append_events(
    app: &App, whose: &Whose, id: &Id<Generation>, request: &HeaderMap, body: &[u8], close: bool,
) -> Answer {
    if !matches!(*whose.identity.principal, Principal::Service { .. } | Principal::Worker { .. }) {
        return Err(read_only().into());
    }
    if close {
        return Err(Error::bad_request("an answer ends with generations:finish, which says how").into());
    }
    if Kind::of(&needed_type(request)?) != Kind::Json {
        return Err(Error::new(Code::StreamConflict, "An answer is application/json.")
            .with("reason", "content_type")
            .into());
    }
    if headers::sequence(request)?.is_some() {
        let message = "Stream-Seq: an answer has one writer; Producer-Id, -Epoch and -Seq order its appends";
        return Err(Error::bad_request(message).with("path", "Stream-Seq").into());
    }
    let producer = headers::producer(request)?;
    let fault = |error: serde_json::Error| Error::bad_request(format!("the body is not a list of events: {error}"));
    let events: Value = serde_json::from_slice(body).map_err(fault)?;
    let events = if events.is_array() { events } else { json!([events]) };
    if events.as_array().is_some_and(Vec::is_empty) {
        return Err(Error::bad_request("an empty array has nothing to append").into());
    }
    let mut args = json!({ "generationId": id, "events": events, "epoch": headers::worker_epoch(request)? });
    if let Some((id, epoch, seq)) = &producer {
        args["producer"] = json!({ "id": id, "epoch": epoch, "seq": seq });
    }
    let added = app.functions.mutate("generations:append", &whose.identity.principal, args, None).await?;
    let Added { appended, cursor, reason, producer_seq, duplicate } = decoded("generations:append", &added.value)?;
    if !appended {
        let message = reason.unwrap_or_else(|| "The answer is over.".to_owned());
        return Err(Error::new(Code::LogSealed, message).with("end", cursor).into());
    }
    let appended = Appended { end: cursor, closed: false, duplicate, producer_seq };
    Ok(said(&appended, producer.as_ref(), body))
}

fn read_only() -> Error {
    Error::new(Code::Forbidden, "An answer's log is read-only here.")
}

pub async fn remove(State(app): State<Arc<App>>, Path(path): Path<String>, request: HeaderMap) -> Answer {
    let whose = caller::identify(&app, &request, "streams:delete").await?;
    let args = json!({ "owner": whose.owner, "path": writable(path)? });
    app.functions.tell::<()>("streams:delete", args).await?;
    Ok(Reply::bare().send(StatusCode::NO_CONTENT, Body::empty()))
}
