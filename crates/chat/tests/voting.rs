//! Approvals that several people decide, and decisions by the hundred.

use serde_json::{Value, json};
use spool_chat::roles::{RoleChoice, Roles};
use spool_chat::{ApprovalPolicy, Principal, Settings};
use spool_protocol::Code;

use crate::approvals::{Asker, DAY, page};
use crate::stage::{Stage, text};

fn settings() -> Settings {
    let known = ["supervisor", "usual"].map(|id| RoleChoice { id: id.into(), name: id.to_uppercase() }).to_vec();
    let approvals = ApprovalPolicy {
        high_risk: vec!["wire_*".into()],
        approvers: 3,
        approver_roles: vec!["supervisor".into(), "usual".into()],
        ..ApprovalPolicy::default()
    };
    Settings { roles: Roles { known, default: Some("usual".into()) }, approvals, ..Settings::default() }
}

fn vote(approval: &Value, decision: &str) -> Value {
    json!({ "approvalId": approval["_id"], "decision": decision, "reason": decision })
}

async fn share(asker: &Asker, with: &Principal) -> Value {
    let grant = json!({ "threadId": asker.thread, "userId": with.user() });
    asker.stage.ok(&asker.stage.u1, "shares:grant", grant).await
}

async fn supervisor(stage: &Stage, name: &str) -> Principal {
    let person = stage.user(name).await;
    stage.system("users:setRoles", json!({ "userId": person.user(), "roles": ["supervisor"] })).await;
    person
}

async fn awaited(stage: &Stage, who: &Principal) -> Vec<Value> {
    let inbox = stage.ok(who, "approvals:list", json!({ "paginationOpts": page() })).await;
    assert_eq!(inbox["page"], json!([]));
    let waiting = inbox["awaitingMyVote"].as_array().unwrap().clone();
    assert_eq!(inbox["pendingCount"], json!(waiting.len()));
    waiting
}

#[tokio::test]
async fn ap_02_of_several_people_each_decides_once() {
    let asker = Asker::with(settings()).await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    let mut call = asker.call("t1");
    call["approversNeeded"] = json!(2);
    let asked = asker.ask(call).await;
    assert_eq!((&asked["approversNeeded"], &asked["votes"]), (&json!(2), &json!([])));
    let first = stage.ok(u1, "approvals:decide", vote(&asked, "approve")).await;
    assert_eq!((&first["status"], first.get("resolvedBy")), (&json!("pending"), None));
    let again = stage.refused(u1, "approvals:decide", vote(&asked, "reject")).await;
    let data = again.data.unwrap();
    assert_eq!(
        (again.code, &data["status"], &data["decision"]),
        (Code::AlreadyResolved, &json!("pending"), &json!("approve"))
    );
    let supervisor = supervisor(stage, "boss").await;
    let decided = stage.ok(&supervisor, "approvals:decide", vote(&asked, "approve")).await;
    assert_eq!((&decided["status"], &decided["resolvedBy"]), (&json!("approved"), &json!(supervisor.user())));
    let votes: Vec<_> = decided["votes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vote| (text(&vote["name"]), text(&vote["decision"])))
        .collect();
    assert_eq!(votes, [("one".into(), "approve".into()), ("boss".to_owned(), "approve".to_owned())]);
    assert_eq!(asker.get(&asked).await, decided, "the row says who");
    for who in [u1, &supervisor] {
        assert_eq!(stage.code(who, "approvals:decide", vote(&asked, "reject")).await, Code::AlreadyResolved);
    }
    let actions = |trail: Value| -> Vec<String> {
        trail["page"].as_array().unwrap().iter().map(|entry| text(&entry["action"])).collect()
    };
    let audit = json!({ "paginationOpts": page() });
    assert!(actions(stage.ok(u1, "audit:mine", audit.clone()).await).contains(&"approval.vote".to_owned()));
    assert!(actions(stage.ok(&supervisor, "audit:mine", audit).await).contains(&"approval.approve".to_owned()));
    stage.healthy().await;
}

#[tokio::test]
async fn ap_06_one_rejection_rejects_and_the_reason_goes_to_the_asker() {
    let asker = Asker::with(settings()).await;
    let stage = &asker.stage;
    let mut call = asker.call("t1");
    call["tool"] = json!("wire_money");
    call["approversNeeded"] = json!(2);
    let asked = asker.ask(call).await;
    assert_eq!(
        (&asked["approversNeeded"], &asked["highRisk"]),
        (&json!(3), &json!(true)),
        "the configuration wants more"
    );
    stage.ok(&stage.u1, "approvals:decide", vote(&asked, "approve")).await;
    let supervisor = supervisor(stage, "boss").await;
    let decided = stage.ok(&supervisor, "approvals:decide", vote(&asked, "reject")).await;
    assert_eq!((&decided["status"], &decided["reason"]), (&json!("rejected"), &json!("reject")));
    assert_eq!(asker.log().await.last().unwrap()["status"], json!("rejected"));
    stage.healthy().await;
}

#[tokio::test]
async fn ap_02_a_further_decider_sees_the_approval_and_nothing_else() {
    let asker = Asker::with(settings()).await;
    let (stage, u1, reader) = (&asker.stage, &asker.stage.u1, &asker.stage.u2);
    let boss = supervisor(stage, "boss").await;
    let mut call = asker.call("t1");
    let alone = asker.ask(asker.call("t0")).await;
    call["approversNeeded"] = json!(2);
    let asked = asker.ask(call).await;
    let one = json!({ "approvalId": asked["_id"] });
    // A role that everybody has by default gives no vote.
    assert_eq!(stage.code(reader, "approvals:get", one.clone()).await, Code::NotFound);
    let opened = share(&asker, reader).await;
    for who in [reader, &boss] {
        assert_eq!(stage.ok(who, "approvals:get", one.clone()).await, asked);
        assert_eq!(json!(awaited(stage, who).await), json!([asked]));
        // What one person decides is the owner's, whoever reads along.
        assert_eq!(stage.code(who, "approvals:get", json!({ "approvalId": alone["_id"] })).await, Code::NotFound);
        assert_eq!(stage.code(who, "approvals:decide", vote(&alone, "approve")).await, Code::NotFound);
        let thread = json!({ "threadId": asker.thread });
        assert_eq!(stage.ok(who, "threads:get", thread).await, Value::Null);
        let listed = json!({ "threadId": asker.thread, "paginationOpts": page() });
        for path in ["approvals:listByThread", "messages:page"] {
            assert_eq!(stage.code(who, path, listed.clone()).await, Code::NotFound, "{path}");
        }
        let deltas = json!({ "generationId": asker.generation, "cursor": 0 });
        assert_eq!(stage.code(who, "generations:deltas", deltas).await, Code::NotFound);
    }
    stage.ok(reader, "approvals:decide", vote(&asked, "approve")).await;
    assert_eq!(awaited(stage, reader).await, Vec::<Value>::new(), "it waits for others");
    stage.ok(u1, "shares:revoke", json!({ "shareId": opened })).await;
    assert_eq!(stage.code(reader, "approvals:get", one.clone()).await, Code::NotFound);
    // A guest with whom it is shared is no second person: anybody can make one.
    let guest = json!({ "issuer": "test", "subject": "guest", "kind": "anonymous" });
    let guest = Principal::User { user: serde_json::from_value(stage.system("users:provision", guest).await).unwrap() };
    share(&asker, &guest).await;
    assert_eq!(stage.code(&guest, "approvals:decide", vote(&asked, "approve")).await, Code::NotFound);
    assert_eq!(stage.code(&asker.service, "approvals:decide", vote(&asked, "approve")).await, Code::Forbidden);
    let decided = stage.ok(&boss, "approvals:decide", vote(&asked, "approve")).await;
    assert_eq!(decided["status"], json!("approved"));
    stage.healthy().await;
}

#[tokio::test]
async fn ap_03_what_several_approve_is_what_each_of_them_saw() {
    let asker = Asker::with(settings()).await;
    let (stage, u1, u2) = (&asker.stage, &asker.stage.u1, &asker.stage.u2);
    let plan = json!({ "threadId": asker.thread, "kind": "plan", "title": "Plan", "content": "one" });
    let plan = stage.ok(&asker.service, "artifacts:create", plan).await;
    let mut ask = json!({ "generationId": asker.generation, "kind": "plan", "artifactId": plan["artifactId"] });
    for wrong in [0, 21] {
        ask["approversNeeded"] = json!(wrong);
        assert_eq!(stage.code(&asker.service, "approvals:request", ask.clone()).await, Code::BadRequest);
    }
    ask["approversNeeded"] = json!(2);
    let asked = asker.ask(ask).await;
    share(&asker, u2).await;
    let seen = stage.ok(u2, "approvals:get", json!({ "approvalId": asked["_id"] })).await;
    assert_eq!((&seen["content"], asker.get(&asked).await.get("content")), (&json!("one"), None));
    assert_eq!(stage.code(u2, "artifacts:get", json!({ "artifactId": plan["artifactId"] })).await, Code::NotFound);
    let mut edit = vote(&asked, "approve");
    edit["edited"] = json!("mine");
    assert_eq!(stage.code(u1, "approvals:decide", edit).await, Code::BadRequest);
    stage.ok(u1, "approvals:decide", vote(&asked, "approve")).await;
    let decided = stage.ok(u2, "approvals:decide", vote(&asked, "approve")).await;
    assert_eq!((&decided["status"], decided.get("editedVersion")), (&json!("approved"), None));
    let artifact = stage.ok(u1, "artifacts:get", json!({ "artifactId": plan["artifactId"] })).await;
    assert_eq!((&artifact["status"], &artifact["version"]), (&json!("approved"), &json!(1)));
    stage.healthy().await;
}

#[tokio::test]
async fn ap_05_votes_do_not_stop_the_time() {
    let asker = Asker::with(settings()).await;
    let stage = &asker.stage;
    let mut call = asker.call("t1");
    call["approversNeeded"] = json!(2);
    let asked = asker.ask(call).await;
    stage.ok(&stage.u1, "approvals:decide", vote(&asked, "approve")).await;
    stage.clock.advance_ms(DAY);
    let boss = supervisor(stage, "boss").await;
    assert_eq!(stage.code(&boss, "approvals:decide", vote(&asked, "approve")).await, Code::AlreadyResolved);
    stage.system("approvals:expire", json!({})).await;
    let over = asker.get(&asked).await;
    assert_eq!((&over["status"], over["votes"].as_array().unwrap().len()), (&json!("expired"), 1));
    stage.healthy().await;
}

#[tokio::test]
async fn ap_02_a_hundred_decisions_in_one_call_and_the_refused_undo_nothing() {
    let asker = Asker::new().await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    let mut asked = Vec::new();
    for n in 0..6 {
        asked.push(asker.ask(asker.call(&format!("t{n}"))).await);
    }
    asker.decide(&asked[1], true).await.unwrap();
    let other = stage.thread(&stage.u2).await;
    let opened = stage.ok(&asker.service, "generations:open", json!({ "threadId": other })).await;
    let question = json!({ "generationId": opened["generationId"], "kind": "question", "question": "Sure?" });
    let foreign = asker.ask(question).await;
    let one = |approval: &Value, decision: &str| json!({ "approvalId": approval["_id"], "decision": decision });
    let mut wrong = one(&asked[3], "reject");
    wrong["edited"] = json!({ "amount": 1 });
    let mut edited = one(&asked[4], "approve");
    edited["edited"] = json!({ "amount": 1 });
    let decisions = json!([
        one(&asked[0], "approve"),
        one(&asked[1], "reject"),
        one(&foreign, "approve"),
        wrong,
        one(&asked[2], "reject"),
        one(&asked[0], "reject"),
        edited,
    ]);
    let results = stage.ok(u1, "approvals:decideMany", json!({ "decisions": decisions })).await;
    let line = |result: &Value| {
        let status = result["approval"]["status"].as_str().or(result["error"]["code"].as_str());
        status.unwrap().to_owned()
    };
    let lines: Vec<String> = results.as_array().unwrap().iter().map(line).collect();
    let expected =
        ["approved", "already_resolved", "not_found", "bad_request", "rejected", "already_resolved", "approved"];
    assert_eq!(lines, expected);
    assert_eq!(results[1]["error"]["data"]["status"], json!("approved"));
    assert_eq!(asker.get(&asked[3]).await["status"], json!("pending"));
    assert_eq!(asker.get(&asked[4]).await["editedInput"], json!({ "amount": 1 }));
    let many = json!({ "decisions": vec![one(&asked[5], "approve"); 101] });
    assert_eq!(stage.code(u1, "approvals:decideMany", many).await, Code::TooLarge);
    let by_key = json!({ "decisions": [one(&asked[5], "approve")] });
    assert_eq!(stage.code(&asker.service, "approvals:decideMany", by_key).await, Code::Forbidden);
    assert_eq!(asker.get(&asked[5]).await["status"], json!("pending"));
    // Together: all or nothing, and the error says which.
    let claim =
        json!({ "threadId": asked[3]["threadId"], "toolCallId": asked[3]["toolCallId"], "input": { "amount": 999 } });
    let mut claimed = one(&asked[3], "approve");
    claimed["claim"] = claim;
    for (last, code) in [(one(&asked[0], "approve"), Code::AlreadyResolved), (claimed, Code::HistoryConflict)] {
        let named = last["approvalId"].clone();
        let together = json!({ "decisions": [one(&asked[5], "approve"), last], "together": true });
        let error = stage.refused(u1, "approvals:decideMany", together).await;
        assert_eq!((error.code, error.data.unwrap()["approvalId"].clone()), (code, named));
        assert_eq!(asker.get(&asked[5]).await["status"], json!("pending"));
    }
    stage.healthy().await;
}

#[tokio::test]
async fn ap_02_a_question_proposes_answers_and_takes_another() {
    let asker = Asker::new().await;
    let (stage, u1) = (&asker.stage, &asker.stage.u1);
    let question = |text: &str, options: Value| json!({ "generationId": asker.generation, "kind": "question", "question": text, "options": options });
    assert_eq!(stage.code(&asker.service, "approvals:request", question("?", json!([" "]))).await, Code::BadRequest);
    let asked = asker.ask(question("Which?", json!(["red", "blue"]))).await;
    assert_eq!(asked["options"], json!(["red", "blue"]));
    assert_ne!(
        asker.ask(question("Which?", json!(["red"]))).await["_id"],
        asked["_id"],
        "another choice is another question"
    );
    assert_eq!(asker.ask(question("Which?", json!(["red", "blue"]))).await["_id"], asked["_id"]);
    assert_eq!(asker.decide(&asked, true).await.unwrap_err().code, Code::BadRequest, "it wants an answer");
    let answer = |edited: Value| json!({ "approvalId": asked["_id"], "decision": "approve", "edited": edited });
    assert_eq!(stage.code(u1, "approvals:decide", answer(json!(5))).await, Code::BadRequest);
    let decided = stage.ok(u1, "approvals:decide", answer(json!("green, if there is any"))).await;
    assert_eq!((&decided["status"], &decided["answer"]), (&json!("approved"), &json!("green, if there is any")));
    let told = stage.ok(&asker.service, "approvals:get", json!({ "approvalId": asked["_id"] })).await;
    assert_eq!(told["answer"], decided["answer"], "the asker reads it");
    let plain = asker.ask(question("Sure?", json!([]))).await;
    let decided = asker.decide(&plain, true).await.unwrap();
    assert_eq!((&decided["status"], decided.get("answer")), (&json!("approved"), None));
    stage.healthy().await;
}

/// Approvals with large arguments cost a list so many bytes and no more, and nobody hides what others ask behind
/// much of their own.
#[tokio::test]
async fn ap_01_what_awaits_a_vote_is_bounded_in_bytes_and_listed_by_time() {
    let asker = Asker::with(settings()).await;
    let (stage, u2) = (&asker.stage, &asker.stage.u2);
    let boss = supervisor(stage, "boss").await;
    let call = |generation: &Value, id: &str, people: u32, bytes: usize| {
        json!({
            "generationId": generation, "kind": "tool_call", "toolCallId": id, "tool": "pay",
            "input": { "note": "x".repeat(bytes) }, "approversNeeded": people,
        })
    };
    let theirs = stage.thread(u2).await;
    let spam = stage.ok(&asker.service, "generations:open", json!({ "threadId": theirs })).await;
    for n in 0..30 {
        asker.ask(call(&spam["generationId"], &format!("s{n}"), 2, 900_000)).await;
    }
    stage.clock.advance_ms(5);
    let small = asker.ask(call(&asker.generation, "small", 3, 10)).await;
    stage.clock.advance_ms(5);
    let later = asker.ask(call(&asker.generation, "later", 5, 10)).await;
    // What one person decides is not even looked at.
    asker.ask(asker.call("alone")).await;

    let seen = awaited(stage, &boss).await;
    assert!(seen.len() < 10, "{} are listed", seen.len());
    assert_eq!(seen[seen.len() - 2..], [small.clone(), later.clone()], "the oldest first");
    let large = &seen[0];
    assert_eq!((large.get("input"), &large["inputBytes"]), (None, &json!(900_000 + r#"{"note":""}"#.len())));
    let whole = stage.ok(&boss, "approvals:get", json!({ "approvalId": large["_id"] })).await;
    assert_eq!((whole["input"]["note"].as_str().unwrap().len(), whole.get("inputBytes")), (900_000, None));

    // Shared threads, and the owner's own lists, likewise.
    for thread in [&theirs, &asker.thread] {
        let grant = json!({ "threadId": thread, "userId": boss.user() });
        let owner = if *thread == theirs { u2 } else { &stage.u1 };
        stage.ok(owner, "shares:grant", grant).await;
    }
    stage.system("users:setRoles", json!({ "userId": boss.user(), "roles": [] })).await;
    let seen = awaited(stage, &boss).await;
    assert!((10..25).contains(&seen.len()), "{} are listed", seen.len());
    for (path, args) in [
        ("approvals:list", json!({ "paginationOpts": page() })),
        ("approvals:listByThread", json!({ "threadId": theirs, "paginationOpts": page() })),
    ] {
        let listed = stage.ok(u2, path, args).await;
        let rows = listed["page"].as_array().unwrap();
        assert!(rows.len() >= 2 && rows.iter().all(|row| row.get("input").is_none()), "{path}");
    }
    let runner = json!({ "generationId": spam["generationId"] });
    let told = stage.ok(&asker.service, "approvals:ofAnswer", runner).await;
    let told = told.as_array().unwrap();
    assert!((20..30).contains(&told.len()), "{} are told", told.len());
    assert!(
        told.iter().all(|row| row["input"]["note"].as_str().unwrap().len() == 900_000),
        "its runner has them whole"
    );
    stage.healthy().await;
}
