//! Runtime sessions: what a thread is to the program that works on it, and the phases of its run.
//!
//! A run that plans before it acts goes `planning` → `awaiting_approval` → `executing` → `done`. Its phase moves
//! in the transaction of what moves it: the request for an approval, the decision, its expiry. So it is the same
//! after any crash. Where a person is signed in is [`super::sessions`].

mod phase;

pub(crate) use phase::{PhaseChange, advance, asked, carried_out, check_decidable, hosted, is_phased, resolved};

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::{Code, Error, Event, Result};
use spool_store::{Id, Tx};

use super::external;
use crate::context::CallContext;
use crate::limits::{self, check_bytes};
use crate::owned;
use crate::states::{ArtifactStatus, Phase, PhaseStep, SessionStatus, SessionStep};
use crate::tables::{Artifact, Generation, RuntimeSession, RuntimeSessionView, Thread, runtime_session};
use crate::turn;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Find {
    pub thread_id: Id<Thread>,
    /// Absent is the one that was used last.
    pub runtime: Option<String>,
}

/// `sessions:getByThread`: null if none is open.
pub fn get_by_thread(tx: &mut Tx<'_>, ctx: &CallContext, args: Find) -> Result<Option<RuntimeSessionView>> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    let found = match args.runtime {
        Some(runtime) => find(tx, &thread.id, &runtime)?,
        None => open_in(tx, &thread.id)?.into_iter().next(),
    };
    Ok(found.map(|session| shown(ctx, session)))
}

fn shown(ctx: &CallContext, session: RuntimeSession) -> RuntimeSessionView {
    RuntimeSessionView::of(session, &ctx.settings.info.phases)
}

/// The session of this runtime that is not over.
fn find(tx: &mut Tx<'_>, thread: &Id<Thread>, runtime: &str) -> Result<Option<RuntimeSession>> {
    tx.query::<RuntimeSession>(runtime_session::BY_OPEN).eq(thread).eq(runtime).first()
}

/// The sessions of a thread that are not over, used last first.
fn open_in(tx: &mut Tx<'_>, thread: &Id<Thread>) -> Result<Vec<RuntimeSession>> {
    let mut open = tx.query::<RuntimeSession>(runtime_session::BY_OPEN).eq(thread).take(limits::LISTED)?;
    open.sort_by_key(|row| std::cmp::Reverse((row.last_used_at, row.id.as_str().to_owned())));
    Ok(open)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Open {
    pub thread_id: Id<Thread>,
    /// Which program: `claude-agent-sdk`, `opencode`, or a word of the backend's own.
    pub runtime: String,
    /// What the runtime calls its session, if that is known.
    pub external_id: Option<String>,
    /// Whether runs of this session plan, ask and execute: a new one begins in `planning`.
    pub phases: Option<bool>,
    /// Where the runtime works, and who provides that.
    pub mode: Option<String>,
    pub provider: Option<String>,
}

/// `sessions:open`: the open session of this runtime is taken up again, and a run that is done begins to plan.
pub fn open(tx: &mut Tx<'_>, ctx: &CallContext, args: Open) -> Result<RuntimeSessionView> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    if args.runtime.trim().is_empty() || args.runtime == runtime_session::HOSTED {
        return Err(Error::bad_request("runtime: expected the name of a runtime outside").with("path", "runtime"));
    }
    check_bytes("runtime", &args.runtime, limits::NAME_BYTES)?;
    let mut session = match find(tx, &thread.id, &args.runtime)? {
        Some(session) => session,
        None => new(tx, &thread.id, args.runtime),
    };
    rename(&mut session, args.external_id, args.mode, args.provider)?;
    // What is lost stays so until the runtime has another session for it.
    if session.status == SessionStatus::Idle {
        session.status = session.status.step(SessionStep::Use)?;
    }
    if args.phases == Some(true) || session.phase.is_some() {
        PhaseChange::Begin.apply(&mut session)?;
    }
    save(tx, session).map(|session| shown(ctx, session))
}

/// A session that is not stored yet.
fn new(tx: &mut Tx<'_>, thread: &Id<Thread>, runtime: String) -> RuntimeSession {
    let now = tx.now();
    RuntimeSession {
        id: tx.new_id(),
        creation_time: now as f64,
        thread_id: thread.clone(),
        runtime,
        open_in: Some(thread.clone()),
        status: SessionStatus::Active,
        external_id: None,
        phase: None,
        plan_artifact_id: None,
        plan_version: None,
        rejection: None,
        mode: None,
        provider: None,
        last_used_at: now,
        created_at: now,
        updated_at: now,
    }
}

/// Another name makes a session that was lost a good one again.
fn rename(
    session: &mut RuntimeSession, external_id: Option<String>, mode: Option<String>, provider: Option<String>,
) -> Result<()> {
    for (field, name) in [("externalId", &external_id), ("mode", &mode), ("provider", &provider)] {
        check_bytes(field, name.as_deref().unwrap_or(""), limits::NAME_BYTES)?;
    }
    if external_id.is_some() && external_id != session.external_id {
        session.status = session.status.step(SessionStep::Use)?;
        session.external_id = external_id;
    }
    session.mode = mode.or(session.mode.take());
    session.provider = provider.or(session.provider.take());
    Ok(())
}

fn save(tx: &mut Tx<'_>, mut session: RuntimeSession) -> Result<RuntimeSession> {
    let now = tx.now();
    session.open_in = (!session.status.is_over()).then(|| session.thread_id.clone());
    session.last_used_at = now;
    session.updated_at = now;
    tx.put(&session)?;
    Ok(session)
}

/// What a backend can say of its session; the other states have functions of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    Active,
    Idle,
    DeletedUpstream,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Update {
    pub thread_id: Id<Thread>,
    pub runtime: String,
    pub external_id: Option<String>,
    pub status: Option<Told>,
    /// The next phase of the run; one that does not follow is `invalid_phase`.
    pub phase: Option<Phase>,
    /// With phase `awaiting_approval`: the plan, and the version that is to be approved; absent is the newest.
    pub plan_artifact_id: Option<Id<Artifact>>,
    pub plan_version: Option<u64>,
    /// With phase `planning`: why the plan is not carried out.
    pub rejection: Option<String>,
    pub mode: Option<String>,
    pub provider: Option<String>,
}

/// `sessions:update`
pub fn update(tx: &mut Tx<'_>, ctx: &CallContext, args: Update) -> Result<RuntimeSessionView> {
    let (thread, mut session) = session_of(tx, ctx, &args.thread_id, &args.runtime)?;
    rename(&mut session, args.external_id, args.mode, args.provider)?;
    let step = args.status.map(|told| match told {
        Told::Active => SessionStep::Use,
        Told::Idle => SessionStep::Rest,
        Told::DeletedUpstream => SessionStep::Delete,
    });
    if let Some(step) = step {
        session.status = session.status.step(step)?;
    }
    let plan = args.plan_artifact_id.map(|id| plan_of(tx, ctx, &thread, &id, args.plan_version)).transpose()?;
    match args.phase {
        Some(phase) => go_to(tx, &mut session, phase, plan, args.rejection)?,
        None if plan.is_some() || args.rejection.is_some() => {
            return Err(Error::bad_request("phase: a plan and a rejection come with a phase").with("path", "phase"));
        }
        None => {}
    }
    save(tx, session).map(|session| shown(ctx, session))
}

fn session_of(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &Id<Thread>, runtime: &str,
) -> Result<(Thread, RuntimeSession)> {
    let thread = owned::thread(tx, &ctx.principal, thread)?;
    let session = find(tx, &thread.id, runtime)?.filter(|session| session.runtime != runtime_session::HOSTED);
    Ok((thread, session.ok_or_else(|| Error::not_found("session"))?))
}

/// A version of an artifact of this thread.
fn plan_of(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, id: &Id<Artifact>, version: Option<u64>,
) -> Result<(Id<Artifact>, u64)> {
    let (owner, artifact) = owned::artifact(tx, &ctx.principal, id)?;
    if owner.id != thread.id {
        return Err(Error::not_found("artifact"));
    }
    let version = super::artifacts::version_of(tx, &artifact, version.unwrap_or(artifact.version))?;
    Ok((artifact.id, version.version))
}

/// A backend names the phase: only one that follows, and nothing is executed that nobody approved.
fn go_to(
    tx: &mut Tx<'_>, session: &mut RuntimeSession, to: Phase, plan: Option<(Id<Artifact>, u64)>,
    rejection: Option<String>,
) -> Result<()> {
    let Some(phase) = session.phase else {
        if to != Phase::Planning {
            let message = "phase: runs of this session have none; open it with phases, or begin with planning";
            return Err(Error::bad_request(message).with("path", "phase"));
        }
        session.phase = Some(to);
        return Ok(());
    };
    let Some(step) = phase.towards(to)? else { return Ok(()) };
    match step {
        PhaseStep::Submit => {
            let missing = || Error::bad_request("planArtifactId: say which plan waits").with("path", "planArtifactId");
            let (plan, version) = plan.ok_or_else(missing)?;
            PhaseChange::Submit { plan, version }.apply(session)
        }
        PhaseStep::Approve => {
            let version = approved(tx, session)?.ok_or_else(|| {
                phase.refuses("execute a plan that nobody approved").with("reason", "plan_not_approved")
            })?;
            PhaseChange::Approve { version: Some(version) }.apply(session)
        }
        PhaseStep::Reject => {
            check_bytes("rejection", rejection.as_deref().unwrap_or(""), limits::REASON_BYTES)?;
            PhaseChange::Reject { reason: rejection }.apply(session)
        }
        PhaseStep::Begin | PhaseStep::Anew => PhaseChange::Begin.apply(session),
        PhaseStep::Finish => PhaseChange::Finish.apply(session),
    }
}

/// The version of the session's plan that is approved now.
fn approved(tx: &mut Tx<'_>, session: &RuntimeSession) -> Result<Option<u64>> {
    let plan = session.plan_artifact_id.as_ref().map(|id| tx.get(id)).transpose()?.flatten();
    Ok(plan.filter(|plan| plan.status == ArtifactStatus::Approved).map(|plan| plan.version))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Close {
    pub thread_id: Id<Thread>,
    pub runtime: String,
}

/// `sessions:close`: the next `sessions:open` makes another one.
pub fn close(tx: &mut Tx<'_>, ctx: &CallContext, args: Close) -> Result<RuntimeSessionView> {
    let (_, mut session) = session_of(tx, ctx, &args.thread_id, &args.runtime)?;
    session.status = session.status.step(SessionStep::Close)?;
    save(tx, session).map(|session| shown(ctx, session))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MarkLost {
    pub thread_id: Id<Thread>,
    pub runtime: String,
    /// The answer that found it out, and is made from the transcript: its log tells of it.
    pub generation_id: Option<Id<Generation>>,
}

/// `sessions:markLost`: the runtime forgot its session. The backend gives it the transcript (`messages:page`)
/// and says what the new session is called with `sessions:update`.
pub fn mark_lost(tx: &mut Tx<'_>, ctx: &CallContext, args: MarkLost) -> Result<RuntimeSessionView> {
    let (thread, mut session) = session_of(tx, ctx, &args.thread_id, &args.runtime)?;
    session.status = session.status.step(SessionStep::Lose)?;
    session.external_id = None;
    if let Some(id) = &args.generation_id {
        let (owner, generation) = external::held(tx, ctx, id, None)?;
        if owner.id != thread.id {
            return Err(Error::not_found("generation"));
        }
        let label = "The runtime had lost this conversation and was told it again.".to_owned();
        let event = Event::Activity { kind: "context_replayed".to_owned(), label };
        if turn::tell(tx, generation, &[event])?.is_none() {
            return Err(Error::new(Code::LogSealed, "The answer is over: it cannot tell of this any more."));
        }
    }
    save(tx, session).map(|session| shown(ctx, session))
}
