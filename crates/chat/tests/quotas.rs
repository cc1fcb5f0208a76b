//! What a user may use and have: counted in the transactions that start and end the work.

use serde_json::{Value, json};
use spool_chat::{Quotas, Settings};
use spool_protocol::Code;

use crate::stage::{OWNER, Stage, held, text, words};

async fn stage(quotas: Quotas) -> Stage {
    Stage::with(Settings { quotas, ..Settings::default() }).await
}

async fn usage(stage: &Stage) -> Value {
    stage.ok(&stage.u1, "usage:me", json!({})).await
}

/// One answer that costs `input` and `output` tokens, ended by the driver.
async fn answer(stage: &Stage, thread: &str, input: u64, output: u64) {
    let turn = stage.send(&stage.u1, thread, "hello").await;
    let epoch = stage.start(&turn.generation).await;
    stage.append(&turn.generation, 0, &[words("hi")]).await;
    let mut finish = held(&turn.generation, epoch);
    finish["status"] = json!("complete");
    finish["usage"] = json!({ "inputTokens": input, "outputTokens": output });
    stage.system("driver:finish", finish).await;
}

#[tokio::test]
async fn op_11_tokens_of_the_month_are_counted_once_and_refused_with_the_time_of_their_return() {
    let stage = stage(Quotas { tokens_per_month: Some(100), ..Quotas::default() }).await;
    let thread = stage.thread(&stage.u1).await;
    answer(&stage, &thread, 30, 20).await;
    answer(&stage, &thread, 30, 19).await;
    assert_eq!(usage(&stage).await["tokens"], json!({ "used": 99, "limit": 100 }));
    // What an answer costs is known only afterwards: this one begins below the limit, and ends above it.
    answer(&stage, &thread, 500, 1).await;
    let sent = json!({ "threadId": thread, "text": "more" });
    let refused = stage.refused(&stage.u1, "turns:send", sent.clone()).await;
    let december = 1_701_388_800_000_u64;
    let data = refused.data.unwrap();
    assert_eq!(refused.code, Code::QuotaExceeded);
    assert_eq!((&data["quota"], &data["limit"], &data["used"]), (&json!("tokens"), &json!(100), &json!(600)));
    assert_eq!((&data["resetsAt"], &data["retryAfterMs"]), (&json!(december), &json!(december - 1_700_000_000_000)));
    let messages = stage.messages(&stage.u1, &thread).await;
    assert_eq!(messages.len(), 6, "a refused turn leaves nothing");
    let again = json!({ "messageId": messages[5]["_id"] });
    assert_eq!(stage.code(&stage.u1, "turns:regenerate", again).await, Code::QuotaExceeded);

    // Others have their own, and a key works for the operator.
    let theirs = stage.thread(&stage.u2).await;
    stage.send(&stage.u2, &theirs, "hello").await;
    let key = stage.service(&["*"]).await;
    let opened = stage.ok(&key, "generations:open", json!({ "threadId": thread, "text": "x" })).await;
    let finish = json!({
        "generationId": opened["generationId"], "status": "complete", "usage": { "inputTokens": 7, "outputTokens": 0 },
    });
    for _ in 0..2 {
        stage.ok(&key, "generations:finish", finish.clone()).await;
    }
    let now = usage(&stage).await;
    assert_eq!((&now["tokens"]["used"], &now["answers"], &now["month"]), (&json!(607), &json!(4), &json!("2023-11")));

    stage.clock.advance_ms(december - 1_700_000_000_000);
    stage.ok(&stage.u1, "turns:send", sent).await;
    assert_eq!(usage(&stage).await["tokens"]["used"], json!(0));
    stage.healthy().await;
}

#[tokio::test]
async fn op_11_threads_are_counted_until_they_are_removed() {
    let stage = stage(Quotas { threads: Some(2), ..Quotas::default() }).await;
    let first = stage.thread(&stage.u1).await;
    let named = json!({ "externalId": "mine" });
    let second = text(&stage.ok(&stage.u1, "threads:create", named.clone()).await);
    let refused = stage.refused(&stage.u1, "threads:create", json!({})).await;
    assert_eq!(refused.code, Code::QuotaExceeded);
    assert_eq!(refused.data.unwrap()["used"], json!(2));
    // What is there already is no further one, and everybody may have a default one.
    assert_eq!(text(&stage.ok(&stage.u1, "threads:create", named).await), second);
    stage.ok(&stage.u1, "threads:getOrCreateDefault", json!({})).await;
    stage.ok(&stage.u1, "threads:getOrCreateDefault", json!({})).await;
    assert_eq!(usage(&stage).await["threads"], json!({ "used": 3, "limit": 2 }));
    stage.healthy().await;
    for thread in [first, second] {
        stage.ok(&stage.u1, "threads:remove", json!({ "threadId": thread })).await;
    }
    assert_eq!(usage(&stage).await["threads"]["used"], json!(1));
    stage.thread(&stage.u1).await;
    stage.system("threads:purge", json!({ "limit": 1000 })).await;
    assert_eq!(usage(&stage).await["threads"]["used"], json!(2));
    stage.healthy().await;
}

#[tokio::test]
async fn op_11_files_and_artifacts_are_counted_until_they_are_gone() {
    let stage = stage(Quotas { storage_bytes: Some(10), ..Quotas::default() }).await;
    let thread = stage.thread(&stage.u1).await;
    let upload = stage.upload(&stage.u1, &thread, "a").await; // three bytes
    let made = json!({ "threadId": thread, "kind": "plan", "title": "t", "content": "12345" });
    let artifact = stage.ok(&stage.u1, "artifacts:create", made).await;
    assert_eq!(usage(&stage).await["storageBytes"], json!({ "used": 8, "limit": 10 }));
    let refused =
        stage.refused(&spool_chat::Principal::System, "uploads:create", stage.upload_args(&stage.u1, &thread, "b"));
    let refused = refused.await;
    assert_eq!(refused.code, Code::QuotaExceeded);
    assert_eq!(refused.data.unwrap()["wanted"], json!(3));
    let announced = json!({ "threadId": thread, "user": stage.u1.user(), "size": 3 });
    let system = spool_chat::Principal::System;
    assert_eq!(stage.code(&system, "uploads:writable", announced).await, Code::QuotaExceeded);
    let edit = json!({ "artifactId": artifact["artifactId"], "baseVersion": 1, "content": "123" });
    assert_eq!(stage.code(&stage.u1, "artifacts:update", edit.clone()).await, Code::QuotaExceeded);
    stage.healthy().await;

    stage.ok(&stage.u1, "uploads:remove", json!({ "uploadId": upload })).await;
    stage.ok(&stage.u1, "artifacts:update", edit).await;
    assert_eq!(usage(&stage).await["storageBytes"]["used"], json!(8));
    stage.ok(&stage.u1, "threads:remove", json!({ "threadId": thread })).await;
    assert_eq!(usage(&stage).await["storageBytes"]["used"], json!(8), "until the purge the bytes are there");
    while stage.system("threads:purge", json!({ "limit": 2 })).await["hasMore"] == json!(true) {
        stage.healthy().await;
    }
    assert_eq!(usage(&stage).await["storageBytes"]["used"], json!(0));
    stage.healthy().await;
}

#[tokio::test]
async fn op_11_a_service_stores_for_a_user_and_the_user_s_bytes_are_counted() {
    let stage = stage(Quotas { storage_bytes: Some(1), ..Quotas::default() }).await;
    let thread = stage.thread(&stage.u1).await;
    let key = stage.service(&["*"]).await;
    let made = json!({ "threadId": thread, "kind": "plan", "title": "t", "content": "12345" });
    stage.ok(&key, "artifacts:create", made).await;
    assert_eq!(usage(&stage).await["storageBytes"]["used"], json!(5));
    stage.healthy().await;
    assert_eq!(OWNER, "driver-1");
}
