//! The turn machine, as lists of inputs and the effects that they must have.

use serde_json::json;
use spool_protocol::Code;

use super::*;

mod random;
mod steps;

const POLICY: FlushPolicy = FlushPolicy { interval_ms: 25, max_bytes: 10 };

fn policy() -> TurnPolicy {
    TurnPolicy { flush: POLICY, ..TurnPolicy::default() }
}

fn started(policy: FlushPolicy) -> Turn {
    let mut turn = Turn::new(TurnPolicy { flush: policy, ..TurnPolicy::default() });
    let request = Request { model: "m".into(), ..Request::default() };
    let start = Start { request: request.clone(), ..Start::default() };
    assert_eq!(
        turn.handle(Input::Start(Box::new(start)), 0),
        [Effect::CallProvider { request: Box::new(request), candidate: 0 }]
    );
    turn
}

fn delta(text: &str) -> Input {
    Input::Provider(ProviderEvent::Text(text.into()))
}

fn reasoning(text: &str) -> Input {
    Input::Provider(ProviderEvent::Reasoning(text.into()))
}

fn call(id: &str) -> Input {
    Input::Provider(ProviderEvent::ToolCall {
        id: id.into(),
        tool: "search".into(),
        input: json!({"q": 1}),
        by_provider: true,
    })
}

fn result(id: &str) -> Input {
    Input::Provider(ProviderEvent::ToolResult { id: id.into(), output: Some(json!(7)), error: None })
}

fn done() -> Input {
    Input::Provider(ProviderEvent::Finish { reason: "stop".into() })
}

fn text(text: &str) -> Event {
    Event::Text { text: text.into() }
}

fn thought(text: &str) -> Event {
    Event::Reasoning { text: text.into() }
}

fn tool_start(id: &str) -> Event {
    Event::ToolStart { tool_call_id: id.into(), tool: "search".into(), input: json!({"q": 1}) }
}

fn tool_end(id: &str, output: Option<serde_json::Value>, error: Option<&str>) -> Event {
    Event::ToolEnd { tool_call_id: id.into(), output, error: error.map(str::to_owned), denied: false }
}

fn appended(event: Event) -> Vec<Effect> {
    vec![Effect::Append(vec![event])]
}

fn outcome(status: FinalStatus) -> Outcome {
    let finish_reason = (status == FinalStatus::Complete).then(|| "stop".to_owned());
    Outcome { status, error: None, usage: None, finish_reason }
}

/// Every event that the effects append, joined as a reader would.
fn log(effects: &[Effect]) -> Vec<Event> {
    let mut events = Vec::new();
    for effect in effects {
        if let Effect::Append(batch) | Effect::Submit { events: batch, .. } = effect {
            batch.iter().cloned().for_each(|event| Event::push_coalesced(&mut events, event));
        }
    }
    events
}

#[test]
fn the_first_delta_goes_out_at_once_and_the_next_wait_for_the_interval() {
    let mut turn = started(POLICY);
    assert_eq!(turn.handle(delta("a"), 100), appended(text("a")));
    assert_eq!(turn.handle(delta("b"), 101), [Effect::WakeAt(125)]);
    assert_eq!(turn.handle(delta("c"), 110), []);
    assert_eq!(turn.handle(Input::Tick, 125), appended(text("bc")));
    assert_eq!(turn.handle(Input::Tick, 150), []);
    // The last flush is an interval ago: the leading edge again.
    assert_eq!(turn.handle(delta("d"), 151), appended(text("d")));
}

#[test]
fn a_full_batch_does_not_wait_and_leaves_the_asked_tick_harmless() {
    let mut turn = started(POLICY);
    turn.handle(delta("a"), 100);
    assert_eq!(turn.handle(delta("12345"), 101), [Effect::WakeAt(125)]);
    assert_eq!(turn.handle(delta("67890"), 102), appended(text("1234567890")));
    assert_eq!(turn.handle(delta("b"), 103), []);
    // The tick asked for by the batch before comes too early for this one, so another is asked for.
    assert_eq!(turn.handle(Input::Tick, 125), [Effect::WakeAt(127)]);
    assert_eq!(turn.handle(Input::Tick, 126), []);
    assert_eq!(turn.handle(Input::Tick, 127), appended(text("b")));
}

#[test]
fn a_delta_after_the_interval_takes_the_pending_ones_along() {
    let mut turn = started(POLICY);
    turn.handle(delta("a"), 100);
    turn.handle(delta("b"), 101);
    assert_eq!(turn.handle(delta("c"), 130), appended(text("bc")));
    assert_eq!(turn.handle(Input::Tick, 131), []);
}

#[test]
fn a_slow_store_gets_fewer_and_larger_batches() {
    let mut turn = started(FlushPolicy { interval_ms: 25, max_bytes: 4096 });
    assert_eq!(turn.handle(delta("a"), 0), appended(text("a")));
    // The append took 100 ms; what the provider said meanwhile is there all at once.
    assert_eq!(turn.handle(Input::Appended, 100), []);
    assert_eq!(turn.handle(delta("b"), 100), [Effect::WakeAt(125)]);
    assert_eq!(turn.handle(delta("c"), 100), []);
    assert_eq!(turn.handle(Input::Tick, 125), appended(text("bc")));
}

#[test]
fn without_an_interval_every_delta_is_a_batch() {
    let mut turn = started(FlushPolicy { interval_ms: 0, ..POLICY });
    for piece in ["a", "b", "c"] {
        assert_eq!(turn.handle(delta(piece), 100), appended(text(piece)));
    }
}

#[test]
fn a_clock_set_back_does_not_hold_text() {
    let mut turn = started(POLICY);
    turn.handle(delta("a"), 1_000_000);
    assert_eq!(turn.handle(delta("b"), 5), appended(text("b")));
}

#[test]
fn empty_deltas_are_dropped() {
    let mut turn = started(POLICY);
    assert_eq!(turn.handle(delta(""), 1), []);
    assert_eq!(turn.handle(reasoning(""), 1), []);
    assert_eq!(turn.handle(done(), 2), [Effect::Finish(outcome(FinalStatus::Complete))]);
}

#[test]
fn st_15_every_byte_arrives_whatever_the_deltas_and_the_batching() {
    let pieces =
        ["\n", "  a", "data: x", "\r\n", "👩‍👩‍👧", "👩", "\u{200d}", "👧", " ", "\t", "\0", "é", "e\u{301}", "\n\n", ""];
    let whole = pieces.concat();
    for interval_ms in [0, 1, 25, 1000] {
        for max_bytes in [1, 4, 4096] {
            for step in [0, 1, 7, 30] {
                let mut turn = started(FlushPolicy { interval_ms, max_bytes });
                let mut effects = Vec::new();
                let mut now = 0;
                for piece in pieces {
                    effects.extend(turn.handle(delta(piece), now));
                    now += step;
                    effects.extend(turn.handle(Input::Tick, now));
                }
                effects.extend(turn.handle(done(), now));
                assert_eq!(log(&effects), [text(&whole)], "{interval_ms} {max_bytes} {step}");
            }
        }
    }
}

#[test]
fn ms_09_text_reasoning_tools_and_sources_keep_their_order_and_stay_apart() {
    let source = ProviderEvent::Source { title: "t".into(), url: "u".into(), snippet: None };
    let inputs = [
        reasoning("r1"),
        reasoning("r2"),
        delta("a"),
        delta("b"),
        call("1"),
        call("2"),
        result("2"),
        result("1"),
        Input::Provider(source),
        delta("c"),
        reasoning("r3"),
        delta("d"),
    ];
    let mut turn = started(FlushPolicy { interval_ms: 1000, max_bytes: 4096 });
    let mut effects = Vec::new();
    for input in inputs {
        effects.extend(turn.handle(input, 1));
    }
    effects.extend(turn.handle(done(), 2));
    let expected = [
        thought("r1r2"),
        text("ab"),
        tool_start("1"),
        tool_start("2"),
        tool_end("2", Some(json!(7)), None),
        tool_end("1", Some(json!(7)), None),
        Event::Source { title: "t".into(), url: "u".into(), snippet: None },
        text("c"),
        thought("r3"),
        text("d"),
    ];
    assert_eq!(log(&effects), expected);
    // One batch at once, the rest before the end, and nothing in between but the wish to be woken.
    assert_eq!(effects.len(), 4, "{effects:?}");
}

#[test]
fn completing_appends_the_rest_first_and_reports_the_latest_usage() {
    let mut turn = started(POLICY);
    turn.handle(delta("a"), 100);
    turn.handle(delta("b"), 101);
    for output_tokens in [1, 2] {
        let usage = Usage { input_tokens: 3, output_tokens, ..Usage::default() };
        assert_eq!(turn.handle(Input::Provider(ProviderEvent::Usage(usage)), 102), []);
    }
    let usage = Some(Usage { input_tokens: 3, output_tokens: 2, ..Usage::default() });
    let expected = Outcome { usage, ..outcome(FinalStatus::Complete) };
    assert_eq!(turn.handle(done(), 103), [Effect::Append(vec![text("b")]), Effect::Finish(expected)]);
}

#[test]
fn st_09_a_failure_keeps_the_partial_text_and_ends_the_turn() {
    let failures = [
        (Input::ProviderFailed(Failure::error("no", false)), Code::ProviderError, false),
        (Input::ProviderFailed(Failure::cut()), Code::ProviderCut, true),
        (Input::ProviderEnded, Code::ProviderCut, true),
    ];
    for (input, code, retryable) in failures {
        let mut turn = started(POLICY);
        turn.handle(delta("a"), 100);
        turn.handle(delta("b"), 101);
        let effects = turn.handle(input, 102);
        assert_eq!(effects[0], Effect::Append(vec![text("b")]));
        let Effect::Finish(outcome) = &effects[1] else { panic!("{effects:?}") };
        assert_eq!(outcome.status, FinalStatus::Error);
        let error = outcome.error.as_ref().unwrap();
        assert_eq!((error.code.as_str(), error.retryable), (code.as_str(), retryable));
        assert_eq!(effects.len(), 2);
    }
}

#[test]
fn a_stop_appends_the_pending_text_cancels_and_finishes_as_stopped() {
    let mut turn = started(POLICY);
    turn.handle(delta("a"), 100);
    turn.handle(delta("b"), 101);
    let stopped = Effect::Finish(outcome(FinalStatus::Stopped));
    let expected = [Effect::Append(vec![text("b")]), Effect::CancelProvider, stopped.clone()];
    assert_eq!(turn.handle(Input::StopRequested, 102), expected);

    let mut unstarted = Turn::new(policy());
    assert_eq!(unstarted.handle(Input::StopRequested, 1), [stopped]);
}

#[test]
fn an_interruption_keeps_the_pending_text_and_ends_open_calls() {
    let mut turn = started(POLICY);
    turn.handle(delta("a"), 100);
    turn.handle(delta("b"), 101);
    turn.handle(call("c"), 101);
    let effects = turn.handle(Input::Interrupted, 102);
    assert_eq!(log(&effects), [text("b"), tool_start("c"), tool_end("c", None, Some("cancelled"))]);
    assert_eq!(effects[1], Effect::CancelProvider);
    let Some(Effect::Finish(outcome)) = effects.last() else { panic!("{effects:?}") };
    let error = outcome.error.as_ref().unwrap();
    assert_eq!((outcome.status, error.code.as_str(), error.retryable), (FinalStatus::Interrupted, "interrupted", true));
    assert!(turn.is_over());
}

#[test]
fn a_lost_lease_cancels_and_writes_nothing_more() {
    let mut turn = started(POLICY);
    turn.handle(delta("a"), 100);
    turn.handle(delta("b"), 101);
    assert_eq!(turn.handle(Input::LeaseLost, 102), [Effect::CancelProvider]);
    assert!(turn.is_over());
    assert_eq!(Turn::new(policy()).handle(Input::LeaseLost, 1), []);
}

#[test]
fn after_the_end_every_input_is_without_effect() {
    let ends =
        [done(), Input::ProviderFailed(Failure::cut()), Input::ProviderEnded, Input::StopRequested, Input::LeaseLost];
    for end in ends {
        let mut turn = started(POLICY);
        turn.handle(delta("a"), 1);
        turn.handle(delta("b"), 1);
        turn.handle(end.clone(), 2);
        assert!(turn.is_over());
        let after = [
            delta("late"),
            call("1"),
            done(),
            Input::ProviderEnded,
            Input::ProviderFailed(Failure::cut()),
            Input::StopRequested,
            Input::LeaseLost,
            Input::Tick,
            Input::Start(Box::default()),
        ];
        for input in after {
            assert_eq!(turn.handle(input.clone(), 1000), [], "{end:?} then {input:?}");
        }
    }
}

#[test]
fn before_the_start_the_provider_is_not_heard_and_a_second_start_is_ignored() {
    let mut turn = Turn::new(policy());
    for input in [delta("a"), Input::Tick, Input::ProviderEnded] {
        assert_eq!(turn.handle(input, 1), []);
    }
    assert_eq!(turn.handle(Input::Start(Box::default()), 1).len(), 1);
    assert_eq!(turn.handle(Input::Start(Box::default()), 1), []);
}

#[test]
fn a_stopped_or_failed_turn_leaves_no_call_open() {
    for end in [Input::StopRequested, Input::ProviderEnded] {
        let mut turn = started(POLICY);
        let mut effects = Vec::new();
        for input in [call("1"), call("2"), result("1"), end] {
            effects.extend(turn.handle(input, 1));
        }
        let expected = [
            tool_start("1"),
            tool_start("2"),
            tool_end("1", Some(json!(7)), None),
            tool_end("2", None, Some("cancelled")),
        ];
        assert_eq!(log(&effects), expected);
    }
}

#[test]
fn each_call_has_one_start_and_one_end() {
    let mut turn = started(POLICY);
    let mut effects = Vec::new();
    for input in [result("1"), call("1"), call("1"), result("1"), result("1"), done()] {
        effects.extend(turn.handle(input, 1));
    }
    assert_eq!(log(&effects), [tool_start("1"), tool_end("1", Some(json!(7)), None)]);
}
