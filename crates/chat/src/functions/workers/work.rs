//! What a worker does itself: it connects, says that it lives, sees its work and claims it.
//!
//! Everything here, and every append and end of its answers, names the epoch that `workers:connect` gave.
//! A process with an older one has been replaced. Answers are appended and ended as those of every runner
//! outside, by `generations:append` and `generations:finish`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Tx};

use super::{fence, of_worker, unavailable};
use crate::context::CallContext;
use crate::functions::driver::{self, Claim};
use crate::functions::{Deleted, Nothing};
use crate::limits;
use crate::owned;
use crate::principal::Principal;
use crate::states::{GenerationStatus, WorkerApproval};
use crate::tables::{Generation, Thread, Worker, worker};

/// Heartbeats in one lease: two may be lost before the worker counts as gone.
const HEARTBEATS: u64 = 3;

/// The worker that calls, if it may work.
fn caller(tx: &mut Tx<'_>, ctx: &CallContext) -> Result<Worker> {
    let Principal::Worker { worker, .. } = &ctx.principal else {
        return Err(Error::new(Code::Forbidden, "This is for workers."));
    };
    let gone = || unavailable(WorkerApproval::Revoked);
    let worker = tx.get(worker)?.ok_or_else(gone)?;
    if worker.approval == WorkerApproval::Approved { Ok(worker) } else { Err(unavailable(worker.approval)) }
}

/// The worker that calls, if no newer process has taken its place.
fn current(tx: &mut Tx<'_>, ctx: &CallContext, epoch: u64) -> Result<Worker> {
    let worker = caller(tx, ctx)?;
    if worker.epoch == epoch {
        return Ok(worker);
    }
    let message = format!("Another process is this worker now, with epoch {}. This one must end.", worker.epoch);
    Err(Error::new(Code::StaleEpoch, message).with("epoch", worker.epoch))
}

/// The name under which the caller holds leases: a worker has another in every epoch.
pub(in crate::functions) fn lease_owner(tx: &mut Tx<'_>, ctx: &CallContext, epoch: Option<u64>) -> Result<String> {
    let wrong = |message: &str| Error::bad_request(message).with("path", "epoch");
    match (&ctx.principal, epoch) {
        (Principal::Worker { .. }, Some(epoch)) => Ok(owner(&current(tx, ctx, epoch)?)),
        (Principal::Worker { .. }, None) => Err(wrong("epoch: a worker says which workers:connect gave it")),
        (_, Some(_)) => Err(wrong("epoch: only workers have one")),
        (principal, None) => Ok(principal.key()),
    }
}

fn owner(worker: &Worker) -> String {
    format!("worker:{}@{}", worker.id, worker.epoch)
}

/// What a worker begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Connected {
    pub worker_id: Id<Worker>,
    /// To be sent with everything from now on.
    pub epoch: u64,
    /// How often to call `workers:heartbeat`, in milliseconds.
    pub heartbeat_ms: u64,
}

/// `workers:connect`: once for every start of the worker's process, not for every socket. Whoever was this
/// worker before is fenced off.
pub fn connect(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<Connected> {
    let mut worker = caller(tx, ctx)?;
    fence(tx, ctx, &mut worker)?;
    worker.connected_at = Some(tx.now());
    alive(tx, ctx, &mut worker)?;
    let heartbeat_ms = ctx.settings.worker_lease_ms / HEARTBEATS;
    Ok(Connected { worker_id: worker.id, epoch: worker.epoch, heartbeat_ms })
}

fn alive(tx: &mut Tx<'_>, ctx: &CallContext, worker: &mut Worker) -> Result<()> {
    let now = tx.now();
    worker.last_heartbeat_at = Some(now);
    worker.online_until = Some(now + ctx.settings.worker_lease_ms);
    tx.put(&*worker)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InEpoch {
    /// What `workers:connect` gave.
    pub epoch: u64,
}

/// `workers:heartbeat`: the worker is there, and so are the answers that it makes.
pub fn heartbeat(tx: &mut Tx<'_>, ctx: &CallContext, args: InEpoch) -> Result<()> {
    let mut worker = current(tx, ctx, args.epoch)?;
    alive(tx, ctx, &mut worker)?;
    let (owner, until) = (owner(&worker), tx.now() + ctx.settings.worker_lease_ms);
    for status in GenerationStatus::HELD {
        for mut held in of_worker(tx, &worker.id, status, limits::WORKER_RUNNING)? {
            if held.lease_owner.as_ref() == Some(&owner) {
                held.lease_expires_at = held.lease_expires_at.max(Some(until));
                tx.put(&held)?;
            }
        }
    }
    Ok(())
}

/// An answer that is this worker's to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Assigned {
    pub generation_id: Id<Generation>,
    pub thread_id: Id<Thread>,
    /// `queued` waits for `workers:claim`; what is claimed or streaming is being made by this worker.
    pub status: GenerationStatus,
    pub model: String,
    pub created_at: u64,
}

/// `workers:assigned`: what is not over, oldest first. An answer that was stopped is gone from the list.
pub fn assigned(tx: &mut Tx<'_>, ctx: &CallContext, args: InEpoch) -> Result<Vec<Assigned>> {
    let worker = current(tx, ctx, args.epoch)?;
    let mut found = Vec::new();
    for status in GenerationStatus::RUNNING {
        for generation in of_worker(tx, &worker.id, status, limits::WORKER_QUEUE)? {
            let Generation { id: generation_id, thread_id, status, model, created_at, .. } = generation;
            found.push(Assigned { generation_id, thread_id, status, model, created_at });
        }
    }
    found.sort_by(|a, b| a.generation_id.as_str().cmp(b.generation_id.as_str()));
    Ok(found)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClaimNext {
    pub epoch: u64,
    /// Which answer; absent is the one that has waited longest.
    pub generation_id: Option<Id<Generation>>,
}

/// An answer that the worker now makes, with everything that it needs.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    pub generation_id: Id<Generation>,
    pub claim: Claim,
}

/// `workers:claim`: null if nothing waits, or if the worker makes as many answers as one may.
pub fn claim(tx: &mut Tx<'_>, ctx: &CallContext, args: ClaimNext) -> Result<Option<Job>> {
    let worker = current(tx, ctx, args.epoch)?;
    let mut running = 0;
    for status in GenerationStatus::HELD {
        running += of_worker(tx, &worker.id, status, limits::WORKER_RUNNING)?.len();
    }
    if running >= limits::WORKER_RUNNING {
        return Ok(None);
    }
    let waiting = match &args.generation_id {
        Some(id) => vec![owned::generation(tx, &ctx.principal, id)?.1],
        None => of_worker(tx, &worker.id, GenerationStatus::Queued, limits::WORKER_QUEUE)?,
    };
    for generation in waiting {
        let generation_id = generation.id.clone();
        if let Some(claim) = driver::take(tx, ctx, generation, owner(&worker), ctx.settings.worker_lease_ms)? {
            return Ok(Some(Job { generation_id, claim }));
        }
    }
    Ok(None)
}

/// `workers:nextLapse`: when the next heartbeat stops counting, in milliseconds since the Unix epoch.
pub fn next_lapse(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Option<u64>> {
    let first = tx.query::<Worker>(worker::BY_PRESENCE).ge(0_u64).first()?;
    Ok(first.and_then(|worker| worker.online_until))
}

/// `workers:lapse`: nothing is decided here; live queries hear that a time is over.
pub fn lapse(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Deleted> {
    let now = tx.now();
    let silent = tx.query::<Worker>(worker::BY_PRESENCE).ge(0_u64).le(now).take(limits::EXPIRED_GENERATIONS)?;
    let deleted = silent.len();
    for mut worker in silent {
        worker.online_until = None;
        tx.put(&worker)?;
    }
    Ok(Deleted { deleted: deleted as u64, has_more: deleted == limits::EXPIRED_GENERATIONS })
}
