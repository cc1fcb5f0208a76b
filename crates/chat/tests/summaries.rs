//! Summaries: due by what was really said, built on each other, leased, and gone with what they speak of.

use rusqlite::types::ValueRef;
use serde_json::{Value, json};
use spool_chat::summary::SummaryPolicy;
use spool_chat::{Principal, Settings};
use spool_protocol::Code;

use crate::stage::{Stage, held, text};

async fn talk(stage: &Stage, thread: &str, said: &str) {
    let turn = stage.send(&stage.u1, thread, said).await;
    stage.answer(&turn.generation, &format!("about {said}"), "complete").await;
}

async fn due(stage: &Stage) -> Vec<Value> {
    stage.system("summaries:due", json!({ "limit": 100 })).await.as_array().unwrap().clone()
}

async fn claim(stage: &Stage, thread: &str, owner: &str) -> Value {
    stage.system("summaries:claim", json!({ "threadId": thread, "owner": owner })).await
}

fn done(thread: &str, owner: &str, work: &Value, said: &str) -> Value {
    json!({
        "threadId": thread, "owner": owner, "epoch": work["epoch"], "text": said, "model": "m",
        "messages": work["messages"].as_array().unwrap().len(), "throughSeq": work["throughSeq"],
    })
}

async fn view(stage: &Stage, thread: &str) -> Value {
    stage.ok(&stage.u1, "summaries:get", json!({ "threadId": thread })).await
}

#[tokio::test]
async fn se_05_sixteen_messages_make_one_due_and_fifteen_do_not() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let appended = json!({ "threadId": thread, "role": "user", "text": "said before" });
    stage.ok(&stage.u1, "messages:append", appended.clone()).await;
    for n in 0..7 {
        talk(&stage, &thread, &format!("{n}")).await;
    }
    assert_eq!((stage.messages(&stage.u1, &thread).await.len(), due(&stage).await), (15, vec![]));
    // What failed does not count: the number of complete messages does.
    let failing = stage.send(&stage.u1, &thread, "fails").await;
    stage.answer(&failing.generation, "part", "error").await;
    assert_eq!(due(&stage).await[0]["threadId"], json!(thread), "the question is the sixteenth");
    let work = claim(&stage, &thread, "s").await;
    assert_eq!((work["messages"].as_array().unwrap().len(), &work["throughSeq"]), (6, &json!(5)));
    assert_eq!(work.get("previous"), None);
    stage.system("summaries:finish", done(&thread, "s", &work, "six")).await;
    let made = view(&stage, &thread).await;
    assert_eq!(
        (&made["summarizedMessageCount"], &made["text"], &made["version"]),
        (&json!(6), &json!("six"), &json!(1))
    );
    assert_eq!(due(&stage).await, Vec::<Value>::new());
    assert_eq!(view(&stage, &stage.thread(&stage.u1).await).await["version"], json!(0));
    let foreign = json!({ "threadId": thread });
    assert_eq!(stage.code(&stage.u2, "summaries:get", foreign).await, Code::NotFound);
    stage.healthy().await;
}

#[tokio::test]
async fn se_07_each_is_built_on_the_one_before_and_cut_at_the_cap() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let (mut made, mut covered) = (0_u64, 0);
    for n in 0..200 {
        talk(&stage, &thread, &format!("turn {n}")).await;
        if due(&stage).await.is_empty() {
            continue;
        }
        let work = claim(&stage, &thread, "s").await;
        if made > 0 {
            assert!(work["previous"].as_str().unwrap().starts_with(&format!("summary {made} ")), "{work}");
        }
        made += 1;
        covered += work["messages"].as_array().unwrap().len();
        let long = format!("summary {made} {}", "of many words ".repeat(1_000));
        stage.system("summaries:finish", done(&thread, "s", &work, &long)).await;
        let view = view(&stage, &thread).await;
        assert!(view["tokens"].as_u64().unwrap() <= 500, "{}", view["tokens"]);
        assert!(view["text"].as_str().unwrap().split_whitespace().count() <= 500);
    }
    let view = view(&stage, &thread).await;
    assert_eq!((&view["version"], &view["summarizedMessageCount"]), (&json!(made), &json!(covered)));
    let verbatim = 400 - covered;
    assert!((10..=15).contains(&verbatim), "{verbatim} of 400 are in no summary");
    stage.healthy().await;
}

#[tokio::test]
async fn ag_11_what_the_summary_has_is_not_sent_again_and_the_last_ten_are_as_they_were() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    for n in 0..8 {
        talk(&stage, &thread, &format!("point {n} \u{1F3E0}")).await;
    }
    let work = claim(&stage, &thread, "s").await;
    stage.system("summaries:finish", done(&thread, "s", &work, "points 0 to 2")).await;
    let turn = stage.send(&stage.u1, &thread, "next").await;
    let claimed = stage.system("driver:claim", json!({ "generationId": turn.generation, "owner": "d" })).await;
    let said: Vec<&str> =
        claimed["history"].as_array().unwrap().iter().map(|message| message["text"].as_str().unwrap()).collect();
    assert_eq!((said.len(), said[0], said[9], said[10]), (11, "point 3 \u{1F3E0}", "about point 7 \u{1F3E0}", "next"));
    assert_eq!(claimed["sections"].to_string().matches("points 0 to 2").count(), 1);
}

#[tokio::test]
async fn se_09_a_lease_keeps_others_off_and_its_loss_or_failure_costs_nothing() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    for n in 0..8 {
        talk(&stage, &thread, &format!("{n}")).await;
    }
    let first = claim(&stage, &thread, "one").await;
    assert!(claim(&stage, &thread, "two").await.is_null(), "somebody is at it");
    stage.clock.advance_ms(90_000);
    let second = claim(&stage, &thread, "two").await;
    assert_eq!(second["messages"], first["messages"]);
    let late = stage.system("summaries:finish", done(&thread, "one", &first, "late")).await;
    assert_eq!(late, json!(false), "the lease was over");
    assert_eq!(view(&stage, &thread).await["version"], json!(0));
    // A failure, and a text of nothing, are tried again after a pause that grows.
    stage.system("summaries:failed", json!({ "threadId": thread, "owner": "two", "epoch": second["epoch"] })).await;
    assert_eq!(due(&stage).await[0]["dueAt"], json!(stage.clock_ms() + 30_000));
    stage.clock.advance_ms(30_000);
    let third = claim(&stage, &thread, "one").await;
    assert_eq!(stage.system("summaries:finish", done(&thread, "one", &third, " \n")).await, json!(false));
    assert_eq!(due(&stage).await[0]["dueAt"], json!(stage.clock_ms() + 60_000));
    // The next turn does not wait for the pause.
    talk(&stage, &thread, "more").await;
    let fourth = claim(&stage, &thread, "two").await;
    assert_eq!(fourth["messages"].as_array().unwrap().len(), 8);
    assert_eq!(stage.system("summaries:finish", done(&thread, "two", &fourth, "made")).await, json!(true));
    assert_eq!(view(&stage, &thread).await["text"], json!("made"));
    stage.healthy().await;
}

#[tokio::test]
async fn se_09_after_five_failures_only_the_next_turn_asks_again() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    for n in 0..8 {
        talk(&stage, &thread, &format!("{n}")).await;
    }
    for _ in 0..5 {
        let work = claim(&stage, &thread, "s").await;
        stage.system("summaries:failed", json!({ "threadId": thread, "owner": "s", "epoch": work["epoch"] })).await;
        stage.clock.advance_ms(3_600_000);
    }
    assert_eq!(due(&stage).await, Vec::<Value>::new());
    talk(&stage, &thread, "more").await;
    assert_eq!(due(&stage).await.len(), 1);
}

#[tokio::test]
async fn se_05_a_long_thread_is_caught_up_in_bounded_pieces() {
    let summaries = SummaryPolicy { after: 3, keep: 2, ..SummaryPolicy::default() };
    let stage = Stage::with(Settings { summaries, ..Settings::default() }).await;
    let thread = stage.thread(&stage.u1).await;
    for n in 0..230 {
        let said = format!("{n} {}", "x".repeat(if n == 7 { 100_000 } else { 1 }));
        stage.ok(&stage.u1, "messages:append", json!({ "threadId": thread, "role": "user", "text": said })).await;
    }
    assert_eq!(due(&stage).await, Vec::<Value>::new(), "nobody asked a model of this server for anything");
    talk(&stage, &thread, "hello").await;
    let mut pieces = Vec::new();
    while let Some(row) = due(&stage).await.first() {
        assert_eq!(row["threadId"], json!(thread));
        let work = claim(&stage, &thread, "s").await;
        assert!(work["messages"].to_string().len() < 200 << 10);
        pieces.push(work["messages"].as_array().unwrap().len());
        stage.system("summaries:finish", done(&thread, "s", &work, "so far")).await;
    }
    assert_eq!(pieces, [100, 100, 30]);
    stage.healthy().await;
}

#[tokio::test]
async fn se_05_without_the_setting_and_for_others_answers_nothing_is_due() {
    let off = SummaryPolicy { after: 0, keep: 0, ..SummaryPolicy::default() };
    let stage = Stage::with(Settings { summaries: off, ..Settings::default() }).await;
    let opened = text(&stage.ok(&stage.u1, "threads:getOrCreate", json!({})).await["threadId"]);
    for n in 0..9 {
        talk(&stage, &opened, &format!("{n}")).await;
    }
    stage.clock.advance_ms(86_400_000);
    stage.ok(&stage.u1, "threads:getOrCreate", json!({})).await;
    assert_eq!(due(&stage).await, Vec::<Value>::new());

    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let backend = stage.service(&["*"]).await;
    for n in 0..9 {
        let ask = json!({ "threadId": thread, "text": format!("{n}") });
        let asking = stage.ok(&backend, "generations:open", ask).await;
        let finish = json!({ "generationId": asking["generationId"], "status": "complete", "text": "x" });
        stage.ok(&backend, "generations:finish", finish).await;
    }
    assert_eq!(due(&stage).await, Vec::<Value>::new(), "a backend keeps its own history");
}

#[tokio::test]
async fn th_05_clearing_or_removing_a_thread_takes_its_summary_with_it() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    for n in 0..8 {
        talk(&stage, &thread, &format!("{n}")).await;
    }
    let work = claim(&stage, &thread, "s").await;
    stage.ok(&stage.u1, "threads:clear", json!({ "threadId": thread })).await;
    assert_eq!(stage.system("summaries:finish", done(&thread, "s", &work, "too late")).await, json!(false));
    assert_eq!(view(&stage, &thread).await["version"], json!(0));
    for n in 0..8 {
        talk(&stage, &thread, &format!("{n}")).await;
    }
    let work = claim(&stage, &thread, "s").await;
    stage.ok(&stage.u1, "threads:remove", json!({ "threadId": thread })).await;
    assert_eq!(stage.system("summaries:finish", done(&thread, "s", &work, "too late")).await, json!(false));
    stage.healthy().await;
}

/// Everything in the database, as text: every column of every row of every table that there is.
fn everything(stage: &Stage) -> String {
    let database = rusqlite::Connection::open(stage.dir.path().join("spool.db")).unwrap();
    let mut tables = database.prepare("select name from sqlite_schema where type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut all = String::new();
    for table in tables {
        let mut rows = database.prepare(&format!("select * from \"{table}\"")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..columns {
                match row.get_ref(column).unwrap() {
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => all += &String::from_utf8_lossy(bytes),
                    _ => {}
                }
                all.push('\n');
            }
        }
    }
    all
}

#[tokio::test]
async fn se_10_clearing_the_memory_leaves_nothing_that_was_said_anywhere() {
    const SAID: &str = "sesame-opens";
    let stage = Stage::new().await;
    let (one, two) = (&stage.u1, &stage.u2);
    // Two windows, a summary, a memory with versions, a file, an artifact, a list, a runtime session, calls of tools,
    // approvals, and an answer that is being written and waits for one.
    let old = text(&stage.ok(one, "threads:getOrCreate", json!({})).await["threadId"]);
    for n in 0..8 {
        let turn = stage.send(one, &old, &format!("{SAID} {n}")).await;
        stage.answer(&turn.generation, &format!("{SAID} answered"), "complete").await;
    }
    let work = claim(&stage, &old, "s").await;
    stage.system("summaries:finish", done(&old, "s", &work, &format!("{SAID} in summary"))).await;
    stage.clock.advance_ms(86_400_000);
    let new = text(&stage.ok(one, "threads:getOrCreate", json!({})).await["threadId"]);
    let artifact = json!({ "threadId": new, "kind": "plan", "title": SAID, "content": SAID });
    stage.ok(one, "artifacts:create", artifact).await;
    stage.upload(one, &new, SAID).await;
    for version in 0..3 {
        let entries = json!([{ "text": format!("{SAID} {version}") }]);
        stage.ok(one, "memory:update", json!({ "baseVersion": version, "entries": entries })).await;
    }
    let todos = json!([{ "text": SAID, "status": "pending" }]);
    stage.ok(one, "todos:update", json!({ "threadId": new, "baseVersion": 0, "todos": todos })).await;
    // What a backend left: a runtime session, calls of tools (one with a result that is kept apart), approvals.
    let backend = stage.service(&["*"]).await;
    let session = json!({ "threadId": new, "runtime": SAID, "externalId": SAID });
    stage.ok(&backend, "sessions:open", session).await;
    let opened = stage.ok(&backend, "generations:open", json!({ "threadId": new, "text": SAID })).await;
    let generation = &opened["generationId"];
    let start = |id: &str| json!({ "type": "tool_start", "toolCallId": id, "tool": SAID, "input": { "of": SAID } });
    let end = json!({ "type": "tool_end", "toolCallId": "t1", "output": SAID.repeat(10_000) });
    let called = json!({ "generationId": generation, "events": [start("t1"), end, start("t2")] });
    stage.ok(&backend, "generations:append", called).await;
    let call = json!({ "generationId": generation, "kind": "tool_call", "toolCallId": "t2", "tool": SAID, "input": { "of": SAID } });
    let question = json!({ "generationId": generation, "kind": "question", "question": SAID });
    for asked in [call, question] {
        stage.ok(&backend, "approvals:request", asked).await;
    }
    let calls = json!({ "threadId": new, "paginationOpts": { "numItems": 10, "cursor": null } });
    let calls = stage.ok(one, "toolCalls:listByThread", calls).await;
    assert_eq!(calls["page"].as_array().unwrap().len(), 2);
    stage.ok(&backend, "generations:finish", json!({ "generationId": generation, "status": "complete" })).await;
    let running = stage.send(one, &new, SAID).await;
    let epoch = stage.start(&running.generation).await;
    stage.append(&running.generation, 0, &[crate::stage::words(SAID)]).await;
    let lease = json!({ "generationId": running.generation, "owner": crate::stage::OWNER, "epoch": epoch });
    let ask = json!({ "type": "ask", "approvers": 1, "always": false });
    let call = json!({ "toolCallId": SAID, "tool": SAID, "input": { "of": SAID }, "verdict": ask });
    stage.system("driver:submit", json!({ "lease": lease, "events": [], "calls": [call] })).await;
    let other = text(&stage.ok(two, "threads:getOrCreate", json!({})).await["threadId"]);
    let theirs = stage.send(two, &other, "of another user").await;
    stage.answer(&theirs.generation, "kept", "complete").await;
    stage.ok(one, "instructions:set", json!({ "text": "stays" })).await;
    let plain = stage.thread(one).await;
    talk(&stage, &plain, "not the assistant's").await;
    assert!(everything(&stage).contains(SAID));

    assert_eq!(stage.ok(one, "memory:clearAll", json!({})).await, json!({ "cleared": true }));
    for thread in [&old, &new] {
        assert!(stage.ok(one, "threads:get", json!({ "threadId": thread })).await.is_null());
    }
    let watched = stage.system("driver:watch", json!({ "generationId": running.generation })).await;
    assert!(watched["stopRequestedAt"].is_u64(), "{watched}");
    stage.healthy().await;
    // The driver obeys, and the jobs go round.
    let mut stopped = held(&running.generation, epoch);
    stopped["status"] = json!("stopped");
    stage.system("driver:finish", stopped).await;
    for _ in 0..3 {
        while stage.system("threads:purge", json!({ "limit": 5 })).await["hasMore"] == json!(true) {}
        while stage.system("remains:sweep", json!({ "limit": 5 })).await["hasMore"] == json!(true) {}
        let unwanted = stage.system("uploads:unwanted", json!({ "limit": 100 })).await;
        stage.system("uploads:forget", json!({ "ids": unwanted })).await;
    }
    let left = everything(&stage);
    assert!(!left.contains(SAID), "{left}");
    assert!(left.contains("of another user") && left.contains("not the assistant's") && left.contains("stays"));
    let next = stage.ok(one, "threads:getOrCreate", json!({})).await;
    assert_eq!((&next["isNew"], next.get("previousSummary")), (&json!(true), None));
    stage.healthy().await;
}

#[tokio::test]
async fn se_10_one_application_is_cleared_alone_and_many_windows_in_bounded_calls() {
    let stage = Stage::new().await;
    let open = |app: String| stage.ok(&stage.u1, "threads:getOrCreate", json!({ "app": app }));
    let desk = open("desk".to_owned()).await;
    let notes = open("notes".to_owned()).await;
    let cleared = stage.ok(&stage.u1, "memory:clearAll", json!({ "app": "desk" })).await;
    assert_eq!(cleared, json!({ "cleared": true }));
    assert_ne!(open("desk".to_owned()).await["threadId"], desk["threadId"]);
    assert_eq!(open("notes".to_owned()).await["threadId"], notes["threadId"]);
    for n in 0..1_005 {
        open(format!("app {n}")).await;
    }
    let mut calls = vec![];
    while calls.last() != Some(&json!({ "cleared": true })) && calls.len() < 5 {
        calls.push(stage.ok(&stage.u1, "memory:clearAll", json!({})).await);
    }
    assert_eq!(calls, [json!({ "cleared": false }), json!({ "cleared": true })]);
    let list = json!({ "paginationOpts": { "numItems": 10, "cursor": null } });
    assert_eq!(stage.ok(&stage.u1, "windows:page", list.clone()).await["page"], json!([]));
    assert_eq!(stage.ok(&stage.u1, "threads:page", list).await["page"], json!([]));
    assert_eq!(stage.code(&Principal::Anonymous, "memory:clearAll", json!({})).await, Code::Unauthenticated);
}
