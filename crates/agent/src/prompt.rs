//! Which part of a conversation a model is given.
//!
//! Owns the choice and its limits. Must never change the text of a message, and knows no tokens: bytes
//! are what can be counted without a model's own tokenizer.

use crate::provider::{PromptMessage, Role};

/// How much history goes into a prompt. The latest user message is exempt: without it there is nothing
/// to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptLimits {
    /// The most messages.
    pub max_messages: usize,
    /// The most UTF-8 bytes of all messages together, the system text not counted.
    pub max_bytes: usize,
}

/// Chooses the newest messages of `history` (oldest first) that fit into `limits`.
///
/// Blank messages are left out: providers refuse them. The order is kept and neighbours of one role stay
/// apart. The choice has no gaps and starts with a user message, so it may be smaller than the limits
/// allow; it is empty only if `history` has no user message. A blank system text becomes `None`.
pub fn assemble(
    system: Option<&str>, history: &[PromptMessage], limits: PromptLimits,
) -> (Option<String>, Vec<PromptMessage>) {
    let system = system.filter(|text| !text.trim().is_empty()).map(str::to_owned);
    let spoken: Vec<&PromptMessage> = history.iter().filter(|message| !message.is_blank()).collect();

    let Some(latest) = spoken.iter().rposition(|message| message.role == Role::User) else {
        return (system, Vec::new());
    };
    let mut first = latest;
    let mut bytes: usize = spoken[latest..].iter().map(|message| message.text.len()).sum();
    for at in (0..latest).rev() {
        bytes = bytes.saturating_add(spoken[at].text.len());
        if bytes > limits.max_bytes || spoken.len() - at > limits.max_messages {
            break;
        }
        if spoken[at].role == Role::User {
            first = at;
        }
    }
    (system, spoken[first..].iter().map(|message| (*message).clone()).collect())
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_blank_system_text_is_none() {
        assert_eq!(assemble(Some(" \n"), &[], ROOMY).0, None);
        assert_eq!(assemble(Some(" Be kind."), &[], ROOMY).0.as_deref(), Some(" Be kind."));
    }
}
