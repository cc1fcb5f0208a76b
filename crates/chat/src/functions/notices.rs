//! The outbox of notices: written with what they speak of, taken by the server's sender, settled by it.
//!
//! A notice is delivered at least once: whoever takes one holds it for [`HELD_MS`], and then it is due again.
//! Must never answer the mutation that takes with what is sent: answers may be kept, endpoints and keys not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use spool_protocol::{ApprovalKind, Result};
use spool_store::{Id, Tx};

use super::{Nothing, push};
use crate::context::CallContext;
use crate::limits;
use crate::tables::{Approval, Notice, PushSubscription, Share, User, notice, share};

/// How long a taken notice is left to whoever took it. A receiver has 10 seconds.
const HELD_MS: u64 = 60_000;
/// Tries of one notice; with [`pause`] between them they take an hour and a half.
const ATTEMPTS: u32 = 8;
/// Tries in a row that do not reach a browser before it is forgotten, whatever they were about.
const FAILURES: u32 = 20;
/// Characters of a notice's body, which has to fit a record of 4,096 bytes with the rest.
const BODY_CHARACTERS: usize = 200;

/// Writes what is owed for an approval that now waits: one notice to the webhook, and one to each browser of the
/// owner and, where several decide, of those with whom the thread is shared by id.
pub(crate) fn announce(tx: &mut Tx<'_>, ctx: &CallContext, asked: &Approval) -> Result<()> {
    let mut people: Vec<Id<User>> = vec![asked.user_id.clone()];
    if asked.approvers_needed > 1 {
        let now = tx.now();
        let shares = tx.query::<Share>(share::BY_THREAD).eq(&asked.thread_id).eq(true).take(limits::SHARES)?;
        people.extend(shares.into_iter().filter(|share| share.is_open(now)).filter_map(|share| share.viewer_id));
    }
    let mut targets: Vec<Option<Id<PushSubscription>>> = Vec::new();
    targets.extend(ctx.settings.approvals.webhook.map(|_| None));
    for person in people.into_iter().filter(|_| ctx.settings.approvals.push) {
        targets.extend(push::of(tx, &person)?.into_iter().map(|row| Some(row.id)));
    }
    for subscription_id in targets {
        let now = tx.now();
        let owed = Notice {
            id: tx.new_id(),
            creation_time: now as f64,
            thread_id: asked.thread_id.clone(),
            approval_id: asked.id.clone(),
            subscription_id,
            due_at: now,
            attempts: 0,
            created_at: now,
        };
        tx.put(&owed)?;
    }
    Ok(())
}

/// `notices:nextDue`: when the next one is to be tried, in milliseconds since the Unix epoch.
pub fn next_due(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Option<u64>> {
    Ok(tx.query::<Notice>(notice::BY_DUE).first()?.map(|notice| notice.due_at))
}

/// A notice, and who is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Taken {
    pub notice_id: Id<Notice>,
    /// Whose browser it is for; absent is the webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Id<User>>,
}

/// `notices:take`: some that are due, which are the caller's for a while.
pub fn take(tx: &mut Tx<'_>, _ctx: &CallContext, _args: Nothing) -> Result<Vec<Taken>> {
    let now = tx.now();
    let due = tx.query::<Notice>(notice::BY_DUE).le(now).take(limits::NOTICES)?;
    let mut taken = Vec::with_capacity(due.len());
    for row in due {
        let user_id = match &row.subscription_id {
            None => None,
            Some(id) => match tx.get(id)? {
                Some(browser) => Some(browser.user_id),
                None => {
                    tx.delete(&row.id)?;
                    continue;
                }
            },
        };
        taken.push(Taken { notice_id: row.id.clone(), user_id });
        tx.put(&Notice { due_at: now + HELD_MS, ..row })?;
    }
    Ok(taken)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub notice_id: Id<Notice>,
}

/// What is sent, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// The browser; absent is the webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub browser: Option<Browser>,
    pub payload: Value,
    /// When nobody needs it any more, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Browser {
    pub endpoint: String,
    pub p256dh: String,
    pub auth: String,
}

impl std::fmt::Debug for Browser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Browser(…)")
    }
}

/// `notices:content`: null if there is nothing to be told any more.
pub fn content(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<Option<Content>> {
    let Some(owed) = tx.get(&args.notice_id)? else { return Ok(None) };
    let Some(asked) = tx.get(&owed.approval_id)?.filter(|asked| asked.pending) else { return Ok(None) };
    if asked.expires_at.is_some_and(|at| at <= tx.now()) {
        return Ok(None);
    }
    let expires_at = asked.expires_at;
    let Some(id) = &owed.subscription_id else {
        let Some(policy) = ctx.settings.approvals.webhook else { return Ok(None) };
        return Ok(Some(Content { browser: None, payload: told(ctx, &asked, policy.arguments), expires_at }));
    };
    let Some(row) = tx.get(id)?.filter(|_| ctx.settings.approvals.push) else { return Ok(None) };
    let payload = json!({
        "title": title(&asked), "body": body(&asked), "url": url(ctx, &asked), "approvalId": asked.id,
    });
    let browser = Browser { endpoint: row.endpoint, p256dh: row.p256dh, auth: row.auth };
    Ok(Some(Content { browser: Some(browser), payload, expires_at }))
}

/// What the webhook is told: ids, the kind, the tool and the time. Of the arguments only on request.
fn told(ctx: &CallContext, asked: &Approval, arguments: bool) -> Value {
    let mut told = json!({
        "type": "approval.requested",
        "approvalId": asked.id,
        "threadId": asked.thread_id,
        "generationId": asked.generation_id,
        "userId": asked.user_id,
        "kind": asked.kind,
        "tool": asked.tool,
        "title": title(asked),
        "approversNeeded": asked.approvers_needed,
        "createdAt": asked.created_at,
        "expiresAt": asked.expires_at,
        "url": url(ctx, asked),
    });
    if arguments && let Some(input) = &asked.input {
        told["input"] = input.clone();
    }
    told
}

fn title(asked: &Approval) -> &'static str {
    match asked.kind {
        ApprovalKind::Plan => "A plan waits for your approval",
        ApprovalKind::ToolCall => "A tool waits for your approval",
        ApprovalKind::Question => "A question waits for your answer",
    }
}

/// The tool's name or the question; never the arguments, which are for the app to show.
fn body(asked: &Approval) -> String {
    let text = asked.tool.as_deref().or(asked.question.as_deref()).unwrap_or("Open it to read it.");
    text.chars().take(BODY_CHARACTERS).collect()
}

/// The thread, at the approval. Without a known address it is a path, which a browser resolves.
fn url(ctx: &CallContext, asked: &Approval) -> String {
    let base = ctx.settings.approvals.public_url.as_deref().unwrap_or_default();
    format!("{base}/t/{}?approval={}", asked.thread_id, asked.id)
}

/// What became of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It arrived, or there is nothing to be told any more.
    Done,
    /// The receiver is gone for good (404 or 410).
    Gone,
    /// It may work later.
    Failed,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settle {
    pub notice_id: Id<Notice>,
    pub outcome: Outcome,
}

/// `notices:settle`: a browser that is not reached for long is forgotten with what it is owed.
pub fn settle(tx: &mut Tx<'_>, _ctx: &CallContext, args: Settle) -> Result<()> {
    let Some(owed) = tx.get(&args.notice_id)? else { return Ok(()) };
    if let Some(row) = owed.subscription_id.as_ref().map(|id| tx.get(id)).transpose()?.flatten() {
        let failures = if args.outcome == Outcome::Done { 0 } else { row.failures + 1 };
        if args.outcome == Outcome::Gone || failures >= FAILURES {
            return push::forget(tx, &row);
        }
        if failures != row.failures {
            tx.put(&PushSubscription { failures, ..row })?;
        }
    }
    let attempts = owed.attempts + 1;
    if args.outcome == Outcome::Failed && attempts < ATTEMPTS {
        return tx.put(&Notice { due_at: tx.now() + pause(attempts), attempts, ..owed });
    }
    tx.delete(&owed.id).map(drop)
}

/// Milliseconds until the next try: 5 seconds, then three times as long each time, an hour at most.
fn pause(attempts: u32) -> u64 {
    (5_000 * 3_u64.pow(attempts.saturating_sub(1).min(10))).min(3_600_000)
}
