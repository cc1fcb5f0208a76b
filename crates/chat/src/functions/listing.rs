//! `messages:listMessages` and `threads:listThreadMessages`: messages and running answers in the shapes that
//! the hooks `useUIMessages` and `useThreadMessages` of `@convex-dev/agent` ask for and merge.
//!
//! One query with three faces, as those hooks call it: a page of messages; the list of running answers;
//! what running answers said from a cursor on. The first delta begins exactly at the cursor it was asked
//! for, each other where the one before ends, and whoever asks again from an earlier cursor finds the same
//! ends: the hooks assert all three. Only the shapes live here, the rows are read as everywhere.

mod calls;
mod docs;
mod streams;

pub use docs::MessageDoc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spool_protocol::Result;
use spool_store::{Id, Order, Page, PaginationOpts, Tx};

use crate::context::CallContext;
use crate::owned;
use crate::parts::Part;
use crate::states::MessageStatus;
use crate::tables::{Generation, Message, Role, Thread, message};
use calls::{Outcome, Rejected};

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
        Some(StreamArgs::List { start_order }) => Some(streams::running(tx, &thread, start_order.unwrap_or(0))?),
        Some(StreamArgs::Deltas { cursors }) => Some(streams::deltas(tx, ctx, &thread, cursors)?),
    };
    Ok(Listing { messages, streams })
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
    let rejected = Rejected::in_parts(&message.parts);
    UiMessage {
        key: id.clone(),
        id,
        creation_time: message.creation_time,
        order: message.seq,
        step_order: 0,
        status: status(message.status),
        role: role(message.role),
        text: text(&message.parts),
        parts: message.parts.into_iter().enumerate().filter_map(|(at, part)| ui_part(at, part, &rejected)).collect(),
    }
}

/// The text as the hook makes it of the parts of a running answer: storing it changes no character.
fn text(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| if let Part::Text { text } = part { Some(text.as_str()) } else { None });
    texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" ")
}

fn ui_part(at: usize, part: Part, rejected: &Rejected) -> Option<Value> {
    Some(match part {
        Part::Text { text } => json!({ "type": "text", "text": text, "state": "done" }),
        Part::Reasoning { text } => json!({ "type": "reasoning", "text": text, "state": "done" }),
        Part::ToolCall { tool_call_id, tool, state, input, output, error, .. } => {
            let mut value = json!({ "type": format!("tool-{tool}"), "toolCallId": tool_call_id, "input": input });
            value["state"] = match rejected.outcome(&tool_call_id, state, output, error) {
                Outcome::Failure(error) => {
                    value["errorText"] = error.into();
                    "output-error"
                }
                Outcome::Result(output) => {
                    value["output"] = output;
                    "output-available"
                }
                Outcome::Open => "input-available",
            }
            .into();
            value
        }
        Part::Source { title, url, snippet, source_id } => {
            let source_id = source_id.unwrap_or_else(|| format!("p{at}"));
            let mut value = json!({ "type": "source-url", "sourceId": source_id, "url": url, "title": title });
            if let Some(snippet) = snippet {
                value["providerMetadata"] = json!({ "spool": { "snippet": snippet } });
            }
            value
        }
        Part::Artifact { ref artifact_id, .. } => {
            json!({ "type": "data-artifact", "id": artifact_id, "data": card(&part) })
        }
        Part::Approval { ref approval_id, .. } => {
            json!({ "type": "data-approval", "id": approval_id, "data": card(&part) })
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

/// The fields of a part without its tag, which the event that it was has, too.
fn card(part: &Part) -> Value {
    let mut data = serde_json::to_value(part).unwrap_or_default();
    if let Some(fields) = data.as_object_mut() {
        fields.remove("type");
    }
    data
}
