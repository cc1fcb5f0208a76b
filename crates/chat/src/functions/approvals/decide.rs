//! The decision about an approval.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use spool_protocol::{ApprovalKind, ApprovalStatus, Code, Error, Result};
use spool_store::{Id, Tx};

use super::super::{artifacts, runtime};
use crate::audit;
use crate::context::CallContext;
use crate::limits::{self, check_bytes};
use crate::owned;
use crate::parts;
use crate::principal::Principal;
use crate::states::approval::already_resolved;
use crate::states::{ApprovalStep, ArtifactStatus};
use crate::tables::audit::Outcome;
use crate::tables::{Approval, ApprovalView, Artifact, Thread, User, approval};
use crate::turn;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Decide {
    pub approval_id: Id<Approval>,
    pub approve: bool,
    /// Told to the asker.
    pub reason: Option<String>,
    /// With a tool call that is approved: run it with these arguments instead.
    pub edited_input: Option<Value>,
    /// With a plan that is approved: this text instead, which becomes the artifact's new version.
    pub edited_content: Option<String>,
    /// What the caller believes to decide about. If it is something else, nothing is decided.
    pub claim: Option<Claim>,
}

/// What a client says that it was shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claim {
    pub thread_id: Id<Thread>,
    pub tool_call_id: String,
    pub input: Value,
}

/// `approvals:decide`: the first decision is the last.
pub fn decide(tx: &mut Tx<'_>, ctx: &CallContext, args: Decide) -> Result<ApprovalView> {
    let (thread, mut approval) = owned::approval(tx, &ctx.principal, &args.approval_id)?;
    let person = person(ctx, &thread)?;
    if let Some(claim) = &args.claim {
        check_claim(&approval, claim)?;
    }
    check_open(&approval, tx.now())?;
    check_edits(&approval, &args)?;
    runtime::check_decidable(tx, &approval)?;
    let step = if args.approve { ApprovalStep::Approve } else { ApprovalStep::Reject };
    if let Some(artifact) = approval.artifact_id.clone() {
        approval.edited_version = judge_plan(tx, ctx, &artifact, &approval, args.approve, args.edited_content)?;
    }
    approval.edited_input = args.edited_input;
    approval.reason = args.reason;
    approval.resolved_by = Some(person);
    turn::resolve(tx, &mut approval, step)?;
    turn::stop_waiting(tx, ctx, &approval)?;
    let action = if args.approve { "approval.approve" } else { "approval.reject" };
    audit::record(tx, ctx, action, approval.id.as_str(), Outcome::Done)?;
    Ok(ApprovalView::from(approval))
}

/// A key speaks for a backend, and a backend that asks must not answer itself.
fn person(ctx: &CallContext, thread: &Thread) -> Result<Id<User>> {
    match &ctx.principal {
        Principal::User { user } if *user == thread.user_id => Ok(user.clone()),
        _ => Err(Error::new(Code::Forbidden, "Only the person whose thread it is decides, with a token of theirs.")),
    }
}

fn check_claim(approval: &Approval, claim: &Claim) -> Result<()> {
    let meant = approval.thread_id == claim.thread_id
        && approval.kind == ApprovalKind::ToolCall
        && approval.tool_call_id.as_deref() == Some(claim.tool_call_id.as_str());
    if !meant {
        return Err(Error::not_found("approval"));
    }
    if approval::hash(&approval::canonical(&claim.input)) != approval.hash {
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

fn check_edits(approval: &Approval, args: &Decide) -> Result<()> {
    check_bytes("reason", args.reason.as_deref().unwrap_or(""), limits::REASON_BYTES)?;
    let kinds = [
        ("editedInput", args.edited_input.is_some(), ApprovalKind::ToolCall),
        ("editedContent", args.edited_content.is_some(), ApprovalKind::Plan),
    ];
    for (field, given, kind) in kinds {
        if given && (!args.approve || approval.kind != kind) {
            let message = format!("{field}: an edit goes with the approval of what it edits");
            return Err(Error::bad_request(message).with("path", field));
        }
    }
    if let Some(input) = &args.edited_input {
        parts::check_json(input, "editedInput")?;
        check_bytes("editedInput", &approval::canonical(input), limits::APPROVAL_BYTES)?;
    }
    Ok(())
}

/// The plan follows the decision. Returns the version that the person wrote, if they did.
fn judge_plan(
    tx: &mut Tx<'_>, ctx: &CallContext, id: &Id<Artifact>, approval: &Approval, approve: bool, edited: Option<String>,
) -> Result<Option<u64>> {
    let mut artifact = owned::artifact(tx, &ctx.principal, id)?.1;
    let asked_about = Some(artifact.version) == approval.version;
    if approve && edited.is_none() && !asked_about {
        let message = format!(
            "The plan was changed since it was asked about: it is at version {}. Approve with editedContent, or reject.",
            artifact.version
        );
        return Err(Error::new(Code::HistoryConflict, message).with("current", artifact.version));
    }
    let is_edit = edited.is_some();
    if approve {
        artifacts::judge(tx, ctx, &mut artifact, ArtifactStatus::Approved, edited)?;
    } else if asked_about && artifact.status == ArtifactStatus::Draft && artifact.writing.is_none() {
        artifacts::judge(tx, ctx, &mut artifact, ArtifactStatus::Rejected, None)?;
    }
    Ok(is_edit.then_some(artifact.version))
}
