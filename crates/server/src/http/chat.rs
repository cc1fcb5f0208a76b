//! The AI SDK's chat endpoints, for unmodified clients of `ai` 5, 6 and 7 (`useChat`,
//! `DefaultChatTransport`). What they send and get: `docs/ai-sdk.md`.
//!
//! A response is a view of a generation's log: a client that leaves stops nothing, and any number may
//! read along. What a client posts about the assistant's side (its messages, tool results) is never stored
//! and never believed; a decision about a tool call is a claim that is held against our own row.

use std::sync::Arc;

use ::http::{HeaderMap, StatusCode};
use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request, State};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spool_chat::tables::Upload;
use spool_chat::{Part, Principal};
use spool_protocol::{Code, Error};
use spool_store::Id;

use super::durable::origin;
use super::{Body, Caller, Parameters, Refusal, Segment};
use crate::app::App;
use crate::auth::Identity;

mod answer;
mod chunks;
mod decisions;
mod files;
mod links;
mod request;
mod thread;

use answer::{Answer, Have, Wish};
use request::{Decisions, Question, Submission, Wanted};

/// A larger body is read where it keeps nobody waiting: with its files it may have a hundred megabytes.
const READ_ASIDE_BYTES: usize = 64 << 10;

/// A request on behalf of one caller.
struct Call {
    app: Arc<App>,
    caller: Identity,
    /// Where the caller reached this server.
    origin: String,
}

impl Call {
    fn new(app: Arc<App>, caller: Identity, headers: &HeaderMap) -> Self {
        let origin = origin(app.config.streams.public_url.as_deref(), headers);
        Self { app, caller, origin }
    }

    /// The person who calls. Only people decide.
    fn person(&self) -> Option<&str> {
        match &*self.caller.principal {
            Principal::User { user } => Some(user.as_str()),
            _ => None,
        }
    }

    async fn query<T: DeserializeOwned>(&self, path: &str, args: Value) -> Result<T, Error> {
        let (_, value) = self.app.functions.query(path, &self.caller.principal, args).await?;
        serde_json::from_str(&value).map_err(|e| Error::internal(format!("{path}: {e}")))
    }

    async fn mutate<T: DeserializeOwned>(&self, path: &str, args: Value) -> Result<T, Error> {
        let done = self.app.functions.mutate(path, &self.caller.principal, args, None).await?;
        serde_json::from_str(&done.value).map_err(|e| Error::internal(format!("{path}: {e}")))
    }
}

/// The rows of a turn, as `turns:send` and `turns:regenerate` answer. A queued turn has no answer yet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Turn {
    #[serde(default)]
    user_message_id: Option<String>,
    message_id: Option<String>,
    generation_id: Option<String>,
}

/// `POST /api/chat`
pub async fn submit(
    State(app): State<Arc<App>>, Caller(caller): Caller, Parameters(wish): Parameters<Wish>, request: Request,
) -> Result<Response, Refusal> {
    // Before the body is read: it may carry files, and is large.
    if *caller.principal == Principal::Anonymous {
        return Err(Refusal(Error::new(Code::Unauthenticated, "This needs a signed-in user.")));
    }
    let headers = request.headers().clone();
    let Body(body) = Body::from_request(request, &app).await?;
    let call = Call::new(app, caller, &headers);
    let dialect = wish.dialect(&headers).map_err(Refusal)?;
    let response = async {
        let submission = read(body).await?;
        // Before anything is written: an answer that nobody can be shown is not begun.
        let place = call.app.admit()?;
        let (answer, have) = submitted(&call, submission).await?;
        answer.follow(&call, place, dialect, have).await
    };
    response.await.map_err(Refusal)
}

async fn read(body: Bytes) -> Result<Submission, Error> {
    if body.len() <= READ_ASIDE_BYTES {
        return Submission::parse(&body);
    }
    let read = tokio::task::spawn_blocking(move || Submission::parse(&body)).await;
    read.map_err(|error| Error::internal(format!("reading a body: {error}")))?
}

async fn submitted(call: &Call, Submission { chat, wanted }: Submission) -> Result<(Answer, Have), Error> {
    let turn = match wanted {
        Wanted::Answer(question) => send(call, &chat, question).await?,
        Wanted::Again(message) => regenerate(call, &chat, message.as_deref()).await?,
        Wanted::Decision(claimed) => return decide(call, &chat, claimed).await,
    };
    let (Some(message), Some(generation)) = (turn.message_id, turn.generation_id) else {
        let error = "The message waits behind the answer that is being made in this chat: follow that one first.";
        return Err(Error::new(Code::ThreadBusy, error));
    };
    Ok((Answer { message, generation }, Have::Nothing))
}

/// What a person decided about tool calls, and the answer that waited for it.
async fn decide(call: &Call, chat: &str, Decisions { claims, shown }: Decisions) -> Result<(Answer, Have), Error> {
    let thread = thread::find(call, chat).await?.ok_or_else(|| Error::not_found("approval"))?;
    let answer = decisions::carry_out(call, &thread, &claims).await?;
    Ok((answer, Have::Asked(shown)))
}

/// The client's message id makes the request repeatable: the same one is the same turn.
async fn send(call: &Call, chat: &str, question: Question) -> Result<Turn, Error> {
    if call.person().is_some() && files::any_inline(&question.files) {
        thread::check_free(call, chat, question.id.as_deref()).await?;
    }
    let thread = thread::find_or_create(call, chat).await?;
    let files = files::store(call, &thread, question.id.as_deref(), question.files).await?;
    // A chat request wants its answer now, as a stream, so it does not queue.
    let mut args = json!({ "threadId": thread, "text": question.text, "files": files, "ifBusy": "refuse" });
    if let Some(id) = question.id {
        args["requestId"] = json!(id);
    }
    let turn: Turn = call.mutate("turns:send", args).await?;
    check_same(call, &turn, &question.text, &files).await?;
    Ok(turn)
}

/// An id that was used for another text, or with other files, is no repetition: the old answer would look like one to the new.
async fn check_same(call: &Call, turn: &Turn, text: &str, files: &[Id<Upload>]) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Stored {
        text: String,
        parts: Vec<Part>,
    }
    let stored: Stored = call.query("messages:get", json!({ "messageId": turn.user_message_id })).await?;
    let shown = stored.parts.iter().filter_map(|part| match part {
        Part::File { upload_id, .. } => Some(upload_id.as_str()),
        _ => None,
    });
    if stored.text == text && shown.eq(files.iter().map(Id::as_str)) {
        return Ok(());
    }
    let message = "This message id was used for another text in this chat. Send a changed text as a new message.";
    Err(Error::new(Code::AlreadyExists, message))
}

async fn regenerate(call: &Call, chat: &str, message: Option<&str>) -> Result<Turn, Error> {
    let thread = thread::find(call, chat).await?.ok_or_else(|| Error::not_found("chat"))?;
    let message = thread::answer_to_regenerate(call, &thread, message).await?;
    call.mutate("turns:regenerate", json!({ "messageId": message })).await
}

/// `GET /api/chat/{chatId}/stream`: 204 if nothing is being answered.
pub async fn resume(
    State(app): State<Arc<App>>, Caller(caller): Caller, Segment(chat): Segment, Parameters(wish): Parameters<Wish>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let call = Call::new(app, caller, &headers);
    let response = async {
        let dialect = wish.dialect(&headers)?;
        let offset = wish.offset(&headers)?;
        let Some(thread) = thread::find(&call, &chat).await? else { return Ok(StatusCode::NO_CONTENT.into_response()) };
        let Some(generation) = wish.active_stream_id.clone().or_else(|| thread.active_generation_id.clone()) else {
            return Ok(StatusCode::NO_CONTENT.into_response());
        };
        let answer = Answer::find(&call, &thread, generation).await?;
        let have = offset.map_or(Have::Nothing, |offset| Have::Until(offset, wish.parts));
        answer.follow(&call, call.app.admit()?, dialect, have).await
    };
    response.await.map_err(Refusal)
}

/// What a client says about the stream that it wants to stop. Its own copy of the message is not stored.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stop {
    active_stream_id: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub struct Stopped {
    stopped: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// `POST /api/chat/{chatId}/stop`
pub async fn stop(
    State(app): State<Arc<App>>, Caller(caller): Caller, Segment(chat): Segment, headers: HeaderMap, Body(body): Body,
) -> Result<axum::Json<Stopped>, Refusal> {
    let call = Call::new(app, caller, &headers);
    let stopped = async {
        let stop: Stop = if body.is_empty() { Stop::default() } else { request::parse(&body)? };
        let thread = thread::find(&call, &chat).await?.ok_or_else(|| Error::not_found("chat"))?;
        let nothing = |reason: &str| Ok(Stopped { stopped: false, reason: Some(reason.to_owned()) });
        let Some(active) = thread.active_generation_id else { return nothing("Nothing is being answered.") };
        if stop.active_stream_id.is_some_and(|named| named != active) {
            return nothing("Another answer is being made by now.");
        }
        // Names the generation, not the chat: what began meanwhile is not stopped.
        call.mutate("generations:stop", json!({ "generationId": active })).await
    };
    stopped.await.map(axum::Json).map_err(Refusal)
}
