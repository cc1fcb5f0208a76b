//! Several decisions in one transaction, each with its own outcome.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Tx};

use super::decide::{self, Claim, Decide};
use crate::context::CallContext;
use crate::limits::{self, check_count};
use crate::principal::Principal;
use crate::tables::{Approval, ApprovalView, Decision};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DecideMany {
    /// Up to 100. Of two about the same approval the first counts.
    pub decisions: Vec<OneOfMany>,
    /// All or nothing: the first that cannot be made fails the call, and none is made.
    #[serde(default)]
    pub together: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OneOfMany {
    pub approval_id: Id<Approval>,
    pub decision: Decision,
    /// As in `approvals:decide`.
    pub reason: Option<String>,
    #[serde(default, deserialize_with = "crate::args::given")]
    pub edited: Option<Value>,
    pub claim: Option<Claim>,
}

/// What became of one decision: either the approval, or why it was not made.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decided {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<NotDecided>,
}

/// The refusal that `approvals:decide` would have given.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NotDecided {
    pub code: String,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
}

/// `approvals:decideMany`: results in the order of the decisions. What cannot be decided is left out and undoes
/// nothing else, unless they are made together.
pub fn decide_many(tx: &mut Tx<'_>, ctx: &CallContext, args: DecideMany) -> Result<Vec<Decided>> {
    check_count("decisions", args.decisions.len(), limits::DECISIONS)?;
    if !matches!(ctx.principal, Principal::User { .. }) {
        return Err(Error::new(Code::Forbidden, "Only people decide, with a token of theirs."));
    }
    let mut results = Vec::with_capacity(args.decisions.len());
    for one in args.decisions {
        let OneOfMany { approval_id, decision, reason, edited, claim } = one;
        let decision = Decide { approval_id, decision, reason, edited, remember: None, claim };
        // Nothing is written before everything that the caller can cause was checked; what fails after that is a
        // defect of ours, and undoes the whole call.
        let prepared = match decide::prepare(tx, ctx, &decision) {
            Ok(prepared) => prepared,
            Err(error) if args.together || error.code == Code::Internal => {
                return Err(error.with("approvalId", decision.approval_id.as_str()));
            }
            Err(error) => {
                let error =
                    NotDecided { code: error.code.as_str().to_owned(), message: error.message, data: error.data };
                results.push(Decided { approval: None, error: Some(error) });
                continue;
            }
        };
        let approval = decide::carry_out(tx, ctx, prepared, decision)?;
        results.push(Decided { approval: Some(approval), error: None });
    }
    Ok(results)
}
