//! AR-08: documents that the server's own model writes, as the driver tells of them.

use serde_json::{Value, json};
use spool_chat::{Principal, Settings};
use spool_protocol::Code;

use crate::stage::{OWNER, Stage, Turn, held, text};

/// An answer that the server makes, in a thread of the first user.
struct Desk {
    stage: Stage,
    turn: Turn,
    lease: Value,
}

impl Desk {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let (stage, turn, epoch) = Stage::answering(settings).await;
        let lease = held(&turn.generation, epoch);
        Self { stage, turn, lease }
    }

    fn piece(&self, call: &str, title: Value, said: &str) -> Value {
        json!({
            "lease": self.lease, "toolCallId": call, "tool": "write_artifact", "kind": null, "title": title,
            "text": said,
        })
    }

    async fn write(&self, call: &str, said: &str) -> Value {
        self.stage.system("driver:draft", self.piece(call, json!("T"), said)).await
    }

    async fn submit(&self, call: &str, input: Value, verdict: Value) -> Value {
        let call = json!({ "toolCallId": call, "tool": "write_artifact", "input": input, "verdict": verdict });
        self.stage.system("driver:submit", json!({ "lease": self.lease, "events": [], "calls": [call] })).await
    }

    async fn run(&self, standing: &Value) -> Value {
        let args = json!({ "lease": self.lease, "callId": standing["calls"][0]["_id"] });
        self.stage.system("driver:runBuiltIn", args).await
    }

    async fn end(&self, status: &str) {
        let mut args = self.lease.clone();
        args["status"] = json!(status);
        self.stage.system("driver:finish", args).await;
    }

    /// Every artifact of the thread, with the content of its newest version.
    async fn artifacts(&self) -> Vec<Value> {
        let args = json!({ "threadId": self.turn.thread, "paginationOpts": { "numItems": 10, "cursor": null } });
        let listed = self.stage.ok(&self.stage.u1, "artifacts:listByThread", args).await;
        let mut found = Vec::new();
        for row in listed["page"].as_array().unwrap() {
            let get = json!({ "artifactId": row["_id"] });
            found.push(self.stage.ok(&self.stage.u1, "artifacts:get", get).await);
        }
        found
    }

    async fn parts(&self) -> Value {
        self.stage.ok(&self.stage.u1, "messages:get", json!({ "messageId": self.turn.message })).await["parts"].clone()
    }
}

fn run() -> Value {
    json!({ "type": "run" })
}

#[tokio::test]
async fn ar_08_what_a_call_was_seen_to_write_becomes_its_document_once_with_its_own_words() {
    let desk = Desk::new().await;
    let first = desk.write("c1", "one ").await;
    let end = first["logEnd"].as_u64().unwrap();
    assert!(end > 0, "the log tells of it");
    assert_eq!(desk.write("c1", "two").await["logEnd"], json!(end), "and tells of it once");
    let [seen] = &desk.artifacts().await[..] else { panic!("one artifact") };
    assert_eq!((&seen["content"], &seen["current"], &seen["writing"]), (&json!("one two"), &json!(0), &json!(1)));
    assert_eq!((&seen["kind"], &seen["title"]), (&json!("document"), &json!("T")));
    desk.stage.healthy().await;

    let input = json!({ "kind": "report", "title": "Its title", "content": "one two three" });
    let standing = desk.submit("c1", input, run()).await;
    let ran = desk.run(&standing).await;
    assert_eq!(desk.run(&standing).await["logEnd"], ran["logEnd"], "a repetition changes nothing");
    let output = &ran["calls"][0]["output"];
    assert_eq!((&output["artifactId"], &output["version"]), (&seen["_id"], &json!(1)));
    let [whole] = &desk.artifacts().await[..] else { panic!("one artifact") };
    assert_eq!(
        (&whole["content"], &whole["kind"], &whole["title"], &whole["toolCallId"]),
        (&json!("one two three"), &json!("report"), &json!("Its title"), &json!("c1"))
    );
    assert_eq!((&whole["current"], whole.get("writing"), whole.get("cut")), (&json!(1), None, None));
    let rest = json!({ "artifactId": seen["_id"], "version": 1, "cursor": 7 });
    let rest = desk.stage.ok(&desk.stage.u1, "artifacts:deltas", rest).await;
    assert_eq!(rest, json!({ "text": " three", "cursor": 13, "done": true }), "a reader goes on where it was");
    desk.end("complete").await;
    let parts = desk.parts().await;
    let shown: Vec<_> = parts.as_array().unwrap().iter().filter(|part| part["type"] == "artifact").collect();
    assert_eq!(shown.len(), 1, "{parts}");
    assert_eq!((&shown[0]["title"], &shown[0]["version"]), (&json!("Its title"), &json!(1)));
    desk.stage.healthy().await;
}

#[tokio::test]
async fn ar_08_what_is_never_run_is_kept_as_far_as_it_was_seen() {
    let desk = Desk::new().await;
    desk.write("refused", "of a call that is refused").await;
    let fail = json!({ "type": "fail", "message": "The arguments are wrong." });
    desk.submit("refused", json!("torn"), fail).await;
    desk.write("cut", "half").await;
    let cut = desk.artifacts().await;
    let seen = |found: &Value| (text(&found["content"]), found["current"].clone(), found["cut"].clone());
    let mut all: Vec<_> = cut.iter().map(seen).collect();
    all.sort_by_key(|(content, ..)| content.clone());
    let refused = ("of a call that is refused".to_owned(), json!(1), json!(true));
    assert_eq!(all, [("half".to_owned(), json!(0), Value::Null), refused.clone()]);
    desk.end("stopped").await;
    let mut all: Vec<_> = desk.artifacts().await.iter().map(seen).collect();
    all.sort_by_key(|(content, ..)| content.clone());
    assert_eq!(all, [("half".to_owned(), json!(1), json!(true)), refused]);
    desk.stage.healthy().await;
}

#[tokio::test]
async fn ar_08_a_step_in_the_middle_of_a_document_does_not_go_on_elsewhere() {
    let desk = Desk::new().await;
    let standing = desk.submit("c0", json!({ "kind": "code", "title": "A", "content": "a" }), run()).await;
    desk.run(&standing).await;
    desk.write("c1", "half").await;
    let expired = desk.stage.system("driver:expire", json!({ "owner": "next", "onlyOwner": true })).await;
    assert_eq!((&expired["interrupted"], &expired["requeued"]), (&json!(1), &json!(0)));
    let cut: Vec<_> =
        desk.artifacts().await.iter().map(|found| (found["content"].clone(), found["cut"].clone())).collect();
    assert!(cut.contains(&(json!("half"), json!(true))) && cut.contains(&(json!("a"), Value::Null)), "{cut:?}");
    desk.stage.healthy().await;
}

#[tokio::test]
async fn ar_08_what_a_rule_may_forbid_and_what_is_too_large_is_not_shown() {
    let mut settings = Settings::default();
    settings.quotas.storage_bytes = Some(10);
    let desk = Desk::with(settings).await;
    let refused = async |args: Value| desk.stage.refused(&Principal::System, "driver:draft", args).await;
    let error = refused(desk.piece("c1", json!("T"), "more than ten bytes")).await;
    assert_eq!((error.code, &error.data.unwrap()["call"]), (Code::QuotaExceeded, &json!("c1")));
    let error = refused(desk.piece("c1", json!(""), "x")).await;
    assert_eq!(error.data.unwrap()["path"], "title");
    desk.stage.ok(&desk.stage.u1, "rules:create", json!({ "tool": "write_*", "effect": "ask" })).await;
    let error = refused(desk.piece("c1", json!("T"), "x")).await;
    assert_eq!(error.data.unwrap()["call"], "c1");
    assert_eq!(desk.artifacts().await.len(), 0);
    let mut lost = desk.piece("c1", json!("T"), "x");
    lost["lease"]["epoch"] = json!(7);
    let error = refused(lost).await;
    assert_eq!((error.code, error.data.unwrap().get("call")), (Code::Forbidden, None));
    assert_eq!(desk.lease["owner"], OWNER);
}

#[tokio::test]
async fn ar_08_whoever_goes_on_after_a_crash_finishes_the_document_that_was_seen() {
    let mut desk = Desk::new().await;
    desk.write("c1", "one ").await;
    let standing = desk.submit("c1", json!({ "kind": "report", "title": "R", "content": "one two" }), run()).await;
    let expired = desk.stage.system("driver:expire", json!({ "owner": "next", "onlyOwner": true })).await;
    assert_eq!((&expired["interrupted"], &expired["requeued"]), (&json!(0), &json!(1)));
    desk.stage.healthy().await;
    let epoch = desk.stage.start(&desk.turn.generation).await;
    desk.lease = held(&desk.turn.generation, epoch);
    desk.run(&standing).await;
    desk.end("complete").await;
    let [whole] = &desk.artifacts().await[..] else { panic!("one artifact") };
    assert_eq!(
        (&whole["content"], &whole["current"], whole.get("cut"), &whole["title"]),
        (&json!("one two"), &json!(1), None, &json!("R"))
    );
    desk.stage.healthy().await;
}
