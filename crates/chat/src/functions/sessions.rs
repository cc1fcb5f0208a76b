//! Where a person is signed in, as that person sees it.
//!
//! Which of them is asking, no function knows: a client learns the id of its own session with its token.

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::Result;
use spool_store::{Id, Order, Tx};

use super::Nothing;
use super::credentials::{end, end_sessions};
use crate::audit;
use crate::context::CallContext;
use crate::limits;
use crate::owned;
use crate::tables::audit::Outcome;
use crate::tables::{Credential, CredentialKind, SessionView, credential};

/// `sessions:list`, newest first.
pub fn list(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<Vec<SessionView>> {
    let now = tx.now();
    let user = ctx.user()?;
    let rows = tx.query::<Credential>(credential::BY_USER).eq(user).order(Order::Desc).take(limits::LISTED)?;
    let sessions = rows.iter().filter(|row| row.kind == CredentialKind::Session && row.is_valid(now));
    Ok(sessions.map(SessionView::from).collect())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub session_id: Id<Credential>,
}

/// `sessions:revoke`: the device is signed out within a second; what it began goes on.
pub fn revoke(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<()> {
    let session = owned::session(tx, &ctx.principal, &args.session_id)?;
    audit::record(tx, ctx, "session.revoke", session.id.as_str(), Outcome::Done)?;
    end(tx, session)
}

/// `sessions:revokeOthers`: every session of the caller but this one.
pub fn revoke_others(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<()> {
    let stays = owned::session(tx, &ctx.principal, &args.session_id)?;
    audit::record(tx, ctx, "session.revokeOthers", stays.id.as_str(), Outcome::Done)?;
    end_sessions(tx, ctx.user()?, Some(&stays.id))
}
