//! The invariants of what is kept about people: counters, the trail, departures.

use spool_protocol::Result;
use spool_store::Tx;

use super::Findings;
use crate::month;
use crate::principal::Principal;
use crate::quota;
use crate::tables::audit::AuditEntry;
use crate::tables::{Departure, Generation, Holdings, Usage, generation};

/// Rows that are read to check one counter; several are checked in one step.
const ROWS: usize = 3_000;

/// Counted again, unless that is too much for one step.
pub(super) fn holdings(tx: &mut Tx<'_>, row: &Holdings, findings: &mut Findings<'_>) -> Result<()> {
    // Somebody who leaves has less with every step.
    if tx.get(&row.user_id)?.is_none_or(|user| user.leaving_at.is_some()) {
        return Ok(());
    }
    let (threads, bytes) = quota::measure(tx, &row.user_id, ROWS)?;
    findings.expect(row.threads == threads, "holdings", || format!("threads is {}, there are {threads}", row.threads));
    if let Some(bytes) = bytes {
        findings.expect(row.storage_bytes == bytes, "holdings", || {
            format!("storageBytes is {}, files and artifacts have {bytes}", row.storage_bytes)
        });
    }
    Ok(())
}

/// Answers go with their threads and what they cost stays counted, so the rows are only the least.
pub(super) fn usage(tx: &mut Tx<'_>, row: &Usage, findings: &mut Findings<'_>) -> Result<()> {
    let mut least = 0;
    for status in ["complete", "stopped", "error", "interrupted"] {
        let scan = tx.query::<Generation>(generation::BY_USER).eq(&row.user_id).eq(status);
        for generation in scan.take(ROWS / 4)? {
            let ended = generation.ended_at.is_some_and(|at| month::of(at) == row.month);
            let Some(usage) = generation.usage.filter(|_| ended && generation.creation_time >= row.creation_time)
            else {
                continue;
            };
            least += usage.input_tokens + usage.output_tokens;
        }
    }
    findings.expect(row.tokens() >= least, "usage", || {
        format!("{} tokens are counted, answers that are still here cost {least}", row.tokens())
    });
    Ok(())
}

pub(super) fn entry(tx: &mut Tx<'_>, row: &AuditEntry, findings: &mut Findings<'_>) -> Result<()> {
    let Some(user) = &row.user_id else { return Ok(()) };
    findings.expect(tx.get(user)?.is_some(), "audit_user", || format!("{user} is missing"));
    let named = Principal::User { user: user.clone() }.key();
    let own = row.actor == named || row.actor.starts_with("worker:");
    findings.expect(own, "audit_user", || format!("{} did it, and it is kept under {user}", row.actor));
    Ok(())
}

pub(super) fn departure(_tx: &mut Tx<'_>, row: &Departure, findings: &mut Findings<'_>) -> Result<()> {
    let hashes = [&row.user_hash, &row.identity_hash];
    let hashed = hashes.iter().all(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
    findings.expect(hashed, "departure", || "it names somebody who is gone".to_owned());
    Ok(())
}
