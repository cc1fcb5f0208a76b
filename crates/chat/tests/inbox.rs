//! The inbox: counts that stop, filters, what is unread, and a thousand approvals that wait in rows alone.

use serde_json::{Value, json};
use spool_chat::Principal;
use spool_protocol::Code;

use crate::approvals::{DAY, page};
use crate::stage::Stage;

/// A thread of `owner` in which `count` questions wait. Returns the thread and its generation.
async fn waiting(stage: &Stage, owner: &Principal, service: &Principal, count: usize) -> (String, Value) {
    let thread = stage.thread(owner).await;
    let opened = stage.ok(service, "generations:open", json!({ "threadId": thread })).await;
    for n in 0..count {
        let question =
            json!({ "generationId": opened["generationId"], "kind": "question", "question": format!("{n}?") });
        stage.ok(service, "approvals:request", question).await;
    }
    (thread, opened["generationId"].clone())
}

async fn inbox(stage: &Stage, who: &Principal, filter: Value) -> Value {
    let mut args = json!({ "paginationOpts": page() });
    args.as_object_mut().unwrap().extend(filter.as_object().unwrap().clone());
    stage.ok(who, "approvals:list", args).await
}

fn counts(inbox: &Value) -> (u64, u64) {
    (inbox["pendingCount"].as_u64().unwrap(), inbox["unreadCount"].as_u64().unwrap())
}

#[tokio::test]
async fn ap_01_the_inbox_says_what_waits_and_what_is_new() {
    let stage = Stage::new().await;
    let (u1, service) = (&stage.u1, stage.service(&["*"]).await);
    assert_eq!(counts(&inbox(&stage, u1, json!({})).await), (0, 0));
    waiting(&stage, u1, &service, 3).await;
    let first = inbox(&stage, u1, json!({})).await;
    assert_eq!(counts(&first), (3, 3));
    stage.clock.advance_ms(1_000);
    stage.ok(u1, "approvals:markSeen", json!({ "upTo": first["page"][0]["createdAt"] })).await;
    assert_eq!(counts(&inbox(&stage, u1, json!({})).await), (3, 0));
    waiting(&stage, u1, &service, 2).await;
    assert_eq!(counts(&inbox(&stage, u1, json!({})).await), (5, 2));
    stage.ok(u1, "approvals:markSeen", json!({ "upTo": 5 })).await;
    assert_eq!(counts(&inbox(&stage, u1, json!({})).await), (5, 2), "it never goes back");
    stage.ok(u1, "approvals:markSeen", json!({ "upTo": u64::MAX >> 12 })).await;
    stage.clock.advance_ms(1_000);
    waiting(&stage, u1, &service, 1).await;
    assert_eq!(counts(&inbox(&stage, u1, json!({})).await), (6, 1), "nobody has seen the future");
    assert_eq!(counts(&inbox(&stage, &stage.u2, json!({})).await), (0, 0));
    assert_eq!(stage.code(&service, "approvals:markSeen", json!({ "upTo": 1 })).await, Code::Forbidden);
    stage.healthy().await;
}

#[tokio::test]
async fn ap_01_the_inbox_is_filtered_by_status_kind_and_thread() {
    let stage = Stage::new().await;
    let (u1, service) = (&stage.u1, stage.service(&["*"]).await);
    let (thread, generation) = waiting(&stage, u1, &service, 2).await;
    waiting(&stage, u1, &service, 1).await;
    let call =
        json!({ "generationId": generation, "kind": "tool_call", "toolCallId": "t", "tool": "pay", "input": {} });
    let call = stage.ok(&service, "approvals:request", call).await;
    let decide = json!({ "approvalId": call["_id"], "decision": "reject" });
    stage.ok(u1, "approvals:decide", decide).await;
    for (filter, found) in [
        (json!({}), 4),
        (json!({ "status": "pending" }), 3),
        (json!({ "status": "rejected" }), 1),
        (json!({ "status": "approved" }), 0),
        (json!({ "kind": "question" }), 3),
        (json!({ "kind": "tool_call" }), 1),
        (json!({ "threadId": thread }), 3),
        (json!({ "threadId": thread, "kind": "question" }), 2),
        (json!({ "threadId": thread, "kind": "question", "status": "rejected" }), 0),
        (json!({ "kind": "tool_call", "status": "rejected" }), 1),
    ] {
        let seen = inbox(&stage, u1, filter.clone()).await;
        assert_eq!((seen["page"].as_array().unwrap().len(), counts(&seen).0), (found, 3), "{filter}");
    }
    let foreign = json!({ "paginationOpts": page(), "threadId": thread });
    assert_eq!(stage.code(&stage.u2, "approvals:list", foreign).await, Code::NotFound);
}

/// A thousand of them are a thousand rows: one moment says when to look next, and a bounded look ends them.
#[tokio::test]
async fn ap_04_a_thousand_approvals_that_wait_are_rows_and_nothing_else() {
    let stage = Stage::new().await;
    let (u1, service) = (&stage.u1, stage.service(&["*"]).await);
    for _ in 0..10 {
        waiting(&stage, u1, &service, 100).await;
    }
    assert_eq!(counts(&inbox(&stage, u1, json!({})).await), (100, 100), "counted to a hundred, which is or more");
    assert_eq!(stage.store.live_queries(), 0, "nobody watches for them");
    assert_eq!(stage.system("notices:nextDue", json!({})).await, Value::Null, "nothing is owed where nobody listens");
    assert!(stage.system("approvals:nextExpiry", json!({})).await.is_number());
    stage.clock.advance_ms(DAY);
    let mut looks = 0;
    while stage.system("approvals:expire", json!({})).await["hasMore"] == json!(true) {
        looks += 1;
    }
    assert_eq!(looks, 5);
    assert_eq!(counts(&inbox(&stage, u1, json!({})).await), (0, 0));
    assert_eq!(inbox(&stage, u1, json!({ "status": "expired" })).await["page"].as_array().unwrap().len(), 10);
    stage.healthy().await;
}
