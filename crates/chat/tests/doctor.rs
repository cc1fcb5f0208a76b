//! The doctor finds what is broken on purpose, and walks through everything.

use std::sync::Arc;

use serde_json::json;
use spool_chat::states::{ArtifactStatus, GenerationStatus};
use spool_chat::tables::{Approval, Artifact, Generation, Message, Thread};
use spool_protocol::ApprovalStatus;
use spool_store::{Document, Id, Tx};

use crate::stage::{Stage, text};

/// Changes a row behind the functions' back.
async fn spoil<T: Document>(stage: &Stage, id: &str, change: impl Fn(&mut T) + Send + Sync + 'static) {
    let id = Id::<T>::parse(id).unwrap();
    let run = move |tx: &mut Tx<'_>| {
        let mut row = tx.get(&id)?.unwrap();
        change(&mut row);
        tx.put(&row).map(|()| "null".to_owned())
    };
    stage.store.mutate(Arc::new(run), None).await.unwrap();
}

async fn found(stage: &Stage) -> Vec<String> {
    stage.violations().await.iter().map(|violation| violation["invariant"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_doctor_walks_through_all_rows_in_batches() {
    let stage = Stage::new().await;
    for _ in 0..130 {
        let thread = stage.thread(&stage.u1).await;
        stage.send(&stage.u1, &thread, "hello").await;
    }
    let mut batches = 0;
    let mut cursor = serde_json::Value::Null;
    loop {
        let report = stage.system("doctor:check", json!({ "cursor": cursor })).await;
        assert_eq!(report["violations"], json!([]));
        batches += 1;
        match report.get("cursor") {
            Some(next) => cursor = next.clone(),
            None => break,
        }
    }
    assert_eq!(batches, 2 + 2 + 3 + 1 + 1 + 1);
}

#[tokio::test]
async fn the_doctor_finds_what_does_not_hold() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &thread, "hello").await;
    stage.healthy().await;

    spoil::<Thread>(&stage, &thread, |thread| thread.message_count = 5).await;
    assert_eq!(found(&stage).await, ["message_count"]);
    spoil::<Thread>(&stage, &thread, |thread| (thread.message_count, thread.next_seq) = (2, 7)).await;
    assert_eq!(found(&stage).await, ["next_seq", "dense_seq"]);
    spoil::<Thread>(&stage, &thread, |thread| (thread.next_seq, thread.active_generation_id) = (2, None)).await;
    assert_eq!(found(&stage).await, ["active_pointer"]);
    let running = Id::parse(&turn.generation).unwrap();
    spoil::<Thread>(&stage, &thread, move |thread| thread.active_generation_id = Some(running.clone())).await;
    stage.healthy().await;

    spoil::<Message>(&stage, &turn.message, |message| message.generation_id = None).await;
    assert_eq!(found(&stage).await, ["no_orphans"]);
    let writer = Id::parse(&turn.generation).unwrap();
    spoil::<Message>(&stage, &turn.message, move |message| message.generation_id = Some(writer.clone())).await;
    spoil::<Generation>(&stage, &turn.generation, |generation| generation.lease_expires_at = Some(1)).await;
    assert_eq!(found(&stage).await, ["lease"]);
    spoil::<Generation>(&stage, &turn.generation, |generation| {
        generation.lease_expires_at = None;
        generation.status = GenerationStatus::Complete;
    })
    .await;
    assert_eq!(found(&stage).await, ["one_running", "message_follows", "no_orphans"]);
}

#[tokio::test]
async fn the_doctor_looks_at_artifacts_and_approvals() {
    let stage = Stage::new().await;
    let service = stage.service(&["*"]).await;
    let thread = stage.thread(&stage.u1).await;
    let plan = json!({ "threadId": thread, "kind": "plan", "title": "Plan", "content": "one" });
    let artifact = text(&stage.ok(&stage.u1, "artifacts:create", plan).await["artifactId"]);
    let opened = stage.ok(&service, "generations:open", json!({ "threadId": thread })).await;
    let ask = json!({
        "generationId": opened["generationId"], "kind": "tool_call", "toolCallId": "t", "tool": "pay", "input": { "n": 1 },
    });
    let approval = text(&stage.ok(&service, "approvals:request", ask).await["_id"]);
    stage.healthy().await;

    spoil::<Artifact>(&stage, &artifact, |artifact| artifact.version = 2).await;
    assert_eq!(found(&stage).await, ["versions", "newest_version"]);
    spoil::<Artifact>(&stage, &artifact, |artifact| artifact.version = 1).await;
    spoil::<Artifact>(&stage, &artifact, |artifact| artifact.status = ArtifactStatus::Approved).await;
    assert_eq!(found(&stage).await, ["newest_version"]);
    spoil::<Artifact>(&stage, &artifact, |artifact| artifact.status = ArtifactStatus::Draft).await;
    spoil::<Approval>(&stage, &approval, |approval| approval.input = Some(json!({ "n": 2 }))).await;
    assert_eq!(found(&stage).await, ["frozen_input"]);
    spoil::<Approval>(&stage, &approval, |approval| approval.input = Some(json!({ "n": 1 }))).await;
    spoil::<Approval>(&stage, &approval, |approval| approval.status = ApprovalStatus::Approved).await;
    assert_eq!(found(&stage).await, ["pending_marks", "decided_by"]);
}
