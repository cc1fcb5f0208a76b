//! Which part of a conversation a model is given.
//!
//! Owns the choice, its limits, and that every call stands next to its result. Must never change the text of a
//! message, and knows no tokens: bytes are what can be counted without a model's own tokenizer.

use std::collections::HashSet;

use crate::provider::{PromptCall, PromptMessage, Role};

/// The result of a call that has none. Providers refuse a call without a result.
const NO_RESULT: &str = "No result: the call was interrupted.";

/// How much history goes into a prompt. The latest user message is exempt: without it there is nothing
/// to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptLimits {
    /// The most messages. Calls and their results belong to the answer that they led to and do not count.
    pub max_messages: usize,
    /// The most UTF-8 bytes of all messages together with their calls and results, the system text not counted.
    pub max_bytes: usize,
}

/// Chooses the newest messages of `history` (oldest first) that fit into `limits`.
///
/// Blank messages are left out: providers refuse them. The order is kept and neighbours of one role stay
/// apart, but for results: they pair with their calls by id, wherever they stand, and follow them at once in
/// the order of the calls. A call without a result is said to be interrupted, and a result without a call is
/// left out. The choice has no gaps and starts with a user message, so it may be smaller than the limits
/// allow, and never parts a call from its result; it is empty only if `history` has no user message. A blank
/// system text becomes `None`.
pub fn assemble(
    system: Option<&str>, history: &[PromptMessage], limits: PromptLimits,
) -> (Option<String>, Vec<PromptMessage>) {
    let system = system.filter(|text| !text.trim().is_empty()).map(str::to_owned);
    let spoken: Vec<&PromptMessage> = history.iter().filter(|message| !message.is_blank()).collect();
    let mut spoken = paired(&spoken);

    let Some(latest) = spoken.iter().rposition(|message| message.role == Role::User) else {
        return (system, Vec::new());
    };
    let mut first = latest;
    let mut bytes: usize = spoken[latest..].iter().map(weight).sum();
    let mut messages = spoken[latest..].iter().filter(|message| counts(message)).count();
    for at in (0..latest).rev() {
        bytes = bytes.saturating_add(weight(&spoken[at]));
        messages += usize::from(counts(&spoken[at]));
        if bytes > limits.max_bytes || messages > limits.max_messages {
            break;
        }
        if spoken[at].role == Role::User {
            first = at;
        }
    }
    (system, spoken.split_off(first))
}

/// How many messages are the older half of a conversation, for a model that says that it is too long. `question` is
/// the place of the message that is answered; it and what follows stay. What is left begins with a user message, so
/// that no call is parted from its result. 0 if none is older than the question.
pub(crate) fn older_half(messages: &[PromptMessage], question: usize) -> usize {
    let middle = question.div_ceil(2);
    (middle..question).find(|at| messages[*at].role == Role::User).unwrap_or(question)
}

/// Puts every result behind its call.
fn paired(spoken: &[&PromptMessage]) -> Vec<PromptMessage> {
    let mut ids = HashSet::new();
    let mut paired = Vec::with_capacity(spoken.len());
    for (at, message) in spoken.iter().enumerate().filter(|(_, message)| message.role != Role::Tool) {
        let mut message = (*message).clone();
        let mut results = Vec::with_capacity(message.calls.len());
        for call in &mut message.calls {
            let result = result(call, &spoken[at + 1..]);
            // Some servers number the calls of every answer anew, and some providers refuse an id twice.
            let (mut id, mut number) = (call.id.clone(), ids.len());
            while !ids.insert(id.clone()) {
                id = format!("{}_{number}", call.id);
                number += 1;
            }
            results.push(match result {
                Some(result) => {
                    PromptMessage::result(&id, &result.text, result.answers.as_ref().is_some_and(|a| a.failed))
                }
                None => PromptMessage::result(&id, NO_RESULT, true),
            });
            call.id = id;
        }
        paired.push(message);
        paired.extend(results);
    }
    paired
}

/// The result of `call` among the messages after it, up to the next call of the same id.
fn result<'a>(call: &PromptCall, after: &[&'a PromptMessage]) -> Option<&'a PromptMessage> {
    let mut before_next = after.iter().take_while(|message| message.calls.iter().all(|next| next.id != call.id));
    before_next.find(|message| message.answers.as_ref().is_some_and(|answered| answered.call_id == call.id)).copied()
}

fn weight(message: &PromptMessage) -> usize {
    let called = message.calls.iter().map(|call| call.tool.len() + call.input.to_string().len());
    message.text.len() + called.sum::<usize>()
}

/// Whether the message counts as one of [`PromptLimits::max_messages`].
fn counts(message: &PromptMessage) -> bool {
    message.role != Role::Tool && message.calls.is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ROOMY: PromptLimits = PromptLimits { max_messages: 100, max_bytes: 10_000 };

    /// `u:hello` is a user's message, `a:` an assistant's, `s:` the system's.
    fn history(messages: &[&str]) -> Vec<PromptMessage> {
        messages
            .iter()
            .map(|message| {
                let (role, text) = message.split_once(':').unwrap();
                let role = match role {
                    "u" => Role::User,
                    "a" => Role::Assistant,
                    _ => Role::System,
                };
                PromptMessage::new(role, text)
            })
            .collect()
    }

    fn chosen(messages: &[&str], limits: PromptLimits) -> Vec<String> {
        let (_, chosen) = assemble(None, &history(messages), limits);
        chosen.iter().map(|message| format!("{}:{}", &message.role.as_str()[..1], message.text)).collect()
    }

    #[test]
    fn everything_that_fits_is_kept_in_order() {
        let messages = ["u:one", "a:two", "s:note", "u:three", "u:four"];
        assert_eq!(chosen(&messages, ROOMY), messages);
    }

    #[test]
    fn blank_messages_are_left_out_and_text_is_never_trimmed() {
        assert_eq!(chosen(&["u: one\n", "a:", "a: \n\t", "u:two  "], ROOMY), ["u: one\n", "u:two  "]);
    }

    #[test]
    fn the_newest_are_kept_and_the_first_is_a_user_message() {
        let messages = ["u:1", "a:2", "u:3", "a:4", "u:5"];
        let by_count = |max_messages| chosen(&messages, PromptLimits { max_messages, ..ROOMY });
        assert_eq!(by_count(4), ["u:3", "a:4", "u:5"]);
        assert_eq!(by_count(3), ["u:3", "a:4", "u:5"]);
        assert_eq!(by_count(2), ["u:5"]);
        let by_bytes = |max_bytes| chosen(&messages, PromptLimits { max_bytes, ..ROOMY });
        assert_eq!(by_bytes(5), messages);
        assert_eq!(by_bytes(4), ["u:3", "a:4", "u:5"]);
    }

    #[test]
    fn a_long_message_is_a_wall_and_not_a_gap() {
        let limits = PromptLimits { max_bytes: 8, ..ROOMY };
        assert_eq!(chosen(&["u:1", "a:0123456789", "u:3", "a:4", "u:5"], limits), ["u:3", "a:4", "u:5"]);
    }

    #[test]
    fn the_latest_user_message_is_kept_beyond_every_limit() {
        let none = PromptLimits { max_messages: 0, max_bytes: 0 };
        assert_eq!(chosen(&["u:old", "a:old", "u:question"], none), ["u:question"]);
        assert_eq!(chosen(&["u:question", "a:so far"], none), ["u:question", "a:so far"]);
    }

    #[test]
    fn without_a_user_message_there_is_no_prompt() {
        assert!(chosen(&["a:hello", "s:note"], ROOMY).is_empty());
        assert!(chosen(&[], ROOMY).is_empty());
    }

    /// `c:1,2` calls 1 and 2 after the text "calling", `r:1` is the result of 1, which says "r1".
    fn with_calls(messages: &[&str]) -> Vec<PromptMessage> {
        let message = |message: &&str| match message.split_once(':').unwrap() {
            ("c", ids) => {
                let call = |id: &str| PromptCall { id: id.into(), tool: "t".into(), input: json!({}) };
                let calls = ids.split(',').map(call).collect();
                PromptMessage { calls, ..PromptMessage::new(Role::Assistant, "calling") }
            }
            ("r", id) => PromptMessage::result(id, format!("r{id}"), false),
            _ => history(&[message]).remove(0),
        };
        messages.iter().map(message).collect()
    }

    fn shown(messages: &[&str], limits: PromptLimits) -> Vec<String> {
        let show = |message: PromptMessage| match message.answers {
            Some(answered) => format!("r:{}={}", answered.call_id, message.text),
            None if message.calls.is_empty() => format!("{}:{}", &message.role.as_str()[..1], message.text),
            None => format!("c:{}", message.calls.iter().map(|call| call.id.as_str()).collect::<Vec<_>>().join(",")),
        };
        assemble(None, &with_calls(messages), limits).1.into_iter().map(show).collect()
    }

    #[test]
    fn tc_06_an_id_that_looks_like_a_new_name_for_another_is_no_obstacle() {
        let calls = ["u:q", "c:1_2", "r:1_2", "c:1", "r:1", "c:1", "r:1"];
        let told = ["u:q", "c:1_2", "r:1_2=r1_2", "c:1", "r:1=r1", "c:1_3", "r:1_3=r1"];
        assert_eq!(shown(&calls, ROOMY), told);
    }

    #[test]
    fn tc_06_results_follow_their_calls_wherever_they_were() {
        let parallel = ["u:q", "c:1,2", "r:2", "r:1", "c:3", "r:3", "a:done"];
        assert_eq!(shown(&parallel, ROOMY), ["u:q", "c:1,2", "r:1=r1", "r:2=r2", "c:3", "r:3=r3", "a:done"]);
        let late = ["u:q", "c:1", "u:steered", "r:1", "a:done"];
        assert_eq!(shown(&late, ROOMY), ["u:q", "c:1", "r:1=r1", "u:steered", "a:done"]);
        // An orphan is left out: no provider takes it. A second result is one.
        assert_eq!(shown(&["r:0", "u:q", "r:9", "c:1", "r:1", "r:1"], ROOMY), ["u:q", "c:1", "r:1=r1"]);
    }

    #[test]
    fn tc_06_a_call_without_a_result_was_interrupted() {
        let history = with_calls(&["u:q", "c:1,2", "r:2", "u:again"]);
        let (_, chosen) = assemble(None, &history, ROOMY);
        assert_eq!(chosen[2], PromptMessage::result("1", "No result: the call was interrupted.", true));
        assert_eq!(chosen[3], PromptMessage::result("2", "r2", false));
    }

    #[test]
    fn tc_06_an_id_that_comes_again_is_another_call() {
        let messages = ["u:q", "c:1", "u:p", "c:1", "r:1"];
        assert_eq!(
            shown(&messages, ROOMY),
            ["u:q", "c:1", "r:1=No result: the call was interrupted.", "u:p", "c:1_1", "r:1_1=r1"]
        );
    }

    #[test]
    fn ag_11_calls_and_results_count_as_bytes_and_not_as_messages() {
        let messages = ["u:1", "c:1", "r:1", "a:4", "u:5"];
        let by_count = |max_messages| shown(&messages, PromptLimits { max_messages, ..ROOMY }).len();
        assert_eq!((by_count(3), by_count(2)), (5, 1));
        // 1 + "calling", "t", "{}" + "r1" + 1 + 1.
        let by_bytes = |max_bytes| shown(&messages, PromptLimits { max_bytes, ..ROOMY }).len();
        assert_eq!((by_bytes(15), by_bytes(14)), (5, 1));
        // What follows the latest user message belongs to it, within any limits.
        let none = PromptLimits { max_messages: 0, max_bytes: 0 };
        assert_eq!(shown(&["u:old", "u:q", "c:1", "r:1"], none), ["u:q", "c:1", "r:1=r1"]);
    }

    #[test]
    fn a_blank_system_text_is_none() {
        assert_eq!(assemble(Some(" \n"), &[], ROOMY).0, None);
        assert_eq!(assemble(Some(" Be kind."), &[], ROOMY).0.as_deref(), Some(" Be kind."));
    }
}
