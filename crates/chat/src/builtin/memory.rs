//! What the assistant keeps about its user, beyond this conversation.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use spool_protocol::{Error, Result};
use spool_store::Tx;

use super::{Call, Done};
use crate::context::CallContext;
use crate::functions::memory;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Remember {
    /// One fact, as a sentence that stands by itself.
    pub text: String,
}

/// A text that came from a page or a file may have talked the model into it: what it keeps holds where it was talked
/// to, and not in a role with other tools.
fn role(call: &Call) -> Option<&str> {
    call.generation.effective_role.as_deref()
}

/// The memory is that of the thread's owner, whoever sent the message.
pub fn remember(tx: &mut Tx<'_>, _ctx: &CallContext, call: &Call, input: Remember) -> Result<Done> {
    let entry = memory::remember(tx, &call.thread.user_id, &input.text, role(call))?;
    Ok(Done::output(json!({ "id": entry.id })))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Forget {
    /// The id of the entry, as it stands in brackets before it.
    pub id: String,
}

pub fn forget(tx: &mut Tx<'_>, _ctx: &CallContext, call: &Call, input: Forget) -> Result<Done> {
    if !memory::forget(tx, &call.thread.user_id, &input.id, role(call))? {
        return Err(Error::not_found("entry of the memory"));
    }
    Ok(Done::output(json!({ "forgotten": true })))
}
