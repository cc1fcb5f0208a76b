//! Subscriptions to durable streams: wakes begin with data, end with their holder, and fence lost holders off.

use serde_json::{Value, json};
use spool_chat::Principal;
use spool_protocol::Code;

use crate::stage::Stage;

const SYSTEM: Principal = Principal::System;
const LEASE_MS: u64 = 1_000;

fn named() -> Value {
    json!({ "owner": "o", "name": "s" })
}

impl Stage {
    async fn grow(&self, path: &str) {
        let stream = json!({ "owner": "o", "path": path, "contentType": "text/plain" });
        let _ = self.call(&SYSTEM, "streams:create", stream.clone()).await;
        let mut args = stream;
        args["pieces"] = json!([{ "units": 1, "data": "tx" }]);
        self.ok(&SYSTEM, "streams:append", args).await;
    }

    async fn subscribe(&self, how: Value) {
        let mut args = json!({ "owner": "o", "name": "s", "leaseTtlMs": LEASE_MS, "origin": "http://here" });
        args.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
        self.ok(&SYSTEM, "subscriptions:create", args).await;
    }

    async fn claim(&self, worker: &str) -> Result<Value, Value> {
        let args = json!({ "owner": "o", "name": "s", "worker": worker });
        self.call(&SYSTEM, "subscriptions:claim", args).await.map_err(|error| error.data.unwrap()["reason"].clone())
    }

    async fn settle(&self, held: &Value, acks: Value, done: bool) -> Result<Value, Value> {
        let args = json!({
            "id": held["id"], "tokenGeneration": held["generation"], "name": "s",
            "by": if held["webhookUrl"].is_null() { "worker" } else { "webhook" },
            "wakeId": held["wakeId"], "generation": held["generation"], "acks": acks, "done": done,
        });
        self.call(&SYSTEM, "subscriptions:settle", args).await.map_err(|error| error.data.unwrap()["reason"].clone())
    }

    /// What the workers were told on the wake stream: generation and stream.
    async fn told(&self, path: &str) -> Vec<(u64, String)> {
        let page = self.ok(&SYSTEM, "streams:read", json!({ "owner": "o", "path": path, "offset": 0 })).await;
        let event = |slice: &Value| {
            let event: Value = serde_json::from_str(slice["data"].as_str().unwrap()).unwrap();
            (event[0]["generation"].as_u64().unwrap(), event[0]["stream"].as_str().unwrap().to_owned())
        };
        page["slices"].as_array().unwrap().iter().map(event).collect()
    }

    /// Ends the leases that ran out, and takes the next delivery, null if there is none.
    async fn deliver(&self) -> Value {
        while self.ok(&SYSTEM, "subscriptions:advance", json!({})).await == true {}
        self.ok(&SYSTEM, "subscriptions:deliver", json!({})).await
    }
}

fn pull() -> Value {
    json!({ "pattern": "e/*", "wakeStream": "w" })
}

fn wake_stream() -> Value {
    json!({ "owner": "o", "path": "w", "contentType": "application/json" })
}

/// Any number of characters.
fn long(bytes: usize) -> String {
    "x".repeat(bytes)
}

fn hook() -> Value {
    json!({ "pattern": "e/*", "webhookUrl": "https://example.com" })
}

#[tokio::test]
async fn a_wake_begins_with_the_data_and_is_announced_once() {
    let stage = Stage::new().await;
    stage.ok(&SYSTEM, "streams:create", json!({ "owner": "o", "path": "w", "contentType": "application/json" })).await;
    stage.grow("e/old").await;
    stage.subscribe(pull()).await;
    assert_eq!(stage.claim("one").await, Err("NO_PENDING_WORK".into()));
    stage.grow("e/a").await;
    stage.grow("e/a").await;
    stage.grow("other/a").await;
    let told = stage.ok(&SYSTEM, "streams:read", json!({ "owner": "o", "path": "w", "offset": 0 })).await;
    assert_eq!(told["slices"].as_array().unwrap().len(), 1);
    let event: Value = serde_json::from_str(told["slices"][0]["data"].as_str().unwrap()).unwrap();
    assert_eq!((&event[0]["type"], &event[0]["stream"]), (&json!("wake"), &json!("e/a")));
    assert_eq!(event[0]["generation"], 1);
}

#[tokio::test]
async fn one_worker_holds_a_wake_until_it_is_done_or_silent() {
    let stage = Stage::new().await;
    stage.subscribe(pull()).await;
    stage.grow("e/a").await;
    let first = stage.claim("one").await.unwrap();
    assert_eq!(stage.claim("two").await, Err("ALREADY_CLAIMED".into()));
    // Acknowledging is a heartbeat.
    stage.clock.advance_ms(LEASE_MS - 1);
    stage.settle(&first, json!([]), false).await.unwrap();
    stage.clock.advance_ms(LEASE_MS - 1);
    assert_eq!(stage.claim("two").await, Err("ALREADY_CLAIMED".into()));
    // Silence is not: the next one gets the work, the first is fenced off.
    stage.clock.advance_ms(1);
    let second = stage.claim("two").await.unwrap();
    assert_eq!(stage.settle(&first, json!([{ "path": "e/a", "offset": 1 }]), true).await, Err("FENCED".into()));
    let settled = stage.settle(&second, json!([{ "path": "e/a", "offset": 1 }]), true).await.unwrap();
    assert_eq!(settled["nextWake"], false);
    assert_eq!(stage.settle(&second, json!([]), true).await, Err("FENCED".into()));
    assert_eq!(stage.claim("two").await, Err("NO_PENDING_WORK".into()));
}

#[tokio::test]
async fn acknowledgements_are_all_or_nothing_and_never_go_back() {
    let stage = Stage::new().await;
    stage.subscribe(pull()).await;
    stage.grow("e/a").await;
    stage.grow("e/a").await;
    let held = stage.claim("one").await.unwrap();
    for bad in [json!({ "path": "e/a", "offset": 3 }), json!({ "path": "x", "offset": 0 })] {
        let acks = json!([{ "path": "e/a", "offset": 2 }, bad]);
        assert_eq!(stage.settle(&held, acks, true).await, Err("INVALID_OFFSET".into()));
    }
    stage.settle(&held, json!([{ "path": "e/a", "offset": 1 }]), false).await.unwrap();
    assert_eq!(stage.settle(&held, json!([{ "path": "e/a", "offset": 0 }]), false).await, Err("INVALID_OFFSET".into()));
    // Done with less than there is: the next wake begins at once.
    assert_eq!(stage.settle(&held, json!([]), true).await.unwrap()["nextWake"], true);
    assert_eq!(stage.claim("one").await.unwrap()["generation"], 2);
}

#[tokio::test]
async fn a_webhook_is_tried_until_it_is_taken() {
    let stage = Stage::new().await;
    stage.subscribe(hook()).await;
    assert!(stage.deliver().await.is_null());
    stage.grow("e/a").await;
    let mut pauses = Vec::new();
    for _ in 0..9 {
        let due = stage.ok(&SYSTEM, "subscriptions:nextDelivery", json!({})).await.as_u64().unwrap();
        let held = stage.deliver().await;
        assert_eq!(held["generation"], 1);
        let failed = json!({ "id": held["id"], "generation": 1, "ok": false, "done": false });
        stage.ok(&SYSTEM, "subscriptions:delivered", failed).await;
        let next = stage.ok(&SYSTEM, "subscriptions:nextDelivery", json!({})).await.as_u64().unwrap();
        pauses.push(next - due);
        assert!(stage.deliver().await.is_null());
        stage.clock.advance_ms(next - due);
    }
    // Less up to a fifth, and not always the same part of it.
    for (pause, whole) in pauses.iter().zip([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]) {
        assert!((whole * 4 / 5..=whole).contains(pause), "{pauses:?}");
    }
    assert!(pauses.iter().any(|pause| pause % 1_000 != 0), "{pauses:?}");
    let held = stage.deliver().await;
    stage.grow("e/a").await;
    let taken = json!({ "id": held["id"], "generation": 1, "ok": true, "done": true });
    stage.ok(&SYSTEM, "subscriptions:delivered", taken).await;
    // It was done with what it had been told; what came meanwhile is the next wake.
    let next = stage.deliver().await;
    assert_eq!(next["generation"], 2);
    assert_eq!(next["streams"][0]["acked"], 1);
    // A receiver that took it and never came back: the lease runs out.
    stage
        .ok(&SYSTEM, "subscriptions:delivered", json!({ "id": next["id"], "generation": 2, "ok": true, "done": false }))
        .await;
    stage.clock.advance_ms(LEASE_MS);
    assert_eq!(stage.ok(&SYSTEM, "subscriptions:advance", json!({})).await, true);
    assert_eq!(stage.deliver().await["generation"], 3);
}

#[tokio::test]
async fn leases_end_and_others_are_served_while_an_owners_deliveries_wait() {
    let stage = Stage::new().await;
    stage.subscribe(pull()).await;
    for (owner, name) in [("busy", "s"), ("busy", "t"), ("p", "s")] {
        let args = json!({
            "owner": owner, "name": name, "pattern": "e/*", "webhookUrl": "https://example.com",
            "leaseTtlMs": LEASE_MS, "origin": "http://here",
        });
        stage.ok(&SYSTEM, "subscriptions:create", args).await;
    }
    for owner in ["busy", "o", "p"] {
        let stream = json!({
            "owner": owner, "path": "e/a", "contentType": "text/plain", "pieces": [{ "units": 1, "data": "tx" }],
        });
        stage.ok(&SYSTEM, "streams:create", stream).await;
    }
    let lost = stage.claim("one").await.unwrap();
    stage.clock.advance_ms(LEASE_MS);
    // What waits for its delivery is older, and in nobody's way.
    assert_eq!(stage.ok(&SYSTEM, "subscriptions:advance", json!({})).await, true);
    assert_eq!(stage.ok(&SYSTEM, "subscriptions:advance", json!({})).await, false);
    assert_eq!(stage.settle(&lost, json!([]), true).await, Err("FENCED".into()));
    let others = json!({ "owners": ["busy"] });
    assert!(stage.ok(&SYSTEM, "subscriptions:nextDelivery", others.clone()).await.is_u64());
    assert_eq!(stage.ok(&SYSTEM, "subscriptions:deliver", others.clone()).await["owner"], "p");
    assert!(stage.ok(&SYSTEM, "subscriptions:deliver", others.clone()).await.is_null());
    assert!(stage.ok(&SYSTEM, "subscriptions:nextDelivery", others).await.is_null());
    // No lease has begun for what was not handed out.
    stage.clock.advance_ms(LEASE_MS - 1);
    assert_eq!(stage.ok(&SYSTEM, "subscriptions:advance", json!({})).await, false);
    for name in ["s", "t"] {
        let held = stage.ok(&SYSTEM, "subscriptions:deliver", json!({})).await;
        assert_eq!((&held["owner"], &held["name"], &held["generation"]), (&json!("busy"), &json!(name), &json!(1)));
    }
    stage.healthy().await;
}

#[tokio::test]
async fn a_deleted_stream_begins_anew_and_a_removed_subscription_is_silent() {
    let stage = Stage::new().await;
    stage.subscribe(hook()).await;
    stage.ok(&SYSTEM, "subscriptions:link", json!({ "owner": "o", "name": "s", "streams": ["m", "n"] })).await;
    stage.ok(&SYSTEM, "subscriptions:unlink", json!({ "owner": "o", "name": "s", "path": "n" })).await;
    stage.grow("n").await;
    assert!(stage.deliver().await.is_null());
    stage.grow("m").await;
    let held = stage.deliver().await;
    stage.settle(&held, json!([{ "path": "m", "offset": 1 }]), true).await.unwrap();
    stage.ok(&SYSTEM, "streams:delete", json!({ "owner": "o", "path": "m" })).await;
    stage.grow("m").await;
    assert_eq!(stage.deliver().await["generation"], 2);
    stage.ok(&SYSTEM, "subscriptions:remove", named()).await;
    stage.clock.advance_ms(10 * LEASE_MS);
    assert!(stage.deliver().await.is_null());
    assert_eq!(stage.code(&SYSTEM, "subscriptions:get", named()).await, Code::NotFound);
    stage.ok(&SYSTEM, "subscriptions:remove", named()).await;
}

#[tokio::test]
async fn a_pattern_finds_every_stream_however_many_there_are() {
    const STREAMS: usize = 2_300;
    let stage = Stage::new().await;
    for n in 0..STREAMS / 2 {
        stage.grow(&format!("e/{n:04}")).await;
    }
    stage.subscribe(pull()).await;
    assert_eq!(stage.claim("w").await, Err("NO_PENDING_WORK".into()));
    stage.clock.advance_ms(1);
    for n in 0..STREAMS {
        stage.grow(&format!("e/{n:04}")).await;
    }
    let view = stage.ok(&SYSTEM, "subscriptions:get", named()).await;
    assert_eq!((view["streams"].as_array().unwrap().len(), &view["truncated"]), (1_000, &json!(true)));
    // Wake after wake, each bounded, until each stream was told once, from where it was at the beginning.
    let mut told = std::collections::BTreeMap::new();
    while let Ok(held) = stage.claim("w").await {
        let streams = held["streams"].as_array().unwrap();
        assert!(streams.len() <= 1_000);
        let mut acks = Vec::new();
        for stream in streams.iter().filter(|stream| stream["acked"] != stream["tail"]) {
            let before = told.insert(stream["path"].as_str().unwrap().to_owned(), stream["acked"].clone());
            assert_eq!(before, None, "told twice: {stream}");
            acks.push(json!({ "path": stream["path"], "offset": stream["tail"] }));
        }
        assert!(!acks.is_empty());
        stage.settle(&held, json!(acks), true).await.unwrap();
    }
    assert_eq!(told.len(), STREAMS);
    for (n, (path, acked)) in told.iter().enumerate() {
        let expected = if n < STREAMS / 2 { json!(1) } else { Value::Null };
        assert_eq!((path, acked), (&format!("e/{n:04}"), &expected));
    }
    stage.healthy().await;
    // A subscription of any size goes in bounded steps, too.
    stage.ok(&SYSTEM, "subscriptions:remove", named()).await;
    assert_eq!(stage.code(&SYSTEM, "subscriptions:get", named()).await, Code::NotFound);
    let mut removed = 0;
    loop {
        let step = stage.ok(&SYSTEM, "remains:sweep", json!({ "limit": 500 })).await;
        assert!(step["deleted"].as_u64().unwrap() <= 500);
        removed += step["deleted"].as_u64().unwrap();
        if step["hasMore"] == false {
            break;
        }
    }
    assert_eq!(removed, STREAMS as u64 + 1);
}

#[tokio::test]
async fn a_taken_delivery_acknowledges_what_it_spoke_of_and_nothing_else() {
    let stage = Stage::new().await;
    stage.subscribe(hook()).await;
    for n in 0..1_005 {
        stage.grow(&format!("e/{n:04}")).await;
    }
    // Each wake speaks of what fits it: first of a thousand streams, then of the others, and of the one that has grown.
    let mut spoken = Vec::new();
    for _ in 0..4 {
        let held = stage.deliver().await;
        let streams = held["streams"].as_array().unwrap();
        let news = streams.iter().filter(|stream| stream["acked"] != stream["tail"]);
        spoken.push((held["generation"].as_u64().unwrap(), streams.len(), news.count()));
        stage.grow("e/0000").await;
        let taken = json!({ "id": held["id"], "generation": held["generation"], "ok": true, "done": true });
        stage.ok(&SYSTEM, "subscriptions:delivered", taken).await;
    }
    assert_eq!(spoken, [(1, 1_000, 1_000), (2, 1_000, 6), (3, 1_000, 1), (4, 1_000, 1)]);
    let view = stage.ok(&SYSTEM, "subscriptions:get", named()).await;
    let pending = view["streams"].as_array().unwrap().iter().filter(|stream| stream["acked"] != stream["tail"]);
    assert_eq!(pending.map(|stream| stream["path"].clone()).collect::<Vec<_>>(), ["e/0000"]);
}

#[tokio::test]
async fn whatever_a_subscription_says_its_row_stays_small_and_no_append_fails_for_it() {
    let stage = Stage::new().await;
    let create = |more: Value| {
        let mut args = json!({ "owner": "o", "name": "s", "leaseTtlMs": LEASE_MS, "origin": "http://here" });
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    };
    for (what, large) in [
        ("webhookUrl", json!({ "pattern": "e/*", "webhookUrl": long(2_049) })),
        ("wakeStream", json!({ "pattern": "e/*", "wakeStream": long(1_025) })),
        ("origin", json!({ "pattern": "e/*", "wakeStream": "w", "origin": long(2_049) })),
        ("pattern", json!({ "pattern": long(1_025), "wakeStream": "w" })),
        ("streams", json!({ "streams": [long(1_025)], "wakeStream": "w" })),
    ] {
        let refused = stage.refused(&SYSTEM, "subscriptions:create", create(large)).await;
        assert_eq!((refused.code, &refused.data.unwrap()["path"]), (Code::TooLarge, &json!(what)));
    }
    stage.grow("e/a").await;
    // The largest that there is, with as many names as there may be.
    let names: Vec<String> = (0..1_000).map(|n| format!("{n:03}{}", long(1_000))).collect();
    let largest = create(json!({ "pattern": "e/*", "wakeStream": long(1_024), "streams": names }));
    let made = stage.ok(&SYSTEM, "subscriptions:create", largest.clone()).await;
    assert_eq!(made["created"], true);
    let read = |tx: &mut spool_store::Tx<'_>| {
        let row = tx.query::<spool_chat::tables::Subscription>(spool_chat::tables::subscription::BY_NAME).first()?;
        Ok(serde_json::to_string(&row).unwrap().len().to_string())
    };
    let bytes: usize = stage.store.query(std::sync::Arc::new(read)).await.unwrap().1.parse().unwrap();
    assert!(bytes < 8 << 10, "{bytes}");
    stage.grow("e/a").await;
    // It is known by its hash.
    assert_eq!(stage.ok(&SYSTEM, "subscriptions:create", largest.clone()).await["created"], false);
    let mut other = largest;
    other["streams"][999] = "another".into();
    assert_eq!(stage.code(&SYSTEM, "subscriptions:create", other).await, Code::AlreadyExists);
    stage.healthy().await;
}

#[tokio::test]
async fn a_wake_whose_work_is_gone_ends_and_the_next_one_begins() {
    for by_deletion in [true, false] {
        let stage = Stage::new().await;
        stage.ok(&SYSTEM, "streams:create", wake_stream()).await;
        stage.subscribe(json!({ "streams": ["m", "n"], "wakeStream": "w" })).await;
        stage.grow("m").await;
        if by_deletion {
            stage.ok(&SYSTEM, "streams:delete", json!({ "owner": "o", "path": "m" })).await;
        } else {
            stage.ok(&SYSTEM, "subscriptions:unlink", json!({ "owner": "o", "name": "s", "path": "m" })).await;
        }
        assert_eq!(stage.claim("one").await, Err("NO_PENDING_WORK".into()));
        stage.grow("n").await;
        assert_eq!(stage.told("w").await, [(1, "m".to_owned()), (2, "n".to_owned())]);
        assert_eq!(stage.claim("one").await.unwrap()["generation"], 2);
        stage.healthy().await;
    }
    // One that somebody holds is the holder's to end, and one with more to say goes on.
    let stage = Stage::new().await;
    stage.subscribe(json!({ "streams": ["m", "n"], "wakeStream": "w" })).await;
    stage.grow("m").await;
    stage.grow("n").await;
    stage.ok(&SYSTEM, "streams:delete", json!({ "owner": "o", "path": "m" })).await;
    let held = stage.claim("one").await.unwrap();
    assert_eq!(held["generation"], 1);
    stage.ok(&SYSTEM, "streams:delete", json!({ "owner": "o", "path": "n" })).await;
    assert_eq!(stage.claim("two").await, Err("ALREADY_CLAIMED".into()));
    assert_eq!(stage.settle(&held, json!([]), true).await.unwrap()["nextWake"], false);
    // A webhook about nothing is not sent.
    let stage = Stage::new().await;
    stage.subscribe(hook()).await;
    stage.grow("e/a").await;
    stage.ok(&SYSTEM, "streams:delete", json!({ "owner": "o", "path": "e/a" })).await;
    assert!(stage.deliver().await.is_null());
    stage.grow("e/a").await;
    assert_eq!(stage.deliver().await["generation"], 2);
    stage.healthy().await;
}

#[tokio::test]
async fn a_wake_is_told_once_on_each_wake_stream_there_is() {
    let stage = Stage::new().await;
    stage.subscribe(pull()).await;
    stage.grow("e/a").await;
    stage.ok(&SYSTEM, "streams:create", wake_stream()).await;
    stage.grow("e/b").await;
    stage.grow("e/c").await;
    assert_eq!(stage.told("w").await, [(1, "e/b".to_owned())]);
    stage.ok(&SYSTEM, "streams:delete", json!({ "owner": "o", "path": "w" })).await;
    stage.grow("e/c").await;
    stage.ok(&SYSTEM, "streams:create", wake_stream()).await;
    stage.grow("e/d").await;
    stage.grow("e/d").await;
    assert_eq!(stage.told("w").await, [(1, "e/d".to_owned())]);
    // What is held is nobody else's.
    stage.claim("one").await.unwrap();
    stage.ok(&SYSTEM, "streams:delete", json!({ "owner": "o", "path": "w" })).await;
    stage.ok(&SYSTEM, "streams:create", wake_stream()).await;
    stage.grow("e/d").await;
    assert!(stage.told("w").await.is_empty());
    stage.healthy().await;
}

#[tokio::test]
async fn an_announcement_is_a_use_of_the_wake_stream() {
    let stage = Stage::new().await;
    let mut wake_stream = wake_stream();
    wake_stream["ttlSeconds"] = 64.into();
    stage.ok(&SYSTEM, "streams:create", wake_stream).await;
    stage.subscribe(pull()).await;
    for generation in 1..4 {
        stage.clock.advance_ms(60_000);
        stage.grow("e/a").await;
        let held = stage.claim("one").await.unwrap();
        assert_eq!(held["generation"], generation);
        stage.settle(&held, json!([{ "path": "e/a", "offset": generation }]), true).await.unwrap();
    }
    assert_eq!(stage.told("w").await.len(), 3);
    stage.healthy().await;
}

#[tokio::test]
async fn done_means_what_the_delivered_body_said() {
    let stage = Stage::new().await;
    stage.subscribe(hook()).await;
    stage.grow("e/a").await;
    // Between the beginning of the wake and its delivery, and between two tries of it.
    stage.grow("e/a").await;
    let first = stage.deliver().await;
    assert_eq!(first["streams"][0]["tail"], 2);
    let failed = json!({ "id": first["id"], "generation": 1, "ok": false, "done": false });
    stage.ok(&SYSTEM, "subscriptions:delivered", failed).await;
    stage.grow("e/a").await;
    stage.grow("e/b").await;
    stage.clock.advance_ms(1_000);
    let second = stage.deliver().await;
    let tails: Vec<&Value> = second["streams"].as_array().unwrap().iter().map(|stream| &stream["tail"]).collect();
    assert_eq!((tails, &second["generation"]), (vec![&json!(3), &json!(1)], &json!(1)));
    let taken = json!({ "id": second["id"], "generation": 1, "ok": true, "done": true });
    stage.ok(&SYSTEM, "subscriptions:delivered", taken).await;
    assert!(stage.deliver().await.is_null());
    let view = stage.ok(&SYSTEM, "subscriptions:get", named()).await;
    assert!(view["streams"].as_array().unwrap().iter().all(|stream| stream["acked"] == stream["tail"]), "{view}");
    stage.healthy().await;
}

#[tokio::test]
async fn a_receiver_that_calls_back_is_not_called_again() {
    let lost = async |stage: &Stage, held: &Value| {
        let failed = json!({ "id": held["id"], "generation": held["generation"], "ok": false, "done": false });
        stage.ok(&SYSTEM, "subscriptions:delivered", failed).await;
    };
    // The answer to the delivery is lost before it calls back, or after.
    for lost_first in [true, false] {
        let stage = Stage::new().await;
        stage.subscribe(hook()).await;
        stage.grow("e/a").await;
        let held = stage.deliver().await;
        if lost_first {
            lost(&stage, &held).await;
        }
        stage.settle(&held, json!([]), false).await.unwrap();
        if !lost_first {
            lost(&stage, &held).await;
        }
        assert!(stage.ok(&SYSTEM, "subscriptions:nextDelivery", json!({})).await.is_null());
        stage.clock.advance_ms(LEASE_MS - 1);
        assert!(stage.deliver().await.is_null());
        assert_eq!(stage.ok(&SYSTEM, "subscriptions:get", named()).await["failing"], false);
        stage.healthy().await;
        // Silence afterwards ends the wake as ever.
        stage.clock.advance_ms(1);
        assert_eq!(stage.settle(&held, json!([{ "path": "e/a", "offset": 1 }]), true).await, Err("FENCED".into()));
        assert_eq!(stage.deliver().await["generation"], 2);
    }
}

#[tokio::test]
async fn naming_the_same_streams_again_changes_nothing_at_the_limit() {
    let stage = Stage::new().await;
    let names: Vec<String> = (0..1_000).map(|n| format!("n/{n}")).collect();
    stage.subscribe(json!({ "streams": names, "wakeStream": "w" })).await;
    let link = |streams: Value| json!({ "owner": "o", "name": "s", "streams": streams });
    stage.ok(&SYSTEM, "subscriptions:link", link(json!(names))).await;
    assert_eq!(stage.code(&SYSTEM, "subscriptions:link", link(json!(["n/0", "more"]))).await, Code::TooLarge);
    stage.ok(&SYSTEM, "subscriptions:unlink", json!({ "owner": "o", "name": "s", "path": "n/0" })).await;
    stage.ok(&SYSTEM, "subscriptions:link", link(json!(["more"]))).await;
}
