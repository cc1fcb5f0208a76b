//! Reading through a share: its head, its messages, the running answer, its files, and the list of what
//! others share with the caller. All of it as the allow-list of [`super::visible`] says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Error, Event, Result};
use spool_store::limits::LOG_READ_BYTES;
use spool_store::{Id, Order, Page, PaginationOpts, Tx};

use super::super::Nothing;
use super::super::generations::pieces_within;
use super::super::streams::urls::SignedUrl;
use super::visible::{self, SharedEvent, SharedMessage};
use crate::context::CallContext;
use crate::limits;
use crate::owned::shared::{self, Ticket};
use crate::parts::Part;
use crate::principal::Principal;
use crate::states::GenerationStatus;
use crate::tables::{Generation, Includes, Message, Share, ShareMode, Thread, Upload, UploadView, message, share};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct View {
    /// Of a link …
    pub token: Option<String>,
    /// … or a share with the caller.
    pub share_id: Option<Id<Share>>,
}

/// What is shared, above its messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedThread {
    pub title: String,
    pub mode: ShareMode,
    pub includes: Includes,
    /// When it was shared; of a snapshot, the moment that it shows.
    pub shared_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

/// `shares:view`
pub fn view(tx: &mut Tx<'_>, ctx: &CallContext, args: View) -> Result<SharedThread> {
    let ticket = Ticket::of(args.token.as_deref(), args.share_id.as_ref())?;
    let (thread, share) = shared::open(tx, ctx, ticket)?;
    Ok(SharedThread {
        title: title_of(&thread, &share),
        mode: share.mode,
        includes: share.includes,
        shared_at: share.created_at,
        expires_at: share.expires_at,
    })
}

pub(super) fn title_of(thread: &Thread, share: &Share) -> String {
    share.title.as_ref().unwrap_or(&thread.title).clone()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Messages {
    pub token: Option<String>,
    pub share_id: Option<Id<Share>>,
    pub pagination_opts: PaginationOpts,
    /// `asc` (the default) begins with the oldest message, `desc` with the newest.
    pub order: Option<Order>,
}

/// `shares:messages`: a page may hold fewer than were asked for, because not every message is shown.
pub fn messages(tx: &mut Tx<'_>, ctx: &CallContext, args: Messages) -> Result<Page<SharedMessage>> {
    let ticket = Ticket::of(args.token.as_deref(), args.share_id.as_ref())?;
    let (thread, share) = shared::open(tx, ctx, ticket)?;
    let mut scan = tx.query::<Message>(message::BY_THREAD).eq(&thread.id).order(args.order.unwrap_or_default());
    if share.mode == ShareMode::Snapshot {
        scan = scan.lt(share.through_seq.map_or(0, |last| last + 1));
    }
    let page = scan.paginate(&args.pagination_opts)?;
    let shown = page.page.into_iter().filter_map(|message| visible::message(&share, message)).collect();
    Ok(Page {
        page: shown,
        is_done: page.is_done,
        continue_cursor: page.continue_cursor,
        split_cursor: page.split_cursor,
        page_status: page.page_status,
    })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Deltas {
    pub token: Option<String>,
    pub share_id: Option<Id<Share>>,
    pub generation_id: Id<Generation>,
    /// Where to read from: 0, or the `cursor` of an earlier result.
    #[serde(default)]
    pub cursor: u64,
}

/// A piece of the log of a running answer.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedLogPage {
    /// What is not shown is left out, so the length of these says nothing about the cursor.
    pub events: Vec<SharedEvent>,
    /// Where to go on.
    pub cursor: u64,
    pub status: GenerationStatus,
}

/// `shares:deltas`: of a live share, the answer that is being made, from exactly the cursor on.
pub fn deltas(tx: &mut Tx<'_>, ctx: &CallContext, args: Deltas) -> Result<SharedLogPage> {
    let ticket = Ticket::of(args.token.as_deref(), args.share_id.as_ref())?;
    let (thread, share) = shared::open(tx, ctx, ticket)?;
    let generation = tx.get(&args.generation_id)?.filter(|generation| generation.thread_id == thread.id);
    let generation = generation.filter(|_| share.mode == ShareMode::Live).ok_or_else(shared::missing)?;
    // An earlier attempt was replaced, and what is replaced is not shown.
    let message = tx.get(&generation.message_id)?;
    let current = |message: &Message| {
        message.generation_id.as_ref() == Some(&generation.id) && visible::is_shown(&share, message)
    };
    message.filter(current).ok_or_else(shared::missing)?;
    let pieces = pieces_within(tx, &generation, args.cursor, LOG_READ_BYTES)?;
    let cursor = pieces.last().map_or(args.cursor, |piece| piece.end);
    let mut events = Vec::new();
    for event in pieces.into_iter().flat_map(|piece| piece.events) {
        Event::push_coalesced(&mut events, event);
    }
    let events = events.into_iter().filter_map(|event| visible::event(share.includes, event)).collect();
    Ok(SharedLogPage { events, cursor, status: generation.status })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileUrl {
    pub token: Option<String>,
    pub share_id: Option<Id<Share>>,
    /// The message that shows the file.
    pub seq: u64,
    pub upload_id: Id<Upload>,
}

/// `shares:fileUrl`: a signed URL that speaks for the share, so it ends with it. A mutation for the reason
/// that `streams:readUrl` is one.
pub fn file_url(tx: &mut Tx<'_>, ctx: &CallContext, args: FileUrl) -> Result<SignedUrl> {
    let ticket = Ticket::of(args.token.as_deref(), args.share_id.as_ref())?;
    let (thread, share) = shared::open(tx, ctx, ticket)?;
    let message = tx.query::<Message>(message::BY_THREAD).eq(&thread.id).eq(args.seq).first()?;
    let holds = |part: &Part| matches!(part, Part::File { upload_id, .. } if upload_id == args.upload_id.as_str());
    let shown = message.is_some_and(|message| visible::is_shown(&share, &message) && message.parts.iter().any(holds));
    if !shown || file_of(tx, &share, &args.upload_id)?.is_none() {
        return Err(Error::not_found("upload"));
    }
    let key = ctx.settings.url_key.as_ref().ok_or_else(|| Error::internal("no key signs URLs here"))?;
    let expires = tx.now() / 1000 + limits::SHARED_FILE_SECONDS;
    let url = key.upload_url(share.id.as_str(), args.upload_id.as_str(), expires);
    Ok(SignedUrl { url, expires_at: expires * 1000 })
}

/// A live file of the share's thread, if the share includes files.
fn file_of(tx: &mut Tx<'_>, share: &Share, id: &Id<Upload>) -> Result<Option<Upload>> {
    let upload = tx.get(id)?.filter(|upload| upload.deleted_at.is_none() && upload.thread_id == share.thread_id);
    Ok(upload.filter(|_| share.includes.files))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct File {
    pub share_id: Id<Share>,
    pub upload_id: Id<Upload>,
}

/// `shares:file`: what a URL of [`file_url`] opens, if its share can still be read.
pub fn file(tx: &mut Tx<'_>, ctx: &CallContext, args: File) -> Result<UploadView> {
    let missing = || Error::not_found("upload");
    let now = tx.now();
    let share = tx.get(&args.share_id)?.filter(|share| share.is_open(now)).ok_or_else(missing)?;
    let switched_off = share.token_hash.is_some() && !ctx.settings.share_links;
    if switched_off || shared::live_thread(tx, &share)?.is_none() {
        return Err(missing());
    }
    file_of(tx, &share, &args.upload_id)?.map(UploadView::from).ok_or_else(missing)
}

/// A thread that somebody shares with the caller.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedWithMe {
    pub share_id: Id<Share>,
    pub title: String,
    /// The name of the owner, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    pub shared_at: u64,
    pub last_activity_at: u64,
}

/// `shares:withMe`: newest first.
pub fn with_me(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<Vec<SharedWithMe>> {
    let Principal::User { user } = &ctx.principal else { return Ok(Vec::new()) };
    let newest = limits::SHARED_WITH_ME;
    let mut shares = tx.query::<Share>(share::BY_VIEWER).eq(user).eq(true).order(Order::Desc).take(newest)?;
    if let Some(address) = shared::address_of(tx, user)? {
        let by_address = tx.query::<Share>(share::BY_EMAIL).eq(address.as_str()).eq(true).order(Order::Desc);
        shares.extend(by_address.take(newest)?);
    }
    shares.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| b.id.as_str().cmp(a.id.as_str())));
    let now = tx.now();
    let mut listed: Vec<SharedWithMe> = Vec::new();
    for share in shares.into_iter().filter(|share| share.is_open(now)) {
        let thread = shared::live_thread(tx, &share)?.filter(|thread| thread.user_id != *user);
        if let Some(thread) = thread.filter(|_| listed.len() < newest) {
            let from = tx.get(&thread.user_id)?.and_then(|owner| owner.name);
            listed.push(SharedWithMe {
                share_id: share.id,
                title: thread.title,
                from,
                shared_at: share.created_at,
                last_activity_at: thread.last_activity_at,
            });
        }
    }
    Ok(listed)
}
