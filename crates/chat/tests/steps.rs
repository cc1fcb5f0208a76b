//! Answers that go by steps: what a model is told of its calls, of decisions and of what was said meanwhile, whoever
//! goes on with the answer.

use serde_json::{Value, json};
use spool_chat::Principal;
use spool_protocol::{Code, Event};

use crate::stage::{OWNER, Stage, Turn, begin, held, text, words};

/// An answer that a driver has claimed, in a thread of the first user.
struct Answer {
    stage: Stage,
    turn: Turn,
    lease: Value,
}

impl Answer {
    async fn claimed(said: &str) -> Self {
        let stage = Stage::new().await;
        let thread = stage.thread(&stage.u1).await;
        let turn = stage.send(&stage.u1, &thread, said).await;
        let mut answer = Self { stage, turn, lease: Value::Null };
        answer.claim().await;
        answer
    }

    async fn claim(&mut self) -> Value {
        let args = json!({ "generationId": self.turn.generation, "owner": OWNER });
        let claim = self.stage.system("driver:claim", args).await;
        self.lease = held(&self.turn.generation, claim["epoch"].as_u64().unwrap());
        claim
    }

    /// The driver is gone, and another one claims the answer.
    async fn lose(&mut self) -> Value {
        self.stage.system("driver:expire", json!({ "owner": "another", "onlyOwner": true })).await;
        self.claim().await
    }

    async fn tell(&self, function: &str, mut args: Value) -> Value {
        args["lease"] = self.lease.clone();
        self.stage.system(function, args).await
    }

    /// A step that ends with these calls: each with its id, its arguments, and whether a person is asked.
    async fn submit(&self, calls: &[(&str, Value, bool)]) -> Value {
        let call = |(id, input, asks): &(&str, Value, bool)| {
            let verdict = if *asks {
                json!({ "type": "ask", "approvers": 1, "always": false })
            } else {
                json!({ "type": "run" })
            };
            json!({ "toolCallId": id, "tool": "pay", "input": input, "verdict": verdict })
        };
        let start = |(id, input, _): &(&str, Value, bool)| Event::ToolStart {
            tool_call_id: (*id).to_owned(),
            tool: "pay".into(),
            input: input.clone(),
        };
        let events: Vec<Event> = calls.iter().map(start).collect();
        let calls: Vec<Value> = calls.iter().map(call).collect();
        let usage = json!({ "inputTokens": 30, "outputTokens": 12 });
        self.tell("driver:submit", json!({ "events": events, "calls": calls, "usage": usage })).await
    }

    async fn end_call(&self, call: &Value) -> Value {
        self.tell("driver:endCall", json!({ "callId": call["_id"], "output": "done" })).await
    }

    async fn park(&self) {
        assert_eq!(self.tell("driver:settle", json!({ "park": true })).await["parked"], json!(true));
    }

    async fn decide(&self, mut decision: Value) {
        let all = json!({ "threadId": self.turn.thread, "paginationOpts": { "numItems": 10, "cursor": null } });
        let asked = self.stage.ok(&self.stage.u1, "approvals:listByThread", all).await;
        decision["approvalId"] = asked["page"].as_array().unwrap().last().unwrap()["_id"].clone();
        self.stage.ok(&self.stage.u1, "approvals:decide", decision).await;
    }

    async fn steer(&self, said: &str) -> Value {
        let args = json!({ "threadId": self.turn.thread, "text": said, "ifBusy": "steer" });
        self.stage.ok(&self.stage.u1, "turns:send", args).await;
        self.tell("driver:steer", json!({})).await
    }

    async fn finish(&self, status: &str) {
        let mut args = self.lease.clone();
        args["status"] = json!(status);
        self.stage.system("driver:finish", args).await;
    }

    /// The last step of the answer, without calls.
    async fn finish_with(&self, said: &str) {
        let mut args = begin(self.lease.clone());
        args["events"] = json!([words(said)]);
        self.stage.system("driver:append", args).await;
        self.finish("complete").await;
    }

    async fn message(&self) -> Value {
        self.stage.ok(&self.stage.u1, "messages:get", json!({ "messageId": self.turn.message })).await
    }

    async fn rows(&self) -> Vec<Value> {
        let all = json!({ "threadId": self.turn.thread, "paginationOpts": { "numItems": 10, "cursor": null } });
        let rows = self.stage.ok(&self.stage.u1, "toolCalls:listByThread", all).await;
        rows["page"].as_array().unwrap().clone()
    }

    /// What the model is told of the conversation before the next answer.
    async fn next_history(&mut self) -> Vec<Value> {
        let next = self.stage.send(&self.stage.u1, &self.turn.thread, "next").await;
        let args = json!({ "generationId": next.generation, "owner": OWNER });
        self.stage.system("driver:claim", args).await["history"].as_array().unwrap().clone()
    }
}

fn said(history: &[Value]) -> Vec<String> {
    history.iter().map(|message| text(&message["text"])).collect()
}

#[tokio::test]
async fn ap_04_a_name_that_a_model_uses_again_is_asked_about_again() {
    let mut answer = Answer::claimed("pay").await;
    for step in 0..2 {
        answer.submit(&[("call_0", json!({ "step": step }), true)]).await;
        answer.park().await;
        let all = json!({ "threadId": answer.turn.thread, "paginationOpts": { "numItems": 10, "cursor": null } });
        let asked = answer.stage.ok(&answer.stage.u1, "approvals:listByThread", all).await["page"][0].clone();
        assert_eq!((&asked["status"], &asked["input"]), (&json!("pending"), &json!({ "step": step })));
        let decide = json!({ "approvalId": asked["_id"], "decision": "reject" });
        answer.stage.ok(&answer.stage.u1, "approvals:decide", decide).await;
        answer.claim().await;
    }
    answer.finish_with("Then not.").await;
    answer.stage.healthy().await;
}

#[tokio::test]
async fn ap_06_a_call_that_was_rejected_without_a_word_is_told_as_rejected() {
    let mut answer = Answer::claimed("pay").await;
    answer.submit(&[("c1", json!({}), true)]).await;
    answer.park().await;
    answer.decide(json!({ "decision": "reject" })).await;
    let claim = answer.claim().await;
    assert_eq!(claim["resumed"]["calls"][0]["error"], "The user rejected this.");
    answer.submit(&[("c2", json!({}), false)]).await;
    let claim = answer.lose().await;
    let calls = |segment: &Value| segment["calls"].clone();
    assert_eq!(calls(&claim["resumed"]["soFar"][0])[0]["error"], "The user rejected this.");
    answer.end_call(&claim["resumed"]["calls"][0]).await;
    answer.finish("complete").await;
    let history = answer.next_history().await;
    assert_eq!(calls(&history[1]["segments"][0])[0]["error"], "The user rejected this.");
    assert_eq!(calls(&history[1]["segments"][1])[0]["output"], "done");
    answer.stage.healthy().await;
}

#[tokio::test]
async fn ap_03_what_a_person_made_of_a_call_is_what_everybody_is_told() {
    let mut answer = Answer::claimed("pay").await;
    answer.submit(&[("c1", json!({ "amount": 500 }), true)]).await;
    answer.park().await;
    answer.decide(json!({ "decision": "approve", "edited": { "amount": 50 } })).await;
    let fifty = json!({ "amount": 50 });
    let claim = answer.claim().await;
    assert_eq!(claim["resumed"]["calls"][0]["input"], fifty);
    assert_eq!(claim["resumed"]["soFar"][0]["calls"][0]["input"], fifty);
    answer.tell("driver:runCall", json!({ "callId": claim["resumed"]["calls"][0]["_id"] })).await;
    answer.end_call(&claim["resumed"]["calls"][0]).await;
    answer.finish("complete").await;
    assert_eq!(answer.message().await["parts"][0]["input"], fifty);
    assert_eq!(answer.rows().await[0]["input"], fifty);
    assert_eq!(answer.next_history().await[1]["segments"][0]["calls"][0]["input"], fifty);
    answer.stage.healthy().await;
}

#[tokio::test]
async fn ms_06_what_was_said_to_an_answer_that_failed_is_told_to_the_next_one() {
    let mut answer = Answer::claimed("pay").await;
    let standing = answer.submit(&[("c1", json!({}), false)]).await;
    answer.end_call(&standing["calls"][0]).await;
    assert_eq!(answer.steer("in francs").await["texts"], json!(["in francs"]));
    answer.finish("error").await;
    assert_eq!(said(&answer.next_history().await), ["pay", "in francs", "next"]);
}

#[tokio::test]
async fn ms_06_a_retry_is_given_what_was_said_to_the_attempt_before_and_a_complete_answer_keeps_it() {
    let mut answer = Answer::claimed("pay").await;
    let standing = answer.submit(&[("c1", json!({}), false)]).await;
    answer.end_call(&standing["calls"][0]).await;
    answer.steer("in francs").await;
    answer.finish("error").await;
    let retried = answer.stage.ok(&answer.stage.u1, "turns:retry", json!({ "messageId": answer.turn.message })).await;
    answer.turn.generation = text(&retried["generationId"]);
    let claim = answer.claim().await;
    assert_eq!(said(claim["history"].as_array().unwrap()), ["pay", "in francs"]);
    let standing = answer.submit(&[("c1", json!({}), false)]).await;
    answer.end_call(&standing["calls"][0]).await;
    answer.steer("and quickly").await;
    let claim = answer.lose().await;
    assert_eq!(said(claim["history"].as_array().unwrap()), ["pay", "in francs"], "what it read itself is in its log");
    assert_eq!(claim["resumed"]["soFar"][0]["steered"], "and quickly");
    answer.finish_with("Paid.").await;
    let history = answer.next_history().await;
    assert_eq!(said(&history), ["pay", "Paid.", "in francs", "next"]);
    assert_eq!(history[1]["segments"][0]["steered"], "and quickly");
    answer.stage.healthy().await;
}

#[tokio::test]
async fn op_11_tokens_of_an_answer_that_others_ended_are_counted() {
    let answer = Answer::claimed("pay").await;
    let standing = answer.submit(&[("c1", json!({}), false)]).await;
    let end = answer.end_call(&standing["calls"][0]).await["logEnd"].as_u64().unwrap();
    answer.stage.append(&answer.turn.generation, end, &[words("half an ans")]).await;
    answer.stage.system("driver:expire", json!({ "owner": "another", "onlyOwner": true })).await;
    let message = answer.message().await;
    assert_eq!((&message["status"], &message["usage"]["inputTokens"]), (&json!("interrupted"), &json!(30)));
    let used = answer.stage.ok(&answer.stage.u1, "usage:me", json!({})).await;
    assert_eq!(used["tokens"]["used"], json!(42));
    answer.stage.healthy().await;
}

#[tokio::test]
async fn st_11_a_runner_that_begins_where_another_wrote_meanwhile_changes_nothing() {
    let mut answer = Answer::claimed("pay").await;
    let standing = answer.submit(&[("c1", json!({}), false)]).await;
    let end = answer.end_call(&standing["calls"][0]).await["logEnd"].as_u64().unwrap();
    let claim = answer.lose().await;
    assert_eq!(claim["resumed"]["logEnd"], json!(end));
    // The lost runner had one more append on its way.
    answer.stage.append(&answer.turn.generation, end, &[words("late")]).await;
    let mut lease = answer.lease.clone();
    lease["logEnd"] = json!(end);
    let mut first = begin(lease);
    first["events"] = json!([words("early")]);
    let refused = answer.stage.refused(&Principal::System, "driver:append", first).await;
    assert_eq!((refused.code, &refused.data.unwrap()["end"]), (Code::OffsetMismatch, &json!(end + 4)));
    answer.stage.system("driver:expire", json!({ "owner": "another", "onlyOwner": true })).await;
    assert_eq!(answer.message().await["status"], "interrupted");
    answer.stage.healthy().await;
}

#[tokio::test]
async fn ap_04_a_decision_that_a_lost_runner_did_not_tell_is_told_by_the_next() {
    let mut answer = Answer::claimed("pay").await;
    let standing = answer.submit(&[("c1", json!({}), true)]).await;
    answer.decide(json!({ "decision": "approve" })).await;
    let claim = answer.lose().await;
    let before = standing["logEnd"].as_u64().unwrap();
    assert_eq!(claim["resumed"]["logEnd"], json!(before + 1), "the decision is in the log");
    let call = &claim["resumed"]["calls"][0];
    assert_eq!(call["state"], "pending");
    // A runner that is lost before it does anything has told it all the same.
    let claim = answer.lose().await;
    assert_eq!(claim["resumed"]["logEnd"], json!(before + 1), "and only once");
    answer.tell("driver:runCall", json!({ "callId": call["_id"] })).await;
    answer.end_call(call).await;
    answer.submit(&[("c2", json!({}), false)]).await;
    answer.finish("complete").await;
    let parts = answer.message().await["parts"].clone();
    assert_eq!((&parts[0]["state"], &parts[1]["status"]), (&json!("completed"), &json!("approved")));
    answer.stage.healthy().await;
}

#[tokio::test]
async fn an_answer_whose_runners_are_lost_before_they_begin_ends() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &thread, "hello").await;
    let claim = json!({ "generationId": turn.generation, "owner": OWNER });
    let mut runners = 0;
    while !stage.system("driver:claim", claim.clone()).await.is_null() {
        runners += 1;
        assert!(runners < 20, "it is taken again for ever");
        stage.system("driver:expire", json!({ "owner": "another", "onlyOwner": true })).await;
    }
    assert_eq!(runners, 6);
    let message = stage.ok(&stage.u1, "messages:get", json!({ "messageId": turn.message })).await;
    assert_eq!(message["status"], "interrupted");
    stage.healthy().await;
}

#[tokio::test]
async fn ms_06_a_driver_hears_of_what_was_said_when_all_calls_are_over() {
    let answer = Answer::claimed("pay").await;
    let standing = answer.submit(&[("c1", json!({}), false), ("c2", json!({}), false)]).await;
    let args = json!({ "threadId": answer.turn.thread, "text": "in francs", "ifBusy": "steer" });
    answer.stage.ok(&answer.stage.u1, "turns:send", args).await;
    assert_eq!(answer.end_call(&standing["calls"][0]).await["steering"], json!(false));
    assert_eq!(answer.end_call(&standing["calls"][1]).await["steering"], json!(true));
}

#[tokio::test]
async fn ag_13_the_prompt_that_is_shown_is_the_newest_that_was_sent() {
    let answer = Answer::claimed("hello").await;
    let told = |model: &str, messages: u32, base: &str| json!({ "model": model, "sections": [{ "label": "base", "text": base }], "tools": [], "messages": messages });
    let shown = || async {
        let args = json!({ "generationId": answer.turn.generation });
        answer.stage.ok(&answer.stage.u1, "debug:prompt", args).await
    };
    let mut lease = answer.lease.clone();
    lease["told"] = told("fallback", 7, "Be kind.");
    let mut first = begin(lease);
    first["events"] = json!([words("Hi")]);
    answer.stage.system("driver:append", first).await;
    assert_eq!((&shown().await["model"], &shown().await["messages"]), (&json!("fallback"), &json!(7)));
    let mut finish = answer.lease.clone();
    finish["status"] = json!("complete");
    finish["told"] = told("first", 9, "Something else.");
    answer.stage.system("driver:finish", finish).await;
    let now = shown().await;
    assert_eq!((&now["model"], &now["messages"]), (&json!("first"), &json!(9)));
    assert_eq!(now["sections"][0]["text"], "Be kind.", "the answer goes on with the sections that it began with");
}
