//! The turn driver's functions: leases, fencing, and what a lost driver leaves.

use serde_json::{Value, json};
use spool_chat::{Principal, Settings};
use spool_protocol::Code;

use crate::stage::{OWNER, Stage, Turn, begin, held, text, words};
use crate::users::join_all;

async fn sent(stage: &Stage) -> Turn {
    let thread = stage.thread(&stage.u1).await;
    stage.send(&stage.u1, &thread, "hello").await
}

fn claim_as(turn: &Turn, owner: &str) -> Value {
    json!({ "generationId": turn.generation, "owner": owner })
}

async fn status(stage: &Stage, turn: &Turn) -> String {
    text(&stage.system("driver:watch", json!({ "generationId": turn.generation })).await["status"])
}

#[tokio::test]
async fn st_11_one_driver_wins_and_gets_the_history() {
    let stage = Stage::new().await;
    let first = sent(&stage).await;
    stage.answer(&first.generation, "hi", "complete").await;
    let failed = stage.send(&stage.u1, &first.thread, "again").await;
    stage.answer(&failed.generation, "par", "error").await;
    stage.clock.advance_ms(5);
    let turn = stage.send(&stage.u1, &first.thread, "third").await;
    let other = sent(&stage).await;
    assert_eq!(stage.system("driver:queue", json!({ "limit": 10 })).await, json!([turn.generation, other.generation]));
    assert_eq!(stage.system("driver:queue", json!({ "limit": 1 })).await, json!([turn.generation]));
    let claims =
        join_all((0..5).map(|n| stage.system("driver:claim", claim_as(&turn, &format!("d{n}")))).collect()).await;
    let won: Vec<&Value> = claims.iter().filter(|claim| !claim.is_null()).collect();
    assert_eq!(won.len(), 1);
    let claim = won[0];
    let history: Vec<_> =
        claim["history"].as_array().unwrap().iter().map(|m| (text(&m["role"]), text(&m["text"]))).collect();
    let line = |role: &str, said: &str| (role.to_owned(), said.to_owned());
    assert_eq!(history, [line("user", "hello"), line("assistant", "hi"), line("user", "again"), line("user", "third")]);
    assert_eq!((&claim["epoch"], &claim["attempt"], &claim["messageId"]), (&json!(1), &json!(1), &json!(turn.message)));
    assert_eq!(claim["leaseExpiresAt"], stage.system("driver:nextExpiry", json!({})).await);
    assert_eq!(stage.system("driver:queue", json!({ "limit": 10 })).await, json!([other.generation]));
}

#[tokio::test]
async fn ms_15_a_retry_in_the_middle_sees_only_what_came_before() {
    let stage = Stage::new().await;
    let first = sent(&stage).await;
    stage.answer(&first.generation, "par", "error").await;
    let second = stage.send(&stage.u1, &first.thread, "later").await;
    stage.answer(&second.generation, "fine", "complete").await;
    let retried = stage.ok(&stage.u1, "turns:retry", json!({ "messageId": first.message })).await;
    let claim = stage.system("driver:claim", json!({ "generationId": retried["generationId"], "owner": OWNER })).await;
    assert_eq!(claim["history"].as_array().unwrap().len(), 1);
    assert_eq!(claim["attempt"], json!(2));
}

#[tokio::test]
async fn the_history_is_bounded() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    for number in 0..80 {
        stage
            .ok(
                &stage.u1,
                "messages:append",
                json!({ "threadId": thread, "role": "user", "text": format!("{number}") }),
            )
            .await;
    }
    let turn = stage.send(&stage.u1, &thread, "last").await;
    let claim = stage.system("driver:claim", claim_as(&turn, OWNER)).await;
    let history = claim["history"].as_array().unwrap();
    assert_eq!((history.len(), &history[0]["text"], &history[39]["text"]), (40, &json!("41"), &json!("last")));
}

#[tokio::test]
async fn ag_11_of_500_messages_a_model_gets_what_is_configured_with_the_last_ten_unchanged() {
    let said = |number: usize| format!("{number} \u{1F3E0}\r\n  \"{}\"", "x".repeat(number % 7 * 100));
    for (history_messages, history_bytes) in [(12, 1 << 20), (100, 1 << 20), (1_000, 1 << 20), (100, 6_000)] {
        let settings = Settings { history_messages, history_bytes, ..Settings::default() };
        let stage = Stage::with(settings).await;
        let thread = stage.thread(&stage.u1).await;
        for number in 0..500 {
            let args = json!({ "threadId": thread, "role": "user", "text": said(number) });
            stage.ok(&stage.u1, "messages:append", args).await;
        }
        let turn = stage.send(&stage.u1, &thread, "and now?").await;
        let claim = stage.system("driver:claim", claim_as(&turn, OWNER)).await;
        let mut told: Vec<String> =
            claim["history"].as_array().unwrap().iter().map(|message| text(&message["text"])).collect();
        let room = history_bytes - "and now?".len();
        let fits = |told: &mut usize, said: String| {
            Some(*told + said.len()).filter(|all| *all <= room).inspect(|all| *told = *all)
        };
        let expected =
            (0..500).rev().map(said).scan(0, |told, said| fits(told, said)).take(history_messages - 1).count();
        assert_eq!(told.pop().unwrap(), "and now?");
        assert_eq!(told.len(), expected, "{history_messages} messages, {history_bytes} bytes");
        let last: Vec<String> = (490..500).map(said).collect();
        assert_eq!(told[told.len() - 10..], last);
    }
}

#[tokio::test]
async fn st_11_who_lost_the_lease_changes_nothing_any_more() {
    let stage = Stage::new().await;
    let turn = sent(&stage).await;
    stage.system("driver:claim", claim_as(&turn, OWNER)).await;
    assert_eq!(stage.system("driver:renew", held(&turn.generation, 1)).await, json!(true));
    stage.clock.advance_ms(20_000);
    let expired = stage.system("driver:expire", json!({})).await;
    assert_eq!((&expired["requeued"], &expired["interrupted"]), (&json!(1), &json!(0)));
    assert!(stage.system("driver:nextExpiry", json!({})).await.is_null());
    let claim = stage.system("driver:claim", claim_as(&turn, "driver-2")).await;
    assert_eq!(claim["epoch"], json!(2));
    let mut old = held(&turn.generation, 1);
    assert_eq!(stage.system("driver:renew", old.clone()).await, json!(false));
    assert_eq!(stage.code(&Principal::System, "driver:append", begin(old.clone())).await, Code::Forbidden);
    old["status"] = json!("complete");
    let error = stage.refused(&Principal::System, "driver:finish", old).await;
    assert_eq!((error.code, error.data.unwrap()["reason"].clone()), (Code::Forbidden, json!("lease_lost")));
    let wrong_epoch = json!({ "generationId": turn.generation, "owner": "driver-2", "epoch": 1 });
    assert_eq!(stage.code(&Principal::System, "driver:append", begin(wrong_epoch)).await, Code::Forbidden);
    stage.healthy().await;
}

#[tokio::test]
async fn st_11_a_lease_that_is_over_ends_what_was_begun_and_keeps_the_text() {
    let stage = Stage::new().await;
    let (begun, silent, unstarted, alive) =
        (sent(&stage).await, sent(&stage).await, sent(&stage).await, sent(&stage).await);
    for turn in [&begun, &silent] {
        stage.start(&turn.generation).await;
    }
    stage.append(&begun.generation, 0, &[words("half an ans")]).await;
    stage.system("driver:claim", claim_as(&unstarted, OWNER)).await;
    stage.append(&unstarted.generation, 0, &[words("early")]).await; // the row does not say that it began, the log does
    stage.clock.advance_ms(10_000);
    stage.start(&alive.generation).await;
    stage.clock.advance_ms(10_000);
    let expired = stage.system("driver:expire", json!({})).await;
    assert_eq!(expired, json!({ "interrupted": 3, "requeued": 0, "stopped": 0, "hasMore": false }));
    let message = stage.ok(&stage.u1, "messages:get", json!({ "messageId": begun.message })).await;
    assert_eq!((&message["status"], &message["text"]), (&json!("interrupted"), &json!("half an ans")));
    assert_eq!(message["error"]["code"], json!("interrupted"));
    assert_eq!(status(&stage, &alive).await, "streaming");
    assert_eq!(stage.system("driver:expire", json!({})).await["interrupted"], json!(0), "a second look finds nothing");
    stage.healthy().await;
}

#[tokio::test]
async fn st_11_a_start_up_alone_ends_the_leases_of_every_other_driver() {
    let stage = Stage::new().await;
    let (begun, claimed, stopped) = (sent(&stage).await, sent(&stage).await, sent(&stage).await);
    stage.start(&begun.generation).await;
    stage.system("driver:claim", claim_as(&claimed, OWNER)).await;
    stage.start(&stopped.generation).await;
    stage.ok(&stage.u1, "generations:stop", json!({ "generationId": stopped.generation })).await;
    let service = stage.service(&["generations:*"]).await;
    let thread = stage.thread(&stage.u1).await;
    let outside = stage.ok(&service, "generations:open", json!({ "threadId": thread, "text": "x" })).await;
    let expired = stage.system("driver:expire", json!({ "owner": "driver-2", "onlyOwner": true })).await;
    assert_eq!(expired, json!({ "interrupted": 1, "requeued": 1, "stopped": 1, "hasMore": false }));
    assert_eq!(status(&stage, &stopped).await, "stopped");
    let outside = stage.ok(&stage.u1, "generations:get", json!({ "generationId": outside["generationId"] })).await;
    assert_eq!(outside["status"], json!("claimed"), "a runner outside did not restart");
    assert_eq!(
        stage.system("driver:expire", json!({ "owner": OWNER, "onlyOwner": true })).await["interrupted"],
        json!(0)
    );
    stage.healthy().await;
}

#[tokio::test]
async fn st_07_finishing_twice_is_finishing_once() {
    let stage = Stage::new().await;
    let turn = sent(&stage).await;
    let epoch = stage.start(&turn.generation).await;
    stage.append(&turn.generation, 0, &[words("done")]).await;
    let mut finish = held(&turn.generation, epoch);
    finish["status"] = json!("complete");
    let first = stage.system("driver:finish", finish.clone()).await;
    assert_eq!(first, json!({ "status": "complete", "cursor": 5 }));
    finish["status"] = json!("error");
    assert_eq!(stage.system("driver:finish", finish).await, first);
    let late = stage.store.append(&turn.generation, 5, 1, "[]".into()).await.unwrap_err();
    assert_eq!(late.code, Code::LogSealed);
    assert_eq!(
        stage.code(&Principal::System, "driver:append", begin(held(&turn.generation, epoch))).await,
        Code::Forbidden
    );
    assert_eq!(stage.system("driver:renew", held(&turn.generation, epoch)).await, json!(false));
    stage.healthy().await;
}

#[tokio::test]
async fn an_answer_without_an_event_can_end_in_every_way() {
    let stage = Stage::new().await;
    for end in ["complete", "error", "stopped", "interrupted"] {
        let turn = sent(&stage).await;
        let claim = stage.system("driver:claim", claim_as(&turn, OWNER)).await;
        let mut finish = held(&turn.generation, claim["epoch"].as_u64().unwrap());
        finish["status"] = json!(end);
        stage.system("driver:finish", finish).await;
        assert_eq!(status(&stage, &turn).await, end);
    }
    stage.healthy().await;
}

#[tokio::test]
async fn ms_11_an_answer_too_long_to_keep_ends_with_an_error_and_what_fits() {
    let stage = Stage::new().await;
    let turn = sent(&stage).await;
    let epoch = stage.start(&turn.generation).await;
    let piece = "\u{1}".repeat(1 << 20); // six bytes of JSON each
    let mut at = 0;
    for _ in 0..6 {
        at = stage.append(&turn.generation, at, &[words(&piece)]).await;
    }
    let mut finish = held(&turn.generation, epoch);
    finish["status"] = json!("complete");
    assert_eq!(stage.system("driver:finish", finish).await["status"], json!("error"));
    let message = stage.ok(&stage.u1, "messages:get", json!({ "messageId": turn.message })).await;
    assert_eq!(message["error"]["code"], json!("too_large"));
    assert!(text(&message["text"]).len() > 4 << 20);
}

#[tokio::test]
async fn an_answer_that_takes_every_runner_down_ends() {
    let stage = Stage::new().await;
    let thread = stage.thread(&stage.u1).await;
    let turn = stage.send(&stage.u1, &thread, "hello").await;
    let mut runners = 0;
    loop {
        let claim = json!({ "generationId": turn.generation, "owner": OWNER });
        let claimed = stage.system("driver:claim", claim).await;
        if claimed.is_null() {
            break;
        }
        runners += 1;
        let lease = json!({ "generationId": turn.generation, "owner": OWNER, "epoch": claimed["epoch"] });
        stage.system("driver:append", begin(lease.clone())).await;
        if runners == 1 {
            let call = json!({ "toolCallId": "c", "tool": "t", "input": {}, "verdict": { "type": "run" } });
            stage.system("driver:submit", json!({ "lease": lease, "events": [], "calls": [call] })).await;
        }
        stage.system("driver:expire", json!({ "owner": "another", "onlyOwner": true })).await;
        assert!(runners < 20, "it is taken again for ever");
    }
    assert_eq!(runners, 6);
    let generation = stage.ok(&stage.u1, "generations:get", json!({ "generationId": turn.generation })).await;
    assert_eq!(generation["status"], "interrupted");
    stage.healthy().await;
}
