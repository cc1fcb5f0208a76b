//! Approvals: a runner asks, the owner of the thread decides, once.
//!
//! What is asked about is frozen when it is asked. The decision and its time are checked in the deciding
//! transaction; nobody but the person whose thread it is can decide, whatever key they hold, and those whom
//! [`crate::owned::voting`] lets in where several people decide.

mod batch;
mod decide;
mod expire;
mod inbox;

pub use batch::{DecideMany, Decided, decide_many};
pub use decide::{Claim, Decide, Remember, Scope, decide};
pub use expire::{expire, next_expiry};
pub use inbox::{ApprovalInbox, List, MarkSeen, list, mark_seen};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spool_protocol::{ApprovalKind, ApprovalStatus, Code, Error, Event, Result};
use spool_store::{Id, Order, Page, PaginationOpts, Tx};

use super::{artifacts, external, notices, runtime};
use crate::args::present;
use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::owned::{self, voting};
use crate::parts;
use crate::principal::Principal;
use crate::rules;
use crate::states::ApprovalStep;
use crate::tables::{Approval, ApprovalView, Artifact, ArtifactContent, Effect, Generation, Runner, Thread, approval};
use crate::turn;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Request {
    pub generation_id: Id<Generation>,
    /// Of a worker: what `workers:connect` gave it.
    pub epoch: Option<u64>,
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
    /// With kind `question`: answers to choose from. The person may give another.
    #[serde(default)]
    pub options: Vec<String>,
    /// With kind `question`: repeating it for the same answer gives the same approval.
    pub key: Option<String>,
    /// When it is too late, in milliseconds since the Unix epoch; null is never, absent the server's setting.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<u64>")]
    pub expires_at: Option<Option<u64>>,
    /// With kind `tool_call` or `plan`: how many people have to approve, 1 to 20; at least as many as the
    /// configuration wants for the tool.
    pub approvers_needed: Option<u32>,
}

/// What is asked about, checked and frozen.
#[derive(Default)]
pub(crate) struct Subject {
    /// What the asker calls it within the answer.
    pub key: String,
    pub hash: String,
    /// The id of the call, its tool and its arguments.
    pub tool_call: Option<(String, String, Value)>,
    pub plan: Option<(Id<Artifact>, u64)>,
    pub question: Option<String>,
    pub options: Vec<String>,
    pub agent_id: Option<String>,
    pub high_risk: bool,
    /// 0 counts as 1.
    pub approvers_needed: u32,
}

/// `approvals:request`: asking again for the same gives the same approval, whatever became of it. A rule of the
/// owner may have the answer already; then nobody is asked.
pub fn request(tx: &mut Tx<'_>, ctx: &CallContext, args: Request) -> Result<ApprovalView> {
    let (thread, mut generation) = external::held(tx, ctx, &args.generation_id, args.epoch)?;
    let (kind, expires_at) = (args.kind, args.expires_at);
    // What a backend called itself when it opened the answer, else the assistant of the thread.
    let agent_id = turn::message_of(tx, &generation)?.agent_id;
    let subject = Subject { agent_id, ..subject(tx, ctx, &thread, args)? };
    if let Some(earlier) = tx.query::<Approval>(approval::BY_KEY).eq(&generation.id).eq(subject.key.as_str()).first()? {
        if earlier.kind == kind && earlier.hash == subject.hash {
            return shown(tx, earlier);
        }
        let message = "This was asked before with other content. Ask with a name of its own.";
        return Err(Error::new(Code::AlreadyExists, message).with("approvalId", earlier.id.as_str()));
    }
    if generation.status.is_terminal() {
        let message = format!("The answer is over: {}. Nobody waits for a decision.", generation.status.as_str());
        return Err(Error::new(Code::LogSealed, message));
    }
    let call = subject.tool_call.clone();
    let expires_at = expires_at.unwrap_or_else(|| usual_expiry(tx, ctx));
    let mut asked = freeze(tx, ctx, &generation, kind, subject, expires_at)?;
    let missing = call.map(|call| missing_call(tx, &generation, call)).transpose()?.flatten();
    let ruled = match (&asked.tool, &asked.input) {
        (Some(tool), Some(input)) => {
            let high_risk = asked.high_risk || asked.approvers_needed > 1;
            rules::verdict_of(tx, &asked.user_id, asked.agent_id.as_deref(), tool, input, high_risk)?
        }
        _ => None,
    };
    if let Some(verdict) = ruled.filter(|verdict| verdict.effect != Effect::Ask) {
        if let Some(missing) = missing {
            turn::tell(tx, generation, &[missing])?;
        }
        resolve_by_rule(tx, &mut asked, verdict)?;
        return shown(tx, asked);
    }
    keep(tx, &asked)?;
    let events: Vec<Event> = missing.into_iter().chain([asked.event()]).collect();
    // A person may take longer than a backend may be silent: until the decision nobody misses it. A worker says
    // all the while that it is there.
    if generation.runner == Runner::External {
        let wait = expires_at.unwrap_or(tx.now() + limits::LONGEST_WAIT_MS) + ctx.settings.external_lease_ms;
        generation.lease_expires_at = generation.lease_expires_at.max(Some(wait));
        tx.put(&generation)?;
    }
    asked.asked_at_offset = turn::tell(tx, generation, &events)?;
    tx.put(&asked)?;
    runtime::asked(tx, &asked)?;
    notices::announce(tx, ctx, &asked)?;
    shown(tx, asked)
}

/// When an approval is over of which nobody says it, in milliseconds since the Unix epoch; nothing is never.
pub(crate) fn usual_expiry(tx: &Tx<'_>, ctx: &CallContext) -> Option<u64> {
    ctx.settings.approval_ms.map(|ms| tx.now() + ms)
}

/// Stores a new pending approval of this answer. The caller has looked for an earlier one of the same key, asks
/// the rules before, tells the log, and calls [`notices::announce`] if somebody really waits.
pub(crate) fn open(
    tx: &mut Tx<'_>, ctx: &CallContext, generation: &Generation, kind: ApprovalKind, subject: Subject,
    expires_at: Option<u64>,
) -> Result<Approval> {
    let asked = freeze(tx, ctx, generation, kind, subject, expires_at)?;
    keep(tx, &asked)?;
    Ok(asked)
}

fn keep(tx: &mut Tx<'_>, asked: &Approval) -> Result<()> {
    let waiting = tx.query::<Approval>(approval::BY_THREAD).eq(&asked.thread_id).eq(true);
    let waiting = waiting.count_up_to(limits::PENDING_APPROVALS)?;
    check_count("approvals", waiting as usize + 1, limits::PENDING_APPROVALS)?;
    tx.put(asked)
}

/// A call that a rule of the owner has decided, as an approval that nobody waited for.
pub(crate) fn decide_by_rule(
    tx: &mut Tx<'_>, ctx: &CallContext, generation: &Generation, subject: Subject, verdict: rules::Verdict,
) -> Result<Approval> {
    let mut asked = freeze(tx, ctx, generation, ApprovalKind::ToolCall, subject, None)?;
    resolve_by_rule(tx, &mut asked, verdict)?;
    Ok(asked)
}

fn resolve_by_rule(tx: &mut Tx<'_>, asked: &mut Approval, verdict: rules::Verdict) -> Result<()> {
    let step = if verdict.effect == Effect::Allow { ApprovalStep::Approve } else { ApprovalStep::Reject };
    if step == ApprovalStep::Reject {
        asked.reason = Some("A rule of the owner refuses it.".to_owned());
    }
    asked.rule_id = Some(verdict.rule);
    asked.resolved_by = Some(asked.user_id.clone());
    turn::resolve(tx, asked, step)
}

/// What is asked about, as the configuration wants it decided. Not stored yet.
fn freeze(
    tx: &mut Tx<'_>, ctx: &CallContext, generation: &Generation, kind: ApprovalKind, subject: Subject,
    expires_at: Option<u64>,
) -> Result<Approval> {
    let now = tx.now();
    if expires_at.is_some_and(|at| at <= now || at > now + limits::LONGEST_WAIT_MS) {
        let message = "expiresAt: expected a moment within a year from now, or null for never";
        return Err(Error::bad_request(message).with("path", "expiresAt"));
    }
    let thread = tx.get(&generation.thread_id)?.ok_or_else(|| Error::not_found("thread"))?;
    let (tool_call_id, tool, input) =
        subject.tool_call.map_or((None, None, None), |(id, tool, input)| (Some(id), Some(tool), Some(input)));
    let (artifact_id, version) = subject.plan.map_or((None, None), |(id, version)| (Some(id), Some(version)));
    let policy = &ctx.settings.approvals;
    let high_risk = subject.high_risk || tool.as_ref().is_some_and(|tool| policy.is_high_risk(tool));
    let wanted = if high_risk { policy.approvers } else { 1 };
    Ok(Approval {
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
        options: subject.options,
        agent_id: subject.agent_id,
        high_risk,
        approvers_needed: subject.approvers_needed.max(wanted).max(1),
        votes: Vec::new(),
        hash: subject.hash,
        status: ApprovalStatus::Pending,
        pending: true,
        due_at: expires_at,
        expires_at,
        asked_at_offset: None,
        reason: None,
        edited_input: None,
        edited_version: None,
        answer: None,
        rule_id: None,
        resolved_at: None,
        resolved_by: None,
        created_at: now,
    })
}

/// The view of an approval, with the names of those who decided as they are now.
pub(crate) fn shown(tx: &mut Tx<'_>, approval: Approval) -> Result<ApprovalView> {
    named(tx, vec![ApprovalView::from(approval)]).map(|mut views| views.remove(0))
}

/// Adds the names of those who decided; each person is looked up once.
fn named(tx: &mut Tx<'_>, mut views: Vec<ApprovalView>) -> Result<Vec<ApprovalView>> {
    let mut names: BTreeMap<String, Option<String>> = BTreeMap::new();
    for vote in views.iter_mut().flat_map(|view| &mut view.votes) {
        vote.name = match names.get(vote.user_id.as_str()) {
            Some(name) => name.clone(),
            None => {
                let name = tx.get(&vote.user_id)?.and_then(|person| person.name);
                names.insert(vote.user_id.as_str().to_owned(), name.clone());
                name
            }
        };
    }
    Ok(views)
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
            ("options", !args.options.is_empty()),
            ("key", args.key.is_some()),
        ],
        ApprovalKind::Plan => [
            ("toolCallId", args.tool_call_id.is_some()),
            ("tool", args.tool.is_some() || args.input.is_some()),
            ("question", args.question.is_some()),
            ("options", !args.options.is_empty()),
            ("key", args.key.is_some()),
        ],
        ApprovalKind::Question => [
            ("toolCallId", args.tool_call_id.is_some()),
            ("tool", args.tool.is_some() || args.input.is_some()),
            ("artifactId", args.artifact_id.is_some()),
            ("version", args.version.is_some()),
            ("approversNeeded", args.approvers_needed.is_some()),
        ],
    };
    if let Some((field, _)) = foreign.into_iter().find(|(_, given)| *given) {
        return Err(Error::bad_request(format!("{field}: not with this kind of approval")).with("path", field));
    }
    let approvers_needed = args.approvers_needed.unwrap_or(1);
    if !(1..=limits::APPROVERS).contains(&approvers_needed) {
        let message = format!("approversNeeded: expected 1 to {}", limits::APPROVERS);
        return Err(Error::bad_request(message).with("path", "approversNeeded"));
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
            let key = format!("call:{id}");
            let tool_call = Some((id, tool, input));
            Ok(Subject { key, hash, tool_call, approvers_needed, ..Subject::default() })
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
            Ok(Subject { key, hash: version.content_hash, plan, approvers_needed, ..Subject::default() })
        }
        ApprovalKind::Question => {
            let question = args.question.ok_or_else(|| wants("question", "question"))?;
            check_bytes("question", &question, limits::REASON_BYTES)?;
            check_bytes("key", args.key.as_deref().unwrap_or(""), limits::NAME_BYTES)?;
            check_options(&args.options)?;
            // Without options as ever: repeated requests of before find their approval.
            let asked = std::iter::once(&question).chain(&args.options).cloned().collect::<Vec<_>>().join("\n");
            let hash = approval::hash(&asked);
            let key = format!("ask:{}", args.key.as_deref().unwrap_or(&hash));
            Ok(Subject { key, hash, question: Some(question), options: args.options, ..Subject::default() })
        }
    }
}

fn check_options(options: &[String]) -> Result<()> {
    check_count("options", options.len(), limits::OPTIONS)?;
    for (at, option) in options.iter().enumerate() {
        let field = format!("options[{at}]");
        if option.trim().is_empty() {
            return Err(Error::bad_request(format!("{field}: it is empty")).with("path", field));
        }
        check_bytes(&field, option, limits::TITLE_BYTES)?;
    }
    Ok(())
}

/// The event of a call that the log does not have. One that it has must be the same call: what readers of
/// the log see is what is decided.
fn missing_call(
    tx: &mut Tx<'_>, generation: &Generation, (id, tool, input): (String, String, Value),
) -> Result<Option<Event>> {
    match told_call(tx, generation, &id)? {
        None => Ok(Some(Event::ToolStart { tool_call_id: id, tool, input })),
        Some(told) if told == (tool, input) => Ok(None),
        Some(_) => {
            let message = "The log has this call with another tool or other arguments.";
            Err(Error::new(Code::AlreadyExists, message).with("toolCallId", id))
        }
    }
}

/// The newest call of this id that the end of the log has: a runner asks about what it has just told. Everything
/// else waits while it is looked for, so no more than [`limits::CALL_SEARCH_BYTES`] are read, the newest first.
fn told_call(tx: &mut Tx<'_>, generation: &Generation, id: &str) -> Result<Option<(String, Value)>> {
    let (log, quoted) = (generation.id.as_str(), Value::from(id).to_string());
    let (mut to, mut window, mut room) = (tx.log_end(log)?.end, 1, limits::CALL_SEARCH_BYTES);
    while to > 0 && room > 0 {
        let from = to.saturating_sub(window);
        let (mut at, mut found) = (from, None);
        while at < to && room > 0 {
            let chunks = tx.log_read(log, at)?;
            let Some(last) = chunks.last() else { break };
            at = last.end;
            for chunk in chunks.iter().take_while(|chunk| chunk.start < to) {
                room = room.saturating_sub(chunk.data.len());
                if !chunk.data.contains(&quoted) {
                    continue;
                }
                for event in turn::events_of(chunk)? {
                    match event {
                        Event::ToolStart { tool_call_id, tool, input } if tool_call_id == id => {
                            found = Some((tool, input));
                        }
                        _ => {}
                    }
                }
            }
        }
        if found.is_some() {
            return Ok(found);
        }
        (to, window) = (from, window * 2);
    }
    Ok(None)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OfAnswer {
    pub generation_id: Id<Generation>,
    /// Of a worker: what `workers:connect` gave it.
    pub epoch: Option<u64>,
}

/// `approvals:ofAnswer`: what whoever makes an answer asked for it, and what became of that. What is pending comes
/// last; of what is decided the oldest are left out where all together would be too large.
pub fn of_answer(tx: &mut Tx<'_>, ctx: &CallContext, args: OfAnswer) -> Result<Vec<ApprovalView>> {
    let (_, generation) = external::held(tx, ctx, &args.generation_id, args.epoch)?;
    let asked = tx.query::<Approval>(approval::BY_GENERATION).eq(&generation.id).order(Order::Desc);
    let asked = asked.take_within(limits::ANSWER_APPROVALS, limits::ANSWER_APPROVALS_BYTES)?;
    named(tx, asked.into_iter().rev().map(ApprovalView::from).collect())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub approval_id: Id<Approval>,
}

/// `approvals:get`: to people who decide about a plan and do not see the thread, with the text that they decide
/// about.
pub fn get(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<ApprovalView> {
    let (thread, found) = voting::approval(tx, ctx, &args.approval_id)?;
    let closed = matches!(&ctx.principal, Principal::User { user } if *user != thread.user_id);
    let content = if closed { frozen_plan(tx, &found)? } else { None };
    let view = shown(tx, found)?;
    Ok(ApprovalView { content, ..view })
}

fn frozen_plan(tx: &mut Tx<'_>, asked: &Approval) -> Result<Option<String>> {
    let (Some(artifact), Some(version)) = (&asked.artifact_id, asked.version) else { return Ok(None) };
    let Some(artifact) = tx.get(artifact)? else { return Ok(None) };
    let version = artifacts::version_of(tx, &artifact, version)?;
    let content: Option<ArtifactContent> = tx.get(&version.content_id)?;
    Ok(content.map(|content| content.content))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListByThread {
    pub thread_id: Id<Thread>,
    pub pagination_opts: PaginationOpts,
}

/// A page of the approvals of a thread, and how many of them wait for a decision.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ThreadApprovals {
    #[serde(flatten)]
    pub approvals: Page<ApprovalView>,
    pub pending_count: u64,
}

/// `approvals:listByThread`: the pending first, then the newest.
pub fn list_by_thread(tx: &mut Tx<'_>, ctx: &CallContext, args: ListByThread) -> Result<ThreadApprovals> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    let pending_count = tx.query::<Approval>(approval::BY_THREAD).eq(&thread.id).eq(true).count()?;
    let scan = tx.query::<Approval>(approval::BY_THREAD).eq(&thread.id).order(Order::Desc);
    let found = scan.paginate(&args.pagination_opts)?.map(ApprovalView::listed);
    Ok(ThreadApprovals { approvals: named_page(tx, found)?, pending_count })
}

fn named_page(tx: &mut Tx<'_>, mut page: Page<ApprovalView>) -> Result<Page<ApprovalView>> {
    page.page = named(tx, std::mem::take(&mut page.page))?;
    Ok(page)
}
