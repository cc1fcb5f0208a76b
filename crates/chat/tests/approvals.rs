//! Approvals: asked once, decided once, by the person whose thread it is.

use proptest::prelude::*;
use serde_json::{Value, json};
use spool_chat::{Principal, Settings};
use spool_protocol::Code;

use crate::stage::{Stage, text};
use crate::users::join_all;

pub const DAY: u64 = 24 * 3_600_000;

pub fn page() -> Value {
    json!({ "numItems": 10, "cursor": null })
}

/// A thread of the first user, and an answer in it that a backend makes.
pub struct Asker {
    pub stage: Stage,
    pub service: Principal,
    pub thread: String,
    pub generation: Value,
    pub message: Value,
}

impl Asker {
    pub async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let stage = Stage::with(settings).await;
        let service = stage.service(&["*"]).await;
        let thread = stage.thread(&stage.u1).await;
        let opened = stage.ok(&service, "generations:open", json!({ "threadId": thread, "text": "pay" })).await;
        let (generation, message) = (opened["generationId"].clone(), opened["messageId"].clone());
        Self { stage, service, thread, generation, message }
    }

    pub fn call(&self, id: &str) -> Value {
        let input = json!({ "amount": 5, "to": { "b": 1, "a": [2] } });
        json!({ "generationId": self.generation, "kind": "tool_call", "toolCallId": id, "tool": "pay", "input": input })
    }

    pub async fn ask(&self, args: Value) -> Value {
        self.stage.ok(&self.service, "approvals:request", args).await
    }

    pub async fn decide(&self, approval: &Value, approve: bool) -> Result<Value, spool_protocol::Error> {
        let args = json!({ "approvalId": approval["_id"], "decision": if approve { "approve" } else { "reject" }, "reason": "because" });
        self.stage.call(&self.stage.u1, "approvals:decide", args).await
    }

    pub async fn get(&self, approval: &Value) -> Value {
        self.stage.ok(&self.stage.u1, "approvals:get", json!({ "approvalId": approval["_id"] })).await
    }

    pub async fn log(&self) -> Vec<Value> {
        let args = json!({ "generationId": self.generation, "cursor": 0 });
        self.stage.ok(&self.stage.u1, "generations:deltas", args).await["events"].as_array().unwrap().clone()
    }

    pub async fn finish(&self) -> Value {
        let args = json!({ "generationId": self.generation, "status": "complete" });
        self.stage.ok(&self.service, "generations:finish", args).await;
        self.stage.ok(&self.stage.u1, "messages:get", json!({ "messageId": self.message })).await
    }
}

#[tokio::test]
async fn ap_02_the_owner_decides_once_and_is_noted() {
    let asker = Asker::new().await;
    let (stage, asked) = (&asker.stage, asker.ask(asker.call("t1")).await);
    assert_eq!(asker.ask(asker.call("t1")).await, asked, "asking again");
    assert_eq!((&asked["status"], &asked["expiresAt"]), (&json!("pending"), &json!(1_700_000_000_000 + DAY)));
    let mut other = asker.call("t1");
    other["input"]["amount"] = json!(500);
    assert_eq!(stage.code(&asker.service, "approvals:request", other).await, Code::AlreadyExists);
    let decide = json!({ "approvalId": asked["_id"], "decision": "approve" });
    assert_eq!(stage.code(&stage.u2, "approvals:decide", decide.clone()).await, Code::NotFound);
    assert_eq!(stage.code(&asker.service, "approvals:decide", decide.clone()).await, Code::Forbidden);
    let decided = join_all((0..8).map(|at| asker.decide(&asked, at % 2 == 0)).collect()).await;
    let won: Vec<&Value> = decided.iter().flatten().collect();
    assert_eq!(won.len(), 1);
    for error in decided.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!((error.code, &error.data.as_ref().unwrap()["status"]), (Code::AlreadyResolved, &won[0]["status"]));
    }
    assert_eq!(asker.get(&asked).await, *won[0]);
    assert_eq!(won[0]["resolvedBy"], json!(stage.u1.user().unwrap()));
    assert_eq!(won[0]["resolvedAt"], json!(1_700_000_000_000_u64));
    stage.healthy().await;
}

#[tokio::test]
async fn ap_08_one_row_per_call_and_the_log_and_the_message_follow() {
    let asker = Asker::new().await;
    let (one, two) = (asker.ask(asker.call("t1")).await, asker.ask(asker.call("t2")).await);
    asker.decide(&two, false).await.unwrap();
    asker.decide(&one, true).await.unwrap();
    let events = [json!({ "type": "tool_end", "toolCallId": "t1", "output": "paid" })];
    let append = json!({ "generationId": asker.generation, "events": events });
    asker.stage.ok(&asker.service, "generations:append", append).await;
    let line = |event: &Value| format!("{} {} {}", text(&event["type"]), event["toolCallId"], event["status"]);
    let log: Vec<String> = asker.log().await.iter().map(line).collect();
    let expected = [
        "tool_start \"t1\" null",
        "approval \"t1\" \"pending\"",
        "tool_start \"t2\" null",
        "approval \"t2\" \"pending\"",
        "approval \"t2\" \"rejected\"",
        "approval \"t1\" \"approved\"",
        "tool_end \"t1\" null",
    ];
    assert_eq!(log, expected);
    assert_eq!((&one["askedAtOffset"], &two["askedAtOffset"]), (&json!(2), &json!(4)));
    let parts = asker.finish().await["parts"].clone();
    let line = |part: &Value| {
        format!("{} {}{}", text(&part["type"]), text(part.get("state").unwrap_or(&part["status"])), part["error"])
    };
    let shown: Vec<String> = parts.as_array().unwrap().iter().map(line).collect();
    assert_eq!(
        shown,
        ["tool_call completednull", "approval approvednull", "tool_call denied\"because\"", "approval rejectednull"]
    );
    asker.stage.healthy().await;
}

#[tokio::test]
async fn ap_03_an_edit_is_what_was_approved() {
    let asker = Asker::new().await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    let plan = json!({ "threadId": asker.thread, "kind": "plan", "title": "Plan", "content": "one", "generationId": asker.generation });
    let plan = stage.ok(&asker.service, "artifacts:create", plan).await;
    let ask = json!({ "generationId": asker.generation, "kind": "plan", "artifactId": plan["artifactId"] });
    let asked = asker.ask(ask.clone()).await;
    let edited = json!({ "approvalId": asked["_id"], "decision": "approve", "edited": "two" });
    let decided = stage.ok(u1, "approvals:decide", edited).await;
    assert_eq!((&decided["version"], &decided["editedVersion"]), (&json!(1), &json!(2)));
    let artifact = stage.ok(&asker.service, "artifacts:get", json!({ "artifactId": plan["artifactId"] })).await;
    assert_eq!((&artifact["content"], &artifact["status"]), (&json!("two"), &json!("approved")));

    let call = asker.ask(asker.call("t1")).await;
    let edit =
        |decision: &str, edited: Value| json!({ "approvalId": call["_id"], "decision": decision, "edited": edited });
    for wrong in [edit("reject", json!({ "amount": 1 })), edit("approve", json!("x")), edit("approve", Value::Null)] {
        assert_eq!(stage.code(u1, "approvals:decide", wrong).await, Code::BadRequest);
    }
    let decided = stage.ok(u1, "approvals:decide", edit("approve", json!({ "amount": 1 }))).await;
    assert_eq!((&decided["editedInput"], &decided["input"]["amount"]), (&json!({ "amount": 1 }), &json!(5)));
    assert_eq!(decided["hash"], call["hash"]);
    stage.healthy().await;
}

#[tokio::test]
async fn ap_03_a_plan_that_was_changed_meanwhile_is_not_approved_unseen() {
    let asker = Asker::new().await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    let plan = json!({ "threadId": asker.thread, "kind": "plan", "title": "Plan", "content": "one" });
    let plan = stage.ok(&asker.service, "artifacts:create", plan).await;
    let ask = json!({ "generationId": asker.generation, "kind": "plan", "artifactId": plan["artifactId"] });
    let asked = asker.ask(ask).await;
    let edit = json!({ "artifactId": plan["artifactId"], "baseVersion": 1, "content": "sneaky" });
    stage.ok(&asker.service, "artifacts:update", edit).await;
    assert_eq!(asker.decide(&asked, true).await.unwrap_err().code, Code::HistoryConflict);
    asker.finish().await;
    assert_eq!(asker.get(&asked).await["status"], json!("pending"), "a plan outlives the answer that asked");
    asker.decide(&asked, false).await.unwrap();
    let message = stage.ok(u1, "messages:get", json!({ "messageId": asker.message })).await;
    assert_eq!(message["parts"][0]["status"], json!("rejected"));
    stage.healthy().await;
}

#[tokio::test]
async fn ap_05_a_time_that_has_passed_is_over_at_once_and_swept_later() {
    let asker = Asker::new().await;
    let stage = &asker.stage;
    let (late, never) = (asker.ask(asker.call("t1")).await, {
        let mut args = asker.call("t2");
        args["expiresAt"] = Value::Null;
        asker.ask(args).await
    });
    let mut past = asker.call("t3");
    for at in [5, u64::MAX] {
        past["expiresAt"] = json!(at);
        assert_eq!(stage.code(&asker.service, "approvals:request", past.clone()).await, Code::BadRequest);
    }
    stage.clock.advance_ms(DAY);
    let refused = asker.decide(&late, true).await.unwrap_err();
    assert_eq!((refused.code, &refused.data.unwrap()["status"]), (Code::AlreadyResolved, &json!("expired")));
    assert_eq!(stage.system("driver:expire", json!({})).await["interrupted"], json!(0), "a person was waited for");
    assert_eq!(stage.system("approvals:nextExpiry", json!({})).await, late["expiresAt"]);
    assert_eq!(stage.system("approvals:expire", json!({})).await, json!({ "deleted": 1, "hasMore": false }));
    assert_eq!(
        (&asker.get(&late).await["status"], &asker.get(&never).await["status"]),
        (&json!("expired"), &json!("pending"))
    );
    assert_eq!(asker.log().await.last().unwrap()["status"], json!("expired"));
    asker.decide(&never, true).await.unwrap();
    stage.clock.advance_ms(600_001);
    assert_eq!(
        stage.system("driver:expire", json!({})).await["interrupted"],
        json!(1),
        "nobody is waited for any more"
    );
    stage.healthy().await;
}

#[tokio::test]
async fn ap_05_the_setting_never_is_respected() {
    let asker = Asker::with(Settings { approval_ms: None, ..Settings::default() }).await;
    let asked = asker.ask(asker.call("t1")).await;
    assert!(asked.get("expiresAt").is_none());
    assert!(asker.stage.system("approvals:nextExpiry", json!({})).await.is_null());
}

#[tokio::test]
async fn ap_06_what_waits_ends_with_the_answer_and_with_the_thread() {
    let asker = Asker::new().await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    let asked = asker.ask(asker.call("t1")).await;
    stage.ok(u1, "generations:stop", json!({ "generationId": asker.generation })).await;
    assert_eq!(asker.get(&asked).await["status"], json!("cancelled"));
    assert_eq!(asker.decide(&asked, true).await.unwrap_err().code, Code::AlreadyResolved);
    assert_eq!(stage.code(&asker.service, "approvals:request", asker.call("t2")).await, Code::LogSealed);
    let message = stage.ok(u1, "messages:get", json!({ "messageId": asker.message })).await;
    assert_eq!(
        (&message["parts"][0]["state"], &message["parts"][1]["status"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
    let other = stage.thread(u1).await;
    let opened = stage.ok(&asker.service, "generations:open", json!({ "threadId": other })).await;
    let question = json!({ "generationId": opened["generationId"], "kind": "question", "question": "Sure?" });
    asker.ask(question).await;
    let inbox = stage.ok(u1, "approvals:list", json!({ "paginationOpts": page() })).await;
    let kinds: Vec<&Value> = inbox["page"].as_array().unwrap().iter().map(|row| &row["status"]).collect();
    assert_eq!((kinds, &inbox["pendingCount"]), (vec![&json!("pending"), &json!("cancelled")], &json!(1)));
    assert_eq!(stage.ok(&stage.u2, "approvals:list", json!({ "paginationOpts": page() })).await["page"], json!([]));
    stage.ok(u1, "threads:remove", json!({ "threadId": other })).await;
    let inbox = stage.ok(u1, "approvals:list", json!({ "paginationOpts": page() })).await;
    assert_eq!((inbox["page"].as_array().unwrap().len(), &inbox["pendingCount"]), (1, &json!(0)));
    stage.healthy().await;
    stage.system("threads:purge", json!({ "limit": 100 })).await;
    while stage.ok(u1, "threads:clear", json!({ "threadId": asker.thread })).await["hasMore"] == json!(true) {}
    assert_eq!(stage.code(u1, "approvals:get", json!({ "approvalId": asked["_id"] })).await, Code::NotFound);
    stage.healthy().await;
}

#[tokio::test]
async fn ap_02_a_claim_about_something_else_decides_nothing() {
    let asker = Asker::new().await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    let asked = asker.ask(asker.call("t1")).await;
    let elsewhere = stage.thread(u1).await;
    let claim = |thread: &str, call: &str, input: Value| {
        json!({
            "approvalId": asked["_id"], "decision": "approve", "claim": { "threadId": thread, "toolCallId": call, "input": input },
        })
    };
    let input = asked["input"].clone();
    for (args, code) in [
        (claim(&elsewhere, "t1", input.clone()), Code::NotFound),
        (claim(&asker.thread, "t2", input.clone()), Code::NotFound),
        (claim(&asker.thread, "t1", json!({ "amount": 6 })), Code::HistoryConflict),
    ] {
        assert_eq!(stage.code(u1, "approvals:decide", args).await, code);
    }
    assert_eq!(asker.get(&asked).await["status"], json!("pending"));
    let turned = json!({ "to": { "a": [2], "b": 1 }, "amount": 5.0 });
    let decided = stage.ok(u1, "approvals:decide", claim(&asker.thread, "t1", turned)).await;
    assert_eq!(decided["status"], json!("approved"), "the order of keys is nobody's business");
}

#[derive(Debug, Clone)]
enum Step {
    Ask(u8),
    Decide(u8, bool),
    Wait(u64),
    Sweep,
    Stop,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8).prop_map(Step::Ask),
        4 => (0..4_u8, any::<bool>()).prop_map(|(which, approve)| Step::Decide(which, approve)),
        1 => (1..DAY).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
        1 => Just(Step::Stop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 100, ..ProptestConfig::default() })]

    /// Whatever comes in whatever order: what was resolved stays as it is, and every invariant holds.
    #[test]
    fn ap_02_the_first_decision_is_the_last(steps in prop::collection::vec(any_step(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let asker = Asker::new().await;
            let mut rows: [Option<Value>; 4] = [const { None }; 4];
            for step in steps {
                match step {
                    Step::Ask(which) => {
                        let args = asker.call(&format!("t{which}"));
                        if let Ok(asked) = asker.stage.call(&asker.service, "approvals:request", args).await {
                            rows[usize::from(which)].get_or_insert(asked);
                        }
                    }
                    Step::Decide(which, approve) => {
                        if let Some(row) = &rows[usize::from(which)] {
                            let over = row["status"] != json!("pending");
                            let decided = asker.decide(row, approve).await;
                            assert!(!(over && decided.is_ok()), "{row} was decided again");
                        }
                    }
                    Step::Wait(ms) => asker.stage.clock.advance_ms(ms),
                    Step::Sweep => drop(asker.stage.system("approvals:expire", json!({})).await),
                    Step::Stop => {
                        let stop = json!({ "generationId": asker.generation });
                        asker.stage.ok(&asker.stage.u1, "generations:stop", stop).await;
                    }
                }
                for row in rows.iter_mut().flatten() {
                    let now = asker.get(row).await;
                    assert!(row["status"] == json!("pending") || now == *row, "{row} became {now}");
                    *row = now;
                }
                asker.stage.healthy().await;
            }
        });
    }
}

/// A runner asks about what it has just told: its newest call of that id is the one, however long the log is.
#[tokio::test]
async fn ap_01_the_call_that_is_asked_about_is_found_at_the_end_of_a_long_log() {
    let asker = Asker::new().await;
    let stage = &asker.stage;
    let append = async |events: Value| {
        let args = json!({ "generationId": asker.generation, "events": events });
        assert_eq!(stage.ok(&asker.service, "generations:append", args).await["appended"], json!(true));
    };
    let start = |id: &str, amount: u64| json!({ "type": "tool_start", "toolCallId": id, "tool": "pay", "input": { "amount": amount } });
    append(json!([start("far", 1)])).await;
    for _ in 0..6 {
        append(json!([{ "type": "text", "text": "x".repeat(1 << 20) }])).await;
    }
    append(json!([start("t1", 1), start("t\"2", 2)])).await;
    append(json!([{ "type": "text", "text": "and so on" }])).await;
    let call = |id: &str, amount: u64| json!({ "generationId": asker.generation, "kind": "tool_call", "toolCallId": id, "tool": "pay", "input": { "amount": amount } });
    let other = stage.refused(&asker.service, "approvals:request", call("t1", 7)).await;
    assert_eq!((other.code, &other.data.unwrap()["toolCallId"]), (Code::AlreadyExists, &json!("t1")));
    let starts = async || {
        let mut cursor = json!(0);
        let mut count = 0;
        loop {
            let args = json!({ "generationId": asker.generation, "cursor": cursor });
            let deltas = stage.ok(&stage.u1, "generations:deltas", args).await;
            let events = deltas["events"].as_array().unwrap();
            if events.is_empty() {
                return count;
            }
            count += events.iter().filter(|event| event["type"] == "tool_start").count();
            cursor = deltas["cursor"].clone();
        }
    };
    assert_eq!(starts().await, 3);
    asker.ask(call("t1", 1)).await;
    asker.ask(call("t\"2", 2)).await;
    assert_eq!(starts().await, 3, "both are told");
    asker.ask(call("new", 3)).await;
    assert_eq!(starts().await, 4);
    // So far back nobody looks: it is told again, beside what is asked.
    asker.ask(call("far", 9)).await;
    assert_eq!(starts().await, 5);
    stage.healthy().await;
}
