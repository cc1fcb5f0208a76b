//! What a model is told before a conversation: what the rows know of it, and what was really sent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Failure, Result};
use spool_store::{Id, Tx};

use super::Told;
use super::calls::{Lease, held};
use crate::context::CallContext;
use crate::owned;
use crate::tables::{Fallback, Generation, Prompt, Section, prompt};

/// The prompt that was sent for this answer, if it was.
pub(super) fn stored(tx: &mut Tx<'_>, generation: &Generation) -> Result<Option<Prompt>> {
    tx.query::<Prompt>(prompt::BY_GENERATION).eq(&generation.id).first()
}

/// Keeps what the model was told. The sections and tools of the first request stay, since the answer goes on with
/// them; the model and the number of messages are those of the newest.
pub(super) fn keep(tx: &mut Tx<'_>, generation: &Generation, told: Told) -> Result<()> {
    let Told { model, sections, tools, messages } = told;
    if let Some(stored) = stored(tx, generation)? {
        return tx.put(&Prompt { model, messages, ..stored });
    }
    let row = Prompt {
        id: tx.new_id(),
        creation_time: tx.now() as f64,
        thread_id: generation.thread_id.clone(),
        generation_id: generation.id.clone(),
        model,
        sections,
        tools,
        messages,
    };
    tx.put(&row)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ShowPrompt {
    pub generation_id: Id<Generation>,
}

/// What a model was told before it answered.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromptView {
    /// The one that was asked last.
    pub model: String,
    /// In the order in which they were sent.
    pub sections: Vec<Section>,
    /// Names of the tools that were offered.
    pub tools: Vec<String>,
    /// Messages that followed in the newest request: of the conversation, and of the answer so far.
    pub messages: u32,
}

/// `debug:prompt`: null before the answer has begun.
pub fn show_prompt(tx: &mut Tx<'_>, ctx: &CallContext, args: ShowPrompt) -> Result<Option<PromptView>> {
    let (_, generation) = owned::generation(tx, &ctx.principal, &args.generation_id)?;
    let stored = stored(tx, &generation)?;
    Ok(stored.map(|Prompt { model, sections, tools, messages, .. }| PromptView { model, sections, tools, messages }))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FallBack {
    pub lease: Lease,
    pub model: String,
    pub provider: String,
    pub error: Failure,
    pub left_out: Option<u32>,
}

/// `driver:fallBack`: a model failed, and another is asked, or the same once more, or with less of the conversation.
pub fn fall_back(tx: &mut Tx<'_>, ctx: &CallContext, args: FallBack) -> Result<()> {
    let (_, mut generation) = held(tx, ctx, &args.lease)?;
    let FallBack { model, provider, error, left_out, .. } = args;
    generation.fallbacks.push(Fallback { model, provider, error, left_out, at: tx.now() });
    tx.put(&generation)
}
