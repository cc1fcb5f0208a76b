//! A version while it is written: its text is a log, and becomes the version's content when it is finished.
//!
//! Nothing but the log grows with the text: no row changes, so no live query but `artifacts:deltas` hears of it.
//! What an answer leaves unfinished is finished with its end, with the text that it had: a card that people
//! saw never points to nothing. Must never let two drafts of one artifact be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Tx};

use super::super::{external, remains};
use super::{
    Naming, Pins, Saved, Writer, check_base, check_name, content_of, named, pins, store_version, tell, version_of,
};
use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::owned;
use crate::quota;
use crate::states::{ArtifactStatus, ArtifactStep};
use crate::tables::{Artifact, ArtifactDraft, Generation, Message, Thread, VersionView, approval, artifact, draft};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Begin {
    /// A new artifact of this thread; `kind` and `title` go with it.
    pub thread_id: Option<Id<Thread>>,
    /// Or the next version of this one; `baseVersion` goes with it.
    pub artifact_id: Option<Id<Artifact>>,
    /// The version that the writer saw; `history_conflict` if there is a newer one.
    pub base_version: Option<u64>,
    pub kind: Option<String>,
    pub title: Option<String>,
    /// Of a new artifact: beginning again with it in the same thread gives the same artifact.
    pub key: Option<String>,
    /// The answer that writes it; only the runner of that answer says so.
    pub generation_id: Option<Id<Generation>>,
    /// The message that a new artifact belongs to, where no answer makes it.
    pub message_id: Option<Id<Message>>,
    pub tool_call_id: Option<String>,
}

/// A version that is being written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    pub artifact_id: Id<Artifact>,
    pub version: u64,
    /// Where its text ends, in bytes: the offset of the next `artifacts:append`.
    pub cursor: u64,
    /// Whether it is finished: the `key` is that of an artifact that is whole.
    pub done: bool,
}

fn wants(field: &str, why: &str) -> Error {
    Error::bad_request(format!("{field}: {why}")).with("path", field)
}

/// `artifacts:begin`
pub fn begin(tx: &mut Tx<'_>, ctx: &CallContext, args: Begin) -> Result<Begun> {
    match (args.thread_id.clone(), args.artifact_id.clone()) {
        (Some(thread), None) => begin_first(tx, ctx, &thread, args),
        (None, Some(artifact)) => begin_next(tx, ctx, &artifact, args),
        _ => Err(wants("threadId", "expected either threadId or artifactId")),
    }
}

fn begin_first(tx: &mut Tx<'_>, ctx: &CallContext, thread: &Id<Thread>, args: Begin) -> Result<Begun> {
    let thread = owned::thread(tx, &ctx.principal, thread)?;
    if args.base_version.is_some() {
        return Err(wants("baseVersion", "a new artifact has none"));
    }
    check_bytes("key", args.key.as_deref().unwrap_or(""), limits::NAME_BYTES)?;
    if let Some(key) = args.key.as_deref()
        && let Some(earlier) = tx.query::<Artifact>(artifact::BY_KEY).eq(&thread.id).eq(key).first()?
    {
        return match find(tx, &earlier, 1)? {
            Some(draft) => begun(tx, &draft),
            None => {
                let first = version_of(tx, &earlier, 1)?;
                Ok(Begun { artifact_id: earlier.id, version: 1, cursor: first.content_bytes, done: true })
            }
        };
    }
    let kind = args.kind.ok_or_else(|| wants("kind", "a new artifact has one"))?;
    let title = args.title.ok_or_else(|| wants("title", "a new artifact has one"))?;
    let naming = Naming { kind, title, key: args.key };
    naming.check()?;
    let pins = pins(tx, ctx, &thread, args.generation_id, args.message_id, args.tool_call_id)?;
    let made = named(tx, &thread, naming, &pins);
    let title = made.title.clone();
    let writer = Writer::of(ctx)?;
    let (_, draft) = open(tx, ctx, made, title, pins, writer)?;
    begun(tx, &draft)
}

fn begin_next(tx: &mut Tx<'_>, ctx: &CallContext, id: &Id<Artifact>, args: Begin) -> Result<Begun> {
    let (thread, artifact) = owned::artifact(tx, &ctx.principal, id)?;
    let foreign =
        [("kind", args.kind.is_some()), ("key", args.key.is_some()), ("messageId", args.message_id.is_some())];
    if let Some((field, _)) = foreign.into_iter().find(|(_, given)| *given) {
        return Err(wants(field, "only a new artifact is given one"));
    }
    let base = args.base_version.ok_or_else(|| wants("baseVersion", "say which version the writer saw"))?;
    let pins = pins(tx, ctx, &thread, args.generation_id, None, args.tool_call_id)?;
    if let Some(draft) = find(tx, &artifact, base + 1)?
        && draft.writer == ctx.principal.key()
        && draft.generation_id.as_ref() == pins.generation.as_ref().map(|generation| &generation.id)
        && draft.tool_call_id == pins.tool_call
    {
        return begun(tx, &draft);
    }
    check_base(&artifact, base)?;
    // Whatever else changes the status waits until the version is whole, so this holds then, too.
    artifact.status.step(ArtifactStep::Edit)?;
    let title = args.title.unwrap_or_else(|| artifact.title.clone());
    check_name("title", &title, limits::TITLE_BYTES)?;
    let writer = Writer::of(ctx)?;
    let (_, draft) = open(tx, ctx, artifact, title, pins, writer)?;
    begun(tx, &draft)
}

/// Stores the draft of the next version of `artifact`, and tells of it. An answer that is over begins none: its end
/// has passed, which would have finished it.
pub(super) fn open(
    tx: &mut Tx<'_>, ctx: &CallContext, mut artifact: Artifact, title: String, pins: Pins, writer: Writer,
) -> Result<(Artifact, ArtifactDraft)> {
    if let Some(over) = pins.generation.as_ref().filter(|generation| generation.status.is_terminal()) {
        let message = format!("The answer is over: {}. It writes nothing any more.", over.status.as_str());
        return Err(Error::new(Code::LogSealed, message));
    }
    let open = tx.query::<ArtifactDraft>(draft::BY_THREAD).eq(&artifact.thread_id).take(limits::DRAFTS)?;
    check_count("drafts", open.len() + 1, limits::DRAFTS)?;
    let now = tx.now();
    let draft = ArtifactDraft {
        id: tx.new_id(),
        creation_time: now as f64,
        thread_id: artifact.thread_id.clone(),
        artifact_id: artifact.id.clone(),
        version: artifact.version + 1,
        title,
        author: writer.author,
        user_id: writer.user,
        writer: ctx.principal.key(),
        generation_id: pins.generation.as_ref().map(|generation| generation.id.clone()),
        message_id: pins.message,
        tool_call_id: pins.tool_call,
        created_at: now,
    };
    artifact.writing = Some(draft.version);
    artifact.updated_at = now;
    tx.put(&artifact)?;
    tx.put(&draft)?;
    tell(tx, &artifact, draft.version, pins.generation)?;
    Ok((artifact, draft))
}

fn begun(tx: &mut Tx<'_>, draft: &ArtifactDraft) -> Result<Begun> {
    let cursor = tx.log_end(draft.id.as_str())?.end;
    Ok(Begun { artifact_id: draft.artifact_id.clone(), version: draft.version, cursor, done: false })
}

/// The draft of this version, if it is being written.
pub(super) fn find(tx: &mut Tx<'_>, artifact: &Artifact, version: u64) -> Result<Option<ArtifactDraft>> {
    if artifact.writing != Some(version) {
        return Ok(None);
    }
    tx.query::<ArtifactDraft>(draft::BY_ARTIFACT).eq(&artifact.id).first()
}

/// The text so far, with what is known of the version.
pub(super) fn so_far(tx: &mut Tx<'_>, draft: ArtifactDraft) -> Result<(VersionView, String)> {
    let content = text_of(tx, &draft)?;
    let view = VersionView {
        artifact_id: draft.artifact_id,
        version: draft.version,
        title: draft.title,
        status: ArtifactStatus::Draft,
        author: draft.author,
        content_bytes: content.len() as u64,
        content_hash: approval::hash(&content),
        generation_id: draft.generation_id,
        message_id: draft.message_id,
        tool_call_id: draft.tool_call_id,
        cut: false,
        created_at: draft.created_at,
    };
    Ok((view, content))
}

/// Not recorded as a read: whoever wants to hear of more follows `artifacts:deltas`.
pub(super) fn text_of(tx: &mut Tx<'_>, draft: &ArtifactDraft) -> Result<String> {
    Ok(tx.log_read_all(draft.id.as_str())?.iter().map(|chunk| &*chunk.data).collect())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Append {
    pub artifact_id: Id<Artifact>,
    pub version: u64,
    /// Where the writer believes that the text ends, in bytes of UTF-8.
    pub offset: u64,
    pub text: String,
}

/// Where a text ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    pub cursor: u64,
}

/// `artifacts:append`: repeating it changes nothing, another text at the same place is `offset_mismatch`.
pub fn append(tx: &mut Tx<'_>, ctx: &CallContext, args: Append) -> Result<Written> {
    let (_, artifact) = owned::artifact(tx, &ctx.principal, &args.artifact_id)?;
    let Some(draft) = find(tx, &artifact, args.version)? else {
        version_of(tx, &artifact, args.version)?;
        return Err(Error::new(Code::LogSealed, "This version is whole: begin another one."));
    };
    let held = held(tx, ctx, &draft)?;
    let (log, end) = (draft.id.as_str(), tx.log_end(draft.id.as_str())?.end);
    if args.offset != end {
        if is_there(tx, log, args.offset, &args.text)? {
            return Ok(Written { cursor: end });
        }
        let message = format!("The text ends at {end}, and the writer goes on at {}.", args.offset);
        return Err(Error::new(Code::OffsetMismatch, message).with("end", end).with("path", "offset"));
    }
    let bytes = args.text.len() as u64;
    if end + bytes > limits::ARTIFACT_BYTES as u64 {
        let message = format!("the text would have {} bytes; the limit is {}", end + bytes, limits::ARTIFACT_BYTES);
        return Err(Error::new(Code::TooLarge, message).with("limit", limits::ARTIFACT_BYTES).with("path", "text"));
    }
    if bytes == 0 {
        return Ok(Written { cursor: end });
    }
    quota::check_storage(tx, ctx, end + bytes)?;
    if let Some(mut generation) = held {
        external::renew(tx, ctx, &mut generation)?;
    }
    Ok(Written { cursor: tx.log_append(log, bytes, args.text)? })
}

/// The answer that writes the draft, if the caller makes it; a draft of no answer is anybody's who sees the
/// thread.
fn held(tx: &mut Tx<'_>, ctx: &CallContext, draft: &ArtifactDraft) -> Result<Option<Generation>> {
    draft.generation_id.as_ref().map(|id| Ok(external::held(tx, ctx, id, None)?.1)).transpose()
}

/// Whether the log has exactly this text at `offset`.
fn is_there(tx: &mut Tx<'_>, log: &str, offset: u64, text: &str) -> Result<bool> {
    let (mut at, mut rest) = (offset, text.as_bytes());
    while !rest.is_empty() {
        let page = tx.log_read(log, at)?;
        if page.is_empty() {
            return Ok(false);
        }
        for chunk in &page {
            let skip = usize::try_from(at.saturating_sub(chunk.start)).unwrap_or(usize::MAX);
            let Some(stored) = chunk.data.as_bytes().get(skip..) else { return Ok(false) };
            let both = stored.len().min(rest.len());
            if stored[..both] != rest[..both] {
                return Ok(false);
            }
            rest = &rest[both..];
            at = chunk.end;
        }
    }
    Ok(true)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finish {
    pub artifact_id: Id<Artifact>,
    pub version: u64,
}

/// `artifacts:finish`: repeating it changes nothing.
pub fn finish(tx: &mut Tx<'_>, ctx: &CallContext, args: Finish) -> Result<Saved> {
    let (_, artifact) = owned::artifact(tx, &ctx.principal, &args.artifact_id)?;
    let Some(draft) = find(tx, &artifact, args.version)? else {
        let whole = version_of(tx, &artifact, args.version)?;
        return Ok(Saved { artifact_id: artifact.id, version: whole.version, status: whole.status });
    };
    let generation = held(tx, ctx, &draft)?;
    let content = text_of(tx, &draft)?;
    Ok(Saved::from(&keep(tx, artifact, draft, generation, content, false)?))
}

/// `content` becomes the version, and the draft ends.
pub(super) fn keep(
    tx: &mut Tx<'_>, mut artifact: Artifact, draft: ArtifactDraft, generation: Option<Generation>, content: String,
    cut: bool,
) -> Result<Artifact> {
    tx.delete(&draft.id)?;
    remains::leave(tx, draft.id.as_str(), None)?;
    artifact.status = artifact.status.step(ArtifactStep::Edit)?;
    artifact.title = draft.title;
    artifact.writing = None;
    let pins = Pins { generation, message: draft.message_id, tool_call: draft.tool_call_id };
    let writer = Writer { author: draft.author, user: draft.user_id };
    store_version(tx, &mut artifact, content, writer, &pins, cut)?;
    tell(tx, &artifact, artifact.version, pins.generation)?;
    Ok(artifact)
}

/// An answer is about to be over: what it was writing is kept as far as it came.
pub(crate) fn abandon(tx: &mut Tx<'_>, generation: &Generation) -> Result<()> {
    let left = tx.query::<ArtifactDraft>(draft::BY_GENERATION).eq(&generation.id).take(limits::DRAFTS)?;
    for draft in left {
        let lost = || Error::internal(format!("{} has no artifact", draft.id));
        let artifact = tx.get(&draft.artifact_id)?.ok_or_else(lost)?;
        let content = text_of(tx, &draft)?;
        keep(tx, artifact, draft, Some(generation.clone()), content, true)?;
    }
    Ok(())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deltas {
    pub artifact_id: Id<Artifact>,
    pub version: u64,
    /// Where to read from, in bytes: 0, or the `cursor` of an earlier result.
    #[serde(default)]
    pub cursor: u64,
}

/// A piece of the text of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TextPage {
    pub text: String,
    /// Where to go on.
    pub cursor: u64,
    /// Whether the version is whole and nothing follows.
    pub done: bool,
}

/// `artifacts:deltas`: what is new since the cursor, and all that is left of a version that is whole.
pub fn deltas(tx: &mut Tx<'_>, ctx: &CallContext, args: Deltas) -> Result<TextPage> {
    let (_, artifact) = owned::artifact(tx, &ctx.principal, &args.artifact_id)?;
    let Some(draft) = find(tx, &artifact, args.version)? else {
        let version = version_of(tx, &artifact, args.version)?;
        let end = version.content_bytes;
        // A reader that has everything loads nothing.
        if args.cursor == end {
            return Ok(TextPage { text: String::new(), cursor: end, done: true });
        }
        let content = content_of(tx, &version)?;
        let text = after(&content, args.cursor, 0, end)?.to_owned();
        return Ok(TextPage { text, cursor: end, done: true });
    };
    let chunks = tx.log_read(draft.id.as_str(), args.cursor)?;
    let mut page = TextPage { text: String::new(), cursor: args.cursor, done: false };
    if chunks.is_empty() {
        let end = tx.log_end(draft.id.as_str())?.end;
        return if args.cursor > end { Err(beyond(args.cursor, end)) } else { Ok(page) };
    }
    for chunk in &chunks {
        page.text.push_str(after(&chunk.data, args.cursor, chunk.start, chunk.end)?);
        page.cursor = chunk.end;
    }
    Ok(page)
}

/// What a text that begins at `start` and ends at `end` holds from `cursor` on.
fn after(text: &str, cursor: u64, start: u64, end: u64) -> Result<&str> {
    if cursor > end {
        return Err(beyond(cursor, end));
    }
    let skip = usize::try_from(cursor.saturating_sub(start)).unwrap_or(usize::MAX);
    text.get(skip..).ok_or_else(|| {
        let message = format!("cursor: {cursor} is inside a character; go on at a cursor that a result gave");
        Error::bad_request(message).with("path", "cursor")
    })
}

fn beyond(cursor: u64, end: u64) -> Error {
    let message = format!("cursor: the text ends at {end}, not beyond {cursor}");
    Error::bad_request(message).with("path", "cursor").with("end", end)
}
