//! Going on in a window: the same time whether the user has 10 threads or 100,000.
//!
//! Runs the function itself on a store of this process: what is measured is the look-up and the commit, not a
//! network. Every thread of the user has a window, of an application of its own.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use spool_chat::registry::find_internal;
use spool_chat::{CallContext, Principal, SCHEMA, Settings};
use spool_store::backend::sqlite::{SqliteBackend, Synchronous};
use spool_store::{Id, Store, StoreOptions};

use crate::Context;
use crate::latency::Latency;
use crate::report::{Report, Row};

/// How much slower it may be with the most threads than with the fewest.
const TARGET: f64 = 1.5;
/// Windows that are made at the same time.
const AT_ONCE: usize = 512;

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    eprintln!("windows: threads:getOrCreate with few threads and with many");
    let most: usize = context.pick(100_000, 5_000);
    let samples = context.pick(2_000, 200);
    let directory = context.directory()?;
    let backend = SqliteBackend::open(&directory.path().join("store.db"), SCHEMA, Synchronous::Normal)?;
    let stage = Stage { store: Store::open(Arc::new(backend), StoreOptions::default())?, settings: Arc::default() };
    let args = json!({ "issuer": "bench", "subject": "one", "kind": "full" });
    let user = stage.call(&Principal::System, "users:provision", args).await?;
    let user = Principal::User { user: Id::parse(user.as_str().context("an id")?)? };
    let (mut made, mut middles) = (0, Vec::new());
    for threads in [10, 1_000.min(most), most] {
        while made < threads {
            let until = threads.min(made + AT_ONCE);
            let calls = (made..until).map(|n| stage.open(&user, n));
            futures_util::future::try_join_all(calls).await?;
            made = until;
        }
        context.quiet().await?;
        let mut latency = Latency::new()?;
        for n in 0..samples {
            let start = Instant::now();
            stage.open(&user, n % 10).await?;
            latency.since(start);
        }
        middles.push((threads, latency.ms(0.5)));
    }
    let (few, many) = (middles[0].1, middles[2].1);
    report.add(Row {
        name: format!("going on in a window, {most} threads"),
        measured: format!("{many:.2} ms"),
        against: format!("with 10 threads {few:.2} ms, target ≤ {TARGET} times"),
        ratio: Some(many / few),
        ok: Some(many <= few * TARGET),
        details: json!({ "median_ms_by_threads": middles }),
    });
    Ok(())
}

struct Stage {
    store: Store,
    settings: Arc<Settings>,
}

impl Stage {
    async fn open(&self, user: &Principal, app: usize) -> Result<Value> {
        self.call(user, "threads:getOrCreate", json!({ "app": format!("app {app}") })).await
    }

    async fn call(&self, principal: &Principal, path: &str, args: Value) -> Result<Value> {
        let function = find_internal(path)?;
        let ctx = CallContext::new(principal.clone(), Arc::clone(&self.settings));
        let run = Arc::new(move |tx: &mut spool_store::Tx<'_>| function.call(tx, &ctx, args.clone()));
        Ok(serde_json::from_str(&self.store.mutate(run, None).await?.value)?)
    }
}
