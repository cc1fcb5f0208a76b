//! What the caller has used and has, beside the limits.

use schemars::JsonSchema;
use serde::Serialize;
use spool_protocol::Result;
use spool_store::Tx;

use super::Nothing;
use crate::context::CallContext;
use crate::{month, quota};

/// How much of something there is, and how much may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Measure {
    pub used: u64,
    /// Absent is without limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsageView {
    /// `2026-11`, in UTC.
    pub month: String,
    /// When the month is over, in milliseconds since the Unix epoch.
    pub resets_at: u64,
    /// Tokens of this month, in and out.
    pub tokens: Measure,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Answers of this month that said what they cost.
    pub answers: u64,
    /// Threads that are not removed.
    pub threads: Measure,
    /// Bytes of files and artifacts.
    pub storage_bytes: Measure,
}

/// `usage:me`
pub fn me(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<UsageView> {
    let user = ctx.user()?.clone();
    let usage = quota::usage_of(tx, &user)?;
    let holdings = quota::holdings_of(tx, &user)?;
    let limits = &ctx.settings.quotas;
    Ok(UsageView {
        month: month::of(tx.now()),
        resets_at: month::end(tx.now()),
        tokens: Measure { used: usage.as_ref().map_or(0, |usage| usage.tokens()), limit: limits.tokens_per_month },
        input_tokens: usage.as_ref().map_or(0, |usage| usage.input_tokens),
        output_tokens: usage.as_ref().map_or(0, |usage| usage.output_tokens),
        answers: usage.as_ref().map_or(0, |usage| usage.answers),
        threads: Measure { used: holdings.threads, limit: limits.threads },
        storage_bytes: Measure { used: holdings.storage_bytes, limit: limits.storage_bytes },
    })
}
