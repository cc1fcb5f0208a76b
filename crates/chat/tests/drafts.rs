//! AR-08: artifacts while they are written.

use proptest::prelude::*;
use serde_json::{Value, json};
use spool_chat::tables::{ArtifactDraft, draft};
use spool_chat::{Principal, Settings};
use spool_protocol::Code;

use crate::stage::{Stage, text};

const PAGE: fn() -> Value = || json!({ "numItems": 10, "cursor": null });

/// An answer that a backend makes, in a thread of the first user.
struct Desk {
    stage: Stage,
    backend: Principal,
    thread: String,
    generation: Value,
    message: Value,
}

impl Desk {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let stage = Stage::with(settings).await;
        let backend = stage.service(&["*"]).await;
        let thread = stage.thread(&stage.u1).await;
        let opened = stage.ok(&backend, "generations:open", json!({ "threadId": thread, "text": "write" })).await;
        let (generation, message) = (opened["generationId"].clone(), opened["messageId"].clone());
        Self { stage, backend, thread, generation, message }
    }

    fn first(&self) -> Value {
        json!({
            "threadId": self.thread, "kind": "report", "title": "Report", "key": "k",
            "generationId": self.generation, "toolCallId": "t1",
        })
    }

    async fn begin(&self) -> Value {
        self.stage.ok(&self.backend, "artifacts:begin", self.first()).await
    }

    async fn append(&self, of: &Value, offset: u64, said: &str) -> Result<Value, spool_protocol::Error> {
        let args = json!({ "artifactId": of["artifactId"], "version": of["version"], "offset": offset, "text": said });
        self.stage.call(&self.backend, "artifacts:append", args).await
    }

    async fn finish(&self, of: &Value) -> Value {
        let args = json!({ "artifactId": of["artifactId"], "version": of["version"] });
        self.stage.ok(&self.backend, "artifacts:finish", args).await
    }

    async fn get(&self, of: &Value, version: Value) -> Value {
        let args = json!({ "artifactId": of["artifactId"], "version": version });
        self.stage.ok(&self.stage.u1, "artifacts:get", args).await
    }

    async fn deltas(&self, of: &Value, cursor: u64) -> Value {
        let args = json!({ "artifactId": of["artifactId"], "version": of["version"], "cursor": cursor });
        self.stage.ok(&self.stage.u1, "artifacts:deltas", args).await
    }

    async fn told(&self) -> Vec<(Value, Value)> {
        let args = json!({ "generationId": self.generation, "cursor": 0 });
        let log = self.stage.ok(&self.stage.u1, "generations:deltas", args).await;
        let events = log["events"].as_array().unwrap().iter().filter(|event| event["type"] == "artifact");
        events.map(|event| (event["artifactId"].clone(), event["version"].clone())).collect()
    }

    async fn end(&self, status: &str) {
        let args = json!({ "generationId": self.generation, "status": status });
        self.stage.ok(&self.backend, "generations:finish", args).await;
    }

    async fn drafts(&self) -> String {
        let count = |tx: &mut spool_store::Tx<'_>| Ok(tx.query::<ArtifactDraft>(draft::BY_THREAD).count()?.to_string());
        self.stage.store.query(std::sync::Arc::new(count)).await.unwrap().1.to_string()
    }
}

#[tokio::test]
async fn ar_08_a_version_is_read_while_it_is_written_and_afterwards_at_the_same_offsets() {
    let desk = Desk::new().await;
    let begun = desk.begin().await;
    assert_eq!((&begun["version"], &begun["cursor"], &begun["done"]), (&json!(1), &json!(0), &json!(false)));
    // AR-01: told, and it opens.
    assert_eq!(desk.told().await, [(begun["artifactId"].clone(), json!(1))]);
    let empty = desk.get(&begun, Value::Null).await;
    assert_eq!((&empty["content"], &empty["current"], &empty["writing"]), (&json!(""), &json!(0), &json!(1)));
    assert_eq!(desk.append(&begun, 0, "Grüße, ").await.unwrap(), json!({ "cursor": 9 }));
    assert_eq!(desk.append(&begun, 9, "Welt").await.unwrap(), json!({ "cursor": 13 }));
    let so_far = desk.get(&begun, json!(1)).await;
    assert_eq!(
        (&so_far["content"], &so_far["contentBytes"], &so_far["status"]),
        (&json!("Grüße, Welt"), &json!(13), &json!("draft"))
    );
    assert_eq!(desk.deltas(&begun, 0).await, json!({ "text": "Grüße, Welt", "cursor": 13, "done": false }));
    assert_eq!(desk.deltas(&begun, 9).await, json!({ "text": "Welt", "cursor": 13, "done": false }));
    assert_eq!(desk.deltas(&begun, 13).await, json!({ "text": "", "cursor": 13, "done": false }));
    for cursor in [3, 14] {
        let args = json!({ "artifactId": begun["artifactId"], "version": 1, "cursor": cursor });
        assert_eq!(desk.stage.code(&desk.stage.u1, "artifacts:deltas", args).await, Code::BadRequest, "{cursor}");
    }
    desk.stage.healthy().await;

    let saved = desk.finish(&begun).await;
    assert_eq!((&saved["version"], &saved["status"]), (&json!(1), &json!("draft")));
    assert_eq!(desk.finish(&begun).await, saved, "repeating it");
    assert_eq!(
        desk.begin().await,
        json!({ "artifactId": begun["artifactId"], "version": 1, "cursor": 13, "done": true })
    );
    assert_eq!(desk.append(&begun, 13, "!").await.unwrap_err().code, Code::LogSealed);
    let whole = desk.get(&begun, Value::Null).await;
    assert_eq!((&whole["content"], &whole["contentHash"]), (&so_far["content"], &so_far["contentHash"]));
    assert_eq!((&whole["writing"], &whole["current"], &whole["toolCallId"]), (&Value::Null, &json!(1), &json!("t1")));
    assert_eq!(whole["messageId"], desk.message);
    while desk.stage.system("remains:sweep", json!({ "limit": 1 })).await["hasMore"] == json!(true) {}
    assert_eq!(desk.deltas(&begun, 0).await, json!({ "text": "Grüße, Welt", "cursor": 13, "done": true }));
    assert_eq!(desk.deltas(&begun, 9).await, json!({ "text": "Welt", "cursor": 13, "done": true }));
    assert_eq!(desk.deltas(&begun, 13).await, json!({ "text": "", "cursor": 13, "done": true }));
    desk.end("complete").await;
    let message = desk.stage.ok(&desk.stage.u1, "messages:get", json!({ "messageId": desk.message })).await;
    assert_eq!(message["parts"].as_array().unwrap().len(), 1, "one card: {}", message["parts"]);
    desk.stage.healthy().await;
}

#[tokio::test]
async fn ar_08_an_append_is_made_once_and_another_text_at_its_place_is_a_conflict() {
    let desk = Desk::new().await;
    let begun = desk.begin().await;
    desk.append(&begun, 0, "one ").await.unwrap();
    desk.append(&begun, 4, "two ").await.unwrap();
    for (offset, said) in [(0, "one "), (4, "two "), (0, "one two "), (2, "e tw"), (3, "")] {
        assert_eq!(desk.append(&begun, offset, said).await.unwrap(), json!({ "cursor": 8 }), "{offset} {said}");
    }
    for (offset, said) in [(0, "ONE "), (4, "two three"), (9, "x"), (5, "two ")] {
        let refused = desk.append(&begun, offset, said).await.unwrap_err();
        assert_eq!((refused.code, &refused.data.unwrap()["end"]), (Code::OffsetMismatch, &json!(8)), "{offset} {said}");
    }
    assert_eq!(desk.begin().await["cursor"], json!(8), "a writer that starts again learns where it was");
    let stranger = desk.stage.service(&["artifacts:*"]).await;
    let args = json!({ "artifactId": begun["artifactId"], "version": 1, "offset": 8, "text": "x" });
    assert_eq!(desk.stage.code(&stranger, "artifacts:append", args.clone()).await, Code::Forbidden);
    assert_eq!(desk.stage.code(&desk.stage.u1, "artifacts:append", args.clone()).await, Code::Forbidden);
    assert_eq!(desk.stage.code(&desk.stage.u2, "artifacts:append", args).await, Code::NotFound);
    let mut other = json!({ "artifactId": begun["artifactId"], "version": 2, "offset": 0, "text": "x" });
    assert_eq!(desk.stage.code(&desk.backend, "artifacts:append", other.clone()).await, Code::NotFound);
    other["version"] = json!(1);
    other["text"] = json!("x".repeat(16 << 20));
    other["offset"] = json!(8);
    assert_eq!(desk.stage.code(&desk.backend, "artifacts:append", other).await, Code::TooLarge);
    desk.stage.healthy().await;
}

#[tokio::test]
async fn ar_08_a_next_version_is_written_beside_the_one_that_is_read() {
    let desk = Desk::new().await;
    let u1 = &desk.stage.u1;
    let made = json!({ "threadId": desk.thread, "kind": "plan", "title": "Plan", "content": "one" });
    let made = desk.stage.ok(u1, "artifacts:create", made).await;
    let approve = json!({ "artifactId": made["artifactId"], "baseVersion": 1, "status": "approved" });
    desk.stage.ok(u1, "artifacts:update", approve.clone()).await;
    let next = json!({ "artifactId": made["artifactId"], "baseVersion": 1, "title": "Plan B", "generationId": desk.generation });
    let begun = desk.stage.ok(&desk.backend, "artifacts:begin", next.clone()).await;
    assert_eq!(desk.stage.ok(&desk.backend, "artifacts:begin", next).await, begun, "beginning again");
    desk.append(&begun, 0, "two").await.unwrap();
    let read = desk.get(&made, Value::Null).await;
    assert_eq!((&read["content"], &read["status"], &read["writing"]), (&json!("one"), &json!("approved"), &json!(2)));
    let edit = json!({ "artifactId": made["artifactId"], "baseVersion": 1, "content": "mine" });
    for (path, args) in [("artifacts:update", edit), ("artifacts:update", approve)] {
        let refused = desk.stage.refused(u1, path, args).await;
        assert_eq!((refused.code, &refused.data.unwrap()["writing"]), (Code::HistoryConflict, &json!(2)));
    }
    let mine = json!({ "artifactId": made["artifactId"], "baseVersion": 1 });
    assert_eq!(desk.stage.code(u1, "artifacts:begin", mine).await, Code::HistoryConflict);
    let list = json!({ "threadId": desk.thread, "paginationOpts": PAGE() });
    let list = desk.stage.ok(u1, "artifacts:listByThread", list).await;
    assert_eq!((&list["page"][0]["version"], &list["page"][0]["writing"]), (&json!(1), &json!(2)));
    desk.finish(&begun).await;
    let read = desk.get(&made, Value::Null).await;
    assert_eq!((&read["content"], &read["status"], &read["title"]), (&json!("two"), &json!("draft"), &json!("Plan B")));
    desk.stage.healthy().await;
}

/// What it would begin, nobody would finish, and the owner could never change the document again.
#[tokio::test]
async fn ar_08_an_answer_that_is_over_begins_nothing() {
    for status in ["stopped", "complete", "error"] {
        let desk = Desk::new().await;
        let u1 = &desk.stage.u1;
        let made = json!({ "threadId": desk.thread, "kind": "plan", "title": "Plan", "content": "one" });
        let made = desk.stage.ok(u1, "artifacts:create", made).await;
        desk.end(status).await;
        let next = json!({ "artifactId": made["artifactId"], "baseVersion": 1, "generationId": desk.generation });
        for late in [next, desk.first()] {
            assert_eq!(desk.stage.code(&desk.backend, "artifacts:begin", late).await, Code::LogSealed, "{status}");
        }
        let mine = json!({ "artifactId": made["artifactId"], "baseVersion": 1, "content": "mine" });
        assert_eq!(desk.stage.ok(u1, "artifacts:update", mine).await["version"], json!(2));
        desk.stage.healthy().await;
    }
}

#[tokio::test]
async fn ap_08_a_plan_that_is_being_rewritten_fails_its_own_decision_and_no_other() {
    let desk = Desk::new().await;
    let u1 = &desk.stage.u1;
    let made = json!({ "threadId": desk.thread, "kind": "plan", "title": "Plan", "content": "one" });
    let made = desk.stage.ok(u1, "artifacts:create", made).await;
    let ask = async |mut args: Value| {
        args["generationId"] = desk.generation.clone();
        desk.stage.ok(&desk.backend, "approvals:request", args).await["_id"].clone()
    };
    let plan = ask(json!({ "kind": "plan", "artifactId": made["artifactId"] })).await;
    let question = ask(json!({ "kind": "question", "question": "Sure?" })).await;
    let next = json!({ "artifactId": made["artifactId"], "baseVersion": 1, "generationId": desk.generation });
    desk.stage.ok(&desk.backend, "artifacts:begin", next).await;
    let decisions = json!([
        { "approvalId": plan, "decision": "approve" },
        { "approvalId": plan, "decision": "approve", "edited": "mine" },
        { "approvalId": question, "decision": "approve" },
    ]);
    let decided = desk.stage.ok(u1, "approvals:decideMany", json!({ "decisions": decisions })).await;
    for refused in [&decided[0], &decided[1]] {
        assert_eq!(
            (&refused["error"]["code"], &refused["error"]["data"]["writing"]),
            (&json!("history_conflict"), &json!(2))
        );
    }
    assert_eq!(decided[2]["approval"]["status"], json!("approved"));
    desk.stage.healthy().await;
}

#[tokio::test]
async fn ar_08_what_an_answer_leaves_unfinished_is_kept_as_far_as_it_came() {
    for status in ["error", "stopped", "complete", "interrupted"] {
        let desk = Desk::new().await;
        let begun = desk.begin().await;
        desk.append(&begun, 0, "half").await.unwrap();
        if status == "interrupted" {
            desk.stage.clock.advance_ms(desk.stage.settings.external_lease_ms + 1);
            assert_eq!(desk.stage.system("driver:expire", json!({})).await["interrupted"], json!(1));
        } else {
            desk.end(status).await;
        }
        let kept = desk.get(&begun, Value::Null).await;
        assert_eq!(
            (&kept["content"], &kept["cut"], &kept["version"]),
            (&json!("half"), &json!(true), &json!(1)),
            "{status}"
        );
        assert_eq!(desk.deltas(&begun, 4).await["done"], json!(true));
        let message = desk.stage.ok(&desk.stage.u1, "messages:get", json!({ "messageId": desk.message })).await;
        assert_eq!(message["parts"][0]["artifactId"], begun["artifactId"], "{status}");
        assert_eq!(desk.drafts().await, "0");
        desk.stage.healthy().await;
    }
}

#[tokio::test]
async fn ar_08_appends_keep_the_answer_alive_and_a_removed_thread_leaves_nothing() {
    let desk = Desk::new().await;
    let begun = desk.begin().await;
    for at in 0..4_u64 {
        desk.stage.clock.advance_ms(desk.stage.settings.external_lease_ms * 3 / 4);
        desk.append(&begun, at, "x").await.unwrap();
        assert_eq!(desk.stage.system("driver:expire", json!({})).await["interrupted"], json!(0));
    }
    desk.end("complete").await;
    let loose = json!({ "threadId": desk.thread, "kind": "code", "title": "Loose" });
    let loose = desk.stage.ok(&desk.stage.u1, "artifacts:begin", loose).await;
    let args = json!({ "artifactId": loose["artifactId"], "version": 1, "offset": 0, "text": "text" });
    desk.stage.ok(&desk.stage.u1, "artifacts:append", args).await;
    desk.stage.healthy().await;
    desk.stage.ok(&desk.stage.u1, "threads:remove", json!({ "threadId": desk.thread })).await;
    while desk.stage.system("threads:purge", json!({ "limit": 1 })).await["hasMore"] == json!(true) {}
    assert_eq!(desk.drafts().await, "0");
    assert_eq!(desk.stage.system("remains:waiting", json!({})).await, json!(true));
    while desk.stage.system("remains:sweep", json!({ "limit": 10 })).await["hasMore"] == json!(true) {}
    desk.stage.healthy().await;
}

#[tokio::test]
async fn ar_08_what_may_be_written_at_the_same_time_is_bounded_and_counted() {
    let mut settings = Settings::default();
    settings.quotas.storage_bytes = Some(10);
    let desk = Desk::with(settings).await;
    let u1 = &desk.stage.u1;
    let begin =
        |key: usize| json!({ "threadId": desk.thread, "kind": "code", "title": "One", "key": format!("k{key}") });
    let first = desk.stage.ok(u1, "artifacts:begin", begin(0)).await;
    let append = |offset: u64, said: &str| json!({ "artifactId": first["artifactId"], "version": 1, "offset": offset, "text": said });
    desk.stage.ok(u1, "artifacts:append", append(0, "12345678")).await;
    assert_eq!(desk.stage.code(u1, "artifacts:append", append(8, "901")).await, Code::QuotaExceeded);
    desk.stage.ok(u1, "artifacts:append", append(8, "90")).await;
    for key in 1..20 {
        desk.stage.ok(u1, "artifacts:begin", begin(key)).await;
    }
    assert_eq!(desk.stage.code(u1, "artifacts:begin", begin(20)).await, Code::TooLarge);
    desk.stage.ok(u1, "artifacts:finish", json!({ "artifactId": first["artifactId"], "version": 1 })).await;
    assert_eq!(desk.stage.ok(u1, "usage:me", json!({})).await["storageBytes"]["used"], json!(10));
    desk.stage.healthy().await;
}

#[tokio::test]
async fn ar_08_a_beginning_says_which_artifact_it_means() {
    let desk = Desk::new().await;
    let made = json!({ "threadId": desk.thread, "kind": "plan", "title": "Plan", "content": "one" });
    let made = desk.stage.ok(&desk.stage.u1, "artifacts:create", made).await["artifactId"].clone();
    for (args, path) in [
        (json!({}), "threadId"),
        (json!({ "threadId": desk.thread, "artifactId": made }), "threadId"),
        (json!({ "threadId": desk.thread, "title": "x" }), "kind"),
        (json!({ "threadId": desk.thread, "kind": "x" }), "title"),
        (json!({ "threadId": desk.thread, "kind": "x", "title": " " }), "title"),
        (json!({ "threadId": desk.thread, "kind": "x", "title": "x", "baseVersion": 1 }), "baseVersion"),
        (json!({ "artifactId": made }), "baseVersion"),
        (json!({ "artifactId": made, "baseVersion": 1, "kind": "x" }), "kind"),
    ] {
        let refused = desk.stage.refused(&desk.stage.u1, "artifacts:begin", args).await;
        assert_eq!((refused.code, &refused.data.unwrap()["path"]), (Code::BadRequest, &json!(path)));
    }
    let stale = json!({ "artifactId": made, "baseVersion": 2 });
    assert_eq!(desk.stage.code(&desk.stage.u1, "artifacts:begin", stale).await, Code::HistoryConflict);
    let archive = json!({ "artifactId": made, "baseVersion": 1, "status": "archived" });
    desk.stage.ok(&desk.stage.u1, "artifacts:update", archive).await;
    let next = json!({ "artifactId": made, "baseVersion": 1 });
    assert_eq!(desk.stage.code(&desk.stage.u1, "artifacts:begin", next).await, Code::InvalidTransition);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the pieces, whenever it is finished, and wherever readers go on: they get the text once.
    #[test]
    fn ar_08_readers_at_any_cursor_get_every_byte_once(
        pieces in proptest::collection::vec("[aä€]{1,5}", 1..12),
        reads in proptest::collection::vec(0..12_usize, 0..8),
        finished in 0..13_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let desk = Desk::new().await;
            let begun = desk.begin().await;
            let (mut end, mut cursor, mut got) = (0, 0, String::new());
            for (at, piece) in pieces.iter().enumerate().take(finished.max(1)) {
                end = desk.append(&begun, end, piece).await.unwrap()["cursor"].as_u64().unwrap();
                if reads.contains(&at) {
                    let page = desk.deltas(&begun, cursor).await;
                    got.push_str(&text(&page["text"]));
                    cursor = page["cursor"].as_u64().unwrap();
                }
            }
            desk.finish(&begun).await;
            let rest = desk.deltas(&begun, cursor).await;
            got.push_str(&text(&rest["text"]));
            assert_eq!(got, pieces[..finished.max(1).min(pieces.len())].concat());
            assert_eq!((rest["cursor"].as_u64().unwrap(), &rest["done"]), (end, &json!(true)));
            desk.stage.healthy().await;
        });
    }
}
