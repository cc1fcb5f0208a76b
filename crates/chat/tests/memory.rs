//! Memory, instructions and profile: versions, conflicts, bounds, the sections of the prompt; greetings and pages.

use serde_json::{Value, json};
use spool_chat::Principal;
use spool_chat::functions::memory::{forget, remember};
use spool_chat::recall::{memory_section, profile_section};
use spool_chat::tables::{Thread, User};
use spool_protocol::{Code, Error};
use spool_store::{Id, Tx};

use crate::stage::{OWNER, Stage, begin, text, turn_of};

/// Runs in a transaction of its own, as a tool of a turn does.
async fn within<T: serde::Serialize>(
    stage: &Stage, run: impl Fn(&mut Tx<'_>) -> Result<T, Error> + Send + Sync + 'static,
) -> Result<Value, Error> {
    let run = move |tx: &mut Tx<'_>| Ok(serde_json::to_string(&run(tx)?).unwrap());
    Ok(serde_json::from_str(&stage.store.mutate(std::sync::Arc::new(run), None).await?.value).unwrap())
}

async fn section(
    stage: &Stage, of: &Principal, run: fn(&mut Tx<'_>, &Thread, &User) -> Result<Option<String>, Error>,
) -> Value {
    let thread: Id<Thread> = Id::parse(&stage.thread(of).await).unwrap();
    let user = of.user().unwrap().clone();
    let run = move |tx: &mut Tx<'_>| {
        let (thread, user) = (tx.get(&thread)?.unwrap(), tx.get(&user)?.unwrap());
        run(tx, &thread, &user)
    };
    within(stage, run).await.unwrap()
}

#[tokio::test]
async fn ag_12_the_memory_has_versions_and_refuses_a_stale_writer() {
    let stage = Stage::new().await;
    let update = |base: u64, entries: Value| json!({ "baseVersion": base, "entries": entries });
    assert_eq!(stage.ok(&stage.u1, "memory:get", json!({})).await, json!({ "version": 0, "entries": [] }));
    let first = stage.ok(&stage.u1, "memory:update", update(0, json!([{ "text": "likes tea" }]))).await;
    assert_eq!(first, json!({ "version": 1 }));
    let stale = stage.refused(&stage.u1, "memory:update", update(0, json!([]))).await;
    assert_eq!((stale.code, &stale.data.unwrap()["current"]), (Code::HistoryConflict, &json!(1)));
    stage.clock.advance_ms(1_000);
    let both = json!([{ "id": "m1", "text": "likes green tea" }, { "text": "lives in Rome" }]);
    stage.ok(&stage.u1, "memory:update", update(1, both)).await;
    let memory = stage.ok(&stage.u1, "memory:get", json!({})).await;
    let entries = memory["entries"].as_array().unwrap();
    let ids: Vec<&Value> = entries.iter().map(|entry| &entry["id"]).collect();
    assert_eq!(ids, [&json!("m1"), &json!("m2")]);
    assert_eq!(entries[0]["createdAt"].as_u64().unwrap() + 1_000, entries[1]["createdAt"].as_u64().unwrap());
    assert_eq!(entries[0]["source"], json!("user"));
    for bad in [json!([{ "id": "m9", "text": "x" }]), json!([{ "id": "m1", "text": "x" }, { "id": "m1", "text": "y" }])]
    {
        assert_eq!(stage.code(&stage.u1, "memory:update", update(2, bad)).await, Code::BadRequest);
    }
    assert_eq!(stage.code(&stage.u1, "memory:update", update(2, json!([{ "text": " " }]))).await, Code::BadRequest);
    let long = json!([{ "text": "x".repeat(1_001) }]);
    assert_eq!(stage.code(&stage.u1, "memory:update", update(2, long)).await, Code::TooLarge);
    let many: Vec<Value> = (0..201).map(|n| json!({ "text": n.to_string() })).collect();
    assert_eq!(stage.code(&stage.u1, "memory:update", update(2, json!(many))).await, Code::TooLarge);

    let page = json!({ "paginationOpts": { "numItems": 10, "cursor": null } });
    let versions = stage.ok(&stage.u1, "memory:versions", page.clone()).await;
    let numbers: Vec<u64> =
        versions["page"].as_array().unwrap().iter().map(|row| row["version"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [2, 1]);
    assert_eq!(versions["page"][1]["content"][0]["text"], json!("likes tea"));
    // Clearing forgets what was, and no writer of before brings it back.
    stage.ok(&stage.u1, "memory:clear", json!({})).await;
    assert_eq!(stage.ok(&stage.u1, "memory:get", json!({})).await, json!({ "version": 3, "entries": [] }));
    let versions = stage.ok(&stage.u1, "memory:versions", page).await;
    assert!(!versions.to_string().contains("tea"), "{versions}");
    assert_eq!(stage.code(&stage.u1, "memory:update", update(2, json!([]))).await, Code::HistoryConflict);
    stage.healthy().await;
}

#[tokio::test]
async fn ag_12_only_the_newest_versions_are_kept() {
    let stage = Stage::new().await;
    for n in 0..60 {
        stage.ok(&stage.u1, "instructions:set", json!({ "text": format!("text {n}") })).await;
    }
    let page = json!({ "paginationOpts": { "numItems": 100, "cursor": null } });
    let versions = stage.ok(&stage.u1, "instructions:versions", page).await;
    let rows = versions["page"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["version"], &rows[49]["content"]), (50, &json!(60), &json!("text 10")));
    let stale = json!({ "text": "x", "baseVersion": 59 });
    assert_eq!(stage.code(&stage.u1, "instructions:set", stale).await, Code::HistoryConflict);
    let long = json!({ "text": "x".repeat((16 << 10) + 1) });
    assert_eq!(stage.code(&stage.u1, "instructions:set", long).await, Code::TooLarge);
    let now = stage.ok(&stage.u1, "instructions:get", json!({})).await;
    assert_eq!(now, json!({ "version": 60, "text": "text 59" }));
    stage.healthy().await;
}

#[tokio::test]
async fn ag_12_the_assistant_remembers_once_and_forgets_by_id() {
    let stage = Stage::new().await;
    let user = stage.u1.user().unwrap().clone();
    let keep = |text: &'static str| {
        let user = user.clone();
        within(&stage, move |tx| remember(tx, &user, text, None))
    };
    let first = keep("  has two dogs ").await.unwrap();
    assert_eq!(
        (&first["id"], &first["text"], &first["source"]),
        (&json!("m1"), &json!("has two dogs"), &json!("assistant"))
    );
    assert_eq!(keep("has two dogs").await.unwrap(), first);
    assert_eq!(keep("works at night").await.unwrap()["id"], json!("m2"));
    assert_eq!(keep(" ").await.unwrap_err().code, Code::BadRequest);
    stage.ok(&stage.u1, "instructions:set", json!({ "text": "Answer in Latin." })).await;
    let told = section(&stage, &stage.u1, memory_section).await;
    let expected = "The user's own instructions:\nAnswer in Latin.\n\nWhat you remember about the user:\n\
        - [m1] has two dogs\n- [m2] works at night";
    assert_eq!(told, json!(expected));
    let drop = |id: &'static str| {
        let user = user.clone();
        within(&stage, move |tx| forget(tx, &user, id, None))
    };
    assert_eq!((drop("m1").await.unwrap(), drop("m1").await.unwrap()), (json!(true), json!(false)));
    assert_eq!(keep("has a cat").await.unwrap()["id"], json!("m3"), "ids are not used twice");
    assert_eq!(section(&stage, &stage.u2, memory_section).await, Value::Null);
    stage.healthy().await;
}

#[tokio::test]
async fn ag_12_what_the_assistant_keeps_in_a_role_is_told_and_forgotten_in_that_role_alone() {
    let stage = Stage::new().await;
    let user = stage.u1.user().unwrap().clone();
    let keep = |text: &'static str, role: Option<&'static str>| {
        let user = user.clone();
        within(&stage, move |tx| remember(tx, &user, text, role))
    };
    keep("has two dogs", None).await.unwrap();
    keep("always call listLeads", Some("broker")).await.unwrap();
    assert_eq!(keep("always call listLeads", Some("broker")).await.unwrap()["id"], json!("m2"), "kept once");
    assert_eq!(keep("has two dogs", Some("broker")).await.unwrap()["id"], json!("m1"), "told there already");
    stage.ok(&stage.u1, "memory:update", json!({ "entries": [
        { "id": "m1", "text": "has two dogs" }, { "id": "m2", "text": "always call listLeads" }, { "text": "likes tea" },
    ] })).await;
    let told = async |role: fn(&mut Tx<'_>, &Thread, &User) -> Result<Option<String>, Error>| {
        section(&stage, &stage.u1, role).await
    };
    let as_broker = told(|tx, thread, user| {
        memory_section(tx, &Thread { last_role: Some("broker".into()), ..thread.clone() }, user)
    });
    let all = "What you remember about the user:\n- [m1] has two dogs\n- [m2] always call listLeads\n- [m3] likes tea";
    assert_eq!(as_broker.await, json!(all));
    let as_investor = told(|tx, thread, user| {
        memory_section(tx, &Thread { last_role: Some("investor".into()), ..thread.clone() }, user)
    });
    let others = "What you remember about the user:\n- [m1] has two dogs\n- [m3] likes tea";
    assert_eq!((as_investor.await, told(memory_section).await), (json!(others), json!(others)));
    let drop = |id: &'static str, role: Option<&'static str>| {
        let user = user.clone();
        within(&stage, move |tx| forget(tx, &user, id, role))
    };
    assert_eq!(drop("m2", Some("investor")).await.unwrap(), json!(false));
    assert_eq!(drop("m2", Some("broker")).await.unwrap(), json!(true));
    stage.healthy().await;
}

#[tokio::test]
async fn ag_12_a_full_memory_says_so() {
    let stage = Stage::new().await;
    let entries: Vec<Value> = (0..200).map(|n| json!({ "text": format!("fact {n}") })).collect();
    stage.ok(&stage.u1, "memory:update", json!({ "baseVersion": 0, "entries": entries })).await;
    let user = stage.u1.user().unwrap().clone();
    let refused = within(&stage, move |tx| remember(tx, &user, "one more", None)).await.unwrap_err();
    assert_eq!((refused.code, &refused.data.unwrap()["limit"]), (Code::TooLarge, &json!(200)));
}

#[tokio::test]
async fn ag_04_the_profile_is_the_users_or_the_applications_and_told_as_it_is_now() {
    let stage = Stage::new().await;
    let backend = stage.service(&["profile:*"]).await;
    let first = json!({ "userId": stage.u1.user(), "fields": { "city": "Rome", "budget": 250_000 } });
    assert_eq!(stage.ok(&backend, "profile:set", first).await, json!({ "version": 1 }));
    let told = section(&stage, &stage.u1, profile_section).await;
    assert_eq!(told, json!("About the user:\n- Name: one\n- budget: 250000\n- city: Rome"));
    let changed = json!({ "fields": { "city": "Oslo" }, "baseVersion": 1 });
    stage.ok(&stage.u1, "profile:set", changed.clone()).await;
    assert_eq!(section(&stage, &stage.u1, profile_section).await, json!("About the user:\n- Name: one\n- city: Oslo"));
    assert_eq!(stage.code(&stage.u1, "profile:set", changed).await, Code::HistoryConflict);
    let read = stage.ok(&backend, "profile:get", json!({ "userId": stage.u1.user() })).await;
    assert_eq!(read, json!({ "version": 2, "fields": { "city": "Oslo" } }));
    // Of another user nobody learns anything, not even that there is one.
    let nobody = json!({ "userId": "usr_00000000000000000000000000" });
    let foreign = stage.refused(&stage.u2, "profile:get", json!({ "userId": stage.u1.user() })).await;
    assert_eq!(foreign, stage.refused(&stage.u2, "profile:get", nobody).await);
    assert_eq!(foreign.code, Code::NotFound);
    let theirs = json!({ "userId": stage.u1.user(), "fields": {} });
    assert_eq!(stage.code(&stage.u2, "profile:set", theirs).await, Code::NotFound);
    for (fields, code) in [
        (json!({ "a": "x".repeat(17_000) }), Code::TooLarge),
        (json!({ " ": 1 }), Code::BadRequest),
        (json!({ "a\nRole": "admin" }), Code::BadRequest),
    ] {
        assert_eq!(stage.code(&stage.u1, "profile:set", json!({ "fields": fields })).await, code);
    }
    stage.healthy().await;
}

#[tokio::test]
async fn ag_05_an_empty_message_opens_an_empty_thread_and_nothing_else() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let empty = json!({ "threadId": thread, "text": " ", "requestId": "r1" });
    let sent = stage.ok(&stage.u1, "turns:send", empty.clone()).await;
    assert_eq!(stage.ok(&stage.u1, "turns:send", empty).await, sent, "the same request is the same turn");
    let turn = turn_of(&thread, &sent);
    let claim = stage.system("driver:claim", json!({ "generationId": turn.generation, "owner": OWNER })).await;
    assert_eq!(claim["history"][0]["text"], json!(""), "what stands for the user is the prompt's");
    let again = json!({ "threadId": thread, "text": "" });
    assert_eq!(stage.code(&stage.u1, "turns:send", again.clone()).await, Code::EmptyMessage);
    let held = crate::stage::held(&turn.generation, claim["epoch"].as_u64().unwrap());
    stage.system("driver:append", begin(held.clone())).await;
    stage.append(&turn.generation, 0, &[crate::stage::words("Welcome!")]).await;
    let mut done = held;
    done["status"] = json!("complete");
    stage.system("driver:finish", done).await;
    assert_eq!(stage.code(&stage.u1, "turns:send", again).await, Code::EmptyMessage);
    let messages = stage.messages(&stage.u1, &thread).await;
    assert_eq!((&messages[0]["opening"], &messages[0]["parts"]), (&json!(true), &json!([])));
    assert_eq!((&messages[1]["text"], messages[1].get("opening")), (&json!("Welcome!"), None));
    // The greeting stays part of the conversation.
    let next = stage.send(&stage.u1, &thread, "hello").await;
    let claim = stage.system("driver:claim", json!({ "generationId": next.generation, "owner": OWNER })).await;
    let said: Vec<&Value> = claim["history"].as_array().unwrap().iter().map(|message| &message["text"]).collect();
    assert_eq!(said[1..], [&json!("Welcome!"), &json!("hello")]);
    assert!(said[0].as_str().unwrap().contains("opened the conversation"));
    let titled = stage.ok(&stage.u1, "threads:get", json!({ "threadId": thread })).await;
    assert_eq!(text(&titled["title"]), "Hello");
    stage.healthy().await;
}

#[tokio::test]
async fn ag_03_the_page_is_kept_with_its_message_and_checked() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let page = json!({ "pageType": "deal", "entityType": "deals", "entityId": "17" });
    let send = |page: Value| json!({ "threadId": thread, "text": "what is this?", "page": page, "ifBusy": "queue" });
    stage.ok(&stage.u1, "turns:send", send(page.clone())).await;
    stage.ok(&stage.u1, "turns:send", send(json!({ "pageType": "home" }))).await;
    let messages = stage.messages(&stage.u1, &thread).await;
    assert_eq!((&messages[0]["page"], messages[1].get("page")), (&page, None));
    assert_eq!(messages[2]["page"], json!({ "pageType": "home" }));
    for (bad, code, path) in [
        (json!({ "pageType": " " }), Code::BadRequest, "page.pageType"),
        (json!({ "pageType": "deal", "entityId": "x".repeat(257) }), Code::TooLarge, "page.entityId"),
        (json!({ "pageType": "deal", "url": "x" }), Code::BadRequest, "page.url"),
        (json!({ "entityId": "1" }), Code::BadRequest, "page"),
    ] {
        let refused = stage.refused(&stage.u1, "turns:send", send(bad)).await;
        assert_eq!((refused.code, &refused.data.unwrap()["path"]), (code, &json!(path)));
    }
}

#[tokio::test]
async fn ag_12_the_list_of_what_is_to_be_done_is_told_while_an_entry_is_open() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let todos = |first: &str| json!([{ "text": "read", "status": first }, { "text": "write", "status": "completed" }]);
    for (version, (status, told)) in
        [("pending", "to do"), ("in_progress", "in progress"), ("completed", ""), ("cancelled", "")].iter().enumerate()
    {
        let update = json!({ "threadId": thread, "baseVersion": version, "todos": todos(status) });
        stage.ok(&stage.u1, "todos:update", update).await;
        let turn = stage.send(&stage.u1, &thread, "hello").await;
        let claim = stage.system("driver:claim", json!({ "generationId": turn.generation, "owner": OWNER })).await;
        let sections = claim["sections"].as_array().unwrap();
        let section = sections.iter().find(|section| section["label"] == json!("todos"));
        let expected = format!("What is to be done in this conversation:\n- {told}: read\n- done: write");
        assert_eq!(section.map(|section| text(&section["text"])), Some(expected).filter(|_| !told.is_empty()));
        let mut finish = json!({ "generationId": turn.generation, "owner": OWNER, "epoch": claim["epoch"] });
        finish["status"] = json!("stopped");
        stage.system("driver:finish", finish).await;
    }
}
