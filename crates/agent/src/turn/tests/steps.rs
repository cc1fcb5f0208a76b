//! Steps: calls are submitted, carried out, told to the model; limits, waiting, going on after a crash.

use serde_json::{Value, json};

use super::*;
use crate::provider::{PromptMessage, Role};

fn made(id: &str, input: Value) -> Input {
    Input::Provider(ProviderEvent::ToolCall { id: id.into(), tool: "search".into(), input, by_provider: false })
}

fn over(id: &str, result: &str) -> Call {
    staged(id, Stage::Over { result: result.into(), failed: false, then: Then::GoOn })
}

fn staged(id: &str, stage: Stage) -> Call {
    Call { row: format!("tc_{id}"), id: id.into(), input: json!({}), stage }
}

fn finish(reason: &str) -> Input {
    Input::Provider(ProviderEvent::Finish { reason: reason.into() })
}

fn turn(policy: TurnPolicy) -> Turn {
    let mut turn = Turn::new(policy);
    let request = Request { messages: vec![PromptMessage::new(Role::User, "hi")], ..Request::default() };
    turn.handle(Input::Start(Box::new(Start { request, ..Start::default() })), 0);
    turn
}

/// The ids that were submitted, and whether each was made too often.
fn submitted(effects: &[Effect]) -> Vec<(String, bool)> {
    let calls = effects.iter().find_map(|effect| match effect {
        Effect::Submit { calls, .. } => Some(calls),
        _ => None,
    });
    calls.into_iter().flatten().map(|call| (call.id.clone(), call.repeated)).collect()
}

fn asked(effects: &[Effect]) -> &Request {
    let request = effects.iter().find_map(|effect| match effect {
        Effect::CallProvider { request, .. } => Some(request),
        _ => None,
    });
    request.unwrap_or_else(|| panic!("nobody is asked: {effects:?}"))
}

fn ended(effects: &[Effect]) -> (FinalStatus, Option<&str>) {
    match effects.last() {
        Some(Effect::Finish(outcome)) => (outcome.status, outcome.finish_reason.as_deref()),
        _ => panic!("not over: {effects:?}"),
    }
}

/// One step with these calls, all of which end at once. Returns the effects of its end.
fn step(turn: &mut Turn, ids: &[&str]) -> Vec<Effect> {
    for id in ids {
        turn.handle(made(id, json!({ "of": id })), 1);
    }
    let submitted = submitted(&turn.handle(finish("tool_calls"), 1));
    let calls = submitted.iter().map(|(id, _)| over(id, "done")).collect();
    turn.handle(Input::Calls(calls), 1)
}

#[test]
fn tc_01_parallel_calls_run_and_their_results_reach_the_model_in_order() {
    let mut turn = turn(TurnPolicy::default());
    turn.handle(delta("Let me look."), 0);
    turn.handle(made("a", json!({ "q": 1 })), 0);
    turn.handle(made("b", json!({ "q": 2 })), 0);
    let effects = turn.handle(finish("tool_calls"), 1);
    assert_eq!(submitted(&effects), [("a".to_owned(), false), ("b".to_owned(), false)]);
    let ready = || vec![staged("a", Stage::Ready), staged("b", Stage::Ready)];
    let run = |row: &str| Effect::Run { row: row.into(), again: false };
    assert_eq!(turn.handle(Input::Calls(ready()), 2), [run("tc_a"), run("tc_b")]);
    // Told again, nothing runs twice; the second ends first.
    assert_eq!(turn.handle(Input::Calls(vec![staged("a", Stage::Running), over("b", "2")]), 3), []);
    assert_eq!(turn.handle(Input::Calls(vec![over("a", "1"), over("b", "2")]), 4), [Effect::Steer]);
    let effects = turn.handle(Input::Steered(vec!["And quickly.".into()]), 5);
    let said: Vec<_> = asked(&effects).messages.iter().map(|m| (m.role, m.text.as_str(), m.calls.len())).collect();
    assert_eq!(
        said,
        [
            (Role::User, "hi", 0),
            (Role::Assistant, "Let me look.", 2),
            (Role::Tool, "1", 0),
            (Role::Tool, "2", 0),
            (Role::User, "And quickly.", 0)
        ]
    );
    turn.handle(delta("Here."), 6);
    assert_eq!(ended(&turn.handle(finish("stop"), 7)), (FinalStatus::Complete, Some("stop")));
}

#[test]
fn tc_07_a_model_that_loops_is_ended_and_repetitions_do_not_run() {
    let mut turn = turn(TurnPolicy { max_steps: 5, max_repeats: 2, ..TurnPolicy::default() });
    for round in 1..=5 {
        let id = format!("c{round}");
        turn.handle(made(&id, json!({ "q": 1, "r": 2 })), 1);
        let calls = submitted(&turn.handle(finish("tool_calls"), 1));
        assert_eq!(calls, [(id.clone(), round > 2)]);
        let effects = turn.handle(Input::Calls(vec![over(&id, "same")]), 1);
        if round == 5 {
            assert_eq!(ended(&effects), (FinalStatus::Complete, Some("max_steps")));
            return;
        }
        turn.handle(Input::Steered(Vec::new()), 1);
    }
}

#[test]
fn the_end_of_a_later_text_does_not_wait_for_a_tick_of_an_earlier_step() {
    let mut turn = turn(policy());
    turn.handle(delta("a"), 100);
    assert_eq!(turn.handle(delta("b"), 101), [Effect::WakeAt(125)]);
    turn.handle(made("c", json!(1)), 102);
    turn.handle(finish("tool_calls"), 103);
    assert_eq!(turn.handle(Input::Tick, 125), []);
    turn.handle(Input::Calls(vec![over("c", "done")]), 126);
    turn.handle(Input::Steered(Vec::new()), 127);
    assert_eq!(turn.handle(delta("d"), 130), [Effect::Append(vec![text("d")])]);
    assert_eq!(turn.handle(delta("e"), 131), [Effect::WakeAt(155)]);
    assert_eq!(turn.handle(Input::Tick, 155), [Effect::Append(vec![text("e")])]);
}

#[test]
fn tc_06_ids_that_a_server_counts_anew_in_every_step_stay_apart() {
    let mut turn = turn(TurnPolicy::default());
    assert_eq!(step(&mut turn, &["call_0"]), [Effect::Steer]);
    turn.handle(Input::Steered(Vec::new()), 1);
    turn.handle(made("call_0", json!({ "other": 1 })), 1);
    assert_eq!(submitted(&turn.handle(finish("tool_calls"), 1)), [("call_0_2".to_owned(), false)]);
}

#[test]
fn ap_08_what_waits_is_let_go_and_what_is_decided_goes_on() {
    let mut turn = turn(TurnPolicy::default());
    turn.handle(made("a", json!(1)), 1);
    turn.handle(made("b", json!(2)), 1);
    turn.handle(finish("tool_calls"), 1);
    let waiting = |a: Stage| vec![staged("a", a), staged("b", Stage::Waiting)];
    let park = Effect::Settle { park: true };
    assert_eq!(turn.handle(Input::Calls(waiting(Stage::Waiting)), 1), std::slice::from_ref(&park));
    // One was approved before the turn could be let go.
    let run = Effect::Run { row: "tc_a".into(), again: false };
    assert_eq!(turn.handle(Input::Calls(waiting(Stage::Ready)), 1), [run]);
    assert_eq!(turn.handle(Input::Decided, 1), [Effect::Settle { park: false }]);
    let done = Stage::Over { result: "1".into(), failed: false, then: Then::GoOn };
    assert_eq!(turn.handle(Input::Calls(waiting(done)), 1), [park]);
    assert_eq!(turn.handle(Input::Parked, 1), []);
    assert!(turn.is_over());
}

#[test]
fn ap_03_the_model_is_told_what_ran_and_not_what_it_asked_for() {
    let mut turn = turn(TurnPolicy::default());
    turn.handle(made("a", json!({ "amount": 500 })), 1);
    turn.handle(finish("tool_calls"), 1);
    turn.handle(Input::Calls(vec![staged("a", Stage::Waiting)]), 1);
    let paid = Call { input: json!({ "amount": 50 }), ..over("a", "paid") };
    turn.handle(Input::Calls(vec![paid]), 1);
    let effects = turn.handle(Input::Steered(Vec::new()), 1);
    assert_eq!(asked(&effects).messages[1].calls[0].input, json!({ "amount": 50 }));
}

#[test]
fn ap_05_and_06_a_rejected_plan_and_an_expired_request_end_the_turn() {
    for (then, expected, code) in [
        (Then::Reject, (FinalStatus::Complete, Some("rejected")), None),
        (Then::Expire, (FinalStatus::Error, None), Some(Code::AwaitingApprovalExpired.as_str())),
    ] {
        let mut turn = turn(TurnPolicy::default());
        turn.handle(made("a", json!(1)), 1);
        turn.handle(finish("tool_calls"), 1);
        let stage = Stage::Over { result: "no".into(), failed: true, then };
        let effects = turn.handle(Input::Calls(vec![staged("a", stage)]), 1);
        assert_eq!(ended(&effects), expected);
        let Some(Effect::Finish(outcome)) = effects.last() else { panic!("{effects:?}") };
        assert_eq!(outcome.error.as_ref().map(|error| error.code.as_str()), code);
    }
}

#[test]
fn a_turn_goes_on_where_another_runner_was_lost() {
    let calls = vec![over("a", "1"), staged("b", Stage::Running), staged("c", Stage::Ready)];
    let answer = PromptMessage {
        calls: ["a", "b", "c"]
            .map(|id| crate::PromptCall { id: id.into(), tool: "search".into(), input: json!({}) })
            .into(),
        ..PromptMessage::new(Role::Assistant, "Looking.")
    };
    let spent = Some(Usage { input_tokens: 10, output_tokens: 5, ..Usage::default() });
    let messages = vec![PromptMessage::new(Role::User, "hi"), answer, PromptMessage::new(Role::User, "hurry")];
    let request = Request { messages, tool_choice: ToolChoice::Required, ..Request::default() };
    let mut turn = Turn::new(TurnPolicy { max_repeats: 3, ..TurnPolicy::default() });
    let effects = turn.handle(Input::Start(Box::new(Start { request, so_far: 2, steps: 1, calls, spent })), 0);
    let run = |row: &str, again| Effect::Run { row: row.into(), again };
    assert_eq!(effects, [run("tc_b", true), run("tc_c", false)]);
    assert_eq!(turn.handle(Input::Calls(vec![over("a", "1"), over("b", "2"), over("c", "3")]), 1), [Effect::Steer]);
    let effects = turn.handle(Input::Steered(Vec::new()), 1);
    let request = asked(&effects);
    // Results stand behind their calls, before what the user said meanwhile, and no call is forced any more.
    let said: Vec<&str> = request.messages.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(said, ["hi", "Looking.", "1", "2", "3", "hurry"]);
    assert_eq!(request.tool_choice, ToolChoice::Auto);
    // The same call was made three times before.
    turn.handle(made("d", json!({})), 2);
    assert_eq!(submitted(&turn.handle(finish("tool_calls"), 2)), [("d".to_owned(), true)]);
    turn.handle(Input::Calls(vec![over("d", "x")]), 3);
    turn.handle(Input::Steered(Vec::new()), 3);
    turn.handle(
        Input::Provider(ProviderEvent::Usage(Usage { input_tokens: 1, output_tokens: 1, ..Usage::default() })),
        4,
    );
    let effects = turn.handle(finish("stop"), 4);
    let Some(Effect::Finish(outcome)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(outcome.usage.map(|usage| (usage.input_tokens, usage.output_tokens)), Some((11, 6)));
}

#[test]
fn ag_13_a_model_that_fails_is_asked_again_and_then_another_one() {
    let policy = TurnPolicy { candidates: 2, retries: 1, retry_ms: 100, ..TurnPolicy::default() };
    let fail = |retryable| Input::ProviderFailed(Failure::error("no", retryable));
    let mut turn = turn(policy);
    let effects = turn.handle(fail(true), 10);
    assert!(matches!(effects[0], Effect::FallBack { candidate: 0, .. }), "{effects:?}");
    assert_eq!(effects[1..], [Effect::CancelProvider, Effect::WakeAt(110)]);
    assert_eq!(turn.handle(Input::Tick, 50), [Effect::WakeAt(110)]);
    let candidate = |effects: &[Effect]| {
        effects.iter().find_map(|effect| match effect {
            Effect::CallProvider { candidate, .. } => Some(*candidate),
            _ => None,
        })
    };
    assert_eq!(candidate(&turn.handle(Input::Tick, 110)), Some(0));
    assert_eq!(candidate(&turn.handle(fail(true), 120)), Some(1));
    turn.handle(delta("B answers."), 130);
    // Once a word was shown, nobody else can go on with it.
    assert_eq!(ended(&turn.handle(fail(true), 140)).0, FinalStatus::Error);
}

#[test]
fn ag_13_the_last_model_is_asked_with_half_of_a_conversation_that_is_too_long_for_it() {
    let said = |role, text: &str| PromptMessage::new(role, text);
    let call = crate::provider::PromptCall { id: "old".into(), tool: "search".into(), input: json!({}) };
    let messages = vec![
        said(Role::User, "1"),
        PromptMessage { calls: vec![call], ..said(Role::Assistant, "") },
        PromptMessage::result("old", "found", false),
        said(Role::Assistant, "2"),
        said(Role::User, "3"),
        said(Role::Assistant, "4"),
        said(Role::User, "question"),
    ];
    let mut turn = Turn::new(TurnPolicy { candidates: 2, ..TurnPolicy::default() });
    let request = Request { messages: messages.clone(), ..Request::default() };
    turn.handle(Input::Start(Box::new(Start { request, ..Start::default() })), 0);
    let mut fail = |at| {
        let failure = Failure { too_long: true, ..Failure::error("too long", false) };
        match turn.handle(Input::ProviderFailed(failure), at).as_slice() {
            [Effect::FallBack { left_out, .. }, Effect::CallProvider { request, candidate }] => {
                Some((*left_out, request.messages.clone(), *candidate))
            }
            effects => panic!("{effects:?}"),
        }
    };
    assert_eq!(fail(1), Some((0, messages.clone(), 1)), "another model may read more");
    assert_eq!(fail(2), Some((4, messages[4..].to_vec(), 1)));
    assert_eq!(fail(3), Some((2, messages[6..].to_vec(), 1)));
    let effects = turn.handle(Input::ProviderFailed(Failure { too_long: true, ..Failure::error("no", false) }), 4);
    assert_eq!(ended(&effects).0, FinalStatus::Error, "the question itself is too long");
}

#[test]
fn ag_13_what_was_too_long_for_a_fallback_is_sent_to_the_first_choice_again() {
    let said = |role, text: &str| PromptMessage::new(role, text);
    let messages = vec![said(Role::User, "1"), said(Role::Assistant, "2"), said(Role::User, "question")];
    let too_long = || Input::ProviderFailed(Failure { too_long: true, ..Failure::error("too long", false) });
    for (candidates, sent_again) in [(2, "1"), (1, "question")] {
        let mut turn = Turn::new(TurnPolicy { candidates, ..TurnPolicy::default() });
        let request = Request { messages: messages.clone(), ..Request::default() };
        turn.handle(Input::Start(Box::new(Start { request, ..Start::default() })), 0);
        for _ in 1..candidates {
            turn.handle(too_long(), 1);
        }
        assert_eq!(asked(&turn.handle(too_long(), 1)).messages[0].text, "question");
        assert_eq!(step(&mut turn, &["a"]), [Effect::Steer]);
        let effects = turn.handle(Input::Steered(Vec::new()), 2);
        assert_eq!(asked(&effects).messages[0].text, sent_again, "{candidates} candidates");
        // Whoever finds it too long again is sent less again.
        for _ in 1..candidates {
            turn.handle(too_long(), 3);
        }
        if candidates > 1 {
            assert_eq!(asked(&turn.handle(too_long(), 3)).messages.len(), 3);
        }
    }
}

#[test]
fn ag_13_a_model_that_has_said_nothing_yet_is_asked_again() {
    let mut turn = turn(TurnPolicy { candidates: 2, ..TurnPolicy::default() });
    for nothing in [delta(""), reasoning("")] {
        assert_eq!(turn.handle(nothing, 1), []);
    }
    let effects = turn.handle(Input::ProviderFailed(Failure::error("no", false)), 2);
    assert!(matches!(effects[1], Effect::CallProvider { candidate: 1, .. }), "{effects:?}");
}

#[test]
fn tc_07_a_model_that_makes_too_many_calls_at_once_ends_the_turn_and_none_of_them_runs() {
    let mut turn = turn(TurnPolicy { max_calls: 2, ..TurnPolicy::default() });
    let mut effects = Vec::new();
    for id in ["a", "b", "c"] {
        effects.extend(turn.handle(made(id, json!({ "of": id })), 1));
    }
    assert_eq!(ended(&effects).0, FinalStatus::Error);
    assert_eq!(submitted(&effects), []);
    let ends = log(&effects).into_iter().filter(|event| matches!(event, Event::ToolEnd { .. }));
    assert_eq!(ends.count(), 2);
}

#[test]
fn a_server_that_ends_before_a_later_step_shows_anything_leaves_the_rows_as_they_are() {
    let begun = |shown: &str| {
        let mut turn = turn(TurnPolicy::default());
        assert_eq!(step(&mut turn, &["a"]), [Effect::Steer]);
        turn.handle(Input::Steered(Vec::new()), 1);
        turn.handle(delta(shown), 2);
        let effects = turn.handle(Input::Interrupted, 3);
        assert!(turn.is_over());
        effects
    };
    assert_eq!(begun(""), [Effect::CancelProvider]);
    assert_eq!(ended(&begun("word")).0, FinalStatus::Interrupted);
}

#[test]
fn a_server_that_ends_between_steps_leaves_the_rows_as_they_are() {
    let mut turn = turn(TurnPolicy::default());
    turn.handle(made("a", json!(1)), 1);
    turn.handle(finish("tool_calls"), 1);
    turn.handle(Input::Calls(vec![staged("a", Stage::Ready)]), 1);
    assert_eq!(turn.handle(Input::Interrupted, 2), [Effect::CancelCalls]);
    assert!(turn.is_over());
}

fn writes(id: &str, delta: &str) -> Input {
    Input::Provider(ProviderEvent::ToolInput { id: id.into(), tool: WRITES.into(), delta: delta.into() })
}

fn piece(call: &str, title: Option<&str>, text: &str) -> Piece {
    Piece { call: call.into(), kind: None, title: title.map(str::to_owned), text: text.into() }
}

#[test]
fn ar_08_a_document_goes_out_while_its_call_is_written_in_its_place_among_the_events() {
    let flush = FlushPolicy { interval_ms: 25, max_bytes: 4096 };
    let mut turn = turn(TurnPolicy { flush, ..TurnPolicy::default() });
    turn.handle(delta("Here "), 0);
    turn.handle(delta("it is."), 1);
    assert_eq!(turn.handle(writes("a", r#"{"title":"T","con"#), 2), []);
    assert_eq!(turn.handle(writes("a", r#"tent":"one "#), 3), []);
    assert_eq!(turn.handle(writes("b", r#"{"content":"other"#), 4), []);
    // Of another tool, nothing is shown.
    let other = ProviderEvent::ToolInput { id: "c".into(), tool: "search".into(), delta: "{\"content\":\"x".into() };
    assert_eq!(turn.handle(Input::Provider(other), 5), []);
    assert_eq!(turn.handle(writes("a", r"two\n"), 6), []);
    let batch = Effect::Append(vec![text("it is.")]);
    let (a, b) = (piece("a", Some("T"), "one two\n"), piece("b", None, "other"));
    assert_eq!(turn.handle(Input::Tick, 25), [batch, Effect::Write(a), Effect::Write(b)]);
    turn.handle(Input::Appended, 30);
    assert_eq!(turn.handle(writes("a", "three\"}"), 31), [Effect::WakeAt(55)]);
    let input = json!({ "title": "T", "content": "one two\nthree" });
    let call =
        ProviderEvent::ToolCall { id: "a".into(), tool: WRITES.into(), input: input.clone(), by_provider: false };
    assert_eq!(turn.handle(Input::Provider(call), 32), []);
    let effects = turn.handle(finish("tool_calls"), 33);
    let start = Event::ToolStart { tool_call_id: "a".into(), tool: WRITES.into(), input };
    let last = Effect::Write(piece("a", Some("T"), "three"));
    assert_eq!(effects[..2], [last, Effect::CancelProvider]);
    // What ends the step goes with its calls.
    let Effect::Submit { events, .. } = &effects[2] else { panic!("{effects:?}") };
    assert_eq!(*events, [start]);
    assert_eq!(submitted(&effects), [("a".to_owned(), false)]);
}

#[test]
fn ar_08_a_document_that_was_seen_is_not_written_by_another_model() {
    let mut turn = turn(TurnPolicy { candidates: 2, retries: 1, ..TurnPolicy::default() });
    assert_eq!(turn.handle(writes("a", r#"{"content":"seen"#), 0), [Effect::Write(piece("a", None, "seen"))]);
    turn.handle(writes("a", " and not yet"), 1);
    let effects = turn.handle(Input::ProviderEnded, 2);
    assert_eq!(effects[0], Effect::Write(piece("a", None, " and not yet")));
    assert_eq!(ended(&effects).0, FinalStatus::Error);
}

#[test]
fn ar_08_a_document_has_the_name_that_its_call_will_have() {
    let mut turn = turn(TurnPolicy::default());
    turn.handle(Input::Steered(Vec::new()), 0);
    assert_eq!(step(&mut turn, &["a"]), [Effect::Steer]);
    turn.handle(Input::Steered(Vec::new()), 2);
    let effects = turn.handle(writes("a", r#"{"content":"x"#), 100);
    assert_eq!(effects, [Effect::Write(piece("a_2", None, "x"))]);
    turn.handle(made("a", json!({})), 101);
    assert_eq!(submitted(&turn.handle(finish("tool_calls"), 102)), [("a_2".to_owned(), false)]);
}
