//! Artifacts: made once, changed in versions, told in the log of the answer that makes them.

use serde_json::{Value, json};
use spool_protocol::Code;

use crate::stage::{Stage, text};

const PAGE: fn() -> Value = || json!({ "numItems": 10, "cursor": null });

fn plan(thread: &str, content: &str) -> Value {
    json!({ "threadId": thread, "kind": "plan", "title": "Plan", "content": content })
}

#[tokio::test]
async fn ar_02_two_editors_of_one_version_one_is_told_and_old_contents_stay() {
    let stage = Stage::new().await;
    let service = stage.service(&["artifacts:*"]).await;
    let thread = stage.thread(&stage.u1).await;
    let made = stage.ok(&stage.u1, "artifacts:create", plan(&thread, "one")).await;
    assert_eq!((&made["version"], &made["status"]), (&json!(1), &json!("draft")));
    let edit = |content: &str| json!({ "artifactId": made["artifactId"], "baseVersion": 1, "content": content });
    assert_eq!(stage.ok(&service, "artifacts:update", edit("two")).await["version"], json!(2));
    let late = stage.refused(&stage.u1, "artifacts:update", edit("mine")).await;
    assert_eq!((late.code, &late.data.unwrap()["current"]), (Code::HistoryConflict, &json!(2)));
    let get = |version: Value| json!({ "artifactId": made["artifactId"], "version": version });
    let newest = stage.ok(&stage.u1, "artifacts:get", get(Value::Null)).await;
    assert_eq!(
        (&newest["content"], &newest["author"], &newest["current"]),
        (&json!("two"), &json!("agent"), &json!(2))
    );
    let first = stage.ok(&stage.u1, "artifacts:get", get(json!(1))).await;
    assert_eq!((&first["content"], &first["author"], &first["current"]), (&json!("one"), &json!("user"), &json!(2)));
    assert_eq!(stage.code(&stage.u1, "artifacts:get", get(json!(3))).await, Code::NotFound);
    let list = json!({ "artifactId": made["artifactId"], "paginationOpts": PAGE() });
    let versions = stage.ok(&stage.u1, "artifacts:versions", list).await;
    let numbers: Vec<&Value> = versions["page"].as_array().unwrap().iter().map(|row| &row["version"]).collect();
    assert_eq!(numbers, [&json!(2), &json!(1)]);
    assert!(!versions.to_string().contains("\"content\""));
    stage.healthy().await;
}

#[tokio::test]
async fn ar_01_kinds_are_open_and_the_id_is_there_with_the_event() {
    let stage = Stage::new().await;
    let service = stage.service(&["*"]).await;
    let thread = stage.thread(&stage.u1).await;
    let opened = stage.ok(&service, "generations:open", json!({ "threadId": thread, "text": "go" })).await;
    for (place, kind) in ["plan", "report", "document", "code", "floor-plan"].into_iter().enumerate() {
        let args = json!({
            "threadId": thread, "kind": kind, "title": kind, "content": "x", "generationId": opened["generationId"],
        });
        let made = stage.ok(&service, "artifacts:create", args).await;
        let log = json!({ "generationId": opened["generationId"], "cursor": place });
        let event = stage.ok(&stage.u1, "generations:deltas", log).await["events"][0].clone();
        assert_eq!((&event["artifactId"], &event["kind"]), (&made["artifactId"], &json!(kind)));
        let seen = stage.ok(&stage.u1, "artifacts:get", json!({ "artifactId": event["artifactId"] })).await;
        assert_eq!((&seen["_id"], &seen["threadId"]), (&made["artifactId"], &json!(thread)));
    }
    for (field, value) in [("kind", json!(" ")), ("title", json!("")), ("kind", json!("x".repeat(300)))] {
        let mut args = plan(&thread, "x");
        args[field] = value;
        assert_eq!(stage.refused(&stage.u1, "artifacts:create", args).await.data.unwrap()["path"], json!(field));
    }
    assert_eq!(stage.code(&stage.u2, "artifacts:create", plan(&thread, "x")).await, Code::NotFound);
}

#[tokio::test]
async fn ar_02_the_difference_between_two_versions() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let made = stage.ok(&stage.u1, "artifacts:create", plan(&thread, "one\ntwo\nthree\n")).await;
    let edit = json!({ "artifactId": made["artifactId"], "baseVersion": 1, "content": "one\n2\nthree\n" });
    stage.ok(&stage.u1, "artifacts:update", edit).await;
    let diff = |from: u64, to: u64| json!({ "artifactId": made["artifactId"], "from": from, "to": to });
    let there = stage.ok(&stage.u1, "artifacts:diff", diff(1, 2)).await;
    let unified = "@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n";
    let expected = json!({ "from": 1, "to": 2, "added": 1, "removed": 1, "unified": unified, "truncated": false });
    assert_eq!(there, expected);
    let back = stage.ok(&stage.u1, "artifacts:diff", diff(2, 1)).await;
    assert_eq!(back["unified"], json!("@@ -1,3 +1,3 @@\n one\n-2\n+two\n three\n"));
    assert_eq!(stage.ok(&stage.u1, "artifacts:diff", diff(2, 2)).await["unified"], json!(""));
    for missing in [diff(0, 1), diff(1, 3)] {
        assert_eq!(stage.code(&stage.u1, "artifacts:diff", missing).await, Code::NotFound);
    }
}

#[tokio::test]
async fn ar_03_an_approved_plan_takes_the_place_of_the_one_before() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let other = stage.thread(&stage.u1).await;
    let mut made = Vec::new();
    for (thread, kind) in [(&thread, "plan"), (&thread, "plan"), (&thread, "report"), (&other, "plan")] {
        let mut args = plan(thread, "one");
        args["kind"] = json!(kind);
        let id = stage.ok(&stage.u1, "artifacts:create", args).await["artifactId"].clone();
        made.push(id);
    }
    let status = |id: Value| {
        let stage = &stage;
        async move { stage.ok(&stage.u1, "artifacts:get", json!({ "artifactId": id })).await["status"].clone() }
    };
    for id in [0, 2, 3, 1] {
        let approve = json!({ "artifactId": made[id], "baseVersion": 1, "status": "approved" });
        stage.ok(&stage.u1, "artifacts:update", approve).await;
    }
    let mut now = Vec::new();
    for id in &made {
        now.push(status(id.clone()).await);
    }
    assert_eq!(now, ["superseded", "approved", "approved", "approved"]);
    for change in [json!({ "status": "approved" }), json!({ "content": "two" }), json!({ "status": "archived" })] {
        let mut args = json!({ "artifactId": made[0], "baseVersion": 1 });
        args.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(stage.code(&stage.u1, "artifacts:update", args).await, Code::InvalidTransition);
    }
    stage.healthy().await;
}

#[tokio::test]
async fn ar_03_an_approved_plan_that_is_edited_is_a_new_draft() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let made = stage.ok(&stage.u1, "artifacts:create", plan(&thread, "one")).await;
    let update = |version: u64, more: Value| {
        let mut args = json!({ "artifactId": made["artifactId"], "baseVersion": version });
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    };
    let approved = stage.ok(&stage.u1, "artifacts:update", update(1, json!({ "status": "approved" }))).await;
    assert_eq!((&approved["version"], &approved["status"]), (&json!(1), &json!("approved")));
    for status in ["draft", "approved", "rejected"] {
        let code = stage.code(&stage.u1, "artifacts:update", update(1, json!({ "status": status }))).await;
        assert_eq!(code, Code::InvalidTransition, "{status}");
    }
    let edited = stage.ok(&stage.u1, "artifacts:update", update(1, json!({ "content": "two" }))).await;
    assert_eq!((&edited["version"], &edited["status"]), (&json!(2), &json!("draft")));
    let args = json!({ "artifactId": made["artifactId"], "paginationOpts": PAGE() });
    let versions = stage.ok(&stage.u1, "artifacts:versions", args).await;
    assert_eq!(versions["page"][1]["status"], json!("approved"), "the version that was approved stays approved");
    stage.ok(&stage.u1, "artifacts:update", update(2, json!({ "status": "archived", "title": "Old" }))).await;
    let code = stage.code(&stage.u1, "artifacts:update", update(2, json!({ "content": "three" }))).await;
    assert_eq!(code, Code::InvalidTransition);
    let rows =
        stage.ok(&stage.u1, "artifacts:listByThread", json!({ "threadId": thread, "paginationOpts": PAGE() })).await;
    assert_eq!((&rows["page"][0]["title"], &rows["page"][0]["status"]), (&json!("Old"), &json!("archived")));
    stage.healthy().await;
}

#[tokio::test]
async fn ar_06_a_key_makes_one_artifact_and_the_answer_tells_of_it() {
    let stage = Stage::new().await;
    let service = stage.service(&["*"]).await;
    let thread = stage.thread(&stage.u1).await;
    let opened = stage.ok(&service, "generations:open", json!({ "threadId": thread, "text": "plan it" })).await;
    let mut args = plan(&thread, "one");
    args["key"] = json!("k");
    args["generationId"] = opened["generationId"].clone();
    args["toolCallId"] = json!("t1");
    let made = stage.ok(&service, "artifacts:create", args.clone()).await;
    assert_eq!(stage.ok(&service, "artifacts:create", args.clone()).await, made);
    let edit = json!({ "artifactId": made["artifactId"], "baseVersion": 1, "content": "two" });
    stage.ok(&stage.u1, "artifacts:update", edit).await;
    let log = json!({ "generationId": opened["generationId"], "cursor": 0 });
    let log = stage.ok(&stage.u1, "generations:deltas", log).await;
    let told: Vec<(&Value, &Value)> =
        log["events"].as_array().unwrap().iter().map(|event| (&event["artifactId"], &event["version"])).collect();
    assert_eq!(told, [(&made["artifactId"], &json!(1)), (&made["artifactId"], &json!(2))]);
    let append = json!({ "generationId": opened["generationId"], "events": [log["events"][0]] });
    assert_eq!(stage.code(&service, "generations:append", append).await, Code::BadRequest, "it tells of a row");
    assert_eq!(
        stage
            .code(&stage.u1, "artifacts:create", {
                args["key"] = json!("k2");
                args
            })
            .await,
        Code::Forbidden
    );
    let finish = json!({ "generationId": opened["generationId"], "status": "complete" });
    stage.ok(&service, "generations:finish", finish).await;
    let message = stage.ok(&stage.u1, "messages:get", json!({ "messageId": opened["messageId"] })).await;
    let card = json!([{ "type": "artifact", "artifactId": made["artifactId"], "version": 2, "kind": "plan", "title": "Plan", "status": "draft" }]);
    assert_eq!(message["parts"], card);
    let row = stage.ok(&stage.u1, "artifacts:get", json!({ "artifactId": made["artifactId"], "version": 1 })).await;
    assert_eq!((&row["messageId"], &row["toolCallId"]), (&opened["messageId"], &json!("t1")));
    let edit = json!({ "artifactId": made["artifactId"], "baseVersion": 2, "content": "three" });
    stage.ok(&stage.u1, "artifacts:update", edit).await;
    stage.healthy().await;
}

#[tokio::test]
async fn ar_04_the_card_is_the_same_part_in_the_same_place_ever_after() {
    let stage = Stage::new().await;
    let service = stage.service(&["*"]).await;
    let thread = stage.thread(&stage.u1).await;
    let opened = stage.ok(&service, "generations:open", json!({ "threadId": thread, "text": "go" })).await;
    let say =
        |text: &str| json!({ "generationId": opened["generationId"], "events": [{ "type": "text", "text": text }] });
    stage.ok(&service, "generations:append", say("before")).await;
    let mut args = plan(&thread, "one");
    args["generationId"] = opened["generationId"].clone();
    let made = stage.ok(&service, "artifacts:create", args).await;
    stage.ok(&service, "generations:append", say("after")).await;
    let finish = json!({ "generationId": opened["generationId"], "status": "complete" });
    stage.ok(&service, "generations:finish", finish).await;
    let first = stage.messages(&stage.u1, &thread).await;
    let kinds: Vec<&Value> = first[1]["parts"].as_array().unwrap().iter().map(|part| &part["type"]).collect();
    assert_eq!(kinds, ["text", "artifact", "text"]);
    let edit = json!({ "artifactId": made["artifactId"], "baseVersion": 1, "content": "two" });
    stage.ok(&stage.u1, "artifacts:update", edit).await;
    stage.clock.advance_ms(30 * 24 * 3_600_000);
    assert_eq!(stage.messages(&stage.u1, &thread).await, first);
    let card = &first[1]["parts"][1];
    let pinned = json!({ "artifactId": card["artifactId"], "version": card["version"] });
    assert_eq!(stage.ok(&stage.u1, "artifacts:get", pinned).await["content"], json!("one"), "what the message meant");
}

/// The contents are taken away behind the functions' back: what a list shows does not need them.
#[tokio::test]
async fn ar_07_a_list_and_a_history_load_no_content() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let mut first = Value::Null;
    for at in 0..100 {
        let made = stage.ok(&stage.u1, "artifacts:create", plan(&thread, &format!("{at}").repeat(1_000))).await;
        first = made["artifactId"].clone();
    }
    let list = json!({ "threadId": thread, "paginationOpts": { "numItems": 100, "cursor": null } });
    let history = json!({ "artifactId": first, "paginationOpts": PAGE() });
    let before = (
        stage.ok(&stage.u1, "artifacts:listByThread", list.clone()).await,
        stage.ok(&stage.u1, "artifacts:versions", history.clone()).await,
    );
    assert_eq!(before.0["page"].as_array().unwrap().len(), 100);
    let ids: Vec<_> = {
        let read = |tx: &mut spool_store::Tx<'_>| {
            let rows = tx.query::<spool_chat::tables::ArtifactVersion>(spool_chat::tables::artifact::VERSION_BY_THREAD);
            let ids: Vec<_> = rows.collect()?.into_iter().map(|row| row.content_id).collect();
            Ok(serde_json::to_string(&ids).unwrap())
        };
        serde_json::from_str(&stage.store.query(std::sync::Arc::new(read)).await.unwrap().1).unwrap()
    };
    assert_eq!(ids.len(), 100);
    let erase = move |tx: &mut spool_store::Tx<'_>| {
        for id in &ids {
            tx.delete::<spool_chat::tables::ArtifactContent>(id)?;
        }
        Ok("null".to_owned())
    };
    stage.store.mutate(std::sync::Arc::new(erase), None).await.unwrap();
    assert_eq!(stage.code(&stage.u1, "artifacts:get", json!({ "artifactId": first })).await, Code::Internal);
    let after = (
        stage.ok(&stage.u1, "artifacts:listByThread", list).await,
        stage.ok(&stage.u1, "artifacts:versions", history).await,
    );
    assert_eq!(after, before);
}

#[tokio::test]
async fn ar_07_large_contents_are_kept_and_larger_ones_refused() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let large = "x".repeat(16 << 20);
    let made = stage.ok(&stage.u1, "artifacts:create", plan(&thread, &large)).await;
    let got = stage.ok(&stage.u1, "artifacts:get", json!({ "artifactId": made["artifactId"] })).await;
    assert_eq!(text(&got["content"]).len(), large.len());
    assert_eq!(stage.code(&stage.u1, "artifacts:create", plan(&thread, &(large + "x"))).await, Code::TooLarge);
    stage.ok(&stage.u1, "threads:remove", json!({ "threadId": thread })).await;
    while stage.system("threads:purge", json!({ "limit": 1 })).await["hasMore"] == json!(true) {}
    let left = stage.store.query(std::sync::Arc::new(|tx: &mut spool_store::Tx<'_>| {
        let rows = tx.query::<spool_chat::tables::ArtifactVersion>(spool_chat::tables::artifact::VERSION_BY_THREAD);
        Ok(rows.count()?.to_string())
    }));
    assert_eq!(left.await.unwrap().1, "0");
    assert_eq!(
        stage.code(&stage.u1, "artifacts:get", json!({ "artifactId": made["artifactId"] })).await,
        Code::NotFound
    );
}
