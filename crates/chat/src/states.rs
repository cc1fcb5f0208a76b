//! The states of generations, messages, threads, artifacts, approvals, workers and runtime sessions, and
//! every legal step between them. Pure.
//!
//! Nothing else may assign a status: whoever wants another one asks for a step here.

pub mod approval;
pub mod artifact;
pub mod generation;
pub mod message;
pub mod session;
pub mod thread;
pub mod worker;

pub use approval::ApprovalStep;
pub use artifact::{ArtifactStatus, ArtifactStep};
pub use generation::{GenerationStatus, GenerationStep};
pub use message::{MessageStatus, MessageStep};
pub use session::{Phase, PhaseNames, PhaseStep, SessionStatus, SessionStep};
pub use thread::{ThreadState, ThreadStatus, ThreadStep};
pub use worker::{WorkerApproval, WorkerStep};

use spool_protocol::{Code, Error};

/// The refusal of a step that the state machine does not have.
fn illegal(what: &str, from: &str, step: &str) -> Error {
    Error::new(Code::InvalidTransition, format!("a {what} that is {from} cannot {step}"))
        .with("from", from)
        .with("step", step)
}
