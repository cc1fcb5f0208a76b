//! Messages: read, and written without asking for an answer.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use spool_protocol::{Code, Error, Failure, Result, Usage};
use spool_store::{Id, Order, Page, PaginationOpts, Tx};

use crate::context::CallContext;
use crate::functions::threads::set_status;
use crate::functions::uploads;
use crate::limits::{self, check_bytes, check_count};
use crate::owned;
use crate::parts::{self, Part, ToolState};
use crate::principal::Principal;
use crate::quota;
use crate::states::ThreadStep;
use crate::tables::{Message, MessageView, Origin, Role, Thread, TitleSource, message};
use crate::title;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListPage {
    pub thread_id: Id<Thread>,
    pub pagination_opts: PaginationOpts,
    /// `asc` (the default) begins with the oldest message, `desc` with the newest.
    pub order: Option<Order>,
}

/// `messages:page`
pub fn page(tx: &mut Tx<'_>, ctx: &CallContext, args: ListPage) -> Result<Page<MessageView>> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    let scan = tx.query::<Message>(message::BY_THREAD).eq(&thread.id).order(args.order.unwrap_or_default());
    Ok(scan.paginate(&args.pagination_opts)?.map(MessageView::from))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub message_id: Id<Message>,
}

/// `messages:get`
pub fn get(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<MessageView> {
    let (_, message) = owned::message(tx, &ctx.principal, &args.message_id)?;
    Ok(MessageView::from(message))
}

/// A source, as older front ends send it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Citation {
    pub title: String,
    pub url: String,
    pub snippet: Option<String>,
}

/// A finished tool call, as older front ends send it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolUse {
    pub name: String,
    pub args: Value,
    pub result: Option<Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Append {
    pub thread_id: Id<Thread>,
    pub role: Role,
    /// Plain text. Give one of `text`, `content` and `parts`.
    pub text: Option<String>,
    /// Another name for `text`.
    pub content: Option<String>,
    pub parts: Option<Vec<Part>>,
    pub citations: Option<Vec<Citation>>,
    pub reasoning_text: Option<String>,
    pub tools: Option<Vec<ToolUse>>,
    /// Repeating it gives the same message and changes nothing.
    pub request_id: Option<String>,
    /// The thread's `historyVersion` that the writer saw; `history_conflict` if it moved on.
    pub history_version: Option<u64>,
    pub model: Option<String>,
    pub provider: Option<String>,
    pub agent_id: Option<String>,
    pub usage: Option<Usage>,
    pub finish_reason: Option<String>,
    pub error: Option<Failure>,
    pub external_id: Option<String>,
}

/// `messages:append`
pub fn append(tx: &mut Tx<'_>, ctx: &CallContext, args: Append) -> Result<Id<Message>> {
    let mut thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    let origin = origin_of(ctx, args.role)?;
    if let Some(earlier) = find_request(tx, &thread, args.request_id.as_deref())? {
        return Ok(earlier.id);
    }
    check_version(&thread, args.history_version)?;
    let mut message = Message::new(tx, &thread.id, thread.next_seq, args.role, origin);
    message.request_id = args.request_id;
    message.model = args.model;
    message.provider = args.provider;
    message.agent_id = args.agent_id;
    message.usage = args.usage;
    message.finish_reason = args.finish_reason;
    message.error = args.error;
    message.external_id = args.external_id;
    let plain = match (args.text, args.content) {
        (Some(_), Some(_)) => return Err(one_form("content")),
        (text, content) => text.or(content),
    };
    message.parts = written_parts(plain, args.parts, args.reasoning_text, args.tools, args.citations)?;
    uploads::describe_parts(tx, &thread, &mut message.parts)?;
    if args.role == Role::User && parts::are_blank(&message.parts) {
        return Err(empty());
    }
    if args.role == Role::User {
        user_spoke(ctx, &mut thread, &message.parts)?;
    }
    quota::check_message(tx, ctx)?;
    thread.take_seq();
    thread.history_version += 1;
    thread.touch(tx.now());
    tx.put(&message)?;
    tx.put(&thread)?;
    Ok(message.id)
}

/// Who is noted as the writer; refuses roles that the caller may not write.
fn origin_of(ctx: &CallContext, role: Role) -> Result<Origin> {
    match (&ctx.principal, role) {
        (Principal::System, _) => Ok(Origin::Import),
        (Principal::Service { .. }, Role::User) => Ok(Origin::Client),
        (Principal::Service { .. }, _) => Ok(Origin::Agent),
        (_, Role::User) => Ok(Origin::User),
        (_, _) if ctx.settings.allow_client_roles => Ok(Origin::Client),
        (_, _) => Err(Error::new(Code::Forbidden, "Clients write messages of the role user only.")),
    }
}

fn one_form(path: &str) -> Error {
    Error::bad_request(format!("{path}: give one of text, content and parts")).with("path", path)
}

/// The parts of a message in either form: reasoning, tools, text, sources, in this order.
fn written_parts(
    text: Option<String>, given: Option<Vec<Part>>, reasoning: Option<String>, tools: Option<Vec<ToolUse>>,
    citations: Option<Vec<Citation>>,
) -> Result<Vec<Part>> {
    if text.is_some() && given.is_some() {
        return Err(one_form("parts"));
    }
    let mut written: Vec<Part> = reasoning.map(|text| Part::Reasoning { text }).into_iter().collect();
    for (at, tool) in tools.unwrap_or_default().into_iter().enumerate() {
        parts::check_json(&tool.args, &format!("tools[{at}].args"))?;
        parts::check_json(tool.result.as_ref().unwrap_or(&Value::Null), &format!("tools[{at}].result"))?;
        written.push(Part::ToolCall {
            tool_call_id: format!("tool-{at}"),
            tool: tool.name,
            state: ToolState::Completed,
            input: tool.args,
            output: tool.result,
            error: None,
            started_at: None,
            ended_at: None,
            parent_tool_call_id: None,
        });
    }
    written.extend(text.map(|text| Part::Text { text }));
    let given = given.unwrap_or_default();
    parts::check_parts(&given)?;
    written.extend(given);
    let sources = citations.unwrap_or_default().into_iter();
    written.extend(sources.map(|Citation { title, url, snippet }| Part::Source {
        title,
        url,
        snippet,
        source_id: None,
    }));
    check_count("parts", written.len(), limits::PARTS)?;
    check_bytes("text", &parts::text(&written), limits::MESSAGE_BYTES)?;
    Ok(written)
}

pub(super) fn empty() -> Error {
    Error::new(Code::EmptyMessage, "The message has no text and no file.").with("path", "text")
}

/// The message that an earlier try of the same request stored.
pub(super) fn find_request(tx: &mut Tx<'_>, thread: &Thread, request: Option<&str>) -> Result<Option<Message>> {
    let Some(request) = request else { return Ok(None) };
    check_bytes("requestId", request, limits::NAME_BYTES)?;
    tx.query(message::BY_REQUEST).eq(&thread.id).eq(request).first()
}

pub(super) fn check_version(thread: &Thread, seen: Option<u64>) -> Result<()> {
    match seen {
        Some(seen) if seen != thread.history_version => {
            let message = format!("the thread is at version {}, the writer saw {seen}", thread.history_version);
            Err(Error::new(Code::HistoryConflict, message).with("current", thread.history_version))
        }
        _ => Ok(()),
    }
}

/// A message of nothing but files is about the first of them.
fn title_of_file(said: &[Part]) -> Option<String> {
    let name = |part: &Part| if let Part::File { name, .. } = part { name.clone() } else { None };
    title::from_file(&said.iter().find_map(name)?)
}

/// What a user message does to its thread: it is active again, and gets a title if it has none.
pub(super) fn user_spoke(ctx: &CallContext, thread: &mut Thread, said: &[Part]) -> Result<()> {
    set_status(thread, ThreadStep::UserMessage)?;
    if thread.title_source == TitleSource::Placeholder
        && title::is_placeholder(&thread.title, &ctx.settings.default_title)
        && let Some(title) = title::from_message(&parts::text(said)).or_else(|| title_of_file(said))
    {
        thread.title = title;
        thread.title_source = TitleSource::Auto;
    }
    Ok(())
}
