//! Appending to a thread of 50,000 messages against one of ten: time and bytes written.
//!
//! Through the chat's own functions over a store in this process, one append at a time, the two sizes by
//! turns, so that whatever else the machine does falls on both.

use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};
use spool_store::backend::sqlite::Synchronous;

use crate::Context;
use crate::fill::Chat;
use crate::latency::{Latency, median};
use crate::machine::bytes_written;
use crate::report::{Report, Row};

const SMALL: u64 = 10;
/// How much more the large thread may cost.
const TARGET: f64 = 1.2;

#[derive(Default)]
struct Costs {
    us: Vec<f64>,
    bytes: Vec<f64>,
}

pub async fn measure(context: &Context, report: &mut Report) -> Result<()> {
    let large_size: u64 = context.pick(50_000, 5_000);
    eprintln!("append: a thread of {large_size} messages against one of {SMALL}");
    let directory = context.directory()?;
    let (large, smalls) = {
        let chat = Chat::open(directory.path(), Synchronous::Normal).await?;
        let large = chat.thread().await?;
        chat.grow(&large, large_size).await?;
        let mut smalls = Vec::new();
        for _ in 0..context.pick(150, 15) {
            let small = chat.thread().await?;
            chat.grow(&small, SMALL).await?;
            smalls.push(small);
        }
        (large, smalls)
    };
    context.quiet().await?;
    let chat = Chat::open(directory.path(), Synchronous::Full).await?;
    let (mut on_small, mut on_large) = (Costs::default(), Costs::default());
    // Ten on each small thread: it stays a small one.
    for round in 0..smalls.len() * 10 {
        append(&chat, &smalls[round % smalls.len()], &mut on_small).await?;
        append(&chat, &large, &mut on_large).await?;
    }
    let ratio = median(on_large.us.clone()) / median(on_small.us.clone());
    let (small_bytes, large_bytes) = (median(on_small.bytes.clone()), median(on_large.bytes.clone()));
    report.add(Row {
        name: format!("append to a thread of {large_size} messages"),
        measured: format!("{:.0} µs", median(on_large.us.clone())),
        against: format!("on {SMALL} messages {:.0} µs, target ≤ {TARGET}", median(on_small.us.clone())),
        ratio: Some(ratio),
        ok: Some(ratio <= TARGET),
        details: json!({ "small": on_small.json()?, "large": on_large.json()? }),
    });
    report.add(Row {
        name: "bytes written by that append".to_owned(),
        measured: format!("{large_bytes:.0}"),
        against: format!("on {SMALL} messages {small_bytes:.0}, target ≤ {TARGET}"),
        ratio: Some(large_bytes / small_bytes),
        ok: Some(large_bytes / small_bytes <= TARGET),
        details: Value::Null,
    });
    Ok(())
}

async fn append(chat: &Chat, thread: &str, costs: &mut Costs) -> Result<()> {
    let args = json!({ "threadId": thread, "role": "user", "text": "One more line for this conversation, please." });
    let run = chat.bind(chat.user(), "messages:append", args)?;
    let before = bytes_written()?;
    let start = Instant::now();
    chat.store.mutate(run, None).await?;
    costs.us.push(start.elapsed().as_secs_f64() * 1e6);
    costs.bytes.push((bytes_written()? - before) as f64);
    Ok(())
}

impl Costs {
    fn json(&self) -> Result<Value> {
        let mut latency = Latency::new()?;
        self.us.iter().for_each(|us| latency.add_us(*us as u64));
        let mean = self.bytes.iter().sum::<f64>() / self.bytes.len().max(1) as f64;
        Ok(json!({ "latency": latency.json(), "median_us": median(self.us.clone()),
            "bytes_median": median(self.bytes.clone()), "bytes_mean": mean }))
    }
}
