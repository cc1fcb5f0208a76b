//! Answers made by a backend with a service key.

use serde_json::{Value, json};
use spool_protocol::Code;

use crate::stage::{Stage, text, turn_of};

fn events(texts: &[&str]) -> Value {
    texts.iter().map(|text| json!({ "type": "text", "text": text })).collect()
}

fn append(generation: &Value, offset: Value, texts: &[&str]) -> Value {
    json!({ "generationId": generation, "offset": offset, "events": events(texts) })
}

#[tokio::test]
async fn st_06_a_backend_streams_an_answer_and_the_full_text_agrees() {
    let stage = Stage::new().await;
    let service = stage.service(&["generations:*"]).await;
    let thread = stage.thread(&stage.u1).await;
    let open = json!({
        "threadId": thread, "text": "hello there", "requestId": "r", "model": "m", "provider": "p", "agentId": "a",
    });
    let opened = stage.ok(&service, "generations:open", open.clone()).await;
    assert_eq!(stage.ok(&service, "generations:open", open).await, opened);
    let turn = turn_of(&thread, &opened);
    let id = &opened["generationId"];
    let first = stage.ok(&service, "generations:append", append(id, json!(0), &["ab", "cd"])).await;
    assert_eq!(first, json!({ "appended": true, "cursor": 4 }));
    let again = stage.ok(&service, "generations:append", append(id, json!(0), &["ab", "cd"])).await;
    assert_eq!((&again["appended"], &again["cursor"]), (&json!(false), &json!(4)));
    assert!(again["reason"].is_string());
    stage.ok(&service, "generations:append", append(id, Value::Null, &["ef"])).await;
    assert_eq!(stage.messages(&stage.u1, &thread).await[1]["status"], json!("streaming"));
    let finish =
        json!({ "generationId": id, "status": "complete", "text": "abcdefgh", "usage": { "outputTokens": 3 } });
    let finished = stage.ok(&service, "generations:finish", finish.clone()).await;
    assert_eq!(finished, json!({ "status": "complete", "cursor": 9 }));
    assert_eq!(stage.ok(&service, "generations:finish", finish).await, finished);
    let late = stage.ok(&service, "generations:append", append(id, Value::Null, &["zz"])).await;
    assert_eq!((&late["appended"], &late["cursor"]), (&json!(false), &json!(9)));
    assert!(text(&late["reason"]).contains("complete"));
    let message = stage.ok(&stage.u1, "messages:get", json!({ "messageId": turn.message })).await;
    assert_eq!(
        (&message["text"], &message["model"], &message["provider"]),
        (&json!("abcdefgh"), &json!("m"), &json!("p"))
    );
    assert_eq!(message["agentId"], json!("a"));
    let log = stage.ok(&stage.u1, "generations:deltas", json!({ "generationId": id, "cursor": 0 })).await;
    assert_eq!(log["events"][0]["text"], json!("abcdefgh"), "the missing end was streamed, too");
    stage.healthy().await;
}

#[tokio::test]
async fn st_06_a_full_text_that_differs_wins() {
    let stage = Stage::new().await;
    let service = stage.service(&["*"]).await;
    let thread = stage.thread(&stage.u1).await;
    let opened = stage.ok(&service, "generations:open", json!({ "threadId": thread })).await;
    assert!(opened["userMessageId"].is_null());
    let id = &opened["generationId"];
    stage.ok(&service, "generations:append", append(id, Value::Null, &["wrong"])).await;
    let error = json!({ "code": "provider_error", "message": "m", "retryable": false });
    let failed = json!({ "generationId": id, "status": "error", "text": "right", "error": error });
    stage.ok(&service, "generations:finish", failed).await;
    let message = stage.ok(&stage.u1, "messages:get", json!({ "messageId": opened["messageId"] })).await;
    assert_eq!((&message["text"], &message["status"]), (&json!("right"), &json!("error")));
    stage.healthy().await;
}

#[tokio::test]
async fn ia_09_a_backend_reaches_only_the_answers_that_it_makes() {
    let stage = Stage::new().await;
    let (one, two) = (stage.service(&["generations:*"]).await, stage.service(&["*"]).await);
    let thread = stage.thread(&stage.u1).await;
    let opened = stage.ok(&one, "generations:open", json!({ "threadId": thread, "text": "x" })).await;
    let id = &opened["generationId"];
    assert_eq!(stage.code(&two, "generations:append", append(id, Value::Null, &["x"])).await, Code::Forbidden);
    assert_eq!(stage.code(&stage.u1, "generations:append", append(id, Value::Null, &["x"])).await, Code::Forbidden);
    assert_eq!(stage.code(&two, "generations:open", json!({ "threadId": thread })).await, Code::ThreadBusy);
    let hosted = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &hosted, "hello").await;
    let finish = json!({ "generationId": turn.generation, "status": "complete" });
    assert_eq!(stage.code(&one, "generations:finish", finish).await, Code::Forbidden);
    let status = json!({ "generationId": id, "events": [{ "type": "status", "status": "complete" }] });
    assert_eq!(stage.code(&one, "generations:append", status).await, Code::BadRequest);
    let code = json!({ "generationId": id, "status": "error", "error": { "code": "made_up", "message": "m", "retryable": false } });
    assert_eq!(stage.code(&one, "generations:finish", code).await, Code::BadRequest);
}

#[tokio::test]
async fn st_10_stopping_an_answer_made_outside_ends_it_at_once() {
    let stage = Stage::new().await;
    let service = stage.service(&["generations:*"]).await;
    let thread = stage.thread(&stage.u1).await;
    let opened = stage.ok(&service, "generations:open", json!({ "threadId": thread, "text": "x" })).await;
    let id = &opened["generationId"];
    stage.ok(&service, "generations:append", append(id, Value::Null, &["half"])).await;
    assert_eq!(
        stage.ok(&stage.u1, "generations:stop", json!({ "generationId": id })).await,
        json!({ "stopped": true })
    );
    let late = stage.ok(&service, "generations:append", append(id, Value::Null, &["x"])).await;
    assert!(text(&late["reason"]).contains("stopped"));
    let finish = json!({ "generationId": id, "status": "complete", "text": "whole" });
    assert_eq!(stage.ok(&service, "generations:finish", finish).await["status"], json!("stopped"));
    let message = stage.ok(&stage.u1, "messages:get", json!({ "messageId": opened["messageId"] })).await;
    assert_eq!((&message["status"], &message["text"]), (&json!("stopped"), &json!("half")));
    stage.healthy().await;
}

#[tokio::test]
async fn st_11_a_backend_that_falls_silent_is_interrupted_and_one_that_appends_is_not() {
    let stage = Stage::new().await;
    let service = stage.service(&["generations:*"]).await;
    let (a, b) = (stage.thread(&stage.u1).await, stage.thread(&stage.u1).await);
    let silent = stage.ok(&service, "generations:open", json!({ "threadId": a, "text": "x" })).await;
    let busy = stage.ok(&service, "generations:open", json!({ "threadId": b, "text": "x" })).await;
    for _ in 0..4 {
        stage.clock.advance_ms(200_000);
        stage.ok(&service, "generations:append", append(&busy["generationId"], Value::Null, &["x"])).await;
    }
    let expired = stage.system("driver:expire", json!({})).await;
    assert_eq!((&expired["interrupted"], &expired["requeued"]), (&json!(1), &json!(0)));
    let status = |id: &Value| json!({ "generationId": id });
    assert_eq!(
        stage.ok(&stage.u1, "generations:get", status(&silent["generationId"])).await["status"],
        json!("interrupted")
    );
    assert_eq!(
        stage.ok(&stage.u1, "generations:get", status(&busy["generationId"])).await["status"],
        json!("streaming")
    );
    stage.healthy().await;
}
