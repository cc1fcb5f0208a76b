//! The turn driver: sees queued generations, claims them, and runs each in a task of its own.
//!
//! It learns everything from rows: the queue is a live query, a stop request is a field. Any number of
//! drivers may watch the same queue; a claim is a lease with an epoch, and only its holder may write.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use spool_chat::functions::driver::Claim;
use spool_protocol::Error;
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::summaries;

mod calls;
mod prompt;
mod renewal;
mod rounds;
mod turn;

/// Queued generations looked at in one go.
const QUEUE_LOOK: u32 = 128;
/// Before a generation is looked at again whose turn failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Drives turns until shutdown. What is returned ends when those that run then are over.
pub fn start(app: Arc<App>) -> io::Result<impl Future<Output = ()>> {
    rounds::run(async move {
        let turns = TaskTracker::new();
        drive(app, &turns).await;
        turns.close();
        turns.wait().await;
    })
}

/// Turns of an earlier process are ended first: this process owns the data, so whoever held their leases is gone.
async fn drive(app: Arc<App>, turns: &TaskTracker) {
    let owner = format!("drv_{}", uuid::Uuid::new_v4().simple());
    if let Err(error) =
        app.functions.mutate_as_system("driver:expire", json!({ "owner": owner, "onlyOwner": true })).await
    {
        tracing::error!(%error, "turns of the last process could not be ended; their leases will run out");
    }
    while !app.shutdown.is_cancelled() {
        if let Err(error) = watch(&app, &owner, turns).await {
            tracing::error!(%error, "the queue cannot be read; trying again");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn watch(app: &Arc<App>, owner: &str, turns: &TaskTracker) -> Result<(), Error> {
    let wake = Arc::new(Notify::new());
    let system = Arc::new(spool_chat::Principal::System);
    let args = json!({ "limit": QUEUE_LOOK });
    let queue = app.functions.subscribe("driver:queue", &system, args, None, &wake)?;
    let room = Arc::new(Semaphore::new(app.config.turns.concurrency));
    let taken: Arc<Taken> = Arc::default();
    let mut last = None;
    loop {
        let output = tokio::select! {
            output = app.functions.store().changed(&queue, &wake, last.clone()) => output?,
            () = taken.again.notified() => {
                // What was skipped may wait still, and no row will change for it: the whole queue is looked at again.
                last = None;
                continue;
            }
            () = app.shutdown.cancelled() => return Ok(()),
        };
        let value = output.value.clone()?;
        let ids: Vec<String> =
            serde_json::from_str(&value).map_err(|e| Error::internal(format!("driver:queue: {e}")))?;
        for id in ids {
            // Its claim is not committed yet, or a task that has lost it is not over yet.
            let Some(hold) = Taken::hold(&taken, &id) else { continue };
            let permit = tokio::select! {
                permit = Arc::clone(&room).acquire_owned() => permit,
                () = app.shutdown.cancelled() => return Ok(()),
            };
            let (app, owner) = (Arc::clone(app), owner.to_owned());
            turns.spawn(async move {
                let _hold = hold;
                app.functions.metrics().turns_running.inc();
                let ran = claim_and_run(&app, &owner, &id).await;
                app.functions.metrics().turns_running.dec();
                drop(permit);
                if let Err(error) = ran {
                    tracing::error!(generation = id, %error, "turn given up; its lease will run out");
                    // If it waits still, it is not taken again and again without a pause.
                    tokio::select! {
                        () = tokio::time::sleep(PAUSE) => {}
                        () = app.shutdown.cancelled() => {}
                    }
                }
            });
        }
        last = Some(output);
    }
}

/// The generations that tasks of this process work on.
#[derive(Default)]
struct Taken {
    ids: Mutex<HashSet<String>>,
    /// Notified whenever one of them is free: it was skipped as long as it was not.
    again: Notify,
}

/// That a task works on a generation, for as long as this lives.
struct Hold {
    taken: Arc<Taken>,
    id: String,
}

impl Taken {
    /// Nothing if a task works on it already.
    fn hold(taken: &Arc<Self>, id: &str) -> Option<Hold> {
        let free = taken.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
        free.then(|| Hold { taken: Arc::clone(taken), id: id.to_owned() })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.taken.ids.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
        self.taken.again.notify_one();
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
