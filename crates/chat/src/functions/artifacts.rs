//! Artifacts: made once, changed in versions, read by version.
//!
//! A row exists before any event mentions it, because both are of one transaction. An event is told only
//! in the log of an answer that a runner outside makes and that is not over; the server's own answers are
//! told by whoever writes their logs.

mod diff;
pub(crate) mod draft;
pub(crate) mod writing;

pub use diff::{Diff, Difference, diff};
pub use draft::{Append, Begin, Begun, Deltas, Finish, TextPage, Written, append, begin, deltas, finish};

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
    Artifact, ArtifactContent, ArtifactSummary, ArtifactVersion, Author, Generation, Message, Thread, User,
    VersionView, approval, artifact,
};
use crate::turn;

/// The kind of an artifact that says what a run will do.
pub(crate) const PLAN: &str = "plan";

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
pub(crate) struct Pins {
    pub generation: Option<Generation>,
    pub message: Option<Id<Message>>,
    pub tool_call: Option<String>,
}

/// Who writes a version.
pub(crate) struct Writer {
    pub author: Author,
    pub user: Id<User>,
}

impl Writer {
    pub(super) fn of(ctx: &CallContext) -> Result<Self> {
        let author = if matches!(ctx.principal, Principal::User { .. }) { Author::User } else { Author::Agent };
        Ok(Self { author, user: ctx.user()?.clone() })
    }
}

/// A document that is about to be made.
pub(crate) struct Naming {
    pub kind: String,
    pub title: String,
    pub key: Option<String>,
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
    let naming = Naming { kind: args.kind, title: args.title, key: args.key };
    naming.check()?;
    check_bytes("content", &args.content, limits::ARTIFACT_BYTES)?;
    let pins = pins(tx, ctx, &thread, args.generation_id, args.message_id, args.tool_call_id)?;
    let mut made = named(tx, &thread, naming, &pins);
    let writer = Writer::of(ctx)?;
    quota::check_storage(tx, ctx, args.content.len() as u64)?;
    write_version(tx, &mut made, args.content, writer, pins)?;
    Ok(Saved::from(&made))
}

impl Naming {
    pub(crate) fn check(&self) -> Result<()> {
        check_name("kind", &self.kind, limits::NAME_BYTES)?;
        check_name("title", &self.title, limits::TITLE_BYTES)
    }
}

/// An artifact without a version, which is not stored yet.
pub(crate) fn named(tx: &mut Tx<'_>, thread: &Thread, naming: Naming, pins: &Pins) -> Artifact {
    let now = tx.now();
    Artifact {
        id: tx.new_id(),
        creation_time: now as f64,
        thread_id: thread.id.clone(),
        kind: naming.kind,
        title: naming.title,
        status: ArtifactStatus::Draft,
        version: 0,
        writing: None,
        key: naming.key,
        generation_id: pins.generation.as_ref().map(|generation| generation.id.clone()),
        message_id: pins.message.clone(),
        tool_call_id: pins.tool_call.clone(),
        content_bytes: 0,
        created_at: now,
        updated_at: now,
    }
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

/// Stores `content` as the next version, and tells of it. The caller has checked the quota.
pub(crate) fn write_version(
    tx: &mut Tx<'_>, artifact: &mut Artifact, content: String, writer: Writer, pins: Pins,
) -> Result<()> {
    store_version(tx, artifact, content, writer, &pins, false)?;
    tell(tx, artifact, artifact.version, pins.generation)
}

fn store_version(
    tx: &mut Tx<'_>, artifact: &mut Artifact, content: String, writer: Writer, pins: &Pins, cut: bool,
) -> Result<()> {
    let now = tx.now();
    let thread = tx.get(&artifact.thread_id)?.ok_or_else(|| Error::not_found("thread"))?;
    artifact.version += 1;
    artifact.content_bytes = content.len() as u64;
    artifact.updated_at = now;
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
        author: writer.author,
        user_id: writer.user,
        content_id: content.id.clone(),
        content_bytes: artifact.content_bytes,
        content_hash: hash,
        generation_id: pins.generation.as_ref().map(|generation| generation.id.clone()),
        message_id: pins.message.clone(),
        tool_call_id: pins.tool_call.clone(),
        cut,
        created_at: now,
    };
    tx.put(&version)?;
    tx.put(&*artifact)?;
    quota::add_storage(tx, &thread.user_id, version.content_bytes)?;
    // The slowest comes last: a function may not read any more once it has taken too long.
    tx.put(&content)
}

/// The artifact as the log of an answer tells it.
pub(crate) fn event(artifact: &Artifact, version: u64) -> Event {
    Event::Artifact {
        artifact_id: artifact.id.as_str().to_owned(),
        version,
        kind: artifact.kind.clone(),
        title: artifact.title.clone(),
        status: Some(artifact.status.as_str().to_owned()),
    }
}

/// The event goes to the answer that works on the artifact now, else to the one that made it.
fn tell(tx: &mut Tx<'_>, artifact: &Artifact, version: u64, at_work: Option<Generation>) -> Result<()> {
    let maker = match at_work {
        Some(generation) => Some(generation),
        None => artifact.generation_id.as_ref().map(|id| tx.get(id)).transpose()?.flatten(),
    };
    let Some(generation) = maker else { return Ok(()) };
    turn::tell(tx, generation, &[event(artifact, version)]).map(drop)
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

/// `artifacts:update`: only people approve, whatever the artifact is, because any can be the plan of a run.
pub fn update(tx: &mut Tx<'_>, ctx: &CallContext, args: Update) -> Result<Saved> {
    let (thread, mut artifact) = owned::artifact(tx, &ctx.principal, &args.artifact_id)?;
    if args.status == Some(ArtifactStatus::Approved) && !matches!(ctx.principal, Principal::User { .. }) {
        return Err(Error::new(Code::Forbidden, "Only people approve, with a token of theirs.").with("path", "status"));
    }
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
            quota::check_storage(tx, ctx, content.len() as u64)?;
            write_version(tx, &mut artifact, content, Writer::of(ctx)?, pins)?;
        }
        None => rewrite(tx, &mut artifact, pins.generation)?,
    }
    supersede(tx, &artifact)?;
    Ok(Saved::from(&artifact))
}

/// A thread has one approved plan: the one that was approved before is superseded. One that is being written
/// anew is a draft soon, and stays.
fn supersede(tx: &mut Tx<'_>, artifact: &Artifact) -> Result<()> {
    if artifact.kind != PLAN || artifact.status != ArtifactStatus::Approved {
        return Ok(());
    }
    let approved = ArtifactStatus::Approved.as_str();
    let scan = tx.query::<Artifact>(artifact::BY_STATUS).eq(&artifact.thread_id).eq(PLAN).eq(approved);
    for mut old in scan.take(limits::LISTED)? {
        if old.id != artifact.id && old.writing.is_none() {
            old.status = old.status.step(ArtifactStep::Set(ArtifactStatus::Superseded))?;
            rewrite(tx, &mut old, None)?;
        }
    }
    Ok(())
}

/// Whoever changes an artifact has seen its newest version, and waits while another is being written.
pub(crate) fn check_base(artifact: &Artifact, base: u64) -> Result<()> {
    if let Some(writing) = artifact.writing {
        let message = format!("Version {writing} of the artifact is being written: change it when it is whole.");
        let error = Error::new(Code::HistoryConflict, message).with("writing", writing);
        return Err(error.with("current", artifact.version).with("path", "baseVersion"));
    }
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
    tell(tx, artifact, artifact.version, at_work)
}

/// Whether [`judge`] can be carried out from the state that the artifact is in.
pub(super) fn check_judged(artifact: &Artifact, to: ArtifactStatus, edited: bool) -> Result<()> {
    check_base(artifact, artifact.version)?;
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
    check_base(artifact, artifact.version)?;
    if let Some(content) = edited {
        check_bytes("edited", &content, limits::ARTIFACT_BYTES)?;
        artifact.status = artifact.status.step(ArtifactStep::Edit)?.step(ArtifactStep::Set(to))?;
        quota::check_storage(tx, ctx, content.len() as u64)?;
        write_version(tx, artifact, content, Writer::of(ctx)?, Pins::default())?;
    } else if artifact.status != to {
        artifact.status = artifact.status.step(ArtifactStep::Set(to))?;
        rewrite(tx, artifact, None)?;
    }
    supersede(tx, artifact)
}

/// A version that exists; `not_found` otherwise.
pub(crate) fn version_of(tx: &mut Tx<'_>, artifact: &Artifact, version: u64) -> Result<ArtifactVersion> {
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
    /// The newest version that is whole: what to send as `baseVersion`.
    pub current: u64,
    /// The version that is being written now: `artifacts:deltas` follows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writing: Option<u64>,
    #[serde(flatten)]
    pub version: VersionView,
    pub content: String,
}

/// `artifacts:get`: of a version that is being written, the text so far.
pub fn get(tx: &mut Tx<'_>, ctx: &CallContext, args: Get) -> Result<ArtifactView> {
    let (_, artifact) = owned::artifact(tx, &ctx.principal, &args.artifact_id)?;
    read(tx, artifact, args.version)
}

/// The newest version that is whole, or the one that is asked for.
pub(crate) fn read(tx: &mut Tx<'_>, artifact: Artifact, version: Option<u64>) -> Result<ArtifactView> {
    let wanted = version.unwrap_or(artifact.version.max(1));
    let (version, content) = match draft::find(tx, &artifact, wanted)? {
        Some(draft) => draft::so_far(tx, draft)?,
        None => {
            let version = version_of(tx, &artifact, wanted)?;
            let content = content_of(tx, &version)?;
            (VersionView::from(version), content)
        }
    };
    let Artifact { id, thread_id, kind, version: current, writing, .. } = artifact;
    Ok(ArtifactView { id, thread_id, kind, current, writing, version, content })
}

/// The text of a version.
pub(crate) fn content_of(tx: &mut Tx<'_>, version: &ArtifactVersion) -> Result<String> {
    let lost = || Error::internal(format!("{} has no content", version.id));
    Ok(tx.get(&version.content_id)?.ok_or_else(lost)?.content)
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
