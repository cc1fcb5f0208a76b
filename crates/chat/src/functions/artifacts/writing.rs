//! A document while a model of the server writes it, as the arguments of a call that is not made yet.
//!
//! What people see of it is a draft of the call. The call itself has the last word: it makes the draft the first
//! version, with exactly its own text. Must never decide whether the call may run.

use spool_protocol::{Code, Error, Event, Result};
use spool_store::Tx;

use super::draft::{keep, open, text_of};
use super::{Naming, Pins, Writer, event, named};
use crate::context::CallContext;
use crate::limits;
use crate::quota;
use crate::tables::{Artifact, ArtifactDraft, Author, Generation, Thread, draft};

/// What a document is called whose kind or title the model has not written yet.
const KIND: &str = "document";
const TITLE: &str = "Untitled";

/// What people have seen of the document that this call of the answer writes, if they have.
pub(crate) fn find(tx: &mut Tx<'_>, generation: &Generation, call: &str) -> Result<Option<ArtifactDraft>> {
    let drafts = tx.query::<ArtifactDraft>(draft::BY_GENERATION).eq(&generation.id).take(limits::DRAFTS)?;
    Ok(drafts.into_iter().find(|draft| draft.tool_call_id.as_deref() == Some(call)))
}

fn artifact_of(tx: &mut Tx<'_>, draft: &ArtifactDraft) -> Result<Artifact> {
    let lost = || Error::internal(format!("{} has no artifact", draft.id));
    tx.get(&draft.artifact_id)?.ok_or_else(lost)
}

/// Adds `text` to the document that the call writes. The first piece makes it, and returns the event that tells
/// of it. `ctx` is that of the user for whom the answer is made.
pub(crate) fn write(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, generation: &Generation, call: &str,
    (kind, title): (Option<String>, Option<String>), text: String,
) -> Result<Option<Event>> {
    let (draft, made) = match find(tx, generation, call)? {
        Some(draft) => (draft, None),
        None => {
            let kind = kind.unwrap_or_else(|| KIND.to_owned());
            let title = title.unwrap_or_else(|| TITLE.to_owned());
            let naming = Naming { kind, title, key: None };
            naming.check()?;
            let pins = Pins {
                message: Some(generation.message_id.clone()),
                generation: Some(generation.clone()),
                tool_call: Some(call.to_owned()),
            };
            let made = named(tx, thread, naming, &pins);
            let title = made.title.clone();
            let writer = Writer { author: Author::Agent, user: generation.user_id.clone() };
            let (artifact, draft) = open(tx, ctx, made, title, pins, writer)?;
            (draft, Some(event(&artifact, 1)))
        }
    };
    let (log, bytes) = (draft.id.as_str(), text.len() as u64);
    let end = tx.log_end(log)?.end + bytes;
    if end > limits::ARTIFACT_BYTES as u64 {
        let message = format!("the text would have {end} bytes; the limit is {}", limits::ARTIFACT_BYTES);
        return Err(Error::new(Code::TooLarge, message).with("limit", limits::ARTIFACT_BYTES));
    }
    quota::check_storage_of(tx, ctx, &thread.user_id, end)?;
    tx.log_append(log, bytes, text)?;
    Ok(made)
}

/// The call runs: its document is whole, with the call's own words. The caller has checked names, size and quota.
pub(crate) fn finish(
    tx: &mut Tx<'_>, generation: &Generation, mut draft: ArtifactDraft, naming: Naming, content: String,
) -> Result<Artifact> {
    let mut artifact = artifact_of(tx, &draft)?;
    artifact.kind = naming.kind;
    draft.title = naming.title;
    keep(tx, artifact, draft, Some(generation.clone()), content, false)
}

/// The call is over and has not written its document: what people have seen of it is kept. Returns the event that
/// tells of it, if they have.
pub(crate) fn cut(tx: &mut Tx<'_>, generation: &Generation, call: &str) -> Result<Option<Event>> {
    let Some(draft) = find(tx, generation, call)? else { return Ok(None) };
    let (artifact, content) = (artifact_of(tx, &draft)?, text_of(tx, &draft)?);
    let kept = keep(tx, artifact, draft, Some(generation.clone()), content, true)?;
    Ok(Some(event(&kept, kept.version)))
}
