//! What durable streams need of the server besides requests: streams that are over go, leases that ran out
//! end, and webhooks are delivered.
//!
//! All of it is in rows: this looks at what is due, and may stop and begin again at any line.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use spool_chat::functions::subscriptions::wakes::{Advanced, Held};
use spool_protocol::Error;
use tokio::sync::{Notify, Semaphore};

use crate::app::App;

pub mod keys;
pub mod webhook;

/// Streams removed in one transaction, so that others never wait long.
const SWEPT: usize = 100;
/// Deliveries that wait for their receivers at the same time.
const DELIVERIES: usize = 64;
/// How often streams that are over are looked for. Nobody sees them meanwhile.
const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// The longest sleep of the wakes: clocks can be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Runs until shutdown.
pub async fn run(app: Arc<App>) {
    let swept = async {
        loop {
            if let Err(error) = sweep(&app).await {
                tracing::error!(%error, "removing streams failed; it will be tried again");
            }
            tokio::time::sleep(SWEEP_EVERY).await;
        }
    };
    let woken = async {
        loop {
            if let Err(error) = wake(&app).await {
                tracing::error!(%error, "waking subscribers failed; it will be tried again");
                tokio::time::sleep(SWEEP_EVERY).await;
            }
        }
    };
    tokio::select! {
        () = swept => {}
        () = woken => {}
        () = app.shutdown.cancelled() => {}
    }
}

async fn sweep(app: &App) -> Result<(), Error> {
    // A look first: an idle server must not write.
    let mut more = time(app, "streams:nextDeadline").await?.is_some_and(|at| at <= app.clock.now_ms());
    while more {
        let swept = app.functions.mutate_as_system("streams:sweep", json!({ "limit": SWEPT })).await?;
        let swept: Value = serde_json::from_str(&swept).unwrap_or_default();
        more = swept["hasMore"] == true;
    }
    Ok(())
}

async fn time(app: &App, path: &str) -> Result<Option<u64>, Error> {
    let (_, at) = app.functions.query_as_system(path, json!({})).await?;
    Ok(serde_json::from_str(&at).unwrap_or(None))
}

/// Follows the time of the next thing that is due.
async fn wake(app: &Arc<App>) -> Result<(), Error> {
    let wake = Arc::new(Notify::new());
    let system = Arc::new(spool_chat::Principal::System);
    let next = app.functions.subscribe("subscriptions:nextDue", &system, json!({}), None, &wake)?;
    let room = Arc::new(Semaphore::new(DELIVERIES));
    let mut last: Option<Arc<spool_store::live::Output>> = None;
    loop {
        let due = match &last {
            None => None,
            Some(output) => due_of(output)?,
        };
        let pause = due.map_or(LONGEST_SLEEP, |at| Duration::from_millis(at.saturating_sub(app.clock.now_ms())));
        tokio::select! {
            output = app.functions.store().changed(&next, &wake, last.clone()) => { last = Some(output?); }
            () = tokio::time::sleep(pause.min(LONGEST_SLEEP)), if last.is_some() => advance(app, &room).await?,
        }
    }
}

fn due_of(output: &spool_store::live::Output) -> Result<Option<u64>, Error> {
    let value = output.value.clone()?;
    serde_json::from_str(&value).map_err(|e| Error::internal(format!("subscriptions:nextDue: {e}")))
}

/// Does everything that is due.
async fn advance(app: &Arc<App>, room: &Arc<Semaphore>) -> Result<(), Error> {
    loop {
        let advanced = app.functions.mutate_as_system("subscriptions:advance", json!({})).await?;
        let advanced: Option<Advanced> =
            serde_json::from_str(&advanced).map_err(|e| Error::internal(format!("subscriptions:advance: {e}")))?;
        let Some(advanced) = advanced else { return Ok(()) };
        let Some(held) = advanced.delivery else { continue };
        let Ok(permit) = Arc::clone(room).acquire_owned().await else { return Ok(()) };
        let app = Arc::clone(app);
        tokio::spawn(async move {
            if let Err(error) = deliver(&app, held).await {
                tracing::error!(%error, "the outcome of a webhook was not stored; its lease will run out");
            }
            drop(permit);
        });
    }
}

async fn deliver(app: &App, held: Held) -> Result<(), Error> {
    let (id, generation) = (held.id.clone(), held.generation);
    let outcome = tokio::select! {
        outcome = webhook::send(app, held) => outcome,
        // The wake is in its row; whoever runs next delivers it again.
        () = app.shutdown.cancelled() => return Ok(()),
    };
    let (ok, done) = match outcome {
        Ok(done) => (true, done),
        Err(reason) => {
            tracing::warn!(subscription = %id, reason, "a webhook was not delivered");
            (false, false)
        }
    };
    let args = json!({ "id": id, "generation": generation, "ok": ok, "done": done });
    app.functions.mutate_as_system("subscriptions:delivered", args).await.map(drop)
}
