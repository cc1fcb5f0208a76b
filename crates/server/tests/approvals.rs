//! What waits for people costs a row each: no task, no timer, and nobody who watches for it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use serde_json::{Value, json};
use spool_chat::registry;
use spool_chat::{CallContext, Principal};
use spool_server::app::{self, App};
use spool_server::config::Config;
use spool_server::data_dir::DataDir;
use spool_store::{Clock, SystemClock, VirtualClock};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A server in this process.
struct Running {
    app: Arc<App>,
    shutdown: CancellationToken,
    serving: JoinHandle<anyhow::Result<()>>,
    _dir: tempfile::TempDir,
}

impl Running {
    async fn start(text: &str, clock: Arc<dyn Clock>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("spool.toml");
        std::fs::write(&file, text).unwrap();
        let mut config = Config::load(Some(&file), &|_| None).unwrap();
        config.data = dir.path().join("data");
        config.synchronous = spool_server::config::Synchronous::Normal;
        let data = DataDir::own(&config.data).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let app = App::open(config, address, data, clock, shutdown.clone()).unwrap();
        let serving = tokio::spawn(app::serve(Arc::clone(&app), listener));
        Self { app, shutdown, serving, _dir: dir }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap().unwrap();
    }
}

async fn call(app: &App, principal: &Principal, path: &str, args: Value) -> Value {
    let function = registry::find_internal(path).unwrap();
    let context = CallContext::new(principal.clone(), Arc::default());
    let run = Arc::new(move |tx: &mut spool_store::Tx<'_>| function.call(tx, &context, args.clone()));
    let done = app.functions.store().mutate(run, None).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&done.value).unwrap()
}

async fn person(app: &App) -> Principal {
    let person = json!({ "issuer": "test", "subject": "one", "kind": "full" });
    let user = call(app, &Principal::System, "users:provision", person).await;
    Principal::User { user: serde_json::from_value(user).unwrap() }
}

/// Reads an answer until it is as wanted.
async fn until(app: &App, owner: &Principal, generation: &Value, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let read = call(app, owner, "generations:get", json!({ "generationId": generation })).await;
        if wanted(&read) {
            return read;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "the answer stays {read}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn cost(app: &App) -> (usize, usize) {
    (Handle::current().metrics().num_alive_tasks(), app.functions.store().live_queries())
}

#[tokio::test]
async fn ap_04_a_thousand_approvals_that_wait_cost_no_task_and_no_timer() {
    let server = Running::start("", Arc::new(SystemClock)).await;
    let app = &*server.app;
    let owner = person(app).await;
    let key = json!({ "scopes": ["*"], "secretHash": "0".repeat(64) });
    let key = call(app, &Principal::System, "keys:create", key).await;
    let service = Principal::Service {
        key: serde_json::from_value(key["_id"].clone()).unwrap(),
        user: serde_json::from_value(key["userId"].clone()).unwrap(),
        scopes: vec!["*".to_owned()],
    };
    let ask = async |count: usize| {
        let thread = call(app, &owner, "threads:create", json!({})).await;
        let opened = call(app, &service, "generations:open", json!({ "threadId": thread })).await;
        for n in 0..count {
            let question =
                json!({ "generationId": opened["generationId"], "kind": "question", "question": format!("{n}?") });
            call(app, &service, "approvals:request", question).await;
        }
    };
    ask(1).await;
    let before = cost(app);
    for _ in 0..10 {
        ask(100).await;
    }
    let after = cost(app);
    assert!(after.0 > 0 && after.1 > 0, "the server runs: {after:?}");
    // The server may still have been starting what it starts once, a dozen tasks; a thousand would show.
    assert!(after.0 < before.0 + 50 && after.1 < before.1 + 50, "{before:?} became {after:?}");
    server.stop().await;
}

const DAY: u64 = 86_400_000;
const ASKS: &str = r#"/script {"steps": [{"toolCalls": [{"tool": "ask_human", "input": {"question": "Sure?"}}]}, {"deltas": ["They said so."]}]}"#;

fn is_over(answer: &Value) -> bool {
    ["complete", "error", "stopped", "interrupted"].iter().any(|over| answer["status"] == *over)
}

/// An answer of the server itself that asks a person and waits, with nothing held.
async fn asks(app: &App, owner: &Principal) -> Value {
    let thread = call(app, owner, "threads:create", json!({})).await;
    let sent = call(app, owner, "turns:send", json!({ "threadId": thread, "text": ASKS })).await;
    until(app, owner, &sent["generationId"], |read| read["status"] == "awaiting_approval").await;
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ap_05_a_run_whose_approval_expires_ends_with_the_code_that_says_so() {
    let clock = Arc::new(VirtualClock::at_ms(1_700_000_000_000));
    let agent = "[agents.assistant]\ntools = [\"ask_human\"]\n";
    let server = Running::start(agent, Arc::clone(&clock) as Arc<dyn Clock>).await;
    let app = &*server.app;
    let owner = person(app).await;
    let sent = asks(app, &owner).await;
    clock.advance_ms(DAY - 1);
    app.hurry.notify_one();
    let waiting = call(app, &Principal::System, "approvals:nextExpiry", json!({})).await;
    assert_eq!(waiting, json!(clock.now_ms() + 1), "not yet");
    clock.advance_ms(1);
    app.hurry.notify_one();
    let ended = until(app, &owner, &sent["generationId"], is_over).await;
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("error"), &json!("awaiting_approval_expired")));
    let message = call(app, &owner, "messages:get", json!({ "messageId": sent["messageId"] })).await;
    assert_eq!((&message["status"], &message["error"]["code"]), (&json!("error"), &json!("awaiting_approval_expired")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ap_05_with_the_setting_never_a_run_waits_for_years_and_goes_on() {
    let clock = Arc::new(VirtualClock::at_ms(1_700_000_000_000));
    let config = "[approvals]\nexpire_minutes = 0\n[agents.assistant]\ntools = [\"ask_human\"]\n";
    let server = Running::start(config, Arc::clone(&clock) as Arc<dyn Clock>).await;
    let app = &*server.app;
    let owner = person(app).await;
    let sent = asks(app, &owner).await;
    clock.advance_ms(1_000 * DAY);
    assert_eq!(call(app, &Principal::System, "approvals:nextExpiry", json!({})).await, Value::Null);
    assert_eq!(call(app, &Principal::System, "approvals:expire", json!({})).await["deleted"], json!(0));
    let page = json!({ "paginationOpts": { "numItems": 10, "cursor": null } });
    let asked = call(app, &owner, "approvals:list", page).await;
    let approval = &asked["page"][0];
    assert_eq!((approval["status"].as_str(), approval.get("expiresAt")), (Some("pending"), None));
    call(app, &owner, "approvals:decide", json!({ "approvalId": approval["_id"], "decision": "approve" })).await;
    let ended = until(app, &owner, &sent["generationId"], is_over).await;
    assert_eq!(ended["status"], json!("complete"), "{ended}");
    server.stop().await;
}
