//! Approvals: a runner asks, the owner of the thread decides, once.
//!
//! What is asked about is frozen when it is asked. The decision and its time are checked in the deciding
//! transaction; nobody but the person whose thread it is can decide, whatever key they hold.

mod decide;
mod expire;

pub use decide::{Claim, Decide, decide};
pub use expire::{expire, next_expiry};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spool_protocol::{ApprovalKind, ApprovalStatus, Code, Error, Event, Result};
use spool_store::{Id, Order, Page, PaginationOpts, Tx};

use super::{artifacts, external, runtime};
use crate::args::present;
use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::owned;
use crate::parts;
use crate::tables::{Approval, ApprovalView, Artifact, Generation, Thread, approval};
use crate::turn;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    pub generation_id: Id<Generation>,
    pub kind: ApprovalKind,
    /// With kind `tool_call`: the call. One that is not in the log yet is added to it.
    pub tool_call_id: Option<String>,
    pub tool: Option<String>,
    pub input: Option<Value>,
    /// With kind `plan`: the artifact, and the version that is to be approved; absent is the newest.
    pub artifact_id: Option<Id<Artifact>>,
    pub version: Option<u64>,
    /// With kind `question`: what is asked.
    pub question: Option<String>,
    /// With kind `question`: repeating it for the same answer gives the same approval.
    pub key: Option<String>,
    /// When it is too late, in milliseconds since the Unix epoch; null is never, absent the server's setting.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<u64>")]
    pub expires_at: Option<Option<u64>>,
}

/// What is asked about, checked and frozen.
#[derive(Default)]
struct Subject {
    key: String,
    hash: String,
    tool_call: Option<(String, String, Value)>,
    plan: Option<(Id<Artifact>, u64)>,
    question: Option<String>,
}

/// `approvals:request`: asking again for the same gives the same approval, whatever became of it.
pub fn request(tx: &mut Tx<'_>, ctx: &CallContext, args: Request) -> Result<ApprovalView> {
    let (thread, mut generation) = external::held(tx, ctx, &args.generation_id, None)?;
    let (kind, expires_at) = (args.kind, args.expires_at);
    let subject = subject(tx, ctx, &thread, args)?;
    if let Some(earlier) = tx.query::<Approval>(approval::BY_KEY).eq(&generation.id).eq(subject.key.as_str()).first()? {
        if earlier.kind == kind && earlier.hash == subject.hash {
            return Ok(ApprovalView::from(earlier));
        }
        let message = "This was asked before with other content. Ask with a name of its own.";
        return Err(Error::new(Code::AlreadyExists, message).with("approvalId", earlier.id.as_str()));
    }
    if generation.status.is_terminal() {
        let message = format!("The answer is over: {}. Nobody waits for a decision.", generation.status.as_str());
        return Err(Error::new(Code::LogSealed, message));
    }
    let waiting = tx.query::<Approval>(approval::BY_THREAD).eq(&thread.id).eq(true).take(limits::PENDING_APPROVALS)?;
    check_count("approvals", waiting.len() + 1, limits::PENDING_APPROVALS)?;
    let now = tx.now();
    let expires_at = expires_at.unwrap_or_else(|| ctx.settings.approval_ms.map(|ms| now + ms));
    if expires_at.is_some_and(|at| at <= now || at > now + limits::LONGEST_WAIT_MS) {
        let message = "expiresAt: expected a moment within a year from now, or null for never";
        return Err(Error::bad_request(message).with("path", "expiresAt"));
    }
    let call = subject.tool_call.clone();
    let (tool_call_id, tool, input) =
        subject.tool_call.map_or((None, None, None), |(id, tool, input)| (Some(id), Some(tool), Some(input)));
    let (artifact_id, version) = subject.plan.map_or((None, None), |(id, version)| (Some(id), Some(version)));
    let mut asked = Approval {
        id: tx.new_id(),
        creation_time: now as f64,
        user_id: thread.user_id,
        thread_id: thread.id,
        generation_id: generation.id.clone(),
        message_id: generation.message_id.clone(),
        kind,
        key: subject.key,
        tool_call_id,
        tool,
        input,
        artifact_id,
        version,
        question: subject.question,
        hash: subject.hash,
        status: ApprovalStatus::Pending,
        pending: true,
        due_at: expires_at,
        expires_at,
        asked_at_offset: None,
        reason: None,
        edited_input: None,
        edited_version: None,
        resolved_at: None,
        resolved_by: None,
        created_at: now,
    };
    let mut events = call.map(|call| missing_call(tx, &generation, call)).transpose()?.flatten().into_iter();
    let events: Vec<Event> = events.by_ref().chain([asked.event()]).collect();
    // A person may take longer than a runner may be silent: until the decision nobody misses the runner.
    let wait = expires_at.unwrap_or(now + limits::LONGEST_WAIT_MS) + ctx.settings.external_lease_ms;
    generation.lease_expires_at = generation.lease_expires_at.max(Some(wait));
    tx.put(&generation)?;
    asked.asked_at_offset = turn::tell(tx, generation, &events)?;
    tx.put(&asked)?;
    runtime::asked(tx, &asked)?;
    Ok(ApprovalView::from(asked))
}

fn wants(kind: &str, field: &str) -> Error {
    Error::bad_request(format!("{field}: an approval of kind {kind} needs it")).with("path", field)
}

fn subject(tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, args: Request) -> Result<Subject> {
    let foreign = match args.kind {
        ApprovalKind::ToolCall => [
            ("artifactId", args.artifact_id.is_some()),
            ("version", args.version.is_some()),
            ("question", args.question.is_some()),
            ("key", args.key.is_some()),
        ],
        ApprovalKind::Plan => [
            ("toolCallId", args.tool_call_id.is_some()),
            ("tool", args.tool.is_some() || args.input.is_some()),
            ("question", args.question.is_some()),
            ("key", args.key.is_some()),
        ],
        ApprovalKind::Question => [
            ("toolCallId", args.tool_call_id.is_some()),
            ("tool", args.tool.is_some() || args.input.is_some()),
            ("artifactId", args.artifact_id.is_some()),
            ("version", args.version.is_some()),
        ],
    };
    if let Some((field, _)) = foreign.into_iter().find(|(_, given)| *given) {
        return Err(Error::bad_request(format!("{field}: not with this kind of approval")).with("path", field));
    }
    match args.kind {
        ApprovalKind::ToolCall => {
            let id = args.tool_call_id.ok_or_else(|| wants("tool_call", "toolCallId"))?;
            let tool = args.tool.ok_or_else(|| wants("tool_call", "tool"))?;
            let input = args.input.ok_or_else(|| wants("tool_call", "input"))?;
            check_bytes("toolCallId", &id, limits::NAME_BYTES)?;
            check_bytes("tool", &tool, limits::NAME_BYTES)?;
            parts::check_json(&input, "input")?;
            let canonical = approval::canonical(&input);
            check_bytes("input", &canonical, limits::APPROVAL_BYTES)?;
            let hash = approval::hash(&canonical);
            Ok(Subject { key: format!("call:{id}"), hash, tool_call: Some((id, tool, input)), ..Subject::default() })
        }
        ApprovalKind::Plan => {
            let id = args.artifact_id.ok_or_else(|| wants("plan", "artifactId"))?;
            let (owner, artifact) = owned::artifact(tx, &ctx.principal, &id)?;
            if owner.id != thread.id {
                return Err(Error::not_found("artifact"));
            }
            let version = artifacts::version_of(tx, &artifact, args.version.unwrap_or(artifact.version))?;
            let key = format!("plan:{id}:{}", version.version);
            let plan = Some((id, version.version));
            Ok(Subject { key, hash: version.content_hash, plan, ..Subject::default() })
        }
        ApprovalKind::Question => {
            let question = args.question.ok_or_else(|| wants("question", "question"))?;
            check_bytes("question", &question, limits::REASON_BYTES)?;
            check_bytes("key", args.key.as_deref().unwrap_or(""), limits::NAME_BYTES)?;
            let hash = approval::hash(&question);
            let key = format!("ask:{}", args.key.as_deref().unwrap_or(&hash));
            Ok(Subject { key, hash, question: Some(question), ..Subject::default() })
        }
    }
}

/// The event of a call that the log does not have. One that it has must be the same call: what readers of
/// the log see is what is decided.
fn missing_call(
    tx: &mut Tx<'_>, generation: &Generation, (id, name, args): (String, String, Value),
) -> Result<Option<Event>> {
    for chunk in tx.log_read_all(generation.id.as_str())? {
        for event in turn::events_of(&chunk)? {
            if let Event::ToolStart { tool_call_id, tool, input } = event
                && tool_call_id == id
            {
                if tool == name && approval::canonical(&input) == approval::canonical(&args) {
                    return Ok(None);
                }
                let message = "The log has this call with another tool or other arguments.";
                return Err(Error::new(Code::AlreadyExists, message).with("toolCallId", id));
            }
        }
    }
    Ok(Some(Event::ToolStart { tool_call_id: id, tool: name, input: args }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub approval_id: Id<Approval>,
}

/// `approvals:get`
pub fn get(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<ApprovalView> {
    Ok(ApprovalView::from(owned::approval(tx, &ctx.principal, &args.approval_id)?.1))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListPage {
    pub pagination_opts: PaginationOpts,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListByThread {
    pub thread_id: Id<Thread>,
    pub pagination_opts: PaginationOpts,
}

/// A page of approvals, and how many wait for a decision.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Inbox {
    #[serde(flatten)]
    pub approvals: Page<ApprovalView>,
    pub pending_count: u64,
}

/// `approvals:list`: those of the caller, across threads, the pending first, then the newest.
pub fn list(tx: &mut Tx<'_>, ctx: &CallContext, args: ListPage) -> Result<Inbox> {
    let user = ctx.user()?.clone();
    let pending_count = tx.query::<Approval>(approval::BY_USER).eq(&user).eq(true).count()?;
    let scan = tx.query::<Approval>(approval::BY_USER).eq(&user).order(Order::Desc);
    let mut found = scan.paginate(&args.pagination_opts)?;
    let mut shown = Vec::with_capacity(found.page.len());
    for row in std::mem::take(&mut found.page) {
        // What was decided in a thread that was removed since is nobody's any more.
        if owned::find_thread(tx, &ctx.principal, &row.thread_id)?.is_some() {
            shown.push(row);
        }
    }
    found.page = shown;
    Ok(Inbox { approvals: found.map(ApprovalView::from), pending_count })
}

/// `approvals:listByThread`: the pending first, then the newest.
pub fn list_by_thread(tx: &mut Tx<'_>, ctx: &CallContext, args: ListByThread) -> Result<Inbox> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    let pending_count = tx.query::<Approval>(approval::BY_THREAD).eq(&thread.id).eq(true).count()?;
    let scan = tx.query::<Approval>(approval::BY_THREAD).eq(&thread.id).order(Order::Desc);
    let approvals = scan.paginate(&args.pagination_opts)?.map(ApprovalView::from);
    Ok(Inbox { approvals, pending_count })
}
