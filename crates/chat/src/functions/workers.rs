//! Workers, as the owner of their machine handles them. What workers do themselves is in [`work`].
//!
//! A secret never comes here, only its hash: the action that calls `workers:insert` or `workers:renew`
//! makes it and shows it once.

pub mod work;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Tx};

use super::credentials::{self, check_hash};
use super::driver::{self, Expired};
use crate::audit;
use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::owned;
use crate::principal::Principal;
use crate::states::{GenerationStatus, WorkerApproval, WorkerStep};
use crate::tables::audit::Outcome;
use crate::tables::{
    Credential, CredentialKind, Generation, Machine, Thread, User, Worker, WorkerView, credential, generation, worker,
};
use crate::turn::{self, Ending};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    pub machine_id: Id<Machine>,
    pub name: Option<String>,
}

/// A worker with the token that it signs in with. The token is shown this once.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WithToken {
    pub worker: WorkerView,
    /// `machine_<id>:worker_<id>:secret_<secret>`
    pub token: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Insert {
    /// For whom the server acts.
    pub user: Id<User>,
    pub machine_id: Id<Machine>,
    pub name: Option<String>,
    /// SHA-256 of the secret, 64 lowercase hex digits.
    pub secret_hash: String,
}

/// `workers:insert`: what `workers:create` does to rows.
pub fn insert(tx: &mut Tx<'_>, ctx: &CallContext, args: Insert) -> Result<WorkerView> {
    let machine = owned::machine(tx, &Principal::User { user: args.user }, &args.machine_id)?;
    check_bytes("name", args.name.as_deref().unwrap_or(""), limits::NAME_BYTES)?;
    let there = tx.query::<Worker>(worker::BY_MACHINE).eq(&machine.id).take(limits::MACHINE_WORKERS)?;
    check_count("workers", there.len() + 1, limits::MACHINE_WORKERS)?;
    let now = tx.now();
    let worker = Worker {
        id: tx.new_id(),
        creation_time: now as f64,
        machine_id: machine.id,
        credential_id: put_credential(tx, &machine.user_id, args.name.clone(), args.secret_hash)?,
        user_id: machine.user_id,
        name: args.name,
        approval: WorkerApproval::Pending,
        approved_at: None,
        approved_by: None,
        epoch: 0,
        connected_at: None,
        last_heartbeat_at: None,
        online_until: None,
        created_at: now,
    };
    tx.put(&worker)?;
    audit::record_for(tx, ctx, &worker.user_id, "worker.create", worker.id.as_str())?;
    Ok(WorkerView::new(worker, now))
}

fn put_credential(
    tx: &mut Tx<'_>, user: &Id<User>, label: Option<String>, secret_hash: String,
) -> Result<Id<Credential>> {
    check_hash("secretHash", &secret_hash)?;
    let now = tx.now();
    let credential = Credential {
        id: tx.new_id(),
        creation_time: now as f64,
        kind: CredentialKind::Worker,
        secret_hash,
        scopes: Vec::new(),
        label,
        user_id: user.clone(),
        created_at: now,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
        method: None,
        user_agent: None,
        address: None,
    };
    tx.put(&credential)?;
    Ok(credential.id)
}

fn revoke_credential(tx: &mut Tx<'_>, id: &Id<Credential>) -> Result<()> {
    tx.get(id)?.map_or(Ok(()), |credential| credentials::end(tx, credential))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub worker_id: Id<Worker>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Renew {
    /// For whom the server acts.
    pub user: Id<User>,
    pub worker_id: Id<Worker>,
    /// SHA-256 of the new secret, 64 lowercase hex digits.
    pub secret_hash: String,
}

/// `workers:renew`: what `workers:rotate` does to rows. Whoever has the old secret is out at once.
pub fn renew(tx: &mut Tx<'_>, ctx: &CallContext, args: Renew) -> Result<WorkerView> {
    let mut worker = owned::worker(tx, &Principal::User { user: args.user }, &args.worker_id)?;
    if worker.approval == WorkerApproval::Revoked {
        return Err(unavailable(worker.approval));
    }
    revoke_credential(tx, &worker.credential_id)?;
    worker.credential_id = put_credential(tx, &worker.user_id, worker.name.clone(), args.secret_hash)?;
    fence(tx, ctx, &mut worker)?;
    audit::record_for(tx, ctx, &worker.user_id, "worker.rotate", worker.id.as_str())?;
    Ok(WorkerView::new(worker, tx.now()))
}

/// `workers:approve`
pub fn approve(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<WorkerView> {
    let mut worker = owned::worker(tx, &ctx.principal, &args.worker_id)?;
    worker.approval = worker.approval.step(WorkerStep::Approve)?;
    worker.approved_at = Some(tx.now());
    worker.approved_by = Some(ctx.user()?.clone());
    tx.put(&worker)?;
    audit::record(tx, ctx, "worker.approve", worker.id.as_str(), Outcome::Done)?;
    Ok(WorkerView::new(worker, tx.now()))
}

/// `workers:reject`: a worker that waits for approval is removed.
pub fn reject(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<()> {
    let worker = owned::worker(tx, &ctx.principal, &args.worker_id)?;
    worker.approval.step(WorkerStep::Reject)?;
    remove_row(tx, ctx, worker)
}

/// `workers:revoke`: for good. Its connection ends, and so do its answers.
pub fn revoke(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<WorkerView> {
    let mut worker = owned::worker(tx, &ctx.principal, &args.worker_id)?;
    worker.approval = worker.approval.step(WorkerStep::Revoke)?;
    revoke_credential(tx, &worker.credential_id)?;
    fence(tx, ctx, &mut worker)?;
    give_up_queue(tx, ctx, &worker.id)?;
    audit::record(tx, ctx, "worker.revoke", worker.id.as_str(), Outcome::Done)?;
    Ok(WorkerView::new(worker, tx.now()))
}

/// `workers:remove`: revoked and forgotten.
pub fn remove(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<()> {
    let worker = owned::worker(tx, &ctx.principal, &args.worker_id)?;
    remove_row(tx, ctx, worker)
}

pub(super) fn remove_row(tx: &mut Tx<'_>, ctx: &CallContext, mut worker: Worker) -> Result<()> {
    worker.approval = WorkerApproval::Revoked;
    revoke_credential(tx, &worker.credential_id)?;
    fence(tx, ctx, &mut worker)?;
    give_up_queue(tx, ctx, &worker.id)?;
    audit::record(tx, ctx, "worker.remove", worker.id.as_str(), Outcome::Done)?;
    tx.delete(&worker.id).map(drop)
}

/// Nobody who was this worker until now may go on: what was begun ends with what it has, what was not waits
/// again. Stores the worker first, because the end of an answer looks whether its thread's worker is good.
fn fence(tx: &mut Tx<'_>, ctx: &CallContext, worker: &mut Worker) -> Result<()> {
    worker.epoch += 1;
    worker.online_until = None;
    tx.put(&*worker)?;
    let mut expired = Expired::default();
    for status in GenerationStatus::HELD {
        for held in of_worker(tx, &worker.id, status, limits::WORKER_RUNNING)? {
            driver::expire_one(tx, ctx, held, &mut expired)?;
        }
    }
    Ok(())
}

/// What waited for a worker that is no more ends as failed: nobody else may make it.
fn give_up_queue(tx: &mut Tx<'_>, ctx: &CallContext, worker: &Id<Worker>) -> Result<()> {
    // Those of a fenced worker wait again, so both bounds add up.
    for waiting in of_worker(tx, worker, GenerationStatus::Queued, limits::WORKER_QUEUE + limits::WORKER_RUNNING)? {
        let thread = owned::thread(tx, &Principal::System, &waiting.thread_id)?;
        turn::end(tx, ctx, thread, waiting, Ending::without_worker())?;
    }
    Ok(())
}

fn of_worker(tx: &mut Tx<'_>, worker: &Id<Worker>, status: GenerationStatus, limit: usize) -> Result<Vec<Generation>> {
    tx.query::<Generation>(generation::BY_WORKER).eq(worker).eq(status.as_str()).take(limit)
}

/// Refuses a turn that the thread's worker could not make.
pub(super) fn check_ready(tx: &mut Tx<'_>, thread: &Thread) -> Result<()> {
    let Some(id) = &thread.worker_id else { return Ok(()) };
    check_approved(tx, &thread.user_id, id)?;
    if of_worker(tx, id, GenerationStatus::Queued, limits::WORKER_QUEUE)?.len() >= limits::WORKER_QUEUE {
        let message = "Too many messages wait for this worker. Try again when it has answered some.";
        return Err(Error::new(Code::Overloaded, message).with("limit", limits::WORKER_QUEUE));
    }
    Ok(())
}

/// Refuses a worker that is not the user's, or that may not work.
pub(super) fn check_approved(tx: &mut Tx<'_>, user: &Id<User>, id: &Id<Worker>) -> Result<()> {
    let worker = owned::worker_of(tx, user, id)?;
    if worker.approval == WorkerApproval::Approved { Ok(()) } else { Err(unavailable(worker.approval)) }
}

fn unavailable(approval: WorkerApproval) -> Error {
    let message = match approval {
        WorkerApproval::Pending => "The worker is not approved yet: the owner of its machine approves it.",
        _ => "The worker was revoked. Make another, or choose another for this thread.",
    };
    Error::new(Code::WorkerUnavailable, message).with("approval", approval.as_str())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct List {
    /// Only workers of this machine; absent is every machine of the caller.
    pub machine_id: Option<Id<Machine>>,
}

/// `workers:list`: oldest first.
pub fn list(tx: &mut Tx<'_>, ctx: &CallContext, args: List) -> Result<Vec<WorkerView>> {
    let user = ctx.user()?.clone();
    let mut found = match &args.machine_id {
        Some(id) => {
            let machine = owned::machine(tx, &ctx.principal, id)?;
            tx.query::<Worker>(worker::BY_MACHINE).eq(&machine.id).take(limits::MACHINE_WORKERS)?
        }
        None => tx.query::<Worker>(worker::BY_USER).eq(&user).take(limits::LISTED)?,
    };
    found.sort_by(|a, b| a.id.as_str().cmp(b.id.as_str()));
    let now = tx.now();
    Ok(found.into_iter().map(|worker| WorkerView::new(worker, now)).collect())
}

/// `workers:listPending`: those that wait for approval, oldest first.
pub fn list_pending(tx: &mut Tx<'_>, ctx: &CallContext, _args: super::Nothing) -> Result<Vec<WorkerView>> {
    let user = ctx.user()?.clone();
    let pending = WorkerApproval::Pending.as_str();
    let found = tx.query::<Worker>(worker::BY_USER).eq(&user).eq(pending).take(limits::LISTED)?;
    let now = tx.now();
    Ok(found.into_iter().map(|worker| WorkerView::new(worker, now)).collect())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Authenticate {
    pub machine_id: Id<Machine>,
    pub worker_id: Id<Worker>,
    pub secret_hash: String,
}

/// What a worker's token stands for, or why it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Admission {
    Worker {
        credential: Id<Credential>,
        user: Id<User>,
    },
    InvalidSecret,
    /// Only whoever has the secret hears the rest.
    Pending,
    Revoked,
    Removed,
}

/// `workers:authenticate`
pub fn authenticate(tx: &mut Tx<'_>, _ctx: &CallContext, args: Authenticate) -> Result<Admission> {
    let found = tx.query::<Credential>(credential::BY_SECRET).eq(args.secret_hash.as_str()).first()?;
    let Some(credential) = found.filter(|found| found.kind == CredentialKind::Worker) else {
        return Ok(Admission::InvalidSecret);
    };
    let Some(worker) = tx.get(&args.worker_id)? else {
        // A secret outlives its worker only as a revoked one.
        return Ok(if credential.revoked_at.is_some() { Admission::Removed } else { Admission::InvalidSecret });
    };
    if worker.credential_id != credential.id || worker.machine_id != args.machine_id {
        return Ok(Admission::InvalidSecret);
    }
    Ok(match worker.approval {
        _ if !credential.is_valid(tx.now()) => Admission::Revoked,
        WorkerApproval::Pending => Admission::Pending,
        WorkerApproval::Revoked => Admission::Revoked,
        WorkerApproval::Approved => Admission::Worker { credential: credential.id, user: worker.user_id },
    })
}
