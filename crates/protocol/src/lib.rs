//! Wire types only: what clients, nodes and workers say to each other.
//!
//! Owns the shapes and their encoding. Must never know a runtime, a database or a socket: everything
//! here is plain data with serde, so that any process may depend on it.

pub mod ai_sdk;
pub mod convex;
pub mod error;
pub mod event;

pub use error::{Code, Error, Result};
pub use event::{ApprovalKind, ApprovalStatus, Event, Failure, FinalStatus, Usage};
