//! What a function knows besides its transaction and arguments: the caller and the server's settings.
//!
//! Values only. Must never hold a handle to anything that could act.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};
use spool_store::Id;

use crate::agents::{AgentChoice, Agents};
use crate::functions::shares::tokens::ShareKey;
use crate::functions::streams::urls::UrlKey;
use crate::principal::Principal;
use crate::quota::Quotas;
use crate::roles::{RoleChoice, Roles};
use crate::states::PhaseNames;
use crate::summary::SummaryPolicy;
use crate::tables::User;
use crate::windows::Windows;

/// One call: who asks, and how this server is set up. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CallContext {
    pub principal: Principal,
    pub settings: Arc<Settings>,
    /// For the audit trail only.
    pub facts: CallFacts,
}

/// What the boundary saw of the request that a call came with.
#[derive(Debug, Clone, Default)]
pub struct CallFacts {
    /// The caller's address, or its hash, as configured.
    pub address: Option<Arc<str>>,
    pub request_id: Option<Arc<str>>,
}

impl CallContext {
    pub fn new(principal: Principal, settings: Arc<Settings>) -> Self {
        Self { principal, settings, facts: CallFacts::default() }
    }

    /// The same call, with what is known of its request.
    #[must_use]
    pub fn with(self, facts: CallFacts) -> Self {
        Self { facts, ..self }
    }

    /// The same call in the name of a user: what an assistant may do for somebody is what they may.
    #[must_use]
    pub(crate) fn acting_for(&self, user: &Id<User>) -> Self {
        Self { principal: Principal::User { user: user.clone() }, ..self.clone() }
    }

    /// The user that new rows belong to; the server itself has none.
    pub(crate) fn user(&self) -> Result<&Id<User>> {
        let missing = || Error::new(Code::Unauthenticated, "This needs a signed-in user.");
        self.principal.user().ok_or_else(missing)
    }
}

/// What happens to a turn that is sent while another one is running in the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenBusy {
    /// `thread_busy`, with the running generation in its data.
    #[default]
    Refuse,
    /// The message waits, and the end of the running turn starts the next.
    Queue,
    /// The running turn reads it before its next step.
    Steer,
}

/// The choices of whoever runs the server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The title of a thread until its first user message gives it another.
    pub default_title: String,
    pub default_model: String,
    pub default_provider: Option<String>,
    /// How long a claim of the turn driver lasts without renewal, in milliseconds.
    pub lease_ms: u64,
    /// The same for runners outside, who renew it with every append.
    pub external_lease_ms: u64,
    /// How long a worker may be silent before it counts as gone, and its claims with it, in milliseconds.
    pub worker_lease_ms: u64,
    /// How long the log of an answer is kept after its end, in milliseconds; `None` is for ever.
    pub log_ms: Option<u64>,
    /// How long a person has for a decision, in milliseconds; `None` is for ever.
    pub approval_ms: Option<u64>,
    pub approvals: ApprovalPolicy,
    pub when_busy: WhenBusy,
    /// Messages of a thread that a model is given at most, the newest, and their bytes together.
    pub history_messages: usize,
    pub history_bytes: usize,
    /// Whether ordinary clients may write messages of roles other than `user` (old front ends do).
    pub allow_client_roles: bool,
    pub roles: Roles,
    pub agents: Agents,
    /// What guests may use.
    pub guests: GuestLimits,
    pub quotas: Quotas,
    /// Signs read URLs of durable streams.
    pub url_key: Option<UrlKey>,
    /// Derives the tokens of share links.
    pub share_key: Option<ShareKey>,
    /// Whether threads can be shared by link, and links can be read.
    pub share_links: bool,
    /// The longest life of a share, in milliseconds; `None` is for ever.
    pub share_ms: Option<u64>,
    /// When conversations begin anew, by application.
    pub windows: Windows,
    pub summaries: SummaryPolicy,
    pub info: ServerInfo,
}

/// Who decides what, and who is told that something waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalPolicy {
    /// Tools whose calls no remembered rule allows, as names with `*` for any text.
    pub high_risk: Vec<String>,
    /// How many people have to approve such a call.
    pub approvers: u32,
    /// Whoever was given one of these roles may decide what several people decide.
    pub approver_roles: Vec<String>,
    /// Whether a webhook is told of what waits, with the arguments of calls if it asks for them.
    pub webhook: Option<WebhookPolicy>,
    /// Whether browsers are told.
    pub push: bool,
    /// Where people reach this server, for links in notices.
    pub public_url: Option<String>,
}

/// What the webhook is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookPolicy {
    /// Also the arguments, which may hold anything.
    pub arguments: bool,
}

impl Default for ApprovalPolicy {
    fn default() -> Self {
        Self {
            high_risk: Vec::new(),
            approvers: 1,
            approver_roles: Vec::new(),
            webhook: None,
            push: true,
            public_url: None,
        }
    }
}

impl ApprovalPolicy {
    /// Whether the configuration marks this tool.
    pub fn is_high_risk(&self, tool: &str) -> bool {
        self.high_risk.iter().any(|pattern| crate::rules::is_like(pattern, tool))
    }
}

/// What people without an account may use. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GuestLimits {
    /// Threads of one guest at the same time.
    pub max_threads: Option<u64>,
    /// Messages of one guest in a day, which ends at midnight UTC. An answer made again counts as one.
    pub max_messages_per_day: Option<u64>,
    /// Milliseconds without activity after which a guest is removed with all it has.
    pub retention_ms: Option<u64>,
}

/// What a visitor without an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GuestPolicy {
    /// Nothing.
    #[default]
    Off,
    /// Write drafts that stay in the browser.
    Local,
    /// What users may, as an anonymous one.
    Server,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_title: "New Conversation".to_owned(),
            default_model: "demo".to_owned(),
            default_provider: None,
            lease_ms: 20_000,
            external_lease_ms: 600_000,
            worker_lease_ms: 90_000,
            log_ms: Some(24 * 3_600_000),
            approval_ms: Some(24 * 3_600_000),
            approvals: ApprovalPolicy::default(),
            when_busy: WhenBusy::Refuse,
            history_messages: 40,
            history_bytes: 256 << 10,
            allow_client_roles: false,
            roles: Roles::default(),
            agents: Agents::default(),
            guests: GuestLimits::default(),
            quotas: Quotas::default(),
            url_key: None,
            share_key: None,
            share_links: true,
            share_ms: None,
            windows: Windows::default(),
            summaries: SummaryPolicy::default(),
            info: ServerInfo::default(),
        }
    }
}

impl Settings {
    /// The provider that serves `model`, as far as the server was told.
    pub(crate) fn provider_of(&self, model: &str) -> Option<String> {
        let known = self.info.models.iter().find(|choice| choice.id == model);
        known.map(|choice| choice.provider.clone()).or_else(|| self.default_provider.clone())
    }
}

/// What the server says about itself to anyone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerInfo {
    pub name: String,
    pub version: String,
    pub models: Vec<ModelChoice>,
    /// The assistants that a client may name; the first answers where nobody chose.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentChoice>,
    /// The roles that this server knows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<RoleChoice>,
    /// What people read for the phases of runs.
    pub phases: PhaseNames,
    /// Whether answers come from the built-in demo model, because no provider is configured.
    pub demo: bool,
    /// The largest file that can be uploaded.
    pub max_upload_bytes: u64,
    pub guests: GuestPolicy,
    /// Whether people can sign in at this server itself; `GET /api/auth/methods` says how.
    pub sign_in: bool,
    /// Whether threads can be shared by link.
    pub share_links: bool,
    /// The longest life of a share in days; 0 is for ever.
    pub share_max_days: u64,
    /// The public key with which browsers subscribe to notices (RFC 8292), base64url.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub push_key: String,
}

/// A model that a client may name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelChoice {
    pub id: String,
    pub provider: String,
    pub is_default: bool,
}
