//! The invariants of the rows, checked in bounded batches.
//!
//! Reads only. What it finds is a defect of the code, never of a caller: the functions keep these true
//! in every transaction.

mod accounts;
mod approvals;
mod calls;
mod checks;
mod documents;
mod memory;
mod shares;
mod streams;
mod workers;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Error, Result};
use spool_store::{Document, Index, Page, PaginationOpts, Tx};

use crate::context::CallContext;
use crate::tables::{
    Stream, approval, arrivals, artifact, audit, credential, departure, draft, generation, holdings, inbox, machine,
    message, notice, password, producer, prompt, push, remains, rule, runtime_session, share, stream, subscription,
    summary, thread, todos, tool_call, upload, usage, user, user_state, window, worker,
};

/// Rows of one batch. Each costs a handful of reads.
const BATCH: u32 = 100;
/// Rows of one batch whose check costs thousands of reads.
const FEW: u32 = 10;
/// Bytes of durable streams that one batch reads; a longer stream is gone through in several.
const BATCH_BYTES: usize = 16 << 20;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// The id of the row.
    pub id: String,
    /// Which invariant, in a short name that stays.
    pub invariant: String,
    pub message: String,
}

/// Where violations of one row are noted.
struct Findings<'a> {
    id: &'a str,
    into: &'a mut Vec<Violation>,
}

impl Findings<'_> {
    fn expect(&mut self, holds: bool, invariant: &str, message: impl FnOnce() -> String) {
        if !holds {
            self.into.push(Violation { id: self.id.to_owned(), invariant: invariant.to_owned(), message: message() });
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Check {
    /// Where to go on; absent begins.
    pub cursor: Option<String>,
}

/// What one batch showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub violations: Vec<Violation>,
    /// Where to go on; absent when everything was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `doctor:check`
pub fn run(tx: &mut Tx<'_>, _ctx: &CallContext, args: Check) -> Result<Report> {
    check(tx, args.cursor.as_deref())
}

/// Checks one batch: threads first, then generations, messages, artifacts with what is being written, lists and
/// runtime sessions, approvals and notices, calls of tools, chunks that wait, uploads and shares, then what belongs to durable
/// streams, then credentials, passwords and users with their rules and inboxes, machines and workers, and what is
/// kept about people, windows, summaries and memories at last.
pub fn check(tx: &mut Tx<'_>, cursor: Option<&str>) -> Result<Report> {
    let (phase, within) = cursor.unwrap_or("threads:").split_once(':').unwrap_or(("", ""));
    let within = Some(within).filter(|cursor| !cursor.is_empty());
    let mut violations = Vec::new();
    let found = &mut violations;
    let next = match phase {
        "threads" => each(tx, thread::BY_DELETION, (phase, Some("generations")), within, found, checks::thread)?,
        "generations" => each(tx, generation::BY_THREAD, (phase, Some("messages")), within, found, checks::generation)?,
        "messages" => each(tx, message::BY_THREAD, (phase, Some("artifacts")), within, found, checks::message)?,
        "artifacts" => each(tx, artifact::BY_THREAD, (phase, Some("drafts")), within, found, documents::artifact)?,
        "drafts" => each(tx, draft::BY_THREAD, (phase, Some("todos")), within, found, documents::draft)?,
        "todos" => each(tx, todos::BY_THREAD, (phase, Some("runtime")), within, found, documents::todos)?,
        "runtime" => {
            each(tx, runtime_session::BY_THREAD, (phase, Some("approvals")), within, found, documents::session)?
        }
        "approvals" => each(tx, approval::BY_THREAD, (phase, Some("notices")), within, found, approvals::approval)?,
        "notices" => each(tx, notice::BY_DUE, (phase, Some("calls")), within, found, approvals::notice)?,
        "calls" => each(tx, tool_call::BY_THREAD, (phase, Some("prompts")), within, found, calls::call)?,
        "prompts" => each(tx, prompt::BY_THREAD, (phase, Some("arrivals")), within, found, calls::prompt)?,
        "arrivals" => each(tx, arrivals::BY_GENERATION, (phase, Some("uploads")), within, found, calls::arrivals)?,
        "uploads" => each(tx, upload::BY_THREAD, (phase, Some("shares")), within, found, checks::upload)?,
        "shares" => each(tx, share::BY_THREAD, (phase, Some("streams")), within, found, shares::share)?,
        "streams" => stream_batch(tx, within, found)?,
        "producers" => each(tx, producer::BY_STREAM, (phase, Some("subscriptions")), within, found, streams::producer)?,
        "subscriptions" => {
            each(tx, subscription::BY_NAME, (phase, Some("links")), within, found, streams::subscription)?
        }
        "links" => each(tx, subscription::LINKS, (phase, Some("remains")), within, found, streams::link)?,
        "remains" => each(tx, remains::BY_OF, (phase, Some("credentials")), within, found, streams::remains)?,
        "credentials" => each(tx, credential::BY_KIND, (phase, Some("passwords")), within, found, checks::credential)?,
        "passwords" => each(tx, password::BY_EMAIL, (phase, Some("users")), within, found, checks::password)?,
        "users" => each(tx, user::BY_IDENTITY, (phase, Some("rules")), within, found, checks::user)?,
        "rules" => each(tx, rule::BY_USER, (phase, Some("inboxes")), within, found, approvals::rule)?,
        "inboxes" => each(tx, inbox::BY_USER, (phase, Some("pushes")), within, found, approvals::inbox)?,
        "pushes" => each(tx, push::BY_USER, (phase, Some("machines")), within, found, approvals::push)?,
        "machines" => each(tx, machine::BY_USER, (phase, Some("workers")), within, found, workers::machine)?,
        "workers" => each(tx, worker::BY_MACHINE, (phase, Some("holdings")), within, found, workers::worker)?,
        "holdings" => few(tx, holdings::BY_USER, (phase, Some("usage")), within, found, accounts::holdings)?,
        "usage" => few(tx, usage::BY_MONTH, (phase, Some("audit")), within, found, accounts::usage)?,
        "audit" => each(tx, audit::BY_AGE, (phase, Some("departures")), within, found, accounts::entry)?,
        "departures" => each(tx, departure::BY_AGE, (phase, Some("windows")), within, found, accounts::departure)?,
        "windows" => each(tx, window::BY_USER, (phase, Some("summaries")), within, found, memory::window)?,
        "summaries" => each(tx, summary::BY_THREAD, (phase, Some("user_state")), within, found, memory::summary)?,
        "user_state" => {
            each(tx, user_state::BY_USER, (phase, Some("user_state_versions")), within, found, memory::user_state)?
        }
        "user_state_versions" => {
            each(tx, user_state::VERSION_BY_STATE, (phase, None), within, found, memory::state_version)?
        }
        _ => return Err(Error::bad_request("cursor: not one of doctor:check").with("path", "cursor")),
    };
    Ok(Report { violations, cursor: next })
}

/// One batch of one table; returns where to go on.
fn each<T: Document>(
    tx: &mut Tx<'_>, index: &'static Index, (phase, next): (&str, Option<&str>), cursor: Option<&str>,
    into: &mut Vec<Violation>, check: impl Fn(&mut Tx<'_>, &T, &mut Findings<'_>) -> Result<()>,
) -> Result<Option<String>> {
    let page = batch::<T>(tx, index, cursor, BATCH)?;
    checked(tx, page, (phase, next), into, check)
}

/// [`each`], of rows that cost thousands of reads.
fn few<T: Document>(
    tx: &mut Tx<'_>, index: &'static Index, (phase, next): (&str, Option<&str>), cursor: Option<&str>,
    into: &mut Vec<Violation>, check: impl Fn(&mut Tx<'_>, &T, &mut Findings<'_>) -> Result<()>,
) -> Result<Option<String>> {
    let page = batch::<T>(tx, index, cursor, FEW)?;
    checked(tx, page, (phase, next), into, check)
}

fn checked<T: Document>(
    tx: &mut Tx<'_>, page: Page<T>, (phase, next): (&str, Option<&str>), into: &mut Vec<Violation>,
    check: impl Fn(&mut Tx<'_>, &T, &mut Findings<'_>) -> Result<()>,
) -> Result<Option<String>> {
    for row in &page.page {
        check(tx, row, &mut Findings { id: row.id().as_str(), into })?;
    }
    Ok(after(&page, phase, next))
}

/// Streams and their logs. Where a log does not fit the batch, the cursor also names the stream and the
/// offset: `streams:<id>@<offset>:<cursor of the page>`.
fn stream_batch(tx: &mut Tx<'_>, within: Option<&str>, into: &mut Vec<Violation>) -> Result<Option<String>> {
    let (place, cursor) = within.unwrap_or(":").split_once(':').unwrap_or_default();
    let place = place.split_once('@').and_then(|(id, offset)| Some((id, offset.parse().ok()?)));
    let page = batch::<Stream>(tx, stream::BY_PATH, Some(cursor).filter(|cursor| !cursor.is_empty()), BATCH)?;
    // A stream that was removed meanwhile: the page is gone through from its beginning.
    let first = place.and_then(|(id, _)| page.page.iter().position(|row| row.id.as_str() == id));
    let mut at = first.and(place).map_or(0, |(_, offset)| offset);
    let mut bytes = BATCH_BYTES;
    for row in page.page.iter().skip(first.unwrap_or(0)) {
        let mut findings = Findings { id: row.id.as_str(), into };
        if at == 0 {
            streams::stream(tx, row, &mut findings)?;
        }
        if let Some(next) = streams::chunks(tx, row, at, &mut bytes, &mut findings)? {
            return Ok(Some(format!("streams:{}@{next}:{cursor}", row.id)));
        }
        at = 0;
    }
    Ok(if page.is_done { Some("producers:".to_owned()) } else { Some(format!("streams::{}", page.continue_cursor)) })
}

fn batch<T: Document>(tx: &mut Tx<'_>, index: &'static Index, cursor: Option<&str>, rows: u32) -> Result<Page<T>> {
    let options = PaginationOpts { num_items: rows, cursor: cursor.map(str::to_owned), end_cursor: None };
    tx.query::<T>(index).paginate(&options)
}

fn after<T>(page: &Page<T>, phase: &str, next: Option<&str>) -> Option<String> {
    if page.is_done { next.map(|next| format!("{next}:")) } else { Some(format!("{phase}:{}", page.continue_cursor)) }
}
