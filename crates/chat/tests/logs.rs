//! Reading the log of an answer from any offset.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use spool_protocol::{Code, Event};

use crate::stage::{Stage, Turn, held, text, words};

async fn read(stage: &Stage, turn: &Turn, cursor: u64) -> Value {
    stage.ok(&stage.u1, "generations:deltas", json!({ "generationId": turn.generation, "cursor": cursor })).await
}

fn joined(page: &Value) -> String {
    let events = page["events"].as_array().unwrap();
    events.iter().filter(|event| event["type"] == "text").map(|event| text(&event["text"])).collect()
}

async fn turn(stage: &Stage) -> (Turn, u64) {
    let thread = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &thread, "hello").await;
    let epoch = stage.start(&turn.generation).await;
    (turn, epoch)
}

async fn finish(stage: &Stage, turn: &Turn, epoch: u64) {
    let mut args = held(&turn.generation, epoch);
    args["status"] = json!("complete");
    stage.system("driver:finish", args).await;
}

async fn drop_log(stage: &Stage, turn: &Turn) {
    let log = turn.generation.clone();
    let all = spool_store::backend::Limit::rows(usize::MAX);
    let run = move |tx: &mut spool_store::Tx<'_>| {
        while tx.log_delete(&log, all)?.rows > 0 {}
        Ok("null".to_owned())
    };
    stage.store.mutate(Arc::new(run), None).await.unwrap();
}

#[tokio::test]
async fn st_03_every_character_boundary_is_a_place_to_resume() {
    let stage = Stage::new().await;
    let (turn, epoch) = turn(&stage).await;
    let chunks = ["aé", "𝄞", "\r\n", "日本", "  data: x", "end"];
    let whole = chunks.concat();
    let mut at = 0;
    for chunk in chunks {
        at = stage.append(&turn.generation, at, &[words(chunk)]).await;
    }
    for cursor in 0..=whole.len() {
        if whole.is_char_boundary(cursor) {
            let page = read(&stage, &turn, cursor as u64).await;
            assert_eq!(joined(&page), whole[cursor..]);
            assert_eq!(page["cursor"], json!(whole.len()));
            assert!(page["events"].as_array().unwrap().len() <= 1, "neighbouring text is one piece");
        } else {
            let args = json!({ "generationId": turn.generation, "cursor": cursor });
            assert_eq!(stage.code(&stage.u1, "generations:deltas", args).await, Code::BadRequest);
        }
    }
    let beyond = json!({ "generationId": turn.generation, "cursor": whole.len() + 1 });
    let error = stage.refused(&stage.u1, "generations:deltas", beyond).await;
    assert_eq!((error.code, error.data.unwrap()["end"].clone()), (Code::BadRequest, json!(whole.len())));
    finish(&stage, &turn, epoch).await;
    let message = stage.ok(&stage.u1, "messages:get", json!({ "messageId": turn.message })).await;
    assert_eq!(message["text"], json!(whole));
    let end = read(&stage, &turn, whole.len() as u64).await;
    assert_eq!((&end["events"][0]["type"], &end["status"]), (&json!("status"), &json!("complete")));
    assert_eq!(read(&stage, &turn, whole.len() as u64 + 1).await["events"], json!([]));
}

#[tokio::test]
async fn st_05_a_late_joiner_gets_one_piece_and_then_the_rest() {
    let stage = Stage::new().await;
    let (turn, epoch) = turn(&stage).await;
    let mut at = 0;
    for _ in 0..50 {
        at = stage.append(&turn.generation, at, &[words("token ")]).await;
    }
    let first = read(&stage, &turn, 0).await;
    assert_eq!(first["events"].as_array().unwrap().len(), 1);
    at = stage.append(&turn.generation, at, &[words("tail")]).await;
    let second = read(&stage, &turn, first["cursor"].as_u64().unwrap()).await;
    assert_eq!((joined(&second).as_str(), &second["cursor"]), ("tail", &json!(at)));
    finish(&stage, &turn, epoch).await;
}

#[tokio::test]
async fn st_18_a_long_log_comes_in_pages_until_its_status() {
    let stage = Stage::new().await;
    let (turn, epoch) = turn(&stage).await;
    let piece = "é".repeat(4_000);
    let mut at = 0;
    for _ in 0..100 {
        at = stage.append(&turn.generation, at, &[words(&piece)]).await;
    }
    finish(&stage, &turn, epoch).await;
    let (mut cursor, mut pages, mut seen) = (0, 0, String::new());
    loop {
        let page = read(&stage, &turn, cursor).await;
        cursor = page["cursor"].as_u64().unwrap();
        pages += 1;
        seen += &joined(&page);
        assert_eq!(page["status"], json!("complete"));
        if page["events"].as_array().unwrap().last().unwrap()["type"] == "status" {
            break;
        }
    }
    assert!(pages > 2 && seen == piece.repeat(100), "{pages} pages, {} bytes", seen.len());
}

#[tokio::test]
async fn st_13_a_removed_log_is_told_again_from_the_message() {
    let stage = Stage::new().await;
    let (turn, epoch) = turn(&stage).await;
    stage.append(&turn.generation, 0, &[Event::Reasoning { text: "hm".into() }, words("answer")]).await;
    finish(&stage, &turn, epoch).await;
    let before = read(&stage, &turn, 0).await;
    drop_log(&stage, &turn).await;
    assert_eq!(read(&stage, &turn, 0).await, before);
    assert_eq!(joined(&read(&stage, &turn, 4).await), "swer");
    assert_eq!(read(&stage, &turn, 9).await["events"], json!([]));
    let view = stage.ok(&stage.u1, "generations:get", json!({ "generationId": turn.generation })).await;
    assert_eq!(view["cursor"], json!(9));
    let beyond = json!({ "generationId": turn.generation, "cursor": 10 });
    assert_eq!(stage.code(&stage.u1, "generations:deltas", beyond).await, Code::BadRequest);
    stage.healthy().await;
}

#[tokio::test]
async fn st_13_a_call_without_a_result_is_told_again_with_its_end() {
    let stage = Stage::new().await;
    let (turn, epoch) = turn(&stage).await;
    let start = Event::ToolStart { tool_call_id: "a".into(), tool: "t".into(), input: json!({}) };
    let end = Event::ToolEnd { tool_call_id: "a".into(), output: None, error: None, denied: false };
    stage.append(&turn.generation, 0, &[start, end, words("answer")]).await;
    finish(&stage, &turn, epoch).await;
    let before = read(&stage, &turn, 0).await;
    drop_log(&stage, &turn).await;
    assert_eq!(read(&stage, &turn, 0).await, before);
    stage.healthy().await;
}

#[tokio::test]
async fn st_13_offsets_of_a_removed_log_are_refused_where_they_are_not_known() {
    let stage = Stage::new().await;
    let (turn, epoch) = turn(&stage).await;
    let activity = Event::Activity { kind: "k".into(), label: "l".into() };
    stage.append(&turn.generation, 0, &[activity, words("answer")]).await;
    finish(&stage, &turn, epoch).await;
    drop_log(&stage, &turn).await;
    assert_eq!(joined(&read(&stage, &turn, 0).await), "answer");
    let middle = json!({ "generationId": turn.generation, "cursor": 2 });
    assert_eq!(stage.code(&stage.u1, "generations:deltas", middle).await, Code::BadRequest);
}

#[tokio::test]
async fn st_04_a_token_runs_no_query_but_the_readers_of_its_log() {
    let stage = Stage::new().await;
    let (turn, epoch) = turn(&stage).await;
    let wake = Arc::new(tokio::sync::Notify::new());
    let watch = |path: &'static str, args: Value| {
        let function = spool_chat::registry::find(path).unwrap();
        let ctx = spool_chat::CallContext::new(stage.u1.clone(), stage.settings.clone());
        let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counter = Arc::clone(&runs);
        let run = Arc::new(move |tx: &mut spool_store::Tx<'_>| {
            counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            function.call(tx, &ctx, args.clone())
        });
        (stage.store.subscribe(path.to_owned(), None, run, wake.clone()), runs)
    };
    let page = json!({ "numItems": 10, "cursor": null });
    let (messages, messages_runs) = watch("messages:page", json!({ "threadId": turn.thread, "paginationOpts": page }));
    let (threads, threads_runs) = watch("threads:page", json!({ "paginationOpts": page }));
    let (generation, generation_runs) = watch("generations:get", json!({ "generationId": turn.generation }));
    let all = [&messages, &threads, &generation];
    stage.store.evaluate(&all).await.unwrap();
    let mut at = 0;
    for _ in 0..20 {
        at = stage.append(&turn.generation, at, &[words("token ")]).await;
        stage.store.evaluate(&all).await.unwrap();
    }
    let runs =
        || [&messages_runs, &threads_runs, &generation_runs].map(|runs| runs.load(std::sync::atomic::Ordering::SeqCst));
    assert_eq!(runs(), [1, 1, 1]);
    finish(&stage, &turn, epoch).await;
    stage.store.evaluate(&all).await.unwrap();
    assert_eq!(runs(), [2, 2, 2]);
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => "[a-zé𝄞\\n ]{0,6}".prop_map(|text| Event::Text { text }),
        2 => "[a-zé]{1,4}".prop_map(|text| Event::Reasoning { text }),
        1 => Just(Event::Activity { kind: "k".into(), label: "l".into() }),
        1 => Just(Event::ToolStart { tool_call_id: "t".into(), tool: "x".into(), input: json!({}) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn st_03_readers_that_come_and_go_anywhere_miss_nothing(
        batches in prop::collection::vec(prop::collection::vec(any_event(), 1..4), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let stage = Stage::new().await;
            let (turn, epoch) = turn(&stage).await;
            let (mut at, mut reader) = (0, 0);
            let mut seen = Vec::new();
            for batch in &batches {
                if batch.iter().map(Event::units).sum::<u64>() > 0 {
                    at = stage.append(&turn.generation, at, batch).await;
                }
                let page = read(&stage, &turn, reader).await;
                reader = page["cursor"].as_u64().unwrap();
                let events: Vec<Event> = serde_json::from_value(page["events"].clone()).unwrap();
                events.into_iter().for_each(|event| Event::push_coalesced(&mut seen, event));
            }
            finish(&stage, &turn, epoch).await;
            let mut sent = Vec::new();
            batches.iter().flatten().for_each(|event| Event::push_coalesced(&mut sent, event.clone()));
            assert_eq!(seen, sent);
            let message = stage.ok(&stage.u1, "messages:get", json!({ "messageId": turn.message })).await;
            let events = json!({ "events": sent });
            assert_eq!(message["text"], json!(joined(&events)));
            stage.healthy().await;
        });
    }
}
