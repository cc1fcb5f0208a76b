//! Calls of named functions: binds the function table to the store.
//!
//! Every wire and every task of the server comes through here, with a principal in hand. Failures that
//! are the server's own get a request id, are logged once with it, and are shown without their cause.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::Value;
use spool_chat::registry::{self, Function, Kind};
use spool_chat::{CallContext, Principal, Settings};
use spool_protocol::convex::value::check_result;
use spool_protocol::{Code, Error};
use spool_store::commit::MutationFn;
use spool_store::live::{QueryFn, Subscription};
use spool_store::{Committed, LedgerKey, Store, Timestamp};
use tokio::sync::{Notify, oneshot};

use crate::audit::Denials;
use crate::metrics::Metrics;
use crate::origin;

/// Below the message limit of the Rust client, 64 MiB, with room for a Transition around it. Every stored
/// message fits: it is served at most twice in one view.
const RESULT_BYTES: usize = 60 << 20;

#[derive(Clone)]
pub struct Functions {
    store: Store,
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    denials: Arc<Denials>,
}

impl Functions {
    pub fn new(store: Store, settings: Arc<Settings>, metrics: Arc<Metrics>) -> Self {
        Self { store, settings, metrics, denials: Arc::default() }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Where refusals are noted for the audit trail.
    pub fn denials(&self) -> &Denials {
        &self.denials
    }

    /// A public function (or, for the server itself, any) of the wanted kind.
    pub fn find(&self, path: &str, kind: Kind, principal: &Principal) -> Result<&'static Function, Error> {
        let function = find(path, principal)?;
        function.expect_kind(kind)?;
        Ok(function)
    }

    /// The function with its arguments, to be run inside a transaction, once or more often.
    fn bind(&self, function: &'static Function, principal: &Arc<Principal>, args: Value) -> QueryFn {
        let facts = origin::current().facts.clone();
        let context = CallContext::new(Principal::clone(principal), Arc::clone(&self.settings)).with(facts);
        let runs = self.metrics.runs_of(function.path);
        let denials = Arc::clone(&self.denials);
        let metrics = Arc::clone(&self.metrics);
        Arc::new(move |tx| {
            runs.inc();
            let result = function.call(tx, &context, args.clone()).and_then(checked);
            match (&result, function.path) {
                (Ok(answer), "generations:append") => note_unpaired(&metrics, &args, answer),
                // A repetition is answered the same, and changes nothing.
                (Ok(answer), "generations:finish") if tx.has_changed() => note_difference(&metrics, &args, answer),
                _ => {}
            }
            match &result {
                Ok(result) => denials.note_parts(&context, function.path, &args, tx.now(), result),
                Err(error) => denials.note(&context, function.path, &args, tx.now(), error),
            }
            result.map_err(|error| shown(function.path, error))
        })
    }

    /// Whoever waits outside is told when there is too much to do. The server's own tasks hold leases, and wait.
    fn queue(&self) -> Store {
        if origin::is_request() { self.store.clone() } else { self.store.patient() }
    }

    pub async fn query(
        &self, path: &str, principal: &Arc<Principal>, args: Value,
    ) -> Result<(Timestamp, String), Error> {
        let function = self.find(path, Kind::Query, principal)?;
        self.queue().query(self.bind(function, principal, args)).await
    }

    /// A query as of a timestamp that was handed out lately.
    pub async fn query_at(
        &self, ts: Timestamp, path: &str, principal: &Arc<Principal>, args: Value,
    ) -> Result<String, Error> {
        let function = self.find(path, Kind::Query, principal)?;
        self.store.query_at(ts, self.bind(function, principal, args)).await
    }

    pub async fn mutate(
        &self, path: &str, principal: &Arc<Principal>, args: Value, ledger: Option<LedgerKey>,
    ) -> Result<Committed, Error> {
        self.submit(path, principal, args, ledger).await?.await.map_err(|_| gone())?
    }

    /// Takes a place in the order of mutations; the answer comes through the receiver.
    pub async fn submit(
        &self, path: &str, principal: &Arc<Principal>, args: Value, ledger: Option<LedgerKey>,
    ) -> Result<oneshot::Receiver<Result<Committed, Error>>, Error> {
        let function = self.find(path, Kind::Mutation, principal)?;
        let run: MutationFn = self.bind(function, principal, args);
        let ledger = ledger.filter(|_| function.keeps_answer());
        self.queue().submit_mutation(run, ledger).await
    }

    /// Subscribes to a query. Equal path, arguments, principal and journal share one run.
    pub fn subscribe(
        &self, path: &str, principal: &Arc<Principal>, args: Value, journal: Option<&str>, wake: &Arc<Notify>,
    ) -> Result<Subscription, Error> {
        let function = self.find(path, Kind::Query, principal)?;
        let key = format!("{}\n{}\n{}\n{}", function.path, principal.key(), args, journal.unwrap_or_default());
        let run = self.bind(function, principal, args);
        Ok(self.store.subscribe(key, journal.map(Arc::from), run, Arc::clone(wake)))
    }

    pub async fn query_as_system(&self, path: &str, args: Value) -> Result<(Timestamp, String), Error> {
        self.query(path, &Arc::new(Principal::System), args).await
    }

    pub async fn mutate_as_system(&self, path: &str, args: Value) -> Result<String, Error> {
        let committed = self.mutate(path, &Arc::new(Principal::System), args, None).await?;
        Ok(committed.value.to_string())
    }

    /// What a query answers the server itself.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str, args: Value) -> Result<T, Error> {
        decoded(path, &self.query_as_system(path, args).await?.1)
    }

    /// What a mutation answers the server itself.
    pub async fn tell<T: DeserializeOwned>(&self, path: &str, args: Value) -> Result<T, Error> {
        decoded(path, &self.mutate_as_system(path, args).await?)
    }
}

/// What a function answered, as the type that it answers with.
pub fn decoded<T: DeserializeOwned>(path: &str, answer: &str) -> Result<T, Error> {
    serde_json::from_str(answer).map_err(|e| Error::internal(format!("{path}: {e}")))
}

/// Internal functions exist for the server itself only.
pub fn find(path: &str, principal: &Principal) -> Result<&'static Function, Error> {
    match principal {
        Principal::System => registry::find_internal(path),
        _ => registry::find(path),
    }
}

/// A runner told of the end of a call that had not begun: the log keeps it, and nothing shows it.
fn note_unpaired(metrics: &Metrics, args: &Value, answer: &str) {
    if !answer.contains("\"unpaired\":") {
        return;
    }
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let count = answer["unpaired"].as_array().map_or(0, Vec::len);
    metrics.tool_ends_unpaired.inc_by(count as u64);
    let generation = args["generationId"].as_str().unwrap_or_default();
    tracing::warn!(generation, count, "ends of tool calls without a beginning");
}

/// A runner ended an answer with another text than it had streamed: the message has the one, the log the other.
fn note_difference(metrics: &Metrics, args: &Value, answer: &str) {
    if answer.contains("\"textDiffers\":true") {
        metrics.texts_differed.inc();
        let generation = args["generationId"].as_str().unwrap_or_default();
        tracing::warn!(
            generation,
            "the final text of an answer is not the one that was streamed; the final one counts"
        );
    }
}

fn checked(result: String) -> Result<String, Error> {
    if result.len() > RESULT_BYTES {
        let message = format!("the result has {} bytes: ask for a page", result.len());
        return Err(Error::new(Code::TooLarge, message).with("limit", RESULT_BYTES));
    }
    check_result(&result)?;
    Ok(result)
}

/// What a caller sees of a failure: everything, except the cause of a fault of ours.
pub fn shown(place: &str, error: Error) -> Error {
    if error.code != Code::Internal {
        return error;
    }
    let request_id = request_id();
    tracing::error!(place, request_id, cause = %error.message, "request failed");
    Error::new(Code::Internal, format!("[Request ID: {request_id}] Server Error")).with("requestId", request_id)
}

/// 16 hexadecimal characters.
pub fn request_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

fn gone() -> Error {
    Error::new(Code::Overloaded, "the server is shutting down")
}
