//! Calls of tools as rows: whoever makes the answer, each call leaves one, and one that is over never changes.

use serde_json::{Value, json};
use spool_chat::Principal;
use spool_protocol::{Code, Event};

use crate::approvals::{Asker, DAY, page};
use crate::stage::{OWNER, Stage, text};

async fn rows(stage: &Stage, thread: &str) -> Vec<Value> {
    let args = json!({ "threadId": thread, "paginationOpts": { "numItems": 100, "cursor": null } });
    let mut rows = stage.ok(&stage.u1, "toolCalls:listByThread", args).await["page"].as_array().unwrap().clone();
    rows.sort_by_key(|row| (row["createdAt"].as_u64(), text(&row["toolCallId"])));
    rows
}

fn shape(rows: &[Value]) -> Vec<Value> {
    rows.iter().map(|row| json!([row["toolCallId"], row["state"], row["errorCode"]])).collect()
}

fn start(id: &str) -> Value {
    json!({ "type": "tool_start", "toolCallId": id, "tool": "search", "input": { "q": id } })
}

fn end(id: &str, more: Value) -> Value {
    let mut event = json!({ "type": "tool_end", "toolCallId": id });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

/// An answer of a backend to the first user.
struct Outside {
    stage: Stage,
    runner: Principal,
    thread: String,
    opened: Value,
}

impl Outside {
    async fn new() -> Self {
        let stage = Stage::new().await;
        let runner = stage.service(&["*"]).await;
        let thread = stage.thread(&stage.u1).await;
        let open = json!({ "threadId": thread, "text": "look", "agentId": "claude" });
        let opened = stage.ok(&runner, "generations:open", open).await;
        Self { stage, runner, thread, opened }
    }

    async fn append(&self, events: Value) -> Value {
        let args = json!({ "generationId": self.opened["generationId"], "events": events });
        self.stage.ok(&self.runner, "generations:append", args).await
    }

    async fn rows(&self) -> Vec<Value> {
        rows(&self.stage, &self.thread).await
    }

    async fn finish(&self) -> Value {
        let args = json!({ "generationId": self.opened["generationId"], "status": "complete" });
        self.stage.ok(&self.runner, "generations:finish", args).await;
        self.stage.ok(&self.stage.u1, "messages:get", json!({ "messageId": self.opened["messageId"] })).await
    }
}

#[tokio::test]
async fn tc_02_three_calls_are_three_rows_and_what_is_over_never_changes() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &thread, "call something").await;
    let epoch = stage.start(&turn.generation).await;
    let lease = json!({ "generationId": turn.generation, "owner": OWNER, "epoch": epoch });
    let call =
        |id: &str, verdict: Value| json!({ "toolCallId": id, "tool": id, "input": { "of": id }, "verdict": verdict });
    let calls = [
        call("a", json!({ "type": "run" })),
        call("b", json!({ "type": "deny", "message": "not here" })),
        call("c", json!({ "type": "fail", "message": "no such tool", "code": "unknown_tool" })),
    ];
    let tool = |id: &str| Event::ToolStart { tool_call_id: id.into(), tool: id.into(), input: json!({ "of": id }) };
    let starts = ["a", "b", "c"].map(tool);
    let submit = json!({ "lease": lease, "events": starts, "calls": calls });
    let standing = stage.system("driver:submit", submit).await;
    let ids: Vec<String> = standing["calls"].as_array().unwrap().iter().map(|call| text(&call["_id"])).collect();
    stage.clock.advance_ms(250);
    let end = |id: &str, said: &str| json!({ "lease": lease, "callId": id, "output": said });
    stage.system("driver:endCall", end(&ids[0], "first")).await;
    let before = rows(&stage, &thread).await;
    let expected =
        [json!(["a", "completed", null]), json!(["b", "denied", "forbidden"]), json!(["c", "error", "unknown_tool"])];
    assert_eq!(shape(&before), expected);
    for row in &before {
        assert_eq!((&row["userId"], &row["generationId"]), (&json!(stage.u1.user()), &json!(turn.generation)));
        assert!(row["endedAt"].as_u64().unwrap() >= row["createdAt"].as_u64().unwrap());
    }
    for id in &ids {
        stage.clock.advance_ms(1_000);
        stage.system("driver:endCall", end(id, "second")).await;
        let failed = json!({ "lease": lease, "callId": id, "error": "late", "errorCode": "timed_out" });
        stage.system("driver:endCall", failed).await;
        assert_eq!(stage.system("driver:runCall", json!({ "lease": lease, "callId": id })).await, json!(false));
    }
    assert_eq!(rows(&stage, &thread).await, before);
    // TC-01: the message says how long they took, and goes on saying so.
    let mut finish = lease.clone();
    finish["status"] = json!("complete");
    stage.system("driver:finish", finish).await;
    let parts = stage.ok(&stage.u1, "messages:get", json!({ "messageId": turn.message })).await["parts"].clone();
    assert_eq!(parts[0]["endedAt"].as_u64().unwrap() - parts[0]["startedAt"].as_u64().unwrap(), 250);
    for (part, row) in parts.as_array().unwrap().iter().zip(&before) {
        assert_eq!((&part["startedAt"], &part["endedAt"]), (&row["startedAt"], &row["endedAt"]));
    }
    assert_eq!(rows(&stage, &thread).await, before);
    stage.healthy().await;
}

#[tokio::test]
async fn tc_02_calls_of_a_runner_outside_are_rows_too() {
    let outside = Outside::new().await;
    let stage = &outside.stage;
    outside.append(json!([start("a"), start("b"), { "type": "text", "text": "hm" }, start("c")])).await;
    assert_eq!(
        shape(&outside.rows().await),
        [json!(["a", "running", null]), json!(["b", "running", null]), json!(["c", "running", null])]
    );
    stage.clock.advance_ms(40);
    outside
        .append(json!([end("b", json!({ "error": "no", "denied": true })), end("a", json!({ "output": [1] }))]))
        .await;
    outside.append(json!([end("c", json!({ "error": "broken" }))])).await;
    let rows = outside.rows().await;
    let expected =
        [json!(["a", "completed", null]), json!(["b", "denied", "forbidden"]), json!(["c", "error", "failed"])];
    assert_eq!(shape(&rows), expected);
    for row in &rows {
        let seen = (&row["userId"], &row["agentId"], &row["generationId"], &row["step"]);
        let expected = (&json!(stage.u1.user()), &json!("claude"), &outside.opened["generationId"], &json!(0));
        assert_eq!(seen, expected);
        assert_eq!(row["endedAt"].as_u64().unwrap() - row["startedAt"].as_u64().unwrap(), 40);
    }
    assert_eq!(
        (&rows[0]["input"], &rows[0]["output"], &rows[2]["error"]),
        (&json!({ "q": "a" }), &json!([1]), &json!("broken"))
    );
    let runner = json!({ "generationId": outside.opened["generationId"] });
    assert_eq!(stage.ok(&stage.u1, "generations:get", runner).await["runner"], json!("external"));
    // A second end and a late one change nothing, and the runner is told.
    let again = outside.append(json!([end("a", json!({ "error": "late" })), end("zz", json!({ "output": 1 }))])).await;
    assert_eq!(again["unpaired"], json!(["a", "zz"]));
    assert_eq!(outside.rows().await, rows);
    let message = outside.finish().await;
    let took = |at: usize| {
        message["parts"][at]["endedAt"].as_u64().unwrap() - message["parts"][at]["startedAt"].as_u64().unwrap()
    };
    assert_eq!((took(0), took(1), took(3)), (40, 40, 40));
    assert_eq!(message["parts"][0]["output"], json!([1]));
    assert_eq!(outside.rows().await, rows);
    stage.healthy().await;
}

#[tokio::test]
async fn tc_02_a_worker_leaves_rows_and_what_still_ran_ends_with_the_answer() {
    let stage = Stage::new().await;
    let worker = stage.worker(&stage.u1, "w").await;
    let Principal::Worker { worker: id, .. } = &worker else { panic!("no worker") };
    let thread = text(&stage.ok(&stage.u1, "threads:create", json!({ "workerId": id })).await);
    let turn = stage.send(&stage.u1, &thread, "hello").await;
    let epoch = stage.ok(&worker, "workers:connect", json!({})).await["epoch"].clone();
    stage.ok(&worker, "workers:claim", json!({ "epoch": epoch })).await;
    let append = json!({ "generationId": turn.generation, "epoch": epoch, "events": [start("a")] });
    stage.ok(&worker, "generations:append", append).await;
    assert_eq!(shape(&rows(&stage, &thread).await), [json!(["a", "running", null])]);
    stage.ok(&stage.u1, "generations:stop", json!({ "generationId": turn.generation })).await;
    let finish = json!({ "generationId": turn.generation, "epoch": epoch, "status": "stopped" });
    stage.ok(&worker, "generations:finish", finish).await;
    assert_eq!(shape(&rows(&stage, &thread).await), [json!(["a", "cancelled", "cancelled"])]);
    stage.healthy().await;
}

#[tokio::test]
async fn tc_06_a_name_that_comes_again_is_another_call() {
    let outside = Outside::new().await;
    outside.append(json!([start("a"), end("a", json!({ "output": 1 })), start("a")])).await;
    outside.stage.clock.advance_ms(7);
    let ended = outside.append(json!([end("a", json!({ "output": 2 }))])).await;
    assert_eq!(ended.get("unpaired"), None);
    let mut outputs: Vec<u64> = outside.rows().await.iter().map(|row| row["output"].as_u64().unwrap()).collect();
    outputs.sort_unstable();
    assert_eq!(outputs, [1, 2]);
    let parts = outside.finish().await["parts"].clone();
    let took = |part: &Value| part["endedAt"].as_u64().unwrap() - part["startedAt"].as_u64().unwrap();
    assert_eq!((took(&parts[0]), took(&parts[1])), (0, 7));
    outside.stage.healthy().await;
}

#[tokio::test]
async fn tc_07_a_result_from_outside_is_bounded_in_its_row_and_can_be_read_whole() {
    let outside = Outside::new().await;
    let whole = "é".repeat(200_000);
    outside.append(json!([start("a"), end("a", json!({ "output": whole }))])).await;
    let row = &outside.rows().await[0];
    assert_eq!((&row["output"]["truncated"], &row["outputBytes"]), (&json!(true), &json!(400_000)));
    assert!(row["output"]["beginning"].as_str().unwrap().len() <= 64 << 10);
    let (mut read, mut cursor) = (String::new(), json!(0));
    loop {
        let piece = json!({ "id": row["_id"], "cursor": cursor });
        let piece = outside.stage.ok(&outside.stage.u1, "toolCalls:output", piece).await;
        read.push_str(piece["text"].as_str().unwrap());
        cursor = piece["cursor"].clone();
        if piece["done"] == json!(true) {
            break;
        }
    }
    assert_eq!(read, whole);
    assert_eq!(outside.finish().await["parts"][0]["output"], json!(whole));
    outside.stage.healthy().await;
}

#[tokio::test]
async fn tc_02_an_answer_outside_makes_a_bounded_number_of_calls() {
    let outside = Outside::new().await;
    for batch in 0..4 {
        let events: Vec<Value> = (0..500).map(|n| start(&format!("{batch}-{n}"))).collect();
        outside.append(json!(events)).await;
    }
    let one_more = json!({ "generationId": outside.opened["generationId"], "events": [start("more")] });
    assert_eq!(outside.stage.code(&outside.runner, "generations:append", one_more).await, Code::TooLarge);
    outside.finish().await;
    outside.stage.healthy().await;
}

#[tokio::test]
async fn ap_08_the_row_of_a_call_outside_follows_its_approval() {
    let asker = Asker::new().await;
    let stage = &asker.stage;
    let mut asked = Vec::new();
    for id in ["t1", "t2", "t3", "t4"] {
        asked.push(asker.ask(asker.call(id)).await);
    }
    let waiting = rows(stage, &asker.thread).await;
    for (row, asked) in waiting.iter().zip(&asked) {
        assert_eq!(
            (&row["state"], &row["approvalId"], &row["tool"]),
            (&json!("awaiting_approval"), &asked["_id"], &json!("pay"))
        );
        assert_eq!((row.get("startedAt"), &row["input"]), (None, &asked["input"]));
    }
    let edited = json!({ "approvalId": asked[0]["_id"], "decision": "approve", "edited": { "amount": 1 } });
    stage.ok(&stage.u1, "approvals:decide", edited).await;
    asker.decide(&asked[1], false).await.unwrap();
    let decided = rows(stage, &asker.thread).await;
    assert_eq!(shape(&decided[..2]), [json!(["t1", "running", null]), json!(["t2", "denied", "rejected"])]);
    assert_eq!((&decided[0]["input"], &decided[1]["error"]), (&json!({ "amount": 1 }), &json!("because")));
    stage.clock.advance_ms(DAY);
    stage.system("approvals:expire", json!({})).await;
    assert_eq!(
        shape(&rows(stage, &asker.thread).await[2..]),
        [json!(["t3", "cancelled", "expired"]), json!(["t4", "cancelled", "expired"])]
    );
    asker.ask(asker.call("t5")).await;
    asker.finish().await;
    let last = rows(stage, &asker.thread).await;
    assert_eq!(
        shape(&[last[0].clone(), last[4].clone()]),
        [json!(["t1", "cancelled", "cancelled"]), json!(["t5", "cancelled", "cancelled"])]
    );
    stage.healthy().await;
}

#[tokio::test]
async fn ap_05_a_hosted_call_that_nobody_decides_about_expires_and_the_next_runner_is_told() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &thread, "pay").await;
    let epoch = stage.start(&turn.generation).await;
    let lease = json!({ "generationId": turn.generation, "owner": OWNER, "epoch": epoch });
    let ask = json!({ "type": "ask", "approvers": 1, "always": false });
    let call = json!({ "toolCallId": "a", "tool": "pay", "input": {}, "verdict": ask });
    stage.system("driver:submit", json!({ "lease": lease, "events": [], "calls": [call] })).await;
    assert_eq!(stage.system("driver:settle", json!({ "lease": lease, "park": true })).await["parked"], json!(true));
    stage.clock.advance_ms(DAY);
    stage.system("approvals:expire", json!({})).await;
    assert_eq!(shape(&rows(&stage, &thread).await), [json!(["a", "cancelled", "expired"])]);
    let claim = stage.system("driver:claim", json!({ "generationId": turn.generation, "owner": OWNER })).await;
    assert_eq!(claim["resumed"]["calls"][0]["expired"], json!(true));
    let listed = json!({ "threadId": thread, "paginationOpts": page() });
    let approvals = stage.ok(&stage.u1, "approvals:listByThread", listed).await;
    assert_eq!(approvals["page"][0]["status"], json!("expired"));
    stage.healthy().await;
}

#[tokio::test]
async fn ap_05_a_question_without_an_answer_and_a_plan_that_is_rejected_end_their_calls_in_the_log() {
    let plan = json!({ "title": "Plan", "content": "one" });
    for (tool, input, decision) in
        [("ask_human", json!({ "question": "Which?" }), None), ("submit_plan", plan, Some("reject"))]
    {
        let stage = Stage::new().await;
        let thread = stage.thread(&stage.u1).await;
        let turn = stage.send(&stage.u1, &thread, "go").await;
        let epoch = stage.start(&turn.generation).await;
        let lease = json!({ "generationId": turn.generation, "owner": OWNER, "epoch": epoch });
        let start = json!({ "type": "tool_start", "toolCallId": "a", "tool": tool, "input": input });
        let call = json!({ "toolCallId": "a", "tool": tool, "input": input, "verdict": { "type": "run" } });
        let submit = json!({ "lease": lease, "events": [start], "calls": [call] });
        let standing = stage.system("driver:submit", submit).await;
        let one = json!({ "lease": lease, "callId": standing["calls"][0]["_id"] });
        let asked = stage.system("driver:runBuiltIn", one).await;
        stage.system("driver:settle", json!({ "lease": lease, "park": true })).await;
        let listed = json!({ "threadId": thread, "paginationOpts": page() });
        let approval = stage.ok(&stage.u1, "approvals:listByThread", listed).await["page"][0].clone();
        assert_eq!(approval["askedAtOffset"], asked["logEnd"], "where the reader of the log is asked");
        if let Some(decision) = decision {
            let decide = json!({ "approvalId": approval["_id"], "decision": decision });
            stage.ok(&stage.u1, "approvals:decide", decide).await;
        } else {
            stage.clock.advance_ms(DAY);
            stage.system("approvals:expire", json!({})).await;
        }
        let read = json!({ "generationId": turn.generation });
        let log = stage.ok(&stage.u1, "generations:deltas", read).await;
        let last = log["events"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["type"], &last["toolCallId"]), (&json!("tool_end"), &json!("a")), "{tool}");
        assert!(last["error"].is_string(), "{last}");
        stage.healthy().await;
    }
}
