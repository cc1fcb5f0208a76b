//! Clearing: everything that the assistant knows of a user from conversations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use spool_protocol::Result;
use spool_store::Tx;

use super::super::threads::removal;
use super::{source_of, wipe};
use crate::audit;
use crate::context::CallContext;
use crate::limits::{self, check_bytes};
use crate::tables::audit::Outcome;
use crate::tables::{StateKind, Window, window};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClearAll {
    /// Only the conversations of this application; absent is every one that has windows.
    pub app: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cleared {
    /// Whether everything is cleared; if not, call again.
    pub cleared: bool,
}

/// `memory:clearAll`: the memory with its versions, and every conversation that has a window with its summary.
/// What runs in them is stopped. They are nobody's from here on, and their rows and logs go in the next round of
/// the jobs. Instructions and profile are not memory and stay.
pub fn clear_all(tx: &mut Tx<'_>, ctx: &CallContext, args: ClearAll) -> Result<Cleared> {
    check_bytes("app", args.app.as_deref().unwrap_or(""), limits::NAME_BYTES)?;
    let user = ctx.user()?.clone();
    audit::record(tx, ctx, "memory.clear", user.as_str(), Outcome::Done)?;
    wipe(tx, &user, StateKind::Memory, json!([]), source_of(ctx))?;
    let index = if args.app.is_some() { window::BY_APP } else { window::BY_USER };
    let mut scan = tx.query::<Window>(index).eq(&user);
    if let Some(app) = args.app.as_deref() {
        scan = scan.eq(app);
    }
    let windows = scan.take(limits::CLEARED_THREADS + 1)?;
    let cleared = windows.len() <= limits::CLEARED_THREADS;
    for window in windows.into_iter().take(limits::CLEARED_THREADS) {
        // One that was removed before waits for its purge already.
        if let Some(thread) = tx.get(&window.thread_id)?.filter(|thread| thread.deleted_at.is_none()) {
            removal::mark_any(tx, ctx, thread)?;
        }
        tx.delete(&window.id)?;
    }
    Ok(Cleared { cleared })
}
