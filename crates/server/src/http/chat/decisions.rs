//! What a client claims that its user decided, held against our own rows.
//!
//! Each claim names an approval; whether it is pending, the caller's, of this chat and about these
//! arguments is checked in the deciding transaction. Nothing else of the claim is used.

use serde::Deserialize;
use serde_json::json;
use spool_chat::states::approval::already_resolved;
use spool_protocol::{ApprovalStatus, Code, Error};

use super::Call;
use super::request::{Claim, Decisions};
use super::thread::Thread;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(rename = "_id")]
    id: String,
    thread_id: String,
    generation_id: String,
    message_id: String,
    status: ApprovalStatus,
    #[serde(default)]
    asked_at_offset: u64,
}

/// Where the reader's stream ended.
pub struct Place {
    pub message: String,
    pub generation: String,
    pub offset: u64,
}

/// Decides what is pending. A decision that was made before is no second one if it says the same and comes
/// along with a new one: clients send all that their message shows.
pub async fn carry_out(call: &Call, thread: &Thread, decisions: Decisions) -> Result<Place, Error> {
    let mut rows = Vec::with_capacity(decisions.shown.len());
    for id in &decisions.shown {
        let row = call.query::<Row>("approvals:get", json!({ "approvalId": id })).await.map_err(unknown)?;
        if row.thread_id != thread.id {
            return Err(Error::not_found("approval"));
        }
        rows.push(row);
    }
    let mut last = None;
    let mut new = Vec::new();
    for claim in &decisions.claims {
        let Some(row) = rows.iter().find(|row| row.id == claim.approval) else { continue };
        last = Some(row);
        let said = if claim.approved { ApprovalStatus::Approved } else { ApprovalStatus::Rejected };
        if row.status == ApprovalStatus::Pending {
            new.push(claim);
        } else if row.status != said || decisions.claims.len() == 1 {
            return Err(already_resolved(row.status));
        }
    }
    let Some(last) = last else { return Err(Error::not_found("approval")) };
    if new.is_empty() {
        return Err(already_resolved(last.status));
    }
    for claim in new {
        decide(call, thread, claim).await?;
    }
    // A stream ends right behind the newest request that it shows.
    let shown = rows.iter().filter(|row| row.generation_id == last.generation_id);
    let offset = shown.map(|row| row.asked_at_offset).max().unwrap_or_default();
    Ok(Place { message: last.message_id.clone(), generation: last.generation_id.clone(), offset })
}

/// An id that is none of ours is one of nothing.
fn unknown(error: Error) -> Error {
    if error.code == Code::BadId { Error::not_found("approval") } else { error }
}

async fn decide(call: &Call, thread: &Thread, claim: &Claim) -> Result<(), Error> {
    let shown = json!({ "threadId": thread.id, "toolCallId": claim.tool_call, "input": claim.input });
    let decision = if claim.approved { "approve" } else { "reject" };
    let mut args = json!({ "approvalId": claim.approval, "decision": decision, "claim": shown });
    if let Some(reason) = &claim.reason {
        args["reason"] = json!(reason);
    }
    call.mutate::<serde::de::IgnoredAny>("approvals:decide", args).await.map(drop)
}
