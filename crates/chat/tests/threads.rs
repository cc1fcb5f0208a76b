//! Threads: made, listed, changed, removed, cleared.

use serde_json::{Value, json};
use spool_protocol::Code;

use crate::stage::{OWNER, Stage, held, text, words};
use crate::users::join_all;

fn first_page(more: Value) -> Value {
    let mut args = json!({ "paginationOpts": { "numItems": 100, "cursor": null } });
    args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    args
}

async fn titles(stage: &Stage, more: Value) -> Vec<String> {
    let page = stage.ok(&stage.u1, "threads:page", first_page(more)).await;
    page["page"].as_array().unwrap().iter().map(|thread| text(&thread["title"])).collect()
}

async fn named(stage: &Stage, title: &str) -> String {
    stage.clock.advance_ms(1);
    text(&stage.ok(&stage.u1, "threads:create", json!({ "title": title })).await)
}

#[tokio::test]
async fn th_01_a_thread_begins_with_the_default_title_and_nothing_else() {
    let stage = Stage::new().await;
    let id = stage.thread(&stage.u1).await;
    let view = stage.ok(&stage.u1, "threads:get", json!({ "threadId": id })).await;
    let expected = json!({
        "_id": id, "_creationTime": 1_700_000_000_000.0, "title": "New Conversation", "titleSource": "placeholder",
        "status": "active", "pinned": false, "tags": [], "isDefault": false, "messageCount": 0, "historyVersion": 0,
        "lastActivityAt": 1_700_000_000_000_u64, "createdAt": 1_700_000_000_000_u64, "updatedAt": 1_700_000_000_000_u64,
    });
    assert_eq!(view, expected);
}

#[tokio::test]
async fn th_01_an_external_id_names_one_thread_of_one_user() {
    let stage = Stage::new().await;
    let make = json!({ "externalId": "chat-1" });
    let first = stage.ok(&stage.u1, "threads:create", make.clone()).await;
    assert_eq!(stage.ok(&stage.u1, "threads:create", make.clone()).await, first);
    assert_ne!(stage.ok(&stage.u2, "threads:create", make.clone()).await, first);
    let found = stage.ok(&stage.u1, "threads:find", make.clone()).await;
    assert_eq!(found["_id"], first);
    stage.ok(&stage.u1, "threads:remove", json!({ "threadId": first })).await;
    assert!(stage.ok(&stage.u1, "threads:find", make.clone()).await.is_null());
    assert_ne!(stage.ok(&stage.u1, "threads:create", make).await, first);
}

#[tokio::test]
async fn th_02_last_activity_comes_first_and_pinned_before_it() {
    let stage = Stage::new().await;
    let a = named(&stage, "a").await;
    let b = named(&stage, "b").await;
    named(&stage, "c").await;
    stage.clock.advance_ms(1);
    stage.ok(&stage.u1, "threads:update", json!({ "threadId": b, "pinned": true, "context": "test" })).await;
    stage.send(&stage.u1, &a, "hello").await;
    assert_eq!(titles(&stage, json!({})).await, ["a", "c", "b"]);
    assert_eq!(titles(&stage, json!({ "pinnedFirst": true })).await, ["b", "a", "c"]);
    assert_eq!(titles(&stage, json!({ "context": "test" })).await, ["b"]);
    assert_eq!(titles(&stage, json!({ "context": "test", "pinnedFirst": true })).await, ["b"]);
    assert!(titles(&stage, json!({ "context": "other" })).await.is_empty());
}

#[tokio::test]
async fn th_02_pages_have_no_gap_and_no_duplicate() {
    let stage = Stage::new().await;
    for number in 0..23 {
        stage.ok(&stage.u1, "threads:create", json!({ "title": format!("t{number}") })).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let args = json!({ "paginationOpts": { "numItems": 5.0, "cursor": cursor, "id": 7 } });
        let page = stage.ok(&stage.u1, "threads:page", args).await;
        seen.extend(page["page"].as_array().unwrap().iter().map(|thread| text(&thread["title"])));
        if page["isDone"] == json!(true) {
            break;
        }
        cursor = page["continueCursor"].clone();
    }
    let expected: Vec<String> = (0..23).rev().map(|number| format!("t{number}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn th_04_absent_fields_stay_and_null_clears() {
    let stage = Stage::new().await;
    let args = json!({ "title": "T", "tags": ["x"], "model": "m", "context": "c" });
    let id = text(&stage.ok(&stage.u1, "threads:create", args).await);
    let update = |more: Value| {
        let mut args = json!({ "threadId": id });
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    };
    stage.ok(&stage.u1, "threads:update", update(json!({ "pinned": true }))).await;
    stage.ok(&stage.u1, "threads:update", update(json!({ "title": "U", "status": "archived" }))).await;
    let view = stage.ok(&stage.u1, "threads:get", update(json!({}))).await;
    assert_eq!((&view["title"], &view["pinned"], &view["tags"]), (&json!("U"), &json!(true), &json!(["x"])));
    assert_eq!((&view["model"], &view["context"], &view["status"]), (&json!("m"), &json!("c"), &json!("archived")));
    stage.ok(&stage.u1, "threads:update", update(json!({ "model": null, "context": null }))).await;
    let view = stage.ok(&stage.u1, "threads:get", update(json!({}))).await;
    assert!(view.get("model").is_none() && view.get("context").is_none());
    let error = stage.refused(&stage.u1, "threads:update", update(json!({ "status": "gone" }))).await;
    assert_eq!((error.code, error.data.unwrap()["path"].clone()), (Code::BadRequest, json!("status")));
    let long = stage.refused(&stage.u1, "threads:update", update(json!({ "title": "x".repeat(1_001) }))).await;
    assert_eq!(long.code, Code::TooLarge);
}

#[tokio::test]
async fn th_07_the_first_user_message_gives_the_title_and_never_replaces_a_user_s() {
    let stage = Stage::new().await;
    let id = stage.thread(&stage.u1).await;
    let title = || async { text(&stage.ok(&stage.u1, "threads:get", json!({ "threadId": id })).await["title"]) };
    let append = |said: &str| json!({ "threadId": id, "role": "user", "text": said });
    stage.ok(&stage.u1, "messages:append", append("Hey can you explain   escrow?")).await;
    assert_eq!(title().await, "Explain escrow");
    stage.ok(&stage.u1, "messages:append", append("something else")).await;
    assert_eq!(title().await, "Explain escrow");
    stage.ok(&stage.u1, "threads:update", json!({ "threadId": id, "title": "Mine" })).await;
    stage.send(&stage.u1, &id, "a third subject").await;
    assert_eq!(title().await, "Mine");
    let placeholder = text(&stage.ok(&stage.u1, "threads:create", json!({ "title": "New Chat" })).await);
    stage.send(&stage.u1, &placeholder, "what is a deed").await;
    let view = stage.ok(&stage.u1, "threads:get", json!({ "threadId": placeholder })).await;
    assert_eq!((&view["title"], &view["titleSource"]), (&json!("What is a deed"), &json!("auto")));
}

#[tokio::test]
async fn th_08_fifty_first_calls_make_one_default_thread_that_stays() {
    let stage = Stage::new().await;
    let calls = (0..50).map(|_| stage.ok(&stage.u1, "threads:getOrCreateDefault", json!({}))).collect();
    let mut ids = join_all(calls).await;
    ids.dedup();
    assert_eq!(ids.len(), 1);
    let default = &ids[0];
    let one = json!({ "threadId": default });
    assert_eq!(stage.code(&stage.u1, "threads:remove", one.clone()).await, Code::CannotDeleteDefault);
    stage.ok(&stage.u1, "messages:append", json!({ "threadId": default, "role": "user", "text": "x" })).await;
    assert_eq!(stage.ok(&stage.u1, "threads:clear", one.clone()).await, json!({ "deleted": 1, "hasMore": false }));
    assert_eq!(stage.ok(&stage.u1, "threads:get", one).await["messageCount"], json!(0));
    assert_ne!(&stage.ok(&stage.u2, "threads:getOrCreateDefault", json!({})).await, default);
    stage.healthy().await;
}

#[tokio::test]
async fn th_11_clearing_is_bounded_and_begins_again_at_nought() {
    let stage = Stage::new().await;
    let id = stage.thread(&stage.u1).await;
    let one = json!({ "threadId": id });
    let turn = stage.send(&stage.u1, &id, "first").await;
    assert_eq!(stage.code(&stage.u1, "threads:clear", one.clone()).await, Code::ThreadBusy);
    stage.answer(&turn.generation, "yes", "complete").await;
    for number in 0..600 {
        let args = json!({ "threadId": id, "role": "user", "text": format!("{number}") });
        stage.ok(&stage.u1, "messages:append", args).await;
    }
    assert_eq!(stage.ok(&stage.u1, "threads:clear", one.clone()).await, json!({ "deleted": 500, "hasMore": true }));
    stage.healthy().await;
    assert_eq!(stage.ok(&stage.u1, "threads:clear", one.clone()).await, json!({ "deleted": 102, "hasMore": false }));
    assert_eq!(stage.ok(&stage.u1, "threads:clear", one.clone()).await, json!({ "deleted": 0, "hasMore": false }));
    assert_eq!(
        stage.code(&stage.u1, "generations:get", json!({ "generationId": turn.generation })).await,
        Code::NotFound
    );
    stage.send(&stage.u1, &id, "again").await;
    assert_eq!(stage.messages(&stage.u1, &id).await[0]["seq"], json!(0));
    stage.healthy().await;
}

#[tokio::test]
async fn th_11_clear_all_counts_and_leaves_other_users_alone() {
    let stage = Stage::new().await;
    let theirs = stage.thread(&stage.u2).await;
    let default = stage.ok(&stage.u1, "threads:getOrCreateDefault", json!({})).await;
    for _ in 0..3 {
        stage.thread(&stage.u1).await;
    }
    assert_eq!(stage.ok(&stage.u1, "threads:clearAll", json!({})).await, json!({ "deleted": 3, "hasMore": false }));
    let page = stage.ok(&stage.u1, "threads:page", first_page(json!({}))).await;
    assert_eq!(page["page"].as_array().unwrap().len(), 1);
    assert_eq!(page["page"][0]["_id"], default);
    assert!(!stage.ok(&stage.u2, "threads:get", json!({ "threadId": theirs })).await.is_null());
    stage.healthy().await;
}

#[tokio::test]
async fn a_large_log_goes_with_its_thread_in_bounded_steps() {
    let stage = Stage::new().await;
    let id = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &id, "hello").await;
    let epoch = stage.start(&turn.generation).await;
    for at in 0..450 {
        stage.append(&turn.generation, at, &[words("x")]).await;
    }
    let mut args = held(&turn.generation, epoch);
    args["status"] = json!("complete");
    stage.system("driver:finish", args).await;
    stage.ok(&stage.u1, "threads:remove", json!({ "threadId": id })).await;
    // The purge takes rows only: a generation, two messages, the thread.
    let purged = stage.system("threads:purge", json!({ "limit": 100 })).await;
    assert_eq!(purged, json!({ "deleted": 4, "hasMore": false }));
    let mut steps = Vec::new();
    loop {
        let step = stage.system("remains:sweep", json!({ "limit": 100 })).await;
        steps.push(step["deleted"].as_u64().unwrap());
        if step["hasMore"] == json!(false) {
            break;
        }
    }
    // One chunk per append, one for the last word, and the note itself.
    assert_eq!((steps.iter().sum::<u64>(), steps.iter().max()), (452, Some(&100)));
    stage.healthy().await;
}

#[tokio::test]
async fn th_05_removing_hides_at_once_and_the_purge_leaves_nothing() {
    let stage = Stage::new().await;
    let id = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &id, "hello").await;
    stage.answer(&turn.generation, "answer", "complete").await;
    for number in 0..7 {
        stage
            .ok(&stage.u1, "messages:append", json!({ "threadId": id, "role": "user", "text": format!("{number}") }))
            .await;
    }
    let waiting = stage.send(&stage.u1, &id, "more").await;
    stage.ok(&stage.u1, "threads:remove", json!({ "threadId": id })).await;
    assert!(stage.ok(&stage.u1, "threads:get", json!({ "threadId": id })).await.is_null());
    assert!(titles(&stage, json!({})).await.is_empty());
    let watched = stage.system("driver:watch", json!({ "generationId": waiting.generation })).await;
    assert_eq!(watched["status"], json!("stopped"));
    stage.healthy().await;

    let mut rounds = 0;
    while stage.system("threads:purge", json!({ "limit": 4 })).await["hasMore"] == json!(true) {
        rounds += 1;
        assert!(rounds < 10);
    }
    assert!(rounds >= 3);
    assert!(stage.system("driver:watch", json!({ "generationId": turn.generation })).await.is_null());
    while stage.system("remains:sweep", json!({ "limit": 4 })).await["hasMore"] == json!(true) {}
    let gone = stage.store.query(std::sync::Arc::new(move |tx: &mut spool_store::Tx<'_>| {
        Ok(tx.log_read_all(&turn.generation)?.len().to_string())
    }));
    assert_eq!(gone.await.unwrap().1, "0");
    stage.healthy().await;
}

#[tokio::test]
async fn th_05_a_running_answer_ends_stopped_before_its_thread_is_purged() {
    let stage = Stage::new().await;
    let id = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &id, "hello").await;
    let epoch = stage.start(&turn.generation).await;
    stage.ok(&stage.u1, "threads:remove", json!({ "threadId": id })).await;
    let watched = stage.system("driver:watch", json!({ "generationId": turn.generation })).await;
    assert_eq!((&watched["status"], watched["stopRequestedAt"].is_u64()), (&json!("streaming"), true));
    assert_eq!(stage.system("threads:purge", json!({ "limit": 100 })).await, json!({ "deleted": 0, "hasMore": false }));
    stage.append(&turn.generation, 0, &[words("par")]).await;
    let mut finish = held(&turn.generation, epoch);
    finish["status"] = json!("stopped");
    assert_eq!(stage.system("driver:finish", finish).await["status"], json!("stopped"));
    assert_eq!(stage.system("threads:purge", json!({ "limit": 100 })).await, json!({ "deleted": 4, "hasMore": false }));

    let claimed = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &claimed, "hello").await;
    stage.system("driver:claim", json!({ "generationId": turn.generation, "owner": OWNER })).await;
    stage.ok(&stage.u1, "threads:remove", json!({ "threadId": claimed })).await;
    let watched = stage.system("driver:watch", json!({ "generationId": turn.generation })).await;
    assert_eq!(watched["status"], json!("stopped"));
    stage.healthy().await;
}

#[tokio::test]
async fn th_12_a_live_list_changes_with_another_device_s_update() {
    let stage = Stage::new().await;
    let id = named(&stage, "before").await;
    let function = spool_chat::registry::find("threads:page").unwrap();
    let ctx = spool_chat::CallContext::new(stage.u1.clone(), stage.settings.clone());
    let wake = std::sync::Arc::new(tokio::sync::Notify::new());
    let run = std::sync::Arc::new(move |tx: &mut spool_store::Tx<'_>| function.call(tx, &ctx, first_page(json!({}))));
    let subscription = stage.store.subscribe("list".into(), None, run, wake.clone());
    let first = stage.store.changed(&subscription, &wake, None).await.unwrap();
    assert!(first.value.as_ref().unwrap().contains("before"));
    stage.ok(&stage.u1, "threads:update", json!({ "threadId": id, "title": "after" })).await;
    let second = stage.store.changed(&subscription, &wake, Some(first.clone())).await.unwrap();
    assert!(second.value.as_ref().unwrap().contains("after"));
}
