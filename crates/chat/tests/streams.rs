//! Durable streams: lifetimes, producers, forks, and signed URLs. What the wire makes of them is tested with
//! the protocol's own suite.

use serde_json::{Value, json};
use spool_chat::functions::streams::urls::UrlKey;
use spool_chat::{Principal, Settings};
use spool_protocol::{Code, Error};

use crate::stage::Stage;

const SYSTEM: Principal = Principal::System;

fn named(path: &str) -> Value {
    json!({ "owner": "o", "path": path })
}

/// `named` and more fields.
fn with(path: &str, more: Value) -> Value {
    let mut args = named(path);
    for (key, value) in more.as_object().unwrap() {
        args[key] = value.clone();
    }
    args
}

impl Stage {
    async fn stream(&self, path: &str, more: Value) -> Value {
        self.ok(&SYSTEM, "streams:create", with(path, more)).await
    }

    async fn write(&self, path: &str, text: &str) -> Value {
        self.ok(&SYSTEM, "streams:append", appending(path, text, json!({}))).await
    }

    async fn text_of(&self, path: &str) -> Result<String, Error> {
        let page = self.call(&SYSTEM, "streams:read", with(path, json!({ "offset": 0 }))).await?;
        let slices = page["slices"].as_array().unwrap().iter();
        Ok(slices
            .map(|slice| {
                let at = |name: &str| usize::try_from(slice[name].as_u64().unwrap()).unwrap();
                let start = at("start");
                slice["data"].as_str().unwrap()[1..][at("from") - start..at("to") - start].to_owned()
            })
            .collect())
    }

    async fn status(&self, path: &str) -> Option<Code> {
        self.call(&SYSTEM, "streams:meta", named(path)).await.err().map(|error| error.code)
    }
}

fn appending(path: &str, text: &str, more: Value) -> Value {
    let mut args = with(path, more);
    if !text.is_empty() {
        args["contentType"] = "text/plain".into();
        args["pieces"] = json!([{ "units": text.len(), "data": format!("t{text}") }]);
    }
    args
}

fn by(producer: &str, epoch: u64, seq: u64) -> Value {
    json!({ "producer": { "id": producer, "epoch": epoch, "seq": seq } })
}

const PLAIN: &str = "text/plain";

#[tokio::test]
async fn owners_do_not_see_each_other() {
    let stage = Stage::new().await;
    stage.stream("a", json!({ "contentType": PLAIN })).await;
    let foreign = json!({ "owner": "p", "path": "a" });
    let missing = stage.refused(&SYSTEM, "streams:meta", named("b")).await;
    assert_eq!(stage.refused(&SYSTEM, "streams:meta", foreign.clone()).await, missing);
    assert_eq!(stage.refused(&SYSTEM, "streams:delete", foreign).await, missing);
    assert_eq!(stage.status("a").await, None);
}

#[tokio::test]
async fn a_producer_is_taken_once_and_in_order() {
    let stage = Stage::new().await;
    stage.stream("a", json!({ "contentType": PLAIN })).await;
    let send = async |text: &str, more: Value| stage.call(&SYSTEM, "streams:append", appending("a", text, more)).await;

    assert_eq!(send("1", by("p", 0, 1)).await.unwrap_err().data.unwrap()["expected"], 0);
    assert_eq!(send("1", by("p", 0, 0)).await.unwrap()["duplicate"], false);
    assert_eq!(send("x", by("p", 0, 0)).await.unwrap()["duplicate"], true);
    assert_eq!(send("2", by("p", 0, 1)).await.unwrap()["producerSeq"], 1);
    assert_eq!(send("x", by("p", 0, 0)).await.unwrap()["producerSeq"], 1);
    let gap = send("x", by("p", 0, 5)).await.unwrap_err();
    assert_eq!((gap.code, gap.data.unwrap()["expected"].as_u64()), (Code::StreamConflict, Some(2)));
    assert_eq!(send("x", by("p", 1, 1)).await.unwrap_err().code, Code::BadRequest);
    send("3", by("p", 1, 0)).await.unwrap();
    assert_eq!(send("x", by("p", 0, 2)).await.unwrap_err().data.unwrap()["epoch"], 1);

    // Closing takes a place in the order, and repetitions are known afterwards.
    let mut closing = by("p", 1, 1);
    closing["close"] = true.into();
    assert_eq!(send("4", closing.clone()).await.unwrap()["closed"], true);
    assert_eq!(send("4", closing).await.unwrap()["duplicate"], true);
    assert_eq!(send("3", by("p", 1, 0)).await.unwrap()["duplicate"], true);
    assert_eq!(send("x", by("p", 1, 2)).await.unwrap_err().code, Code::LogSealed);
    assert_eq!(send("x", by("q", 0, 0)).await.unwrap_err().code, Code::LogSealed);
    assert_eq!(stage.text_of("a").await.unwrap(), "1234");
}

#[tokio::test]
async fn a_refused_append_leaves_no_trace_of_its_producer() {
    let stage = Stage::new().await;
    stage.stream("a", json!({ "contentType": PLAIN })).await;
    let mut first = by("p", 0, 0);
    first["seq"] = "b".into();
    stage.ok(&SYSTEM, "streams:append", appending("a", "1", first)).await;
    let mut late = by("p", 0, 1);
    late["seq"] = "a".into();
    let refused = stage.refused(&SYSTEM, "streams:append", appending("a", "x", late)).await;
    assert_eq!(refused.data.unwrap()["reason"], "sequence");
    assert_eq!(stage.ok(&SYSTEM, "streams:append", appending("a", "2", by("p", 0, 1))).await["duplicate"], false);
    assert_eq!(stage.text_of("a").await.unwrap(), "12");
}

#[tokio::test]
async fn a_lifetime_slides_with_every_use_and_only_then() {
    let stage = Stage::new().await;
    stage.stream("a", json!({ "contentType": PLAIN, "ttlSeconds": 64 })).await;
    for _ in 0..3 {
        stage.clock.advance_ms(60_000);
        stage.write("a", "x").await;
    }
    stage.clock.advance_ms(60_000);
    assert_eq!(stage.ok(&SYSTEM, "streams:meta", named("a")).await["touchDue"], true);
    stage.ok(&SYSTEM, "streams:touch", named("a")).await;
    assert_eq!(stage.ok(&SYSTEM, "streams:meta", named("a")).await["touchDue"], false);
    stage.clock.advance_ms(64_000);
    assert_eq!(stage.status("a").await, None);
    stage.clock.advance_ms(1_000);
    assert_eq!(stage.status("a").await, Some(Code::NotFound));
    // What is over can be made again, and the sweep takes it only while it is over.
    stage.stream("a", json!({ "contentType": PLAIN })).await;
    stage.ok(&SYSTEM, "streams:sweep", json!({ "limit": 10 })).await;
    assert_eq!(stage.text_of("a").await.unwrap(), "");
}

#[tokio::test]
async fn forks_share_what_was_and_nothing_that_comes() {
    let stage = Stage::new().await;
    stage.stream("a", json!({ "contentType": PLAIN })).await;
    stage.write("a", "hello ").await;
    stage.write("a", "world").await;
    stage.stream("b", json!({ "fork": { "path": "a", "offset": 6, "subOffset": 3 } })).await;
    stage.write("b", "k").await;
    stage.write("a", "!").await;
    stage.stream("c", json!({ "fork": { "path": "b", "offset": 2 } })).await;
    stage.write("c", "y").await;
    assert_eq!(stage.text_of("a").await.unwrap(), "hello world!");
    assert_eq!(stage.text_of("b").await.unwrap(), "hello work");
    assert_eq!(stage.text_of("c").await.unwrap(), "hey");
    let beyond =
        stage.refused(&SYSTEM, "streams:create", with("d", json!({ "fork": { "path": "b", "offset": 11 } }))).await;
    assert_eq!(beyond.code, Code::BadRequest);

    // Deleted streams stay for their forks, and go with the last of them.
    for path in ["a", "b"] {
        stage.ok(&SYSTEM, "streams:delete", named(path)).await;
        assert_eq!(stage.status(path).await, Some(Code::Gone));
        let again = stage.refused(&SYSTEM, "streams:create", with(path, json!({ "contentType": PLAIN }))).await;
        assert_eq!(again.code, Code::StreamConflict);
    }
    assert_eq!(stage.text_of("c").await.unwrap(), "hey");
    stage.ok(&SYSTEM, "streams:delete", named("c")).await;
    for path in ["a", "b", "c"] {
        assert_eq!(stage.status(path).await, Some(Code::NotFound), "{path}");
        stage.stream(path, json!({ "contentType": PLAIN })).await;
    }
}

#[tokio::test]
async fn an_expired_fork_frees_its_deleted_source() {
    let stage = Stage::new().await;
    stage.stream("a", json!({ "contentType": PLAIN })).await;
    stage.stream("b", json!({ "ttlSeconds": 1, "fork": { "path": "a" } })).await;
    stage.ok(&SYSTEM, "streams:delete", named("a")).await;
    stage.clock.advance_ms(2_000);
    let next = stage.ok(&SYSTEM, "streams:nextDeadline", json!({})).await;
    assert!(next.as_u64().is_some());
    assert_eq!(stage.ok(&SYSTEM, "streams:sweep", json!({ "limit": 10 })).await["deleted"], 1);
    assert_eq!(stage.status("a").await, Some(Code::NotFound));
    assert!(stage.ok(&SYSTEM, "streams:nextDeadline", json!({})).await.is_null());
}

#[tokio::test]
async fn a_repeated_creation_is_the_same_or_refused() {
    let stage = Stage::new().await;
    let config = json!({ "contentType": "text/plain; charset=utf-8", "ttlSeconds": 60 });
    assert_eq!(stage.stream("a", config.clone()).await["created"], true);
    assert_eq!(stage.stream("a", json!({ "contentType": "TEXT/plain", "ttlSeconds": 60 })).await["created"], false);
    for other in [
        json!({ "contentType": PLAIN }),
        json!({ "contentType": "text/html", "ttlSeconds": 60 }),
        json!({ "contentType": PLAIN, "ttlSeconds": 60, "closed": true }),
        json!({ "ttlSeconds": 60 }),
    ] {
        let refused = stage.refused(&SYSTEM, "streams:create", with("a", other)).await;
        assert_eq!(refused.data.unwrap()["reason"], "configuration");
    }
    // A fork inherits what it does not say, and saying it again changes nothing.
    let fork = json!({ "fork": { "path": "a" } });
    assert_eq!(stage.stream("b", fork.clone()).await["created"], true);
    stage.write("a", "more").await;
    assert_eq!(stage.stream("b", fork).await["created"], false);
}

#[tokio::test]
async fn read_urls_are_for_what_the_caller_may_read() {
    let key = UrlKey([1; 32]);
    let stage = Stage::with(Settings { url_key: Some(key.clone()), ..Settings::default() }).await;
    let owner = stage.u1.user().unwrap().to_string();
    stage.ok(&SYSTEM, "streams:create", json!({ "owner": owner, "path": "a b" })).await;
    let args = json!({ "path": "a b", "ttlSeconds": 60 });
    let made = stage.ok(&stage.u1, "streams:readUrl", args.clone()).await;
    let expires = made["expiresAt"].as_u64().unwrap() / 1000;
    let signature = key.sign(&owner, "a b", expires);
    assert_eq!(made["url"], format!("/v1/stream/a%20b?signature={owner}.{signature}&expires={expires}"));
    assert_eq!(stage.code(&stage.u2, "streams:readUrl", args).await, Code::NotFound);
    for bad in [json!({ "path": "a b", "ttlSeconds": 0 }), json!({ "ttlSeconds": 60 })] {
        assert_eq!(stage.code(&stage.u1, "streams:readUrl", bad).await, Code::BadRequest);
    }
}

#[tokio::test]
async fn a_chain_of_forks_of_any_length_is_read_from_its_start() {
    const FORKS: usize = 300;
    let stage = Stage::new().await;
    stage.stream("f0", json!({ "contentType": PLAIN })).await;
    stage.write("f0", "0").await;
    for n in 1..FORKS {
        let source = format!("f{}", n - 1);
        stage.stream(&format!("f{n}"), json!({ "fork": { "path": source } })).await;
        stage.write(&format!("f{n}"), &(n % 10).to_string()).await;
    }
    let last = format!("f{}", FORKS - 1);
    let expected: String = (0..FORKS).map(|n| (n % 10).to_string()).collect();
    assert_eq!(stage.text_of(&last).await.unwrap(), expected);
    // A source that is left before its own beginning has no part in the fork.
    stage.stream("early", json!({ "fork": { "path": last, "offset": 5 } })).await;
    stage.write("early", "!").await;
    assert_eq!(stage.text_of("early").await.unwrap(), "01234!");
    stage.stream("earlier", json!({ "fork": { "path": "early", "offset": 2 } })).await;
    stage.write("earlier", "?").await;
    assert_eq!(stage.text_of("earlier").await.unwrap(), "01?");
}

#[tokio::test]
async fn a_page_of_small_chunks_is_bounded_by_what_it_takes_to_say_it() {
    let stage = Stage::new().await;
    stage.stream("a", json!({ "contentType": PLAIN })).await;
    for _ in 0..10 {
        stage.write("a", "x").await;
    }
    let page = stage.ok(&SYSTEM, "streams:read", with("a", json!({ "offset": 0, "maxBytes": 200 }))).await;
    assert_eq!((page["slices"].as_array().unwrap().len(), &page["next"]), (3, &json!(3)));
}

#[tokio::test]
async fn whoever_follows_a_stream_hears_that_only_its_forks_keep_it() {
    let stage = Stage::new().await;
    let made = stage.stream("a", json!({ "contentType": PLAIN })).await;
    stage.write("a", "x").await;
    stage.stream("b", json!({ "fork": { "path": "a" } })).await;
    let mut tail = stage.store.tail(made["meta"]["log"].as_str().unwrap(), 1).await.unwrap();
    assert!(tail.is_waiting());
    stage.ok(&SYSTEM, "streams:delete", named("a")).await;
    let heard = tokio::time::timeout(std::time::Duration::from_secs(5), tail.next()).await;
    assert!(heard.expect("the follower hears nothing").unwrap().is_none());
    assert_eq!(stage.text_of("b").await.unwrap(), "x");
    stage.healthy().await;
}

#[tokio::test]
async fn a_fork_that_was_told_its_lifetime_is_not_one_that_inherits_it() {
    let stage = Stage::new().await;
    stage.stream("a", json!({ "contentType": PLAIN, "ttlSeconds": 60 })).await;
    let (told, untold) = (json!({ "fork": { "path": "a" }, "ttlSeconds": 30 }), json!({ "fork": { "path": "a" } }));
    assert_eq!(stage.stream("b", told.clone()).await["created"], true);
    assert_eq!(stage.stream("b", told).await["created"], false);
    let refused = stage.refused(&SYSTEM, "streams:create", with("b", untold.clone())).await;
    assert_eq!(refused.data.unwrap()["reason"], "configuration");
    assert_eq!(stage.stream("c", untold.clone()).await["created"], true);
    assert_eq!(stage.stream("c", untold).await["created"], false);
    let same = json!({ "fork": { "path": "a" }, "ttlSeconds": 60 });
    assert_eq!(stage.stream("c", same).await["created"], false);
}

/// Sweeps to the end; returns how much each step took.
async fn swept(stage: &Stage, limit: u64) -> Vec<u64> {
    let mut steps = Vec::new();
    loop {
        let step = stage.ok(&SYSTEM, "remains:sweep", json!({ "limit": limit })).await;
        steps.push(step["deleted"].as_u64().unwrap());
        if step["hasMore"] == false {
            return steps;
        }
    }
}

/// Where the stored chunks of a log begin.
async fn chunks_of(stage: &Stage, log: &str) -> Vec<u64> {
    let log = log.to_owned();
    let read = move |tx: &mut spool_store::Tx<'_>| {
        let starts: Vec<u64> = tx.log_read(&log, 0)?.iter().map(|chunk| chunk.start).collect();
        Ok(json!(starts).to_string())
    };
    serde_json::from_str(&stage.store.query(std::sync::Arc::new(read)).await.unwrap().1).unwrap()
}

#[tokio::test]
async fn a_large_stream_goes_at_once_and_its_data_in_bounded_steps() {
    let stage = Stage::new().await;
    let made = stage.stream("a", json!({ "contentType": PLAIN })).await;
    let log = made["meta"]["log"].as_str().unwrap().to_owned();
    for n in 0..700 {
        let more = by(&format!("p{n}"), 0, 0);
        stage.ok(&SYSTEM, "streams:append", appending("a", "x", more)).await;
    }
    stage.ok(&SYSTEM, "streams:delete", named("a")).await;
    assert_eq!(stage.status("a").await, Some(Code::NotFound));
    assert_eq!(stage.ok(&SYSTEM, "remains:waiting", json!({})).await, true);
    // The name is free, and a new stream there has nothing of the old one.
    stage.stream("a", json!({ "contentType": PLAIN })).await;
    assert_eq!(stage.ok(&SYSTEM, "streams:append", appending("a", "new", by("p0", 0, 0))).await["duplicate"], false);
    let refused = stage.store.append(&log, 700, 1, "tx".into()).await.unwrap_err();
    assert_eq!(refused.code, Code::LogSealed, "nothing is added to what is to be swept");
    // A reader that is still at it finds less, and never a gap.
    stage.ok(&SYSTEM, "remains:sweep", json!({ "limit": 100 })).await;
    assert_eq!(chunks_of(&stage, &log).await, (0..600).collect::<Vec<_>>());
    stage.healthy().await;

    let steps = swept(&stage, 100).await;
    assert!(steps.iter().all(|step| *step <= 100), "{steps:?}");
    assert_eq!(steps.iter().sum::<u64>(), 600 + 700 + 1);
    assert!(chunks_of(&stage, &log).await.is_empty());
    assert_eq!(stage.ok(&SYSTEM, "remains:waiting", json!({})).await, false);
    assert_eq!(stage.text_of("a").await.unwrap(), "new");
    stage.healthy().await;
}

#[tokio::test]
async fn a_step_of_the_sweep_is_bounded_in_bytes() {
    let stage = Stage::new().await;
    stage.stream("a", json!({ "contentType": PLAIN })).await;
    for _ in 0..24 {
        stage.write("a", &"x".repeat(1 << 20)).await;
    }
    stage.ok(&SYSTEM, "streams:delete", named("a")).await;
    assert_eq!(swept(&stage, 1_000).await, [8, 8, 8, 1]);
}

#[tokio::test]
async fn a_long_chain_of_deleted_forks_goes_in_steps() {
    let stage = Stage::new().await;
    stage.stream("f0", json!({ "contentType": PLAIN })).await;
    for n in 1..50 {
        stage.stream(&format!("f{n}"), json!({ "fork": { "path": format!("f{}", n - 1) } })).await;
    }
    for n in 0..50 {
        stage.ok(&SYSTEM, "streams:delete", named(&format!("f{n}"))).await;
    }
    assert_eq!(stage.status("f0").await, Some(Code::Gone));
    swept(&stage, 100).await;
    assert_eq!(stage.status("f0").await, Some(Code::NotFound));
    stage.healthy().await;
}
