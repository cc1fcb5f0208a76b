//! A store with users on it, and shorter words for calling functions.

use std::sync::Arc;

use serde_json::{Value, json};
use spool_chat::registry::{Kind, find, find_internal};
use spool_chat::tables::Upload;
use spool_chat::{CallContext, Principal, SCHEMA, Settings};
use spool_protocol::{Code, Error, Event};
use spool_store::backend::sqlite::{SqliteBackend, Synchronous};
use spool_store::{Clock as _, Id, Store, StoreOptions, VirtualClock};

pub struct Stage {
    pub store: Store,
    pub clock: Arc<VirtualClock>,
    pub settings: Arc<Settings>,
    pub u1: Principal,
    pub u2: Principal,
    pub dir: tempfile::TempDir,
}

/// The ids of one turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    pub thread: String,
    pub user_message: String,
    pub message: String,
    pub generation: String,
}

pub const OWNER: &str = "driver-1";

impl Stage {
    pub async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let backend = SqliteBackend::open(&dir.path().join("spool.db"), SCHEMA, Synchronous::Normal).unwrap();
        let clock = Arc::new(VirtualClock::at_ms(1_700_000_000_000));
        let store =
            Store::open(std::sync::Arc::new(backend), StoreOptions { clock: clock.clone(), readers: 2 }).unwrap();
        let nobody = Principal::Anonymous;
        let mut stage = Self { store, clock, settings: Arc::new(settings), u1: nobody.clone(), u2: nobody, dir };
        stage.u1 = stage.user("one").await;
        stage.u2 = stage.user("two").await;
        stage
    }

    pub async fn user(&self, subject: &str) -> Principal {
        let args = json!({ "issuer": "test", "subject": subject, "kind": "full", "name": subject });
        let id = self.ok(&Principal::System, "users:provision", args).await;
        Principal::User { user: Id::parse(id.as_str().unwrap()).unwrap() }
    }

    pub async fn service(&self, scopes: &[&str]) -> Principal {
        let hash = spool_chat::tables::credential::secret_hash(&scopes.join(","));
        let args = json!({ "scopes": scopes, "secretHash": hash });
        let key = self.ok(&Principal::System, "keys:create", args).await;
        Principal::Service {
            key: Id::parse(key["_id"].as_str().unwrap()).unwrap(),
            user: Id::parse(key["userId"].as_str().unwrap()).unwrap(),
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
        }
    }

    /// A machine of `owner` with a worker that waits for approval: their ids.
    pub async fn pending_worker(&self, owner: &Principal, name: &str) -> (String, String) {
        let machine = text(&self.ok(owner, "machines:create", json!({ "name": name })).await);
        let worker = self.worker_on(owner, &machine, name).await;
        (machine, worker)
    }

    pub async fn worker_on(&self, owner: &Principal, machine: &str, secret: &str) -> String {
        let hash = spool_chat::tables::credential::secret_hash(&format!("{machine} {secret}"));
        let args = json!({ "user": owner.user(), "machineId": machine, "name": secret, "secretHash": hash });
        text(&self.system("workers:insert", args).await["_id"])
    }

    /// An approved worker of `owner` on a machine of its own.
    pub async fn worker(&self, owner: &Principal, name: &str) -> Principal {
        let (machine, worker) = self.pending_worker(owner, name).await;
        self.ok(owner, "workers:approve", json!({ "workerId": worker })).await;
        Principal::Worker {
            worker: Id::parse(&worker).unwrap(),
            machine: Id::parse(&machine).unwrap(),
            user: owner.user().unwrap().clone(),
        }
    }

    /// A session of `principal`, whose secret is made of its method; ends in an hour.
    pub async fn session(&self, principal: &Principal, method: &str) -> String {
        let user = principal.user().unwrap();
        let hash = spool_chat::tables::credential::secret_hash(&format!("{user} {method}"));
        let expires_at = self.clock.now_ms() + 3_600_000;
        let args = json!({ "userId": user, "secretHash": hash, "expiresAt": expires_at, "method": method });
        text(&self.system("credentials:openSession", args).await)
    }

    /// The id of a call of a tool in an answer of this thread that is over.
    pub async fn tool_call(&self, owner: &Principal, thread: &str) -> String {
        let turn = self.send(owner, thread, "call something").await;
        let claimed = json!({ "generationId": turn.generation, "owner": OWNER });
        let epoch = self.system("driver:claim", claimed).await["epoch"].clone();
        let mut lease = json!({ "generationId": turn.generation, "owner": OWNER, "epoch": epoch });
        self.system("driver:append", begin(lease.clone())).await;
        let verdict = json!({ "type": "fail", "message": "There is no such tool." });
        let call = json!({ "toolCallId": "call_1", "tool": "nope", "input": {}, "verdict": verdict });
        let standing = self.system("driver:submit", json!({ "lease": lease, "events": [], "calls": [call] })).await;
        lease["status"] = json!("complete");
        self.system("driver:finish", lease).await;
        text(&standing["calls"][0]["_id"])
    }

    pub async fn call(&self, principal: &Principal, path: &str, args: Value) -> Result<Value, Error> {
        let function = if *principal == Principal::System { find_internal(path)? } else { find(path)? };
        let ctx = CallContext::new(principal.clone(), Arc::clone(&self.settings));
        let run = Arc::new(move |tx: &mut spool_store::Tx<'_>| function.call(tx, &ctx, args.clone()));
        let text = match function.kind {
            Kind::Query => self.store.query(run).await?.1,
            Kind::Mutation | Kind::Action => self.store.mutate(run, None).await?.value.to_string(),
        };
        Ok(serde_json::from_str(&text).unwrap())
    }

    pub async fn ok(&self, principal: &Principal, path: &str, args: Value) -> Value {
        self.call(principal, path, args).await.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    pub async fn refused(&self, principal: &Principal, path: &str, args: Value) -> Error {
        match self.call(principal, path, args).await {
            Err(error) => error,
            Ok(value) => panic!("{path} answered {value}"),
        }
    }

    pub async fn code(&self, principal: &Principal, path: &str, args: Value) -> Code {
        self.refused(principal, path, args).await.code
    }

    pub async fn system(&self, path: &str, args: Value) -> Value {
        self.ok(&Principal::System, path, args).await
    }

    pub fn clock_ms(&self) -> u64 {
        spool_store::Clock::now_ms(&*self.clock)
    }

    /// A new thread of `principal`.
    pub async fn thread(&self, principal: &Principal) -> String {
        text(&self.ok(principal, "threads:create", json!({})).await)
    }

    /// The arguments of `uploads:create` for three bytes of text under a fresh id.
    pub fn upload_args(&self, principal: &Principal, thread: &str, name: &str) -> Value {
        let id: Id<Upload> = Id::fresh(1_700_000_000_000);
        json!({
            "id": id, "threadId": thread, "user": principal.user(), "fileName": name, "mediaType": "text/plain",
            "size": 3, "sha256": "00",
        })
    }

    /// A new file of the thread; its bytes are nowhere.
    pub async fn upload(&self, principal: &Principal, thread: &str, name: &str) -> String {
        let created = self.system("uploads:create", self.upload_args(principal, thread, name)).await;
        text(&created["upload"]["_id"])
    }

    pub async fn send(&self, principal: &Principal, thread: &str, said: &str) -> Turn {
        let sent = self.ok(principal, "turns:send", json!({ "threadId": thread, "text": said })).await;
        turn_of(thread, &sent)
    }

    /// Claims and starts as [`OWNER`]; returns the epoch.
    pub async fn start(&self, generation: &str) -> u64 {
        let claim = self.system("driver:claim", json!({ "generationId": generation, "owner": OWNER })).await;
        let epoch = claim["epoch"].as_u64().unwrap();
        self.system("driver:append", begin(held(generation, epoch))).await;
        epoch
    }

    /// A stage with an answer that the server makes, in a thread of the first user, and the epoch of its lease.
    pub async fn answering(settings: Settings) -> (Self, Turn, u64) {
        let stage = Self::with(settings).await;
        let thread = stage.thread(&stage.u1).await;
        let turn = stage.send(&stage.u1, &thread, "write").await;
        let epoch = stage.start(&turn.generation).await;
        (stage, turn, epoch)
    }

    /// Appends at `offset`, as the driver does; returns the end.
    pub async fn append(&self, generation: &str, offset: u64, events: &[Event]) -> u64 {
        let units = events.iter().map(Event::units).sum();
        self.store.append(generation, offset, units, serde_json::to_string(events).unwrap()).await.unwrap()
    }

    /// The driver's whole work on a waiting generation.
    pub async fn answer(&self, generation: &str, said: &str, status: &str) {
        let epoch = self.start(generation).await;
        self.append(generation, 0, &[words(said)]).await;
        let mut args = held(generation, epoch);
        args["status"] = json!(status);
        self.system("driver:finish", args).await;
    }

    pub async fn messages(&self, principal: &Principal, thread: &str) -> Vec<Value> {
        let args = json!({ "threadId": thread, "paginationOpts": { "numItems": 1000, "cursor": null } });
        self.ok(principal, "messages:page", args).await["page"].as_array().unwrap().clone()
    }

    /// Every violation of an invariant in the whole store.
    pub async fn violations(&self) -> Vec<Value> {
        let (mut found, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let report = self.system("doctor:check", json!({ "cursor": cursor })).await;
            found.extend(report["violations"].as_array().unwrap().iter().cloned());
            match report.get("cursor") {
                Some(next) => cursor = next.clone(),
                None => return found,
            }
        }
    }

    pub async fn healthy(&self) {
        assert_eq!(self.violations().await, Vec::<Value>::new());
    }
}

pub fn turn_of(thread: &str, sent: &Value) -> Turn {
    Turn {
        thread: thread.to_owned(),
        user_message: text(&sent["userMessageId"]),
        message: text(&sent["messageId"]),
        generation: text(&sent["generationId"]),
    }
}

pub fn held(generation: &str, epoch: u64) -> Value {
    json!({ "generationId": generation, "owner": OWNER, "epoch": epoch })
}

/// The first write of a driver, without any event.
pub fn begin(lease: Value) -> Value {
    json!({ "lease": lease, "events": [] })
}

pub fn words(text: &str) -> Event {
    Event::Text { text: text.into() }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}
