//! Who calls, told to a tool so that it need not believe the model: a token of ours, which the tool checks with
//! the keys at `/.well-known/jwks.json`.
//!
//! Its audience is one tool, so that a tool cannot use what it was given at another one, nor here.

use http::HeaderName;
use serde::Serialize;

use super::{FailureKind, Invocation, ToolFailure};
use crate::auth::tokens::Tokens;

/// The header that carries the token.
pub const HEADER: HeaderName = HeaderName::from_static("spool-caller");
/// The header that carries the id of the call.
pub const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Seconds that a token is good for: to be read when the call arrives, and a little of clocks that differ.
const SECONDS: u64 = 120;

/// Signs who calls.
pub struct Signer {
    tokens: Tokens,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    /// The user.
    sub: &'a str,
    aud: String,
    iat: u64,
    exp: u64,
    call: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    thread: &'a str,
    generation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<&'a str>,
}

impl Signer {
    pub fn new(tokens: Tokens) -> Self {
        Self { tokens }
    }

    /// A token for one call of one tool. `audience` is the tool, as its own side knows it; it is written
    /// `tool:<audience>`, which is nothing that this server takes.
    pub fn sign(&self, audience: &str, invocation: &Invocation) -> Result<String, ToolFailure> {
        let now = self.tokens.clock().now_ms() / 1000;
        let caller = &invocation.caller;
        let claims = Claims {
            iss: self.tokens.issuer(),
            sub: &caller.user_id,
            aud: format!("tool:{audience}"),
            iat: now,
            exp: now + SECONDS,
            call: &invocation.call_id,
            role: caller.role.as_deref(),
            thread: &caller.thread_id,
            generation: &caller.generation_id,
            agent: caller.agent_id.as_deref(),
        };
        self.tokens.sign(&claims).map_err(|error| {
            tracing::error!(%error, "the caller of a tool could not be signed");
            ToolFailure::new(FailureKind::Unavailable, "the caller could not be signed")
        })
    }
}
