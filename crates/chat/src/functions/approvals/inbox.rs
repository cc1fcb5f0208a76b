//! The inbox of a person: their approvals across threads, those of others that wait for their vote, and what of
//! it they have not seen yet.
//!
//! Its cost does not grow with what was decided long ago: a page is one range of an index, and counts stop at
//! [`limits::INBOX_COUNT`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{ApprovalKind, ApprovalStatus, Code, Error, Result};
use spool_store::{Id, Order, Page, PaginationOpts, Tx};

use super::named;
use crate::context::CallContext;
use crate::limits;
use crate::owned::{self, voting};
use crate::principal::Principal;
use crate::tables::{Approval, ApprovalView, Inbox, Thread, User, approval, inbox};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct List {
    pub pagination_opts: PaginationOpts,
    /// Only those of this state, the newest first. Together with others of these, a page may hold fewer rows than
    /// were asked for, and not be the last.
    pub status: Option<ApprovalStatus>,
    pub kind: Option<ApprovalKind>,
    pub thread_id: Option<Id<Thread>>,
}

/// A page of approvals, what else waits for the caller, and how much of all that waits.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalInbox {
    #[serde(flatten)]
    pub approvals: Page<ApprovalView>,
    /// Approvals in threads of others that wait for the caller's vote, the oldest first, 100 at most. They are not
    /// in the pages.
    pub awaiting_my_vote: Vec<ApprovalView>,
    /// What is pending, all of the caller's and what awaits the caller's vote. Counted to 100: then it is that or
    /// more.
    pub pending_count: u64,
    /// What of that was asked after `seenAt`, counted likewise.
    pub unread_count: u64,
    /// Up to when the caller has seen the inbox, in milliseconds since the Unix epoch.
    pub seen_at: u64,
}

/// `approvals:list`: those of the caller, across threads, the pending first, then the newest.
pub fn list(tx: &mut Tx<'_>, ctx: &CallContext, args: List) -> Result<ApprovalInbox> {
    let user = ctx.user()?.clone();
    let most = limits::INBOX_COUNT;
    let seen_at = row(tx, &user)?.map_or(0, |row| row.seen_at);
    let awaited = voting::awaiting(tx, ctx)?;
    let (waiting, unseen) = (awaited.len(), awaited.iter().filter(|row| row.created_at > seen_at).count());
    let pending = tx.query::<Approval>(approval::BY_USER).eq(&user).eq(true).count_up_to(most)? as usize;
    let unread = tx.query::<Approval>(approval::BY_USER).eq(&user).eq(true).gt(seen_at).count_up_to(most)? as usize;
    let mut found = page(tx, ctx, &user, &args)?;
    let mut kept = Vec::with_capacity(found.page.len());
    for row in std::mem::take(&mut found.page) {
        let wanted = args.status.is_none_or(|status| row.status == status)
            && args.kind.is_none_or(|kind| row.kind == kind)
            && row.user_id == user;
        // What was decided in a thread that was removed since is nobody's any more.
        if wanted && owned::find_thread(tx, &ctx.principal, &row.thread_id)?.is_some() {
            kept.push(ApprovalView::listed(row));
        }
    }
    let mut approvals = found.map(ApprovalView::listed);
    approvals.page = named(tx, kept)?;
    let awaiting_my_vote = named(tx, awaited.into_iter().map(ApprovalView::listed).collect())?;
    Ok(ApprovalInbox {
        approvals,
        awaiting_my_vote,
        pending_count: (pending + waiting).min(most) as u64,
        unread_count: (unread + unseen).min(most) as u64,
        seen_at,
    })
}

/// The range of the index that fits the filter best; the caller drops what does not fit the rest of it.
fn page(tx: &mut Tx<'_>, ctx: &CallContext, user: &Id<User>, args: &List) -> Result<Page<Approval>> {
    let scan = if let Some(thread) = &args.thread_id {
        let thread = owned::thread(tx, &ctx.principal, thread)?;
        tx.query::<Approval>(approval::BY_THREAD).eq(&thread.id)
    } else if let Some(status) = args.status {
        let name = crate::states::approval::name(status);
        tx.query::<Approval>(approval::BY_USER_STATUS).eq(user).eq(name)
    } else if let Some(kind) = args.kind {
        tx.query::<Approval>(approval::BY_USER_KIND).eq(user).eq(kind_name(kind))
    } else {
        tx.query::<Approval>(approval::BY_USER).eq(user)
    };
    scan.order(Order::Desc).paginate(&args.pagination_opts)
}

/// As it is stored.
fn kind_name(kind: ApprovalKind) -> &'static str {
    match kind {
        ApprovalKind::Plan => "plan",
        ApprovalKind::ToolCall => "tool_call",
        ApprovalKind::Question => "question",
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MarkSeen {
    /// The `createdAt` of the newest approval that was shown, in milliseconds since the Unix epoch.
    pub up_to: u64,
}

/// `approvals:markSeen`: it never goes back, and not into the future.
pub fn mark_seen(tx: &mut Tx<'_>, ctx: &CallContext, args: MarkSeen) -> Result<()> {
    let Principal::User { user } = ctx.principal.clone() else {
        return Err(Error::new(Code::Forbidden, "Only people have seen something, with a token of theirs."));
    };
    let (now, known) = (tx.now(), row(tx, &user)?);
    let seen_at = args.up_to.min(now);
    match known {
        Some(row) if row.seen_at >= seen_at => Ok(()),
        Some(row) => tx.put(&Inbox { seen_at, ..row }),
        None => {
            let id = tx.new_id();
            tx.put(&Inbox { id, creation_time: now as f64, user_id: user, seen_at })
        }
    }
}

fn row(tx: &mut Tx<'_>, user: &Id<User>) -> Result<Option<Inbox>> {
    tx.query::<Inbox>(inbox::BY_USER).eq(user).first()
}
