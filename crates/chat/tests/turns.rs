//! Turns: sent once, answered, retried, stopped.

use serde_json::{Value, json};
use spool_chat::{ModelChoice, ServerInfo, Settings};
use spool_protocol::{Code, Event};

use crate::stage::{Stage, held, text, turn_of, words};
use crate::users::join_all;

#[tokio::test]
async fn ms_03_a_turn_is_three_rows_at_once() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &thread, "hello").await;
    let messages = stage.messages(&stage.u1, &thread).await;
    let line = |m: &Value| format!("{} {} {} {}", text(&m["_id"]), text(&m["role"]), text(&m["status"]), m["text"]);
    assert_eq!(line(&messages[0]), format!("{} user complete \"hello\"", turn.user_message));
    assert_eq!(line(&messages[1]), format!("{} assistant pending \"\"", turn.message));
    assert_eq!(messages[1]["generationId"], json!(turn.generation));
    let view = stage.ok(&stage.u1, "generations:get", json!({ "generationId": turn.generation })).await;
    assert_eq!(
        (&view["status"], &view["messageId"], &view["cursor"]),
        (&json!("queued"), &json!(turn.message), &json!(0))
    );
    let thread = stage.ok(&stage.u1, "threads:get", json!({ "threadId": turn.thread })).await;
    assert_eq!((&thread["messageCount"], &thread["activeGenerationId"]), (&json!(2), &json!(turn.generation)));
    stage.healthy().await;
}

#[tokio::test]
async fn ms_04_the_same_request_id_gives_the_same_ids() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let args = json!({ "threadId": thread, "text": "hello", "requestId": "r1" });
    let answers = join_all((0..10).map(|_| stage.ok(&stage.u1, "turns:send", args.clone())).collect()).await;
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:?}");
    assert_eq!(stage.messages(&stage.u1, &thread).await.len(), 2);
    let turn = turn_of(&thread, &answers[0]);
    stage.answer(&turn.generation, "hi", "error").await;
    stage.ok(&stage.u1, "turns:retry", json!({ "messageId": turn.message })).await;
    assert_eq!(stage.ok(&stage.u1, "turns:send", args.clone()).await, answers[0], "after a retry, too");
    let elsewhere = stage.thread(&stage.u1).await;
    let other =
        stage.ok(&stage.u1, "turns:send", json!({ "threadId": elsewhere, "text": "hello", "requestId": "r1" })).await;
    assert_ne!(other, answers[0]);
    stage
        .ok(&stage.u1, "messages:append", json!({ "threadId": thread, "role": "user", "text": "x", "requestId": "r2" }))
        .await;
    let mixed = json!({ "threadId": thread, "text": "x", "requestId": "r2" });
    assert_eq!(stage.code(&stage.u1, "turns:send", mixed).await, Code::AlreadyExists);
}

#[tokio::test]
async fn ms_05_two_tabs_at_one_version_one_is_told() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &thread, "one").await;
    stage.answer(&turn.generation, "hi", "complete").await;
    let args = json!({ "threadId": thread, "text": "two", "historyVersion": 1 });
    let turn = turn_of(&thread, &stage.ok(&stage.u1, "turns:send", args.clone()).await);
    stage.answer(&turn.generation, "hi", "complete").await;
    let error = stage.refused(&stage.u1, "turns:send", args).await;
    assert_eq!((error.code, error.data.unwrap()["current"].clone()), (Code::HistoryConflict, json!(2)));
}

#[tokio::test]
async fn ms_06_parallel_sends_make_one_running_generation() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let args = json!({ "threadId": thread, "text": "hello" });
    let answers = join_all((0..10).map(|_| stage.call(&stage.u1, "turns:send", args.clone())).collect()).await;
    let (sent, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((sent.len(), refused.len()), (1, 9));
    let running = sent.into_iter().next().unwrap().unwrap()["generationId"].clone();
    for error in refused.into_iter().map(Result::unwrap_err) {
        assert_eq!((error.code, &error.data.unwrap()["generationId"]), (Code::ThreadBusy, &running));
    }
    assert_eq!(stage.messages(&stage.u1, &thread).await.len(), 2);
    stage.healthy().await;
}

#[tokio::test]
async fn an_empty_turn_is_refused_and_leaves_nothing() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    stage.ok(&stage.u1, "messages:append", json!({ "threadId": thread, "role": "user", "text": "first" })).await;
    for said in ["", "  \n\t"] {
        assert_eq!(
            stage.code(&stage.u1, "turns:send", json!({ "threadId": thread, "text": said })).await,
            Code::EmptyMessage
        );
    }
    let long = "x".repeat((8 << 20) + 1);
    assert_eq!(stage.code(&stage.u1, "turns:send", json!({ "threadId": thread, "text": long })).await, Code::TooLarge);
    assert_eq!(stage.messages(&stage.u1, &thread).await.len(), 1);
}

#[tokio::test]
async fn ms_13_model_provider_usage_and_reason_are_kept_per_message() {
    let model = |id: &str, provider: &str| ModelChoice { id: id.into(), provider: provider.into(), is_default: false };
    let info = ServerInfo { models: vec![model("m1", "p1"), model("m2", "p2")], ..ServerInfo::default() };
    let stage = Stage::with(Settings { info, default_model: "m1".into(), ..Settings::default() }).await;
    let thread = stage.thread(&stage.u1).await;
    let first = stage.send(&stage.u1, &thread, "one").await;
    stage.answer(&first.generation, "a", "complete").await;
    let second = stage.ok(&stage.u1, "turns:send", json!({ "threadId": thread, "text": "two", "model": "m2" })).await;
    let second = turn_of(&thread, &second);
    let mut finish = held(&second.generation, stage.start(&second.generation).await);
    finish["status"] = json!("complete");
    finish["usage"] = json!({ "inputTokens": 3, "outputTokens": 4.0 });
    finish["finishReason"] = json!("length");
    stage.system("driver:finish", finish).await;
    let messages = stage.messages(&stage.u1, &thread).await;
    assert_eq!((&messages[1]["model"], &messages[1]["provider"]), (&json!("m1"), &json!("p1")));
    assert_eq!((&messages[3]["model"], &messages[3]["provider"]), (&json!("m2"), &json!("p2")));
    assert_eq!(messages[3]["usage"], json!({ "inputTokens": 3, "outputTokens": 4 }));
    assert_eq!(messages[3]["finishReason"], json!("length"));
}

#[tokio::test]
async fn ms_15_a_failed_answer_is_made_again_in_place_and_the_first_try_stays() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &thread, "hello").await;
    let retry = json!({ "messageId": turn.message });
    assert_eq!(stage.code(&stage.u1, "turns:retry", retry.clone()).await, Code::ThreadBusy);
    stage.answer(&turn.generation, "par", "interrupted").await;
    let retried = stage.ok(&stage.u1, "turns:retry", retry.clone()).await;
    assert_eq!(retried["messageId"], json!(turn.message));
    let again = text(&retried["generationId"]);
    assert_ne!(again, turn.generation);
    let message = &stage.messages(&stage.u1, &thread).await[1];
    assert_eq!(
        (&message["status"], &message["attempt"], &message["parts"]),
        (&json!("pending"), &json!(2), &json!([]))
    );
    stage.answer(&again, "whole", "complete").await;
    let messages = stage.messages(&stage.u1, &thread).await;
    assert_eq!(
        (messages.len(), &messages[1]["text"], &messages[1]["generationId"]),
        (2, &json!("whole"), &json!(again))
    );
    let earlier =
        stage.ok(&stage.u1, "generations:deltas", json!({ "generationId": turn.generation, "cursor": 0 })).await;
    assert_eq!((&earlier["events"][0]["text"], &earlier["status"]), (&json!("par"), &json!("interrupted")));
    assert_eq!(stage.code(&stage.u1, "turns:retry", retry).await, Code::InvalidTransition, "it is complete now");
    let question = json!({ "messageId": turn.user_message });
    assert_eq!(stage.code(&stage.u1, "turns:retry", question).await, Code::InvalidTransition);
    stage.healthy().await;
}

#[tokio::test]
async fn st_09_an_error_keeps_the_partial_text_and_frees_the_thread() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &thread, "hello").await;
    let epoch = stage.start(&turn.generation).await;
    stage.append(&turn.generation, 0, &[words("twenty tokens")]).await;
    let mut finish = held(&turn.generation, epoch);
    finish["status"] = json!("error");
    finish["error"] = json!({ "code": "provider_cut", "message": "The stream ended early.", "retryable": true });
    stage.system("driver:finish", finish).await;
    let message = &stage.messages(&stage.u1, &thread).await[1];
    assert_eq!((&message["status"], &message["text"]), (&json!("error"), &json!("twenty tokens")));
    assert_eq!(message["error"]["code"], json!("provider_cut"));
    let view = stage.ok(&stage.u1, "threads:get", json!({ "threadId": thread })).await;
    assert!(view.get("activeGenerationId").is_none());
    let log = stage.ok(&stage.u1, "generations:deltas", json!({ "generationId": turn.generation, "cursor": 0 })).await;
    let last = log["events"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["type"], &last["status"], &last["error"]["code"]),
        (&json!("status"), &json!("error"), &json!("provider_cut"))
    );
    stage.healthy().await;
}

#[tokio::test]
async fn st_10_stop_is_a_row_for_the_runner_and_an_end_for_what_waits() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let waiting = stage.send(&stage.u1, &thread, "hello").await;
    let stop = |generation: &str| json!({ "generationId": generation });
    assert_eq!(stage.ok(&stage.u1, "generations:stop", stop(&waiting.generation)).await, json!({ "stopped": true }));
    let again = stage.ok(&stage.u1, "generations:stop", stop(&waiting.generation)).await;
    assert_eq!(again["stopped"], json!(false));
    assert!(text(&again["reason"]).contains("stopped"));

    let running = stage.send(&stage.u1, &thread, "more").await;
    let epoch = stage.start(&running.generation).await;
    stage.append(&running.generation, 0, &[words("so far")]).await;
    assert_eq!(stage.ok(&stage.u1, "generations:stop", stop(&running.generation)).await["stopped"], json!(true));
    let watched = stage.system("driver:watch", stop(&running.generation)).await;
    assert_eq!((&watched["status"], watched["stopRequestedAt"].is_u64()), (&json!("streaming"), true));
    let mut finish = held(&running.generation, epoch);
    finish["status"] = json!("stopped");
    stage.system("driver:finish", finish).await;
    let messages = stage.messages(&stage.u1, &thread).await;
    assert_eq!((&messages[1]["status"], &messages[3]["status"]), (&json!("stopped"), &json!("stopped")));
    assert_eq!(messages[3]["text"], json!("so far"));
    assert!(messages[3].get("error").is_none());
    stage.healthy().await;
}

#[tokio::test]
async fn st_16_what_runs_is_known_from_the_rows() {
    let stage = Stage::new().await;
    let (a, b) = (stage.thread(&stage.u1).await, stage.thread(&stage.u1).await);
    let first = stage.send(&stage.u1, &a, "hello").await;
    let second = stage.send(&stage.u1, &b, "hello").await;
    let theirs = stage.thread(&stage.u2).await;
    stage.send(&stage.u2, &theirs, "hello").await;
    stage.start(&first.generation).await;
    stage.append(&first.generation, 0, &[words("abc")]).await;
    let active = stage.ok(&stage.u1, "generations:active", json!({})).await;
    let line = |g: &Value| format!("{} {} {}", text(&g["_id"]), text(&g["status"]), g["cursor"]);
    let shape: Vec<String> = active.as_array().unwrap().iter().map(line).collect();
    assert_eq!(shape, [format!("{} streaming 3", first.generation), format!("{} queued 0", second.generation)]);
    stage.ok(&stage.u1, "generations:stop", json!({ "generationId": second.generation })).await;
    assert_eq!(stage.ok(&stage.u1, "generations:active", json!({})).await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn st_14_tools_and_text_keep_their_order_in_the_message() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &thread, "hello").await;
    let epoch = stage.start(&turn.generation).await;
    let tool = Event::ToolStart { tool_call_id: "t".into(), tool: "search".into(), input: json!({ "$q": 1 }) };
    let end = Event::ToolEnd { tool_call_id: "t".into(), output: Some(json!("found")), error: None, denied: false };
    let source = Event::Source { title: "T".into(), url: "https://example.com".into(), snippet: None };
    let activity = Event::Activity { kind: "k".into(), label: "l".into() };
    let mut at = 0;
    for event in [words("be"), words("fore"), activity, tool, end, source, words("after")] {
        at = stage.append(&turn.generation, at, &[event]).await;
    }
    let mut finish = held(&turn.generation, epoch);
    finish["status"] = json!("complete");
    stage.system("driver:finish", finish).await;
    let message = &stage.messages(&stage.u1, &thread).await[1];
    assert_eq!(message["text"], json!("beforeafter"));
    let expected = json!([
        { "type": "text", "text": "before" },
        { "type": "tool_call", "toolCallId": "t", "tool": "search", "state": "completed", "input": "{\"$q\":1}", "output": "found" },
        { "type": "source", "title": "T", "url": "https://example.com", "sourceId": "s9" },
        { "type": "text", "text": "after" },
    ]);
    assert_eq!(message["parts"], expected);
    stage.healthy().await;
}

#[tokio::test]
async fn ia_04_the_answer_to_a_service_and_to_the_server_is_the_same_row() {
    let stage = Stage::new().await;
    let service = stage.service(&["turns:*", "threads:*"]).await;
    let thread = stage.thread(&service).await;
    let turn = stage.send(&service, &thread, "hello").await;
    let seen: Value = stage.system("messages:get", json!({ "messageId": turn.user_message })).await;
    assert_eq!(seen["origin"], json!("client"));
    assert!(stage.ok(&stage.u1, "threads:get", json!({ "threadId": thread })).await.is_null());
}

#[tokio::test]
async fn ms_15_only_the_newest_complete_answer_is_made_anew() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let first = stage.send(&stage.u1, &thread, "one").await;
    stage.answer(&first.generation, "older", "complete").await;
    let again = json!({ "messageId": first.message });
    let made = stage.ok(&stage.u1, "turns:regenerate", again.clone()).await;
    assert_eq!(made["messageId"], json!(first.message));
    assert_eq!(stage.code(&stage.u1, "turns:regenerate", again.clone()).await, Code::ThreadBusy);
    stage.answer(&text(&made["generationId"]), "newer", "complete").await;
    let messages = stage.messages(&stage.u1, &thread).await;
    assert_eq!((messages.len(), &messages[1]["text"], &messages[1]["attempt"]), (2, &json!("newer"), &json!(2)));
    let log = json!({ "generationId": first.generation, "cursor": 0 });
    assert_eq!(stage.ok(&stage.u1, "generations:deltas", log).await["events"][0]["text"], json!("older"));
    let second = stage.send(&stage.u1, &thread, "two").await;
    stage.answer(&second.generation, "partial", "error").await;
    let refused = stage.refused(&stage.u1, "turns:regenerate", again).await;
    assert_eq!((refused.code, &refused.data.unwrap()["reason"]), (Code::InvalidTransition, &json!("not_newest")));
    stage.ok(&stage.u1, "turns:regenerate", json!({ "messageId": second.message })).await;
    let question = json!({ "messageId": second.user_message });
    assert_eq!(stage.code(&stage.u1, "turns:regenerate", question).await, Code::ThreadBusy);
    stage.healthy().await;
}
