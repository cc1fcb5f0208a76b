//! What remembered rules say about a call of a tool. Pure, except for the one function that reads the rules of
//! a user and counts the use.
//!
//! Of the rules that match, `deny` wins over `ask`, and `ask` over `allow`; which is newer or narrower does not
//! matter, so nobody has to know the order in which rules were made. Without a match a rule says nothing, and
//! the configuration of the tool decides.

use serde_json::Value;
use spool_protocol::Result;
use spool_store::{Id, Tx};

use crate::limits;
use crate::tables::rule;
use crate::tables::{Condition, Effect, Rule, User};

/// The rule that decides about this call, if any does. Of several with the same effect it is the first.
pub fn judge<'a>(rules: &'a [Rule], agent: Option<&str>, tool: &str, input: &Value) -> Option<&'a Rule> {
    let matching = rules.iter().filter(|rule| matches(rule, agent, tool, input));
    // Of equal ones `min_by_key` takes the first.
    matching.min_by_key(|rule| match rule.effect {
        Effect::Deny => 0,
        Effect::Ask => 1,
        Effect::Allow => 2,
    })
}

/// Whether the rule speaks of this call: its agent, its tool, and all of its conditions.
pub fn matches(rule: &Rule, agent: Option<&str>, tool: &str, input: &Value) -> bool {
    rule.agent_id.as_deref().is_none_or(|of| agent == Some(of))
        && is_like(&rule.tool, tool)
        && rule.arguments.iter().all(|condition| holds(condition, input))
}

fn holds(condition: &Condition, input: &Value) -> bool {
    let Some(value) = input.pointer(&condition.path) else { return false };
    // Values are equal whatever order their keys have, and are compared where they are.
    let equal = |wanted: &Value| wanted == value;
    let like = |pattern: &String| value.as_str().is_some_and(|text| is_like(pattern, text));
    condition.equals.as_ref().is_none_or(equal) && condition.like.as_ref().is_none_or(like)
}

/// Whether `text` has the shape of `pattern`, in which `*` stands for any text, also none, and everything else
/// for itself.
pub fn is_like(pattern: &str, text: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    // The first place of each piece leaves the most room for the next.
    for piece in middle.split('*') {
        match left.find(piece) {
            Some(at) => left = &left[at + piece.len()..],
            None => return false,
        }
    }
    left.ends_with(end)
}

/// The rules of a user, the oldest first.
pub(crate) fn of(tx: &mut Tx<'_>, user: &Id<User>) -> Result<Vec<Rule>> {
    tx.query::<Rule>(rule::BY_USER).eq(user).take(limits::RULES)
}

/// What the rules of `user` (whose thread it is) say about this call, and notes the use of the rule. With
/// `high_risk`, as the configuration marks the tool, no rule allows: then it asks.
pub(crate) fn verdict_of(
    tx: &mut Tx<'_>, user: &Id<User>, agent: Option<&str>, tool: &str, input: &Value, high_risk: bool,
) -> Result<Option<Verdict>> {
    let rules = of(tx, user)?;
    let Some(found) = judge(&rules, agent, tool, input) else { return Ok(None) };
    if high_risk && found.effect == Effect::Allow {
        return Ok(Some(Verdict { effect: Effect::Ask, rule: found.id.clone() }));
    }
    let used = Rule { last_used_at: Some(tx.now()), uses: found.uses + 1, ..found.clone() };
    tx.put(&used)?;
    Ok(Some(Verdict { effect: used.effect, rule: used.id }))
}

/// What is to be done with a call, and the rule that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub effect: Effect,
    pub rule: Id<Rule>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn rule(effect: Effect, agent: Option<&str>, tool: &str, arguments: Vec<Condition>) -> Rule {
        Rule {
            id: Id::fresh(0),
            creation_time: 0.0,
            user_id: Id::fresh(0),
            agent_id: agent.map(str::to_owned),
            tool: tool.to_owned(),
            arguments,
            effect,
            created_at: 0,
            created_from: None,
            last_used_at: None,
            uses: 0,
        }
    }

    fn equals(path: &str, value: Value) -> Condition {
        Condition { path: path.to_owned(), equals: Some(value), like: None }
    }

    fn like(path: &str, pattern: &str) -> Condition {
        Condition { path: path.to_owned(), equals: None, like: Some(pattern.to_owned()) }
    }

    #[test]
    fn ap_08_a_rule_matches_its_agent_its_tool_and_its_arguments() {
        let input = json!({ "to": { "account": "acct-7", "a/b": 1 }, "amount": 5, "note": null });
        // (agent of the rule, tool, conditions) → whether it speaks of agent `a`, tool `pay_now`
        let cases: &[(Option<&str>, &str, Vec<Condition>, bool)] = &[
            (None, "pay_now", vec![], true),
            (Some("a"), "pay_*", vec![], true),
            (Some("b"), "pay_*", vec![], false),
            (None, "pay", vec![], false),
            (None, "*", vec![like("/to/account", "acct-*")], true),
            (None, "*", vec![like("/to/account", "acct-8*")], false),
            (None, "*", vec![like("/amount", "*")], false),
            (None, "*", vec![like("/missing", "*")], false),
            (None, "*", vec![equals("/amount", json!(5)), like("/to/account", "*")], true),
            (None, "*", vec![equals("/amount", json!(5)), like("/to/account", "x")], false),
            (None, "*", vec![equals("/amount", json!("5"))], false),
            (None, "*", vec![equals("/note", Value::Null)], true),
            (None, "*", vec![equals("/to/a~1b", json!(1))], true),
            (
                None,
                "*",
                vec![equals("", json!({ "note": null, "amount": 5, "to": { "a/b": 1, "account": "acct-7" } }))],
                true,
            ),
            (None, "*", vec![equals("", json!({ "amount": 5 }))], false),
        ];
        for (agent, tool, conditions, matching) in cases {
            let rule = rule(Effect::Allow, *agent, tool, conditions.clone());
            assert_eq!(matches(&rule, Some("a"), "pay_now", &input), *matching, "{rule:?}");
        }
        assert!(!matches(&rule(Effect::Allow, Some("a"), "*", vec![]), None, "pay_now", &input), "a call of no agent");
    }

    /// The obvious way to say what `*` means, which takes for ever on long texts.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| naive(rest, &text[at..])),
            Some((byte, rest)) => text.first() == Some(byte) && naive(rest, &text[1..]),
        }
    }

    fn any_effect() -> impl Strategy<Value = Effect> {
        prop_oneof![Just(Effect::Allow), Just(Effect::Deny), Just(Effect::Ask)]
    }

    prop_compose! {
        fn any_rule()(
            effect in any_effect(), agent in prop::option::of("[ab]"), tool in "[xy*]{1,3}",
            amount in prop::option::of(0..3), note in prop::option::of("[pq*]{0,2}"),
        ) -> Rule {
            let amount = amount.map(|amount| equals("/amount", json!(amount)));
            let note = note.map(|note| like("/note", &note));
            rule(effect, agent.as_deref(), &tool, amount.into_iter().chain(note).collect())
        }
    }

    proptest! {
        #[test]
        fn ap_08_a_star_stands_for_any_text(pattern in "[ab*]{0,6}", text in "[ab]{0,8}") {
            prop_assert_eq!(is_like(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()));
        }

        /// Deny over ask over allow over nothing, whatever the order of the rules.
        #[test]
        fn ap_08_the_strictest_rule_that_matches_decides(
            rules in prop::collection::vec(any_rule(), 0..8).prop_shuffle(), agent in prop::option::of("[ab]"),
            tool in "[xy]{1,3}", amount in 0..3, note in "[pq]{0,2}",
        ) {
            let input = json!({ "amount": amount, "note": note });
            let matching: Vec<Effect> =
                rules.iter().filter(|rule| matches(rule, agent.as_deref(), &tool, &input)).map(|rule| rule.effect).collect();
            let expected = [Effect::Deny, Effect::Ask, Effect::Allow].into_iter().find(|effect| matching.contains(effect));
            let judged = judge(&rules, agent.as_deref(), &tool, &input);
            prop_assert_eq!(judged.map(|rule| rule.effect), expected);
            let mut turned = rules.clone();
            turned.reverse();
            prop_assert_eq!(judge(&turned, agent.as_deref(), &tool, &input).map(|rule| rule.effect), expected);
            // One more rule never makes a verdict looser than it was, unless nothing was said.
            let mut more = rules.clone();
            more.push(rule(Effect::Allow, None, "*", vec![]));
            let after = judge(&more, agent.as_deref(), &tool, &input).map(|rule| rule.effect);
            prop_assert_eq!(after, expected.or(Some(Effect::Allow)));
        }
    }
}
