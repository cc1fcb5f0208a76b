//! The decision about an approval: one person's, or the vote of one of several.
//!
//! [`prepare`] checks everything that a caller can get wrong and writes nothing; [`carry_out`] writes.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use spool_protocol::{ApprovalKind, ApprovalStatus, Code, Error, Result};
use spool_store::{Id, Tx};

use super::super::{artifacts, rules, runtime};
use super::shown;
use crate::audit;
use crate::context::CallContext;
use crate::limits::{self, check_bytes};
use crate::owned::{self, voting};
use crate::parts;
use crate::principal::Principal;
use crate::quota;
use crate::states::approval::already_resolved;
use crate::states::{ApprovalStep, ArtifactStatus};
use crate::tables::audit::Outcome;
use crate::tables::{Approval, ApprovalView, Artifact, Condition, Decision, Effect, Thread, User, Vote, approval};
use crate::turn;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Decide {
    pub approval_id: Id<Approval>,
    pub decision: Decision,
    /// Told to the asker.
    pub reason: Option<String>,
    /// Only with an approval that one person decides. Of a tool call: the arguments to run it with instead. Of a plan:
    /// the text instead, which becomes the artifact's new version. Of a question: the answer.
    #[serde(default, deserialize_with = "crate::args::given")]
    pub edited: Option<Value>,
    /// With a tool call: makes a rule, so that calls like this are decided likewise from now on.
    pub remember: Option<Remember>,
    /// What the caller believes to decide about. If it is something else, nothing is decided.
    pub claim: Option<Claim>,
}

/// The rule that a decision leaves: it allows what was approved, or refuses what was rejected.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Remember {
    pub scope: Scope,
    /// Only calls of the agent that asked now.
    #[serde(default)]
    pub only_this_agent: bool,
}

/// Which calls a remembered decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// All of this tool.
    Tool,
    /// Those of this tool with exactly these arguments.
    Arguments,
}

/// What a client says that it was shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claim {
    pub thread_id: Id<Thread>,
    pub tool_call_id: String,
    pub input: Value,
}

/// A decision that can be made.
pub(super) struct Prepared {
    approval: Approval,
    person: Id<User>,
    /// The plan that it is about.
    plan: Option<Artifact>,
    rule: Option<rules::Create>,
}

/// `approvals:decide`: the first decision is the last; where several people decide, the first of each.
pub fn decide(tx: &mut Tx<'_>, ctx: &CallContext, args: Decide) -> Result<ApprovalView> {
    let prepared = prepare(tx, ctx, &args)?;
    carry_out(tx, ctx, prepared, args)
}

pub(super) fn prepare(tx: &mut Tx<'_>, ctx: &CallContext, args: &Decide) -> Result<Prepared> {
    let (thread, approval) = voting::approval(tx, ctx, &args.approval_id)?;
    let person = person(ctx)?;
    if let Some(claim) = &args.claim {
        check_claim(&approval, claim)?;
    }
    check_open(&approval, tx.now())?;
    runtime::check_decidable(tx, ctx, &approval)?;
    if let Some(earlier) = approval.votes.iter().find(|vote| vote.user_id == person) {
        let message = "You have decided this already; it waits for others.";
        let error = Error::new(Code::AlreadyResolved, message).with("status", "pending");
        return Err(error.with("decision", serde_json::to_value(earlier.decision).unwrap_or_default()));
    }
    check_edits(&approval, args)?;
    let plan = match &approval.artifact_id {
        Some(artifact) => Some(check_plan(tx, ctx, &thread, artifact, &approval, args)?),
        None => None,
    };
    let rule = args.remember.as_ref().map(|remember| rule_of(&approval, &person, args, remember)).transpose()?;
    Ok(Prepared { approval, person, plan, rule })
}

/// A key speaks for a backend, and a backend that asks must not answer itself.
fn person(ctx: &CallContext) -> Result<Id<User>> {
    match &ctx.principal {
        Principal::User { user } => Ok(user.clone()),
        _ => Err(Error::new(Code::Forbidden, "Only the person whose thread it is decides, with a token of theirs.")),
    }
}

pub(super) fn carry_out(tx: &mut Tx<'_>, ctx: &CallContext, prepared: Prepared, args: Decide) -> Result<ApprovalView> {
    let Prepared { mut approval, person, plan, rule } = prepared;
    if let Some(rule) = rule {
        rules::remember(tx, ctx, &person, rule, Some(approval.id.clone()))?;
    }
    let vote = Vote {
        user_id: person.clone(),
        name: None,
        decision: args.decision,
        at: tx.now(),
        reason: args.reason.clone(),
    };
    approval.votes.push(vote);
    let approve = args.decision == Decision::Approve;
    let approved = approval.votes.iter().filter(|vote| vote.decision == Decision::Approve).count();
    if approve && approved < approval.approvers_needed as usize {
        tx.put(&approval)?;
        audit::record(tx, ctx, "approval.vote", approval.id.as_str(), Outcome::Done)?;
        return shown(tx, approval);
    }
    match (approval.kind, args.edited) {
        (ApprovalKind::ToolCall, edited) => approval.edited_input = edited,
        (ApprovalKind::Plan, edited) => {
            if let Some(plan) = plan {
                approval.edited_version = judge_plan(tx, ctx, plan, &approval, approve, edited.map(text_of))?;
            }
        }
        (ApprovalKind::Question, edited) => approval.answer = edited.map(text_of),
    }
    approval.reason = args.reason;
    approval.resolved_by = Some(person);
    let step = if approve { ApprovalStep::Approve } else { ApprovalStep::Reject };
    turn::resolve(tx, &mut approval, step)?;
    turn::stop_waiting(tx, ctx, &approval)?;
    let action = if approve { "approval.approve" } else { "approval.reject" };
    audit::record(tx, ctx, action, approval.id.as_str(), Outcome::Done)?;
    shown(tx, approval)
}

/// [`check_edits`] has seen that it is one.
fn text_of(edited: Value) -> String {
    match edited {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn check_claim(approval: &Approval, claim: &Claim) -> Result<()> {
    let meant = approval.thread_id == claim.thread_id
        && approval.kind == ApprovalKind::ToolCall
        && approval.tool_call_id.as_deref() == Some(claim.tool_call_id.as_str());
    if !meant {
        return Err(Error::not_found("approval"));
    }
    if !approval.input.as_ref().is_some_and(|input| approval::same(&claim.input, input)) {
        let message = "The arguments are not those that were asked about: show what approvals:get says.";
        return Err(Error::new(Code::HistoryConflict, message).with("path", "input"));
    }
    Ok(())
}

/// A time that has passed is over, even before anybody noted it.
fn check_open(approval: &Approval, now: u64) -> Result<()> {
    match approval.status {
        ApprovalStatus::Pending if approval.expires_at.is_some_and(|at| at <= now) => {
            Err(already_resolved(ApprovalStatus::Expired))
        }
        ApprovalStatus::Pending => Ok(()),
        over => Err(already_resolved(over)),
    }
}

fn refused(path: &str, message: &str) -> Error {
    Error::bad_request(format!("{path}: {message}")).with("path", path)
}

fn check_edits(approval: &Approval, args: &Decide) -> Result<()> {
    check_bytes("reason", args.reason.as_deref().unwrap_or(""), limits::REASON_BYTES)?;
    let approve = args.decision == Decision::Approve;
    let Some(edited) = &args.edited else {
        if approve && !approval.options.is_empty() {
            return Err(refused("edited", "the question wants an answer: one of its options, or words of your own"));
        }
        return Ok(());
    };
    if !approve {
        return Err(refused("edited", "an edit goes with the approval of what it edits"));
    }
    if approval.approvers_needed > 1 {
        let message = "several people decide, and each must decide about the same: approve it as it is, or reject it";
        return Err(refused("edited", message));
    }
    match (approval.kind, edited) {
        (ApprovalKind::ToolCall, input)
            if !input.is_object() && approval.input.as_ref().is_some_and(Value::is_object) =>
        {
            Err(refused("edited", "the edit of a tool call is its arguments, an object"))
        }
        (ApprovalKind::ToolCall, input) => {
            parts::check_json(input, "edited")?;
            check_bytes("edited", &approval::canonical(input), limits::APPROVAL_BYTES)
        }
        (ApprovalKind::Plan, Value::String(text)) => check_bytes("edited", text, limits::ARTIFACT_BYTES),
        (ApprovalKind::Question, Value::String(text)) => check_bytes("edited", text, limits::REASON_BYTES),
        (ApprovalKind::Plan, _) => Err(refused("edited", "the edit of a plan is its whole text, a string")),
        (ApprovalKind::Question, _) => Err(refused("edited", "the answer to a question is a string")),
    }
}

/// The rule that this decision leaves. What the configuration marks as of high risk is never allowed for the
/// future, and nobody makes a rule for somebody else's thread.
fn rule_of(approval: &Approval, person: &Id<User>, args: &Decide, remember: &Remember) -> Result<rules::Create> {
    let (Some(tool), Some(input)) = (&approval.tool, &approval.input) else {
        return Err(refused("remember", "only decisions about calls of tools are remembered"));
    };
    if *person != approval.user_id {
        return Err(refused("remember", "only the person whose thread it is makes rules for it"));
    }
    let approve = args.decision == Decision::Approve;
    if approve && (approval.high_risk || approval.approvers_needed > 1) {
        return Err(refused("remember", "calls of this tool are of high risk: each is asked about"));
    }
    if args.edited.is_some() && remember.scope == Scope::Arguments {
        return Err(refused("remember", "with an edit, remember the tool, or decide without remembering"));
    }
    if remember.only_this_agent && approval.agent_id.is_none() {
        return Err(refused("remember.onlyThisAgent", "it is not known which agent asked"));
    }
    // A name with a star would be a pattern.
    if tool.contains('*') {
        return Err(refused("remember", "the tool's name has a star in it; make a rule with rules:create"));
    }
    let all = Condition { path: String::new(), equals: Some(input.clone()), like: None };
    if remember.scope == Scope::Arguments {
        check_bytes("remember", &approval::canonical(input), limits::RULE_BYTES)?;
    }
    Ok(rules::Create {
        agent_id: approval.agent_id.clone().filter(|_| remember.only_this_agent),
        tool: tool.clone(),
        arguments: if remember.scope == Scope::Arguments { vec![all] } else { Vec::new() },
        effect: if approve { Effect::Allow } else { Effect::Deny },
    })
}

/// The plan, if it is still the one that was asked about, or the person writes it anew.
fn check_plan(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, id: &Id<Artifact>, approval: &Approval, args: &Decide,
) -> Result<Artifact> {
    // Whoever votes does not see the thread; the plan is looked up as its owner's.
    let owner = Principal::User { user: thread.user_id.clone() };
    let artifact = owned::artifact(tx, &owner, id)?.1;
    if args.decision == Decision::Approve && args.edited.is_none() && Some(artifact.version) != approval.version {
        let message = format!(
            "The plan was changed since it was asked about: it is at version {}. Approve with an edit, or reject.",
            artifact.version
        );
        return Err(Error::new(Code::HistoryConflict, message).with("current", artifact.version));
    }
    if args.decision == Decision::Approve {
        artifacts::check_judged(&artifact, ArtifactStatus::Approved, args.edited.is_some())?;
    }
    if let Some(Value::String(text)) = &args.edited {
        quota::check_storage(tx, ctx, text.len() as u64)?;
    }
    Ok(artifact)
}

/// The plan follows the decision. Returns the version that the person wrote, if they did.
fn judge_plan(
    tx: &mut Tx<'_>, ctx: &CallContext, mut artifact: Artifact, approval: &Approval, approve: bool,
    edited: Option<String>,
) -> Result<Option<u64>> {
    let asked_about = Some(artifact.version) == approval.version;
    let is_edit = edited.is_some();
    if approve {
        artifacts::judge(tx, ctx, &mut artifact, ArtifactStatus::Approved, edited)?;
    } else if asked_about && artifact.status == ArtifactStatus::Draft && artifact.writing.is_none() {
        artifacts::judge(tx, ctx, &mut artifact, ArtifactStatus::Rejected, None)?;
    }
    Ok(is_edit.then_some(artifact.version))
}
