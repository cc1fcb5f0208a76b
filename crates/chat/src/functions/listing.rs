//! `messages:listMessages` and `threads:listThreadMessages`: messages and running answers in the shapes that
//! the hooks `useUIMessages` and `useThreadMessages` of `@convex-dev/agent` ask for and merge.
//!
//! One query with three faces, as those hooks call it: a page of messages; the list of running answers;
//! what running answers said from a cursor on. The first delta begins exactly at the cursor it was asked
//! for, each other where the one before ends, and whoever asks again from an earlier cursor finds the same
//! ends: the hooks assert all three. Only the shapes live here, the rows are read as everywhere.

mod docs;

pub use docs::MessageDoc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spool_protocol::ai_sdk::{Dialect, Encoder};
use spool_protocol::{Event, Result};
use spool_store::{Id, Order, Page, PaginationOpts, Tx};

use crate::context::CallContext;
use crate::functions::generations::{self, Piece};
use crate::limits::{self, check_count};
use crate::owned;
use crate::parts::{Part, ToolState};
use crate::states::MessageStatus;
use crate::tables::{Generation, Message, Role, Thread, message};
use crate::turn;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListMessages {
    pub thread_id: Id<Thread>,
    pub pagination_opts: PaginationOpts,
    #[serde(default)]
    pub stream_args: Option<StreamArgs>,
}

/// Which of the streams the caller wants to hear of.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum StreamArgs {
    /// The running answers, from a place in the thread on.
    List {
        #[serde(default)]
        start_order: Option<u64>,
    },
    /// What these answers said from these cursors on.
    Deltas { cursors: Vec<StreamCursor> },
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamCursor {
    pub stream_id: Id<Generation>,
    /// The `end` of the last delta, 0 at first.
    pub cursor: u64,
}

/// A page of messages, and the streams that were asked for.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "{T}Listing")]
pub struct Listing<T> {
    #[serde(flatten)]
    pub messages: Page<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams: Option<Streams>,
}

/// A message as the AI SDK's `UIMessage`, with its place. `order` is the message's `seq`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UiMessage {
    pub id: String,
    pub key: String,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub order: u64,
    pub step_order: u64,
    pub status: &'static str,
    pub role: &'static str,
    pub text: String,
    /// `UIMessagePart`s of the AI SDK.
    pub parts: Vec<Value>,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Streams {
    List { messages: Vec<StreamMessage> },
    Deltas { deltas: Vec<StreamDelta> },
}

/// A running answer.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamMessage {
    pub stream_id: Id<Generation>,
    pub status: &'static str,
    pub format: &'static str,
    pub order: u64,
    pub step_order: u64,
    pub model: String,
}

/// What an answer said between two offsets, as `UIMessageChunk`s of the AI SDK.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamDelta {
    pub stream_id: Id<Generation>,
    pub start: u64,
    pub end: u64,
    pub parts: Vec<Value>,
}

/// `messages:listMessages`
pub fn list_messages(tx: &mut Tx<'_>, ctx: &CallContext, args: ListMessages) -> Result<Listing<UiMessage>> {
    list(tx, ctx, args, |message| vec![ui_message(message)])
}

/// `threads:listThreadMessages`
pub fn list_thread_messages(tx: &mut Tx<'_>, ctx: &CallContext, args: ListMessages) -> Result<Listing<MessageDoc>> {
    list(tx, ctx, args, docs::docs)
}

fn list<T>(
    tx: &mut Tx<'_>, ctx: &CallContext, args: ListMessages, shown: impl Fn(Message) -> Vec<T>,
) -> Result<Listing<T>> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    let scan = tx.query::<Message>(message::BY_THREAD).eq(&thread.id).order(Order::Desc);
    let Page { page, is_done, continue_cursor, split_cursor, page_status } = scan.paginate(&args.pagination_opts)?;
    let page = page.into_iter().flat_map(shown).collect();
    let messages = Page { page, is_done, continue_cursor, split_cursor, page_status };
    let streams = match args.stream_args {
        None => None,
        Some(StreamArgs::List { start_order }) => Some(running(tx, &thread, start_order.unwrap_or(0))?),
        Some(StreamArgs::Deltas { cursors }) => Some(deltas(tx, ctx, &thread, cursors)?),
    };
    Ok(Listing { messages, streams })
}

fn running(tx: &mut Tx<'_>, thread: &Thread, start_order: u64) -> Result<Streams> {
    let generation = thread.active_generation_id.as_ref().map(|id| tx.get(id)).transpose()?.flatten();
    let mut messages = Vec::new();
    if let Some(generation) = generation {
        let order = turn::message_of(tx, &generation)?.seq;
        let (stream_id, model) = (generation.id, generation.model);
        if order >= start_order {
            let stream =
                StreamMessage { stream_id, status: "streaming", format: "UIMessageChunk", order, step_order: 0, model };
            messages.push(stream);
        }
    }
    Ok(Streams::List { messages })
}

fn deltas(tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, cursors: Vec<StreamCursor>) -> Result<Streams> {
    check_count("streamArgs.cursors", cursors.len(), limits::LISTED)?;
    let mut deltas = Vec::new();
    for StreamCursor { stream_id, cursor } in cursors {
        let (owner, generation) = owned::generation(tx, &ctx.principal, &stream_id)?;
        if owner.id != thread.id {
            continue; // a stream of another thread: the hook has switched
        }
        let before = said_before(tx, &generation, cursor)?;
        let mut encoder = Encoder::resume(Dialect::Common, cursor, before.as_ref());
        let mut start = cursor;
        for Piece { events, end } in generations::pieces(tx, &generation, cursor)? {
            let chunks = events.into_iter().flat_map(|event| encoder.push(event));
            let mut parts: Vec<Value> = chunks.filter_map(|chunk| serde_json::to_value(chunk).ok()).collect();
            if parts.is_empty() {
                // The hook passes over a delta without parts, and then misses it.
                parts.push(json!({ "type": "start" }));
            }
            deltas.push(StreamDelta { stream_id: stream_id.clone(), start, end, parts });
            start = end;
        }
    }
    Ok(Streams::Deltas { deltas })
}

/// The event that ends at `cursor`, or reaches over it. Progress does not count: it interrupts nothing.
fn said_before(tx: &mut Tx<'_>, generation: &Generation, cursor: u64) -> Result<Option<Event>> {
    if !generation.has_log() {
        let events = generations::retold(tx, generation)?;
        let known = generations::is_all(&events, turn::log_end(tx, generation)?);
        return Ok(if known { last_said(events, 0, cursor) } else { None });
    }
    let mut end = cursor;
    while let Some(chunk) = tx.log_before(generation.id.as_str(), end)? {
        let said = last_said(turn::events_of(&chunk)?, chunk.start, cursor);
        if said.is_some() {
            return Ok(said);
        }
        end = chunk.start;
    }
    Ok(None)
}

/// The last of `events`, which begin at the offset `at`, that begins before `cursor`.
fn last_said(events: Vec<Event>, mut at: u64, cursor: u64) -> Option<Event> {
    let mut said = None;
    for event in events {
        if at >= cursor {
            break;
        }
        at += event.units();
        if event.units() > 0 && !matches!(event, Event::Activity { .. }) {
            said = Some(event);
        }
    }
    said
}

fn status(status: MessageStatus) -> &'static str {
    match status {
        MessageStatus::Pending => "pending",
        MessageStatus::Streaming => "streaming",
        MessageStatus::Complete | MessageStatus::Stopped => "success",
        MessageStatus::Error | MessageStatus::Interrupted => "failed",
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::System => "system",
        Role::Assistant | Role::Tool => "assistant",
    }
}

fn ui_message(message: Message) -> UiMessage {
    let id = message.id.as_str().to_owned();
    UiMessage {
        key: id.clone(),
        id,
        creation_time: message.creation_time,
        order: message.seq,
        step_order: 0,
        status: status(message.status),
        role: role(message.role),
        text: text(&message.parts),
        parts: message.parts.into_iter().enumerate().filter_map(|(at, part)| ui_part(at, part)).collect(),
    }
}

/// The text as the hook makes it of the parts of a running answer: storing it changes no character.
fn text(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| if let Part::Text { text } = part { Some(text.as_str()) } else { None });
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

fn ui_part(at: usize, part: Part) -> Option<Value> {
    Some(match part {
        Part::Text { text } => json!({ "type": "text", "text": text, "state": "done" }),
        Part::Reasoning { text } => json!({ "type": "reasoning", "text": text, "state": "done" }),
        Part::ToolCall { tool_call_id, tool, state, input, output, error, .. } => {
            let mut value = json!({ "type": format!("tool-{tool}"), "toolCallId": tool_call_id, "input": input });
            match (error, output) {
                (Some(error), _) => {
                    value["state"] = "output-error".into();
                    value["errorText"] = error.into();
                }
                (None, Some(output)) => {
                    value["state"] = "output-available".into();
                    value["output"] = output;
                }
                (None, None) if state == ToolState::Completed => {
                    value["state"] = "output-available".into();
                    value["output"] = Value::Null;
                }
                (None, None) => value["state"] = "input-available".into(),
            }
            value
        }
        Part::Source { title, url, .. } => {
            json!({ "type": "source-url", "sourceId": format!("s{at}"), "url": url, "title": title })
        }
        Part::Artifact { artifact_id, version, kind, title } => {
            let data = json!({ "artifactId": artifact_id, "version": version, "kind": kind, "title": title });
            json!({ "type": "data-artifact", "id": artifact_id, "data": data })
        }
        Part::Approval { approval_id, kind, status, tool_call_id } => {
            let mut data = json!({ "approvalId": approval_id, "kind": kind, "status": status });
            if let Some(id) = tool_call_id {
                data["toolCallId"] = id.into();
            }
            json!({ "type": "data-approval", "id": approval_id, "data": data })
        }
        Part::File { upload_id, media_type, name, .. } => {
            let mut value = json!({ "type": "file", "url": format!("/api/uploads/{upload_id}") });
            value["mediaType"] = media_type.unwrap_or_else(|| "application/octet-stream".to_owned()).into();
            if let Some(name) = name {
                value["filename"] = name.into();
            }
            value
        }
        Part::Steered { .. } | Part::Activity { .. } | Part::Data { .. } => {
            return None;
        }
    })
}
