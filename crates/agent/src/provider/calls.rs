//! Calls on their way to and from a model: their ids, their names, their arguments.
//!
//! Owns what a call may look like in a request, whatever a model once made of it: one call that a provider
//! refuses would refuse every later turn of its thread. Must never drop a call: the model is to see what it
//! did.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Value, json};

use super::{ProviderEvent, Request};

/// The longest name of a tool that every provider takes.
const MAX_NAME: usize = 64;

/// Gives each call of an answer an id that no other call of the prompt or the answer has. Some servers
/// number the calls of every answer from 0, some give no id.
#[derive(Debug, Default)]
pub(super) struct Ids {
    taken: HashSet<String>,
    given: usize,
}

impl Ids {
    /// Knows the calls that the prompt of `request` shows.
    pub(super) fn of(request: &Request) -> Self {
        let calls = request.messages.iter().flat_map(|message| &message.calls);
        Self { taken: calls.map(|call| call.id.clone()).collect(), given: 0 }
    }

    /// The id of the next call: `wanted` where it is free.
    pub(super) fn fresh(&mut self, wanted: &str) -> String {
        let base = if wanted.is_empty() { "call" } else { wanted };
        let mut id = if wanted.is_empty() { format!("call_{}", self.given) } else { wanted.to_owned() };
        self.given += 1;
        let mut number = self.given;
        while !self.taken.insert(id.clone()) {
            id = format!("{base}_{number}");
            number += 1;
        }
        id
    }
}

/// A call while its arguments arrive.
#[derive(Debug)]
pub(super) struct Writing {
    pub id: String,
    /// Empty until it is known.
    pub tool: String,
    /// The arguments so far.
    pub json: String,
    /// How many bytes of `json` were told as [`ProviderEvent::ToolInput`].
    told: usize,
}

impl Writing {
    pub(super) fn new(id: String, tool: String) -> Self {
        Self { id, tool, json: String::new(), told: 0 }
    }

    /// Tells what came since the last time. Nothing is told of a call whose tool is not known yet.
    pub(super) fn tell(&mut self, events: &mut Vec<ProviderEvent>) {
        // A server that takes back what it sent is told no further; its call has what it said last.
        let delta = self.json.get(self.told..).unwrap_or_default();
        if !self.tool.is_empty() && !delta.is_empty() {
            let delta = delta.to_owned();
            events.push(ProviderEvent::ToolInput { id: self.id.clone(), tool: self.tool.clone(), delta });
            self.told = self.json.len();
        }
    }
}

/// Arguments as JSON; none are an empty object, and a torn text stays a text.
pub(super) fn arguments(text: String) -> Value {
    if text.trim().is_empty() {
        return json!({});
    }
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// The arguments of an earlier call as providers take them, which is an object. What was none is shown
/// inside one: the result next to it says what was wrong with it.
pub(super) fn object(input: &Value) -> Cow<'_, Value> {
    if input.is_object() { Cow::Borrowed(input) } else { Cow::Owned(json!({ "invalid_arguments": input })) }
}

/// The name of an earlier call's tool as providers take it. A model may have called what does not exist,
/// under a name that cannot exist.
pub(super) fn name(tool: &str) -> String {
    let name: String = tool.chars().take(MAX_NAME).map(|c| if is_plain(c) { c } else { '_' }).collect();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

/// An id in the characters that Anthropic takes. Servers whose ids name their tool use others; a hash stands
/// for those, so that different ids stay different.
pub(super) fn plain_id(id: &str) -> Cow<'_, str> {
    if !id.is_empty() && id.chars().all(is_plain) {
        return Cow::Borrowed(id);
    }
    // FNV-1a: the same id has to become the same text in the call and in its result.
    let hash = id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    Cow::Owned(format!("call_{hash:016x}"))
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

#[cfg(test)]
mod tests {
    use super::super::{PromptCall, PromptMessage, Role};
    use super::*;

    #[test]
    fn tc_06_ids_are_kept_where_they_are_free_and_never_given_twice() {
        let calls = vec![PromptCall { id: "call_0".into(), tool: "t".into(), input: json!({}) }];
        let messages = vec![PromptMessage { calls, ..PromptMessage::new(Role::Assistant, "") }];
        let mut ids = Ids::of(&Request { messages, ..Request::default() });
        let given = ["", "x", "x", "", "call_1", "call_0"].map(|wanted| ids.fresh(wanted));
        assert_eq!(given.iter().collect::<HashSet<_>>().len(), given.len(), "{given:?}");
        assert!(!given.contains(&"call_0".to_owned()) && given[1] == "x", "{given:?}");
    }

    #[test]
    fn what_a_model_made_up_is_shown_in_a_shape_that_providers_take() {
        assert_eq!((name("a b.c"), name(""), name(&"x".repeat(99)).len()), ("a_b_c".into(), "unnamed".into(), 64));
        assert_eq!(*object(&json!("{\"torn\": ")), json!({"invalid_arguments": "{\"torn\": "}));
        assert_eq!(plain_id("toolu_1-A"), "toolu_1-A");
        let (one, other) = (plain_id("functions.search:0"), plain_id("functions.search.0"));
        assert!(one != other && one.chars().all(is_plain), "{one} {other}");
        assert_eq!(one, plain_id("functions.search:0"));
    }
}
