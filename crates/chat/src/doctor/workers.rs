//! The invariants of machines and workers.

use spool_protocol::Result;
use spool_store::Tx;

use super::Findings;
use crate::states::WorkerApproval;
use crate::tables::{CredentialKind, Machine, Worker};

pub(super) fn machine(tx: &mut Tx<'_>, row: &Machine, findings: &mut Findings<'_>) -> Result<()> {
    findings.expect(tx.get(&row.user_id)?.is_some(), "owner_exists", || format!("{} is missing", row.user_id));
    Ok(())
}

pub(super) fn worker(tx: &mut Tx<'_>, row: &Worker, findings: &mut Findings<'_>) -> Result<()> {
    let machine = tx.get(&row.machine_id)?;
    let owned = machine.is_some_and(|machine| machine.user_id == row.user_id);
    findings.expect(owned, "machine", || format!("{} is missing, or of another user", row.machine_id));
    let credential = tx.get(&row.credential_id)?.filter(|credential| {
        credential.kind == CredentialKind::Worker
            && credential.user_id == row.user_id
            && (credential.revoked_at.is_some() || row.approval != WorkerApproval::Revoked)
    });
    findings.expect(credential.is_some(), "credential", || {
        format!("{} is missing, or does not go with a worker that is {}", row.credential_id, row.approval.as_str())
    });
    let approved = row.approval == WorkerApproval::Approved;
    findings.expect(!approved || row.approved_by.is_some(), "approved_by", || "nobody approved it".to_owned());
    findings.expect(approved || row.online_until.is_none(), "presence", || "it may not be there".to_owned());
    Ok(())
}
