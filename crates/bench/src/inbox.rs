//! A page of somebody's inbox of approvals, with 10 and with 100,000 threads in each of which one was decided or waits,
//! and how soon a new one is in it.
//!
//! The store is in this process, so that no network stands between; the raw limit is the small inbox itself.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use spool_chat::Principal;
use spool_chat::tables::{Approval, Thread};
use spool_protocol::ApprovalStatus;
use spool_store::Id;
use spool_store::backend::sqlite::Synchronous;
use tokio::sync::Notify;

use crate::Context as Bench;
use crate::fill::Chat;
use crate::latency::Latency;
use crate::report::{Report, Row};

/// Rows of one transaction while filling.
const ROWS: u64 = 2_000;
/// Every so many of the copies wait; the others are decided.
const WAITS: u64 = 10;

pub async fn measure(context: &Bench, report: &mut Report) -> Result<()> {
    eprintln!("inbox: a page of approvals:list");
    let large = context.pick(100_000, 5_000);
    let rounds = context.pick(400, 50);
    let mut small = None;
    for count in [10, large] {
        let directory = context.directory()?;
        let chat = Chat::open(directory.path(), Synchronous::Normal).await?;
        let (service, template) = ask(&chat).await?;
        let mut made = 1;
        while made < count {
            made += copy(&chat, &template, (count - made).min(ROWS)).await?;
        }
        context.quiet().await?;
        let (latency, inbox) = list(&chat, rounds).await?;
        let (page, pending) = (inbox["page"].as_array().map_or(0, Vec::len), inbox["pendingCount"].as_u64());
        ensure!(page == 10 && pending.is_some_and(|pending| pending > 0), "approvals:list answered {inbox}");
        report.add(Row {
            name: format!("inbox, a page of 10 among {count} threads"),
            measured: latency.text(&[50, 99, 100]),
            against: small
                .as_ref()
                .map_or_else(String::new, |small: &Latency| format!("among 10 threads: {}", small.text(&[50, 99]))),
            ratio: small.as_ref().map(|small| small.ms(0.5) / latency.ms(0.5)),
            ok: None,
            details: json!({ "count": count, "own": latency.json() }),
        });
        small.get_or_insert(latency);
        let latency = arrive(&chat, &service, rounds).await?;
        report.add(Row {
            name: format!("inbox, a request that was answered → in the live inbox among {count}"),
            measured: latency.text(&[50, 99, 100]),
            against: String::new(),
            ratio: None,
            ok: None,
            details: json!({ "count": count, "own": latency.json() }),
        });
    }
    Ok(())
}

/// One approval that waits, made as a backend makes it, and the backend.
async fn ask(chat: &Chat) -> Result<(Principal, Id<Approval>)> {
    let key = json!({ "scopes": ["*"], "secretHash": "0".repeat(64) });
    let key = chat.call(&Principal::System, "keys:create", key).await?;
    let service = Principal::Service {
        key: serde_json::from_value(key["_id"].clone())?,
        user: serde_json::from_value(key["userId"].clone())?,
        scopes: vec!["*".to_owned()],
    };
    let generation = open(chat, &service).await?;
    let id = request(chat, &service, &generation, 0).await?;
    Ok((service, id))
}

/// A new thread with an answer that the backend makes.
async fn open(chat: &Chat, service: &Principal) -> Result<Value> {
    let thread = chat.thread().await?;
    let opened = chat.call(service, "generations:open", json!({ "threadId": thread })).await?;
    Ok(opened["generationId"].clone())
}

async fn request(chat: &Chat, service: &Principal, generation: &Value, number: usize) -> Result<Id<Approval>> {
    let input = json!({ "to": "an account", "amount": 5, "note": "as agreed, for the usual reasons" });
    let asked = json!({
        "generationId": generation, "kind": "tool_call", "toolCallId": format!("t{number}"), "tool": "pay",
        "input": input,
    });
    let asked = chat.call(service, "approvals:request", asked).await?;
    serde_json::from_value(asked["_id"].clone()).context("approvals:request answered without an id")
}

/// From the answer to a request, which is behind its commit, to the live inbox that shows it.
async fn arrive(chat: &Chat, service: &Principal, rounds: usize) -> Result<Latency> {
    let generation = open(chat, service).await?;
    let query = chat.bind(chat.user(), "approvals:list", first_page())?;
    let wake = Arc::new(Notify::new());
    let inbox = chat.store.subscribe("inbox".to_owned(), None, query, Arc::clone(&wake));
    let mut shown = chat.store.changed(&inbox, &wake, None).await?;
    let mut latency = Latency::new()?;
    for number in 0..rounds {
        let id = request(chat, service, &generation, number).await?;
        let start = Instant::now();
        while !shown.value.as_deref().unwrap_or_default().contains(id.as_str()) {
            shown = chat.store.changed(&inbox, &wake, Some(shown)).await?;
        }
        latency.since(start);
        chat.call(chat.user(), "approvals:decide", json!({ "approvalId": id, "decision": "reject" })).await?;
    }
    Ok(latency)
}

fn first_page() -> Value {
    json!({ "paginationOpts": { "numItems": 10, "cursor": null } })
}

/// Adds `count` copies of an approval, each with a thread of its own; returns how many.
async fn copy(chat: &Chat, template: &Id<Approval>, count: u64) -> Result<u64> {
    let template = template.clone();
    let run = move |tx: &mut spool_store::Tx<'_>| {
        let Some(template) = tx.get(&template)? else { return Ok("null".to_owned()) };
        let Some(thread) = tx.get(&template.thread_id)? else { return Ok("null".to_owned()) };
        for at in 0..count {
            let (id, thread_id) = (tx.new_id(), tx.new_id());
            tx.put(&Thread { id: thread_id.clone(), active_generation_id: None, ..thread.clone() })?;
            let mut row = Approval { key: format!("copy:{id}"), id, thread_id, ..template.clone() };
            if at % WAITS != 0 {
                (row.status, row.pending, row.due_at) = (ApprovalStatus::Approved, false, None);
                (row.resolved_at, row.resolved_by) = (Some(tx.now()), Some(row.user_id.clone()));
            }
            tx.put(&row)?;
        }
        Ok("null".to_owned())
    };
    chat.store.mutate(Arc::new(run), None).await?;
    Ok(count)
}

async fn list(chat: &Chat, rounds: usize) -> Result<(Latency, Value)> {
    let mut latency = Latency::new()?;
    let mut last = Value::Null;
    for _ in 0..rounds {
        let query = chat.bind(chat.user(), "approvals:list", first_page())?;
        let start = Instant::now();
        let (_, text) = chat.store.query(query).await?;
        latency.since(start);
        last = serde_json::from_str(&text)?;
    }
    Ok((latency, last))
}
