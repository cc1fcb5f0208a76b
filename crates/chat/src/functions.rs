//! Every named function: `(transaction, context, arguments) -> result`.
//!
//! One Rust function each, one file per noun. Access by kind of principal is the table's
//! ([`crate::registry`]); access to rows is [`crate::owned`]'s. Must never do anything but read and write
//! through the transaction.

pub mod account;
pub mod approvals;
pub mod artifacts;
pub mod audit;
pub mod credentials;
pub mod driver;
pub mod external;
pub mod generations;
pub mod guests;
pub mod keys;
pub mod listing;
pub mod logs;
pub mod machines;
pub mod memory;
pub mod messages;
pub mod notices;
pub mod passwords;
pub mod push;
pub mod remains;
pub mod roles;
pub mod rules;
pub mod runtime;
pub mod server;
pub mod sessions;
pub mod shares;
pub mod streams;
pub mod subscriptions;
pub mod summaries;
pub mod threads;
pub mod todos;
pub mod tool_calls;
pub mod turns;
pub mod uploads;
pub mod usage;
pub mod users;
pub mod windows;
pub mod workers;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The arguments of a function that takes none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// What a function did that works in bounded steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deleted {
    pub deleted: u64,
    /// Whether another call has more to do.
    pub has_more: bool,
}
