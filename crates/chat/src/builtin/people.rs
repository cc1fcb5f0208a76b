//! Tools that wait for a person: a question, and the approval of a plan.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use spool_protocol::{ApprovalKind, ApprovalStatus, Error, Result};
use spool_store::Tx;

use super::documents::{Write, create};
use super::{Call, Done, Question};
use crate::context::CallContext;
use crate::functions::artifacts;
use crate::functions::runtime::{self, PhaseChange};
use crate::limits::{self, check_bytes, check_count};
use crate::states::approval::name;
use crate::tables::Approval;

/// Answers to choose from.
const OPTIONS: usize = 10;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ask {
    pub question: String,
    /// Answers to choose from, if there are only a few.
    pub options: Option<Vec<String>>,
}

pub fn ask(_tx: &mut Tx<'_>, _ctx: &CallContext, _call: &Call, input: Ask) -> Result<Done> {
    if input.question.trim().is_empty() {
        return Err(Error::bad_request("question: it is empty").with("path", "question"));
    }
    check_bytes("question", &input.question, limits::REASON_BYTES)?;
    let options = input.options.unwrap_or_default();
    check_count("options", options.len(), OPTIONS)?;
    options.iter().try_for_each(|option| check_bytes("options", option, limits::TITLE_BYTES))?;
    let question = Some(input.question);
    Ok(Done::Ask(Question { kind: ApprovalKind::Question, question, options, plan: None, events: Vec::new() }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SubmitPlan {
    /// One line.
    pub title: String,
    /// What you are going to do, step by step, in Markdown.
    pub content: String,
}

/// The plan is stored as a draft, and the run of an assistant that plans first waits for the decision from now on.
pub fn submit_plan(tx: &mut Tx<'_>, ctx: &CallContext, call: &Call, input: SubmitPlan) -> Result<Done> {
    let kind = artifacts::PLAN.to_owned();
    let plan = create(tx, ctx, call, Write { kind, title: input.title, content: input.content })?;
    if runtime::is_phased(ctx, &call.generation) {
        let change = PhaseChange::Submit { plan: plan.id.clone(), version: plan.version };
        runtime::advance(tx, &call.thread.id, change)?;
    }
    let events = vec![artifacts::event(&plan, plan.version)];
    let plan = Some((plan.id, plan.version));
    Ok(Done::Ask(Question { kind: ApprovalKind::Plan, question: None, options: Vec::new(), plan, events }))
}

/// The output of a call that asked a person, once that is decided: for a plan, exactly the text that was approved.
pub fn answered(tx: &mut Tx<'_>, approval: &Approval) -> Result<Value> {
    let approved = approval.status == ApprovalStatus::Approved;
    let mut output = json!({ "status": name(approval.status) });
    if let Some(reason) = &approval.reason {
        output["said"] = json!(reason);
    }
    if approval.kind == ApprovalKind::Question
        && matches!(approval.status, ApprovalStatus::Approved | ApprovalStatus::Rejected)
    {
        let plain = if approved { "yes" } else { "no" };
        output["answer"] = json!(approval.answer.as_deref().unwrap_or(plain));
    }
    let Some((id, asked)) = approval.artifact_id.as_ref().zip(approval.version) else { return Ok(output) };
    output["artifactId"] = json!(id);
    let version = approval.edited_version.unwrap_or(asked);
    output["version"] = json!(version);
    if approved && let Some(plan) = tx.get(id)? {
        let version = artifacts::version_of(tx, &plan, version)?;
        output["edited"] = json!(approval.edited_version.is_some());
        output["content"] = json!(artifacts::content_of(tx, &version)?);
    }
    Ok(output)
}
