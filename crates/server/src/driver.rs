//! The turn driver: sees queued generations, claims them, and runs each in a task of its own.
//!
//! It learns everything from rows: the queue is a live query, a stop request is a field. Any number of
//! drivers may watch the same queue; a claim is a lease with an epoch, and only its holder may write.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;
use spool_chat::functions::driver::Claim;
use spool_protocol::Error;
use tokio::sync::{Notify, Semaphore};

use crate::app::App;
use crate::summaries;

mod calls;
mod prompt;
mod turn;

/// Queued generations looked at in one go.
const QUEUE_LOOK: u32 = 128;

/// Runs until shutdown. Turns of an earlier process are ended first: this process owns the data, so
/// whoever held their leases is gone.
pub async fn run(app: Arc<App>) {
    let owner = format!("drv_{}", uuid::Uuid::new_v4().simple());
    if let Err(error) =
        app.functions.mutate_as_system("driver:expire", json!({ "owner": owner, "onlyOwner": true })).await
    {
        tracing::error!(%error, "turns of the last process could not be ended; their leases will run out");
    }
    while !app.shutdown.is_cancelled() {
        if let Err(error) = watch(&app, &owner).await {
            tracing::error!(%error, "the queue cannot be read; trying again");
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
    }
}

async fn watch(app: &Arc<App>, owner: &str) -> Result<(), Error> {
    let wake = Arc::new(Notify::new());
    let system = Arc::new(spool_chat::Principal::System);
    let args = json!({ "limit": QUEUE_LOOK });
    let queue = app.functions.subscribe("driver:queue", &system, args, None, &wake)?;
    let room = Arc::new(Semaphore::new(app.config.turns.concurrency));
    let taken: Arc<Mutex<HashSet<String>>> = Arc::default();
    let mut last = None;
    loop {
        let output = tokio::select! {
            output = app.functions.store().changed(&queue, &wake, last.clone()) => output?,
            () = app.shutdown.cancelled() => return Ok(()),
        };
        let value = output.value.clone()?;
        let ids: Vec<String> =
            serde_json::from_str(&value).map_err(|e| Error::internal(format!("driver:queue: {e}")))?;
        for id in ids {
            // Still on the list only because its claim is not committed yet.
            if !taken.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone()) {
                continue;
            }
            let permit = Arc::clone(&room).acquire_owned().await;
            let (app, owner, taken) = (Arc::clone(app), owner.to_owned(), Arc::clone(&taken));
            let tasks = app.tasks.clone();
            tasks.spawn(async move {
                app.functions.metrics().turns_running.inc();
                if let Err(error) = claim_and_run(&app, &owner, &id).await {
                    tracing::error!(generation = id, %error, "turn given up; its lease will run out");
                }
                app.functions.metrics().turns_running.dec();
                taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
                drop(permit);
            });
        }
        last = Some(output);
    }
}

async fn claim_and_run(app: &App, owner: &str, generation: &str) -> Result<(), Error> {
    summaries::wait_for(app, generation).await?;
    let args = json!({ "generationId": generation, "owner": owner });
    let claimed = app.functions.mutate_as_system("driver:claim", args).await?;
    let claim: Option<Claim> =
        serde_json::from_str(&claimed).map_err(|e| Error::internal(format!("driver:claim: {e}")))?;
    match claim {
        Some(claim) => Box::pin(turn::run(app, owner, generation, claim)).await,
        None => Ok(()), // somebody else has it, or it was stopped
    }
}
