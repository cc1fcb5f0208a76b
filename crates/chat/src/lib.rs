//! The domain: tables, states, and every named function over a transaction.
//!
//! A function gets a transaction, the caller and its arguments, and may be run again at any time. Must
//! never know sockets, tasks, clocks or randomness of its own: time comes from the transaction, work
//! that waits is the server's.

pub mod agents;
pub mod args;
pub mod audit;
pub mod builtin;
pub mod context;
pub mod doctor;
mod erasure;
pub mod functions;
pub mod limits;
mod month;
pub mod openapi;
pub mod owned;
pub mod parts;
pub mod principal;
pub mod quota;
pub mod recall;
pub mod registry;
pub mod roles;
pub mod rules;
pub mod states;
pub mod summary;
pub mod tables;
pub mod title;
mod turn;
pub mod windows;

pub use context::{
    ApprovalPolicy, CallContext, CallFacts, GuestLimits, GuestPolicy, ModelChoice, ServerInfo, Settings, WebhookPolicy,
    WhenBusy,
};
pub use parts::Part;
pub use principal::Principal;
pub use quota::Quotas;
pub use registry::{Access, Function, Kind, Visibility};
pub use tables::SCHEMA;
pub use turn::busy;
