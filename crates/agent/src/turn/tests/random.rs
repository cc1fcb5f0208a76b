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
        let call =
            |(id, stage): (u8, Stage)| Call { row: format!("tc_{id}"), id: format!("c{id}"), input: json!({}), stage };
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
        1 => Just(Input::Start(Box::default())),
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

/// The world around a turn: it knows what the turn asked for and nobody answered yet, and does nothing but answer.
/// `dice` say which of it comes next, and how it turns out.
struct World {
    turn: Turn,
    dice: std::vec::IntoIter<u8>,
    now: u64,
    streams: bool,
    /// [`Effect::Submit`], [`Effect::Run`], [`Effect::Settle`] and [`Effect::Steer`], without their answers.
    open: Vec<Effect>,
    /// The one tick that a driver has.
    wake_at: Option<u64>,
    rows: Vec<Call>,
    /// Bytes of text that the model said, and those that went to the log.
    said: usize,
    logged: usize,
    calls_made: u32,
    /// The turn was given up without an end: what was pending is not its own any more.
    silent: bool,
}

impl World {
    fn begin(policy: TurnPolicy, dice: Vec<u8>) -> Self {
        let (turn, dice) = (Turn::new(policy), dice.into_iter());
        let (open, rows) = (Vec::new(), Vec::new());
        let mut world = Self {
            turn,
            dice,
            now: 0,
            streams: false,
            open,
            wake_at: None,
            rows,
            said: 0,
            logged: 0,
            calls_made: 0,
            silent: false,
        };
        world.give(Input::Start(Box::default()));
        world
    }

    /// Without dice everything comes to its end: answers end, calls are done, nobody decides anything but yes.
    fn die(&mut self) -> u8 {
        self.dice.next().unwrap_or(0)
    }

    fn give(&mut self, input: Input) {
        for effect in self.turn.handle(input, self.now) {
            match effect {
                Effect::CallProvider { .. } => self.streams = true,
                Effect::CancelProvider => self.streams = false,
                Effect::CancelCalls => self.open.retain(|effect| !matches!(effect, Effect::Run { .. })),
                Effect::WakeAt(at) => self.wake_at = Some(at),
                Effect::Append(events) => self.log(&events),
                Effect::Submit { ref events, ref calls, .. } => {
                    self.log(events);
                    self.rows = calls.iter().map(|call| row(call, self.dice.next().unwrap_or(0))).collect();
                    self.open.push(effect);
                }
                Effect::Run { .. } | Effect::Settle { .. } | Effect::Steer => self.open.push(effect),
                Effect::Write(_) | Effect::FallBack { .. } | Effect::Finish(_) => {}
            }
        }
    }

    fn log(&mut self, events: &[Event]) {
        let text = |event: &Event| if let Event::Text { text } = event { text.len() } else { 0 };
        self.logged += events.iter().map(text).sum::<usize>();
    }

    /// Somebody has to do something for the turn to go on, and for all that was said to be seen.
    fn check(&self) -> Result<(), TestCaseError> {
        if self.turn.is_over() {
            return Ok(());
        }
        let waited_for = self.streams || !self.open.is_empty() || self.wake_at.is_some();
        prop_assert!(waited_for, "nobody has anything to do in {:?}", self.turn.phase);
        let seen = self.logged == self.said || self.wake_at.is_some();
        prop_assert!(seen, "{} bytes wait for an event that may never come", self.said - self.logged);
        Ok(())
    }

    /// One thing happens.
    fn step(&mut self) {
        self.now += u64::from(self.die() % 40);
        // Much of what happens comes from outside, as long as there are dice.
        match self.dice.next() {
            Some(0) => return self.give(Input::StopRequested),
            Some(1) => return self.give(Input::Interrupted),
            Some(2) => {
                self.silent = true;
                return self.give(Input::LeaseLost);
            }
            Some(3..=20) => return self.give(Input::Tick),
            Some(21..=40) => return self.give(Input::Appended),
            Some(41..=80) if self.decide() => return self.give(Input::Decided),
            _ => {}
        }
        let choices = self.open.len() + usize::from(self.streams) + usize::from(self.wake_at.is_some());
        let choice = usize::from(self.die()) % choices;
        if choice < self.open.len() {
            let effect = self.open.remove(choice);
            self.answer(effect);
        } else if self.streams && choice == self.open.len() {
            self.speak();
        } else if let Some(at) = self.wake_at.take() {
            self.now = self.now.max(at);
            self.give(Input::Tick);
        }
    }

    fn answer(&mut self, effect: Effect) {
        match effect {
            Effect::Run { row, .. } => {
                let die = self.die();
                if let Some(call) = self.rows.iter_mut().find(|call| call.row == row) {
                    call.stage = over(die);
                }
            }
            Effect::Settle { park: true } if self.only_waits() && self.die() % 2 == 1 => {
                return self.give(Input::Parked);
            }
            // Somebody decided just before.
            Effect::Settle { park: true } => {
                self.decide();
            }
            Effect::Steer => {
                let texts = vec!["more".to_owned(); usize::from(self.die() % 2)];
                return self.give(Input::Steered(texts));
            }
            _ => {}
        }
        self.give(Input::Calls(self.rows.clone()));
    }

    fn only_waits(&self) -> bool {
        let works = |call: &Call| matches!(call.stage, Stage::Ready | Stage::Running);
        !self.rows.iter().any(works) && self.rows.iter().any(|call| call.stage == Stage::Waiting)
    }

    /// A person decides about a call that waits, if one does.
    fn decide(&mut self) -> bool {
        let die = self.die();
        let Some(call) = self.rows.iter_mut().find(|call| call.stage == Stage::Waiting) else { return false };
        call.stage = if die.is_multiple_of(2) { Stage::Ready } else { over(die) };
        true
    }

    /// The model says something, calls something, fails or ends.
    fn speak(&mut self) {
        let event = match self.die() {
            0..=60 => ProviderEvent::Finish { reason: "stop".into() },
            61..=80 => {
                self.streams = false;
                let retryable = self.die().is_multiple_of(2);
                return self.give(Input::ProviderFailed(Failure::error("no", retryable)));
            }
            81..=90 => {
                self.streams = false;
                return self.give(Input::ProviderEnded);
            }
            91..=170 => {
                self.said += 5;
                ProviderEvent::Text("word ".into())
            }
            171..=190 => {
                ProviderEvent::ToolInput { id: "w".into(), tool: WRITES.into(), delta: "{\"content\":\"x".into() }
            }
            die => {
                self.calls_made += 1;
                let (id, input) = (format!("c{}", self.calls_made), json!({ "n": die % 3 }));
                ProviderEvent::ToolCall { id, tool: "t".into(), input, by_provider: die.is_multiple_of(4) }
            }
        };
        self.streams &= !matches!(event, ProviderEvent::Finish { .. });
        self.give(Input::Provider(event));
    }
}

fn over(die: u8) -> Stage {
    let then = match die {
        250.. => Then::Expire,
        240.. => Then::Reject,
        _ => Then::GoOn,
    };
    Stage::Over { result: "r".into(), failed: die % 2 == 1, then }
}

fn row(call: &MadeCall, die: u8) -> Call {
    let stage = match die % 4 {
        0 => Stage::Ready,
        1 => Stage::Running,
        2 => Stage::Waiting,
        _ => over(die),
    };
    Call { row: format!("tc_{}", call.id), id: call.id.clone(), input: call.input.clone(), stage }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tc_07_any_order_of_inputs_ends_once_and_starts_and_ends_of_calls_pair(
        policy in random_policy(), inputs in prop::collection::vec(any_input(), 0..60),
    ) {
        let mut turn = Turn::new(policy);
        let mut effects = turn.handle(Input::Start(Box::default()), 0);
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
    fn tc_07_a_turn_always_waits_for_something_and_comes_to_its_end(
        policy in random_policy(), dice in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut world = World::begin(policy, dice);
        for _ in 0..1_000 {
            world.check()?;
            if world.turn.is_over() {
                prop_assert!(world.silent || world.logged == world.said, "text was lost");
                return Ok(());
            }
            world.step();
        }
        prop_assert!(false, "no end in {:?}", world.turn.phase);
    }
}
