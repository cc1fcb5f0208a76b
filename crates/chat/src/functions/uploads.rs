//! Files of threads: their rows. The bytes are the server's business, and lie under the row's id.
//!
//! A row is made after its bytes are on disk. Removing marks it; the server then removes the bytes and,
//! last, the row. So a crash anywhere leaves bytes without a row at worst, and those are swept.

use std::collections::HashSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Event, Result};
use spool_store::{Id, Page, PaginationOpts, Tx};

use super::streams::urls::{SignedUrl, check_ttl};
use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::owned;
use crate::parts::Part;
use crate::principal::Principal;
use crate::quota;
use crate::tables::{Thread, Upload, UploadView, User, upload};

/// What a file is called that has no usable name.
const NAMELESS: &str = "file";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Create {
    /// The id under which the bytes lie already.
    pub id: Id<Upload>,
    pub thread_id: Id<Thread>,
    /// Who uploads; absent for a service, which may write to any thread.
    pub user: Option<Id<User>>,
    /// As the uploader calls it; only its last segment is kept, as text.
    pub file_name: String,
    pub media_type: String,
    pub size: u64,
    pub sha256: String,
    pub request_id: Option<String>,
}

/// The row of an upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    pub upload: UploadView,
    /// False if an earlier try of the same request made the row: the new bytes are not needed.
    pub created: bool,
}

/// `uploads:create`
pub fn create(tx: &mut Tx<'_>, ctx: &CallContext, args: Create) -> Result<Created> {
    let thread = writable(tx, args.user.as_ref(), &args.thread_id)?;
    if let Some(request) = &args.request_id {
        check_bytes("requestId", request, limits::NAME_BYTES)?;
        let earlier = tx.query::<Upload>(upload::BY_REQUEST).eq(&thread.id).eq(request.as_str()).first()?;
        if let Some(earlier) = earlier {
            return repeated(earlier, &args.sha256);
        }
    }
    let live = tx.query::<Upload>(upload::BY_THREAD).eq(&thread.id).eq(None::<u64>);
    check_count("uploads of the thread", live.take(limits::THREAD_UPLOADS)?.len() + 1, limits::THREAD_UPLOADS)?;
    quota::check_storage(tx, &for_whom(ctx, args.user.as_ref()), args.size)?;
    if tx.get(&args.id)?.is_some() {
        return Err(Error::internal("an id was given to two uploads"));
    }
    let now = tx.now();
    let upload = Upload {
        id: args.id,
        creation_time: now as f64,
        thread_id: thread.id,
        user_id: thread.user_id,
        file_name: safe_name(&args.file_name),
        media_type: media_type(&args.media_type)?,
        size: args.size,
        sha256: args.sha256,
        request_id: args.request_id,
        created_at: now,
        deleted_at: None,
    };
    tx.put(&upload)?;
    quota::add_storage(tx, &upload.user_id, upload.size)?;
    Ok(Created { upload: upload.into(), created: true })
}

/// The server stores the row; the limits are those of whoever uploads.
fn for_whom(ctx: &CallContext, user: Option<&Id<User>>) -> CallContext {
    let principal = user.map_or_else(|| ctx.principal.clone(), |user| Principal::User { user: user.clone() });
    CallContext { principal, ..ctx.clone() }
}

fn repeated(earlier: Upload, sha256: &str) -> Result<Created> {
    if earlier.sha256 == sha256 {
        return Ok(Created { upload: earlier.into(), created: false });
    }
    let message = "This requestId was used for another file. Send a changed file under a new one.";
    Err(Error::new(Code::AlreadyExists, message).with("path", "requestId"))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Writable {
    pub thread_id: Id<Thread>,
    pub user: Option<Id<User>>,
    /// How long the file will be, if that is known.
    pub size: Option<u64>,
}

/// `uploads:writable`: refuses before any byte is taken what [`create`] would refuse after.
pub fn check_writable(tx: &mut Tx<'_>, ctx: &CallContext, args: Writable) -> Result<()> {
    writable(tx, args.user.as_ref(), &args.thread_id)?;
    quota::check_storage(tx, &for_whom(ctx, args.user.as_ref()), args.size.unwrap_or(0))
}

fn writable(tx: &mut Tx<'_>, user: Option<&Id<User>>, id: &Id<Thread>) -> Result<Thread> {
    let caller = user.map_or(Principal::System, |user| Principal::User { user: user.clone() });
    let thread = owned::thread(tx, &caller, id)?;
    if thread.deleted_at.is_some() { Err(Error::not_found("thread")) } else { Ok(thread) }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct List {
    pub thread_id: Id<Thread>,
}

/// `uploads:list`
pub fn list(tx: &mut Tx<'_>, ctx: &CallContext, args: List) -> Result<Vec<UploadView>> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    let scan = tx.query::<Upload>(upload::BY_THREAD).eq(&thread.id).eq(None::<u64>);
    Ok(scan.take(limits::THREAD_UPLOADS)?.into_iter().map(UploadView::from).collect())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub upload_id: Id<Upload>,
}

/// `uploads:get`
pub fn get(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<UploadView> {
    Ok(owned::upload(tx, &ctx.principal, &args.upload_id)?.1.into())
}

/// `uploads:remove`: messages that show the file keep its name.
pub fn remove(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<()> {
    let (_, upload) = owned::upload(tx, &ctx.principal, &args.upload_id)?;
    mark(tx, upload)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadUrl {
    pub upload_id: Id<Upload>,
    /// How long the URL can be opened, 1 second to a week.
    pub ttl_seconds: u64,
}

/// `uploads:readUrl`: a mutation for the reason that `streams:readUrl` is one.
pub fn read_url(tx: &mut Tx<'_>, ctx: &CallContext, args: ReadUrl) -> Result<SignedUrl> {
    check_ttl(args.ttl_seconds)?;
    let (thread, upload) = owned::upload(tx, &ctx.principal, &args.upload_id)?;
    let key = ctx.settings.url_key.as_ref().ok_or_else(|| Error::internal("no key signs URLs here"))?;
    let expires = tx.now() / 1000 + args.ttl_seconds;
    let url = key.upload_url(thread.user_id.as_str(), upload.id.as_str(), expires);
    Ok(SignedUrl { url, expires_at: expires * 1000 })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limit {
    pub limit: u32,
}

/// `uploads:unwanted`: files whose bytes have to go, and then their rows.
pub fn unwanted(tx: &mut Tx<'_>, _ctx: &CallContext, args: Limit) -> Result<Vec<Id<Upload>>> {
    let limit = (args.limit as usize).min(limits::LISTED);
    let marked = tx.query::<Upload>(upload::BY_DELETION).ge(0_u64).take(limit)?;
    Ok(marked.into_iter().map(|upload| upload.id).collect())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ids {
    pub ids: Vec<Id<Upload>>,
}

/// `uploads:forget`: the bytes are gone.
pub fn forget(tx: &mut Tx<'_>, _ctx: &CallContext, args: Ids) -> Result<()> {
    check_count("ids", args.ids.len(), limits::LISTED)?;
    for id in &args.ids {
        if tx.get(id)?.is_some_and(|upload| upload.deleted_at.is_some()) {
            tx.delete(id)?;
        }
    }
    Ok(())
}

/// `uploads:known`: those of the ids that are files of somebody.
pub fn known(tx: &mut Tx<'_>, _ctx: &CallContext, args: Ids) -> Result<Vec<Id<Upload>>> {
    check_count("ids", args.ids.len(), limits::LISTED)?;
    let mut known = Vec::new();
    for id in args.ids {
        if tx.get(&id)?.is_some_and(|upload| upload.deleted_at.is_none()) {
            known.push(id);
        }
    }
    Ok(known)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Everyone {
    pub pagination_opts: PaginationOpts,
}

/// `uploads:everyone`
pub fn everyone(tx: &mut Tx<'_>, _ctx: &CallContext, args: Everyone) -> Result<Page<UploadView>> {
    let live = tx.query::<Upload>(upload::BY_DELETION).eq(None::<u64>);
    Ok(live.paginate(&args.pagination_opts)?.map(UploadView::from))
}

/// Nobody sees the file from here on.
fn mark(tx: &mut Tx<'_>, mut upload: Upload) -> Result<()> {
    upload.deleted_at = Some(tx.now());
    upload.request_id = None; // the same request makes a new file
    tx.put(&upload)?;
    quota::release_storage(tx, &upload.user_id, upload.size)
}

/// Marks a file whose owner is being removed. Says whether it was not marked before.
pub(crate) fn mark_one(tx: &mut Tx<'_>, id: &Id<Upload>) -> Result<bool> {
    match tx.get(id)?.filter(|upload| upload.deleted_at.is_none()) {
        Some(upload) => mark(tx, upload).map(|()| true),
        None => Ok(false),
    }
}

/// Whether bytes of removed files of this user may still be there.
pub(super) fn has_marked(tx: &mut Tx<'_>, user: &Id<User>) -> Result<bool> {
    Ok(tx.query::<Upload>(upload::BY_USER).eq(user).ge(0_u64).first()?.is_some())
}

/// Marks the files that these parts of a thread show: their messages are removed.
pub(super) fn mark_shown<'a>(tx: &mut Tx<'_>, thread: &Thread, parts: impl Iterator<Item = &'a Part>) -> Result<()> {
    let shown: HashSet<&str> = parts
        .filter_map(|part| if let Part::File { upload_id, .. } = part { Some(upload_id.as_str()) } else { None })
        .collect();
    for id in shown {
        // An imported message may name what was never here.
        if let Ok(upload) = of_thread(tx, thread, id) {
            mark(tx, upload)?;
        }
    }
    Ok(())
}

/// A live upload of this very thread: one of another thread is as missing as one of nothing.
fn of_thread(tx: &mut Tx<'_>, thread: &Thread, id: &str) -> Result<Upload> {
    let upload = tx.get(&Id::<Upload>::parse(id)?)?;
    let here = |upload: &Upload| upload.thread_id == thread.id && upload.deleted_at.is_none();
    upload.filter(here).ok_or_else(|| Error::not_found("upload"))
}

/// The file parts of a message that a client writes, as their rows describe them.
pub(super) fn describe_parts(tx: &mut Tx<'_>, thread: &Thread, parts: &mut [Part]) -> Result<()> {
    let mut files = 0;
    for (at, part) in parts.iter_mut().enumerate() {
        let Part::File { upload_id, media_type, name, size } = part else { continue };
        files += 1;
        check_count("files of the message", files, limits::MESSAGE_FILES)?;
        let found = of_thread(tx, thread, upload_id).map_err(|e| e.with("path", format!("parts[{at}].uploadId")))?;
        (*media_type, *name, *size) = (Some(found.media_type), Some(found.file_name), Some(found.size));
    }
    Ok(())
}

/// The same for the events that a runner appends.
pub(super) fn describe_events(tx: &mut Tx<'_>, thread: &Thread, events: &mut [Event]) -> Result<()> {
    for (at, event) in events.iter_mut().enumerate() {
        let Event::File { upload_id, media_type, name, size } = event else { continue };
        let found = of_thread(tx, thread, upload_id).map_err(|e| e.with("path", format!("events[{at}].uploadId")))?;
        (*media_type, *name, *size) = (Some(found.media_type), Some(found.file_name), Some(found.size));
    }
    Ok(())
}

/// The parts of a message that consists of these files.
pub(super) fn parts_of(ids: Vec<Id<Upload>>) -> Vec<Part> {
    let part = |id: Id<Upload>| Part::File { upload_id: id.to_string(), media_type: None, name: None, size: None };
    ids.into_iter().map(part).collect()
}

/// `type/subtype` in lower case without parameters, or why it is none.
pub fn media_type(given: &str) -> Result<String> {
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
    };
    let valid = essence.split_once('/').is_some_and(|(kind, subtype)| name(kind) && name(subtype));
    if valid && essence.len() <= limits::MEDIA_TYPE_BYTES {
        return Ok(essence);
    }
    Err(Error::bad_request("mediaType: expected a media type like image/png").with("path", "mediaType"))
}

/// The name as text for people: its last segment, without what moves a cursor or turns the writing
/// direction, and short enough for any disk it may be saved to.
fn safe_name(given: &str) -> String {
    let segment = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown = |c: &char| {
        !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut name: String = segment.chars().filter(shown).collect::<String>().trim().to_owned();
    let mut length = name.len().min(limits::FILE_NAME_BYTES);
    while !name.is_char_boundary(length) {
        length -= 1;
    }
    name.truncate(length);
    if name.trim_matches('.').is_empty() { NAMELESS.to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ht_06_a_name_is_never_a_path() {
        for (given, name) in [
            ("../../x", "x"),
            ("C:\\temp\\a b.txt", "a b.txt"),
            ("a\u{0}b\r\n\u{202e}txt.exe", "abtxt.exe"),
            ("..", "file"),
            ("/", "file"),
            ("  ü.pdf ", "ü.pdf"),
        ] {
            assert_eq!(safe_name(given), name, "{given:?}");
        }
        assert!(safe_name(&"é".repeat(400)).len() <= limits::FILE_NAME_BYTES);
    }

    #[test]
    fn ht_06_a_media_type_has_two_names() {
        assert_eq!(media_type("Text/Plain; charset=utf-8").unwrap(), "text/plain");
        assert_eq!(media_type("image/svg+xml").unwrap(), "image/svg+xml");
        for bad in ["", "text", "text/", "/plain", "a/b/c", "text/pl ain", "te\r\nxt/plain", "té/x"] {
            assert_eq!(media_type(bad).unwrap_err().code, Code::BadRequest, "{bad:?}");
        }
    }
}
