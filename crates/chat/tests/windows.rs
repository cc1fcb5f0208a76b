//! Windows: where a user goes on, to the millisecond, once for all who ask at the same time.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};
use spool_chat::roles::{RoleChoice, Roles};
use spool_chat::windows::{WindowPolicy, Windows};
use spool_chat::{Principal, Settings};
use spool_protocol::Code;

use crate::stage::{Stage, text};
use crate::users::join_all;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

async fn open(stage: &Stage, who: &Principal, args: Value) -> Value {
    stage.ok(who, "threads:getOrCreate", args).await
}

/// One complete turn.
async fn talk(stage: &Stage, who: &Principal, thread: &str, said: &str) {
    let turn = stage.send(who, thread, said).await;
    stage.answer(&turn.generation, &format!("about {said}"), "complete").await;
}

fn told(claim: &Value) -> String {
    let sections = claim["sections"].as_array().unwrap();
    sections.iter().map(|section| section["text"].as_str().unwrap()).collect::<Vec<_>>().join("\n\n")
}

/// What the model of the next answer is told beside the conversation.
async fn recalled(stage: &Stage, who: &Principal, thread: &str) -> String {
    let turn = stage.send(who, thread, "and now?").await;
    let claim = stage.system("driver:claim", json!({ "generationId": turn.generation, "owner": "d" })).await;
    told(&claim)
}

/// Makes the summary that is due, as the server would; returns the work.
async fn summarise(stage: &Stage, thread: &str, said: &str) -> Value {
    let work = stage.system("summaries:claim", json!({ "threadId": thread, "owner": "s" })).await;
    assert!(!work.is_null(), "nothing is due of {thread}");
    let done = json!({
        "threadId": thread, "owner": "s", "epoch": work["epoch"], "text": said, "model": "m",
        "messages": work["messages"].as_array().unwrap().len(), "throughSeq": work["throughSeq"],
    });
    assert_eq!(stage.system("summaries:finish", done).await, json!(true));
    work
}

#[tokio::test]
async fn se_01_within_a_day_of_the_last_activity_it_is_the_same_thread() {
    let stage = Stage::new().await;
    let first = open(&stage, &stage.u1, json!({})).await;
    assert_eq!((&first["isNew"], first.get("previousSummary")), (&json!(true), None));
    stage.clock.advance_ms(DAY_MS - 1);
    let again = open(&stage, &stage.u1, json!({})).await;
    assert_eq!((&again["threadId"], &again["sessionId"]), (&first["threadId"], &first["sessionId"]));
    assert_eq!(again["isNew"], json!(false));
    // Asking renewed it, and so does a message.
    stage.clock.advance_ms(DAY_MS - 1);
    talk(&stage, &stage.u1, &text(&first["threadId"]), "hello").await;
    stage.clock.advance_ms(DAY_MS - 1);
    assert_eq!(open(&stage, &stage.u1, json!({})).await["isNew"], json!(false));
    let theirs = open(&stage, &stage.u2, json!({})).await;
    assert_ne!(theirs["threadId"], first["threadId"]);
    stage.healthy().await;
}

#[tokio::test]
async fn se_02_after_exactly_a_day_a_new_one_begins_and_the_summary_goes_with_it() {
    let stage = Stage::new().await;
    let first = open(&stage, &stage.u1, json!({})).await;
    let old = text(&first["threadId"]);
    for n in 0..8 {
        talk(&stage, &stage.u1, &old, &format!("question {n}")).await;
    }
    summarise(&stage, &old, "They spoke of houses.").await;
    stage.clock.advance_ms(DAY_MS);
    let second = open(&stage, &stage.u1, json!({})).await;
    assert_ne!(second["threadId"], first["threadId"]);
    assert_ne!(second["sessionId"], first["sessionId"]);
    assert_eq!((&second["isNew"], &second["previousSummary"]), (&json!(true), &json!("They spoke of houses.")));
    let listed =
        stage.ok(&stage.u1, "threads:page", json!({ "paginationOpts": { "numItems": 9, "cursor": null } })).await;
    let listed: Vec<&Value> = listed["page"].as_array().unwrap().iter().map(|thread| &thread["_id"]).collect();
    assert_eq!(listed, [&second["threadId"], &first["threadId"]]);
    assert_eq!(stage.messages(&stage.u1, &old).await.len(), 16);
    // Once, and marked as earlier.
    let told = recalled(&stage, &stage.u1, &text(&second["threadId"])).await;
    assert_eq!(told.matches("They spoke of houses.").count(), 1);
    assert!(told.contains("Earlier conversation"), "{told}");
    stage.healthy().await;
}

#[tokio::test]
async fn se_03_fifty_calls_at_once_make_one_thread() {
    let stage = Stage::new().await;
    let first = open(&stage, &stage.u1, json!({})).await;
    stage.clock.advance_ms(DAY_MS);
    let calls = (0..50).map(|_| open(&stage, &stage.u1, json!({})));
    let opened = join_all(calls.collect()).await;
    let threads: HashSet<&str> = opened.iter().map(|opened| opened["threadId"].as_str().unwrap()).collect();
    assert_eq!(threads.len(), 1);
    assert!(!threads.contains(first["threadId"].as_str().unwrap()));
    assert_eq!(opened.iter().filter(|opened| opened["isNew"] == json!(true)).count(), 1);
    stage.healthy().await;
}

#[tokio::test]
async fn se_04_the_time_out_is_the_applications_and_without_one_nothing_rolls_over() {
    let policy = WindowPolicy { timeout_ms: Some(HOUR_MS), hide_earlier: true, carry_summary: false };
    let windows = Windows(BTreeMap::from([("desk".to_owned(), policy)]));
    let stage = Stage::with(Settings { windows, ..Settings::default() }).await;
    let desk = open(&stage, &stage.u1, json!({ "app": "desk" })).await;
    let notes = open(&stage, &stage.u1, json!({ "app": "notes" })).await;
    let plain = stage.ok(&stage.u1, "threads:getOrCreateDefault", json!({})).await;
    assert_ne!(desk["threadId"], notes["threadId"]);
    assert_eq!((&desk["hideEarlier"], &notes["hideEarlier"]), (&json!(true), &json!(false)));
    talk(&stage, &stage.u1, &text(&desk["threadId"]), "hello").await;
    stage.clock.advance_ms(HOUR_MS - 1);
    assert_eq!(open(&stage, &stage.u1, json!({ "app": "desk" })).await["isNew"], json!(false));
    stage.clock.advance_ms(HOUR_MS);
    let next = open(&stage, &stage.u1, json!({ "app": "desk" })).await;
    assert_eq!((&next["isNew"], next.get("previousSummary")), (&json!(true), None));
    assert_eq!(stage.system("summaries:due", json!({ "limit": 10 })).await, json!([]), "nothing is carried");
    assert_eq!(recalled(&stage, &stage.u1, &text(&next["threadId"])).await.matches("about hello").count(), 0);
    stage.clock.advance_ms(30 * DAY_MS);
    assert_eq!(open(&stage, &stage.u1, json!({ "app": "notes" })).await["threadId"], notes["threadId"]);
    assert_eq!(stage.ok(&stage.u1, "threads:getOrCreateDefault", json!({})).await, plain);
    assert_eq!(stage.code(&stage.u1, "threads:getOrCreate", json!({ "app": " " })).await, Code::BadRequest);
    stage.healthy().await;
}

#[tokio::test]
async fn se_01_each_role_has_a_window_of_its_own_that_is_answered_in_it() {
    let choice = |id: &str| RoleChoice { id: id.into(), name: id.to_uppercase() };
    let roles = Roles { known: ["investor", "broker", "admin"].map(choice).to_vec(), default: Some("investor".into()) };
    let stage = Stage::with(Settings { roles, ..Settings::default() }).await;
    let give = json!({ "userId": stage.u1.user(), "roles": ["investor", "broker"] });
    stage.system("users:setRoles", give).await;
    let usual = open(&stage, &stage.u1, json!({})).await;
    let broker = open(&stage, &stage.u1, json!({ "roleScope": "broker" })).await;
    assert_eq!((&usual["roleScope"], &broker["roleScope"]), (&json!("investor"), &json!("broker")));
    assert_ne!(usual["threadId"], broker["threadId"]);
    // A role that the user lacks is not followed, and noted.
    let refused = open(&stage, &stage.u1, json!({ "roleScope": "admin" })).await;
    assert_eq!(refused["threadId"], usual["threadId"]);
    let trail = stage.system("audit:list", json!({ "paginationOpts": { "numItems": 5, "cursor": null } })).await;
    assert_eq!(trail["page"][0]["action"], json!("role.hint"));
    // What was said as a broker is not told to an investor, whatever a turn asks for.
    let send = json!({ "threadId": broker["threadId"], "text": "hello", "role": "investor" });
    let sent = stage.ok(&stage.u1, "turns:send", send).await;
    let generation = stage.ok(&stage.u1, "generations:get", json!({ "generationId": sent["generationId"] })).await;
    assert_eq!(generation["effectiveRole"], json!("broker"));
    stage.healthy().await;
}

#[tokio::test]
async fn se_06_a_window_that_closes_without_a_summary_gets_one_and_the_next_waits_for_it() {
    let stage = Stage::new().await;
    let old = text(&open(&stage, &stage.u1, json!({})).await["threadId"]);
    talk(&stage, &stage.u1, &old, "a house").await;
    talk(&stage, &stage.u1, &old, "a garden").await;
    stage.clock.advance_ms(25 * HOUR_MS);
    let opened = open(&stage, &stage.u1, json!({})).await;
    assert_eq!((&opened["isNew"], opened.get("previousSummary")), (&json!(true), None));
    let new = text(&opened["threadId"]);
    let turn = stage.send(&stage.u1, &new, "go on").await;
    let awaited = || stage.system("summaries:awaited", json!({ "generationId": turn.generation }));
    assert_eq!(awaited().await, json!(stage.clock_ms() + 20_000));
    let work = summarise(&stage, &old, "A house with a garden.").await;
    let said: Vec<&Value> = work["messages"].as_array().unwrap().iter().map(|said| &said["text"]).collect();
    assert_eq!(said, ["a house", "about a house", "a garden", "about a garden"].map(|said| json!(said)).each_ref());
    assert_eq!(awaited().await, Value::Null);
    let claim = stage.system("driver:claim", json!({ "generationId": turn.generation, "owner": "d" })).await;
    let told = told(&claim);
    assert_eq!(told.matches("A house with a garden.").count(), 1);
    assert!(!told.contains("about a garden"), "what the summary has is not quoted besides: {told}");
    stage.healthy().await;
}

#[tokio::test]
async fn se_06_where_making_it_fails_the_end_is_quoted() {
    let stage = Stage::new().await;
    let old = text(&open(&stage, &stage.u1, json!({})).await["threadId"]);
    for n in 0..7 {
        talk(&stage, &stage.u1, &old, &format!("point {n}")).await;
    }
    stage.clock.advance_ms(DAY_MS);
    let new = text(&open(&stage, &stage.u1, json!({})).await["threadId"]);
    let work = stage.system("summaries:claim", json!({ "threadId": old, "owner": "s" })).await;
    let failed = json!({ "threadId": old, "owner": "s", "epoch": work["epoch"] });
    stage.system("summaries:failed", failed).await;
    let turn = stage.send(&stage.u1, &new, "go on").await;
    let awaited = stage.system("summaries:awaited", json!({ "generationId": turn.generation })).await;
    assert_eq!(awaited, Value::Null, "nobody waits for what failed");
    let claim = stage.system("driver:claim", json!({ "generationId": turn.generation, "owner": "d" })).await;
    let told = told(&claim);
    assert!(told.contains("User: point 2\nAssistant: about point 2") && told.contains("about point 6"), "{told}");
    assert!(!told.contains("point 1"), "ten messages: {told}");
    // It is tried again after the pause.
    let due = stage.system("summaries:due", json!({ "limit": 10 })).await;
    assert_eq!(due[0]["dueAt"], json!(stage.clock_ms() + 30_000));
    stage.clock.advance_ms(30_000);
    summarise(&stage, &old, "Seven points.").await;
    stage.healthy().await;
}

#[tokio::test]
async fn se_02_a_window_in_which_nothing_was_said_hands_on_what_it_was_given() {
    let stage = Stage::new().await;
    let first = text(&open(&stage, &stage.u1, json!({})).await["threadId"]);
    talk(&stage, &stage.u1, &first, "a boat").await;
    stage.clock.advance_ms(DAY_MS);
    open(&stage, &stage.u1, json!({})).await;
    summarise(&stage, &first, "About a boat.").await;
    stage.clock.advance_ms(DAY_MS);
    let third = open(&stage, &stage.u1, json!({})).await;
    assert_eq!(third["previousSummary"], json!("About a boat."));
    // The next summary is built on it, and takes its place in the prompt.
    let third = text(&third["threadId"]);
    for n in 0..8 {
        talk(&stage, &stage.u1, &third, &format!("sail {n}")).await;
    }
    let work = summarise(&stage, &third, "A boat and its sails.").await;
    assert_eq!(work["previous"], json!("About a boat."));
    let told = recalled(&stage, &stage.u1, &third).await;
    assert!(told.contains("A boat and its sails.") && !told.contains("About a boat."), "{told}");
    stage.healthy().await;
}

#[tokio::test]
async fn se_11_earlier_windows_are_apart_and_can_be_reached() {
    let stage = Stage::new().await;
    let first = open(&stage, &stage.u1, json!({})).await;
    talk(&stage, &stage.u1, &text(&first["threadId"]), "secret plan").await;
    stage.clock.advance_ms(DAY_MS);
    let second = open(&stage, &stage.u1, json!({})).await;
    assert!(stage.messages(&stage.u1, &text(&second["threadId"])).await.is_empty());
    let list = json!({ "app": "assistant", "paginationOpts": { "numItems": 10, "cursor": null } });
    let windows = stage.ok(&stage.u1, "windows:page", list).await;
    let windows = windows["page"].as_array().unwrap();
    assert_eq!((&windows[0]["_id"], &windows[1]["_id"]), (&second["sessionId"], &first["sessionId"]));
    assert_eq!((windows[0].get("closedAt"), &windows[1]["closedAt"]), (None, &json!(stage.clock_ms())));
    assert_eq!(stage.messages(&stage.u1, &text(&windows[1]["threadId"])).await.len(), 2);
}

#[tokio::test]
async fn se_10_a_thread_that_is_removed_closes_its_window_and_hands_nothing_on() {
    let stage = Stage::new().await;
    let first = open(&stage, &stage.u1, json!({})).await;
    talk(&stage, &stage.u1, &text(&first["threadId"]), "forget me").await;
    stage.ok(&stage.u1, "threads:remove", json!({ "threadId": first["threadId"] })).await;
    let second = open(&stage, &stage.u1, json!({})).await;
    assert_eq!((&second["isNew"], second.get("previousSummary")), (&json!(true), None));
    assert!(!recalled(&stage, &stage.u1, &text(&second["threadId"])).await.contains("forget me"));
    stage.healthy().await;
    while stage.system("threads:purge", json!({ "limit": 3 })).await["hasMore"] == json!(true) {}
    stage.healthy().await;
}

#[tokio::test]
async fn ag_05_a_new_window_is_greeted_once_however_many_ask() {
    let stage = Stage::new().await;
    let calls = (0..5).map(|_| open(&stage, &stage.u1, json!({ "greeting": true })));
    let opened = join_all(calls.collect()).await;
    assert_eq!(opened.iter().filter(|opened| opened.get("generationId").is_some()).count(), 1);
    let messages = stage.messages(&stage.u1, &text(&opened[0]["threadId"])).await;
    assert_eq!((messages.len(), &messages[0]["opening"]), (2, &json!(true)));
}

#[tokio::test]
async fn gu_02_windows_and_memory_of_a_guest_go_to_the_account_whose_own_come_first() {
    let stage = Stage::new().await;
    let guest = text(&stage.system("guests:admit", json!({ "issuer": "spool:test", "subject": "g" })).await);
    let guest = Principal::User { user: spool_store::Id::parse(&guest).unwrap() };
    for who in [&guest, &stage.u1] {
        let name = text(&json!(who.user()));
        open(&stage, who, json!({})).await;
        stage
            .ok(who, "memory:update", json!({ "baseVersion": 0, "entries": [{ "text": format!("of {name}") }] }))
            .await;
        stage.ok(who, "profile:set", json!({ "fields": { "name": name } })).await;
    }
    let only = open(&stage, &guest, json!({ "app": "guests" })).await;
    let own = open(&stage, &stage.u1, json!({})).await;
    stage.ok(&guest, "instructions:set", json!({ "text": "Be kind." })).await;
    let claim = json!({ "guest": guest.user(), "into": stage.u1.user() });
    let mut moved = stage.system("users:claim", claim).await;
    while moved["hasMore"] == json!(true) {
        moved = stage.system("users:move", json!({ "limit": 500 })).await;
    }
    stage.healthy().await;
    assert_eq!(open(&stage, &stage.u1, json!({})).await["threadId"], own["threadId"]);
    assert_eq!(open(&stage, &stage.u1, json!({ "app": "guests" })).await["threadId"], only["threadId"]);
    let memory = stage.ok(&stage.u1, "memory:get", json!({})).await;
    assert_eq!(memory["entries"].as_array().unwrap().len(), 2);
    assert_eq!(stage.ok(&stage.u1, "instructions:get", json!({})).await["text"], json!("Be kind."));
    let profile = stage.ok(&stage.u1, "profile:get", json!({})).await;
    assert_eq!(profile["fields"]["name"], json!(stage.u1.user()));
}
