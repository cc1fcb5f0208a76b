//! The one error that crosses a boundary: a closed code, a message that says what to do, data.
//!
//! Every code has a page in `docs/errors/`; a test holds the two lists together. Must never carry
//! secrets or message text: errors are logged.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What a caller can act on. The text form is what clients see and never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// The arguments or the message do not have the declared shape; `data.path` names the place.
    BadRequest = "bad_request",
    /// An id of another kind, or no id at all; the message names the expected kind.
    BadId = "bad_id",
    /// A pagination cursor of another query, or not a cursor.
    InvalidCursor = "invalid_cursor",
    /// No function of that name; `data.nearest` is the closest valid one.
    FunctionNotFound = "function_not_found",
    /// A query was called as a mutation or the like.
    WrongKind = "wrong_kind",
    /// No credentials where some are needed.
    Unauthenticated = "unauthenticated",
    /// The credentials were refused; `data.reason` says why.
    InvalidToken = "invalid_token",
    /// The credentials of an open stream or socket expired; it goes on with new ones.
    AuthExpired = "auth_expired",
    /// The session or key of an open stream or socket was revoked.
    Revoked = "revoked",
    /// A token cannot be checked: its issuer does not give its keys. The token may be good; try again.
    IssuerUnavailable = "issuer_unavailable",
    /// The credentials do not reach this far (a scope, a role).
    Forbidden = "forbidden",
    /// Missing, or not the caller's: the two are never told apart.
    NotFound = "not_found",
    /// It was here and is not any more.
    Gone = "gone",
    /// Something with this identity exists.
    AlreadyExists = "already_exists",
    /// The thread has a running generation and the policy is to refuse.
    ThreadBusy = "thread_busy",
    /// The thread moved on since the version the writer saw; `data.current` is the present one.
    HistoryConflict = "history_conflict",
    /// Another process is this worker now; `data.epoch` is its epoch. The one that asked must end.
    StaleEpoch = "stale_epoch",
    /// The worker may not work: it is not approved, or was revoked; `data.approval` says which.
    WorkerUnavailable = "worker_unavailable",
    /// The declared state machine has no such step.
    InvalidTransition = "invalid_transition",
    /// The run in this thread is in another phase; `data.phase` says which.
    InvalidPhase = "invalid_phase",
    /// Nobody makes answers in the mode that was asked for; `data.mode` names it, `data.available` what there is.
    RunnerUnavailable = "runner_unavailable",
    /// The approval was decided, has expired or was cancelled before; `data.status` says which.
    AlreadyResolved = "already_resolved",
    /// Nobody decided in time about what an answer asked for.
    AwaitingApprovalExpired = "awaiting_approval_expired",
    /// The default thread can be cleared but not removed.
    CannotDeleteDefault = "cannot_delete_default",
    /// A user message without text where text is needed.
    EmptyMessage = "empty_message",
    /// An append at another offset than the log's end; `data.end` is where it ends.
    OffsetMismatch = "offset_mismatch",
    /// The log is sealed: its generation is over.
    LogSealed = "log_sealed",
    /// A durable stream does not admit the write: its type, its configuration or the order of its writers
    /// is another; `data.reason` names which.
    StreamConflict = "stream_conflict",
    /// A document, an argument list, a scan or a result is over its limit; `data.limit` names it.
    TooLarge = "too_large",
    /// The caller has used what it may; `data.quota` names of what, `data.limit` how much that is, `data.used` how
    /// much there is, and `data.resetsAt` when there is more (milliseconds since 1970; absent where only removing
    /// something helps).
    QuotaExceeded = "quota_exceeded",
    /// Too many requests or attempts of this caller; `data.retryAfterMs` is how long to wait.
    RateLimited = "rate_limited",
    /// The server is over a limit of its own; try again later.
    Overloaded = "overloaded",
    /// The disk (or the database) refuses more data. Reads go on.
    StorageFull = "storage_full",
    /// The model provider failed; `data.provider` and `data.status` where known.
    ProviderError = "provider_error",
    /// The provider's stream ended before the answer did.
    ProviderCut = "provider_cut",
    /// The runner of a generation is gone; its partial text is kept.
    Interrupted = "interrupted",
    /// A server fault; the log has the cause under the same request id.
    Internal = "internal",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure as its caller sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Error {
    pub code: Code,
    pub message: String,
    /// Facts for programs, always a JSON object when present.
    pub data: Option<Value>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// Adds one fact for programs to `data`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        let data = self.data.get_or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Value::Object(fields) = data {
            fields.insert(key.to_owned(), value.into());
        }
        self
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// `what` is the noun ("thread"); the answer is the same for a missing and a foreign one.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("No such {what}, or it is not yours."))
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    /// `{code, message, …data}`: the form that clients get as `ConvexError.data` and in HTTP bodies.
    pub fn to_data(&self) -> Value {
        let mut fields = serde_json::Map::new();
        if let Some(Value::Object(data)) = &self.data {
            fields.extend(data.clone());
        }
        fields.insert("code".into(), self.code.as_str().into());
        fields.insert("message".into(), self.message.clone().into());
        Value::Object(fields)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}
