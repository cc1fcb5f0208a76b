//! An MCP server in Rust in a whole turn: it is called, changes its tools in the middle, dies, and comes back.

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

async fn call(app: &App, principal: &Principal, path: &str, args: Value) -> Value {
    let function = registry::find_internal(path).unwrap();
    let context = CallContext::new(principal.clone(), Arc::default());
    let run = Arc::new(move |tx: &mut spool_store::Tx<'_>| function.call(tx, &context, args.clone()));
    let done = app.functions.store().mutate(run, None).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&done.value).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tc_10_an_mcp_server_in_rust_serves_a_turn_while_it_changes_and_dies() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("spool.toml");
    let harmless = ["change", "hang", "die"].map(|tool| format!("[tools.mcp.rust.tools.{tool}]\nwrites = false"));
    let agent = "[agents.assistant]\ntools = [\"rust_*\"]\nmax_steps = 10";
    std::fs::write(&file, format!("{}\n{}\n{agent}\n", config("rust", "timeout_seconds = 10"), harmless.join("\n")))
        .unwrap();
    let mut config = Config::load(Some(&file), &|_| None).unwrap();
    config.data = dir.path().join("data");
    let data = DataDir::own(&config.data).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shutdown = CancellationToken::new();
    let address = listener.local_addr().unwrap();
    let app = App::open(config, address, data, Arc::new(SystemClock), shutdown.clone()).unwrap();
    let serving = tokio::spawn(app::serve(Arc::clone(&app), listener));

    let person = json!({ "issuer": "test", "subject": "one", "kind": "full" });
    let user = call(&app, &Principal::System, "users:provision", person).await;
    let owner = Principal::User { user: serde_json::from_value(user).unwrap() };
    let thread = call(&app, &owner, "threads:create", json!({})).await;
    // Its list may not have been read again when the turn calls what is no longer on it: then that call hangs until
    // its time is over, and ends as an error all the same.
    let one = |tool: &str| json!({ "toolCalls": [{ "tool": tool, "input": { "say": "hello" } }] });
    let steps = json!([one("rust_echo"), one("rust_change"), one("rust_hang"), one("rust_die"), one("rust_echo"),
        { "deltas": ["All called."] }]);
    let text = format!("/script {}", json!({ "steps": steps }));
    let sent = call(&app, &owner, "turns:send", json!({ "threadId": thread, "text": text })).await;

    let began = tokio::time::Instant::now();
    let message = loop {
        let message = call(&app, &owner, "messages:get", json!({ "messageId": sent["messageId"] })).await;
        if message["completedAt"].is_u64() {
            break message;
        }
        if began.elapsed() > PATIENCE {
            let page = json!({ "threadId": thread, "paginationOpts": { "numItems": 10, "cursor": null } });
            panic!("the turn does not end: {}", call(&app, &owner, "toolCalls:listByThread", page).await);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!((&message["status"], &message["text"]), (&json!("complete"), &json!("All called.")), "{message}");
    let page = json!({ "threadId": thread, "paginationOpts": { "numItems": 10, "cursor": null } });
    let rows = call(&app, &owner, "toolCalls:listByThread", page).await;
    let mut rows = rows["page"].as_array().unwrap().clone();
    rows.reverse();
    let states: Vec<(&str, &str)> =
        rows.iter().map(|row| (row["tool"].as_str().unwrap(), row["state"].as_str().unwrap())).collect();
    let expected = [
        ("rust_echo", "completed"),
        ("rust_change", "completed"),
        ("rust_hang", "error"),
        ("rust_die", "error"),
        ("rust_echo", "completed"),
    ];
    assert_eq!(states, expected, "{rows:?}");
    assert_eq!(rows[0]["output"]["input"]["say"], "hello");
    assert_eq!(rows[0]["output"]["meta"]["spool/callId"], rows[0]["_id"]);
    assert_ne!(rows[0]["output"]["pid"], rows[4]["output"]["pid"], "it was started again");
    shutdown.cancel();
    serving.await.unwrap().unwrap();
}
