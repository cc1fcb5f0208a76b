//! Rules that people remember: what they decide without a look, and what they never decide.

use serde_json::{Value, json};
use spool_chat::{ApprovalPolicy, Settings};
use spool_protocol::Code;

use crate::approvals::{Asker, page};

fn remember(approval: &Value, decision: &str, scope: &str) -> Value {
    json!({ "approvalId": approval["_id"], "decision": decision, "remember": { "scope": scope } })
}

#[tokio::test]
async fn ap_08_a_remembered_tool_is_approved_at_once_until_the_rule_is_taken_back() {
    let asker = Asker::new().await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    let asked = asker.ask(asker.call("t1")).await;
    stage.ok(u1, "approvals:decide", remember(&asked, "approve", "tool")).await;
    let rules = stage.ok(u1, "rules:list", json!({})).await;
    let rule = &rules[0];
    assert_eq!(
        (&rule["tool"], &rule["effect"], &rule["arguments"], &rule["createdFrom"], &rule["uses"]),
        (&json!("pay"), &json!("allow"), &json!([]), &asked["_id"], &json!(0))
    );
    let ruled = asker.ask(asker.call("t2")).await;
    assert_eq!((&ruled["status"], &ruled["ruleId"], &ruled["votes"]), (&json!("approved"), &rule["_id"], &json!([])));
    assert_eq!(asker.ask(asker.call("t2")).await, ruled, "asking again uses no rule again");
    assert_eq!(stage.ok(u1, "rules:list", json!({})).await[0]["uses"], json!(1));
    let last = asker.log().await.last().unwrap().clone();
    assert_eq!((&last["toolCallId"], &last["status"]), (&json!("t2"), &json!("approved")));
    // Nobody else's threads, and nobody else's rules.
    let other = stage.thread(&stage.u2).await;
    let opened = stage.ok(&asker.service, "generations:open", json!({ "threadId": other })).await;
    let mut call = asker.call("t1");
    call["generationId"] = opened["generationId"].clone();
    assert_eq!(asker.ask(call).await["status"], json!("pending"));
    let one = json!({ "ruleId": rule["_id"] });
    assert_eq!(stage.code(&stage.u2, "rules:remove", one.clone()).await, Code::NotFound);
    stage.ok(u1, "rules:remove", one).await;
    assert_eq!(asker.ask(asker.call("t3")).await["status"], json!("pending"));
    stage.healthy().await;
}

#[tokio::test]
async fn ap_08_remembered_arguments_are_exactly_those_and_a_refusal_wins() {
    let asker = Asker::new().await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    let asked = asker.ask(asker.call("t1")).await;
    let mut edited = remember(&asked, "approve", "arguments");
    edited["edited"] = json!({ "amount": 1 });
    assert_eq!(stage.code(u1, "approvals:decide", edited).await, Code::BadRequest);
    stage.ok(u1, "approvals:decide", remember(&asked, "approve", "arguments")).await;
    assert_eq!(asker.ask(asker.call("t2")).await["status"], json!("approved"));
    let mut other = asker.call("t3");
    other["input"]["amount"] = json!(6);
    let other = asker.ask(other).await;
    assert_eq!(other["status"], json!("pending"));
    stage.ok(u1, "approvals:decide", remember(&other, "reject", "tool")).await;
    let refused = asker.ask(asker.call("t4")).await;
    assert_eq!(refused["status"], json!("rejected"), "deny wins over allow");
    assert!(refused["reason"].as_str().unwrap().contains("rule"));
    let ask = json!({ "tool": "p*", "effect": "ask", "arguments": [{ "path": "/amount", "equals": 7 }] });
    stage.ok(u1, "rules:create", ask.clone()).await;
    stage.ok(u1, "rules:create", ask).await;
    let rules = stage.ok(u1, "rules:list", json!({})).await;
    assert_eq!(rules.as_array().unwrap().len(), 3, "the same rule is there once");
    stage.healthy().await;
}

#[tokio::test]
async fn ap_08_what_is_of_high_risk_is_asked_about_every_time() {
    let approvals = ApprovalPolicy { high_risk: vec!["pay".into()], ..ApprovalPolicy::default() };
    let asker = Asker::with(Settings { approvals, ..Settings::default() }).await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    stage.ok(u1, "rules:create", json!({ "tool": "*", "effect": "allow" })).await;
    let asked = asker.ask(asker.call("t1")).await;
    assert_eq!((&asked["status"], &asked["highRisk"]), (&json!("pending"), &json!(true)));
    assert_eq!(stage.code(u1, "approvals:decide", remember(&asked, "approve", "tool")).await, Code::BadRequest);
    assert_eq!(stage.ok(u1, "rules:list", json!({})).await[0]["uses"], json!(0));
    let mut several = asker.call("t2");
    several["tool"] = json!("look");
    several["approversNeeded"] = json!(2);
    assert_eq!(asker.ask(several).await["status"], json!("pending"), "several people decide");
    let mut plain = asker.call("t3");
    plain["tool"] = json!("look");
    assert_eq!(asker.ask(plain).await["status"], json!("approved"));
    // Refusing for good is always possible.
    stage.ok(u1, "approvals:decide", remember(&asked, "reject", "tool")).await;
    assert_eq!(asker.ask(asker.call("t4")).await["status"], json!("rejected"));
    stage.healthy().await;
}

#[tokio::test]
async fn ap_02_a_backend_makes_no_rules_and_bad_ones_are_named() {
    let asker = Asker::new().await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    let rule = json!({ "tool": "*", "effect": "allow" });
    assert_eq!(stage.code(&asker.service, "rules:create", rule).await, Code::Forbidden);
    for (arguments, path) in [
        (json!([{ "path": "amount", "equals": 1 }]), "arguments[0].path"),
        (json!([{ "path": "/amount" }]), "arguments[0]"),
        (json!([{ "path": "", "equals": 1, "like": "1" }]), "arguments[0]"),
    ] {
        let rule = json!({ "tool": "pay", "effect": "allow", "arguments": arguments });
        let refused = stage.refused(u1, "rules:create", rule).await;
        assert_eq!((refused.code, &refused.data.unwrap()["path"]), (Code::BadRequest, &json!(path)));
    }
    let empty = json!({ "tool": "", "effect": "allow" });
    assert_eq!(stage.code(u1, "rules:create", empty).await, Code::BadRequest);
    for n in 0..200 {
        stage.ok(u1, "rules:create", json!({ "tool": format!("t{n}"), "effect": "deny" })).await;
    }
    let one_more = json!({ "tool": "pay", "effect": "allow" });
    assert_eq!(stage.code(u1, "rules:create", one_more).await, Code::TooLarge);
    let question = json!({ "generationId": asker.generation, "kind": "question", "question": "Sure?" });
    let asked = asker.ask(question).await;
    assert_eq!(stage.code(u1, "approvals:decide", remember(&asked, "approve", "tool")).await, Code::BadRequest);
    let inbox = stage.ok(u1, "approvals:list", json!({ "paginationOpts": page() })).await;
    assert_eq!(inbox["pendingCount"], json!(1), "what was refused decided nothing");
    stage.healthy().await;
}

/// What a backend called itself when it opened the answer is the agent whose call it is.
#[tokio::test]
async fn ap_08_rules_of_an_agent_judge_the_calls_that_it_makes_outside() {
    let asker = Asker::new().await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    let thread = stage.thread(u1).await;
    let opened = json!({ "threadId": thread, "text": "code", "agentId": "coder" });
    let opened = stage.ok(&asker.service, "generations:open", opened).await;
    let call = |generation: &Value, id: &str, tool: &str| json!({ "generationId": generation, "kind": "tool_call", "toolCallId": id, "tool": tool, "input": {} });
    let deny = json!({ "tool": "rm", "effect": "deny", "agentId": "coder" });
    stage.ok(u1, "rules:create", deny).await;
    let denied = asker.ask(call(&opened["generationId"], "t1", "rm")).await;
    assert_eq!((&denied["status"], &denied["agentId"]), (&json!("rejected"), &json!("coder")));
    assert_eq!(asker.ask(call(&asker.generation, "t1", "rm")).await["status"], json!("pending"), "another agent");

    let asked = asker.ask(call(&opened["generationId"], "t2", "ls")).await;
    let mut always = remember(&asked, "approve", "tool");
    always["remember"]["onlyThisAgent"] = json!(true);
    stage.ok(u1, "approvals:decide", always).await;
    assert_eq!(asker.ask(call(&opened["generationId"], "t3", "ls")).await["status"], json!("approved"));
    assert_eq!(asker.ask(call(&asker.generation, "t3", "ls")).await["status"], json!("pending"));
    stage.healthy().await;
}

/// All rules of a person are held against each call while nobody else can write, so together they are not large.
#[tokio::test]
async fn ap_08_rules_have_a_bound_in_bytes_one_and_all_together() {
    let asker = Asker::new().await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    let rule = |name: String, bytes: usize| {
        let half = json!("x".repeat(bytes / 2));
        let arguments = json!([{ "path": "/a", "equals": half.clone() }, { "path": "/b", "like": half }]);
        json!({ "tool": name, "effect": "deny", "arguments": arguments })
    };
    let large = stage.refused(u1, "rules:create", rule("large".into(), 64 << 10)).await;
    assert_eq!((large.code, &large.data.unwrap()["limit"]), (Code::TooLarge, &json!(64 << 10)));
    for n in 0..17 {
        stage.ok(u1, "rules:create", rule(format!("t{n}"), 60_000)).await;
    }
    let one_more = stage.refused(u1, "rules:create", rule("one_more".into(), 60_000)).await;
    assert_eq!((one_more.code, &one_more.data.unwrap()["limit"]), (Code::TooLarge, &json!(1 << 20)));
    stage.ok(u1, "rules:create", json!({ "tool": "small", "effect": "deny" })).await;
    stage.healthy().await;
}
