//! Work that nobody asks for: purging what was deleted, ending turns whose runner is gone, approvals that
//! nobody decided and shares whose time is over, compacting and removing old logs, removing guests who do not come
//! back, carrying claims of guests on, forgetting old answers. All of it is bounded, idempotent, and carries on from the rows after
//! any restart.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use spool_protocol::Error;

use crate::app::App;
use crate::{account, audit, uploads};

/// How often the server looks for something to clean.
const EVERY: Duration = Duration::from_secs(2);
/// Rows removed in one transaction, so that others never wait long.
const PURGE_ROWS: u64 = 500;
/// How long an answered request is remembered, in days. The protocol's own servers keep 14.
const LEDGER_DAYS: u64 = 14;
/// Rounds between two looks at the ledger.
const LEDGER_EVERY: u64 = 300;
/// Rounds between two looks at callers who ask for nothing any more: a minute.
const FORGET_EVERY: u64 = 30;

pub async fn run(app: Arc<App>) {
    let mut round: u64 = 0;
    while !app.shutdown.is_cancelled() {
        if let Err(error) = clean(&app, round).await {
            tracing::error!(%error, "cleaning failed; it will be tried again");
        }
        round += 1;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = app.hurry.notified() => {}
            () = app.shutdown.cancelled() => {}
        }
    }
}

async fn clean(app: &App, round: u64) -> Result<(), Error> {
    app.functions.store().expire_pins();
    // A look first: an idle server must not write.
    for (next, end) in [
        ("driver:nextExpiry", "driver:expire"),
        ("approvals:nextExpiry", "approvals:expire"),
        ("shares:nextExpiry", "shares:expire"),
        ("workers:nextLapse", "workers:lapse"),
    ] {
        let (_, due) = app.functions.query_as_system(next, json!({})).await?;
        if serde_json::from_str::<Option<f64>>(&due).ok().flatten().is_some_and(|at| at <= app.clock.now_ms() as f64) {
            app.functions.mutate_as_system(end, json!({})).await?;
        }
    }
    in_steps(app, "users:moving", "users:move").await?;
    in_steps(app, "guests:idle", "guests:expire").await?;
    in_steps(app, "threads:purgeable", "threads:purge").await?;
    in_steps(app, "logs:due", "logs:tend").await?;
    // What these left behind goes in the same round.
    in_steps(app, "remains:waiting", "remains:sweep").await?;
    in_steps(app, "credentials:sweepable", "credentials:sweep").await?;
    uploads::purge(app).await?;
    account::carry_on(app).await?;
    audit::flush(app).await?;
    if round.is_multiple_of(FORGET_EVERY) {
        app.limits.forget_idle();
        app.functions.denials().forget_idle();
    }
    if round.is_multiple_of(LEDGER_EVERY) {
        let before = app.clock.now_ms().saturating_sub(LEDGER_DAYS * 86_400_000);
        app.functions.store().prune_ledger(before).await?;
        audit::prune(app).await?;
    }
    Ok(())
}

/// Calls `step` until nothing is left to do; others write between any two of its transactions.
async fn in_steps(app: &App, look: &str, step: &str) -> Result<(), Error> {
    let (_, waiting) = app.functions.query_as_system(look, json!({})).await?;
    let mut more = waiting == "true";
    while more && !app.shutdown.is_cancelled() {
        let done = app.functions.mutate_as_system(step, json!({ "limit": PURGE_ROWS })).await?;
        let done: Value = serde_json::from_str(&done).unwrap_or_default();
        more = done["hasMore"] == true;
    }
    Ok(())
}
