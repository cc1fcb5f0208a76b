//! What waits for people costs a row each: no task, no timer, and nobody who watches for it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use serde_json::{Value, json};
use spool_chat::registry;
use spool_chat::{CallContext, Principal};
use spool_server::app::{self, App};
use spool_server::config::Config;
use spool_server::data_dir::DataDir;
use spool_store::SystemClock;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

async fn call(app: &App, principal: &Principal, path: &str, args: Value) -> Value {
    let function = registry::find_internal(path).unwrap();
    let context = CallContext::new(principal.clone(), Arc::default());
    let run = Arc::new(move |tx: &mut spool_store::Tx<'_>| function.call(tx, &context, args.clone()));
    let done = app.functions.store().mutate(run, None).await.unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&done.value).unwrap()
}

fn cost(app: &App) -> (usize, usize) {
    (Handle::current().metrics().num_alive_tasks(), app.functions.store().live_queries())
}

#[tokio::test]
async fn ap_04_a_thousand_approvals_that_wait_cost_no_task_and_no_timer() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::load(None, &|_| None).unwrap();
    config.data = dir.path().join("data");
    config.synchronous = spool_server::config::Synchronous::Normal;
    let data = DataDir::own(&config.data).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let app = App::open(config, address, data, Arc::new(SystemClock), shutdown.clone()).unwrap();
    let serving = tokio::spawn(app::serve(Arc::clone(&app), listener));

    let person = json!({ "issuer": "test", "subject": "one", "kind": "full" });
    let user = call(&app, &Principal::System, "users:provision", person).await;
    let owner = Principal::User { user: serde_json::from_value(user).unwrap() };
    let key = json!({ "scopes": ["*"], "secretHash": "0".repeat(64) });
    let key = call(&app, &Principal::System, "keys:create", key).await;
    let service = Principal::Service {
        key: serde_json::from_value(key["_id"].clone()).unwrap(),
        user: serde_json::from_value(key["userId"].clone()).unwrap(),
        scopes: vec!["*".to_owned()],
    };
    let ask = async |count: usize| {
        let thread = call(&app, &owner, "threads:create", json!({})).await;
        let opened = call(&app, &service, "generations:open", json!({ "threadId": thread })).await;
        for n in 0..count {
            let question =
                json!({ "generationId": opened["generationId"], "kind": "question", "question": format!("{n}?") });
            call(&app, &service, "approvals:request", question).await;
        }
    };
    ask(1).await;
    let before = cost(&app);
    for _ in 0..10 {
        ask(100).await;
    }
    let after = cost(&app);
    assert!(after.0 > 0 && after.1 > 0, "the server runs: {after:?}");
    // The server may still have been starting what it starts once, a dozen tasks; a thousand would show.
    assert!(after.0 < before.0 + 50 && after.1 < before.1 + 50, "{before:?} became {after:?}");
    shutdown.cancel();
    serving.await.unwrap().unwrap();
}
