//! Messages that are written without asking for an answer.

use serde_json::{Value, json};
use spool_chat::Settings;
use spool_protocol::Code;

use crate::stage::{Stage, text};
use crate::users::join_all;

async fn get(stage: &Stage, id: &Value) -> Value {
    stage.ok(&stage.u1, "messages:get", json!({ "messageId": id })).await
}

#[tokio::test]
async fn ms_01_clients_write_the_user_s_role_only_unless_the_server_allows_it() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    for role in ["assistant", "system", "tool"] {
        let args = json!({ "threadId": thread, "role": role, "text": "x" });
        assert_eq!(stage.code(&stage.u1, "messages:append", args).await, Code::Forbidden);
    }
    let service = stage.service(&["messages:*"]).await;
    let args = json!({ "threadId": thread, "role": "assistant", "text": "x" });
    let id = stage.ok(&service, "messages:append", args.clone()).await;
    assert_eq!(get(&stage, &id).await["origin"], json!("agent"));

    let open = Stage::with(Settings { allow_client_roles: true, ..Settings::default() }).await;
    let thread = open.thread(&open.u1).await;
    let id =
        open.ok(&open.u1, "messages:append", json!({ "threadId": thread, "role": "assistant", "text": "x" })).await;
    assert_eq!(get(&open, &id).await["origin"], json!("client"));
}

#[tokio::test]
async fn ms_02_order_is_dense_whatever_the_clock_says() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    for number in 0..100_u64 {
        stage.clock.set_ms(1_700_000_000_000 - number);
        stage
            .ok(&stage.u1, "messages:append", json!({ "threadId": thread, "role": "user", "text": number.to_string() }))
            .await;
    }
    let messages = stage.messages(&stage.u1, &thread).await;
    for (number, message) in messages.iter().enumerate() {
        assert_eq!((&message["seq"], text(&message["text"])), (&json!(number), number.to_string()));
    }
    stage.healthy().await;
}

#[tokio::test]
async fn ms_04_the_same_append_ten_times_is_one_message() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let args = json!({ "threadId": thread, "role": "user", "text": "x", "requestId": "r" });
    let mut ids = join_all((0..10).map(|_| stage.ok(&stage.u1, "messages:append", args.clone())).collect()).await;
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(stage.messages(&stage.u1, &thread).await.len(), 1);
}

#[tokio::test]
async fn ms_05_a_stale_writer_is_told_the_current_version() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let args = json!({ "threadId": thread, "role": "user", "text": "x", "historyVersion": 0 });
    stage.ok(&stage.u1, "messages:append", args.clone()).await;
    let error = stage.refused(&stage.u1, "messages:append", args).await;
    assert_eq!((error.code, error.data.unwrap()["current"].clone()), (Code::HistoryConflict, json!(1)));
}

#[tokio::test]
async fn ms_07_parts_round_trip_and_text_is_their_join() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let upload = stage.upload(&stage.u1, &thread, "a").await;
    let parts = json!([
        { "type": "text", "text": "one\n" },
        { "type": "data", "mediaType": "application/json", "json": { "a": [1, { "b": null }] } },
        { "type": "file", "uploadId": upload, "mediaType": "text/plain", "name": "a", "size": 3 },
        { "type": "text", "text": "  two" },
    ]);
    let id =
        stage.ok(&stage.u1, "messages:append", json!({ "threadId": thread, "role": "user", "parts": parts })).await;
    let view = get(&stage, &id).await;
    assert_eq!((&view["parts"], &view["text"], &view["status"]), (&parts, &json!("one\n  two"), &json!("complete")));
    let both = json!({ "threadId": thread, "role": "user", "parts": parts, "text": "x" });
    assert_eq!(stage.code(&stage.u1, "messages:append", both).await, Code::BadRequest);
    for blank in [json!({}), json!({ "text": " \n" }), json!({ "content": "" }), json!({ "parts": [] })] {
        let mut args = json!({ "threadId": thread, "role": "user" });
        args.as_object_mut().unwrap().extend(blank.as_object().unwrap().clone());
        assert_eq!(stage.code(&stage.u1, "messages:append", args).await, Code::EmptyMessage);
    }
}

#[tokio::test]
async fn ms_08_citations_reasoning_and_tools_round_trip_as_parts() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let service = stage.service(&["*"]).await;
    let args = json!({
        "threadId": thread, "role": "assistant", "content": "answer", "reasoningText": "because",
        "citations": [{ "title": "T", "url": "https://example.com", "snippet": "s" }],
        "tools": [{ "name": "search", "args": { "q": "x" }, "result": [1] }, { "name": "noop", "args": {} }],
        "model": "m", "provider": "p", "usage": { "inputTokens": 1, "outputTokens": 2 }, "finishReason": "stop",
    });
    let id = stage.ok(&service, "messages:append", args).await;
    let view = get(&stage, &id).await;
    assert_eq!(view["text"], json!("answer"));
    let kinds: Vec<String> = view["parts"].as_array().unwrap().iter().map(|part| text(&part["type"])).collect();
    assert_eq!(kinds, ["reasoning", "tool_call", "tool_call", "text", "source"]);
    assert_eq!(view["parts"][1]["output"], json!([1]));
    assert_eq!((&view["model"], &view["provider"], &view["finishReason"]), (&json!("m"), &json!("p"), &json!("stop")));
    assert_eq!(view["usage"], json!({ "inputTokens": 1, "outputTokens": 2 }));
    let unsafe_key =
        json!({ "threadId": thread, "role": "user", "text": "x", "tools": [{ "name": "t", "args": { "$x": 1 } }] });
    let error = stage.refused(&stage.u1, "messages:append", unsafe_key).await;
    assert_eq!((error.code, error.data.unwrap()["path"].clone()), (Code::BadRequest, json!("tools[0].args.$x")));
}

#[tokio::test]
async fn ms_10_any_sequence_of_roles_is_kept() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let service = stage.service(&["*"]).await;
    let roles = ["assistant", "assistant", "tool", "user", "tool", "system", "assistant", "user", "user"];
    for role in roles {
        stage.ok(&service, "messages:append", json!({ "threadId": thread, "role": role, "text": role })).await;
    }
    let kept: Vec<String> =
        stage.messages(&stage.u1, &thread).await.iter().map(|message| text(&message["role"])).collect();
    assert_eq!(kept, roles);
}

#[tokio::test]
async fn ms_12_pages_go_both_ways() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    for number in 0..12 {
        stage
            .ok(&stage.u1, "messages:append", json!({ "threadId": thread, "role": "user", "text": number.to_string() }))
            .await;
    }
    for (order, expected) in [("asc", (0..12).collect::<Vec<u64>>()), ("desc", (0..12).rev().collect())] {
        let (mut seen, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let args =
                json!({ "threadId": thread, "order": order, "paginationOpts": { "numItems": 5, "cursor": cursor } });
            let page = stage.ok(&stage.u1, "messages:page", args).await;
            seen.extend(page["page"].as_array().unwrap().iter().map(|message| message["seq"].as_u64().unwrap()));
            if page["isDone"] == json!(true) {
                break;
            }
            cursor = page["continueCursor"].clone();
        }
        assert_eq!(seen, expected);
    }
    let foreign = json!({ "threadId": thread, "paginationOpts": { "numItems": 5, "cursor": "nonsense" } });
    assert_eq!(stage.code(&stage.u1, "messages:page", foreign).await, Code::InvalidCursor);
}

#[tokio::test]
async fn ms_14_text_is_stored_verbatim() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let said = "I want `${process.env.X}` eval(…) \u{7}\u{0}\r\n\t🇩🇪  ";
    let id = stage.ok(&stage.u1, "messages:append", json!({ "threadId": thread, "role": "user", "text": said })).await;
    assert_eq!(get(&stage, &id).await["text"], json!(said));
}

#[tokio::test]
async fn ty_03_the_fault_s_place_reaches_the_caller() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let source = json!({ "type": "source", "title": "t", "url": "u" });
    let parts = json!([source, source, { "type": "source", "title": "t", "url": 1 }]);
    let error = stage
        .refused(&stage.u1, "messages:append", json!({ "threadId": thread, "role": "user", "parts": parts }))
        .await;
    assert_eq!(error.code, Code::BadRequest);
    assert!(error.message.contains("parts[2].url"), "{}", error.message);
}
