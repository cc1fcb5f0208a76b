//! A runner that is lost behind every write of a turn: mutations are atomic, so these are all boundaries there are.
//! Whoever comes next plays the turn to its end from what the rows say; no effect happens twice without leave, no
//! decision is lost, and nothing is left behind.

use std::collections::HashMap;

use serde_json::{Value, json};
use spool_chat::Principal;
use spool_protocol::Event;

use crate::stage::{Stage, Turn, held, text, words};

/// The runner is gone.
struct Lost;

enum End {
    /// Only a person can go on.
    Parked,
    Over,
}

/// A turn that looks something up, pays when a person agrees, reads what the person says meanwhile, and speaks.
struct Play {
    stage: Stage,
    turn: Turn,
    /// Whether the payment is one however often the same call of it comes.
    idempotent: bool,
    /// Writes until the runner is lost, and what the last of them was.
    left: Option<usize>,
    lost_behind: Option<String>,
    lease: Value,
    runners: u32,
    /// How often each call had its effect.
    effects: HashMap<String, u32>,
    steered: bool,
}

impl Play {
    async fn new(idempotent: bool, left: usize) -> Self {
        let stage = Stage::new().await;
        let thread = stage.thread(&stage.u1).await;
        let turn = stage.send(&stage.u1, &thread, "pay").await;
        let (lease, effects) = (Value::Null, HashMap::new());
        let (left, lost_behind) = (Some(left), None);
        Self { stage, turn, idempotent, left, lost_behind, lease, runners: 0, effects, steered: false }
    }

    /// Something was stored, or happened outside. If it was the last that this runner did, it is lost.
    async fn passed(&mut self, what: &str) -> Result<(), Lost> {
        let Some(left) = &mut self.left else { return Ok(()) };
        *left -= 1;
        if *left > 0 {
            return Ok(());
        }
        self.left = None;
        self.lost_behind = Some(what.to_owned());
        self.stage.system("driver:expire", json!({ "owner": "the next", "onlyOwner": true })).await;
        self.stage.healthy().await;
        Err(Lost)
    }

    async fn write(&mut self, principal: &Principal, function: &str, args: Value) -> Result<Value, Lost> {
        let answer = self.stage.ok(principal, function, args).await;
        self.passed(function).await?;
        Ok(answer)
    }

    async fn tell(&mut self, function: &str, mut args: Value) -> Result<Value, Lost> {
        args["lease"] = self.lease.clone();
        self.write(&Principal::System, function, args).await
    }

    /// What a runner does, from wherever the turn is.
    async fn run(&mut self) -> Result<End, Lost> {
        self.runners += 1;
        let owner = format!("runner {}", self.runners);
        let args = json!({ "generationId": self.turn.generation, "owner": owner });
        let claim = self.stage.system("driver:claim", args).await;
        if claim.is_null() {
            let waits = self.generation().await["status"] == "awaiting_approval";
            return Ok(if waits { End::Parked } else { End::Over });
        }
        self.lease = held(&self.turn.generation, claim["epoch"].as_u64().unwrap());
        self.lease["owner"] = json!(owner);
        self.passed("driver:claim").await?;
        let mut standing = match claim.get("resumed") {
            Some(resumed) => json!({ "calls": resumed["calls"], "logEnd": resumed["logEnd"], "steering": true }),
            None => self.first_step().await?,
        };
        let mut found = claim["resumed"]["calls"].as_array().cloned().unwrap_or_default();
        while let Some(call) = standing["calls"].as_array().unwrap().iter().find(|call| is_open(call)).cloned() {
            // What was found running may have had its effect.
            let again = found.iter().any(|was| was["_id"] == call["_id"] && was["state"] == "running");
            found.retain(|was| was["_id"] != call["_id"]);
            standing = match call["state"].as_str().unwrap() {
                "awaiting_approval" => {
                    let settled = self.tell("driver:settle", json!({ "park": true })).await?;
                    if settled["parked"] == true {
                        return Ok(End::Parked);
                    }
                    settled
                }
                _ => self.carry_out(&call, again).await?,
            };
        }
        if standing["steering"] == true {
            standing = self.tell("driver:steer", json!({})).await?;
        }
        let end = standing["logEnd"].as_u64().unwrap();
        self.stage.append(&self.turn.generation, end, &[words("Paid.")]).await;
        self.passed("an append").await?;
        let mut finish = self.lease.clone();
        finish["status"] = json!("complete");
        self.write(&Principal::System, "driver:finish", finish).await?;
        Ok(End::Over)
    }

    async fn first_step(&mut self) -> Result<Value, Lost> {
        self.lease["logEnd"] = json!(0);
        let end = self.tell("driver:append", json!({ "events": [words("Let me look.")] })).await?;
        assert_eq!(end, json!(12));
        self.lease.as_object_mut().unwrap().remove("logEnd");
        let calls = [
            ("c1", "look", json!({ "type": "run" })),
            ("c2", "pay", json!({ "type": "ask", "approvers": 1, "always": false })),
        ];
        let start = |(id, tool, _): &(&str, &str, Value)| Event::ToolStart {
            tool_call_id: (*id).to_owned(),
            tool: (*tool).to_owned(),
            input: json!({}),
        };
        let events: Vec<Event> = calls.iter().map(start).collect();
        let call = |(id, tool, verdict): &(&str, &str, Value)| json!({ "toolCallId": id, "tool": tool, "input": {}, "verdict": verdict });
        let calls: Vec<Value> = calls.iter().map(call).collect();
        self.tell("driver:submit", json!({ "events": events, "calls": calls })).await
    }

    async fn carry_out(&mut self, call: &Value, again: bool) -> Result<Value, Lost> {
        let id = &call["_id"];
        if again && call["reads"] != true && !self.idempotent {
            return self.tell("driver:endCall", json!({ "callId": id, "error": "not known" })).await;
        }
        if call["state"] == "pending" {
            assert_eq!(self.tell("driver:runCall", json!({ "callId": id })).await?, json!(true));
        }
        *self.effects.entry(text(&call["tool"])).or_default() += 1;
        self.passed("an effect").await?;
        self.tell("driver:endCall", json!({ "callId": id, "output": "done" })).await
    }

    /// The person says something, and agrees.
    async fn answer_as_a_person(&mut self) -> Result<(), Lost> {
        let u1 = self.stage.u1.clone();
        if !std::mem::replace(&mut self.steered, true) {
            let args = json!({ "threadId": self.turn.thread, "text": "quickly", "ifBusy": "steer" });
            self.write(&u1, "turns:send", args).await?;
        }
        for asked in self.listed("approvals:listByThread").await {
            if asked["status"] == "pending" {
                let args = json!({ "approvalId": asked["_id"], "decision": "approve" });
                self.write(&u1, "approvals:decide", args).await?;
            }
        }
        Ok(())
    }

    async fn play(&mut self) {
        loop {
            match self.run().await {
                Ok(End::Over) => return,
                // Whether the runner was lost then or not, somebody looks again.
                Ok(End::Parked) => self.answer_as_a_person().await.unwrap_or(()),
                Err(Lost) => {}
            }
            assert!(self.runners < 10, "lost behind {:?}, it comes to no end", self.lost_behind);
        }
    }

    async fn generation(&self) -> Value {
        let args = json!({ "generationId": self.turn.generation });
        self.stage.ok(&self.stage.u1, "generations:get", args).await
    }

    async fn listed(&self, function: &str) -> Vec<Value> {
        let args = json!({ "threadId": self.turn.thread, "paginationOpts": { "numItems": 10, "cursor": null } });
        self.stage.ok(&self.stage.u1, function, args).await["page"].as_array().unwrap().clone()
    }

    async fn check(&self) {
        let (at, stage) = (self.lost_behind.as_deref(), &self.stage);
        let message = stage.ok(&stage.u1, "messages:get", json!({ "messageId": self.turn.message })).await;
        let paid = self.effects.get("pay").copied().unwrap_or_default();
        // Only behind what was shown of a step before its end a turn cannot go on.
        if matches!(at, Some("driver:append" | "an append")) {
            assert_eq!(message["status"], "interrupted", "lost behind {at:?}");
        } else {
            assert_eq!(
                (&message["status"], &message["text"]),
                (&json!("complete"), &json!("Let me look.Paid.")),
                "{at:?}"
            );
            let unknown = !self.idempotent && at == Some("driver:runCall");
            let twice = self.idempotent && at == Some("an effect");
            assert!(paid == 1 || (unknown && paid == 0) || (twice && paid == 2), "{at:?}: paid {paid} times");
        }
        let parts: Vec<(String, Value)> = message["parts"].as_array().unwrap().iter().map(shape).collect();
        if at != Some("driver:append") {
            // The first effect is that of the call that reads.
            let doubtful = !self.idempotent
                && (at == Some("driver:runCall") || (at == Some("an effect") && self.effects["look"] == 1));
            let pay = if doubtful { "error" } else { "completed" };
            let part = |kind: &str, state: Value| (kind.to_owned(), state);
            let expected = [
                part("text", Value::Null),
                part("tool_call", json!("completed")),
                part("tool_call", json!(pay)),
                part("approval", json!("approved")),
                part("steered", Value::Null),
                part("text", Value::Null),
            ];
            assert_eq!(parts, expected, "lost behind {at:?}");
            let statuses: Vec<Value> =
                self.listed("approvals:listByThread").await.iter().map(|asked| asked["status"].clone()).collect();
            assert_eq!(statuses, [json!("approved")], "lost behind {at:?}");
            let mut rows: Vec<(String, Value)> = self
                .listed("toolCalls:listByThread")
                .await
                .iter()
                .map(|row| (text(&row["tool"]), row["state"].clone()))
                .collect();
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            let row = |tool: &str, state: &str| (tool.to_owned(), json!(state));
            assert_eq!(rows, [row("look", "completed"), row("pay", pay)], "lost behind {at:?}");
        }
        assert_eq!(stage.system("driver:queue", json!({ "limit": 10 })).await, json!([]));
        assert_eq!(stage.system("driver:nextExpiry", json!({})).await, Value::Null);
        stage.healthy().await;
    }
}

fn is_open(call: &Value) -> bool {
    matches!(call["state"].as_str(), Some("pending" | "running" | "awaiting_approval"))
}

fn shape(part: &Value) -> (String, Value) {
    let state = part.get("state").or(part.get("status")).cloned().unwrap_or_default();
    (text(&part["type"]), state)
}

#[tokio::test]
async fn tc_08_a_runner_that_is_lost_behind_any_write_is_replaced_and_nothing_happens_twice() {
    for idempotent in [true, false] {
        let mut lost_behind = Vec::new();
        for writes in 1.. {
            let mut play = Play::new(idempotent, writes).await;
            play.play().await;
            play.check().await;
            match play.lost_behind {
                Some(what) => lost_behind.push(what),
                None => break,
            }
        }
        let every = [
            "driver:claim",
            "driver:append",
            "driver:submit",
            "an effect",
            "driver:endCall",
            "driver:settle",
            "turns:send",
            "approvals:decide",
            "driver:claim",
            "driver:runCall",
            "an effect",
            "driver:endCall",
            "driver:steer",
            "an append",
            "driver:finish",
        ];
        assert_eq!(lost_behind, every);
    }
}
