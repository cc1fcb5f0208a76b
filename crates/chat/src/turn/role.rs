//! The role of a turn: the one place where a hint of a client meets the rows, and where it is asked again whether
//! the role is still the owner's.

use spool_protocol::{Error, Result};
use spool_store::Tx;

use crate::audit;
use crate::context::CallContext;
use crate::limits::{self, check_bytes};
use crate::roles::effective_role;
use crate::tables::Thread;
use crate::tables::audit::Outcome;

/// The role in which a turn of this thread is answered: that of the thread's owner, whoever sends it.
pub(super) fn role_of(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, hint: Option<&str>,
) -> Result<Option<String>> {
    check_bytes("role", hint.unwrap_or(""), limits::NAME_BYTES)?;
    let owner = tx.get(&thread.user_id)?;
    let owner = owner.ok_or_else(|| Error::internal(format!("{} has no owner", thread.id)))?;
    // A thread of one role stays with it: what was said in that role is not told in another.
    let hint = thread.role_scope.as_deref().or(hint);
    let effective = effective_role(&owner, hint, &ctx.settings.roles);
    if effective.refused_hint.is_some() {
        audit::record(tx, ctx, "role.hint", thread.id.as_str(), Outcome::Denied)?;
    }
    Ok(effective.role)
}

/// Whether the thread's owner may still be answered in this role: roles can be taken away while a turn waits for
/// its runner or for a decision.
pub(crate) fn has_role(tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, role: Option<&str>) -> Result<bool> {
    let Some(role) = role else { return Ok(true) };
    let owner = tx.get(&thread.user_id)?;
    Ok(owner.is_some_and(|owner| ctx.settings.roles.may_view_as(&owner, role)))
}
