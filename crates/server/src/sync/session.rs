//! What one client has asked for and been told: its query set, identity and versions.
//!
//! The rules are those of the protocol's invariants: versions chain, a Transition answers every `Add`,
//! all results of a Transition are of one timestamp, nothing unchanged is sent again. Knows no socket.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use spool_protocol::convex::Text;
use spool_protocol::convex::client::{Add, Modification, ModifyQuerySet};
use spool_protocol::convex::server::{self, Version};
use spool_protocol::convex::value::decode_args;
use spool_protocol::{Code, Error};
use spool_store::live::{Output, Subscription};
use tokio::sync::Notify;

use crate::auth::Identity;
use crate::functions::Functions;

/// Live queries of one client. A page rarely has a hundred.
const QUERIES: usize = 1_000;
/// What the live queries of one client are asked with, together: as much as one function takes. It is kept as long
/// as they are.
const ASKED_BYTES: usize = 16 << 20;

/// The message cannot be understood in the state that the connection is in: it must be closed, and the
/// client starts again from nothing. Holds the reason.
#[derive(Debug)]
pub struct OutOfStep(pub String);

pub struct Session {
    functions: Functions,
    pub identity: Identity,
    /// Notified when a result may be stale.
    pub wake: Arc<Notify>,
    sent: Version,
    query_set: u32,
    identity_version: u32,
    queries: BTreeMap<u32, Query>,
    asked_bytes: usize,
    removed: Vec<u32>,
    /// A Transition must be sent even if no result has changed.
    owed: bool,
    skew_ms: Option<i64>,
}

struct Query {
    path: String,
    args: Value,
    /// What it was asked with.
    bytes: usize,
    journal: Option<Arc<str>>,
    source: Source,
    told: Option<Arc<Output>>,
}

impl Query {
    /// One that was never run, and never will be.
    fn broken(error: Error) -> Self {
        let source = Source::broken(error);
        Self { path: String::new(), args: Value::Null, bytes: 0, journal: None, source, told: None }
    }
}

enum Source {
    Live(Subscription),
    /// Could not even be subscribed: an unknown function, arguments that are no JSON.
    Broken(Arc<Output>),
}

impl Source {
    fn broken(error: Error) -> Self {
        Self::Broken(Arc::new(Output { value: Err(error), journal: None }))
    }
}

impl Session {
    pub fn new(functions: Functions) -> Self {
        Self {
            functions,
            identity: Identity::anonymous(),
            wake: Arc::new(Notify::new()),
            sent: Version::default(),
            query_set: 0,
            identity_version: 0,
            queries: BTreeMap::new(),
            asked_bytes: 0,
            removed: Vec::new(),
            owed: false,
            skew_ms: None,
        }
    }

    /// The number of identities that the client has announced.
    pub fn identity_version(&self) -> u32 {
        self.identity_version
    }

    pub fn owes_transition(&self) -> bool {
        self.owed
    }

    pub fn owe_transition(&mut self) {
        self.owed = true;
    }

    /// Whether the client has said what it wants to know. Before that, a Transition would tell an npm
    /// client that all its queries are gone.
    pub fn has_query_set(&self) -> bool {
        self.query_set > 0
    }

    /// Whether the first Transition of the connection is out.
    pub fn has_begun(&self) -> bool {
        self.sent != Version::default()
    }

    pub fn note_client_clock(&mut self, client_ms: f64, now_ms: u64) {
        self.skew_ms = Some((client_ms as i64).saturating_sub(now_ms.cast_signed()));
    }

    pub fn modify(&mut self, change: ModifyQuerySet) -> Result<(), OutOfStep> {
        if change.base_version != self.query_set || change.new_version <= change.base_version {
            let (base, ours) = (change.base_version, self.query_set);
            return Err(OutOfStep(format!("QuerySetVersionMismatch: base {base}, server has {ours}")));
        }
        for modification in change.modifications {
            match modification {
                Modification::Add(add) => self.add(add)?,
                Modification::Remove(id) => {
                    let Some(removed) = self.queries.remove(&id) else {
                        return Err(OutOfStep(format!("UnknownQueryId: {id}")));
                    };
                    self.asked_bytes -= removed.bytes;
                    self.removed.push(id);
                }
            }
        }
        self.query_set = change.new_version;
        self.owed = true;
        Ok(())
    }

    fn add(&mut self, add: Add) -> Result<(), OutOfStep> {
        if self.queries.contains_key(&add.query_id) {
            return Err(OutOfStep(format!("DuplicateQueryId: {}", add.query_id)));
        }
        let bytes = add.udf_path.len() + add.args.get().len() + add.journal.as_ref().map_or(0, String::len);
        let overloaded = |message: String| Query::broken(Error::new(Code::Overloaded, message));
        let query = if self.queries.len() >= QUERIES {
            overloaded(format!("one client may have {QUERIES} live queries"))
        } else if self.asked_bytes + bytes > ASKED_BYTES {
            overloaded(format!("the live queries of one client may have arguments of {ASKED_BYTES} bytes together"))
        } else if add.component_path.is_some_and(|path| !path.is_empty()) {
            Query::broken(Error::new(Code::FunctionNotFound, "there are no components here"))
        } else {
            match decode_args(&add.args) {
                Ok(args) => {
                    self.asked_bytes += bytes;
                    let journal: Option<Arc<str>> = add.journal.map(Arc::from);
                    let source = self.subscribe(&add.udf_path, args.clone(), journal.as_deref());
                    Query { path: add.udf_path, args, bytes, journal, source, told: None }
                }
                Err(error) => Query::broken(error),
            }
        };
        self.queries.insert(add.query_id, query);
        Ok(())
    }

    fn subscribe(&self, path: &str, args: Value, journal: Option<&str>) -> Source {
        self.functions
            .subscribe(path, &self.identity.principal, args, journal, &self.wake)
            .map_or_else(Source::broken, Source::Live)
    }

    /// Takes on an identity. Only another principal makes queries run again; a renewed token does not.
    pub fn authenticate(&mut self, base_version: u32, identity: Identity) -> Result<(), OutOfStep> {
        if base_version != self.identity_version {
            let ours = self.identity_version;
            return Err(OutOfStep(format!("IdentityVersionMismatch: base {base_version}, server has {ours}")));
        }
        let same = identity.principal.key() == self.identity.principal.key();
        self.identity = identity;
        self.identity_version += 1;
        self.owed = true;
        if !same {
            let mut queries = std::mem::take(&mut self.queries);
            for query in queries.values_mut().filter(|query| !query.args.is_null()) {
                // Where a page ends in the rows of one user is no place in those of another.
                query.journal = None;
                query.source = self.subscribe(&query.path, query.args.clone(), None);
            }
            self.queries = queries;
        }
        Ok(())
    }

    /// Brings the client up to now: the Transition, or `None` if there is nothing to tell.
    pub async fn transition(&mut self) -> Result<Option<Text>, Error> {
        let subscriptions: Vec<&Subscription> = self
            .queries
            .values()
            .filter_map(|query| match &query.source {
                Source::Live(subscription) => Some(subscription),
                Source::Broken(_) => None,
            })
            .collect();
        let store = self.functions.store();
        let (ts, outputs) = store.evaluate(&subscriptions).await?;
        let mut outputs = outputs.into_iter();
        let mut changed = Vec::new();
        for (id, query) in &mut self.queries {
            let output = match &query.source {
                Source::Live(_) => outputs.next(),
                Source::Broken(output) => Some(Arc::clone(output)),
            };
            let Some(output) = output else { return Err(Error::internal("fewer results than queries")) };
            // A run that came to the same result shares the old `Arc`; another principal's may be equal too.
            if query.told.as_ref().is_none_or(|told| !Arc::ptr_eq(told, &output) && *told != output) {
                query.journal.clone_from(&output.journal);
                query.told = Some(Arc::clone(&output));
                changed.push((*id, output));
            }
        }
        if changed.is_empty() && self.removed.is_empty() && !self.owed {
            return Ok(None);
        }
        let end = Version { query_set: self.query_set, identity: self.identity_version, ts: ts.max(self.sent.ts) };
        let removed = self.removed.drain(..).map(|query_id| server::Modification::Removed { query_id });
        let updated = changed.iter().map(|(query_id, output)| {
            let (query_id, journal) = (*query_id, output.journal.as_deref());
            match &output.value {
                Ok(value) => server::Modification::Updated { query_id, value, journal },
                Err(error) => server::Modification::Failed { query_id, error, journal },
            }
        });
        let modifications: Vec<_> = removed.chain(updated).collect();
        let clocks = self.skew_ms.map(|skew| (skew, store.clock().now_ns()));
        let text = server::transition(self.sent, end, &modifications, clocks);
        self.sent = end;
        self.owed = false;
        Ok(Some(text))
    }
}
