//! What a model is given of the conversation before an answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spool_protocol::Result;
use spool_store::{Id, Order, Tx};

use super::segments::{Segment, segments_of};
use crate::context::CallContext;
use crate::limits;
use crate::parts::Part;
use crate::recall;
use crate::states::{GenerationStatus, MessageStatus};
use crate::tables::{Generation, Message, PageContext, Role, Thread, message};

/// A complete message of the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryMessage {
    pub message_id: Id<Message>,
    pub role: Role,
    pub text: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<HistoryFile>,
    /// The answer step by step, if it called tools; `text` is then the whole text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Segment>,
}

/// A file that a message shows. Its bytes are where the server keeps them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryFile {
    pub upload_id: String,
    pub name: String,
    pub media_type: String,
    pub size: u64,
}

/// The newest complete messages before `answer`, oldest first, and behind them what was said to its earlier attempts:
/// as many, and of as many bytes, as the settings give a model. The newest one is given whatever its size.
pub(super) fn before(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, answer: &Message, generation: &Generation,
) -> Result<Vec<HistoryMessage>> {
    // What a summary tells is not sent again.
    let start = recall::history_start(tx, thread)?;
    let (most, most_bytes) = (ctx.settings.history_messages, ctx.settings.history_bytes);
    let mut history: Vec<HistoryMessage> = Vec::new();
    let (mut bytes, mut rows, mut end) = (0, 0, answer.seq);
    let mut newest_first = said_to_earlier_attempts(tx, thread, answer, generation)?;
    'newest: loop {
        for message in newest_first {
            if message.status != MessageStatus::Complete || stands_in_an_answer(tx, &message)? {
                continue;
            }
            let told = told(tx, message, history.is_empty())?;
            bytes += weight(&told);
            if bytes > most_bytes && !history.is_empty() {
                break 'newest;
            }
            history.push(told);
            if history.len() == most {
                break 'newest;
            }
        }
        if rows >= most + limits::HISTORY_ROWS {
            break;
        }
        let scan = tx.query::<Message>(message::BY_THREAD).eq(&thread.id).ge(start).lt(end).order(Order::Desc);
        newest_first = scan.take(limits::HISTORY_BATCH.min(most))?;
        let Some(oldest) = newest_first.last() else { break };
        (rows, end) = (rows + newest_first.len(), oldest.seq);
    }
    history.reverse();
    Ok(history)
}

/// A message as a model is told it. `newest` of all that it is told.
fn told(tx: &mut Tx<'_>, message: Message, newest: bool) -> Result<HistoryMessage> {
    // Without a word of the user before it, a greeting would not be part of the conversation.
    let begins = message.opening && !newest;
    let text = if begins { recall::OPENING.to_owned() } else { message.text() };
    let files = message.parts.iter().cloned().filter_map(file).collect();
    let called = message.parts.iter().any(|part| matches!(part, Part::ToolCall { .. } | Part::Steered { .. }));
    let segments = match message.generation_id.filter(|_| called) {
        Some(generation) => segments_of(tx, &generation, message.parts)?,
        None => Vec::new(),
    };
    Ok(HistoryMessage { message_id: message.id, role: message.role, text, files, segments })
}

/// The bytes of a message, with its calls and their results.
fn weight(message: &HistoryMessage) -> usize {
    let calls = message.segments.iter().flat_map(|segment| &segment.calls);
    let bytes = |value: &Value| value.as_str().map_or_else(|| value.to_string().len(), str::len);
    let called = calls.map(|call| {
        let result = match (&call.error, &call.output) {
            (Some(error), _) => error.len(),
            (None, output) => output.as_ref().map_or(0, bytes),
        };
        call.tool.len() + call.input.to_string().len() + result
    });
    message.text.len() + called.sum::<usize>()
}

/// Whether a message was said to a running answer, and stands among the steps of that answer. One whose answer was not
/// completed, or was made anew since, is a message like any other.
fn stands_in_an_answer(tx: &mut Tx<'_>, message: &Message) -> Result<bool> {
    let Some(reader) = &message.steered else { return Ok(false) };
    let Some(generation) = tx.get(reader)? else { return Ok(false) };
    let answer: Option<Message> = tx.get(&generation.message_id)?;
    let shown = |answer: Message| answer.generation_id.as_ref() == Some(reader);
    Ok(generation.status == GenerationStatus::Complete && answer.is_some_and(shown))
}

/// What the user said to an attempt at `answer` before this one, newest first. It stands behind the answer, and this
/// attempt is to know it, too.
fn said_to_earlier_attempts(
    tx: &mut Tx<'_>, thread: &Thread, answer: &Message, generation: &Generation,
) -> Result<Vec<Message>> {
    let mut said = Vec::new();
    if generation.attempt == 1 {
        return Ok(said);
    }
    let behind = tx.query::<Message>(message::BY_THREAD).eq(&thread.id).gt(answer.seq);
    for message in behind.take(limits::HISTORY_ROWS)? {
        let Some(reader) = message.steered.as_ref().filter(|reader| **reader != generation.id) else { continue };
        if tx.get(reader)?.is_some_and(|reader| reader.message_id == answer.id) {
            said.push(message);
        }
    }
    said.reverse();
    Ok(said)
}

/// What the user looked at when they said the newest of their messages before the place `seq`.
pub(super) fn page_before(tx: &mut Tx<'_>, thread: &Id<Thread>, seq: u64) -> Result<Option<PageContext>> {
    let scan = tx.query::<Message>(message::BY_THREAD).eq(thread).lt(seq).order(Order::Desc);
    // An answer stands right behind its question, unless others came between while it waited.
    let said = scan.take(limits::QUEUED_TURNS)?.into_iter().find(|said| said.role == Role::User);
    Ok(said.and_then(|said| said.page))
}

fn file(part: Part) -> Option<HistoryFile> {
    let Part::File { upload_id, media_type, name, size } = part else { return None };
    Some(HistoryFile { upload_id, name: name?, media_type: media_type?, size: size? })
}
