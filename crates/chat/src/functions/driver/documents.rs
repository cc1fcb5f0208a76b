//! What the driver says about a document that a model is still writing: the call that writes it is no row yet.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};
use spool_store::Tx;

use super::calls::{Lease, begun};
use crate::context::CallContext;
use crate::functions::artifacts::writing;
use crate::limits::{self, check_bytes};
use crate::rules;
use crate::tables::Effect;
use crate::turn;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Draft {
    pub lease: Lease,
    /// What the log will call the call.
    pub tool_call_id: String,
    /// The tool that it calls.
    pub tool: String,
    /// As far as the model has written them.
    pub kind: Option<String>,
    pub title: Option<String>,
    /// What follows the pieces before.
    pub text: String,
}

/// Where the log of the answer ends after a piece of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Drafted {
    pub log_end: u64,
}

/// `driver:draft`: a piece of a document, for whoever looks on. What is refused fails the transaction, with `call`
/// in the data of the error: then nothing more of it is shown, and the call says why when it runs.
pub fn draft(tx: &mut Tx<'_>, ctx: &CallContext, args: Draft) -> Result<Drafted> {
    let (thread, generation) = begun(tx, ctx, args.lease)?;
    let call = args.tool_call_id;
    let refused = |error: Error| error.with("call", call.as_str());
    check_bytes("toolCallId", &call, limits::NAME_BYTES).map_err(refused)?;
    if ctx.settings.approvals.is_high_risk(&args.tool) {
        return Err(refused(Error::new(Code::Forbidden, "People decide about this call before anything is written.")));
    }
    // Whether a rule means the arguments is not known before they are whole.
    let agent = generation.agent_id.as_deref();
    let objects = |rule: &crate::tables::Rule| {
        rule.effect != Effect::Allow
            && rule.agent_id.as_deref().is_none_or(|of| agent == Some(of))
            && rules::is_like(&rule.tool, &args.tool)
    };
    if rules::of(tx, &generation.user_id)?.iter().any(objects) {
        return Err(refused(Error::new(Code::Forbidden, "A rule of the user may forbid this call.")));
    }
    let as_user = ctx.acting_for(&generation.user_id);
    let names = (args.kind, args.title);
    let made = writing::write(tx, &as_user, &thread, &generation, &call, names, args.text).map_err(refused)?;
    let log_end = match made {
        // Behind it nobody else could go on: the step is not over.
        Some(event) => turn::append(tx, &generation, &[event])?,
        None => turn::log_end(tx, &generation)?,
    };
    Ok(Drafted { log_end })
}
