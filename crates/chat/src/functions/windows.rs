//! Windows: where a user goes on, or begins anew after a time without activity.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Error, Result};
use spool_store::{Id, Order, Page, PaginationOpts, Tx};

use super::turns;
use crate::audit;
use crate::context::CallContext;
use crate::limits::{self, check_bytes};
use crate::quota;
use crate::roles::effective_role;
use crate::summary;
use crate::tables::audit::Outcome;
use crate::tables::{Generation, Message, Thread, TitleSource, User, Window, WindowView, window};
use crate::windows::{DEFAULT_APP, WindowPolicy};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetOrCreate {
    /// Which application the conversation belongs to; absent is `assistant`.
    pub app: Option<String>,
    /// In which of the roles that the user has; one that the user lacks is not followed.
    pub role_scope: Option<String>,
    /// The assistant speaks first where nothing was said yet.
    pub greeting: Option<bool>,
}

/// The thread in which the user goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    pub thread_id: Id<Thread>,
    pub session_id: Id<Window>,
    pub is_new: bool,
    /// Of a new one: what the window before it was about, as far as it is summarised now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_summary: Option<String>,
    /// Absent on a server without roles.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_scope: Option<String>,
    /// Whether to show this conversation alone; earlier ones are in `windows:page`.
    pub hide_earlier: bool,
    /// The greeting that was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<Id<Message>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation_id: Option<Id<Generation>>,
}

/// `threads:getOrCreate`: the open window of the user, the application and the role. The unique index makes a
/// second one impossible; finding it costs the same for any number of threads.
pub fn get_or_create(tx: &mut Tx<'_>, ctx: &CallContext, args: GetOrCreate) -> Result<Opened> {
    let app = named(args.app)?;
    let user = ctx.user()?.clone();
    let role = scope_of(tx, ctx, &user, args.role_scope.as_deref())?;
    let policy = ctx.settings.windows.of(&app);
    let open = tx.query::<Window>(window::BY_OPEN).eq(&user).eq(app.as_str()).eq(role.as_str()).first()?;
    let (window, thread, is_new) = match open {
        Some(window) => {
            let missing = || Error::internal(format!("{} is open and has no thread", window.id));
            let mut thread = tx.get(&window.thread_id)?.ok_or_else(missing)?;
            if policy.is_over(thread.last_activity_at, tx.now()) {
                roll_over(tx, ctx, window, thread, policy)?
            } else {
                thread.touch(tx.now());
                tx.put(&thread)?;
                (window, thread, false)
            }
        }
        None => open_new(tx, ctx, user, app, role, None)?,
    };
    let previous = if is_new { summary::carried_from(tx, &thread)? } else { None };
    let mut opened = Opened {
        previous_summary: previous.map(|before| summary::known(tx, &before)).transpose()?.flatten(),
        role_scope: thread.role_scope.clone(),
        session_id: window.id,
        is_new,
        hide_earlier: policy.hide_earlier,
        message_id: None,
        generation_id: None,
        thread_id: thread.id.clone(),
    };
    if args.greeting == Some(true) && thread.next_seq == 0 {
        let sent = turns::send(tx, ctx, turns::Send::opening(thread.id))?;
        (opened.message_id, opened.generation_id) = (sent.message_id, sent.generation_id);
    }
    Ok(opened)
}

fn named(app: Option<String>) -> Result<String> {
    let Some(app) = app else { return Ok(DEFAULT_APP.to_owned()) };
    check_bytes("app", &app, limits::NAME_BYTES)?;
    if app.trim().is_empty() {
        return Err(Error::bad_request("app: must not be blank").with("path", "app"));
    }
    Ok(app)
}

/// The role of the window: what one role is told, another never sees.
fn scope_of(tx: &mut Tx<'_>, ctx: &CallContext, user: &Id<User>, hint: Option<&str>) -> Result<String> {
    check_bytes("roleScope", hint.unwrap_or(""), limits::NAME_BYTES)?;
    let row = tx.get(user)?.ok_or_else(|| Error::not_found("user"))?;
    let effective = effective_role(&row, hint, &ctx.settings.roles);
    if effective.refused_hint.is_some() {
        audit::record(tx, ctx, "role.hint", user.as_str(), Outcome::Denied)?;
    }
    Ok(effective.role.unwrap_or_default())
}

/// Ends a window whose time is over, and opens the next. What the old one was about goes on in the new one.
fn roll_over(
    tx: &mut Tx<'_>, ctx: &CallContext, window: Window, before: Thread, policy: WindowPolicy,
) -> Result<(Window, Thread, bool)> {
    let (user, app, role) = (window.user_id.clone(), window.app.clone(), window.role_scope.clone());
    // A window in which nothing was said hands on what it was given.
    let carried = if before.next_seq > 0 { Some(before.id.clone()) } else { window.carried_from.clone() };
    end(tx, window)?;
    if policy.carry_summary {
        summary::want_whole(tx, ctx, &before)?;
    }
    open_new(tx, ctx, user, app, role, carried.filter(|_| policy.carry_summary))
}

fn open_new(
    tx: &mut Tx<'_>, ctx: &CallContext, user: Id<User>, app: String, role: String, carried: Option<Id<Thread>>,
) -> Result<(Window, Thread, bool)> {
    quota::check_thread(tx, ctx)?;
    let mut thread = Thread::new(tx, &user, ctx.settings.default_title.clone(), TitleSource::Placeholder);
    let window = Window {
        id: tx.new_id(),
        creation_time: tx.now() as f64,
        open_of: Some(user.clone()),
        user_id: user,
        app,
        role_scope: role,
        thread_id: thread.id.clone(),
        carried_from: carried,
        opened_at: tx.now(),
        closed_at: None,
    };
    thread.app = Some(window.app.clone());
    thread.role_scope = Some(window.role_scope.clone()).filter(|role| !role.is_empty());
    thread.window_id = Some(window.id.clone());
    tx.put(&window)?;
    tx.put(&thread)?;
    quota::add_thread(tx, &thread.user_id)?;
    Ok((window, thread, true))
}

fn end(tx: &mut Tx<'_>, mut window: Window) -> Result<()> {
    window.open_of = None;
    window.closed_at.get_or_insert(tx.now());
    tx.put(&window)
}

/// The thread of a window is removed: the window is closed, and nothing of it goes on.
pub(super) fn close_of(tx: &mut Tx<'_>, thread: &Thread) -> Result<()> {
    let Some(window) = &thread.window_id else { return Ok(()) };
    match tx.get(window)?.filter(|window| window.open_of.is_some()) {
        Some(window) => end(tx, window),
        None => Ok(()),
    }
}

/// The window as one of another user, whose own open window comes first.
pub(super) fn hand_over(tx: &mut Tx<'_>, mut window: Window, into: &Id<User>) -> Result<()> {
    window.user_id = into.clone();
    if window.open_of.is_none() {
        return tx.put(&window);
    }
    let own = tx.query::<Window>(window::BY_OPEN).eq(into).eq(window.app.as_str()).eq(window.role_scope.as_str());
    if own.first()?.is_some() {
        return end(tx, window);
    }
    window.open_of = Some(into.clone());
    tx.put(&window)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListPage {
    /// Only windows of this application; absent is every one.
    pub app: Option<String>,
    pub pagination_opts: PaginationOpts,
}

/// `windows:page`: the newest first, the open ones among them.
pub fn page(tx: &mut Tx<'_>, ctx: &CallContext, args: ListPage) -> Result<Page<WindowView>> {
    let user = ctx.user()?;
    let index = if args.app.is_some() { window::BY_APP } else { window::BY_USER };
    let mut scan = tx.query::<Window>(index).eq(user).order(Order::Desc);
    if let Some(app) = args.app.as_deref() {
        scan = scan.eq(app);
    }
    Ok(scan.paginate(&args.pagination_opts)?.map(WindowView::from))
}
