//! Tools in whole turns: an MCP server in Rust is called, changes its tools in the middle, dies, and comes back; and
//! what is not offered is denied.

use std::sync::Arc;

use serde_json::{Value, json};
use spool_chat::registry;
use spool_chat::{CallContext, Principal};
use spool_server::app::{self, App};
use spool_server::config::Config;
use spool_server::data_dir::DataDir;
use spool_store::SystemClock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::place::PATIENCE;
use crate::process::config;

/// A server with a thread of one person.
struct Room {
    app: Arc<App>,
    owner: Principal,
    thread: Value,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<anyhow::Result<()>>,
    _dir: tempfile::TempDir,
}

impl Room {
    async fn open(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("spool.toml");
        std::fs::write(&file, text).unwrap();
        let mut config = Config::load(Some(&file), &|_| None).unwrap();
        config.data = dir.path().join("data");
        let data = DataDir::own(&config.data).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shutdown = CancellationToken::new();
        let address = listener.local_addr().unwrap();
        let app = App::open(config, address, data, Arc::new(SystemClock), shutdown.clone()).unwrap();
        let serving = tokio::spawn(app::serve(Arc::clone(&app), listener));
        let owner = Principal::System;
        let mut room = Self { app, owner, thread: Value::Null, shutdown, serving, _dir: dir };
        let person = json!({ "issuer": "test", "subject": "one", "kind": "full" });
        let user = room.call("users:provision", person).await;
        room.owner = Principal::User { user: serde_json::from_value(user).unwrap() };
        room.thread = room.call("threads:create", json!({})).await;
        room
    }

    async fn call(&self, path: &str, args: Value) -> Value {
        let function = registry::find_internal(path).unwrap();
        let context = CallContext::new(self.owner.clone(), Arc::default());
        let run = Arc::new(move |tx: &mut spool_store::Tx<'_>| function.call(tx, &context, args.clone()));
        let done = self.app.functions.store().mutate(run, None).await;
        serde_json::from_str(&done.unwrap_or_else(|error| panic!("{path}: {error}")).value).unwrap()
    }

    /// The calls of the thread, oldest first.
    async fn calls(&self) -> Vec<Value> {
        let page = json!({ "threadId": self.thread, "paginationOpts": { "numItems": 10, "cursor": null } });
        let mut rows = self.call("toolCalls:listByThread", page).await["page"].as_array().unwrap().clone();
        rows.reverse();
        rows
    }

    /// A turn in which the model does what `steps` dictate: the answer.
    async fn turn(&self, steps: Value) -> Value {
        let text = format!("/script {}", json!({ "steps": steps }));
        let sent = self.call("turns:send", json!({ "threadId": self.thread, "text": text })).await;
        let began = tokio::time::Instant::now();
        loop {
            let message = self.call("messages:get", json!({ "messageId": sent["messageId"] })).await;
            if message["completedAt"].is_u64() {
                return message;
            }
            assert!(began.elapsed() < PATIENCE, "the turn does not end: {:?}", self.calls().await);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn close(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap().unwrap();
    }
}

fn one(tool: &str) -> Value {
    json!({ "toolCalls": [{ "tool": tool, "input": { "say": "hello" } }] })
}

fn ends(calls: &[Value]) -> Vec<(&str, &str)> {
    calls.iter().map(|row| (row["tool"].as_str().unwrap(), row["state"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tc_10_an_mcp_server_in_rust_serves_a_turn_while_it_changes_and_dies() {
    let harmless = ["change", "hang", "die"].map(|tool| format!("[tools.mcp.rust.tools.{tool}]\nwrites = false"));
    let agent = "[agents.assistant]\ntools = [\"rust_*\"]\nmax_steps = 10";
    let room =
        Room::open(&format!("{}\n{}\n{agent}\n", config("rust", "timeout_seconds = 10"), harmless.join("\n"))).await;
    // Its list may not have been read again when the turn calls what is no longer on it: then that call hangs until
    // its time is over, and ends as an error all the same.
    let change = json!({ "toolCalls": [{ "tool": "rust_change", "input": {} }] });
    let steps = json!([one("rust_echo"), change, one("rust_hang"), one("rust_die"), one("rust_echo"), { "deltas": ["All called."] }]);
    let message = room.turn(steps).await;
    assert_eq!((&message["status"], &message["text"]), (&json!("complete"), &json!("All called.")), "{message}");
    let rows = room.calls().await;
    let expected = [
        ("rust_echo", "completed"),
        ("rust_change", "completed"),
        ("rust_hang", "error"),
        ("rust_die", "error"),
        ("rust_echo", "completed"),
    ];
    assert_eq!(ends(&rows), expected, "{rows:?}");
    assert_eq!(rows[0]["output"]["input"]["say"], "hello");
    assert_eq!(rows[0]["output"]["meta"]["spool/callId"], rows[0]["_id"]);
    assert_ne!(rows[0]["output"]["pid"], rows[4]["output"]["pid"], "it was started again");
    room.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tc_04_where_nothing_is_offered_a_call_of_a_tool_that_there_is_is_denied_and_in_the_audit() {
    let room = Room::open("").await;
    let message = room.turn(json!([one("remember"), one("nope"), { "deltas": ["I may not."] }])).await;
    assert_eq!(message["text"], "I may not.", "{message}");
    let rows = room.calls().await;
    assert_eq!(ends(&rows), [("remember", "denied"), ("nope", "error")], "{rows:?}");
    let mine = json!({ "paginationOpts": { "numItems": 10, "cursor": null } });
    let audit = room.call("audit:mine", mine).await;
    let denied = |entry: &&Value| entry["action"] == "tool.call" && entry["outcome"] == "denied";
    assert_eq!(audit["page"].as_array().unwrap().iter().filter(denied).count(), 1, "{audit}");
    room.close().await;
}
