//! Runtime sessions and the phases of runs: AG-08, AG-09, AG-10, AP-07.

use serde_json::{Value, json};
use spool_chat::agents::{AgentChoice, Agents};
use spool_chat::{Principal, Settings};
use spool_protocol::Code;

use crate::stage::{OWNER, Stage, Turn, begin, held, text, turn_of};

/// A backend whose runs have phases, in a thread of the first user, with an answer that it makes.
struct Run {
    stage: Stage,
    backend: Principal,
    thread: String,
    generation: Value,
}

impl Run {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let backend = stage.service(&["*"]).await;
        let thread = stage.thread(&stage.u1).await;
        let opened = stage.ok(&backend, "generations:open", json!({ "threadId": thread, "text": "research" })).await;
        let run = Self { stage, backend, thread, generation: opened["generationId"].clone() };
        run.open(json!({ "phases": true, "externalId": "sdk-1", "mode": "local" })).await;
        run
    }

    fn named(&self, more: Value) -> Value {
        let mut args = json!({ "threadId": self.thread, "runtime": "claude-agent-sdk" });
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    }

    async fn open(&self, more: Value) -> Value {
        self.stage.ok(&self.backend, "sessions:open", self.named(more)).await
    }

    async fn update(&self, more: Value) -> Result<Value, spool_protocol::Error> {
        self.stage.call(&self.backend, "sessions:update", self.named(more)).await
    }

    async fn seen(&self) -> Value {
        self.stage.ok(&self.stage.u1, "sessions:getByThread", json!({ "threadId": self.thread })).await
    }

    async fn phase(&self) -> String {
        text(&self.seen().await["phase"])
    }

    async fn plan(&self, content: &str) -> Value {
        let plan = json!({ "threadId": self.thread, "kind": "plan", "title": "Plan", "content": content });
        self.stage.ok(&self.backend, "artifacts:create", plan).await["artifactId"].clone()
    }

    async fn ask(&self, plan: &Value) -> Value {
        let args = json!({ "generationId": self.generation, "kind": "plan", "artifactId": plan });
        self.stage.ok(&self.backend, "approvals:request", args).await
    }

    async fn decide(&self, asked: &Value, more: Value) -> Result<Value, spool_protocol::Error> {
        let mut args = json!({ "approvalId": asked["_id"] });
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.stage.call(&self.stage.u1, "approvals:decide", args).await
    }
}

#[tokio::test]
async fn ag_08_the_phase_follows_request_edit_and_end_of_a_plan() {
    let run = Run::new().await;
    assert_eq!(run.phase().await, "planning");
    let plan = run.plan("one").await;
    let asked = run.ask(&plan).await;
    let waits = run.seen().await;
    assert_eq!(
        (&waits["phase"], &waits["planArtifactId"], &waits["planVersion"]),
        (&json!("awaiting_approval"), &plan, &json!(1))
    );
    run.decide(&asked, json!({ "decision": "approve", "edited": "two" })).await.unwrap();
    let approved = run.seen().await;
    assert_eq!((&approved["phase"], &approved["planVersion"]), (&json!("executing"), &json!(2)), "exactly the edit");
    assert_eq!(run.update(json!({ "phase": "done" })).await.unwrap()["phase"], json!("done"));
    run.stage.healthy().await;
    let again = run.open(json!({})).await;
    assert_eq!((&again["phase"], &again["externalId"]), (&json!("planning"), &json!("sdk-1")), "resumed to plan anew");
    assert_eq!(again.get("planArtifactId"), None);
    assert_eq!(again["_id"], approved["_id"]);
    run.stage.healthy().await;
}

#[tokio::test]
async fn ap_06_a_rejected_plan_is_planned_again_with_the_reason() {
    let run = Run::new().await;
    let plan = run.plan("one").await;
    let asked = run.ask(&plan).await;
    run.decide(&asked, json!({ "decision": "reject", "reason": "too dear" })).await.unwrap();
    let seen = run.seen().await;
    assert_eq!((&seen["phase"], &seen["rejection"]), (&json!("planning"), &json!("too dear")));
    let other = run.plan("cheaper").await;
    run.ask(&other).await;
    let seen = run.seen().await;
    assert_eq!((&seen["phase"], seen.get("rejection")), (&json!("awaiting_approval"), None));
    run.stage.healthy().await;
}

#[tokio::test]
async fn ap_05_a_plan_that_nobody_decided_in_time_is_planned_again() {
    let run = Run::new().await;
    run.ask(&run.plan("one").await).await;
    run.stage.clock.advance_ms(24 * 3_600_000);
    run.stage.system("approvals:expire", json!({})).await;
    let seen = run.seen().await;
    assert_eq!((&seen["phase"], &seen["rejection"]), (&json!("planning"), &json!("Nobody decided in time.")));
    run.stage.healthy().await;
}

#[tokio::test]
async fn ap_07_a_plan_is_decided_only_while_the_run_waits_for_it() {
    let run = Run::new().await;
    let plan = run.plan("one").await;
    let asked = run.ask(&plan).await;
    run.update(json!({ "phase": "planning", "rejection": "changed my mind" })).await.unwrap();
    for decision in ["approve", "reject"] {
        let refused = run.decide(&asked, json!({ "decision": decision })).await.unwrap_err();
        assert_eq!((refused.code, &refused.data.unwrap()["phase"]), (Code::InvalidPhase, &json!("planning")));
    }
    let artifact = run.stage.ok(&run.stage.u1, "artifacts:get", json!({ "artifactId": plan })).await;
    assert_eq!(artifact["status"], json!("draft"), "a refused decision changes nothing");
    // Another plan takes its place, and the request for the first one is over.
    let other = run.plan("two").await;
    let second = run.ask(&other).await;
    let third = run.ask(&run.plan("three").await).await;
    assert_eq!(run.phase().await, "awaiting_approval");
    let status = |id: Value| {
        let stage = &run.stage;
        async move { stage.ok(&stage.u1, "approvals:get", json!({ "approvalId": id })).await["status"].clone() }
    };
    assert_eq!(status(second["_id"].clone()).await, json!("cancelled"));
    run.decide(&third, json!({ "decision": "approve" })).await.unwrap();
    assert_eq!(run.phase().await, "executing");
    run.stage.healthy().await;
}

#[tokio::test]
async fn ag_08_illegal_jumps_are_conflicts_with_the_phase() {
    let run = Run::new().await;
    let plan = run.plan("one").await;
    let refused = |from: &'static str, to: &'static str| {
        let run = &run;
        async move {
            let refused = run.update(json!({ "phase": to })).await.unwrap_err();
            assert_eq!((refused.code, &refused.data.unwrap()["phase"]), (Code::InvalidPhase, &json!(from)), "{to}");
            assert_eq!(run.phase().await, from);
        }
    };
    refused("planning", "executing").await;
    refused("planning", "done").await;
    assert_eq!(run.update(json!({ "phase": "awaiting_approval" })).await.unwrap_err().code, Code::BadRequest);
    run.update(json!({ "phase": "awaiting_approval", "planArtifactId": plan })).await.unwrap();
    refused("awaiting_approval", "done").await;
    // A backend that asks does not answer itself.
    let refusal = run.update(json!({ "phase": "executing" })).await.unwrap_err();
    assert_eq!((refusal.code, &refusal.data.unwrap()["reason"]), (Code::InvalidPhase, &json!("plan_not_approved")));
    let approve = json!({ "artifactId": plan, "baseVersion": 1, "status": "approved" });
    assert_eq!(run.stage.code(&run.backend, "artifacts:update", approve.clone()).await, Code::Forbidden);
    let refusal = run.update(json!({ "phase": "executing" })).await.unwrap_err();
    assert_eq!(refusal.data.unwrap()["reason"], json!("plan_not_approved"));
    run.stage.ok(&run.stage.u1, "artifacts:update", approve).await;
    assert_eq!(run.update(json!({ "phase": "executing" })).await.unwrap()["phase"], json!("executing"));
    refused("executing", "planning").await;
    refused("executing", "awaiting_approval").await;
    run.update(json!({ "phase": "done" })).await.unwrap();
    refused("done", "executing").await;
    run.update(json!({ "phase": "planning" })).await.unwrap();
    run.stage.healthy().await;
}

#[tokio::test]
async fn ag_09_a_session_is_remembered_resumed_and_marked_when_it_is_lost() {
    let run = Run::new().await;
    run.update(json!({ "status": "idle" })).await.unwrap();
    let resumed = run.open(json!({})).await;
    assert_eq!((&resumed["status"], &resumed["externalId"]), (&json!("active"), &json!("sdk-1")));
    let lost = run.named(json!({ "generationId": run.generation }));
    let lost = run.stage.ok(&run.backend, "sessions:markLost", lost).await;
    assert_eq!((&lost["status"], lost.get("externalId")), (&json!("lost"), None));
    assert_eq!(run.open(json!({})).await["status"], json!("lost"), "until there is another one");
    assert_eq!(run.update(json!({ "status": "idle" })).await.unwrap_err().code, Code::InvalidTransition);
    let log = json!({ "generationId": run.generation, "cursor": 0 });
    let log = run.stage.ok(&run.stage.u1, "generations:deltas", log).await;
    assert_eq!(
        (&log["events"][0]["type"], &log["events"][0]["kind"]),
        (&json!("activity"), &json!("context_replayed"))
    );
    let found = run.update(json!({ "externalId": "sdk-2" })).await.unwrap();
    assert_eq!(
        (&found["status"], &found["externalId"], &found["phase"]),
        (&json!("active"), &json!("sdk-2"), &json!("planning"))
    );

    let closed = run.stage.ok(&run.backend, "sessions:close", run.named(json!({}))).await;
    assert_eq!((&closed["status"], run.seen().await), (&json!("closed"), Value::Null));
    assert_eq!(run.update(json!({ "status": "active" })).await.unwrap_err().code, Code::NotFound);
    let other = run.open(json!({})).await;
    assert_ne!(other["_id"], closed["_id"]);
    assert_eq!(other.get("phase"), None, "phases are asked for");
    let gone = run.update(json!({ "status": "deleted_upstream" })).await.unwrap();
    assert_eq!((&gone["status"], run.seen().await), (&json!("deleted_upstream"), Value::Null));
    run.stage.healthy().await;
}

#[tokio::test]
async fn ag_09_each_runtime_has_its_session_and_the_server_has_its_own() {
    let run = Run::new().await;
    let other = json!({ "threadId": run.thread, "runtime": "opencode", "externalId": "ses_1" });
    run.stage.clock.advance_ms(5);
    run.stage.ok(&run.backend, "sessions:open", other).await;
    assert_eq!(run.seen().await["runtime"], json!("opencode"), "used last");
    let named = run.named(json!({}));
    let first = run.stage.ok(&run.stage.u1, "sessions:getByThread", named.clone()).await;
    assert_eq!(first["externalId"], json!("sdk-1"));
    let mut hosted = named.clone();
    hosted["runtime"] = json!("spool");
    assert_eq!(run.stage.code(&run.backend, "sessions:open", hosted.clone()).await, Code::BadRequest);
    assert_eq!(run.stage.code(&run.backend, "sessions:close", hosted).await, Code::NotFound);
    for path in ["sessions:open", "sessions:update", "sessions:close", "sessions:markLost"] {
        assert_eq!(run.stage.code(&run.stage.u1, path, named.clone()).await, Code::Forbidden, "{path}");
    }
    assert_eq!(run.stage.code(&run.stage.u2, "sessions:getByThread", named).await, Code::NotFound);
}

#[tokio::test]
async fn ag_10_a_mode_in_which_nobody_answers_is_refused_and_stores_nothing() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let send = |thread: &str, mode: &str| json!({ "threadId": thread, "text": "hello", "mode": mode });
    for mode in ["sandbox", "worker"] {
        let refused = stage.refused(&stage.u1, "turns:send", send(&thread, mode)).await;
        let data = refused.data.unwrap();
        assert_eq!(
            (refused.code, &data["mode"], &data["available"]),
            (Code::RunnerUnavailable, &json!(mode), &json!("hosted"))
        );
    }
    assert_eq!(stage.messages(&stage.u1, &thread).await, Vec::<Value>::new());
    stage.ok(&stage.u1, "turns:send", send(&thread, "hosted")).await;
    let (_, worker) = stage.pending_worker(&stage.u1, "w").await;
    stage.ok(&stage.u1, "workers:approve", json!({ "workerId": worker })).await;
    let theirs = text(&stage.ok(&stage.u1, "threads:create", json!({ "workerId": worker })).await);
    assert_eq!(stage.code(&stage.u1, "turns:send", send(&theirs, "hosted")).await, Code::RunnerUnavailable);
    let sent = stage.ok(&stage.u1, "turns:send", send(&theirs, "worker")).await;
    let generation = stage.ok(&stage.u1, "generations:get", json!({ "generationId": sent["generationId"] })).await;
    assert_eq!(generation["runner"], json!("worker"));
    stage.healthy().await;
}

/// A thread of the first user in which assistants of the server answer: one that plans first, and one that does not.
struct Room {
    stage: Stage,
    thread: String,
}

impl Room {
    async fn new() -> Self {
        let choice =
            |id: &str, phases| AgentChoice { id: id.into(), name: id.into(), phases, ..AgentChoice::default() };
        let agents = Agents { known: vec![choice("plain", false), choice("planner", true)] };
        let stage = Stage::with(Settings { agents, ..Settings::default() }).await;
        let thread = stage.thread(&stage.u1).await;
        Self { stage, thread }
    }

    async fn send(&self, agent: &str) -> Turn {
        let args = json!({ "threadId": self.thread, "text": "go on", "agent": agent });
        turn_of(&self.thread, &self.stage.ok(&self.stage.u1, "turns:send", args).await)
    }

    /// The driver begins the answer: its lease, and the phase that it is told.
    async fn start(&self, generation: &str) -> (Value, Value) {
        let claim = self.stage.system("driver:claim", json!({ "generationId": generation, "owner": OWNER })).await;
        let lease = held(generation, claim["epoch"].as_u64().unwrap());
        self.stage.system("driver:append", begin(lease.clone())).await;
        (lease, claim["phase"].clone())
    }

    /// The model submits a plan, and the person approves it.
    async fn approved(&self, lease: &Value) {
        assert_eq!(self.decided(lease, json!({ "decision": "approve" })).await, json!("approved"));
    }

    async fn decided(&self, lease: &Value, mut decide: Value) -> Value {
        let input = json!({ "title": "Plan", "content": "one" });
        let call = json!({ "toolCallId": "c1", "tool": "submit_plan", "input": input, "verdict": { "type": "run" } });
        let start = json!({ "type": "tool_start", "toolCallId": "c1", "tool": "submit_plan", "input": input });
        let step = json!({ "lease": lease, "events": [start], "calls": [call] });
        let standing = self.stage.system("driver:submit", step).await;
        let run = json!({ "lease": lease, "callId": standing["calls"][0]["_id"] });
        self.stage.system("driver:runBuiltIn", run).await;
        let page = json!({ "threadId": self.thread, "paginationOpts": { "numItems": 1, "cursor": null } });
        let asked = self.stage.ok(&self.stage.u1, "approvals:listByThread", page).await["page"][0].clone();
        decide["approvalId"] = asked["_id"].clone();
        self.stage.ok(&self.stage.u1, "approvals:decide", decide).await["status"].clone()
    }

    async fn end(&self, lease: &Value, status: &str) {
        let mut args = lease.clone();
        args["status"] = json!(status);
        self.stage.system("driver:finish", args).await;
        self.stage.healthy().await;
    }

    async fn session(&self) -> Value {
        self.stage.ok(&self.stage.u1, "sessions:getByThread", json!({ "threadId": self.thread })).await
    }
}

#[tokio::test]
async fn ag_08_a_run_that_is_done_is_nothing_to_others_who_show_a_plan_in_its_thread() {
    let room = Room::new().await;
    let (lease, phase) = room.start(&room.send("planner").await.generation).await;
    assert_eq!(phase, json!("planning"));
    room.approved(&lease).await;
    room.end(&lease, "complete").await;
    let done = room.session().await;
    assert_eq!(done["phase"], json!("done"));
    // An assistant without phases.
    let (lease, phase) = room.start(&room.send("plain").await.generation).await;
    assert_eq!(phase, Value::Null);
    room.approved(&lease).await;
    room.end(&lease, "complete").await;
    // A backend without phases.
    let (stage, u1) = (&room.stage, &room.stage.u1);
    let backend = stage.service(&["*"]).await;
    let opened = stage.ok(&backend, "generations:open", json!({ "threadId": room.thread })).await;
    let plan = json!({ "threadId": room.thread, "kind": "plan", "title": "Plan", "content": "one" });
    let plan = stage.ok(&backend, "artifacts:create", plan).await;
    let ask = json!({ "generationId": opened["generationId"], "kind": "plan", "artifactId": plan["artifactId"] });
    let asked = stage.ok(&backend, "approvals:request", ask).await;
    let decide = json!({ "approvalId": asked["_id"], "decision": "approve" });
    assert_eq!(stage.ok(u1, "approvals:decide", decide).await["status"], json!("approved"));
    assert_eq!(room.session().await, done, "it has not moved");
    stage.healthy().await;
}

#[tokio::test]
async fn ag_08_what_was_broken_off_is_retried_as_it_was_approved_and_planned_anew_with_the_next_message() {
    for status in ["stopped", "error", "interrupted"] {
        let room = Room::new().await;
        let turn = room.send("planner").await;
        let (lease, _) = room.start(&turn.generation).await;
        room.approved(&lease).await;
        room.end(&lease, status).await;
        assert_eq!(room.session().await["phase"], json!("executing"), "{status}");
        let again = json!({ "messageId": turn.message });
        let again = room.stage.ok(&room.stage.u1, "turns:retry", again).await;
        let (lease, phase) = room.start(&text(&again["generationId"])).await;
        assert_eq!(phase, json!("executing"), "another attempt carries out what was approved");
        room.end(&lease, status).await;
        // Another assistant does not end the run.
        let (lease, _) = room.start(&room.send("plain").await.generation).await;
        room.end(&lease, "complete").await;
        assert_eq!(room.session().await["phase"], json!("executing"));
        let (lease, phase) = room.start(&room.send("planner").await.generation).await;
        let session = room.session().await;
        assert_eq!((phase, session.get("planArtifactId")), (json!("planning"), None), "nobody approved a plan for it");
        room.end(&lease, "complete").await;
    }
}

#[tokio::test]
async fn ap_06_the_next_answer_is_told_why_the_plan_was_rejected() {
    let room = Room::new().await;
    let (lease, _) = room.start(&room.send("planner").await.generation).await;
    let status = room.decided(&lease, json!({ "decision": "reject", "reason": "too dear" })).await;
    assert_eq!(status, json!("rejected"));
    room.end(&lease, "complete").await;
    let claim = json!({ "generationId": room.send("planner").await.generation, "owner": OWNER });
    let claim = room.stage.system("driver:claim", claim).await;
    let told = &claim["history"][1]["segments"][0]["calls"][0];
    assert_eq!(
        (&told["tool"], &told["error"]),
        (&json!("submit_plan"), &json!("The user rejected this. The reason: too dear"))
    );
}
