//! The invariants themselves, one row and its neighbours at a time.

use spool_protocol::{Event, Result};
use spool_store::{Order, Tx};

use super::Findings;
use crate::states::{MessageStatus, WorkerApproval};
use crate::tables::{
    Approval, Credential, CredentialKind, Generation, Message, Password, PushSubscription, Role, Rule, Runner, Stream,
    Subscription, Thread, Upload, User, UserKind, approval, credential, generation, message, password, push, rule,
    stream, subscription, thread,
};
use crate::turn;

pub(super) fn thread(tx: &mut Tx<'_>, row: &Thread, findings: &mut Findings<'_>) -> Result<()> {
    if row.deleted_at.is_none() {
        let count = tx.query::<Message>(message::BY_THREAD).eq(&row.id).count()?;
        let first = tx.query::<Message>(message::BY_THREAD).eq(&row.id).first()?.map(|message| message.seq);
        let newest = tx.query::<Message>(message::BY_THREAD).eq(&row.id).order(Order::Desc).first()?;
        let next = newest.map_or(0, |message| message.seq + 1);
        findings.expect(row.next_seq == next, "next_seq", || {
            format!("nextSeq is {}, the last message says {next}", row.next_seq)
        });
        // Places are unique, so first, last and number leave no room for a gap.
        let dense = count == row.next_seq && first.unwrap_or(0) == 0;
        findings.expect(dense, "dense_seq", || format!("{count} messages have places up to {}", row.next_seq));
        findings.expect(row.message_count == count, "message_count", || {
            format!("messageCount is {}, there are {count}", row.message_count)
        });
    }
    let running = tx.query::<Generation>(generation::BY_ACTIVE_THREAD).eq(&row.id).take(2)?;
    findings.expect(running.len() <= 1, "one_running", || "more than one generation is not over".to_owned());
    let running = running.first().map(|generation| generation.id.as_str().to_owned());
    let pointer = row.active_generation_id.as_ref().map(|id| id.as_str().to_owned());
    findings.expect(running == pointer, "active_pointer", || {
        format!("activeGenerationId is {pointer:?}, {running:?} runs")
    });
    let default = (row.is_default && row.deleted_at.is_none()).then_some(&row.user_id);
    findings
        .expect(row.default_of.as_ref() == default, "default_mark", || "defaultOf does not match isDefault".to_owned());
    Ok(())
}

pub(super) fn generation(tx: &mut Tx<'_>, row: &Generation, findings: &mut Findings<'_>) -> Result<()> {
    let over = row.status.is_terminal();
    findings.expect(tx.get(&row.thread_id)?.is_some(), "thread_exists", || format!("{} is missing", row.thread_id));
    let active = (!over).then_some(&row.thread_id);
    findings.expect(row.active_thread_id.as_ref() == active, "one_running", || {
        "activeThreadId does not match the status".to_owned()
    });
    let leased = row.status.is_held();
    findings.expect(row.lease_expires_at.is_some() == leased, "lease", || {
        format!("a lease does not go with {}", row.status.as_str())
    });
    let by_worker = row.runner == Runner::Worker;
    findings.expect(row.worker_id.is_some() == by_worker, "worker", || {
        format!("a worker does not go with {}", row.runner.as_str())
    });
    if let Some(worker) = row.worker_id.as_ref().filter(|_| !over) {
        let made = tx.get(worker)?.is_some_and(|worker| worker.approval == WorkerApproval::Approved);
        findings.expect(made, "worker_exists", || format!("it is not over, and {worker} may not make it"));
    }
    let message = tx.get(&row.message_id)?;
    findings.expect(message.is_some(), "message_exists", || format!("{} is missing", row.message_id));
    // An earlier attempt is over; its message belongs to a later one.
    if let Some(message) = message.filter(|message| message.generation_id.as_ref() == Some(&row.id)) {
        let follows = message.status == MessageStatus::following(row.status, row.started_mark);
        findings.expect(follows, "message_follows", || {
            format!("the message is {}, not {}", message.status.as_str(), row.status.as_str())
        });
    }
    log(tx, row, findings)
}

fn log(tx: &mut Tx<'_>, row: &Generation, findings: &mut Findings<'_>) -> Result<()> {
    let ended = row.ended_at.is_some() == row.status.is_terminal();
    findings.expect(ended && (row.status.is_terminal() || row.log_state.is_none()), "log_state", || {
        format!("the log is {:?}, the answer is {} and ended at {:?}", row.log_state, row.status.as_str(), row.ended_at)
    });
    if !row.has_log() {
        return Ok(()); // what is left of it is being swept
    }
    let mut at = 0;
    for chunk in tx.log_read_all(row.id.as_str())? {
        let units: u64 = turn::events_of(&chunk)?.iter().map(Event::units).sum();
        let fits = chunk.start == at && chunk.end == at + units;
        findings
            .expect(fits, "log_contiguous", || format!("a chunk {}..{} at {at} holds {units}", chunk.start, chunk.end));
        at = chunk.end;
    }
    let stored = tx.log_end(row.id.as_str())?;
    if row.status.is_terminal() {
        findings.expect(stored.sealed, "log_sealed", || "the log of a generation that is over can grow".to_owned());
        findings.expect(row.log_end == Some(at), "log_end", || {
            format!("logEnd is {:?}, the log ends at {at}", row.log_end)
        });
    }
    Ok(())
}

pub(super) fn message(tx: &mut Tx<'_>, row: &Message, findings: &mut Findings<'_>) -> Result<()> {
    findings.expect(tx.get(&row.thread_id)?.is_some(), "thread_exists", || format!("{} is missing", row.thread_id));
    let waits = row.queued_in.is_some();
    findings.expect(!waits || row.status == MessageStatus::Pending, "queued", || {
        "a message waits that is not pending".to_owned()
    });
    if row.status.is_terminal() || waits {
        return Ok(());
    }
    let writer = row.generation_id.as_ref().map(|id| tx.get(id)).transpose()?.flatten();
    let written = row.role == Role::Assistant && writer.is_some_and(|writer| !writer.status.is_terminal());
    findings.expect(written, "no_orphans", || format!("the message is {}, and nobody writes it", row.status.as_str()));
    Ok(())
}

/// Whether the bytes are there, only the server can see.
pub(super) fn upload(tx: &mut Tx<'_>, row: &Upload, findings: &mut Findings<'_>) -> Result<()> {
    if row.deleted_at.is_none() {
        let thread = tx.get(&row.thread_id)?;
        findings.expect(thread.is_some(), "thread_exists", || format!("{} is missing", row.thread_id));
        let owned = thread.is_none_or(|thread| thread.user_id == row.user_id);
        findings.expect(owned, "owner", || "the file is not of the thread's owner".to_owned());
    }
    Ok(())
}

/// A claimed guest has given everything away, or somebody still moves it.
pub(super) fn user(tx: &mut Tx<'_>, row: &User, findings: &mut Findings<'_>) -> Result<()> {
    if row.claimed_into.is_none() {
        findings.expect(row.moving_since.is_none(), "claim", || "it moves, and nobody claimed it".to_owned());
        return Ok(());
    }
    findings.expect(row.kind == UserKind::Anonymous, "claim", || "somebody claimed a user who is no guest".to_owned());
    if row.moving_since.is_none() {
        let left = tx.query::<Thread>(thread::BY_ACTIVITY).eq(&row.id).count()?
            + tx.query::<Generation>(generation::BY_USER).eq(&row.id).count()?
            + tx.query::<Approval>(approval::BY_USER).eq(&row.id).count()?
            + tx.query::<Rule>(rule::BY_USER).eq(&row.id).count()?
            + tx.query::<PushSubscription>(push::BY_USER).eq(&row.id).count()?
            + tx.query::<Stream>(stream::BY_PATH).eq(row.id.as_str()).count()?
            + tx.query::<Subscription>(subscription::BY_NAME).eq(row.id.as_str()).count()?;
        findings.expect(left == 0, "claimed_whole", || format!("{left} rows are still of the claimed guest"));
    }
    Ok(())
}

pub(super) fn credential(tx: &mut Tx<'_>, row: &Credential, findings: &mut Findings<'_>) -> Result<()> {
    let user = tx.get(&row.user_id)?;
    findings.expect(user.is_some(), "user_exists", || format!("{} is missing", row.user_id));
    let hashed = credential::is_hash(&row.secret_hash);
    findings.expect(hashed, "hashed_secret", || "what is stored is not the hash of a secret".to_owned());
    let session = row.kind == CredentialKind::Session;
    let whole = !session || (row.method.is_some() && row.expires_at.is_some() && row.scopes.is_empty());
    findings.expect(whole, "session", || "a session has a method and an end, and no scopes".to_owned());
    Ok(())
}

pub(super) fn password(tx: &mut Tx<'_>, row: &Password, findings: &mut Findings<'_>) -> Result<()> {
    let user = tx.get(&row.user_id)?;
    findings.expect(user.is_some(), "user_exists", || format!("{} is missing", row.user_id));
    let address = password::normalised(&row.email).as_ref() == Some(&row.email);
    findings.expect(address, "normalised_email", || "the address is not as it is compared".to_owned());
    let hashed = row.hash.as_ref().is_none_or(|hash| hash.starts_with("$argon2id$"));
    findings.expect(hashed, "hashed_password", || "what is stored is not a hash of Argon2id".to_owned());
    let ends = row.reset_hash.is_some() == row.reset_expires_at.is_some();
    findings.expect(ends, "reset_ends", || "a token to set a password has no end".to_owned());
    Ok(())
}
