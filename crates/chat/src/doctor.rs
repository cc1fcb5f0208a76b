//! The invariants of the rows, checked in bounded batches.
//!
//! Reads only. What it finds is a defect of the code, never of a caller: the functions keep these true
//! in every transaction.

mod checks;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Error, Result};
use spool_store::{Index, Page, PaginationOpts, Tx};

use crate::context::CallContext;
use crate::tables::{
    Approval, Artifact, Generation, Message, Thread, Upload, approval, artifact, generation, message, thread, upload,
};

/// Rows of one batch. Each costs a handful of reads.
const BATCH: u32 = 100;

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

/// Checks one batch: threads first, then generations, messages, artifacts, approvals and uploads.
pub fn check(tx: &mut Tx<'_>, cursor: Option<&str>) -> Result<Report> {
    let (phase, within) = cursor.unwrap_or("threads:").split_once(':').unwrap_or(("", ""));
    let within = Some(within).filter(|cursor| !cursor.is_empty());
    let mut violations = Vec::new();
    let next = match phase {
        "threads" => {
            let page = batch::<Thread>(tx, thread::BY_DELETION, within)?;
            for row in &page.page {
                checks::thread(tx, row, &mut violations)?;
            }
            after(&page, "threads", Some("generations"))
        }
        "generations" => {
            let page = batch::<Generation>(tx, generation::BY_THREAD, within)?;
            for row in &page.page {
                checks::generation(tx, row, &mut violations)?;
            }
            after(&page, "generations", Some("messages"))
        }
        "messages" => {
            let page = batch::<Message>(tx, message::BY_THREAD, within)?;
            for row in &page.page {
                checks::message(tx, row, &mut violations)?;
            }
            after(&page, "messages", Some("artifacts"))
        }
        "artifacts" => {
            let page = batch::<Artifact>(tx, artifact::BY_THREAD, within)?;
            for row in &page.page {
                checks::artifact(tx, row, &mut violations)?;
            }
            after(&page, "artifacts", Some("approvals"))
        }
        "approvals" => {
            let page = batch::<Approval>(tx, approval::BY_THREAD, within)?;
            for row in &page.page {
                checks::approval(tx, row, &mut violations)?;
            }
            after(&page, "approvals", Some("uploads"))
        }
        "uploads" => {
            let page = batch::<Upload>(tx, upload::BY_THREAD, within)?;
            for row in &page.page {
                checks::upload(tx, row, &mut violations)?;
            }
            after(&page, "uploads", None)
        }
        _ => return Err(Error::bad_request("cursor: not one of doctor:check").with("path", "cursor")),
    };
    Ok(Report { violations, cursor: next })
}

fn batch<T: spool_store::Document>(tx: &mut Tx<'_>, index: &'static Index, cursor: Option<&str>) -> Result<Page<T>> {
    let options = PaginationOpts { num_items: BATCH, cursor: cursor.map(str::to_owned), end_cursor: None };
    tx.query::<T>(index).paginate(&options)
}

fn after<T>(page: &Page<T>, phase: &str, next: Option<&str>) -> Option<String> {
    if page.is_done { next.map(|next| format!("{next}:")) } else { Some(format!("{phase}:{}", page.continue_cursor)) }
}
