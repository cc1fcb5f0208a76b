//! What durable streams need of the server besides requests: streams that are over go, leases that ran out
//! end, and webhooks are delivered.
//!
//! All of it is in rows: this looks at what is due, and may stop and begin again at any line.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use spool_chat::functions::subscriptions::wakes::Held;
use spool_protocol::Error;
use spool_store::live::Output;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::app::App;
use crate::functions::decoded;

pub mod keys;
pub mod webhook;

/// Streams removed in one transaction, so that others never wait long.
const SWEPT: usize = 100;
/// Deliveries that wait for their receivers at the same time, and those of one owner: receivers that are slow
/// delay their own owner alone.
const DELIVERIES: usize = 64;
const DELIVERIES_OF_ONE: usize = 8;
/// How often streams that are over are looked for. Nobody sees them meanwhile.
const SWEEP_EVERY: Duration = Duration::from_secs(2);
/// The longest sleep of the wakes: clocks can be set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Runs until shutdown.
pub async fn run(app: Arc<App>) {
    // What is on its way is counted also when handing out failed and begins again.
    let deliveries = Deliveries::new();
    tokio::select! {
        () = again("removing streams", || sweep(&app)) => {}
        () = again("ending leases of subscribers", || end_leases(&app)) => {}
        () = again("waking subscribers", || deliver_all(&app, &deliveries)) => {}
        () = app.shutdown.cancelled() => {}
    }
}

/// Does the same for ever, with pauses.
async fn again<F: Future<Output = Result<(), Error>>>(what: &str, work: impl Fn() -> F) {
    loop {
        if let Err(error) = work().await {
            tracing::error!(%error, "{what} failed; it will be tried again");
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

async fn sweep(app: &App) -> Result<(), Error> {
    // A look first: an idle server must not write.
    let first: Option<u64> = app.functions.ask("streams:nextDeadline", json!({})).await?;
    let mut more = first.is_some_and(|at| at <= app.clock.now_ms());
    while more {
        let swept: Value = app.functions.tell("streams:sweep", json!({ "limit": SWEPT })).await?;
        more = swept["hasMore"] == true;
    }
    Ok(())
}

/// Ends leases that ran out, whatever is being delivered meanwhile.
async fn end_leases(app: &App) -> Result<(), Error> {
    let nothing = Notify::new();
    loop {
        until_due(app, "subscriptions:nextDue", &json!({}), &nothing).await?;
        while app.functions.tell("subscriptions:advance", json!({})).await? {}
    }
}

/// Deliveries on their way, and how many each owner has.
struct Deliveries {
    places: Arc<Semaphore>,
    owners: Mutex<HashMap<String, usize>>,
    /// One has ended.
    ended: Notify,
}

/// A place among them, given back at its end.
struct Place {
    deliveries: Arc<Deliveries>,
    owner: String,
    _permit: OwnedSemaphorePermit,
}

impl Deliveries {
    fn new() -> Arc<Self> {
        let places = Arc::new(Semaphore::new(DELIVERIES));
        Arc::new(Self { places, owners: Mutex::default(), ended: Notify::new() })
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // The counts are changed in single steps, so a panic elsewhere leaves them whole.
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Owners whose next delivery has to wait, in a stable order.
    fn busy(&self) -> Vec<String> {
        let owners = self.owners();
        let busy = owners.iter().filter(|(_, count)| **count >= DELIVERIES_OF_ONE);
        let mut busy: Vec<String> = busy.map(|(owner, _)| owner.clone()).collect();
        busy.sort();
        busy
    }

    fn begin(self: &Arc<Self>, owner: String, permit: OwnedSemaphorePermit) -> Place {
        *self.owners().entry(owner.clone()).or_default() += 1;
        Place { deliveries: Arc::clone(self), owner, _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut owners = self.deliveries.owners();
        if let Some(count) = owners.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                owners.remove(&self.owner);
            }
        }
        drop(owners);
        self.deliveries.ended.notify_one();
    }
}

/// Hands out what is to be delivered.
async fn deliver_all(app: &Arc<App>, deliveries: &Arc<Deliveries>) -> Result<(), Error> {
    loop {
        // A place first: the lease begins with the delivery, and not with the wait for one.
        let permit = Arc::clone(&deliveries.places).acquire_owned().await;
        let permit = permit.map_err(|_| Error::internal("the places of deliveries are gone"))?;
        let except = json!({ "owners": deliveries.busy() });
        let held: Option<Held> = app.functions.tell("subscriptions:deliver", except.clone()).await?;
        let Some(held) = held else {
            drop(permit);
            until_due(app, "subscriptions:nextDelivery", &except, &deliveries.ended).await?;
            continue;
        };
        let (app, place) = (Arc::clone(app), deliveries.begin(held.owner.clone(), permit));
        tokio::spawn(async move {
            if let Err(error) = deliver(&app, held).await {
                tracing::error!(%error, "the outcome of a webhook was not stored; its lease will run out");
            }
            drop(place);
        });
    }
}

/// Waits for the time that a query answers, or for `sooner`.
async fn until_due(app: &App, path: &str, args: &Value, sooner: &Notify) -> Result<(), Error> {
    let wake = Arc::new(Notify::new());
    let system = Arc::new(spool_chat::Principal::System);
    let next = app.functions.subscribe(path, &system, args.clone(), None, &wake)?;
    let mut last: Option<Arc<Output>> = None;
    loop {
        let due: Option<u64> = match &last {
            None => None,
            Some(output) => decoded(path, &output.value.clone()?)?,
        };
        let pause = due.map_or(LONGEST_SLEEP, |at| Duration::from_millis(at.saturating_sub(app.clock.now_ms())));
        if pause.is_zero() {
            return Ok(());
        }
        tokio::select! {
            output = app.functions.store().changed(&next, &wake, last.clone()) => last = Some(output?),
            () = tokio::time::sleep(pause.min(LONGEST_SLEEP)) => {}
            () = sooner.notified() => return Ok(()),
        }
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
    app.functions.tell("subscriptions:delivered", args).await
}
