//! The audit trail: written with what it speaks of, read by those it concerns, ended with its time.

use serde_json::{Value, json};
use spool_chat::Principal;
use spool_protocol::Code;

use crate::stage::{Stage, text};

fn first() -> Value {
    json!({ "paginationOpts": { "numItems": 100, "cursor": null } })
}

async fn actions(stage: &Stage, who: &Principal, path: &str) -> Vec<(String, String)> {
    let page = stage.ok(who, path, first()).await;
    let entry = |row: &Value| (text(&row["action"]), text(&row["actor"]));
    page["page"].as_array().unwrap().iter().map(entry).collect()
}

#[tokio::test]
async fn op_06_decisions_and_keys_are_noted_with_who_and_never_with_what_was_said() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let key = stage.service(&["*"]).await;
    let asking = stage.ok(&key, "generations:open", json!({ "threadId": thread })).await;
    let ask = json!({ "generationId": asking["generationId"], "kind": "question", "question": "a planted secret?" });
    let approval = text(&stage.ok(&key, "approvals:request", ask).await["_id"]);
    let decide = json!({ "approvalId": approval, "decision": "reject", "reason": "a planted reason" });
    assert_eq!(stage.code(&stage.u2, "approvals:decide", decide.clone()).await, Code::NotFound);
    stage.ok(&stage.u1, "approvals:decide", decide.clone()).await;
    assert_eq!(stage.code(&stage.u1, "approvals:decide", decide).await, Code::AlreadyResolved);
    let Principal::Service { key: key_id, .. } = &key else { panic!("no key") };
    for _ in 0..2 {
        stage.system("keys:revoke", json!({ "keyId": key_id })).await;
    }
    let (one, two) = (stage.u1.key(), stage.u2.key());
    let named = |action: &str, actor: &str| (action.to_owned(), actor.to_owned());
    assert_eq!(
        actions(&stage, &Principal::System, "audit:list").await,
        [
            named("key.revoke", "system"),
            named("approval.reject", &one),
            named("key.create", "system"),
            named("user.join", &two),
            named("user.join", &one),
        ]
    );
    let mine = stage.ok(&stage.u1, "audit:mine", first()).await;
    assert_eq!(mine["page"][0]["subject"], json!(approval));
    assert!(!mine.to_string().contains("planted") && !mine.to_string().contains(&two));
    assert_eq!(actions(&stage, &stage.u2, "audit:mine").await, [named("user.join", &two)]);
    stage.healthy().await;
}

#[tokio::test]
async fn op_06_what_the_boundary_saw_is_added_and_nobody_who_left_is_named_again() {
    let stage = Stage::new().await;
    let gone = stage.user("gone").await;
    let seen = |who: &Principal| {
        json!({
            "at": 5, "actor": who.key(), "userId": who.user(), "action": "threads:remove", "outcome": "denied",
            "reason": "forbidden", "address": "hash", "requestId": "r",
        })
    };
    stage.system("account:leave", json!({ "userId": gone.user(), "confirm": "delete" })).await;
    stage.system("account:erase", json!({ "userId": gone.user(), "limit": 500 })).await;
    stage.system("audit:note", json!({ "seen": [seen(&stage.u1), seen(&gone)] })).await;
    let all = stage.ok(&Principal::System, "audit:list", first()).await;
    assert!(!all.to_string().contains(gone.user().unwrap().as_str()), "{all}");
    let mine = stage.ok(&stage.u1, "audit:mine", first()).await;
    let entry = mine["page"].as_array().unwrap().iter().find(|entry| entry["action"] == "threads:remove").unwrap();
    assert_eq!(
        (&entry["reason"], &entry["address"], &entry["requestId"]),
        (&json!("forbidden"), &json!("hash"), &json!("r"))
    );
    stage.healthy().await;
}

#[tokio::test]
async fn re_03_entries_go_with_their_time_and_the_others_stay() {
    let stage = Stage::new().await;
    stage.clock.advance_ms(86_400_000);
    let late = stage.user("late").await;
    let before = stage.clock_ms() - 1_000;
    let pruned = stage.system("audit:prune", json!({ "before": before })).await;
    assert_eq!(pruned, json!({ "deleted": 2, "hasMore": false }));
    assert_eq!(actions(&stage, &Principal::System, "audit:list").await, [("user.join".to_owned(), late.key())]);
}
