//! The end of an account: everything of one user, and nothing of anybody else.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use spool_chat::{Principal, SCHEMA};
use spool_protocol::Code;
use spool_store::backend::Limit;

use crate::stage::{Stage, text, words};

fn id_of(principal: &Principal) -> String {
    principal.user().unwrap().to_string()
}

/// Every row of every table, as text.
async fn all_rows(stage: &Stage) -> BTreeMap<&'static str, Vec<String>> {
    let run = std::sync::Arc::new(|tx: &mut spool_store::Tx<'_>| {
        let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for table in SCHEMA.tables {
            for index in table.indexes.iter().take(1) {
                let rows = tx.rows_under(table, index, &[], Limit::rows(10_000))?;
                all.insert(table.name, rows.iter().map(Value::to_string).collect());
            }
        }
        Ok(serde_json::to_string(&all).unwrap())
    });
    let all: BTreeMap<String, Vec<String>> = serde_json::from_str(&stage.store.query(run).await.unwrap().1).unwrap();
    SCHEMA.tables.iter().filter_map(|table| Some((table.name, all.get(table.name)?.clone()))).collect()
}

/// Something of every kind that belongs to a user. Returns the ids that name it.
async fn settle(stage: &Stage, who: &Principal, name: &str) -> Vec<String> {
    let user = id_of(who);
    let thread = stage.thread(who).await;
    let turn = stage.send(who, &thread, "hello").await;
    stage.answer(&turn.generation, "an answer", "complete").await;
    let upload = stage.upload(who, &thread, "a.txt").await;
    let made = json!({ "threadId": thread, "kind": "plan", "title": "t", "content": "12345" });
    let artifact = text(&stage.ok(who, "artifacts:create", made).await["artifactId"]);
    let key = stage.service(&["*", name]).await;
    let asking = stage.ok(&key, "generations:open", json!({ "threadId": thread })).await;
    stage
        .ok(&key, "generations:append", json!({ "generationId": asking["generationId"], "events": [words("x")] }))
        .await;
    let plan = json!({ "generationId": asking["generationId"], "kind": "plan", "artifactId": artifact });
    let approval = text(&stage.ok(&key, "approvals:request", plan).await["_id"]);
    stage.ok(who, "approvals:decide", json!({ "approvalId": approval, "decision": "approve" })).await;
    let rule = text(&stage.ok(who, "rules:create", json!({ "tool": name, "effect": "deny" })).await["_id"]);
    let push = text(&stage.ok(who, "push:subscribe", crate::matrix::subscription(name)).await);
    stage.ok(who, "approvals:markSeen", json!({ "upTo": stage.clock_ms() })).await;
    // It waits for a person, and a browser is told so.
    stage.ok(&key, "generations:finish", json!({ "generationId": asking["generationId"], "status": "complete" })).await;
    let asking = stage.ok(&key, "generations:open", json!({ "threadId": thread })).await;
    let question = json!({ "generationId": asking["generationId"], "kind": "question", "question": "Sure?" });
    stage.ok(&key, "approvals:request", question).await;
    stage.ok(who, "threads:getOrCreateDefault", json!({})).await;
    for (path, fork) in [("s", None), ("a-fork", Some(json!({ "path": "s" })))] {
        let mut create = json!({ "owner": user, "path": path, "pieces": [{ "units": 1, "data": "[1]" }] });
        create["contentType"] = json!("application/json");
        if let Some(fork) = fork {
            create["fork"] = fork;
        }
        stage.system("streams:create", create).await;
    }
    let wakes = json!({
        "owner": user, "name": "n", "pattern": "**", "webhookUrl": "https://a.example/", "leaseTtlMs": 30000,
        "origin": "http://x", "streams": ["s"],
    });
    stage.system("subscriptions:create", wakes).await;
    // A second answer is being made when the account ends, and the first one still is.
    let other = stage.thread(who).await;
    let running = stage.send(who, &other, "more").await;
    vec![user, thread, other, turn.generation, turn.message, upload, artifact, approval, running.generation, rule, push]
}

async fn leave(stage: &Stage, who: &Principal) {
    stage.system("account:leave", json!({ "userId": id_of(who), "confirm": "delete" })).await;
}

/// Steps of `limit` rows, with what the server does between them, until nothing is left.
async fn erase(stage: &Stage, who: &Principal, limit: u32) -> BTreeMap<String, u64> {
    let mut total: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..2_000 {
        let step = stage.system("account:erase", json!({ "userId": id_of(who), "limit": limit })).await;
        for (table, rows) in step["deleted"].as_object().unwrap() {
            *total.entry(table.clone()).or_default() += rows.as_u64().unwrap();
        }
        if step["done"] == json!(true) {
            return total;
        }
        let unwanted = stage.system("uploads:unwanted", json!({ "limit": 100 })).await;
        stage.system("uploads:forget", json!({ "ids": unwanted })).await;
        stage.healthy().await;
    }
    panic!("the account is not gone after 2000 steps: {total:?}");
}

#[tokio::test]
async fn ia_14_no_row_names_the_user_afterwards_and_other_users_are_untouched() {
    for limit in [500, 1, 3] {
        let stage = Stage::new().await;
        let mine = settle(&stage, &stage.u1, "one").await;
        let theirs = settle(&stage, &stage.u2, "two").await;
        let before = all_rows(&stage).await;
        leave(&stage, &stage.u1).await;
        let counts = erase(&stage, &stage.u1, limit).await;
        while stage.system("remains:sweep", json!({ "limit": 100 })).await["hasMore"] == json!(true) {}
        for (table, at_least) in [
            ("users", 1),
            ("threads", 3),
            ("messages", 5),
            ("generations", 3),
            ("artifacts", 1),
            ("artifact_versions", 1),
            ("artifact_contents", 1),
            ("approvals", 1),
            ("uploads", 1),
            ("streams", 2),
            ("stream_subscriptions", 1),
            ("holdings", 1),
            ("audit", 2),
        ] {
            assert!(counts.get(table).is_some_and(|count| *count >= at_least), "{table}: {counts:?}");
        }
        let after = all_rows(&stage).await;
        for (table, rows) in &after {
            for id in &mine {
                assert!(!rows.iter().any(|row| row.contains(id.as_str())), "{id} is still in {table}");
            }
        }
        for (table, rows) in &before {
            for id in &theirs {
                let of = |rows: &[String]| rows.iter().filter(|row| row.contains(id.as_str())).count();
                assert_eq!(of(rows), of(&after[table]), "{id} of another user in {table}");
            }
        }
        assert_eq!(after["stream_producers"].len() + after["remains"].len(), 0);
        stage.healthy().await;
    }
}

#[tokio::test]
async fn ia_14_from_the_mark_on_nobody_writes_for_the_user_and_no_older_token_comes_back() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let user = id_of(&stage.u1);
    for wrong in ["", "yes", "DELETE", "two@example.com"] {
        let args = json!({ "userId": user, "confirm": wrong });
        assert_eq!(stage.code(&Principal::System, "account:leave", args).await, Code::BadRequest, "{wrong}");
    }
    stage.thread(&stage.u1).await;
    leave(&stage, &stage.u1).await;
    leave(&stage, &stage.u1).await;
    for (path, args) in [("threads:create", json!({})), ("turns:send", json!({ "threadId": thread, "text": "x" }))] {
        let refused = stage.refused(&stage.u1, path, args).await;
        assert_eq!((refused.code, &refused.data.unwrap()["reason"]), (Code::InvalidToken, &json!("revoked")));
    }
    let owned = json!({ "owner": user, "path": "late" });
    assert_eq!(stage.code(&Principal::System, "streams:create", owned).await, Code::InvalidToken);
    let left = stage.clock_ms();
    let again = |issued: u64| json!({ "issuer": "test", "subject": "one", "kind": "full", "issuedMs": issued });
    assert_eq!(stage.code(&Principal::System, "users:provision", again(left + 1)).await, Code::InvalidToken);
    erase(&stage, &stage.u1, 500).await;
    for issued in [0, left - 1, left] {
        assert_eq!(stage.code(&Principal::System, "users:provision", again(issued)).await, Code::InvalidToken);
    }
    let departed = stage.system("account:departed", json!({})).await;
    assert_eq!(departed.as_array().unwrap().len(), 1);
    assert!(!departed.to_string().contains(&user));
    // Who signs in anew is somebody new.
    let anew = text(&stage.system("users:provision", again(left + 1)).await);
    assert_ne!(anew, user);
    stage.system("account:forget", json!({ "before": left + 1 })).await;
    assert_eq!(stage.system("account:departed", json!({})).await, json!([]));
    stage.healthy().await;
}

#[tokio::test]
async fn ia_14_an_erasure_that_was_given_up_is_found_after_a_while() {
    let stage = Stage::new().await;
    stage.thread(&stage.u1).await;
    assert_eq!(stage.system("account:abandoned", json!({})).await, Value::Null);
    leave(&stage, &stage.u1).await;
    assert_eq!(stage.system("account:abandoned", json!({})).await, Value::Null);
    stage.clock.advance_ms(11_000);
    assert_eq!(stage.system("account:abandoned", json!({})).await, json!(id_of(&stage.u1)));
    stage.system("account:erase", json!({ "userId": id_of(&stage.u1), "limit": 1 })).await;
    assert_eq!(stage.system("account:abandoned", json!({})).await, Value::Null, "somebody is at work");
    let erased = stage.system("account:erase", json!({ "userId": id_of(&stage.u1), "limit": 500 })).await;
    assert_eq!(erased["done"], json!(true));
    let nobody_asked = json!({ "userId": id_of(&stage.u2), "limit": 1 });
    assert_eq!(stage.code(&Principal::System, "account:erase", nobody_asked).await, Code::Internal);
}
