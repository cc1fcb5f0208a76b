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

/// A running answer that has said something.
async fn turn_with(stage: &Stage, said: &str) -> (Turn, u64) {
    let (turn, epoch) = turn(stage).await;
    stage.append(&turn.generation, 0, &[words(said)]).await;
    (turn, epoch)
}

async fn finish(stage: &Stage, turn: &Turn, epoch: u64) {
    let mut args = held(&turn.generation, epoch);
    args["status"] = json!("complete");
    stage.system("driver:finish", args).await;
}

const HOUR_MS: u64 = 3_600_000;

/// What the server's job does until nothing is left to do.
async fn tend(stage: &Stage) {
    while stage.system("logs:due", json!({})).await == json!(true) {
        stage.system("logs:tend", json!({ "limit": 100 })).await;
    }
}

async fn sweep(stage: &Stage) {
    while stage.system("remains:sweep", json!({ "limit": 2 })).await["hasMore"] == json!(true) {}
}

/// Lets the time of a log pass, and removes it.
async fn outlive(stage: &Stage) {
    stage.clock.advance_ms(24 * HOUR_MS);
    tend(stage).await;
}

/// Rows of the store that hold something of a log, and the bytes of its data.
fn stored(stage: &Stage, turn: &Turn) -> (i64, i64) {
    let file = rusqlite::Connection::open(stage.dir.path().join("spool.db")).unwrap();
    let sql = "SELECT count(*), coalesce(sum(octet_length(data)), 0) FROM (
        SELECT log, data FROM _log_journal UNION ALL SELECT log, data FROM _log_chunks
        UNION ALL SELECT log, '' FROM _logs_sealed) WHERE log = ?1";
    file.query_row(sql, [&turn.generation], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
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
async fn st_18_a_long_log_comes_in_pages_until_its_status_and_so_it_does_once_it_is_removed() {
    let stage = Stage::new().await;
    let (turn, epoch) = turn(&stage).await;
    let piece = "aé".repeat(3_001);
    let mut at = 0;
    for _ in 0..100 {
        at = stage.append(&turn.generation, at, &[words(&piece)]).await;
    }
    finish(&stage, &turn, epoch).await;
    for hours in [0, 1, 24] {
        stage.clock.advance_ms(hours * HOUR_MS);
        tend(&stage).await;
        let (mut cursor, mut pages, mut seen) = (0, 0, String::new());
        loop {
            let page = read(&stage, &turn, cursor).await;
            cursor = page["cursor"].as_u64().unwrap();
            pages += 1;
            assert!(joined(&page).len() <= 300_000, "a page of {} bytes", joined(&page).len());
            seen += &joined(&page);
            assert_eq!(page["status"], json!("complete"));
            if page["events"].as_array().unwrap().last().unwrap()["type"] == "status" {
                break;
            }
        }
        assert!(pages > 2 && seen == piece.repeat(100), "{pages} pages, {} bytes after {hours} hours", seen.len());
        assert_eq!(cursor, at + 1);
    }
}

#[tokio::test]
async fn st_13_a_removed_log_is_told_again_from_the_message() {
    let stage = Stage::new().await;
    let (turn, epoch) = turn(&stage).await;
    stage.append(&turn.generation, 0, &[Event::Reasoning { text: "hm".into() }, words("answer")]).await;
    finish(&stage, &turn, epoch).await;
    let before = read(&stage, &turn, 0).await;
    outlive(&stage).await;
    for swept in [false, true] {
        if swept {
            sweep(&stage).await;
        }
        assert_eq!(read(&stage, &turn, 0).await, before);
        assert_eq!(joined(&read(&stage, &turn, 4).await), "swer");
        assert_eq!(read(&stage, &turn, 9).await["events"], json!([]));
        let view = stage.ok(&stage.u1, "generations:get", json!({ "generationId": turn.generation })).await;
        assert_eq!(view["cursor"], json!(9));
        let beyond = json!({ "generationId": turn.generation, "cursor": 10 });
        assert_eq!(stage.code(&stage.u1, "generations:deltas", beyond).await, Code::BadRequest);
        stage.healthy().await;
    }
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
    outlive(&stage).await;
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
    outlive(&stage).await;
    assert_eq!(joined(&read(&stage, &turn, 0).await), "answer");
    let middle = json!({ "generationId": turn.generation, "cursor": 2 });
    assert_eq!(stage.code(&stage.u1, "generations:deltas", middle).await, Code::Gone);
    assert_eq!(read(&stage, &turn, 8).await["events"], json!([]), "its end is a place");
}

#[tokio::test]
async fn st_13_logs_are_compacted_after_an_hour_and_removed_after_their_time_and_messages_stay() {
    let stage = Stage::new().await;
    let (old, epoch) = turn(&stage).await;
    let text = "0123456789 abcdéfgh ".repeat(2_000);
    let mut at = 0;
    for word in text.split_inclusive(' ') {
        at = stage.append(&old.generation, at, &[words(word)]).await;
    }
    at = stage.append(&old.generation, at, &[Event::Activity { kind: "k".into(), label: "l".into() }]).await;
    finish(&stage, &old, epoch).await;
    let (rows, bytes) = stored(&stage, &old);
    assert!(rows > 4_000 && bytes > 3 * text.len() as i64, "{rows} rows, {bytes} bytes");
    let (first, rest) = (read(&stage, &old, 0).await, read(&stage, &old, at - 7).await);

    stage.clock.advance_ms(HOUR_MS - 1);
    assert_eq!(stage.system("logs:due", json!({})).await, json!(false), "it rests for an hour");
    stage.clock.advance_ms(1);
    let (running, _) = turn_with(&stage, "still written").await;
    tend(&stage).await;
    let (rows, bytes) = stored(&stage, &old);
    assert!(rows < 10 && bytes < text.len() as i64 * 11 / 10, "{rows} rows, {bytes} bytes");
    assert_eq!(read(&stage, &old, 0).await, first);
    assert_eq!(read(&stage, &old, at - 7).await, rest);
    for cursor in (0..text.len()).step_by(997).filter(|at| text.is_char_boundary(*at)) {
        assert_eq!(joined(&read(&stage, &old, cursor as u64).await), text[cursor..]);
    }
    stage.healthy().await;

    stage.clock.advance_ms(HOUR_MS);
    let (younger, epoch) = turn_with(&stage, "younger").await;
    finish(&stage, &younger, epoch).await;
    stage.clock.advance_ms(22 * HOUR_MS - 1);
    tend(&stage).await;
    assert_eq!(read(&stage, &old, 0).await, first, "a millisecond before its time");
    stage.clock.advance_ms(1);
    tend(&stage).await;
    assert_eq!(stage.system("remains:waiting", json!({})).await, json!(true));
    sweep(&stage).await;
    assert_eq!(stored(&stage, &old), (0, 0));
    let message = stage.ok(&stage.u1, "messages:get", json!({ "messageId": old.message })).await;
    assert_eq!((&message["text"], &message["status"]), (&json!(text), &json!("complete")));
    assert_eq!(joined(&read(&stage, &younger, 0).await), "younger");
    assert_eq!(joined(&read(&stage, &running, 0).await), "still written");
    assert!(stored(&stage, &younger).0 > 0 && stored(&stage, &running).0 > 0);
    stage.healthy().await;

    // Its thread can go afterwards, and with it what was never removed.
    stage.ok(&stage.u1, "threads:remove", json!({ "threadId": old.thread })).await;
    while stage.system("threads:purge", json!({ "limit": 100 })).await["hasMore"] == json!(true) {}
    sweep(&stage).await;
    stage.healthy().await;
}

#[tokio::test]
async fn st_13_whoever_runs_the_server_may_remove_logs_earlier_and_gets_the_count() {
    let stage = Stage::with(spool_chat::Settings { log_ms: None, ..spool_chat::Settings::default() }).await;
    let service = stage.service(&["logs:*"]).await;
    let mut turns = Vec::new();
    for said in ["one", "two"] {
        let (turn, epoch) = turn_with(&stage, said).await;
        finish(&stage, &turn, epoch).await;
        turns.push(turn);
        stage.clock.advance_ms(20 * HOUR_MS);
    }
    let (running, _) = turn_with(&stage, "three").await;
    stage.clock.advance_ms(1_000 * HOUR_MS);
    tend(&stage).await;
    assert!(turns.iter().all(|turn| stored(&stage, turn).1 > 0), "0 keeps them for ever");
    let clean = |hours: Value| json!({ "olderThanHours": hours });
    for wrong in [json!(-1), json!(1e9)] {
        assert_eq!(stage.code(&service, "logs:cleanUp", clean(wrong)).await, Code::BadRequest);
    }
    assert_eq!(stage.code(&stage.u1, "logs:cleanUp", clean(json!(0))).await, Code::Forbidden);
    let count = |deleted: u64| json!({ "deleted": deleted, "hasMore": false });
    assert_eq!(stage.ok(&service, "logs:cleanUp", clean(json!(1030))).await, count(1));
    assert_eq!(stage.ok(&service, "logs:cleanUp", json!({})).await, count(1));
    assert_eq!(stage.ok(&service, "logs:cleanUp", clean(json!(0))).await, count(0));
    sweep(&stage).await;
    assert!(turns.iter().all(|turn| stored(&stage, turn) == (0, 0)));
    for (turn, said) in turns.iter().zip(["one", "two"]) {
        assert_eq!(joined(&read(&stage, turn, 0).await), said);
    }
    assert_eq!(joined(&read(&stage, &running, 0).await), "three");
    stage.healthy().await;
}

#[tokio::test]
async fn st_13_the_deltas_of_listed_messages_go_on_after_their_log_is_gone() {
    let stage = Stage::new().await;
    let (turn, epoch) = turn(&stage).await;
    let at = stage.append(&turn.generation, 0, &[Event::Reasoning { text: "hm".into() }]).await;
    for word in ["one ", "two ", "three"] {
        stage.append(&turn.generation, at + "one two ".find(word).unwrap_or(8) as u64, &[words(word)]).await;
    }
    finish(&stage, &turn, epoch).await;
    let deltas = async |cursor: u64| {
        let args = json!({
            "threadId": turn.thread,
            "paginationOpts": { "numItems": 10, "cursor": null },
            "streamArgs": { "kind": "deltas", "cursors": [{ "streamId": turn.generation, "cursor": cursor }] },
        });
        let listed = stage.ok(&stage.u1, "messages:listMessages", args).await;
        let deltas = listed["streams"]["deltas"].as_array().unwrap().clone();
        assert_eq!(deltas.first().map(|first| first["start"].clone()), Some(json!(cursor)));
        assert_eq!(deltas.last().unwrap()["end"], json!(16));
        let parts = deltas.iter().flat_map(|delta| delta["parts"].as_array().unwrap().clone());
        let mut said = Vec::<(String, String)>::new();
        for part in parts {
            let (kind, delta) = (text(&part["type"]), part["delta"].as_str().unwrap_or_default().to_owned());
            match said.last_mut().filter(|(last, _)| *last == kind && !delta.is_empty()) {
                Some((_, whole)) => *whole += &delta,
                None => said.push((kind, delta)),
            }
        }
        said
    };
    let mut before = Vec::new();
    for cursor in [0, 1, 2, 6, 9] {
        before.push((cursor, deltas(cursor).await));
    }
    for hours in [1, 24] {
        stage.clock.advance_ms(hours * HOUR_MS);
        tend(&stage).await;
        for (cursor, before) in &before {
            assert_eq!(&deltas(*cursor).await, before, "from {cursor} after {hours} hours");
        }
    }
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
