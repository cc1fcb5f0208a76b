//! The built-in tools, each in a transaction of its own, as the driver runs them.

use std::sync::Arc;

use serde_json::{Value, json};
use spool_chat::builtin::{self, Call, Done};
use spool_chat::roles::{RoleChoice, Roles};
use spool_chat::tables::{Approval, Generation, Thread};
use spool_chat::{CallContext, Principal, Settings};
use spool_protocol::{Code, Error};
use spool_store::{Id, Tx};

use crate::stage::{Stage, text};

/// An answer that the server makes, in a thread of the first user.
struct Agent {
    stage: Stage,
    thread: String,
    generation: String,
}

impl Agent {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let (stage, turn, _) = Stage::answering(settings).await;
        Self { stage, thread: turn.thread, generation: turn.generation }
    }

    /// What the tool did, as JSON: `{output, events}` or `{kind, question, options, plan, events}`.
    async fn run(&self, tool: &str, input: Value) -> Result<Value, Error> {
        let tool = builtin::all().iter().find(|builtin| builtin.name == tool).unwrap();
        let (thread, generation) = (self.thread.clone(), self.generation.clone());
        let settings = Arc::clone(&self.stage.settings);
        let run = move |tx: &mut Tx<'_>| {
            let thread = tx.get(&Id::<Thread>::parse(&thread)?)?.unwrap();
            let generation = tx.get(&Id::<Generation>::parse(&generation)?)?.unwrap();
            let call = Call { thread, generation, tool_call_id: "t1".into(), agent_id: None };
            let ctx = CallContext::new(Principal::System, Arc::clone(&settings));
            Ok(match (tool.run)(tx, &ctx, &call, input.clone())? {
                Done::Output { output, events } => json!({ "output": output, "events": events }),
                Done::Ask(ask) => json!({
                    "kind": ask.kind, "question": ask.question, "options": ask.options, "plan": ask.plan,
                    "events": ask.events,
                }),
            }
            .to_string())
        };
        let text = self.stage.store.mutate(Arc::new(run), None).await?.value.to_string();
        Ok(serde_json::from_str(&text).unwrap())
    }

    async fn ok(&self, tool: &str, input: Value) -> Value {
        self.run(tool, input).await.unwrap_or_else(|error| panic!("{tool}: {error}"))
    }

    async fn get(&self, artifact: &Value) -> Value {
        self.stage.ok(&self.stage.u1, "artifacts:get", json!({ "artifactId": artifact })).await
    }
}

#[tokio::test]
async fn ar_05_agent_and_user_see_each_others_edits() {
    let agent = Agent::new().await;
    let u1 = agent.stage.u1.clone();
    let made = agent.ok("write_artifact", json!({ "kind": "report", "title": "Report", "content": "one" })).await;
    let id = &made["output"]["artifactId"];
    assert_eq!(
        made["events"],
        json!([{
            "type": "artifact", "artifactId": id, "version": 1, "kind": "report", "title": "Report", "status": "draft",
        }])
    );
    let seen = agent.get(id).await;
    assert_eq!(
        (&seen["content"], &seen["author"], &seen["toolCallId"]),
        (&json!("one"), &json!("agent"), &json!("t1"))
    );
    assert_eq!(seen["generationId"], json!(agent.generation));
    let edit = json!({ "artifactId": id, "baseVersion": 1, "content": "one, as the user wants it" });
    agent.stage.ok(&u1, "artifacts:update", edit).await;

    let stale = json!({ "artifactId": id, "baseVersion": 1, "edits": [{ "old": "one", "new": "two" }] });
    assert_eq!(agent.run("edit_artifact", stale).await.unwrap_err().code, Code::HistoryConflict);
    let read = agent.ok("read_artifact", json!({ "artifactId": id })).await["output"].clone();
    assert_eq!(
        (&read["content"], &read["version"], &read["author"]),
        (&json!("one, as the user wants it"), &json!(2), &json!("user"))
    );
    let old = agent.ok("read_artifact", json!({ "artifactId": id, "version": 1 })).await;
    assert_eq!((&old["output"]["content"], &old["output"]["current"]), (&json!("one"), &json!(2)));
    let edit = json!({ "artifactId": id, "baseVersion": 2, "edits": [{ "old": "one", "new": "two" }] });
    let edited = agent.ok("edit_artifact", edit).await;
    assert_eq!((&edited["output"]["version"], &edited["events"][0]["version"]), (&json!(3), &json!(3)));
    assert_eq!(agent.get(id).await["content"], json!("two, as the user wants it"));
    let whole = agent.ok("edit_artifact", json!({ "artifactId": id, "baseVersion": 3, "content": "three" })).await;
    assert_eq!(whole["output"]["version"], json!(4));
    for wrong in [json!({}), json!({ "edits": [], "content": "x" })] {
        let mut input = json!({ "artifactId": id, "baseVersion": 4 });
        input.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(agent.run("edit_artifact", input).await.unwrap_err().code, Code::BadRequest);
    }
    let list = agent.ok("list_artifacts", json!({})).await["output"].clone();
    assert_eq!(
        (&list["artifacts"][0]["artifactId"], &list["artifacts"][0]["version"], &list["more"]),
        (id, &json!(4), &json!(false))
    );
    assert!(!list.to_string().contains("three"));
    agent.stage.healthy().await;
}

#[tokio::test]
async fn ia_05_a_tool_reaches_nothing_outside_its_thread() {
    let agent = Agent::new().await;
    let mut foreign = Vec::new();
    for owner in [&agent.stage.u1, &agent.stage.u2] {
        let thread = agent.stage.thread(owner).await;
        let args = json!({ "threadId": thread, "kind": "plan", "title": "Theirs", "content": "Theirs" });
        foreign.push(agent.stage.ok(owner, "artifacts:create", args).await["artifactId"].clone());
    }
    foreign.push(json!(format!("art_{}", "0".repeat(26))));
    for id in &foreign {
        for (tool, input) in [
            ("read_artifact", json!({ "artifactId": id })),
            ("edit_artifact", json!({ "artifactId": id, "baseVersion": 1, "content": "stolen" })),
        ] {
            let refused = agent.run(tool, input).await.unwrap_err();
            let expected = Error::new(Code::NotFound, "There is no such document in this conversation.");
            assert_eq!(refused, expected, "{tool}");
        }
    }
    let list = agent.ok("list_artifacts", json!({})).await;
    assert_eq!(list["output"]["artifacts"], json!([]));
}

#[tokio::test]
async fn ar_07_tools_keep_the_limits_of_size_and_storage() {
    let mut settings = Settings::default();
    settings.quotas.storage_bytes = Some(20 << 20);
    let agent = Agent::with(settings).await;
    let write = |bytes: usize| json!({ "kind": "code", "title": "Large", "content": "x".repeat(bytes) });
    assert_eq!(agent.run("write_artifact", write((16 << 20) + 1)).await.unwrap_err().code, Code::TooLarge);
    agent.ok("write_artifact", write(16 << 20)).await;
    assert_eq!(agent.run("write_artifact", write(5 << 20)).await.unwrap_err().code, Code::QuotaExceeded);
    agent.ok("write_artifact", write(4 << 20)).await;
    agent.stage.healthy().await;
}

#[tokio::test]
async fn ag_12_todos_are_a_versioned_list_of_the_thread_for_agent_and_user() {
    let agent = Agent::new().await;
    let (stage, u1) = (&agent.stage, &agent.stage.u1);
    let thread = json!({ "threadId": agent.thread });
    let empty = json!({ "threadId": agent.thread, "version": 0, "todos": [] });
    assert_eq!(stage.ok(u1, "todos:get", thread.clone()).await, empty);
    let todos = json!([{ "text": "read", "status": "completed" }, { "text": "write", "status": "in_progress" }]);
    let written = agent.ok("update_todos", json!({ "todos": todos })).await;
    assert_eq!(written, json!({ "output": { "version": 1 }, "events": [] }));
    let seen = stage.ok(u1, "todos:get", thread.clone()).await;
    assert_eq!((&seen["todos"], &seen["author"], &seen["version"]), (&todos, &json!("agent"), &json!(1)));
    let mine = json!([{ "text": "read again", "status": "pending" }]);
    let update = |base: u64| json!({ "threadId": agent.thread, "baseVersion": base, "todos": mine });
    let stale = stage.refused(u1, "todos:update", update(0)).await;
    assert_eq!((stale.code, &stale.data.unwrap()["current"]), (Code::HistoryConflict, &json!(1)));
    assert_eq!(stage.ok(u1, "todos:update", update(1)).await, json!({ "version": 2 }));
    let read = agent.ok("read_todos", json!({})).await["output"].clone();
    assert_eq!(read, json!({ "version": 2, "todos": mine }));
    let stale = json!({ "todos": todos, "baseVersion": 1 });
    assert_eq!(agent.run("update_todos", stale).await.unwrap_err().code, Code::HistoryConflict);
    for (bad, code) in [
        (json!([{ "text": " ", "status": "pending" }]), Code::BadRequest),
        (json!([{ "text": "x", "status": "later" }]), Code::BadRequest),
        (json!([{ "text": "x".repeat(2_001), "status": "pending" }]), Code::TooLarge),
        (json!(vec![json!({ "text": "x", "status": "pending" }); 201]), Code::TooLarge),
    ] {
        assert_eq!(agent.run("update_todos", json!({ "todos": bad })).await.unwrap_err().code, code);
    }
    assert_eq!(stage.code(&stage.u2, "todos:get", thread).await, Code::NotFound);
    stage.healthy().await;
}

#[tokio::test]
async fn ap_01_a_question_and_a_plan_wait_for_a_person() {
    let agent = Agent::new().await;
    let asked = agent.ok("ask_human", json!({ "question": "Which?", "options": ["a", "b"] })).await;
    assert_eq!(
        asked,
        json!({ "kind": "question", "question": "Which?", "options": ["a", "b"], "plan": null, "events": [] })
    );
    assert_eq!(agent.run("ask_human", json!({ "question": " " })).await.unwrap_err().code, Code::BadRequest);
    let plan = agent.ok("submit_plan", json!({ "title": "Plan", "content": "one" })).await;
    let id = &plan["plan"][0];
    assert_eq!((&plan["kind"], &plan["plan"][1]), (&json!("plan"), &json!(1)));
    assert_eq!(plan["events"][0]["artifactId"], *id);
    let seen = agent.get(id).await;
    assert_eq!((&seen["kind"], &seen["status"], &seen["content"]), (&json!("plan"), &json!("draft"), &json!("one")));
    let none = agent.stage.ok(&agent.stage.u1, "sessions:getByThread", json!({ "threadId": agent.thread })).await;
    assert_eq!(none, Value::Null, "an agent without phases");
    agent.stage.healthy().await;
}

/// The output of a call that asked, once it is decided.
async fn answered(stage: &Stage, approval: &Value) -> Value {
    let id = Id::<Approval>::parse(&text(&approval["_id"])).unwrap();
    let run = move |tx: &mut Tx<'_>| {
        let row = tx.get(&id)?.unwrap();
        Ok(builtin::answered(tx, &row)?.to_string())
    };
    serde_json::from_str(&stage.store.query(Arc::new(run)).await.unwrap().1).unwrap()
}

#[tokio::test]
async fn ap_03_the_answer_to_a_plan_is_exactly_what_was_approved() {
    let stage = Stage::new().await;
    let backend = stage.service(&["*"]).await;
    let thread = stage.thread(&stage.u1).await;
    let opened = stage.ok(&backend, "generations:open", json!({ "threadId": thread })).await;
    let mut outputs = Vec::new();
    for decision in [
        json!({ "decision": "approve" }),
        json!({ "decision": "approve", "edited": "two", "reason": "shorter" }),
        json!({ "decision": "reject", "reason": "no" }),
    ] {
        let plan = json!({ "threadId": thread, "kind": "plan", "title": "Plan", "content": "one" });
        let plan = stage.ok(&backend, "artifacts:create", plan).await;
        let ask = json!({ "generationId": opened["generationId"], "kind": "plan", "artifactId": plan["artifactId"] });
        let asked = stage.ok(&backend, "approvals:request", ask).await;
        let mut decide = json!({ "approvalId": asked["_id"] });
        decide.as_object_mut().unwrap().extend(decision.as_object().unwrap().clone());
        stage.ok(&stage.u1, "approvals:decide", decide).await;
        let mut output = answered(&stage, &asked).await;
        assert_eq!(output.as_object_mut().unwrap().remove("artifactId"), Some(plan["artifactId"].clone()));
        outputs.push(output);
    }
    assert_eq!(
        outputs,
        [
            json!({ "status": "approved", "version": 1, "edited": false, "content": "one" }),
            json!({ "status": "approved", "version": 2, "edited": true, "content": "two", "said": "shorter" }),
            json!({ "status": "rejected", "version": 1, "said": "no" }),
        ]
    );
    let ask = json!({ "generationId": opened["generationId"], "kind": "question", "question": "May I?" });
    let asked = stage.ok(&backend, "approvals:request", ask).await;
    let decide = json!({ "approvalId": asked["_id"], "decision": "approve", "reason": "go on" });
    stage.ok(&stage.u1, "approvals:decide", decide).await;
    assert_eq!(answered(&stage, &asked).await, json!({ "status": "approved", "answer": "yes", "said": "go on" }));
    let ask = json!({ "generationId": opened["generationId"], "kind": "question", "question": "Which?" });
    let asked = stage.ok(&backend, "approvals:request", ask).await;
    let decide = json!({ "approvalId": asked["_id"], "decision": "approve", "edited": "the red one" });
    stage.ok(&stage.u1, "approvals:decide", decide).await;
    assert_eq!(answered(&stage, &asked).await, json!({ "status": "approved", "answer": "the red one" }));
    stage.healthy().await;
}

#[tokio::test]
async fn ag_12_an_agent_remembers_for_the_user_and_forgets_by_id() {
    let agent = Agent::new().await;
    let kept = agent.ok("remember", json!({ "text": "has two dogs" })).await;
    assert_eq!(kept, json!({ "output": { "id": "m1" }, "events": [] }));
    assert_eq!(agent.ok("remember", json!({ "text": "has two dogs" })).await, kept);
    let memory = agent.stage.ok(&agent.stage.u1, "memory:get", json!({})).await;
    let entry = &memory["entries"][0];
    assert_eq!(
        (&entry["text"], &entry["source"], &memory["version"]),
        (&json!("has two dogs"), &json!("assistant"), &json!(1))
    );
    assert_eq!(agent.run("remember", json!({ "text": " " })).await.unwrap_err().code, Code::BadRequest);
    assert_eq!(agent.run("forget", json!({ "id": "m7" })).await.unwrap_err().code, Code::NotFound);
    agent.ok("forget", json!({ "id": "m1" })).await;
    assert_eq!(agent.stage.ok(&agent.stage.u1, "memory:get", json!({})).await["entries"], json!([]));
    assert_eq!(agent.stage.ok(&agent.stage.u2, "memory:get", json!({})).await["version"], json!(0));
}

#[tokio::test]
async fn ag_12_what_is_remembered_in_a_role_is_kept_for_that_role() {
    let known = vec![RoleChoice { id: "investor".into(), name: "Investor".into() }];
    let roles = Roles { known, default: Some("investor".into()) };
    let agent = Agent::with(Settings { roles, ..Settings::default() }).await;
    let (stage, u1) = (&agent.stage, &agent.stage.u1);
    agent.ok("remember", json!({ "text": "always call listLeads" })).await;
    let kept = stage.ok(u1, "memory:get", json!({})).await["entries"][0].clone();
    assert_eq!((&kept["role"], &kept["source"]), (&json!("investor"), &json!("assistant")));
    // What the user makes of it is the user's own word, and holds everywhere.
    let mine = |text: &str| json!({ "entries": [{ "id": "m1", "text": text }] });
    stage.ok(u1, "memory:update", mine("always call listLeads")).await;
    assert_eq!(stage.ok(u1, "memory:get", json!({})).await["entries"][0], kept, "nothing was changed");
    stage.ok(u1, "memory:update", mine("has two dogs")).await;
    let changed = stage.ok(u1, "memory:get", json!({})).await["entries"][0].clone();
    assert_eq!((changed.get("role"), &changed["source"]), (None, &json!("user")));
    stage.healthy().await;
}
