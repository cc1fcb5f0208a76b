//! The outbox of notices: owed in the transaction that asks, held while they are sent, settled once.

use serde_json::{Value, json};
use spool_chat::{ApprovalPolicy, Settings, WebhookPolicy};
use spool_protocol::Code;

use crate::approvals::Asker;
use crate::matrix::subscription;
use crate::stage::{Stage, text};

fn settings(arguments: bool) -> Settings {
    let approvals = ApprovalPolicy {
        webhook: Some(WebhookPolicy { arguments }),
        public_url: Some("https://spool.example".into()),
        ..ApprovalPolicy::default()
    };
    Settings { approvals, ..Settings::default() }
}

async fn take(stage: &Stage) -> Vec<Value> {
    let taken = stage.system("notices:take", json!({})).await;
    taken.as_array().unwrap().iter().map(|taken| taken["noticeId"].clone()).collect()
}

async fn content(stage: &Stage, id: &Value) -> Value {
    stage.system("notices:content", json!({ "noticeId": id })).await
}

async fn settle(stage: &Stage, id: &Value, outcome: &str) {
    stage.system("notices:settle", json!({ "noticeId": id, "outcome": outcome })).await;
}

async fn next(stage: &Stage) -> Value {
    stage.system("notices:nextDue", json!({})).await
}

#[tokio::test]
async fn ap_01_whoever_listens_is_told_once_without_the_arguments() {
    let asker = Asker::with(settings(false)).await;
    let stage = &asker.stage;
    stage.ok(&stage.u1, "push:subscribe", subscription("phone")).await;
    stage.ok(&stage.u2, "push:subscribe", subscription("stranger")).await;
    let mut call = asker.call("t1");
    call["input"] = json!({ "secret": "planted" });
    let asked = asker.ask(call.clone()).await;
    asker.ask(call).await;
    assert_eq!(next(stage).await, json!(stage.clock_ms()));
    let taken = take(stage).await;
    assert_eq!(taken.len(), 2, "the webhook and the owner's browser");
    let (mut browsers, mut hooks) = (Vec::new(), Vec::new());
    for id in &taken {
        let content = content(stage, id).await;
        assert!(!content.to_string().contains("planted"), "{content}");
        if content.get("browser").is_some() { browsers.push(content) } else { hooks.push(content) }
    }
    let url = format!("https://spool.example/t/{}?approval={}", asker.thread, text(&asked["_id"]));
    assert_eq!(
        (&browsers[0]["payload"]["approvalId"], &browsers[0]["payload"]["body"], &browsers[0]["payload"]["url"]),
        (&asked["_id"], &json!("pay"), &json!(url))
    );
    assert_eq!(browsers[0]["browser"]["endpoint"], json!("https://push.invalid/phone"));
    assert_eq!(
        (&hooks[0]["payload"]["type"], &hooks[0]["payload"]["tool"], &hooks[0]["payload"]["expiresAt"]),
        (&json!("approval.requested"), &json!("pay"), &asked["expiresAt"])
    );
    assert_eq!(take(stage).await, Vec::<Value>::new(), "they are held");
    for id in &taken {
        settle(stage, id, "done").await;
    }
    assert_eq!(next(stage).await, Value::Null);
    stage.healthy().await;
}

#[tokio::test]
async fn ap_04_what_nobody_settles_is_sent_again_and_given_up_in_the_end() {
    let asker = Asker::with(settings(true)).await;
    let stage = &asker.stage;
    let asked = asker.ask(asker.call("t1")).await;
    let taken = take(stage).await;
    assert_eq!(content(stage, &taken[0]).await["payload"]["input"], asked["input"], "the configuration wants them");
    // Whoever took it is gone.
    stage.clock.advance_ms(60_000);
    assert_eq!(take(stage).await, taken);
    let mut pauses = Vec::new();
    loop {
        settle(stage, &taken[0], "failed").await;
        let Some(due) = next(stage).await.as_u64() else { break };
        pauses.push(due - stage.clock_ms());
        stage.clock.advance_ms(due - stage.clock_ms());
        assert_eq!(take(stage).await, taken);
    }
    assert_eq!(
        pauses,
        [5_000, 15_000, 45_000, 135_000, 405_000, 1_215_000, 3_600_000],
        "a taker that is lost was no try"
    );
    stage.healthy().await;
}

#[tokio::test]
async fn ap_02_what_was_decided_is_told_to_nobody() {
    let asker = Asker::with(settings(false)).await;
    let stage = &asker.stage;
    let asked = asker.ask(asker.call("t1")).await;
    let taken = take(stage).await;
    asker.decide(&asked, true).await.unwrap();
    assert_eq!(content(stage, &taken[0]).await, Value::Null);
    settle(stage, &taken[0], "done").await;
    // What a rule decides waits for nobody.
    stage.ok(&stage.u1, "rules:create", json!({ "tool": "pay", "effect": "allow" })).await;
    asker.ask(asker.call("t2")).await;
    assert_eq!(next(stage).await, Value::Null);
    stage.healthy().await;
}

#[tokio::test]
async fn ap_01_a_browser_that_is_gone_is_forgotten_and_one_that_fails_for_long() {
    let asker = Asker::new().await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    stage.ok(u1, "push:subscribe", subscription("gone")).await;
    asker.ask(asker.call("t1")).await;
    asker.ask(asker.call("t2")).await;
    settle(stage, &take(stage).await[0], "gone").await;
    assert_eq!((stage.ok(u1, "push:list", json!({})).await, next(stage).await), (json!([]), Value::Null));
    stage.ok(u1, "push:subscribe", subscription("fails")).await;
    let mut tries = Vec::new();
    for n in 0..3 {
        asker.ask(asker.call(&format!("f{n}"))).await;
        while let Some(due) = next(stage).await.as_u64() {
            stage.clock.advance_ms(due.saturating_sub(stage.clock_ms()));
            for id in take(stage).await {
                settle(stage, &id, "failed").await;
                tries.push(stage.ok(u1, "push:list", json!({})).await[0]["failures"].as_u64());
            }
        }
    }
    let expected: Vec<Option<u64>> = (1..20).map(Some).chain([None]).collect();
    assert_eq!(tries, expected, "each try counts against the browser, and the twentieth in a row ends it");
    stage.healthy().await;
}

/// Whoever takes notices knows whom each is for, and can keep those of one person behind one another.
#[tokio::test]
async fn ap_01_a_taken_notice_says_whom_it_is_for() {
    let asker = Asker::with(settings(false)).await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    stage.ok(u1, "push:subscribe", subscription("one")).await;
    stage.ok(u1, "push:subscribe", subscription("two")).await;
    asker.ask(asker.call("t1")).await;
    let taken = stage.system("notices:take", json!({})).await;
    let mut people: Vec<Value> = taken.as_array().unwrap().iter().map(|taken| taken["userId"].clone()).collect();
    people.sort_by_key(Value::is_null);
    assert_eq!(people, [json!(u1.user()), json!(u1.user()), Value::Null]);
}

#[tokio::test]
async fn ap_01_a_server_can_be_told_to_tell_no_browser() {
    let approvals = ApprovalPolicy { push: false, ..ApprovalPolicy::default() };
    let stage = Stage::with(Settings { approvals, ..Settings::default() }).await;
    assert_eq!(stage.code(&stage.u1, "push:subscribe", subscription("x")).await, Code::Forbidden);
}

#[tokio::test]
async fn ap_01_a_browser_belongs_to_whoever_signed_in_with_it_last() {
    let asker = Asker::new().await;
    let (stage, u1, u2) = (&asker.stage, &asker.stage.u1, &asker.stage.u2);
    let first = stage.ok(u1, "push:subscribe", subscription("shared")).await;
    assert_eq!(stage.ok(u1, "push:subscribe", subscription("shared")).await, first);
    asker.ask(asker.call("t1")).await;
    assert!(next(stage).await.is_number());
    let second = stage.ok(u2, "push:subscribe", subscription("shared")).await;
    assert_eq!((stage.ok(u1, "push:list", json!({})).await, next(stage).await), (json!([]), Value::Null));
    let one = json!({ "subscriptionId": second });
    assert_eq!(stage.code(u1, "push:unsubscribe", one.clone()).await, Code::NotFound);
    stage.ok(u2, "push:unsubscribe", one).await;
    let args = |change: fn(&mut Value)| {
        let mut args = subscription("x");
        change(&mut args);
        args
    };
    for wrong in [
        args(|args| args["endpoint"] = json!("ftp://push.invalid/x")),
        args(|args| args["keys"]["p256dh"] = json!("BCVx")),
        args(|args| args["keys"]["auth"] = json!("?")),
    ] {
        assert_eq!(stage.code(u1, "push:subscribe", wrong).await, Code::BadRequest);
    }
    assert_eq!(stage.code(&asker.service, "push:subscribe", subscription("x")).await, Code::Forbidden);
    for n in 0..20 {
        stage.ok(u1, "push:subscribe", subscription(&n.to_string())).await;
    }
    assert_eq!(stage.code(u1, "push:subscribe", subscription("x")).await, Code::TooLarge);
    stage.healthy().await;
}
