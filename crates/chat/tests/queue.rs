//! Turns that wait behind a running one.

use serde_json::{Value, json};
use spool_chat::{Settings, WhenBusy};
use spool_protocol::Code;

use crate::stage::{Stage, begin, text};

async fn queue(stage: &Stage, thread: &str, said: &str) -> Value {
    stage
        .ok(&stage.u1, "turns:send", json!({ "threadId": thread, "text": said, "ifBusy": "queue", "requestId": said }))
        .await
}

async fn running(stage: &Stage, thread: &str) -> String {
    text(&stage.ok(&stage.u1, "threads:get", json!({ "threadId": thread })).await["activeGenerationId"])
}

#[tokio::test]
async fn ms_06_waiting_turns_run_in_their_order_and_answers_stand_behind_their_questions() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let first = queue(&stage, &thread, "q1").await;
    assert!(first["generationId"].is_string(), "nothing runs, so nothing waits");
    let second = queue(&stage, &thread, "q2").await;
    assert_eq!(
        (&second["queued"], &second["messageId"], &second["generationId"]),
        (&json!(true), &Value::Null, &Value::Null)
    );
    assert_eq!(queue(&stage, &thread, "q2").await, second, "repeated while it waits");
    queue(&stage, &thread, "q3").await;
    let service = stage.service(&["*"]).await;
    stage.ok(&service, "messages:append", json!({ "threadId": thread, "role": "tool", "text": "note" })).await;
    let waiting = stage.messages(&stage.u1, &thread).await;
    let shape: Vec<_> = waiting.iter().map(|m| (text(&m["text"]), text(&m["status"]))).collect();
    let pending = |said: &str| (said.to_owned(), "pending".to_owned());
    assert_eq!((&shape[2], &shape[3]), (&pending("q2"), &pending("q3")));
    stage.healthy().await;

    for answer in ["a1", "a2", "a3"] {
        let generation = running(&stage, &thread).await;
        let claim =
            stage.system("driver:claim", json!({ "generationId": generation, "owner": crate::stage::OWNER })).await;
        let history: Vec<String> = claim["history"].as_array().unwrap().iter().map(|m| text(&m["text"])).collect();
        assert_eq!(history.last().unwrap(), &answer.replace('a', "q"));
        let mut held = crate::stage::held(&generation, claim["epoch"].as_u64().unwrap());
        stage.system("driver:append", begin(held.clone())).await;
        stage.append(&generation, 0, &[crate::stage::words(answer)]).await;
        held["status"] = json!("complete");
        stage.system("driver:finish", held).await;
        stage.healthy().await;
    }
    let told: Vec<String> = stage.messages(&stage.u1, &thread).await.iter().map(|m| text(&m["text"])).collect();
    assert_eq!(told, ["q1", "a1", "q2", "a2", "q3", "a3", "note"]);
    let repeated = queue(&stage, &thread, "q2").await;
    assert!(
        repeated["generationId"].is_string() && repeated.get("queued").is_none(),
        "repeated after it ran: {repeated}"
    );
}

#[tokio::test]
async fn ms_06_the_queue_is_bounded_and_can_be_the_policy() {
    let stage = Stage::with(Settings { when_busy: WhenBusy::Queue, ..Settings::default() }).await;
    let thread = stage.thread(&stage.u1).await;
    stage.send(&stage.u1, &thread, "runs").await;
    for number in 0..10 {
        let sent = stage.ok(&stage.u1, "turns:send", json!({ "threadId": thread, "text": format!("{number}") })).await;
        assert_eq!(sent["queued"], json!(true));
    }
    let error = stage.refused(&stage.u1, "turns:send", json!({ "threadId": thread, "text": "11" })).await;
    assert_eq!((error.code, error.data.unwrap()["limit"].clone()), (Code::ThreadBusy, json!(10)));
    let refuse = json!({ "threadId": thread, "text": "no", "ifBusy": "refuse" });
    assert_eq!(stage.code(&stage.u1, "turns:send", refuse).await, Code::ThreadBusy);
}

#[tokio::test]
async fn ms_06_stopping_the_running_answer_begins_the_next_and_removing_the_thread_does_not() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let first = stage.send(&stage.u1, &thread, "one").await;
    queue(&stage, &thread, "two").await;
    stage.ok(&stage.u1, "generations:stop", json!({ "generationId": first.generation })).await;
    let next = running(&stage, &thread).await;
    assert_ne!(next, first.generation);
    queue(&stage, &thread, "three").await;
    stage.ok(&stage.u1, "threads:remove", json!({ "threadId": thread })).await;
    assert_eq!(stage.system("driver:queue", json!({ "limit": 10 })).await, json!([]));
    stage.healthy().await;
    while stage.system("threads:purge", json!({ "limit": 3 })).await["hasMore"] == json!(true) {}
    stage.healthy().await;
}

#[tokio::test]
async fn ms_06_a_waiting_message_is_taken_back_once_and_no_model_is_told_of_it() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let first = stage.send(&stage.u1, &thread, "one").await;
    let kept = queue(&stage, &thread, "kept").await;
    let steered =
        stage.ok(&stage.u1, "turns:send", json!({ "threadId": thread, "text": "gone", "ifBusy": "steer" })).await;
    let gone = json!({ "messageId": steered["userMessageId"] });
    assert_eq!(stage.code(&stage.u2, "turns:withdraw", gone.clone()).await, Code::NotFound);
    stage.ok(&stage.u1, "turns:withdraw", gone.clone()).await;
    assert_eq!(stage.code(&stage.u1, "turns:withdraw", gone).await, Code::InvalidTransition);
    let running_one = json!({ "messageId": first.message });
    assert_eq!(stage.code(&stage.u1, "turns:withdraw", running_one).await, Code::InvalidTransition);

    stage.ok(&stage.u1, "generations:stop", json!({ "generationId": first.generation })).await;
    let shown = stage.messages(&stage.u1, &thread).await;
    let states: Vec<(String, String)> = shown.iter().map(|m| (text(&m["text"]), text(&m["status"]))).collect();
    let state = |said: &str| states.iter().find(|(text, _)| text == said).map(|(_, status)| status.clone());
    assert_eq!(state("gone").as_deref(), Some("stopped"));
    assert_eq!(state("kept").as_deref(), Some("complete"), "{kept}");
    stage.ok(&stage.u1, "generations:stop", json!({ "generationId": running(&stage, &thread).await })).await;
    assert_eq!(stage.system("driver:queue", json!({ "limit": 10 })).await, json!([]), "nothing else waits");
    stage.healthy().await;
}
