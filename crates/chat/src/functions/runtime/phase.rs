//! How the phase of a run moves: by the turn machine for agents of this server, and by requests and decisions
//! about plans for all.

use spool_protocol::{ApprovalKind, ApprovalStatus, Result};
use spool_store::{Id, Tx};

use super::{find, new, open_in, save};
use crate::context::CallContext;
use crate::limits;
use crate::states::{ApprovalStep, Phase, PhaseStep};
use crate::tables::{Approval, Artifact, Generation, Runner, RuntimeSession, Thread, approval, runtime_session};
use crate::turn;

/// What happened to a run.
#[derive(Debug, Clone)]
pub(crate) enum PhaseChange {
    /// The run is taken up again: by a backend, or by another attempt at an answer.
    Begin,
    /// A message came, and an answer begins.
    Anew,
    /// The agent asks for the approval of this version of a plan.
    Submit { plan: Id<Artifact>, version: u64 },
    /// A person approved this version, their own edit if they made one.
    Approve { version: Option<u64> },
    /// A person rejected the plan, or did not decide in time.
    Reject { reason: Option<String> },
    /// The plan was carried out.
    Finish,
}

impl PhaseChange {
    fn step(&self) -> PhaseStep {
        match self {
            Self::Begin => PhaseStep::Begin,
            Self::Anew => PhaseStep::Anew,
            Self::Submit { .. } => PhaseStep::Submit,
            Self::Approve { .. } => PhaseStep::Approve,
            Self::Reject { .. } => PhaseStep::Reject,
            Self::Finish => PhaseStep::Finish,
        }
    }

    /// Moves the phase, or fails with `invalid_phase`. The caller stores the session.
    pub(super) fn apply(self, session: &mut RuntimeSession) -> Result<()> {
        let before = session.phase.unwrap_or(Phase::Planning);
        session.phase = Some(before.step(self.step())?);
        match self {
            Self::Submit { plan, version } => {
                session.plan_artifact_id = Some(plan);
                session.plan_version = Some(version);
                session.rejection = None;
            }
            Self::Approve { version } => session.plan_version = version.or(session.plan_version),
            Self::Reject { reason } => session.rejection = reason,
            Self::Begin | Self::Anew if session.phase != Some(before) => {
                session.plan_artifact_id = None;
                session.plan_version = None;
            }
            Self::Begin | Self::Anew | Self::Finish => {}
        }
        Ok(())
    }
}

/// Whether the answer is that of an assistant of this server that plans first. Another one in the same thread has
/// nothing to do with the phase of the run.
pub(crate) fn is_phased(ctx: &CallContext, generation: &Generation) -> bool {
    let agent = ctx.settings.agents.find(generation.agent_id.as_deref());
    generation.runner == Runner::Hosted && agent.is_some_and(|agent| agent.phases)
}

/// The session of the agent that the server runs in this thread, if its runs have phases.
pub(crate) fn hosted(tx: &mut Tx<'_>, thread: &Id<Thread>) -> Result<Option<RuntimeSession>> {
    find(tx, thread, runtime_session::HOSTED)
}

/// Moves the run of the server's own agent in this thread. The first step makes its session, in `planning`.
pub(crate) fn advance(tx: &mut Tx<'_>, thread: &Id<Thread>, change: PhaseChange) -> Result<Phase> {
    if matches!(change, PhaseChange::Submit { .. })
        && let Some(session) = hosted(tx, thread)?
    {
        withdraw(tx, &session, None)?;
    }
    let mut session = match hosted(tx, thread)? {
        Some(session) => session,
        None => new(tx, thread, runtime_session::HOSTED.to_owned()),
    };
    change.apply(&mut session)?;
    let phase = session.phase.unwrap_or(Phase::Planning);
    save(tx, session)?;
    Ok(phase)
}

/// An answer of the server's own agent is complete: if it carried out a plan, the run is done.
pub(crate) fn carried_out(tx: &mut Tx<'_>, ctx: &CallContext, generation: &Generation) -> Result<()> {
    let run = hosted(tx, &generation.thread_id)?.filter(|_| is_phased(ctx, generation));
    match run.and_then(|session| session.phase) {
        Some(Phase::Executing) => advance(tx, &generation.thread_id, PhaseChange::Finish).map(drop),
        _ => Ok(()),
    }
}

/// A runner outside asks about a plan: its run, if it has phases, waits for the decision from now on.
pub(crate) fn asked(tx: &mut Tx<'_>, approval: &Approval) -> Result<()> {
    let (ApprovalKind::Plan, Some(plan), Some(version)) = (approval.kind, &approval.artifact_id, approval.version)
    else {
        return Ok(());
    };
    let Some(session) = outside(tx, &approval.thread_id)? else { return Ok(()) };
    withdraw(tx, &session, Some(approval))?;
    let Some(mut session) = outside(tx, &approval.thread_id)? else { return Ok(()) };
    // The backend may have said so before it asked.
    let waits = session.phase == Some(Phase::AwaitingApproval) && session.plan_artifact_id.as_ref() == Some(plan);
    if waits {
        session.plan_version = Some(version);
    } else {
        PhaseChange::Submit { plan: plan.clone(), version }.apply(&mut session)?;
    }
    save(tx, session).map(drop)
}

/// Another plan takes the place of the one that a run waits for: nobody decides about that any more.
fn withdraw(tx: &mut Tx<'_>, session: &RuntimeSession, but: Option<&Approval>) -> Result<()> {
    if session.phase != Some(Phase::AwaitingApproval) {
        return Ok(());
    }
    let waiting = tx.query::<Approval>(approval::BY_THREAD).eq(&session.thread_id).eq(true);
    for mut row in waiting.take(limits::PENDING_APPROVALS)? {
        let same = row.kind == ApprovalKind::Plan && row.artifact_id == session.plan_artifact_id;
        if same && but.is_none_or(|but| but.id != row.id) {
            turn::resolve(tx, &mut row, ApprovalStep::Cancel)?;
        }
    }
    Ok(())
}

/// The session of a run outside that has phases, used last.
fn outside(tx: &mut Tx<'_>, thread: &Id<Thread>) -> Result<Option<RuntimeSession>> {
    Ok(in_phases(tx, thread)?.into_iter().find(|session| session.runtime != runtime_session::HOSTED))
}

/// Refuses a decision about a plan for which no run waits, if runs of the one who asked have phases.
pub(crate) fn check_decidable(tx: &mut Tx<'_>, ctx: &CallContext, approval: &Approval) -> Result<()> {
    if approval.kind != ApprovalKind::Plan {
        return Ok(());
    }
    let asker = tx.get(&approval.generation_id)?;
    let hosted = asker.as_ref().is_some_and(|asker| asker.runner == Runner::Hosted);
    if hosted && !asker.is_some_and(|asker| is_phased(ctx, &asker)) {
        return Ok(());
    }
    let mut runs = in_phases(tx, &approval.thread_id)?;
    runs.retain(|session| (session.runtime == runtime_session::HOSTED) == hosted);
    let phase = runs.first().and_then(|session| session.phase);
    match phase {
        Some(phase) if awaiting(runs, approval).is_none() => Err(phase.refuses("decide about this plan")),
        _ => Ok(()),
    }
}

/// An approval has ended: the run that waits for it goes on, or plans again.
pub(crate) fn resolved(tx: &mut Tx<'_>, approval: &Approval) -> Result<()> {
    if approval.kind != ApprovalKind::Plan {
        return Ok(());
    }
    let Some(mut session) = awaiting(in_phases(tx, &approval.thread_id)?, approval) else { return Ok(()) };
    let change = match approval.status {
        ApprovalStatus::Pending => return Ok(()),
        ApprovalStatus::Approved => PhaseChange::Approve { version: approval.edited_version.or(approval.version) },
        ApprovalStatus::Rejected => PhaseChange::Reject { reason: approval.reason.clone() },
        ApprovalStatus::Expired => PhaseChange::Reject { reason: Some("Nobody decided in time.".to_owned()) },
        ApprovalStatus::Cancelled => PhaseChange::Reject { reason: None },
    };
    change.apply(&mut session)?;
    save(tx, session).map(drop)
}

/// The open sessions of a thread whose runs have phases, used last first.
fn in_phases(tx: &mut Tx<'_>, thread: &Id<Thread>) -> Result<Vec<RuntimeSession>> {
    Ok(open_in(tx, thread)?.into_iter().filter(|session| session.phase.is_some()).collect())
}

/// The one of them that waits for the decision about this plan.
fn awaiting(sessions: Vec<RuntimeSession>, approval: &Approval) -> Option<RuntimeSession> {
    sessions.into_iter().find(|session| {
        session.phase == Some(Phase::AwaitingApproval) && session.plan_artifact_id == approval.artifact_id
    })
}
