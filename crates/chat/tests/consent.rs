//! What stands between a call that the server's own model makes and its effect: the configuration, the rules of the
//! user, the people, and whether anybody still wants it when it begins.

use serde_json::{Value, json};
use spool_chat::roles::{RoleChoice, Roles};
use spool_chat::{ApprovalPolicy, Principal, Settings};
use spool_protocol::{Code, Error};

use crate::approvals::page;
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
        Self::on(Stage::with(settings).await).await
    }

    async fn on(stage: Stage) -> Self {
        let thread = stage.thread(&stage.u1).await;
        let turn = stage.send(&stage.u1, &thread, "do it").await;
        let epoch = stage.start(&turn.generation).await;
        let lease = held(&turn.generation, epoch);
        Self { stage, turn, lease }
    }

    /// A step of the model with these calls, each a tool, its input and the verdict of the configuration; their
    /// names are their place and their tool, as `c0 pay`.
    async fn submit(&self, calls: &[(&str, Value, Value)]) -> Vec<Value> {
        let new = |(at, (tool, input, verdict)): (usize, &(&str, Value, Value))| json!({ "toolCallId": format!("c{at} {tool}"), "tool": tool, "input": input, "verdict": verdict });
        let calls: Vec<Value> = calls.iter().enumerate().map(new).collect();
        let starts: Vec<Value> = calls
            .iter()
            .map(|call| json!({ "type": "tool_start", "toolCallId": call["toolCallId"], "tool": call["tool"], "input": call["input"] }))
            .collect();
        let args = json!({ "lease": self.lease, "events": starts, "calls": calls });
        self.stage.system("driver:submit", args).await["calls"].as_array().unwrap().clone()
    }

    async fn rule(&self, tool: &str, effect: &str) -> Value {
        let rule = json!({ "tool": tool, "effect": effect });
        self.stage.ok(&self.stage.u1, "rules:create", rule).await["_id"].clone()
    }

    /// Those of the thread, by the name of their call.
    async fn approvals(&self) -> Vec<Value> {
        let args = json!({ "threadId": self.turn.thread, "paginationOpts": page() });
        let listed = self.stage.ok(&self.stage.u1, "approvals:listByThread", args).await;
        let mut rows = listed["page"].as_array().unwrap().clone();
        rows.sort_by_key(|row| row["toolCallId"].as_str().unwrap_or_default().to_owned());
        rows
    }

    async fn decide(&self, approval: &Value, more: Value) -> Value {
        let mut args = json!({ "approvalId": approval["_id"], "decision": "approve" });
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.stage.ok(&self.stage.u1, "approvals:decide", args).await
    }

    async fn begin(&self, function: &str, call: &Value) -> Result<Value, Error> {
        let args = json!({ "lease": self.lease, "callId": call["_id"] });
        self.stage.call(&Principal::System, function, args).await
    }

    /// Whoever holds the answer lets it go, because only people can go on.
    async fn park(&self) {
        let parked = self.stage.system("driver:settle", json!({ "lease": self.lease, "park": true })).await;
        assert_eq!(parked["parked"], json!(true));
    }

    async fn claim(&self) -> Value {
        let args = json!({ "generationId": self.turn.generation, "owner": OWNER });
        self.stage.system("driver:claim", args).await
    }

    async fn status(&self) -> String {
        let id = json!({ "generationId": self.turn.generation });
        text(&self.stage.ok(&self.stage.u1, "generations:get", id).await["status"])
    }

    async fn message(&self) -> Value {
        self.stage.ok(&self.stage.u1, "messages:get", json!({ "messageId": self.turn.message })).await
    }

    async fn log(&self) -> Vec<Value> {
        let args = json!({ "generationId": self.turn.generation, "cursor": 0 });
        self.stage.ok(&self.stage.u1, "generations:deltas", args).await["events"].as_array().unwrap().clone()
    }
}

fn run() -> Value {
    json!({ "type": "run" })
}

fn asks() -> Value {
    json!({ "type": "ask", "approvers": 1, "always": false })
}

fn states(calls: &[Value]) -> Vec<&str> {
    calls.iter().map(|call| call["state"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn ap_08_what_is_of_high_risk_is_asked_about_where_the_server_calls_it_too() {
    let approvals = ApprovalPolicy {
        high_risk: vec!["wire_*".into(), "write_artifact".into()],
        approvers: 2,
        ..Default::default()
    };
    let desk = Desk::with(Settings { approvals, ..Settings::default() }).await;
    desk.rule("*", "allow").await;
    let calls = desk
        .submit(&[("wire_money", json!({}), asks()), ("wire_state", json!({}), run()), ("look", json!({}), run())])
        .await;
    assert_eq!(states(&calls), ["awaiting_approval", "awaiting_approval", "running"]);
    let asked = desk.approvals().await;
    assert_eq!(asked.len(), 2);
    for row in &asked {
        assert_eq!((&row["approversNeeded"], &row["highRisk"]), (&json!(2), &json!(true)), "{row}");
        assert_eq!((&row["status"], row.get("ruleId")), (&json!("pending"), None));
    }
    // The first vote is not enough.
    assert_eq!(desk.decide(&asked[0], json!({})).await["status"], json!("pending"));
    assert_eq!(desk.begin("driver:runCall", &calls[0]).await.unwrap(), json!(false));
    let piece = json!({ "lease": desk.lease, "toolCallId": "d", "tool": "write_artifact", "text": "early" });
    let refused = desk.stage.refused(&Principal::System, "driver:draft", piece).await;
    assert_eq!((refused.code, &refused.data.unwrap()["call"]), (Code::Forbidden, &json!("d")));
    desk.stage.healthy().await;
}

#[tokio::test]
async fn ap_08_a_question_of_the_model_may_be_asked_about_before_it_is_asked() {
    let desk = Desk::new().await;
    desk.rule("ask_human", "ask").await;
    desk.rule("submit_plan", "ask").await;
    let calls = desk
        .submit(&[
            ("ask_human", json!({ "question": "Which?" }), run()),
            ("submit_plan", json!({ "title": "Plan", "content": "one" }), run()),
        ])
        .await;
    assert_eq!(states(&calls), ["awaiting_approval"; 2]);
    for asked in desk.approvals().await {
        desk.decide(&asked, json!({})).await;
    }
    for call in &calls {
        desk.begin("driver:runBuiltIn", call).await.unwrap();
    }
    let asked: Vec<Value> =
        desk.approvals().await.into_iter().filter(|row| row["status"] == json!("pending")).collect();
    assert_eq!(asked.len(), 2, "now what the calls themselves ask");
    let question = asked.iter().find(|row| row["kind"] == json!("question")).unwrap();
    desk.decide(question, json!({ "edited": "the red one" })).await;
    let plan = asked.iter().find(|row| row["kind"] == json!("plan")).unwrap();
    desk.decide(plan, json!({})).await;
    let settled = desk.stage.system("driver:settle", json!({ "lease": desk.lease, "park": false })).await;
    assert_eq!(states(settled["calls"].as_array().unwrap()), ["completed", "completed"]);
    assert_eq!(settled["calls"][0]["output"]["answer"], json!("the red one"));
    desk.stage.healthy().await;
}

#[tokio::test]
async fn ap_08_what_a_rule_decided_about_a_call_of_the_server_is_an_approval_with_the_rule() {
    let desk = Desk::new().await;
    let rules = [desk.rule("pay", "allow").await, desk.rule("wipe", "deny").await];
    desk.rule("tell", "ask").await;
    let calls = desk
        .submit(&[
            ("pay", json!({ "amount": 5 }), asks()),
            ("wipe", json!({}), run()),
            ("tell", json!({}), run()),
            ("look", json!({}), run()),
        ])
        .await;
    assert_eq!(states(&calls), ["pending", "denied", "awaiting_approval", "running"]);
    let rows = desk.approvals().await;
    let seen: Vec<_> = rows.iter().map(|row| (text(&row["toolCallId"]), text(&row["status"]))).collect();
    let row = |call: &str, status: &str| (call.to_owned(), status.to_owned());
    assert_eq!(seen, [row("c0 pay", "approved"), row("c1 wipe", "rejected"), row("c2 tell", "pending")]);
    for at in [0, 1] {
        assert_eq!((&rows[at]["ruleId"], &rows[at]["votes"]), (&rules[at], &json!([])));
        assert_eq!(rows[at]["resolvedBy"], json!(desk.stage.u1.user()));
        let id = json!({ "id": calls[at]["_id"] });
        let call = desk.stage.ok(&desk.stage.u1, "toolCalls:get", id).await;
        assert_eq!(call["approvalId"], rows[at]["_id"], "the call says which");
    }
    assert_eq!(rows[0]["input"], json!({ "amount": 5 }));
    assert_eq!(calls[1]["error"], rows[1]["reason"]);
    let told: Vec<_> = desk.log().await.into_iter().filter(|event| event["type"] == "approval").collect();
    let told: Vec<_> = told.iter().map(|event| (text(&event["toolCallId"]), text(&event["status"]))).collect();
    assert_eq!(told, seen, "the log says it once for each");
    let audit = desk.stage.ok(&desk.stage.u1, "audit:mine", json!({ "paginationOpts": page() })).await;
    let denied = |entry: &Value| entry["action"] == "tool.call" && entry["subject"] == calls[1]["_id"];
    assert!(audit["page"].as_array().unwrap().iter().any(denied));
    desk.stage.healthy().await;

    // What runs anyway needs no rule, and leaves no card in the conversation.
    desk.rule("*", "allow").await;
    let calls = desk.submit(&[("read", json!({}), run())]).await;
    assert_eq!((states(&calls), desk.approvals().await.len()), (vec!["running"], 3));
}

#[tokio::test]
async fn tc_08_a_call_does_not_begin_in_an_answer_that_nobody_wants_any_more() {
    for removed in [false, true] {
        let desk = Desk::new().await;
        let question = json!({ "question": "Which?" });
        desk.rule("ask_human", "ask").await;
        let calls = desk.submit(&[("pay", json!({}), asks()), ("ask_human", question, run())]).await;
        for asked in desk.approvals().await {
            desk.decide(&asked, json!({})).await;
        }
        if removed {
            desk.stage.ok(&desk.stage.u1, "threads:remove", json!({ "threadId": desk.turn.thread })).await;
        } else {
            desk.stage.ok(&desk.stage.u1, "generations:stop", json!({ "generationId": desk.turn.generation })).await;
        }
        for (function, call) in [("driver:runCall", &calls[0]), ("driver:runBuiltIn", &calls[1])] {
            let refused = desk.begin(function, call).await.unwrap_err();
            assert_eq!((refused.code, &refused.data.unwrap()["reason"]), (Code::Forbidden, &json!("stop_requested")));
        }
        let mut end = desk.lease.clone();
        end["status"] = json!("stopped");
        desk.stage.system("driver:finish", end).await;
        desk.stage.healthy().await;
    }
}

#[tokio::test]
async fn tc_03_an_answer_that_waited_does_not_go_on_in_a_role_that_was_taken_away() {
    let choice = |id: &str| RoleChoice { id: id.into(), name: id.to_uppercase() };
    let roles = Roles { known: ["investor", "broker"].map(choice).to_vec(), default: Some("investor".into()) };
    for kept in [true, false] {
        let stage = Stage::with(Settings { roles: roles.clone(), ..Settings::default() }).await;
        let give = |roles: Value| json!({ "userId": stage.u1.user(), "roles": roles });
        stage.system("users:setRoles", give(json!(["broker"]))).await;
        let after = give(if kept { json!(["investor", "broker"]) } else { json!(["investor"]) });
        let desk = Desk::on(stage).await;
        desk.submit(&[("close_deal", json!({}), asks())]).await;
        desk.park().await;
        desk.stage.system("users:setRoles", after).await;
        desk.decide(&desk.approvals().await[0], json!({})).await;
        let claim = desk.claim().await;
        if kept {
            assert_eq!(claim["effectiveRole"], json!("broker"));
            continue;
        }
        assert_eq!(claim, Value::Null);
        let message = desk.message().await;
        assert_eq!((&message["status"], &message["error"]["code"]), (&json!("error"), &json!("forbidden")));
        let args = json!({ "threadId": desk.turn.thread, "paginationOpts": page() });
        let calls = desk.stage.ok(&desk.stage.u1, "toolCalls:listByThread", args).await;
        assert_eq!(calls["page"][0]["state"], json!("cancelled"), "it never ran");
        desk.stage.healthy().await;
    }
}

#[tokio::test]
async fn tc_03_a_call_that_is_not_offered_any_more_ends_as_denied_and_is_in_the_audit() {
    let desk = Desk::new().await;
    let calls = desk.submit(&[("pay", json!({}), asks())]).await;
    desk.decide(&desk.approvals().await[0], json!({})).await;
    let end = json!({ "lease": desk.lease, "callId": calls[0]["_id"], "error": "Not any more.", "denied": true });
    let ended = desk.stage.system("driver:endCall", end).await;
    assert_eq!((&ended["calls"][0]["state"], &ended["calls"][0]["error"]), (&json!("denied"), &json!("Not any more.")));
    assert_eq!(desk.log().await.last().unwrap()["denied"], json!(true));
    let audit = desk.stage.ok(&desk.stage.u1, "audit:mine", json!({ "paginationOpts": page() })).await;
    let denied = |entry: &Value| entry["action"] == "tool.call" && entry["outcome"] == "denied";
    assert!(audit["page"].as_array().unwrap().iter().any(denied));
    desk.stage.healthy().await;
}

#[tokio::test]
async fn ap_04_a_new_turn_leaves_what_waits_for_a_decision_alone() {
    for how in ["refuse", "queue", "steer"] {
        let desk = Desk::new().await;
        desk.submit(&[("pay", json!({}), asks())]).await;
        desk.park().await;
        let send = json!({ "threadId": desk.turn.thread, "text": "and another thing", "ifBusy": how });
        let sent = desk.stage.call(&desk.stage.u1, "turns:send", send).await;
        match how {
            "refuse" => assert_eq!(sent.unwrap_err().code, Code::ThreadBusy),
            _ => assert_eq!(sent.unwrap()["queued"], json!(true), "{how}"),
        }
        let asked = desk.approvals().await;
        assert_eq!((asked.len(), &asked[0]["status"]), (1, &json!("pending")), "{how}");
        assert_eq!(desk.status().await, "awaiting_approval", "{how}");
        assert_eq!(desk.decide(&asked[0], json!({})).await["status"], json!("approved"), "{how}");
        let claim = desk.claim().await;
        assert_eq!(claim["resumed"]["calls"][0]["state"], json!("pending"), "{how}: and the call can run");
        desk.stage.healthy().await;
    }
}
