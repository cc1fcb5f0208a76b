//! Artifacts: made once, changed in versions, read by version.
//!
//! A row exists before any event mentions it, because both are of one transaction. An event is told only
//! in the log of an answer that a runner outside makes and that is not over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Event, Result};
use spool_store::{Id, Order, Page, PaginationOpts, Tx};

use super::external;
use crate::context::CallContext;
use crate::limits::{self, check_bytes};
use crate::owned;
use crate::principal::Principal;
use crate::quota;
use crate::states::{ArtifactStatus, ArtifactStep};
use crate::tables::{
    Artifact, ArtifactContent, ArtifactSummary, ArtifactVersion, Author, Generation, Message, Thread, VersionView,
    approval, artifact,
};
use crate::turn;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    pub thread_id: Id<Thread>,
    /// `plan`, `report`, `document`, `code`, or a word of the application's own.
    pub kind: String,
    pub title: String,
    pub content: String,
    /// Repeating it in the same thread gives the same artifact and changes nothing.
    pub key: Option<String>,
    /// The answer that makes it; only the runner of that answer says so.
    pub generation_id: Option<Id<Generation>>,
    /// The message that it belongs to, where no answer makes it.
    pub message_id: Option<Id<Message>>,
    pub tool_call_id: Option<String>,
}

/// Which artifact, and its newest version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    pub artifact_id: Id<Artifact>,
    pub version: u64,
    pub status: ArtifactStatus,
}

impl From<&Artifact> for Saved {
    fn from(artifact: &Artifact) -> Self {
        Self { artifact_id: artifact.id.clone(), version: artifact.version, status: artifact.status }
    }
}

/// What a version is pinned to.
#[derive(Default)]
struct Pins {
    generation: Option<Generation>,
    message: Option<Id<Message>>,
    tool_call: Option<String>,
}

/// `artifacts:create`
pub fn create(tx: &mut Tx<'_>, ctx: &CallContext, args: Create) -> Result<Saved> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    check_bytes("key", args.key.as_deref().unwrap_or(""), limits::NAME_BYTES)?;
    if let Some(key) = args.key.as_deref()
        && let Some(earlier) = tx.query::<Artifact>(artifact::BY_KEY).eq(&thread.id).eq(key).first()?
    {
        return Ok(Saved::from(&earlier));
    }
    check_name("kind", &args.kind, limits::NAME_BYTES)?;
    check_name("title", &args.title, limits::TITLE_BYTES)?;
    check_bytes("content", &args.content, limits::ARTIFACT_BYTES)?;
    let pins = pins(tx, ctx, &thread, args.generation_id, args.message_id, args.tool_call_id)?;
    let now = tx.now();
    let mut made = Artifact {
        id: tx.new_id(),
        creation_time: now as f64,
        thread_id: thread.id,
        kind: args.kind,
        title: args.title,
        status: ArtifactStatus::Draft,
        version: 0,
        key: args.key,
        generation_id: pins.generation.as_ref().map(|generation| generation.id.clone()),
        message_id: pins.message.clone(),
        tool_call_id: pins.tool_call.clone(),
        content_bytes: 0,
        created_at: now,
        updated_at: now,
    };
    write_version(tx, ctx, &mut made, args.content, pins)?;
    Ok(Saved::from(&made))
}

fn check_name(field: &str, name: &str, limit: usize) -> Result<()> {
    if name.trim().is_empty() {
        return Err(Error::bad_request(format!("{field}: it is empty")).with("path", field));
    }
    check_bytes(field, name, limit)
}

fn pins(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, generation: Option<Id<Generation>>,
    message: Option<Id<Message>>, tool_call: Option<String>,
) -> Result<Pins> {
    check_bytes("toolCallId", tool_call.as_deref().unwrap_or(""), limits::NAME_BYTES)?;
    if let Some(id) = generation {
        let (owner, generation) = external::held(tx, ctx, &id, None)?;
        if owner.id != thread.id {
            return Err(Error::not_found("generation"));
        }
        let message = Some(generation.message_id.clone());
        return Ok(Pins { generation: Some(generation), message, tool_call });
    }
    if let Some(id) = &message
        && owned::message(tx, &ctx.principal, id)?.0.id != thread.id
    {
        return Err(Error::not_found("message"));
    }
    Ok(Pins { generation: None, message, tool_call })
}

/// Stores `content` as the next version, and tells of it.
fn write_version(
    tx: &mut Tx<'_>, ctx: &CallContext, artifact: &mut Artifact, content: String, pins: Pins,
) -> Result<()> {
    quota::check_storage(tx, ctx, content.len() as u64)?;
    let now = tx.now();
    artifact.version += 1;
    artifact.content_bytes = content.len() as u64;
    artifact.updated_at = now;
    let author = if matches!(ctx.principal, Principal::User { .. }) { Author::User } else { Author::Agent };
    let hash = approval::hash(&content);
    let content = ArtifactContent { id: tx.new_id(), creation_time: now as f64, content };
    let version = ArtifactVersion {
        id: tx.new_id(),
        creation_time: now as f64,
        thread_id: artifact.thread_id.clone(),
        artifact_id: artifact.id.clone(),
        version: artifact.version,
        title: artifact.title.clone(),
        status: artifact.status,
        author,
        user_id: ctx.user()?.clone(),
        content_id: content.id.clone(),
        content_bytes: artifact.content_bytes,
        content_hash: hash,
        generation_id: pins.generation.as_ref().map(|generation| generation.id.clone()),
        message_id: pins.message,
        tool_call_id: pins.tool_call,
        created_at: now,
    };
    tx.put(&content)?;
    tx.put(&version)?;
    tx.put(&*artifact)?;
    let thread = tx.get(&artifact.thread_id)?.ok_or_else(|| Error::not_found("thread"))?;
    quota::add_storage(tx, &thread.user_id, version.content_bytes)?;
    tell(tx, artifact, pins.generation)
}

/// The event goes to the answer that works on the artifact now, else to the one that made it.
fn tell(tx: &mut Tx<'_>, artifact: &Artifact, at_work: Option<Generation>) -> Result<()> {
    let maker = match at_work {
        Some(generation) => Some(generation),
        None => artifact.generation_id.as_ref().map(|id| tx.get(id)).transpose()?.flatten(),
    };
    let Some(generation) = maker else { return Ok(()) };
    let event = Event::Artifact {
        artifact_id: artifact.id.as_str().to_owned(),
        version: artifact.version,
        kind: artifact.kind.clone(),
        title: artifact.title.clone(),
        status: Some(artifact.status.as_str().to_owned()),
    };
    turn::tell(tx, generation, &[event]).map(drop)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Update {
    pub artifact_id: Id<Artifact>,
    /// The version that the writer saw; `history_conflict` if there is a newer one.
    pub base_version: u64,
    /// Makes a new version, which is a draft.
    pub content: Option<String>,
    pub title: Option<String>,
    /// What the newest version becomes, after the new content if there is any.
    pub status: Option<ArtifactStatus>,
    /// The answer that changes it; only the runner of that answer says so.
    pub generation_id: Option<Id<Generation>>,
    pub tool_call_id: Option<String>,
}

/// `artifacts:update`
pub fn update(tx: &mut Tx<'_>, ctx: &CallContext, args: Update) -> Result<Saved> {
    let (thread, mut artifact) = owned::artifact(tx, &ctx.principal, &args.artifact_id)?;
    check_base(&artifact, args.base_version)?;
    let pins = pins(tx, ctx, &thread, args.generation_id, None, args.tool_call_id)?;
    if let Some(title) = args.title {
        check_name("title", &title, limits::TITLE_BYTES)?;
        artifact.title = title;
    }
    if args.content.is_some() {
        artifact.status = artifact.status.step(ArtifactStep::Edit)?;
    }
    if let Some(status) = args.status {
        artifact.status = artifact.status.step(ArtifactStep::Set(status))?;
    }
    match args.content {
        Some(content) => {
            check_bytes("content", &content, limits::ARTIFACT_BYTES)?;
            write_version(tx, ctx, &mut artifact, content, pins)?;
        }
        None => rewrite(tx, &mut artifact, pins.generation)?,
    }
    Ok(Saved::from(&artifact))
}

fn check_base(artifact: &Artifact, base: u64) -> Result<()> {
    if artifact.version == base {
        return Ok(());
    }
    let message = format!("the artifact is at version {}, the writer saw {base}", artifact.version);
    Err(Error::new(Code::HistoryConflict, message).with("current", artifact.version).with("path", "baseVersion"))
}

/// Title and status of the newest version change without new content.
fn rewrite(tx: &mut Tx<'_>, artifact: &mut Artifact, at_work: Option<Generation>) -> Result<()> {
    let mut version = version_of(tx, artifact, artifact.version)?;
    version.status = artifact.status;
    version.title.clone_from(&artifact.title);
    artifact.updated_at = tx.now();
    tx.put(&version)?;
    tx.put(&*artifact)?;
    tell(tx, artifact, at_work)
}

/// Whether [`judge`] can be carried out from the state that the artifact is in.
pub(super) fn check_judged(artifact: &Artifact, to: ArtifactStatus, edited: bool) -> Result<()> {
    let from = if edited { artifact.status.step(ArtifactStep::Edit)? } else { artifact.status };
    if from != to {
        from.step(ArtifactStep::Set(to))?;
    }
    Ok(())
}

/// What a person decided about exactly this version: with new content, that is what was approved.
pub(super) fn judge(
    tx: &mut Tx<'_>, ctx: &CallContext, artifact: &mut Artifact, to: ArtifactStatus, edited: Option<String>,
) -> Result<()> {
    if let Some(content) = edited {
        check_bytes("edited", &content, limits::ARTIFACT_BYTES)?;
        artifact.status = artifact.status.step(ArtifactStep::Edit)?.step(ArtifactStep::Set(to))?;
        return write_version(tx, ctx, artifact, content, Pins::default());
    }
    if artifact.status != to {
        artifact.status = artifact.status.step(ArtifactStep::Set(to))?;
        rewrite(tx, artifact, None)?;
    }
    Ok(())
}

/// A version that exists; `not_found` otherwise.
pub(super) fn version_of(tx: &mut Tx<'_>, artifact: &Artifact, version: u64) -> Result<ArtifactVersion> {
    let found = tx.query(artifact::VERSION_BY_ARTIFACT).eq(&artifact.id).eq(version).first()?;
    found.ok_or_else(|| Error::not_found("version").with("current", artifact.version))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Get {
    pub artifact_id: Id<Artifact>,
    /// Absent is the newest.
    pub version: Option<u64>,
}

/// One version of an artifact, with its content.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactView {
    #[serde(rename = "_id")]
    pub id: Id<Artifact>,
    pub thread_id: Id<Thread>,
    pub kind: String,
    /// The newest version: what to send as `baseVersion`.
    pub current: u64,
    #[serde(flatten)]
    pub version: VersionView,
    pub content: String,
}

/// `artifacts:get`
pub fn get(tx: &mut Tx<'_>, ctx: &CallContext, args: Get) -> Result<ArtifactView> {
    let (_, artifact) = owned::artifact(tx, &ctx.principal, &args.artifact_id)?;
    let version = version_of(tx, &artifact, args.version.unwrap_or(artifact.version))?;
    let lost = || Error::internal(format!("{} has no content", version.id));
    let content = tx.get(&version.content_id)?.ok_or_else(lost)?.content;
    let Artifact { id, thread_id, kind, version: current, .. } = artifact;
    Ok(ArtifactView { id, thread_id, kind, current, version: VersionView::from(version), content })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Versions {
    pub artifact_id: Id<Artifact>,
    pub pagination_opts: PaginationOpts,
}

/// `artifacts:versions`: the newest first, without contents.
pub fn versions(tx: &mut Tx<'_>, ctx: &CallContext, args: Versions) -> Result<Page<VersionView>> {
    let (_, artifact) = owned::artifact(tx, &ctx.principal, &args.artifact_id)?;
    let scan = tx.query::<ArtifactVersion>(artifact::VERSION_BY_ARTIFACT).eq(&artifact.id).order(Order::Desc);
    Ok(scan.paginate(&args.pagination_opts)?.map(VersionView::from))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListPage {
    pub thread_id: Id<Thread>,
    pub pagination_opts: PaginationOpts,
}

/// `artifacts:listByThread`: the newest first, without contents.
pub fn list_by_thread(tx: &mut Tx<'_>, ctx: &CallContext, args: ListPage) -> Result<Page<ArtifactSummary>> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    let scan = tx.query::<Artifact>(artifact::BY_THREAD).eq(&thread.id).order(Order::Desc);
    Ok(scan.paginate(&args.pagination_opts)?.map(ArtifactSummary::from))
}
