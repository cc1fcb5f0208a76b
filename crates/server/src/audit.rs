//! What the boundary adds to the audit trail: refusals, and that keys are used.
//!
//! Whoever is refused often must not fill the disk: what one caller and all of them together can have noted
//! is bounded, and the rest is counted. Kept in memory for the two seconds between two rounds of the jobs.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde_json::{Value, json};
use spool_chat::functions::audit::Seen;
use spool_chat::tables::audit::Outcome;
use spool_chat::tables::{Approval, Artifact};
use spool_chat::{CallContext, CallFacts, Principal};
use spool_protocol::{Code, Error};
use spool_store::Id;

use crate::app::App;

/// Refusals of one caller that are noted at once, and the time for one more.
const CALLER: (u32, Duration) = (20, Duration::from_secs(30));
/// The same for all callers together.
const EVERYBODY: (u32, Duration) = (1_000, Duration::from_secs(3));
/// The use of a key is noted once in this time.
const KEY_USE: Duration = Duration::from_secs(3600);
/// Entries in one transaction.
const BATCH: usize = 500;
/// Days after which no token of an account that was deleted is good any more; our own live 30.
const DEPARTED_DAYS: u64 = 31;
const DAY_MS: u64 = 86_400_000;

pub struct Denials {
    callers: DefaultKeyedRateLimiter<String>,
    everybody: DefaultDirectRateLimiter,
    keys: DefaultKeyedRateLimiter<String>,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    seen: Vec<Seen>,
    suppressed: u64,
}

fn quota((burst, period): (u32, Duration)) -> Quota {
    let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
    Quota::with_period(period).unwrap_or_else(|| Quota::per_second(burst)).allow_burst(burst)
}

impl Default for Denials {
    fn default() -> Self {
        Self {
            callers: RateLimiter::keyed(quota(CALLER)),
            everybody: RateLimiter::direct(quota(EVERYBODY)),
            keys: RateLimiter::keyed(quota((1, KEY_USE))),
            pending: Mutex::default(),
        }
    }
}

impl Denials {
    /// Notes that a function refused its caller, if that is what the error says. `args` are those of the call.
    pub fn note(&self, ctx: &CallContext, path: &str, args: &Value, now_ms: u64, error: &Error) {
        let reason = error.data.as_ref().and_then(|data| data.get("reason")?.as_str());
        // A runner that lost its lease, or whose answer is to stop, wanted nothing that it had no right to.
        let lost = reason == Some("lease_lost") || ctx.principal == Principal::System;
        let refused = error.code == Code::Forbidden && !lost;
        if refused || is_refusal(path, error.code.as_str()) {
            // Of several decisions that are made together, the error names the one.
            let subject = subject(path, args).or_else(|| subject(path, error.data.as_ref()?));
            self.note_one(ctx, path, subject, now_ms, error.code.as_str());
        }
    }

    /// Notes the decisions that a call made of several was refused: what it answers says which.
    pub fn note_parts(&self, ctx: &CallContext, path: &str, args: &Value, now_ms: u64, result: &str) {
        if path != "approvals:decideMany" || !result.contains("\"error\"") {
            return;
        }
        let parts: Value = serde_json::from_str(result).unwrap_or_default();
        for (at, part) in parts.as_array().into_iter().flatten().enumerate() {
            let code = part["error"]["code"].as_str().unwrap_or_default();
            if code == Code::Forbidden.as_str() || is_refusal(path, code) {
                self.note_one(ctx, path, subject(path, &args["decisions"][at]), now_ms, code);
            }
        }
    }

    fn note_one(&self, ctx: &CallContext, path: &str, subject: Option<String>, now_ms: u64, reason: &str) {
        let seen = seen(&ctx.principal, &ctx.facts, path, Outcome::Denied, now_ms);
        self.add(&seen.actor.clone(), Seen { subject, reason: Some(reason.to_owned()), ..seen });
    }

    /// Notes a credential that was refused. Whose it was, nobody can say.
    pub fn note_refused(&self, facts: &CallFacts, now_ms: u64, error: &Error) {
        if error.code == Code::InvalidToken {
            let reason = error.data.as_ref().and_then(|data| data.get("reason")?.as_str());
            let seen = seen(&Principal::Anonymous, facts, "credential.use", Outcome::Denied, now_ms);
            let caller = facts.address.as_deref().unwrap_or("anonymous").to_owned();
            self.add(&caller, Seen { reason: Some(reason.unwrap_or(error.code.as_str()).to_owned()), ..seen });
        }
    }

    /// Notes that a key is in use.
    pub fn note_key(&self, principal: &Principal, facts: &CallFacts, now_ms: u64) {
        if let Principal::Service { key, .. } = principal
            && self.keys.check_key(&key.to_string()).is_ok()
        {
            self.pending().seen.push(seen(principal, facts, "key.use", Outcome::Done, now_ms));
        }
    }

    fn add(&self, caller: &String, seen: Seen) {
        let noted = self.callers.check_key(caller).is_ok() && self.everybody.check().is_ok();
        let mut pending = self.pending();
        if noted { pending.seen.push(seen) } else { pending.suppressed += 1 }
    }

    fn pending(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets callers that were not refused for a while. To be called once a minute.
    pub fn forget_idle(&self) {
        for limiter in [&self.callers, &self.keys] {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// Whether the trail has this refusal of a decision: that somebody tried is as much of it as what was decided. Of
/// all other functions it has what is forbidden, and nothing else.
fn is_refusal(path: &str, code: &str) -> bool {
    let refusals: &[Code] = match path {
        "approvals:decide" | "approvals:decideMany" => {
            &[Code::NotFound, Code::AlreadyResolved, Code::HistoryConflict, Code::InvalidPhase]
        }
        "artifacts:update" => &[Code::HistoryConflict],
        _ => &[],
    };
    refusals.iter().any(|refusal| refusal.as_str() == code)
}

/// What a refused decision was about, as the caller named it, if that is an id at all.
fn subject(path: &str, args: &Value) -> Option<String> {
    match path {
        "approvals:decide" | "approvals:decideMany" => {
            Id::<Approval>::parse(args["approvalId"].as_str()?).ok().map(|id| id.as_str().to_owned())
        }
        "artifacts:update" => Id::<Artifact>::parse(args["artifactId"].as_str()?).ok().map(|id| id.as_str().to_owned()),
        _ => None,
    }
}

fn seen(principal: &Principal, facts: &CallFacts, action: &str, outcome: Outcome, at: u64) -> Seen {
    let user_id = match principal {
        Principal::User { user } | Principal::Worker { user, .. } => Some(user.clone()),
        Principal::Anonymous | Principal::Service { .. } | Principal::System => None,
    };
    Seen {
        at,
        actor: principal.key(),
        user_id,
        action: action.to_owned(),
        subject: None,
        outcome,
        reason: None,
        address: facts.address.as_deref().map(str::to_owned),
        request_id: facts.request_id.as_deref().map(str::to_owned),
        suppressed: None,
    }
}

/// Stores what was noted since the last time.
pub async fn flush(app: &App) -> Result<(), Error> {
    let Pending { mut seen, suppressed } = std::mem::take(&mut *app.functions.denials().pending());
    if suppressed > 0 {
        let now_ms = app.clock.now_ms();
        let entry = self::seen(&Principal::System, &CallFacts::default(), "audit.suppress", Outcome::Denied, now_ms);
        seen.push(Seen { suppressed: Some(suppressed), ..entry });
    }
    for seen in seen.chunks(BATCH) {
        app.functions.mutate_as_system("audit:note", json!({ "seen": seen })).await?;
    }
    Ok(())
}

/// Removes entries that are kept no longer, and departures that matter no more.
pub async fn prune(app: &App) -> Result<(), Error> {
    let now_ms = app.clock.now_ms();
    for (path, days) in [("audit:prune", app.config.audit.retention_days), ("account:forget", DEPARTED_DAYS)] {
        let before = now_ms.saturating_sub(days * DAY_MS);
        loop {
            let done = app.functions.mutate_as_system(path, json!({ "before": before })).await?;
            let done: Value = serde_json::from_str(&done).unwrap_or_default();
            if done["hasMore"] != true || app.shutdown.is_cancelled() {
                break;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use spool_chat::Settings;

    #[test]
    fn op_06_refusals_are_noted_up_to_a_bound_and_the_rest_is_counted() {
        let denials = Denials::default();
        let context = |n| CallContext::new(Principal::User { user: Id::fresh(n) }, Arc::new(Settings::default()));
        let (one, two, none) = (context(1), context(2), json!({}));
        let forbidden = Error::new(Code::Forbidden, "no");
        for _ in 0..100 {
            denials.note(&one, "threads:remove", &none, 1, &forbidden);
            denials.note(&one, "threads:remove", &none, 1, &Error::not_found("thread"));
            let lost = Error::new(Code::Forbidden, "no").with("reason", "lease_lost");
            denials.note(&one, "generations:append", &none, 1, &lost);
        }
        denials.note(&two, "threads:remove", &none, 1, &forbidden);
        let pending = denials.pending();
        assert_eq!((pending.seen.len(), pending.suppressed), (21, 80));
        assert_eq!(pending.seen[0].reason.as_deref(), Some("forbidden"));
    }

    #[test]
    fn a_key_in_use_is_noted_once_an_hour() {
        let denials = Denials::default();
        let key = Principal::Service { key: Id::fresh(1), user: Id::fresh(1), scopes: Vec::new() };
        for _ in 0..10 {
            denials.note_key(&key, &CallFacts::default(), 1);
            denials.note_key(&Principal::Anonymous, &CallFacts::default(), 1);
        }
        assert_eq!(denials.pending().seen.len(), 1);
    }
}
