//! Writing the audit trail: one entry, in the transaction of what it speaks of.
//!
//! Says who, what and to what, never what was said: no text of messages, no secret, no token.

use spool_protocol::Result;
use spool_store::{Id, Tx};

use crate::context::CallContext;
use crate::principal::Principal;
use crate::tables::User;
use crate::tables::audit::{AuditEntry, Outcome};

/// Notes that the caller did `action` (`noun.verb`) to `subject` (an id, or another name that is no content).
pub fn record(tx: &mut Tx<'_>, ctx: &CallContext, action: &str, subject: &str, outcome: Outcome) -> Result<()> {
    let entry = entry(tx, ctx, action, Some(subject.to_owned()), outcome);
    tx.put(&entry)
}

/// The same for what the server does for a person who is only just being recognised, or who asked it to.
pub fn record_for(tx: &mut Tx<'_>, ctx: &CallContext, user: &Id<User>, action: &str, subject: &str) -> Result<()> {
    record(tx, &ctx.acting_for(user), action, subject, Outcome::Done)
}

/// An entry of the caller of `ctx`. Not stored yet.
pub(crate) fn entry(
    tx: &mut Tx<'_>, ctx: &CallContext, action: &str, subject: Option<String>, outcome: Outcome,
) -> AuditEntry {
    let user_id = match &ctx.principal {
        Principal::User { user } | Principal::Worker { user, .. } => Some(user.clone()),
        Principal::Anonymous | Principal::Service { .. } | Principal::System => None,
    };
    AuditEntry {
        id: tx.new_id(),
        creation_time: tx.now() as f64,
        at: tx.now(),
        actor: ctx.principal.key(),
        user_id,
        action: action.to_owned(),
        subject,
        outcome,
        reason: None,
        address: ctx.facts.address.as_deref().map(str::to_owned),
        request_id: ctx.facts.request_id.as_deref().map(str::to_owned),
        suppressed: None,
    }
}
