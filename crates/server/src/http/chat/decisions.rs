//! What a client claims that its user decided, held against our own rows.
//!
//! Each claim names an approval; whether it is pending, the caller's, of this chat and about these
//! arguments is checked in the deciding transaction. Nothing else of the claim is used.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use spool_chat::limits::APPROVAL_BYTES;
use spool_chat::states::approval::already_resolved;
use spool_chat::tables::Decision;
use spool_protocol::ai_sdk::{Waits, is_call};
use spool_protocol::{ApprovalStatus, Code, Error};

use super::Call;
use super::answer::Answer;
use super::request::Claim;
use super::thread::Thread;

/// Arguments that a claim may have as JSON: those that were asked about, in another spelling.
const INPUT_BYTES: usize = 2 * APPROVAL_BYTES;

/// An approval of a thread, as lists have it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    #[serde(rename = "_id")]
    pub id: String,
    pub generation_id: String,
    status: ApprovalStatus,
    #[serde(default)]
    votes: Vec<Vote>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vote {
    user_id: String,
    decision: Decision,
}

impl Asked {
    pub fn is_pending(&self) -> bool {
        self.status == ApprovalStatus::Pending
    }

    /// For whom it waits, as this person sees it.
    pub fn waits(&self, me: &str) -> Waits {
        match self.said(me) {
            None if self.is_pending() => Waits::ForReader,
            Some(_) if self.is_pending() => Waits::ForOthers,
            _ => Waits::ForNobody,
        }
    }

    /// What this person has decided.
    fn said(&self, me: &str) -> Option<Decision> {
        self.votes.iter().find(|vote| vote.user_id == me).map(|vote| vote.decision)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(flatten)]
    asked: Asked,
    message_id: String,
    #[serde(default)]
    tool_call_id: Option<String>,
}

/// Decides what is pending, all of it or nothing, and returns the answer that goes on. A decision that was made before is no second one if it says the same
/// and comes along with a new one: clients send all that their message shows.
pub async fn carry_out(call: &Call, thread: &Thread, claims: &[Claim]) -> Result<Answer, Error> {
    let me = call.person().ok_or_else(|| Error::new(Code::Forbidden, "Only people decide, with a token of theirs."))?;
    let mut last = None;
    let mut new = Vec::new();
    for claim in claims {
        let row = call.query::<Row>("approvals:get", json!({ "approvalId": claim.approval })).await.map_err(unknown)?;
        let said = if claim.approved { Decision::Approve } else { Decision::Reject };
        let made = match row.asked.status {
            ApprovalStatus::Pending => row.asked.said(me),
            ApprovalStatus::Approved => Some(Decision::Approve),
            ApprovalStatus::Rejected => Some(Decision::Reject),
            over => return Err(already_resolved(over)),
        };
        match made {
            Some(made) if made == said && claims.len() > 1 => {}
            Some(_) if !row.asked.is_pending() => return Err(already_resolved(row.asked.status)),
            // Who has voted is told so by the function.
            _ => {
                let claimed = shown(&row, thread, claim)?;
                let reason = &claim.reason;
                new.push(json!({ "approvalId": claim.approval, "decision": said, "reason": reason, "claim": claimed }));
            }
        }
        last = Some(row);
    }
    let Some(last) = last else { return Err(Error::not_found("approval")) };
    if new.is_empty() {
        return Err(already_resolved(last.asked.status));
    }
    let (path, args) = match <[Value; 1]>::try_from(new) {
        Ok([one]) => ("approvals:decide", one),
        Err(several) => ("approvals:decideMany", json!({ "decisions": several, "together": true })),
    };
    call.mutate::<IgnoredAny>(path, args).await?;
    Ok(Answer { message: last.message_id, generation: last.asked.generation_id })
}

/// An id that is none of ours is one of nothing.
fn unknown(error: Error) -> Error {
    if error.code == Code::BadId { Error::not_found("approval") } else { error }
}

/// What the client says that it was shown, in the words of the function.
fn shown(row: &Row, thread: &Thread, claim: &Claim) -> Result<Value, Error> {
    if claim.input.len() > INPUT_BYTES {
        let bytes = claim.input.len();
        let message = format!("messages: the arguments of a call have {bytes} bytes; the limit is {INPUT_BYTES}");
        return Err(Error::new(Code::TooLarge, message).with("limit", INPUT_BYTES).with("path", "messages"));
    }
    let input: Value = super::request::parse(claim.input.as_bytes())?;
    // The row has the name of the call, without the number of its use.
    let name = row.tool_call_id.as_ref().filter(|name| is_call(&claim.tool_call, name));
    let tool_call = name.unwrap_or(&claim.tool_call);
    Ok(json!({ "threadId": thread.id, "toolCallId": tool_call, "input": input }))
}
