//! Threads: made, listed, changed. Removing and clearing is in [`removal`].

pub mod removal;

use schemars::JsonSchema;
use serde::Deserialize;
use spool_protocol::{Error, Result};
use spool_store::{Id, Order, Page, PaginationOpts, Tx};

use super::{Nothing, workers};
use crate::args::present;
use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::owned;
use crate::quota;
use crate::states::{ThreadStatus, ThreadStep};
use crate::tables::{Thread, ThreadView, TitleSource, User, Worker, thread};
use crate::title;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    pub title: Option<String>,
    /// The model of the thread's answers, unless a turn names another.
    pub model: Option<String>,
    /// Which part of an application the thread belongs to.
    pub context: Option<String>,
    pub tags: Option<Vec<String>>,
    /// The client's own name for the thread. Creating it again gives the same thread.
    pub external_id: Option<String>,
    /// An approved worker of the caller that is to answer here; absent is the server.
    pub worker_id: Option<Id<Worker>>,
}

/// `threads:create`
pub fn create(tx: &mut Tx<'_>, ctx: &CallContext, args: Create) -> Result<Id<Thread>> {
    let user = ctx.user()?.clone();
    check_names(&[("model", &args.model), ("context", &args.context), ("externalId", &args.external_id)])?;
    let tags = args.tags.unwrap_or_default();
    check_tags(&tags)?;
    if let Some(external_id) = &args.external_id
        && let Some(existing) = find_external(tx, &user, external_id)?
    {
        return Ok(existing.id);
    }
    if let Some(worker) = &args.worker_id {
        workers::check_approved(tx, &user, worker)?;
    }
    let (title, source) = named(ctx, args.title)?;
    quota::check_thread(tx, ctx)?;
    let mut thread = Thread::new(tx, &user, title, source);
    thread.model = args.model;
    thread.context = args.context;
    thread.tags = tags;
    thread.external_id = args.external_id;
    thread.worker_id = args.worker_id;
    tx.put(&thread)?;
    quota::add_thread(tx, &user)?;
    Ok(thread.id)
}

/// The title to store for one that a user gave, and where it comes from.
fn named(ctx: &CallContext, title: Option<String>) -> Result<(String, TitleSource)> {
    let default = &ctx.settings.default_title;
    let Some(title) = title else { return Ok((default.clone(), TitleSource::Placeholder)) };
    check_bytes("title", &title, limits::TITLE_BYTES)?;
    if title.trim().is_empty() {
        return Ok((default.clone(), TitleSource::Placeholder));
    }
    let source = if title::is_placeholder(&title, default) { TitleSource::Placeholder } else { TitleSource::User };
    Ok((title, source))
}

fn check_names(names: &[(&str, &Option<String>)]) -> Result<()> {
    let given = names.iter().filter_map(|(field, name)| name.as_ref().map(|name| (field, name)));
    given.into_iter().try_for_each(|(field, name)| check_bytes(field, name, limits::NAME_BYTES))
}

fn check_tags(tags: &[String]) -> Result<()> {
    check_count("tags", tags.len(), limits::TAGS)?;
    tags.iter().try_for_each(|tag| check_bytes("tags", tag, limits::NAME_BYTES))
}

pub(super) fn find_external(tx: &mut Tx<'_>, user: &Id<User>, external_id: &str) -> Result<Option<Thread>> {
    tx.query(thread::BY_EXTERNAL).eq(user).eq(None::<u64>).eq(external_id).first()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub thread_id: Id<Thread>,
}

/// `threads:get`
pub fn get(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<Option<ThreadView>> {
    Ok(owned::find_thread(tx, &ctx.principal, &args.thread_id)?.as_ref().map(ThreadView::from))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Find {
    pub external_id: String,
}

/// `threads:find`
pub fn find(tx: &mut Tx<'_>, ctx: &CallContext, args: Find) -> Result<Option<ThreadView>> {
    let user = ctx.user()?.clone();
    Ok(find_external(tx, &user, &args.external_id)?.as_ref().map(ThreadView::from))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListPage {
    pub pagination_opts: PaginationOpts,
    /// Pinned threads come before all others.
    pub pinned_first: Option<bool>,
    /// Only threads of this context; null or absent is every thread.
    pub context: Option<String>,
}

/// `threads:page`
pub fn page(tx: &mut Tx<'_>, ctx: &CallContext, args: ListPage) -> Result<Page<ThreadView>> {
    let user = ctx.user()?;
    let pinned_first = args.pinned_first.unwrap_or(false);
    let index = match (&args.context, pinned_first) {
        (None, false) => thread::BY_ACTIVITY,
        (None, true) => thread::BY_PINNED,
        (Some(_), false) => thread::BY_CONTEXT,
        (Some(_), true) => thread::BY_CONTEXT_PINNED,
    };
    let mut scan = tx.query::<Thread>(index).eq(user).eq(None::<u64>).order(Order::Desc);
    if let Some(context) = args.context.as_deref() {
        scan = scan.eq(context);
    }
    Ok(scan.paginate(&args.pagination_opts)?.map(|thread| ThreadView::from(&thread)))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Update {
    pub thread_id: Id<Thread>,
    pub title: Option<String>,
    pub pinned: Option<bool>,
    pub tags: Option<Vec<String>>,
    /// Null clears it.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<String>")]
    pub model: Option<Option<String>>,
    pub status: Option<ThreadStatus>,
    /// Null clears it.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<String>")]
    pub context: Option<Option<String>>,
    /// Who makes the next answers. Null gives them to the server.
    #[serde(default, deserialize_with = "present")]
    #[schemars(with = "Option<Id<Worker>>")]
    pub worker_id: Option<Option<Id<Worker>>>,
}

/// `threads:update`
pub fn update(tx: &mut Tx<'_>, ctx: &CallContext, args: Update) -> Result<()> {
    let mut thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    if let Some(title) = args.title {
        (thread.title, thread.title_source) = named(ctx, Some(title))?;
    }
    if let Some(tags) = args.tags {
        check_tags(&tags)?;
        thread.tags = tags;
    }
    if let Some(model) = args.model {
        check_names(&[("model", &model)])?;
        thread.model = model;
    }
    if let Some(context) = args.context {
        check_names(&[("context", &context)])?;
        thread.context = context;
    }
    if let Some(worker_id) = args.worker_id {
        if let Some(worker) = &worker_id {
            workers::check_approved(tx, &thread.user_id, worker)?;
        }
        thread.worker_id = worker_id;
    }
    if let Some(status) = args.status {
        set_status(&mut thread, ThreadStep::Set(status))?;
    }
    thread.pinned = args.pinned.unwrap_or(thread.pinned);
    thread.updated_at = tx.now();
    tx.put(&thread)
}

/// Takes a step of the thread's life that leaves it alive.
pub(crate) fn set_status(thread: &mut Thread, step: ThreadStep) -> Result<()> {
    let deleted = || Error::not_found("thread");
    thread.status = thread.state().step(step)?.status().ok_or_else(deleted)?;
    Ok(())
}

/// `threads:getOrCreateDefault`: the unique index makes a second one impossible. Everybody may have one, so
/// the limit of threads is not asked; it counts all the same.
pub fn get_or_create_default(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<Id<Thread>> {
    let user = ctx.user()?.clone();
    if let Some(existing) = find_default(tx, &user)? {
        return Ok(existing.id);
    }
    let mut thread = Thread::new(tx, &user, ctx.settings.default_title.clone(), TitleSource::Placeholder);
    thread.is_default = true;
    thread.default_of = Some(user.clone());
    tx.put(&thread)?;
    quota::add_thread(tx, &user)?;
    Ok(thread.id)
}

pub(super) fn find_default(tx: &mut Tx<'_>, user: &Id<User>) -> Result<Option<Thread>> {
    tx.query(thread::BY_DEFAULT).eq(user).first()
}
