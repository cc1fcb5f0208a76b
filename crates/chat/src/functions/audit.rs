//! The audit trail as it is read, what the boundary adds to it, and its end.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::Result;
use spool_store::{Id, Order, Page, PaginationOpts, Tx};

use super::Deleted;
use crate::audit;
use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::tables::User;
use crate::tables::audit::{AuditEntry, AuditView, BY_AGE, BY_USER, Outcome};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListPage {
    pub pagination_opts: PaginationOpts,
}

/// `audit:list`: the whole trail, newest first.
pub fn list(tx: &mut Tx<'_>, _ctx: &CallContext, args: ListPage) -> Result<Page<AuditView>> {
    let scan = tx.query::<AuditEntry>(BY_AGE).order(Order::Desc);
    Ok(scan.paginate(&args.pagination_opts)?.map(AuditView::from))
}

/// `audit:mine`: what the caller did, and was refused, newest first.
pub fn mine(tx: &mut Tx<'_>, ctx: &CallContext, args: ListPage) -> Result<Page<AuditView>> {
    let user = ctx.user()?;
    let scan = tx.query::<AuditEntry>(BY_USER).eq(user).order(Order::Desc);
    Ok(scan.paginate(&args.pagination_opts)?.map(AuditView::from))
}

/// Something that the boundary saw: a refusal, a key that was used.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Seen {
    pub at: u64,
    pub actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Id<User>>,
    pub action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    pub outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<u64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Note {
    pub seen: Vec<Seen>,
}

/// `audit:note`: what was seen at the boundary since the last time.
pub fn note(tx: &mut Tx<'_>, ctx: &CallContext, args: Note) -> Result<()> {
    check_count("seen", args.seen.len(), limits::LISTED)?;
    for seen in args.seen {
        for (field, text) in [("actor", &seen.actor), ("action", &seen.action)] {
            check_bytes(field, text, limits::NAME_BYTES)?;
        }
        check_bytes("subject", seen.subject.as_deref().unwrap_or(""), limits::NAME_BYTES)?;
        let here = seen.user_id.as_ref().map(|user| tx.get(user)).transpose()?.flatten();
        let mut entry = audit::entry(tx, ctx, &seen.action, seen.subject, seen.outcome);
        (entry.at, entry.reason, entry.suppressed) = (seen.at, seen.reason, seen.suppressed);
        (entry.address, entry.request_id) = (seen.address, seen.request_id);
        // Nobody's name comes back after the account was deleted.
        let departed = seen.user_id.is_some() && here.is_none();
        entry.actor = if departed { "departed".to_owned() } else { seen.actor };
        entry.user_id = here.map(|user| user.id);
        tx.put(&entry)?;
    }
    Ok(())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prune {
    /// Entries from before this time go, in milliseconds since the Unix epoch.
    pub before: u64,
}

/// `audit:prune`: the oldest first, in bounded steps.
pub fn prune(tx: &mut Tx<'_>, _ctx: &CallContext, args: Prune) -> Result<Deleted> {
    let old = tx.query::<AuditEntry>(BY_AGE).lt(args.before).take(limits::SWEPT_ROWS)?;
    for entry in &old {
        tx.delete(&entry.id)?;
    }
    Ok(Deleted { deleted: old.len() as u64, has_more: old.len() == limits::SWEPT_ROWS })
}
