//! What the server's turn driver does to rows: claim, start, renew, watch, finish, and the clean-up of
//! what a lost driver left. Only for the server itself.
//!
//! A claim is a lease with an epoch. Whoever has an older epoch has lost the generation, whatever it
//! still believes: every function that changes something checks both.

mod calls;
mod documents;
mod history;
mod prompts;
mod segments;
mod steering;

pub use calls::{
    CallState, EndCall, Lease, NewCall, OneCall, STOPPED, Settle, Standing, Submit, Verdict, end_call, run_built_in,
    run_call, settle, submit,
};
pub use documents::{Draft, Drafted, draft};
pub use history::{HistoryFile, HistoryMessage};
pub use prompts::{FallBack, PromptView, ShowPrompt, fall_back, show_prompt};
pub use segments::{Segment, ToldCall};
pub use steering::{Steer, Steered, steer};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Event, Failure, FinalStatus, Result, Usage};
use spool_store::{Id, Tx};

use super::Nothing;
use super::external::{Finished, finish_once};
use super::runtime::{self, PhaseChange};
use crate::context::CallContext;
use crate::limits;
use crate::owned;
use crate::principal::Principal;
use crate::recall;
use crate::states::{GenerationStatus, GenerationStep, Phase};
use crate::tables::{Generation, Message, PageContext, Runner, Section, Thread, ToolChoice, User, generation};
use crate::turn::{self, Ending};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Queue {
    pub limit: u32,
}

/// `driver:queue`: generations that wait for a driver, oldest first.
pub fn queue(tx: &mut Tx<'_>, _ctx: &CallContext, args: Queue) -> Result<Vec<Id<Generation>>> {
    let limit = (args.limit as usize).min(limits::LISTED);
    // What waits for a worker is not among them, however long it waits.
    let scan = tx.query::<Generation>(generation::BY_RUNNER).eq(Runner::Hosted.as_str());
    let queued = scan.eq(GenerationStatus::Queued.as_str()).take(limit)?;
    Ok(queued.into_iter().map(|generation| generation.id).collect())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimOne {
    pub generation_id: Id<Generation>,
    /// The driver's own name, another one after every start of the server.
    pub owner: String,
}

/// Everything that a driver needs to make the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    pub epoch: u64,
    pub lease_expires_at: u64,
    pub thread_id: Id<Thread>,
    pub message_id: Id<Message>,
    pub user_id: Id<User>,
    pub model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    pub attempt: u32,
    /// In which role the user is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// What came before the answer, oldest first.
    pub history: Vec<HistoryMessage>,
    /// Of an assistant that plans first: where its run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What the user looked at when they asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<PageContext>,
    /// Decisions about its calls that are told already; see [`Watched`].
    pub decisions: u32,
    /// What is known of the user and the conversation, for the prompt.
    pub sections: Vec<Section>,
    /// Of an answer that goes on: how far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resumed>,
}

/// An answer that another runner began, or that waited for a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resumed {
    pub steps: u32,
    pub log_end: u64,
    /// What it has said and called, oldest first.
    pub so_far: Vec<Segment>,
    /// The calls of the newest step.
    pub calls: Vec<CallState>,
    /// The prompt that it began with.
    pub sections: Vec<Section>,
    /// The tokens that it has cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// `driver:claim`: null if somebody else was faster or nobody wants the answer any more.
pub fn claim(tx: &mut Tx<'_>, ctx: &CallContext, args: ClaimOne) -> Result<Option<Claim>> {
    match tx.get(&args.generation_id)? {
        Some(generation) if generation.runner == Runner::Hosted => {
            take(tx, ctx, generation, args.owner, ctx.settings.lease_ms)
        }
        _ => Ok(None),
    }
}

/// Gives a waiting generation to a runner, for `lease_ms`, if anybody still wants the answer. The caller has
/// made sure that it may have it.
pub(super) fn take(
    tx: &mut Tx<'_>, ctx: &CallContext, mut generation: Generation, owner: String, lease_ms: u64,
) -> Result<Option<Claim>> {
    if generation.status != GenerationStatus::Queued {
        return Ok(None);
    }
    let thread = owned::thread(tx, &Principal::System, &generation.thread_id)?;
    if thread.deleted_at.is_some() || generation.stop_requested_at.is_some() {
        turn::end(tx, ctx, thread, generation, Ending::plain(FinalStatus::Stopped))?;
        return Ok(None);
    }
    if !turn::has_role(tx, ctx, &thread, generation.effective_role.as_deref())? {
        turn::end(tx, ctx, thread, generation, Ending::without_role())?;
        return Ok(None);
    }
    let lease_expires_at = tx.now() + lease_ms;
    if generation.steps > 0 {
        // A runner that was lost may have left decisions untold that were made while it held the answer.
        let decisions = turn::calls::tell_decisions(tx, &generation)?;
        turn::calls::append_step(tx, &mut generation, &decisions)?;
    }
    generation.status = generation.status.step(GenerationStep::Claim)?;
    generation.lease_owner = Some(owner);
    generation.lease_epoch += 1;
    generation.lease_expires_at = Some(lease_expires_at);
    tx.put(&generation)?;
    let answer = turn::message_of(tx, &generation)?;
    let history = history::before(tx, ctx, &thread, &answer, &generation)?;
    let phase = phase_of(tx, ctx, &generation)?;
    let resumed = resumed(tx, &generation)?;
    Ok(Some(Claim {
        resumed,
        phase,
        sections: recall::sections(tx, &thread)?,
        page: history::page_before(tx, &thread.id, answer.seq)?,
        decisions: generation.decisions,
        agent_id: generation.agent_id,
        tool_choice: generation.tool_choice,
        epoch: generation.lease_epoch,
        lease_expires_at,
        history,
        thread_id: thread.id,
        message_id: generation.message_id,
        user_id: generation.user_id,
        model: generation.model,
        provider: generation.provider,
        attempt: generation.attempt,
        effective_role: generation.effective_role,
    }))
}

/// Where the run of an assistant is that plans first. A message begins another run; another attempt at an answer
/// carries out what was approved for it.
fn phase_of(tx: &mut Tx<'_>, ctx: &CallContext, generation: &Generation) -> Result<Option<Phase>> {
    if !runtime::is_phased(ctx, generation) {
        return Ok(None);
    }
    if generation.steps == 0 {
        let change = if generation.attempt > 1 { PhaseChange::Begin } else { PhaseChange::Anew };
        return runtime::advance(tx, &generation.thread_id, change).map(Some);
    }
    Ok(runtime::hosted(tx, &generation.thread_id)?.and_then(|session| session.phase))
}

fn resumed(tx: &mut Tx<'_>, generation: &Generation) -> Result<Option<Resumed>> {
    if generation.steps == 0 {
        return Ok(None);
    }
    Ok(Some(Resumed {
        steps: generation.steps,
        log_end: turn::log_end(tx, generation)?,
        so_far: segments::so_far(tx, generation)?,
        calls: calls::states(tx, generation)?,
        sections: prompts::stored(tx, generation)?.map(|prompt| prompt.sections).unwrap_or_default(),
        usage: generation.usage,
    }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Held {
    pub generation_id: Id<Generation>,
    pub owner: String,
    pub epoch: u64,
}

fn holds(generation: &Generation, owner: &str, epoch: u64) -> bool {
    generation.lease_owner.as_deref() == Some(owner) && generation.lease_epoch == epoch
}

fn lost() -> Error {
    Error::new(Code::Forbidden, "Another runner holds this generation.").with("reason", "lease_lost")
}

/// What a model is told before an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Told {
    pub model: String,
    pub sections: Vec<Section>,
    pub tools: Vec<String>,
    pub messages: u32,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Append {
    pub lease: Lease,
    /// What follows in the log.
    pub events: Vec<Event>,
}

/// `driver:append`: the first events of an answer, in the transaction in which it begins. Returns where the log ends.
pub fn append(tx: &mut Tx<'_>, ctx: &CallContext, args: Append) -> Result<u64> {
    let (_, generation) = calls::begun(tx, ctx, args.lease)?;
    if args.events.is_empty() {
        return turn::log_end(tx, &generation);
    }
    turn::append(tx, &generation, &args.events)
}

/// `driver:renew`: false if the generation is over or another's.
pub fn renew(tx: &mut Tx<'_>, ctx: &CallContext, args: Held) -> Result<bool> {
    let Some(mut generation) = tx.get(&args.generation_id)? else { return Ok(false) };
    let running = generation.status.is_held();
    if !running || !holds(&generation, &args.owner, args.epoch) {
        return Ok(false);
    }
    generation.lease_expires_at = Some(tx.now() + ctx.settings.lease_ms);
    tx.put(&generation)?;
    Ok(true)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Watch {
    pub generation_id: Id<Generation>,
}

/// What a driver must know while it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    pub status: GenerationStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_requested_at: Option<u64>,
    pub lease_epoch: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_owner: Option<String>,
    /// Grows with every decision about a call of the answer.
    pub decisions: u32,
}

/// `driver:watch`: null if the generation was removed.
pub fn watch(tx: &mut Tx<'_>, _ctx: &CallContext, args: Watch) -> Result<Option<Watched>> {
    Ok(tx.get(&args.generation_id)?.map(|generation| Watched {
        status: generation.status,
        stop_requested_at: generation.stop_requested_at,
        lease_epoch: generation.lease_epoch,
        lease_owner: generation.lease_owner,
        decisions: generation.decisions,
    }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finish {
    pub generation_id: Id<Generation>,
    pub owner: String,
    pub epoch: u64,
    pub status: FinalStatus,
    pub error: Option<Failure>,
    pub usage: Option<Usage>,
    pub finish_reason: Option<String>,
    pub provider: Option<String>,
    pub model: Option<String>,
    /// What the model was told with the newest request, if the row does not say so yet.
    pub told: Option<Told>,
}

/// `driver:finish`: the first one counts, later ones get its result.
pub fn finish(tx: &mut Tx<'_>, ctx: &CallContext, args: Finish) -> Result<Finished> {
    let (thread, generation) = owned::generation(tx, &ctx.principal, &args.generation_id)?;
    if !generation.status.is_terminal() && !holds(&generation, &args.owner, args.epoch) {
        return Err(lost());
    }
    if let Some(told) = args.told.filter(|_| !generation.status.is_terminal()) {
        prompts::keep(tx, &generation, told)?;
    }
    let Finish { status, error, usage, finish_reason, model, provider, .. } = args;
    finish_once(
        tx,
        ctx,
        thread,
        generation,
        Ending { status, error, usage, finish_reason, model, provider, text: None },
    )
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expire {
    /// The driver that is alive.
    pub owner: Option<String>,
    /// Nobody but `owner` can be alive (at start-up, alone in the data directory): the leases of all other
    /// drivers are over now. Runners outside keep theirs.
    #[serde(default)]
    pub only_owner: bool,
}

/// What became of generations whose runner is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Expired {
    pub interrupted: u64,
    pub requeued: u64,
    /// They were told to stop, or their thread was removed.
    pub stopped: u64,
    /// Whether another call has more to do.
    pub has_more: bool,
}

/// `driver:expire`: what was not begun, or is between two steps, waits again, unless too many runners were lost with
/// it; everything else ends with what it had.
pub fn expire(tx: &mut Tx<'_>, ctx: &CallContext, args: Expire) -> Result<Expired> {
    let now = tx.now();
    let limit = limits::EXPIRED_GENERATIONS;
    let mut gone = tx.query::<Generation>(generation::BY_LEASE).ge(0_u64).le(now).take(limit)?;
    if args.only_owner {
        for status in GenerationStatus::HELD {
            let scan = tx.query::<Generation>(generation::BY_RUNNER).eq(Runner::Hosted.as_str()).eq(status.as_str());
            let others = |held: &Generation| held.lease_owner != args.owner;
            gone.extend(scan.take(limits::LISTED)?.into_iter().filter(others).take(limit));
        }
        let mut seen = std::collections::HashSet::new();
        gone.retain(|generation| seen.insert(generation.id.clone()));
    }
    let mut expired = Expired { has_more: gone.len() >= limit, ..Expired::default() };
    for generation in gone {
        expire_one(tx, ctx, generation, &mut expired)?;
    }
    Ok(expired)
}

pub(super) fn expire_one(
    tx: &mut Tx<'_>, ctx: &CallContext, mut generation: Generation, expired: &mut Expired,
) -> Result<()> {
    let thread = owned::thread(tx, &Principal::System, &generation.thread_id)?;
    // Between two steps nothing is lost: whoever comes next reads how far the answer is. A log that is not empty
    // tells of a start that its row does not know yet.
    let end = tx.log_end(generation.id.as_str())?.end;
    let untouched = !generation.started_mark && end == 0;
    let between_steps = generation.steps > 0 && end == generation.boundary;
    // What has taken so many runners down takes the next one, too.
    let again = (untouched || between_steps) && generation.losses < limits::LOST_RUNNERS;
    let unwanted = generation.stop_requested_at.is_some() || thread.deleted_at.is_some();
    if unwanted {
        expired.stopped += 1;
        turn::end(tx, ctx, thread, generation, Ending::plain(FinalStatus::Stopped)).map(drop)
    } else if !again || generation.runner == Runner::External {
        expired.interrupted += 1;
        let mut ending = Ending::plain(FinalStatus::Interrupted);
        if generation.runner == Runner::Worker {
            let message = "The worker that answered is gone. What it had is kept.";
            ending.error = Some(turn::failure(Code::Interrupted, message, true));
        }
        turn::end(tx, ctx, thread, generation, ending).map(drop)
    } else {
        expired.requeued += 1;
        generation.losses += 1;
        generation.status = generation.status.step(GenerationStep::Requeue)?;
        generation.lease_owner = None;
        generation.lease_expires_at = None;
        tx.put(&generation)
    }
}

/// `driver:nextExpiry`: when the next lease is over, in milliseconds since the Unix epoch.
pub fn next_expiry(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Option<u64>> {
    let first = tx.query::<Generation>(generation::BY_LEASE).ge(0_u64).first()?;
    Ok(first.and_then(|generation| generation.lease_expires_at))
}
