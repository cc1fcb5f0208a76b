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
    let card = json!([{ "type": "artifact", "artifactId": made["artifactId"], "version": 2, "kind": "plan", "title": "Plan" }]);
    assert_eq!(message["parts"], card);
    let row = stage.ok(&stage.u1, "artifacts:get", json!({ "artifactId": made["artifactId"], "version": 1 })).await;
    assert_eq!((&row["messageId"], &row["toolCallId"]), (&opened["messageId"], &json!("t1")));
    let edit = json!({ "artifactId": made["artifactId"], "baseVersion": 2, "content": "three" });
    stage.ok(&stage.u1, "artifacts:update", edit).await;
    stage.healthy().await;
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
