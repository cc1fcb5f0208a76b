//! The only way from an id to a row.
//!
//! A missing, a deleted and a foreign row give the same answer, so that nobody learns which ids exist.
//! Must never be bypassed by a function that takes an id from its caller.

pub mod shared;
pub mod voting;

use spool_protocol::{Error, Result};
use spool_store::{Id, Tx};

use crate::principal::Principal;
use crate::tables::{
    Approval, Artifact, Credential, CredentialKind, Generation, Machine, Message, PushSubscription, Rule, Share,
    Thread, ToolCall, Upload, User, Worker,
};

/// The thread, if the caller may see it.
pub fn thread(tx: &mut Tx<'_>, principal: &Principal, id: &Id<Thread>) -> Result<Thread> {
    find_thread(tx, principal, id)?.ok_or_else(|| Error::not_found("thread"))
}

/// Like [`thread`], for functions that answer null.
pub fn find_thread(tx: &mut Tx<'_>, principal: &Principal, id: &Id<Thread>) -> Result<Option<Thread>> {
    Ok(tx.get(id)?.filter(|thread| may_see(principal, thread)))
}

/// The message and its thread, if the caller may see the thread.
pub fn message(tx: &mut Tx<'_>, principal: &Principal, id: &Id<Message>) -> Result<(Thread, Message)> {
    let missing = || Error::not_found("message");
    let message = tx.get(id)?.ok_or_else(missing)?;
    let thread = find_thread(tx, principal, &message.thread_id)?.ok_or_else(missing)?;
    Ok((thread, message))
}

/// The generation and its thread, if the caller may see the thread.
pub fn generation(tx: &mut Tx<'_>, principal: &Principal, id: &Id<Generation>) -> Result<(Thread, Generation)> {
    let missing = || Error::not_found("generation");
    let generation = tx.get(id)?.ok_or_else(missing)?;
    if let Principal::Worker { worker, user, .. } = principal {
        // Its own, even if the thread has another worker since; and no other of a thread that it has now.
        let thread = tx.get(&generation.thread_id)?.filter(|thread| thread.deleted_at.is_none());
        let mine = generation.worker_id.as_ref() == Some(worker) && generation.user_id == *user;
        return thread.filter(|_| mine).map(|thread| (thread, generation)).ok_or_else(missing);
    }
    let thread = find_thread(tx, principal, &generation.thread_id)?.ok_or_else(missing)?;
    Ok((thread, generation))
}

/// The artifact and its thread, if the caller may see the thread.
pub fn artifact(tx: &mut Tx<'_>, principal: &Principal, id: &Id<Artifact>) -> Result<(Thread, Artifact)> {
    let missing = || Error::not_found("artifact");
    let artifact = tx.get(id)?.ok_or_else(missing)?;
    let thread = find_thread(tx, principal, &artifact.thread_id)?.ok_or_else(missing)?;
    Ok((thread, artifact))
}

/// The approval and its thread, if the caller may see the thread.
pub fn approval(tx: &mut Tx<'_>, principal: &Principal, id: &Id<Approval>) -> Result<(Thread, Approval)> {
    let missing = || Error::not_found("approval");
    let approval = tx.get(id)?.ok_or_else(missing)?;
    let thread = find_thread(tx, principal, &approval.thread_id)?.ok_or_else(missing)?;
    Ok((thread, approval))
}

/// The call of a tool, if the caller may see its thread.
pub fn tool_call(tx: &mut Tx<'_>, principal: &Principal, id: &Id<ToolCall>) -> Result<ToolCall> {
    let missing = || Error::not_found("tool call");
    let call = tx.get(id)?.ok_or_else(missing)?;
    find_thread(tx, principal, &call.thread_id)?.ok_or_else(missing)?;
    Ok(call)
}

/// The upload and its thread, if the caller may see the thread.
pub fn upload(tx: &mut Tx<'_>, principal: &Principal, id: &Id<Upload>) -> Result<(Thread, Upload)> {
    let missing = || Error::not_found("upload");
    let upload = tx.get(id)?.filter(|upload| upload.deleted_at.is_none()).ok_or_else(missing)?;
    let thread = find_thread(tx, principal, &upload.thread_id)?.ok_or_else(missing)?;
    Ok((thread, upload))
}

/// The machine, if it is the caller's own. A backend has those of its account, whatever its scopes.
pub fn machine(tx: &mut Tx<'_>, principal: &Principal, id: &Id<Machine>) -> Result<Machine> {
    let machine = tx.get(id)?.filter(|machine| principal.user() == Some(&machine.user_id));
    machine.ok_or_else(|| Error::not_found("machine"))
}

/// The worker, if it is on a machine of the caller.
pub fn worker(tx: &mut Tx<'_>, principal: &Principal, id: &Id<Worker>) -> Result<Worker> {
    let missing = || Error::not_found("worker");
    worker_of(tx, principal.user().ok_or_else(missing)?, id)
}

/// The worker, if it is on a machine of this user, whose thread the caller may change.
pub(crate) fn worker_of(tx: &mut Tx<'_>, user: &Id<User>, id: &Id<Worker>) -> Result<Worker> {
    tx.get(id)?.filter(|worker| worker.user_id == *user).ok_or_else(|| Error::not_found("worker"))
}

/// The session, if it is the caller's own and is not over.
pub fn session(tx: &mut Tx<'_>, principal: &Principal, id: &Id<Credential>) -> Result<Credential> {
    let now = tx.now();
    let own = |row: &Credential| row.kind == CredentialKind::Session && principal.user() == Some(&row.user_id);
    let row = tx.get(id)?.filter(|row| own(row) && row.is_valid(now));
    row.ok_or_else(|| Error::not_found("session"))
}

/// The share and its thread, if the caller may see the thread: for those who manage it. Those who read
/// through it come by [`shared`].
pub fn share(tx: &mut Tx<'_>, principal: &Principal, id: &Id<Share>) -> Result<(Thread, Share)> {
    let missing = || Error::not_found("share");
    let share = tx.get(id)?.ok_or_else(missing)?;
    let thread = find_thread(tx, principal, &share.thread_id)?.ok_or_else(missing)?;
    Ok((thread, share))
}

/// The rule, if it is the caller's own.
pub fn rule(tx: &mut Tx<'_>, principal: &Principal, id: &Id<Rule>) -> Result<Rule> {
    let rule = tx.get(id)?.filter(|rule| principal.user() == Some(&rule.user_id));
    rule.ok_or_else(|| Error::not_found("rule"))
}

/// The browser that is told, if it is the caller's own.
pub fn push(tx: &mut Tx<'_>, principal: &Principal, id: &Id<PushSubscription>) -> Result<PushSubscription> {
    let row = tx.get(id)?.filter(|row| principal.user() == Some(&row.user_id));
    row.ok_or_else(|| Error::not_found("subscription"))
}

fn may_see(principal: &Principal, thread: &Thread) -> bool {
    match principal {
        // The server finishes what runs in a deleted thread too.
        Principal::System => true,
        Principal::Service { .. } => thread.deleted_at.is_none(),
        Principal::User { user } => thread.deleted_at.is_none() && thread.user_id == *user,
        Principal::Worker { worker, user, .. } => {
            thread.deleted_at.is_none() && thread.user_id == *user && thread.worker_id.as_ref() == Some(worker)
        }
        Principal::Anonymous => false,
    }
}
