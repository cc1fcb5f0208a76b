//! What the driver says about calls of tools: which the model made, which one begins, how one ended, and
//! that nothing can be done before somebody decides. Every answer says how all calls of the step stand, so a
//! driver that was told half of it, or another one after a crash, has the whole picture.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spool_protocol::{ApprovalKind, ApprovalStatus, Code, Error, Event, Result, Usage};
use spool_store::{Id, Tx};

use super::{Told, holds, lost, prompts, steering};
use crate::audit;
use crate::builtin::{self, Done, Question};
use crate::context::CallContext;
use crate::functions::approvals::{self, Subject};
use crate::functions::{artifacts, notices};
use crate::limits;
use crate::owned;
use crate::parts::{ToolState, safe_json};
use crate::rules;
use crate::states::{GenerationStatus, GenerationStep};
use crate::tables::audit::Outcome;
use crate::tables::{Approval, CallError, Effect, Generation, Thread, ToolCall, approval};
use crate::turn::{self, calls};

/// The reason of the refusal to begin a call of an answer that is to stop.
pub const STOPPED: &str = "stop_requested";

/// A call as the model made it, and what the server's configuration says about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewCall {
    pub tool_call_id: String,
    pub tool: String,
    pub input: Value,
    pub verdict: Verdict,
}

/// Whether a call may run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Verdict {
    /// It changes nothing outside, so that anybody may begin it again.
    Run,
    /// Only after so many different people have agreed.
    Ask {
        approvers: u32,
        /// No rule can say otherwise.
        always: bool,
    },
    /// The caller may not: it is in the audit.
    Deny { message: String },
    /// It cannot: there is no such tool, or the arguments are not what it takes.
    Fail {
        message: String,
        #[serde(default)]
        code: CallError,
    },
}

/// How an answer stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Standing {
    /// Where the log ends.
    pub log_end: u64,
    /// The calls of the newest step.
    pub calls: Vec<CallState>,
    /// Somebody has said something that the answer is to read before its next step. False while calls are not over.
    pub steering: bool,
    /// The answer waits for people, and the driver has let it go.
    pub parked: bool,
}

/// How a call stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CallState {
    #[serde(rename = "_id")]
    pub id: Id<ToolCall>,
    pub tool_call_id: String,
    pub tool: String,
    pub input: Value,
    pub state: ToolState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Why it waits or waited for a person, if it does or did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<ApprovalKind>,
    /// Nobody answered in time.
    #[serde(default)]
    pub expired: bool,
    /// It changes nothing outside: whoever goes on may begin it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads: bool,
}

/// The lease of a driver.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Lease {
    pub generation_id: Id<Generation>,
    pub owner: String,
    pub epoch: u64,
    /// With the first write after a request: what the model was told with it.
    pub told: Option<Told>,
    /// With its first write: where the log ends, as the runner knows it.
    pub log_end: Option<u64>,
}

pub(super) fn held(tx: &mut Tx<'_>, ctx: &CallContext, lease: &Lease) -> Result<(Thread, Generation)> {
    let (thread, generation) = owned::generation(tx, &ctx.principal, &lease.generation_id)?;
    if !generation.status.is_held() || !holds(&generation, &lease.owner, lease.epoch) {
        return Err(lost());
    }
    Ok((thread, generation))
}

/// The same for whoever writes: with the first write the answer begins, and from then on it is never silently made
/// again.
pub(super) fn begun(tx: &mut Tx<'_>, ctx: &CallContext, lease: Lease) -> Result<(Thread, Generation)> {
    let (thread, mut generation) = held(tx, ctx, &lease)?;
    if let Some(expected) = lease.log_end {
        // A runner that was lost may have written since: appends know no leases.
        let end = turn::log_end(tx, &generation)?;
        if end != expected {
            let message = format!("The log ends at {end}, and the runner goes on at {expected}.");
            return Err(Error::new(Code::OffsetMismatch, message).with("end", end));
        }
    }
    if let Some(told) = lease.told {
        prompts::keep(tx, &generation, told)?;
    }
    if generation.status != GenerationStatus::Streaming {
        turn::start(tx, &mut generation)?;
    }
    Ok((thread, generation))
}

/// How the calls of the newest step stand.
pub(super) fn states(tx: &mut Tx<'_>, generation: &Generation) -> Result<Vec<CallState>> {
    let mut states = Vec::new();
    if generation.steps == 0 {
        return Ok(states);
    }
    for call in calls::of_step(tx, generation)? {
        let approval: Option<Approval> = call.approval_id.as_ref().map(|id| tx.get(id)).transpose()?.flatten();
        states.push(CallState {
            asked: approval.as_ref().map(|approval| approval.kind),
            expired: approval.is_some_and(|approval| approval.status == ApprovalStatus::Expired),
            reads: call.reads,
            id: call.id,
            tool_call_id: call.tool_call_id,
            tool: call.tool,
            input: call.input,
            state: call.state,
            output: call.output,
            error: call.error,
        });
    }
    Ok(states)
}

fn standing(tx: &mut Tx<'_>, generation: &Generation) -> Result<Standing> {
    let log_end = turn::log_end(tx, generation)?;
    let calls = states(tx, generation)?;
    // Nobody reads it before, and looking costs reading what was said.
    let over = calls.iter().all(|call| calls::is_over(call.state));
    let steering = over && !steering::waiting(tx, &generation.thread_id)?.is_empty();
    Ok(Standing { log_end, calls, steering, parked: false })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Submit {
    pub lease: Lease,
    /// The end of the step, which the log does not have yet.
    pub events: Vec<Event>,
    pub calls: Vec<NewCall>,
    /// The tokens of the answer so far.
    pub usage: Option<Usage>,
}

/// `driver:submit`: a step of the model ended with these calls, whose starts are in the log with this at the
/// latest. From here on they are rows, and whoever holds the answer carries them out.
pub fn submit(tx: &mut Tx<'_>, ctx: &CallContext, args: Submit) -> Result<Standing> {
    let (_, mut generation) = begun(tx, ctx, args.lease)?;
    limits::check_count("calls", args.calls.len(), limits::STEP_CALLS)?;
    generation.steps += 1;
    generation.usage = args.usage.or(generation.usage);
    let mut events = args.events;
    for (place, new) in args.calls.into_iter().enumerate() {
        let mut call = insert(tx, &generation, place, &new)?;
        events.extend(judge(tx, ctx, &generation, &mut call, new.verdict)?);
        if calls::is_over(call.state) {
            events.extend(artifacts::writing::cut(tx, &generation, &call.tool_call_id)?);
        }
        tx.put(&call)?;
    }
    generation.boundary = turn::log_end(tx, &generation)?;
    calls::append_step(tx, &mut generation, &events)?;
    tx.put(&generation)?;
    standing(tx, &generation)
}

fn insert(tx: &mut Tx<'_>, generation: &Generation, place: usize, new: &NewCall) -> Result<ToolCall> {
    let now = tx.now();
    Ok(ToolCall {
        id: tx.new_id(),
        creation_time: now as f64,
        thread_id: generation.thread_id.clone(),
        generation_id: generation.id.clone(),
        message_id: generation.message_id.clone(),
        user_id: generation.user_id.clone(),
        agent_id: generation.agent_id.clone(),
        effective_role: generation.effective_role.clone(),
        step: generation.steps,
        place: u32::try_from(place).unwrap_or(u32::MAX),
        tool_call_id: new.tool_call_id.clone(),
        tool: new.tool.clone(),
        input: safe_json(new.input.clone()),
        state: ToolState::Pending,
        output: None,
        output_bytes: None,
        error: None,
        error_code: None,
        approval_id: None,
        reads: false,
        untold: false,
        created_at: now,
        started_at: None,
        ended_at: None,
    })
}

/// What the configuration of this server says, then the rules of the user: neither makes the other looser.
fn judge(
    tx: &mut Tx<'_>, ctx: &CallContext, generation: &Generation, call: &mut ToolCall, verdict: Verdict,
) -> Result<Vec<Event>> {
    let (approvers, always) = match verdict {
        Verdict::Run => (0, false),
        Verdict::Ask { approvers, always } => (approvers, always || approvers > 1),
        Verdict::Deny { message } => return Ok(vec![deny(tx, ctx, call, message)?]),
        Verdict::Fail { message, code } => {
            return Ok(vec![calls::end_call(tx, call, calls::End::failed(code, message))?]);
        }
    };
    let always = always || ctx.settings.approvals.is_high_risk(&call.tool);
    let agent = generation.agent_id.as_deref();
    let ruled = rules::verdict_of(tx, &generation.user_id, agent, &call.tool, &call.input, always)?;
    let free = approvers == 0 && !always;
    if free && ruled.as_ref().is_none_or(|verdict| verdict.effect == Effect::Allow) {
        // Nobody had to be asked. It changes nothing, so that it may be begun again by somebody else: it runs from
        // here on.
        call.reads = true;
        call.state = ToolState::Running;
        call.started_at = Some(tx.now());
        return Ok(Vec::new());
    }
    let subject = Subject {
        // By its row: models use the names of calls again.
        key: format!("call:{}", call.id),
        hash: approval::hash(&approval::canonical(&call.input)),
        tool_call: Some((call.tool_call_id.clone(), call.tool.clone(), call.input.clone())),
        agent_id: generation.agent_id.clone(),
        high_risk: always,
        approvers_needed: approvers,
        ..Subject::default()
    };
    match ruled {
        Some(verdict) if verdict.effect != Effect::Ask => {
            let ruled = approvals::decide_by_rule(tx, ctx, generation, subject, verdict)?;
            call.approval_id = Some(ruled.id.clone());
            if let Some(reason) = &ruled.reason {
                // Readers of the log see the call end with the approval, as after the refusal of a person.
                deny(tx, ctx, call, reason.clone())?;
            }
            Ok(vec![ruled.event()])
        }
        _ => Ok(vec![ask(tx, ctx, generation, call, ApprovalKind::ToolCall, subject)?]),
    }
}

/// The call never runs, and the audit says so.
fn deny(tx: &mut Tx<'_>, ctx: &CallContext, call: &mut ToolCall, message: String) -> Result<Event> {
    audit::record(tx, &ctx.acting_for(&call.user_id), "tool.call", call.id.as_str(), Outcome::Denied)?;
    calls::end_call(tx, call, calls::End::denied(CallError::Forbidden, message))
}

/// The call waits for a person. The caller stores it.
fn ask(
    tx: &mut Tx<'_>, ctx: &CallContext, generation: &Generation, call: &mut ToolCall, kind: ApprovalKind,
    subject: Subject,
) -> Result<Event> {
    let expires_at = approvals::usual_expiry(tx, ctx);
    let asked = approvals::open(tx, ctx, generation, kind, subject, expires_at)?;
    notices::announce(tx, ctx, &asked)?;
    call.state = ToolState::AwaitingApproval;
    call.approval_id = Some(asked.id.clone());
    Ok(asked.event())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OneCall {
    pub lease: Lease,
    pub call_id: Id<ToolCall>,
}

fn call_of(tx: &mut Tx<'_>, generation: &Generation, id: &Id<ToolCall>) -> Result<ToolCall> {
    let call = tx.get(id)?.filter(|call: &ToolCall| call.generation_id == generation.id);
    call.ok_or_else(|| Error::not_found("tool call"))
}

/// Nothing begins any more in an answer that somebody stopped, or whose thread was removed: then the turn ends.
fn check_wanted(thread: &Thread, generation: &Generation) -> Result<()> {
    if thread.deleted_at.is_none() && generation.stop_requested_at.is_none() {
        return Ok(());
    }
    Err(Error::new(Code::Forbidden, "Nobody wants this answer any more.").with("reason", STOPPED))
}

/// `driver:runCall`: true if it is to run now. From here on it may have had its effect.
pub fn run_call(tx: &mut Tx<'_>, ctx: &CallContext, args: OneCall) -> Result<bool> {
    let (thread, generation) = begun(tx, ctx, args.lease)?;
    let mut call = call_of(tx, &generation, &args.call_id)?;
    if call.state != ToolState::Pending {
        return Ok(false);
    }
    check_wanted(&thread, &generation)?;
    call.state = ToolState::Running;
    call.started_at = Some(tx.now());
    tx.put(&call)?;
    Ok(true)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndCall {
    pub lease: Lease,
    pub call_id: Id<ToolCall>,
    pub output: Option<Value>,
    pub error: Option<String>,
    /// With `error`; absent is `failed`.
    pub error_code: Option<CallError>,
    /// It did not run, because it may not: it is in the audit. `error` says why.
    #[serde(default)]
    pub denied: bool,
    /// The whole result as text, where `output` is only its beginning.
    pub whole: Option<String>,
}

/// `driver:endCall`: the first end counts.
pub fn end_call(tx: &mut Tx<'_>, ctx: &CallContext, args: EndCall) -> Result<Standing> {
    let (_, mut generation) = begun(tx, ctx, args.lease)?;
    let mut call = call_of(tx, &generation, &args.call_id)?;
    if calls::is_over(call.state) {
        return standing(tx, &generation);
    }
    if let Some(whole) = &args.whole {
        calls::keep_whole(tx, &mut call, whole)?;
    }
    let ended = match args.error {
        Some(error) if args.denied => deny(tx, ctx, &mut call, error)?,
        Some(error) => {
            let failed = calls::End::failed(args.error_code.unwrap_or_default(), error);
            let end = calls::End { output: args.output.map(safe_json), ..failed };
            calls::end_call(tx, &mut call, end)?
        }
        None => {
            let end = calls::End::done(safe_json(args.output.unwrap_or(Value::Null)));
            calls::end_call(tx, &mut call, end)?
        }
    };
    let mut events = vec![ended];
    events.extend(artifacts::writing::cut(tx, &generation, &call.tool_call_id)?);
    calls::append_step(tx, &mut generation, &events)?;
    tx.put(&generation)?;
    standing(tx, &generation)
}

/// `driver:runBuiltIn`: a tool of the server itself, in the transaction that ends its call. What the tool refuses
/// fails the transaction, with `call` in the data of the error: then `driver:endCall` says so.
pub fn run_built_in(tx: &mut Tx<'_>, ctx: &CallContext, args: OneCall) -> Result<Standing> {
    let (thread, mut generation) = begun(tx, ctx, args.lease)?;
    let mut row = call_of(tx, &generation, &args.call_id)?;
    if !matches!(row.state, ToolState::Pending | ToolState::Running) {
        return standing(tx, &generation);
    }
    check_wanted(&thread, &generation)?;
    row.started_at.get_or_insert(tx.now());
    let found = builtin::find(&row.tool).ok_or_else(|| Error::not_found("tool"))?;
    let call = builtin::Call {
        thread,
        generation: generation.clone(),
        tool_call_id: row.tool_call_id.clone(),
        agent_id: generation.agent_id.clone(),
    };
    let as_user = ctx.acting_for(&generation.user_id);
    let refused = |error: Error| error.with("call", args.call_id.as_str());
    let events = match (found.run)(tx, &as_user, &call, row.input.clone()).map_err(refused)? {
        Done::Output { output, mut events } => {
            events.push(calls::end_call(tx, &mut row, calls::End::done(output))?);
            events
        }
        Done::Ask(mut question) => {
            let kind = question.kind;
            let mut events = std::mem::take(&mut question.events);
            let subject = subject_of(tx, &row, question)?;
            events.push(ask(tx, ctx, &generation, &mut row, kind, subject)?);
            tx.put(&row)?;
            events
        }
    };
    calls::append_step(tx, &mut generation, &events)?;
    tx.put(&generation)?;
    standing(tx, &generation)
}

/// What a built-in tool asks a person.
fn subject_of(tx: &mut Tx<'_>, row: &ToolCall, question: Question) -> Result<Subject> {
    let hash = match &question.plan {
        Some((artifact, version)) => {
            let plan = tx.get(artifact)?.ok_or_else(|| Error::not_found("artifact"))?;
            artifacts::version_of(tx, &plan, *version)?.content_hash
        }
        None => approval::hash(question.question.as_deref().unwrap_or_default()),
    };
    Ok(Subject {
        // Another name than that of the question whether the call may run, which may have been asked before.
        key: format!("asked:{}", row.id),
        hash,
        plan: question.plan,
        question: question.question,
        options: question.options,
        agent_id: row.agent_id.clone(),
        ..Subject::default()
    })
}

/// `driver:settle`: tells of decisions, and lets the answer go if it can only wait. `park` is false while calls
/// run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settle {
    pub lease: Lease,
    pub park: bool,
}

/// `driver:settle`
pub fn settle(tx: &mut Tx<'_>, ctx: &CallContext, args: Settle) -> Result<Standing> {
    let (_, mut generation) = begun(tx, ctx, args.lease)?;
    let events = calls::tell_decisions(tx, &generation)?;
    calls::append_step(tx, &mut generation, &events)?;
    let mut standing = standing(tx, &generation)?;
    let waits = standing.calls.iter().any(|call| call.state == ToolState::AwaitingApproval);
    let works = |call: &CallState| matches!(call.state, ToolState::Pending | ToolState::Running);
    standing.parked = args.park && waits && !standing.calls.iter().any(works);
    if standing.parked {
        generation.status = generation.status.step(GenerationStep::Park)?;
        generation.lease_expires_at = None;
    }
    tx.put(&generation)?;
    Ok(standing)
}
