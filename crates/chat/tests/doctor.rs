//! The doctor finds what is broken on purpose, and walks through everything.

use std::sync::Arc;

use serde_json::json;
use spool_chat::states::{ArtifactStatus, GenerationStatus, Phase, SessionStatus, WorkerApproval};
use spool_chat::tables::audit::{self, AuditEntry};
use spool_chat::tables::{
    Approval, Artifact, Credential, Generation, Holdings, LogState, Machine, Message, RuntimeSession, Thread, Worker,
    holdings,
};
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
    // One for each of the other eleven tables of chats, of the five of durable streams, for credentials, passwords
    // and users, for rules, inboxes and browsers, of the two of workers, of the four about people, and of the four
    // of memory.
    assert_eq!(batches, 2 + 2 + 3 + 11 + 5 + 3 + 3 + 2 + 4 + 4);
}

#[tokio::test]
async fn the_doctor_finds_workers_that_are_not_whole() {
    let stage = Stage::new().await;
    let (machine, worker) = stage.pending_worker(&stage.u1, "w").await;
    stage.ok(&stage.u1, "workers:approve", json!({ "workerId": worker })).await;
    let thread = stage.ok(&stage.u1, "threads:create", json!({ "workerId": worker })).await;
    let turn = stage.send(&stage.u1, thread.as_str().unwrap(), "hello").await;
    stage.healthy().await;
    let other = stage.u2.user().unwrap().clone();
    spoil::<Machine>(&stage, &machine, move |machine| machine.user_id = other.clone()).await;
    assert_eq!(found(&stage).await, ["machine"]);
    let owner = stage.u1.user().unwrap().clone();
    spoil::<Machine>(&stage, &machine, move |machine| machine.user_id = owner.clone()).await;
    spoil::<Worker>(&stage, &worker, |worker| worker.approval = WorkerApproval::Revoked).await;
    assert_eq!(found(&stage).await, ["worker_exists", "credential"]);
    spoil::<Worker>(&stage, &worker, |worker| worker.approval = WorkerApproval::Approved).await;
    spoil::<Generation>(&stage, &turn.generation, |generation| generation.worker_id = None).await;
    assert_eq!(found(&stage).await, ["worker"]);
}

#[tokio::test]
async fn op_11_the_doctor_counts_again_what_users_have() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    stage.upload(&stage.u1, &thread, "a").await;
    stage.healthy().await;
    let run = std::sync::Arc::new(|tx: &mut spool_store::Tx<'_>| {
        for mut row in tx.query::<Holdings>(holdings::BY_USER).collect()? {
            (row.threads, row.storage_bytes) = (7, 8);
            tx.put(&row)?;
        }
        for mut row in tx.query::<AuditEntry>(audit::BY_AGE).take(1)? {
            row.actor = "user:somebody".to_owned();
            tx.put(&row)?;
        }
        Ok("null".to_owned())
    });
    stage.store.mutate(run, None).await.unwrap();
    assert_eq!(found(&stage).await, ["holdings", "holdings", "audit_user"]);
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
    let unended = ["log_state", "log_sealed", "log_end"];
    assert_eq!(found(&stage).await, [&["one_running", "message_follows"], &unended[..], &["no_orphans"]].concat());
    spoil::<Generation>(&stage, &turn.generation, |generation| {
        generation.status = GenerationStatus::Queued;
        generation.log_state = Some(LogState::Removed);
    })
    .await;
    assert_eq!(found(&stage).await, ["log_state"]);
}

#[tokio::test]
async fn the_doctor_finds_secrets_in_clear_and_sessions_without_an_end() {
    let stage = Stage::new().await;
    let session = stage.session(&stage.u1, "password").await;
    stage.healthy().await;
    spoil::<Credential>(&stage, &session, |row| (row.secret_hash, row.expires_at) = ("secret".into(), None)).await;
    assert_eq!(found(&stage).await, ["hashed_secret", "session"]);

    let stage = Stage::new().await;
    stage.system("passwords:create", json!({ "email": "ada@example.com" })).await;
    stage.healthy().await;
    let clear =
        "UPDATE passwords SET document = json_set(document, '$.hash', 'in clear', '$.email', 'Ada@example.com')";
    sql(&stage, clear);
    assert_eq!(found(&stage).await, ["normalised_email", "hashed_password"]);
}

/// Runs SQL on the database file, past the store.
fn sql(stage: &Stage, statements: &str) {
    let file = stage.dir.path().join("spool.db");
    rusqlite::Connection::open(file).unwrap().execute_batch(statements).unwrap();
}

async fn durable(stage: &Stage) -> String {
    let stream = json!({ "owner": "o", "path": "a", "contentType": "text/plain" });
    let made = stage.system("streams:create", stream.clone()).await;
    for seq in 0..3 {
        let mut args = stream.clone();
        args["pieces"] = json!([{ "units": 2, "data": "txy" }]);
        args["producer"] = json!({ "id": "p", "epoch": 1, "seq": seq });
        stage.system("streams:append", args).await;
    }
    let fork = json!({ "owner": "o", "path": "b", "fork": { "path": "a", "offset": 2, "subOffset": 1 } });
    stage.system("streams:create", fork).await;
    let closed = json!({ "owner": "o", "path": "c", "contentType": "text/plain", "closed": true, "ttlSeconds": 60 });
    stage.system("streams:create", closed).await;
    let watching = json!({
        "owner": "o", "name": "s", "pattern": "*", "webhookUrl": "https://example.com", "leaseTtlMs": 1000,
        "origin": "http://here",
    });
    stage.system("subscriptions:create", watching).await;
    let mut args = stream;
    args["pieces"] = json!([{ "units": 1, "data": "tz" }]);
    stage.system("streams:append", args).await;
    made["meta"]["log"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_doctor_finds_every_damage_to_durable_streams() {
    let set = |table: &str, row: &str, field: &str, value: &str| {
        format!("UPDATE {table} SET document = json_set(document, '$.{field}', json('{value}')) WHERE {row}")
    };
    let path = |path: &str| format!("document ->> 'path' = '{path}'");
    let any = "1".to_owned();
    let damages: Vec<(String, &[&str])> = vec![
        // A gap, an overlap, a lost end, a lost seal, a seal too many.
        ("DELETE FROM _log_journal WHERE log = '$LOG' AND start = 2".into(), &["stream_contiguous"]),
        ("UPDATE _log_journal SET end = 3 WHERE log = '$LOG' AND start = 0".into(), &["stream_contiguous"]),
        // What the fork and the subscriber hold is beyond what is left.
        ("DELETE FROM _log_journal WHERE log = '$LOG' AND start >= 2".into(), &["fork_source", "link_offsets"]),
        ("DELETE FROM _logs_sealed".into(), &["stream_sealed"]),
        ("INSERT INTO _logs_sealed VALUES ('$LOG', 7)".into(), &["stream_sealed"]),
        ("UPDATE _logs_sealed SET end = 9".into(), &["stream_end"]),
        (set("streams", &path("c"), "closed", "false"), &["stream_sealed"]),
        (set("streams", &path("c"), "deadline", "null"), &["stream_deadline"]),
        (set("streams", &path("a"), "deadline", "5"), &["stream_deadline"]),
        (set("streams", &path("c"), "gone", "true"), &["stream_deadline", "stream_kept"]),
        (set("streams", &path("b"), "base", "4"), &["fork_base"]),
        (set("streams", &path("b"), "owner", "\"x\""), &["fork_source"]),
        (
            "DELETE FROM streams WHERE document ->> 'path' = 'a'".into(),
            &["fork_source", "producer_stream", "link_offsets"],
        ),
        (set("stream_producers", &any, "lastSeq", "9007199254740992"), &["producer_state"]),
        (set("stream_producers", &any, "streamId", "\"str_00000000000000000000000000\""), &["producer_stream"]),
        (set("stream_subscriptions", &any, "deliverAt", "null"), &["wake_due"]),
        (set("stream_subscriptions", &any, "generation", "0"), &["wake_generation"]),
        (set("stream_subscriptions", &any, "pattern", "\"x\""), &["link_reason", "link_reason", "link_reason"]),
        ("DELETE FROM stream_subscriptions".into(), &["link_subscription", "link_subscription", "link_subscription"]),
        (set("stream_links", &path("a"), "acked", "8"), &["link_offsets"]),
        (set("stream_links", &path("b"), "wokenAt", "8"), &["link_offsets"]),
        (set("stream_links", &path("b"), "wokenIn", "8"), &["link_wake"]),
        (
            "INSERT INTO remains (_id, document, by_of) VALUES ('rem_00000000000000000000000000', json_object('_id', \
             'rem_00000000000000000000000000', '_creationTime', 1.0, 'of', '$LOG'), x'01')"
                .into(),
            &["remains_dead"],
        ),
    ];
    let mut wrong = Vec::new();
    for (damage, expected) in damages {
        let stage = Stage::new().await;
        let log = durable(&stage).await;
        stage.healthy().await;
        sql(&stage, &damage.replace("$LOG", &log));
        let found = found(&stage).await;
        if found != expected {
            wrong.push((damage, found));
        }
    }
    assert_eq!(wrong, []);
}

#[tokio::test]
async fn the_doctor_goes_through_a_long_stream_in_steps() {
    let stage = Stage::new().await;
    durable(&stage).await;
    let log = durable_of(&stage, "long", 40).await;
    sql(&stage, &format!("DELETE FROM _log_journal WHERE log = '{log}' AND start = {}", 39 << 20));
    let (mut batches, mut cursor) = (0, json!("streams:"));
    let mut found = Vec::new();
    while cursor.as_str().is_some_and(|cursor| cursor.starts_with("streams:")) {
        let report = stage.system("doctor:check", json!({ "cursor": cursor })).await;
        found.extend(report["violations"].as_array().unwrap().iter().map(|one| one["invariant"].clone()));
        cursor = report["cursor"].clone();
        batches += 1;
    }
    assert_eq!((batches, found), (3, vec![json!("stream_end")]));
}

/// A closed stream of `megabytes`; returns its log.
async fn durable_of(stage: &Stage, path: &str, megabytes: usize) -> String {
    let stream = json!({ "owner": "o", "path": path, "contentType": "text/plain" });
    let made = stage.system("streams:create", stream.clone()).await;
    for left in (0..megabytes).rev() {
        let mut args = stream.clone();
        args["pieces"] = json!([{ "units": 1 << 20, "data": format!("t{}", "x".repeat(1 << 20)) }]);
        args["close"] = json!(left == 0);
        stage.system("streams:append", args).await;
    }
    made["meta"]["log"].as_str().unwrap().to_owned()
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

#[tokio::test]
async fn the_doctor_looks_at_drafts_and_runs() {
    let stage = Stage::new().await;
    let service = stage.service(&["*"]).await;
    let thread = stage.thread(&stage.u1).await;
    let begin = json!({ "threadId": thread, "kind": "plan", "title": "Plan" });
    let begun = stage.ok(&stage.u1, "artifacts:begin", begin).await;
    let artifact = text(&begun["artifactId"]);
    let append = json!({ "artifactId": artifact, "version": 1, "offset": 0, "text": "one" });
    stage.ok(&stage.u1, "artifacts:append", append).await;
    let open = json!({ "threadId": thread, "runtime": "r", "phases": true });
    let session = text(&stage.ok(&service, "sessions:open", open).await["_id"]);
    stage.healthy().await;

    spoil::<Artifact>(&stage, &artifact, |artifact| artifact.writing = None).await;
    assert_eq!(found(&stage).await, ["writing"]);
    spoil::<Artifact>(&stage, &artifact, |artifact| artifact.writing = Some(2)).await;
    assert_eq!(found(&stage).await, ["writing"]);
    spoil::<Artifact>(&stage, &artifact, |artifact| artifact.writing = Some(1)).await;
    spoil::<RuntimeSession>(&stage, &session, |session| session.phase = Some(Phase::Executing)).await;
    assert_eq!(found(&stage).await, ["session_plan"]);
    spoil::<RuntimeSession>(&stage, &session, |session| session.phase = Some(Phase::Planning)).await;
    spoil::<RuntimeSession>(&stage, &session, |session| session.status = SessionStatus::Closed).await;
    assert_eq!(found(&stage).await, ["session_open"]);
    spoil::<RuntimeSession>(&stage, &session, |session| session.open_in = None).await;
    stage.healthy().await;
}
