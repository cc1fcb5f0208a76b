//! What users say to a running answer: it becomes part of the answer before its next step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Event, FinalStatus, Result};
use spool_store::{Id, Tx};

use super::calls::{Lease, begun};
use crate::context::CallContext;
use crate::limits;
use crate::states::MessageStep;
use crate::tables::{Message, Thread, message};
use crate::turn::{self, calls};

/// What users said while the answer was being made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Steered {
    pub log_end: u64,
    /// Oldest first.
    pub texts: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Steer {
    pub lease: Lease,
}

/// What the running answer of this thread has not read yet.
pub(super) fn waiting(tx: &mut Tx<'_>, thread: &Id<Thread>) -> Result<Vec<Message>> {
    let mut waiting = tx.query::<Message>(message::BY_QUEUE).eq(thread).take(limits::QUEUED_TURNS)?;
    waiting.retain(|said| said.steers);
    Ok(waiting)
}

/// `driver:steer`: the messages that the answer is to read before its next step, which are its own from now on.
pub fn steer(tx: &mut Tx<'_>, ctx: &CallContext, args: Steer) -> Result<Steered> {
    let (mut thread, mut generation) = begun(tx, ctx, args.lease)?;
    let (mut texts, mut events) = (Vec::new(), Vec::new());
    for mut said in waiting(tx, &thread.id)? {
        said.status = said.status.step(MessageStep::Finish(FinalStatus::Complete))?;
        said.queued_in = None;
        said.steers = false;
        said.completed_at = Some(tx.now());
        said.answered_by = Some(generation.id.clone());
        said.steered = Some(generation.id.clone());
        tx.put(&said)?;
        let text = said.text();
        events.push(Event::Steered { message_id: said.id.as_str().to_owned(), text: text.clone() });
        texts.push(text);
    }
    if !events.is_empty() {
        calls::append_step(tx, &mut generation, &events)?;
        tx.put(&generation)?;
        thread.touch(tx.now());
        tx.put(&thread)?;
    }
    Ok(Steered { log_end: turn::log_end(tx, &generation)?, texts })
}
