//! The tables: what is stored, under which indexes, and the views that clients see of it.
//!
//! A row is internal: it may carry marks of deletion, leases and uniqueness. Only a view leaves the
//! server. Must never contain behaviour beyond making and viewing rows.

pub mod approval;
pub mod arrivals;
pub mod artifact;
pub mod audit;
pub mod credential;
pub mod departure;
pub mod draft;
pub mod generation;
pub mod holdings;
pub mod inbox;
pub mod machine;
pub mod message;
pub mod notice;
pub mod ownership;
pub mod password;
pub mod producer;
pub mod prompt;
pub mod push;
pub mod remains;
pub mod rule;
pub mod runtime_session;
pub mod share;
pub mod stream;
pub mod subscription;
pub mod summary;
pub mod thread;
pub mod todos;
pub mod tool_call;
pub mod upload;
pub mod usage;
pub mod user;
pub mod user_state;
pub mod window;
pub mod worker;

pub use approval::{Approval, ApprovalView, Decision, Vote};
pub use arrivals::Arrivals;
pub use artifact::{Artifact, ArtifactContent, ArtifactSummary, ArtifactVersion, Author, VersionView};
pub use credential::{Credential, CredentialKind, KeyView, SessionView};
pub use departure::Departure;
pub use draft::ArtifactDraft;
pub use generation::{Fallback, Generation, GenerationView, LogState, Runner, ToolChoice};
pub use holdings::Holdings;
pub use inbox::Inbox;
pub use machine::{Machine, MachineView, WorkerCounts};
pub use message::{Message, MessageView, Origin, PageContext, Role};
pub use notice::Notice;
pub use password::{AdminView, Password};
pub use producer::Producer;
pub use prompt::{Prompt, Section};
pub use push::{PushSubscription, PushView};
pub use remains::Remains;
pub use rule::{Condition, Effect, Rule, RuleView};
pub use runtime_session::{RuntimeSession, RuntimeSessionView};
pub use share::{Audience, Includes, Share, ShareMode, ShareView};
pub use stream::{Fork, Stream};
pub use subscription::{Link, Subscription, Wake, Wakes};
pub use summary::{Summary, SummaryView};
pub use thread::{Thread, ThreadView, TitleSource};
pub use todos::{Todo, TodoStatus, Todos, TodosView};
pub use tool_call::{CallError, ToolCall, ToolCallView};
pub use upload::{Upload, UploadView};
pub use usage::Usage;
pub use user::{Spent, User, UserKind, UserView};
pub use user_state::{MemoryEntry, Source, StateKind, StateVersion, StateVersionView, UserState};
pub use window::{Window, WindowView};
pub use worker::{Presence, Worker, WorkerView};

use spool_store::Schema;

/// All tables of the product.
pub static SCHEMA: Schema = Schema {
    tables: &[
        &user::TABLE,
        &credential::TABLE,
        &password::TABLE,
        &thread::TABLE,
        &message::TABLE,
        &generation::TABLE,
        &arrivals::TABLE,
        &artifact::TABLE,
        &artifact::VERSION_TABLE,
        &artifact::CONTENT_TABLE,
        &draft::TABLE,
        &todos::TABLE,
        &runtime_session::TABLE,
        &approval::TABLE,
        &inbox::TABLE,
        &notice::TABLE,
        &prompt::TABLE,
        &push::TABLE,
        &rule::TABLE,
        &tool_call::TABLE,
        &stream::TABLE,
        &producer::TABLE,
        &subscription::TABLE,
        &subscription::LINK_TABLE,
        &upload::TABLE,
        &share::TABLE,
        &remains::TABLE,
        &machine::TABLE,
        &worker::TABLE,
        &usage::TABLE,
        &holdings::TABLE,
        &audit::TABLE,
        &departure::TABLE,
        &window::TABLE,
        &summary::TABLE,
        &user_state::TABLE,
        &user_state::VERSION_TABLE,
    ],
};
