//! The turn driver of a running server: leases that are lost or run long, and writes that are refused.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use spool_chat::registry;
use spool_chat::{CallContext, Principal};
use spool_server::app::{self, App};
use spool_server::config::Config;
use spool_server::data_dir::DataDir;
use spool_store::SystemClock;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// No test waits longer for what has to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server with one user, who has one thread.
struct Place {
    app: Arc<App>,
    owner: Principal,
    thread: Value,
    shutdown: CancellationToken,
    listener: Option<TcpListener>,
    serving: Option<JoinHandle<anyhow::Result<()>>>,
    _dir: tempfile::TempDir,
}

impl Place {
    async fn open(config: &str) -> Self {
        let mut place = Self::closed(config).await;
        place.serve();
        place
    }

    /// A server that is about to start: nobody works on what is in its rows yet.
    async fn closed(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("spool.toml");
        std::fs::write(&file, config).unwrap();
        let mut config = Config::load(Some(&file), &|_| None).unwrap();
        config.data = dir.path().join("data");
        let data = DataDir::own(&config.data).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shutdown = CancellationToken::new();
        let address = listener.local_addr().unwrap();
        let app = App::open(config, address, data, Arc::new(SystemClock), shutdown.clone()).unwrap();
        let (owner, thread, listener) = (Principal::Anonymous, Value::Null, Some(listener));
        let mut place = Self { app, owner, thread, shutdown, listener, serving: None, _dir: dir };
        let person = json!({ "issuer": "test", "subject": "one", "kind": "full" });
        let user = place.call(&Principal::System, "users:provision", person).await;
        place.owner = Principal::User { user: serde_json::from_value(user).unwrap() };
        place.thread = place.call(&place.owner, "threads:create", json!({})).await;
        place
    }

    fn serve(&mut self) {
        let listener = self.listener.take().unwrap();
        self.serving = Some(tokio::spawn(app::serve(Arc::clone(&self.app), listener)));
    }

    async fn call(&self, principal: &Principal, path: &str, args: Value) -> Value {
        let function = registry::find_internal(path).unwrap();
        let context = CallContext::new(principal.clone(), Arc::default());
        let run = Arc::new(move |tx: &mut spool_store::Tx<'_>| function.call(tx, &context, args.clone()));
        let done = self.app.functions.store().mutate(run, None).await.unwrap_or_else(|error| panic!("{path}: {error}"));
        serde_json::from_str(&done.value).unwrap()
    }

    /// A message that the demo answers by this script.
    async fn send(&self, script: Value, page: Option<Value>) -> Value {
        let mut args = json!({ "threadId": self.thread, "text": format!("/script {script}") });
        if let Some(page) = page {
            args["page"] = page;
        }
        self.call(&self.owner, "turns:send", args).await
    }

    /// What the driver watches of an answer, once it is as wanted.
    async fn until(&self, sent: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = tokio::time::Instant::now();
        loop {
            let args = json!({ "generationId": sent["generationId"] });
            let row = self.call(&Principal::System, "driver:watch", args).await;
            if wanted(&row) {
                return row;
            }
            assert!(began.elapsed() < PATIENCE, "it stays {row}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn complete(&self, sent: &Value) -> Value {
        self.until(sent, |row| row["status"] == "complete").await
    }

    async fn close(self) {
        self.shutdown.cancel();
        self.serving.unwrap().await.unwrap().unwrap();
    }
}

/// A tool for the page that answers with this, or never. Returns the configuration.
async fn page_tool(answer: Option<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            if let Some(body) = &answer {
                let mut request = vec![0; 16 << 10];
                drop(socket.read(&mut request).await);
                let head =
                    format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n", body.len());
                socket.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            }
            kept.push(socket);
        }
    });
    format!(
        "[agents.assistant]\npage_tool = \"page\"\nmax_result_bytes = 256\n\
         [tools.http.page]\ndescription = \"Shows it.\"\nurl = \"http://127.0.0.1:{port}/\"\nallow_private = true\n\
         writes = false\ninput = {{ type = \"object\" }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_11_an_answer_that_waits_again_is_taken_again_though_its_old_task_lived_then() {
    let place = Place::open("").await;
    // Its model is silent for longer than this test waits.
    let sent = place.send(json!({ "deltas": ["late"], "delayMs": 120_000 }), None).await;
    place.until(&sent, |row| row["status"] == "claimed").await;
    place.call(&Principal::System, "driver:expire", json!({ "owner": "another", "onlyOwner": true })).await;
    place.until(&sent, |row| row["leaseEpoch"] == 2 && row["status"] == "claimed").await;
    let stop = json!({ "generationId": sent["generationId"] });
    place.call(&place.owner, "generations:stop", stop).await;
    place.until(&sent, |row| row["status"] == "stopped").await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn st_11_a_lease_is_renewed_while_the_prompt_is_put_together() {
    let config = page_tool(None).await;
    let place = Place::open(&format!("[turns]\nlease_seconds = 3\n{config}")).await;
    let sent = place.send(json!({ "deltas": ["Hi."] }), Some(json!({ "pageType": "listing" }))).await;
    // The page is waited for, for longer than the lease lasts.
    assert_eq!(place.complete(&sent).await["leaseEpoch"], 1, "nobody else took it");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ag_03_of_a_page_a_model_is_told_no_more_than_of_a_result() {
    let config = page_tool(Some("é".repeat(1_000))).await;
    let place = Place::open(&config).await;
    let sent = place.send(json!({ "deltas": ["Hi."] }), Some(json!({ "pageType": "listing" }))).await;
    place.complete(&sent).await;
    let shown = place.call(&place.owner, "debug:prompt", json!({ "generationId": sent["generationId"] })).await;
    let sections = shown["sections"].as_array().unwrap();
    let page = sections.iter().find(|section| section["label"] == "page").unwrap_or_else(|| panic!("{shown}"));
    let text = page["text"].as_str().unwrap();
    assert_eq!(text.matches('é').count(), 128);
    assert!(text.ends_with("[The rest of the page is cut off.]"), "{text}");
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tc_07_an_answer_ends_with_the_reason_if_its_calls_are_too_many() {
    let tool = "[tools.http.pay]\ndescription = \"Pays.\"\nurl = \"http://127.0.0.1:1/\"\nallow_private = true\n\
        writes = true\ninput = { type = \"object\" }\n";
    let place = Place::open(&format!("[agents.assistant]\ntools = [\"pay\"]\n{tool}")).await;
    // More than may wait for people in one thread, which the rows refuse; more than a step may have.
    for (calls, code, says) in [(101, "too_large", "100"), (129, "provider_error", "128")] {
        let calls: Vec<Value> = (0..calls).map(|n| json!({ "tool": "pay", "input": { "n": n } })).collect();
        let sent = place.send(json!({ "toolCalls": calls }), None).await;
        place.until(&sent, |row| row["status"] == "error").await;
        let message = place.call(&place.owner, "messages:get", json!({ "messageId": sent["messageId"] })).await;
        assert_eq!(message["error"]["code"], code);
        assert!(message["error"]["message"].as_str().unwrap().contains(says), "{}", message["error"]);
    }
    place.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tc_08_after_a_crash_only_a_call_that_may_have_had_an_effect_is_in_doubt() {
    let mut place = Place::closed("").await;
    let steps = json!([{ "toolCalls": [] }, { "deltas": ["Done."] }]);
    let sent = place.send(json!({ "steps": steps }), None).await;
    let system = Principal::System;
    // What the last process did before it died. Neither tool is there any more.
    let claim = json!({ "generationId": sent["generationId"], "owner": "the last process" });
    let epoch = place.call(&system, "driver:claim", claim.clone()).await["epoch"].clone();
    let mut lease = claim;
    lease["epoch"] = epoch;
    let ask = json!({ "type": "ask", "approvers": 1, "always": false });
    let call = |id: &str, tool: &str, verdict: Value| json!({ "toolCallId": id, "tool": tool, "input": {}, "verdict": verdict });
    let start = |id: &str, tool: &str| json!({ "type": "tool_start", "toolCallId": id, "tool": tool, "input": {} });
    let step = json!({
        "lease": lease,
        "events": [start("c1", "look"), start("c2", "pay")],
        "calls": [call("c1", "look", json!({ "type": "run" })), call("c2", "pay", ask)],
    });
    let standing = place.call(&system, "driver:submit", step).await;
    let asked = json!({ "threadId": place.thread, "paginationOpts": { "numItems": 1, "cursor": null } });
    let asked = place.call(&place.owner, "approvals:listByThread", asked).await["page"][0]["_id"].clone();
    place.call(&place.owner, "approvals:decide", json!({ "approvalId": asked, "decision": "approve" })).await;
    let run = json!({ "lease": lease, "callId": standing["calls"][1]["_id"] });
    assert_eq!(place.call(&system, "driver:runCall", run).await, json!(true));

    place.serve();
    place.complete(&sent).await;
    let rows = json!({ "threadId": place.thread, "paginationOpts": { "numItems": 10, "cursor": null } });
    let rows = place.call(&place.owner, "toolCalls:listByThread", rows).await["page"].clone();
    let error = |tool: &str| {
        let row = rows.as_array().unwrap().iter().find(|row| row["tool"] == tool).unwrap();
        row["error"].as_str().unwrap().to_owned()
    };
    assert!(error("look").contains("not available"), "{}", error("look"));
    assert!(error("pay").contains("is not known"), "{}", error("pay"));
    place.close().await;
}
