//! Rules of people about calls of tools: made, listed and taken back by themselves alone.
//!
//! A backend must never make one: it would answer what it asks itself.

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Tx};

use super::Nothing;
use crate::audit;
use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::owned;
use crate::parts;
use crate::principal::Principal;
use crate::rules;
use crate::tables::audit::Outcome;
use crate::tables::{Approval, Condition, Effect, Rule, RuleView, User};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    /// Only calls of this agent; absent is of any.
    pub agent_id: Option<String>,
    /// The name of a tool, in which `*` stands for any text.
    pub tool: String,
    /// Conditions that all hold; none is any arguments.
    #[serde(default)]
    pub arguments: Vec<Condition>,
    pub effect: Effect,
}

/// `rules:create`: a rule that says the same is there once.
pub fn create(tx: &mut Tx<'_>, ctx: &CallContext, args: Create) -> Result<RuleView> {
    let Principal::User { user } = &ctx.principal else {
        return Err(Error::new(Code::Forbidden, "Rules are made by people, with a token of theirs."));
    };
    Ok(RuleView::from(remember(tx, ctx, &user.clone(), args, None)?))
}

/// Stores a rule of `user`, or finds the one that says the same. Fails before it has written anything.
pub(super) fn remember(
    tx: &mut Tx<'_>, ctx: &CallContext, user: &Id<User>, args: Create, from: Option<Id<Approval>>,
) -> Result<Rule> {
    check(&args)?;
    let others = rules::of(tx, user)?;
    let same = |rule: &&Rule| {
        (&rule.agent_id, &rule.tool, &rule.arguments, rule.effect)
            == (&args.agent_id, &args.tool, &args.arguments, args.effect)
    };
    if let Some(rule) = others.iter().find(same) {
        return Ok(rule.clone());
    }
    check_count("rules", others.len() + 1, limits::RULES)?;
    let bytes = bytes_of(&args.arguments) + others.iter().map(|rule| bytes_of(&rule.arguments)).sum::<usize>();
    if bytes > limits::RULES_BYTES {
        let message = format!("the conditions of all rules have {bytes} bytes; the limit is {}", limits::RULES_BYTES);
        return Err(Error::new(Code::TooLarge, message).with("limit", limits::RULES_BYTES).with("path", "arguments"));
    }
    let rule = Rule {
        id: tx.new_id(),
        creation_time: tx.now() as f64,
        user_id: user.clone(),
        agent_id: args.agent_id,
        tool: args.tool,
        arguments: args.arguments,
        effect: args.effect,
        created_at: tx.now(),
        created_from: from,
        last_used_at: None,
        uses: 0,
    };
    tx.put(&rule)?;
    audit::record(tx, ctx, "rule.create", rule.id.as_str(), Outcome::Done)?;
    Ok(rule)
}

fn check(args: &Create) -> Result<()> {
    let refused =
        |path: String, message: &str| Err(Error::bad_request(format!("{path}: {message}")).with("path", path));
    if args.tool.is_empty() {
        return refused("tool".to_owned(), "it is empty; * is every tool");
    }
    check_bytes("tool", &args.tool, limits::NAME_BYTES)?;
    check_bytes("agentId", args.agent_id.as_deref().unwrap_or(""), limits::NAME_BYTES)?;
    check_count("arguments", args.arguments.len(), limits::CONDITIONS)?;
    for (at, condition) in args.arguments.iter().enumerate() {
        let place = |field: &str| format!("arguments[{at}].{field}");
        check_bytes(&place("path"), &condition.path, limits::NAME_BYTES)?;
        if !condition.path.is_empty() && !condition.path.starts_with('/') {
            return refused(place("path"), "a JSON Pointer begins with /, or is empty for all arguments");
        }
        match (&condition.equals, &condition.like) {
            (Some(value), None) => {
                parts::check_json(value, &place("equals"))?;
            }
            (None, Some(_)) => {}
            _ => return refused(format!("arguments[{at}]"), "exactly one of equals and like"),
        }
    }
    let bytes = bytes_of(&args.arguments);
    if bytes > limits::RULE_BYTES {
        let message = format!("arguments: the conditions have {bytes} bytes; the limit is {}", limits::RULE_BYTES);
        return Err(Error::new(Code::TooLarge, message).with("limit", limits::RULE_BYTES).with("path", "arguments"));
    }
    Ok(())
}

/// Bytes of the places and values of conditions.
fn bytes_of(conditions: &[Condition]) -> usize {
    let value = |condition: &Condition| condition.equals.as_ref().map_or(0, |value| value.to_string().len());
    let text = |condition: &Condition| condition.path.len() + condition.like.as_ref().map_or(0, String::len);
    conditions.iter().map(|condition| value(condition) + text(condition)).sum()
}

/// `rules:list`: those of the caller, the oldest first.
pub fn list(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<Vec<RuleView>> {
    let user = ctx.user()?.clone();
    Ok(rules::of(tx, &user)?.into_iter().map(RuleView::from).collect())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub rule_id: Id<Rule>,
}

/// `rules:remove`: from now on it decides nothing.
pub fn remove(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<()> {
    let rule = owned::rule(tx, &ctx.principal, &args.rule_id)?;
    tx.delete(&rule.id)?;
    audit::record(tx, ctx, "rule.remove", rule.id.as_str(), Outcome::Done)
}
