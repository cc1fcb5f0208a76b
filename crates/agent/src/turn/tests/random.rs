//! Random orders of everything that can happen: a turn is never stuck, ends once, and does nothing afterwards.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn any_stage() -> impl Strategy<Value = Stage> {
    let then = prop_oneof![8 => Just(Then::GoOn), 1 => Just(Then::Reject), 1 => Just(Then::Expire)];
    prop_oneof![
        Just(Stage::Ready),
        Just(Stage::Waiting),
        Just(Stage::Running),
        (any::<bool>(), then).prop_map(|(failed, then)| Stage::Over { result: "r".into(), failed, then }),
    ]
}

fn any_input() -> impl Strategy<Value = Input> {
    let call = (0..4_u8, any::<bool>()).prop_map(|(id, by_provider)| {
        let (id, input) = (format!("c{id}"), json!({ "id": id }));
        Input::Provider(ProviderEvent::ToolCall { id, tool: "t".into(), input, by_provider })
    });
    let calls = prop::collection::vec((0..4_u8, any_stage()), 0..4).prop_map(|calls| {
        let call = |(id, stage): (u8, Stage)| Call { row: format!("tc_{id}"), id: format!("c{id}"), stage };
        Input::Calls(calls.into_iter().map(call).collect())
    });
    let failure = any::<bool>().prop_map(|retryable| Input::ProviderFailed(Failure::error("no", retryable)));
    prop_oneof![
        6 => Just(delta("word ")),
        4 => call,
        3 => (0..4_u8, "(\\{\"content\":\")?[a-z]{0,4}").prop_map(|(id, delta)| {
            Input::Provider(ProviderEvent::ToolInput { id: format!("c{id}"), tool: WRITES.into(), delta })
        }),
        2 => Just(result("c1")),
        4 => Just(done()),
        6 => calls,
        2 => Just(Input::Steered(Vec::new())),
        1 => Just(Input::Steered(vec!["more".into()])),
        1 => Just(Input::Decided),
        1 => Just(Input::Parked),
        2 => failure,
        1 => Just(Input::ProviderEnded),
        3 => Just(Input::Tick),
        1 => Just(Input::Appended),
        1 => Just(Input::StopRequested),
        1 => Just(Input::Interrupted),
        1 => Just(Input::LeaseLost),
        1 => Just(Input::Start(Start::default())),
    ]
}

fn random_policy() -> impl Strategy<Value = TurnPolicy> {
    (1..4_u32, 1..3_u32, 1..3_usize, 0..3_u32).prop_map(|(max_steps, max_repeats, candidates, retries)| TurnPolicy {
        max_steps,
        max_repeats,
        candidates,
        retries,
        ..policy()
    })
}

/// What the world around a turn does next, if nobody disturbs it: whatever was asked for is answered, a model
/// that is asked calls a tool for ever, and every call ends.
fn answer(turn_asked: &mut Vec<Effect>, round: &mut u32) -> Option<Input> {
    while let Some(effect) = turn_asked.pop() {
        let over = |row: &str| Call {
            row: row.to_owned(),
            id: row.trim_start_matches("tc_").to_owned(),
            stage: Stage::Over { result: "r".into(), failed: false, then: Then::GoOn },
        };
        match effect {
            Effect::CallProvider { .. } => {
                *round += 1;
                turn_asked.push(Effect::WakeAt(u64::MAX));
                let id = format!("loop{round}");
                let input = json!({ "round": *round });
                return Some(Input::Provider(ProviderEvent::ToolCall {
                    id,
                    tool: "t".into(),
                    input,
                    by_provider: false,
                }));
            }
            Effect::WakeAt(u64::MAX) => return Some(done()),
            Effect::WakeAt(_) => return Some(Input::Tick),
            Effect::Submit { calls, .. } => {
                return Some(Input::Calls(calls.iter().map(|call| over(&format!("tc_{}", call.id))).collect()));
            }
            Effect::Run { row, .. } => return Some(Input::Calls(vec![over(&row)])),
            Effect::Settle { .. } => return Some(Input::Calls(Vec::new())),
            Effect::Steer => return Some(Input::Steered(Vec::new())),
            _ => {}
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tc_07_any_order_of_inputs_ends_once_and_starts_and_ends_of_calls_pair(
        policy in random_policy(), inputs in prop::collection::vec(any_input(), 0..60),
    ) {
        let mut turn = Turn::new(policy);
        let mut effects = turn.handle(Input::Start(Start::default()), 0);
        let mut now = 0;
        let mut silent = false;
        for input in inputs {
            let lost = matches!(input, Input::LeaseLost);
            let was_over = turn.is_over();
            now += 40;
            let next = turn.handle(input, now);
            prop_assert!(!was_over || next.is_empty(), "after its end a turn did {next:?}");
            silent |= lost && !was_over;
            effects.extend(next);
        }
        let finishes = effects.iter().filter(|effect| matches!(effect, Effect::Finish(_))).count();
        prop_assert!(finishes <= 1, "{finishes} ends");
        if silent {
            prop_assert_eq!(finishes, 0, "whoever lost the lease writes no end");
        }
        let events = log(&effects);
        let id = |event: &Event| match event {
            Event::ToolStart { tool_call_id, .. } => Some((tool_call_id.clone(), true)),
            Event::ToolEnd { tool_call_id, .. } => Some((tool_call_id.clone(), false)),
            _ => None,
        };
        let mut started = std::collections::HashSet::new();
        for (id, starts) in events.iter().filter_map(id) {
            prop_assert_eq!(started.insert(id.clone()), starts, "the start of {} is told once, before its end", id);
        }
        // Submitted calls have their starts in the log by then.
        for effect in &effects {
            if let Effect::Submit { calls, .. } = effect {
                for call in calls {
                    prop_assert!(started.contains(&call.id), "{} was submitted and never shown", call.id);
                }
            }
        }
        let asked = effects.iter().filter(|effect| matches!(effect, Effect::CallProvider { .. })).count();
        let most = policy.max_steps as usize * policy.candidates * (policy.retries as usize + 1);
        prop_assert!(asked <= most, "asked {asked} times, at most {most}");
    }

    #[test]
    fn tc_07_a_turn_whose_every_wish_is_answered_comes_to_its_end(
        policy in random_policy(), disturbances in prop::collection::vec(any_input(), 0..8),
    ) {
        let mut turn = Turn::new(policy);
        let mut open = turn.handle(Input::Start(Start::default()), 0);
        let (mut round, mut now, mut disturbances) = (0, 0, disturbances.into_iter());
        for _ in 0..500 {
            if turn.is_over() {
                return Ok(());
            }
            now += 100_000;
            if let Some(input) = disturbances.next() {
                let next = turn.handle(input, now);
                open.extend(next);
                continue;
            }
            // The one who answers knows the state of things: what the turn waits for is answered again.
            let input = answer(&mut open, &mut round).unwrap_or_else(|| match turn.phase {
                Phase::Answering => done(),
                Phase::Calling => Input::Calls(Vec::new()),
                Phase::Steering => Input::Steered(Vec::new()),
                Phase::Idle | Phase::Resting(_) | Phase::Over => Input::Tick,
            });
            open.extend(turn.handle(input, now));
        }
        prop_assert!(false, "stuck in {:?}", turn.phase);
    }
}
