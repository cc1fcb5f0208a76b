//! MCP servers that work, and such that hang, die, flood, change their minds and never get ready.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use spool_server::tools::FailureKind;
use tokio::time::timeout;

use crate::place::{PATIENCE, Place, invocation, verify};
use crate::process::config;

fn one() -> Place {
    Place::open(&config("rust", "timeout_seconds = 1\nprefix = \"\"\nenv = { MCP_SECRET = \"planted-secret\" }"))
}

#[tokio::test]
async fn tc_10_tools_are_listed_page_by_page_and_called() {
    let place = Place::open(&config("rust", "exclude = [\"fl*\"]\n[tools.mcp.rust.tools.large]\napprovers = 2"));
    let names = place.names().await;
    assert!(names.len() == 12 && names.contains(&"rust_picture".to_owned()), "{names:?}");
    assert!(!names.contains(&"rust_flood".to_owned()), "{names:?}");
    let (echo, large) = (place.spec("rust_echo").await, place.spec("rust_large").await);
    assert!(!echo.writes && echo.idempotent && large.writes && !large.idempotent && large.approvers == 2);
    let answer = place.call("rust_echo", json!({ "say": "hello" })).await.unwrap();
    assert_eq!(answer["input"], json!({ "say": "hello" }));
    let picture = place.call("rust_picture", json!({})).await.unwrap();
    assert_eq!((&picture[0]["text"], &picture[1]["mimeType"]), (&json!("a dot"), &json!("image/png")));
    assert_eq!(place.call("rust_large", json!({ "bytes": 3 })).await.unwrap(), json!("xxx"));
    place.close().await;
}

#[tokio::test]
async fn tc_03_a_server_is_told_who_calls_in_a_way_that_it_can_check() {
    let place = one();
    place.names().await;
    let meta = place.call("echo", json!({})).await.unwrap()["meta"].clone();
    assert_eq!(meta["spool/callId"], "tc_1");
    let claims = verify(&place.tokens, meta["spool/caller"].as_str().unwrap(), "tool:rust/echo");
    assert_eq!(
        (&claims["sub"], &claims["role"], &claims["call"]),
        (&json!("usr_ann"), &json!("broker"), &json!("tc_1"))
    );
    assert_eq!(
        (&claims["thread"], &claims["generation"], &claims["agent"]),
        (&json!("thr_1"), &json!("gen_1"), &json!("assistant"))
    );
    assert!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap() <= 300);
    place.close().await;
}

#[tokio::test]
async fn tc_05_an_input_against_the_schema_and_a_tool_that_is_not_there_end_in_words() {
    let place = one();
    place.names().await;
    let failure = place.call("echo", json!({ "bytes": "five" })).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("/bytes: expected an integer"), "{}", failure.message);
    let failure = place.call("nope", json!({})).await.unwrap_err();
    assert!(failure.kind == FailureKind::Unavailable && failure.message.contains("nope"), "{failure:?}");
    place.close().await;
}

#[tokio::test]
async fn tc_07_a_tool_that_hangs_costs_its_own_call_and_is_told_of_the_end() {
    let place = one();
    place.names().await;
    let (hang, echo) = tokio::join!(place.call("hang", json!({})), async {
        let began = Instant::now();
        (place.call("echo", json!({})).await, began.elapsed())
    });
    let failure = hang.unwrap_err();
    assert!(failure.kind == FailureKind::TimedOut && failure.message.contains("within 1 s"), "{failure:?}");
    assert!(echo.0.is_ok() && echo.1 < Duration::from_secs(1), "others wait for nothing");
    // A call that nobody waits for any more.
    drop(
        tokio::time::timeout(Duration::from_millis(50), place.toolbox.call(invocation("tc_2", "hang", json!({}))))
            .await,
    );
    let began = Instant::now();
    while place.call("cancelled", json!({})).await.unwrap()["count"] != 2 {
        assert!(began.elapsed() < PATIENCE, "the server is not told of dropped calls");
    }
    place.close().await;
}

async fn pid(place: &Place) -> Value {
    place.call("echo", json!({})).await.unwrap()["pid"].clone()
}

#[tokio::test]
async fn tc_10_a_server_that_dies_is_started_again_for_the_next_call() {
    let place = one();
    place.names().await;
    let before = pid(&place).await;
    let failure = place.call("die", json!({})).await.unwrap_err();
    assert!(failure.kind == FailureKind::Failed && failure.message.contains("went away"), "{failure:?}");
    assert_ne!(pid(&place).await, before);
    place.close().await;
}

#[tokio::test]
async fn tc_07_a_server_that_floods_is_cut_off_and_started_again() {
    let place = Place::open(&config("rust", "timeout_seconds = 20\nprefix = \"\""));
    place.names().await;
    for (tool, kind, says) in
        [("flood", FailureKind::Failed, "MiB unasked"), ("line", FailureKind::TooLarge, "more than 16 MiB")]
    {
        let before = pid(&place).await;
        let failure = place.call(tool, json!({})).await.unwrap_err();
        assert!(failure.kind == kind && failure.message.contains(says), "{tool}: {failure:?}");
        let after = pid(&place).await;
        assert_ne!(after, before, "{tool}");
        assert!(!is_alive(&before), "{tool}: what floods is ended");
    }
    place.close().await;
}

#[tokio::test]
async fn tc_07_large_answers_come_whole_up_to_the_bound() {
    let place = Place::open(&config("rust", "timeout_seconds = 20\nprefix = \"\""));
    place.names().await;
    let answer = place.call("large", json!({ "bytes": 10_000_000 })).await.unwrap();
    assert_eq!(answer.as_str().unwrap().len(), 10_000_000);
    let failure = place.call("large", json!({ "bytes": 17 << 20 })).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TooLarge, "{failure:?}");
    assert_eq!(place.call("large", json!({ "bytes": 1 })).await.unwrap(), json!("x"));
    place.close().await;
}

#[tokio::test]
async fn tc_06_nonsense_and_complaints_are_passed_over() {
    let place = one();
    place.names().await;
    let before = pid(&place).await;
    let failure = place.call("nonsense", json!({})).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimedOut, "{failure:?}");
    assert_eq!(place.call("complain", json!({})).await.unwrap(), json!("done"));
    assert_eq!(pid(&place).await, before, "neither costs the connection");
    place.close().await;
}

#[tokio::test]
async fn tc_10_a_tool_that_vanishes_in_mid_turn_is_unavailable_and_a_new_one_is_there() {
    let place = one();
    assert!(place.names().await.contains(&"hang".to_owned()));
    place.call("change", json!({})).await.unwrap();
    place.until(|names| names.contains(&"new".to_owned()) && !names.contains(&"hang".to_owned())).await;
    let failure = place.call("hang", json!({})).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure:?}");
    place.close().await;
}

#[tokio::test]
async fn op_06_what_fails_says_why_without_secrets() {
    let place = one();
    place.names().await;
    for (tool, says) in [("fail", "no such flat"), ("refuse", "not for …")] {
        let failure = place.call(tool, json!({})).await.unwrap_err();
        assert!(failure.kind == FailureKind::Failed && failure.message.contains(says), "{failure:?}");
        assert!(!failure.message.contains("planted") && !failure.message.contains("eyJ"), "{failure:?}");
    }
    place.close().await;
}

#[tokio::test]
async fn op_06_a_process_gets_a_small_environment() {
    let place = one();
    place.names().await;
    let env = place.call("echo", json!({})).await.unwrap()["env"].clone();
    let names: Vec<&str> = env.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(std::env::var("CARGO_MANIFEST_DIR").is_ok(), "set for tests, and not for what they start");
    assert!(
        names.contains(&"PATH") && names.contains(&"MCP_SECRET") && !names.contains(&"CARGO_MANIFEST_DIR"),
        "{names:?}"
    );
    place.close().await;
}

#[tokio::test]
async fn tc_10_servers_that_never_get_ready_keep_nobody_waiting() {
    let began = Instant::now();
    let place = Place::open(&format!(
        "{}{}{}{}[tools.mcp.gone]\ncommand = \"/no/such/program\"\n[tools.mcp.closed]\nurl = \"http://127.0.0.1:9/mcp\"\nallow_private = true\n",
        config("good", ""),
        config("mute", "env = { MCP_START = \"mute\" }"),
        config("exit", "env = { MCP_START = \"exit\", MCP_SECRET = \"planted-secret\" }"),
        config("endless", "env = { MCP_START = \"endless\" }"),
    ));
    assert!(began.elapsed() < Duration::from_secs(1), "opening waits for none");
    let names = place.names().await;
    assert!(names.iter().all(|name| name.starts_with("good_")) && names.len() == 13, "{names:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "the first list waits a few seconds");
    let again = Instant::now();
    place.names().await;
    assert!(again.elapsed() < Duration::from_secs(1), "and no other");
    assert!(place.call("good_echo", json!({})).await.is_ok());
    place.close().await;
}

#[tokio::test]
async fn tc_10_a_call_that_comes_before_the_first_list_waits_for_it() {
    let place = one();
    assert!(place.call("echo", json!({})).await.is_ok());
    place.close().await;
}

#[tokio::test]
async fn tc_10_of_two_tools_with_one_name_the_first_server_has_it() {
    let place =
        Place::open(&format!("{}{}", config("a", "prefix = \"\""), config("b", "prefix = \"\"\ninclude = [\"echo\"]")));
    place.until(|names| names.len() == 13).await;
    let meta = place.call("echo", json!({})).await.unwrap()["meta"].clone();
    verify(&place.tokens, meta["spool/caller"].as_str().unwrap(), "tool:a/echo");
    place.close().await;
}

#[tokio::test]
async fn tc_10_a_tool_with_the_name_of_one_of_spool_itself_is_left_out_also_when_it_comes_later() {
    let place = Place::open(&config("rust", "prefix = \"\"\nenv = { MCP_MORE = \"ask_human\" }"));
    place.until(|names| names.contains(&"echo".to_owned())).await;
    assert!(!place.names().await.contains(&"ask_human".to_owned()));
    let failure = place.call("ask_human", json!({})).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure:?}");
    place.call("change", json!({ "say": "forget" })).await.unwrap();
    place.until(|names| !names.contains(&"hang".to_owned())).await;
    assert!(!place.names().await.contains(&"forget".to_owned()));
    place.close().await;
}

/// A call that a person agreed to runs where it was meant to, or nowhere.
#[tokio::test]
async fn tc_10_a_server_that_is_down_or_took_a_tool_away_keeps_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let once = format!("prefix = \"\"\nenv = {{ MCP_START = \"once:{}\" }}", dir.path().join("there").display());
    let place =
        Place::open(&format!("{}{}", config("a", &once), config("b", "prefix = \"\"\nenv = { MCP_MORE = \"more\" }")));
    place.until(|names| names.contains(&"more".to_owned()) && names.contains(&"hang".to_owned())).await;
    // The second server lists it, too, and does not get it.
    place.call("change", json!({ "say": "more" })).await.unwrap();
    place.until(|names| !names.contains(&"hang".to_owned())).await;
    assert_eq!(place.call("hang", json!({})).await.unwrap_err().kind, FailureKind::Unavailable);
    assert_eq!(place.call("die", json!({})).await.unwrap_err().kind, FailureKind::Failed);
    let failure = place.call("echo", json!({})).await.unwrap_err();
    assert!(failure.kind == FailureKind::Unavailable && failure.message.contains("a cannot be reached"), "{failure:?}");
    assert!(!failure.message.contains("no licence"), "what it complained of is for the log: {failure:?}");
    // The first server listed this name later than the second, and so never had it.
    place.until(|names| names == ["more"]).await;
    assert_eq!(place.call("echo", json!({})).await.unwrap_err().kind, FailureKind::Unavailable);
    place.close().await;
}

#[tokio::test]
async fn tc_10_a_server_that_was_never_reached_keeps_what_may_be_its_names() {
    let place = Place::open(&format!(
        "{}{}{}",
        config("a", "prefix = \"x_\"\nenv = { MCP_START = \"exit\" }"),
        config("b", "prefix = \"x_\""),
        config("c", "prefix = \"y_\""),
    ));
    place.until(|names| names.contains(&"y_echo".to_owned())).await;
    assert!(place.names().await.iter().all(|name| name.starts_with("y_")));
    assert_eq!(place.call("x_echo", json!({})).await.unwrap_err().kind, FailureKind::Unavailable);
    place.close().await;
}

#[tokio::test]
async fn tc_07_a_server_has_a_bounded_number_of_calls_at_a_time_and_waiting_counts_as_time() {
    let place = Place::open(&config("rust", "timeout_seconds = 2\nprefix = \"\""));
    place.names().await;
    let hanging = |count: usize| join_all((0..count).map(|_| place.call("hang", json!({}))));
    let began = Instant::now();
    let ended = hanging(17).await;
    assert!(ended.iter().all(Result::is_err) && began.elapsed() < Duration::from_millis(3500), "{ended:?}");
    let mut full = Box::pin(hanging(16));
    assert!(timeout(Duration::from_millis(50), &mut full).await.is_err());
    let mut next = Box::pin(place.call("echo", json!({})));
    assert!(timeout(Duration::from_millis(200), &mut next).await.is_err(), "it waits for room");
    drop(full);
    next.await.unwrap();
    place.close().await;
}

#[tokio::test]
async fn op_04_processes_end_with_the_server() {
    let place = one();
    place.names().await;
    let pid = pid(&place).await;
    assert!(is_alive(&pid));
    place.close().await;
    assert!(!is_alive(&pid), "it is gone when the tasks are");
}

fn is_alive(pid: &Value) -> bool {
    // A process that has ended and was not waited for yet is not alive.
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}
