//! Large stores, made quickly: a few rows through the product's own functions, then copies of those rows.
//!
//! Writes to the files of a data directory that no server has open.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use spool_chat::tables::{Message, Thread, message};
use spool_chat::{CallContext, Principal, Settings, registry};
use spool_store::backend::sqlite::{SqliteBackend, Synchronous};
use spool_store::commit::MutationFn;
use spool_store::{Id, Store, StoreOptions};

/// Rows of one transaction while filling.
const ROWS: u64 = 5_000;
/// Rows after which the store is opened anew: it remembers its last commits, and these are huge.
const ROWS_PER_OPENING: u64 = 100_000;
/// About 400 bytes of document, as a short answer has.
const TEXT: &str = "An answer of the usual length, two or three lines on a screen, as people and models \
    write them to each other all day long.";

/// The chat's functions over a store in this process.
pub struct Chat {
    pub store: Store,
    settings: Arc<Settings>,
    user: Principal,
}

impl Chat {
    /// Opens `data` with a user of its own.
    pub async fn open(data: &Path, synchronous: Synchronous) -> Result<Self> {
        let backend = SqliteBackend::open(&data.join("spool.db"), spool_chat::SCHEMA, synchronous)?;
        let store = Store::open(std::sync::Arc::new(backend), StoreOptions::default())?;
        let mut chat = Self { store, settings: Arc::default(), user: Principal::System };
        let args = json!({ "issuer": "bench", "subject": "bench", "kind": "anonymous" });
        let user = chat.call(&Principal::System, "users:provision", args).await?;
        chat.user = Principal::User { user: serde_json::from_value(user)? };
        Ok(chat)
    }

    /// A mutation of the function table, with its arguments bound.
    pub fn bind(&self, principal: &Principal, path: &str, args: Value) -> Result<MutationFn> {
        let function = registry::find_internal(path)?;
        let context = CallContext::new(principal.clone(), Arc::clone(&self.settings));
        Ok(Arc::new(move |tx| function.call(tx, &context, args.clone())))
    }

    pub async fn call(&self, principal: &Principal, path: &str, args: Value) -> Result<Value> {
        let done = self.store.mutate(self.bind(principal, path, args)?, None).await;
        Ok(serde_json::from_str(&done.with_context(|| path.to_owned())?.value)?)
    }

    pub fn user(&self) -> &Principal {
        &self.user
    }

    /// A new thread with one question and one answer.
    pub async fn thread(&self) -> Result<String> {
        let thread = self.call(&self.user, "threads:create", json!({})).await?;
        let thread = thread.as_str().with_context(|| format!("threads:create answered {thread}"))?.to_owned();
        for role in ["user", "assistant"] {
            let args = json!({ "threadId": thread, "role": role, "text": TEXT });
            self.call(&Principal::System, "messages:append", args).await?;
        }
        Ok(thread)
    }

    /// Copies the first two messages of `thread` until it has `count`.
    pub async fn grow(&self, thread: &str, count: u64) -> Result<()> {
        let id: Arc<Id<Thread>> = Arc::new(Id::parse(thread)?);
        loop {
            let id = Arc::clone(&id);
            let done = self.store.mutate(Arc::new(move |tx| copy(tx, &id, count)), None).await?;
            if &*done.value == "0" {
                return Ok(());
            }
        }
    }
}

/// Adds up to [`ROWS`] messages; returns how many.
fn copy(tx: &mut spool_store::Tx<'_>, id: &Id<Thread>, count: u64) -> Result<String, spool_protocol::Error> {
    let Some(mut thread) = tx.get(id)? else { return Ok("0".to_owned()) };
    let templates = tx.query::<Message>(message::BY_THREAD).eq(id).take(2)?;
    let missing = count.saturating_sub(thread.next_seq).min(ROWS);
    for at in 0..missing {
        let Some(template) = templates.get((at % 2) as usize) else { return Ok("0".to_owned()) };
        let mut message = Message { id: tx.new_id(), seq: thread.next_seq, ..template.clone() };
        message.created_at = tx.now();
        tx.put(&message)?;
        thread.next_seq += 1;
        thread.message_count += 1;
    }
    thread.history_version += missing;
    tx.put(&thread)?;
    Ok(missing.to_string())
}

/// Fills `data` with `messages` messages in threads of `each`. Shows how far it is.
pub async fn fill(data: &Path, messages: u64, each: u64) -> Result<PathBuf> {
    let mut made = 0;
    while made < messages {
        let chat = Chat::open(data, Synchronous::Normal).await?;
        let until = (made + ROWS_PER_OPENING).min(messages);
        while made < until {
            let thread = chat.thread().await?;
            chat.grow(&thread, each).await?;
            made += each;
        }
        drop(chat);
        eprintln!("  filled {made} of {messages} messages");
    }
    Ok(data.join("spool.db"))
}
