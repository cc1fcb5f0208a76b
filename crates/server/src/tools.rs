//! What assistants may call outside of this server: HTTP tools and MCP servers, as `[tools]` says.
//!
//! Runs a call and says what came of it. Must never decide whether a call may be made (that is for whoever asks a
//! person or a rule), and keeps nothing: a call is in its row, and its id goes with it, so that the other side can
//! see a repetition.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use spool_agent::ToolSpec;
use spool_agent::tools::validate;
use spool_chat::builtin;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::auth::tokens::Tokens;
use crate::config::Config;

mod caller;
mod hidden;
mod http;
mod mcp;

/// The largest answer of a tool that is read, in bytes. What a model is given of it is for the caller to say.
pub const ANSWER_BYTES: usize = 16 << 20;
/// Names that one MCP server can have over time. What it lists beyond them is left out.
const NAMES: usize = 2000;

/// One call of a tool.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Tells this call from every other; the same again for a repetition. It goes out as the idempotency key, so
    /// it must be visible ASCII.
    pub call_id: String,
    /// As in [`ToolSpec::name`].
    pub tool: String,
    pub input: Value,
    pub caller: Caller,
}

/// For whom a tool is called. A tool gets it signed, and can check permissions by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub user_id: String,
    /// The role that the turn runs in, if the server has roles.
    pub role: Option<String>,
    pub thread_id: String,
    pub generation_id: String,
    pub agent_id: Option<String>,
}

/// Why a call has no result. The message is for the model and for people, and free of secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolFailure {
    pub message: String,
    pub kind: FailureKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// It was not run: the input does not fit the schema, or the address is one that may not be called.
    Refused,
    /// It ran, or may have run, and says that it failed, or says nothing that can be read.
    Failed,
    /// No answer in time. It may have run.
    TimedOut,
    /// It ran, and its answer is larger than [`ANSWER_BYTES`].
    TooLarge,
    /// It was not run: there is no such tool any more, or it cannot be reached.
    Unavailable,
}

impl ToolFailure {
    fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { message: message.into(), kind }
    }

    /// The caller waited this long, and no longer.
    pub fn timed_out(after: Duration) -> Self {
        Self::new(FailureKind::TimedOut, format!("no answer within {} seconds; it may have run", after.as_secs()))
    }
}

/// Every tool of the configuration.
pub struct Toolbox {
    http: Vec<http::HttpTool>,
    servers: Vec<Arc<mcp::Server>>,
    /// Which server a name belongs to, by its place among them.
    owners: Mutex<HashMap<String, usize>>,
    /// What keeps the connections to the servers.
    tasks: TaskTracker,
    /// Ends them; so does the end of the toolbox.
    end: DropGuard,
}

impl Toolbox {
    /// Starts to connect to the MCP servers, in the background; none of them is waited for. Needs a runtime.
    pub fn open(config: &Config, tokens: &Tokens) -> Result<Self> {
        let signer = Arc::new(caller::Signer::new(tokens.clone()));
        let http = http::open(&config.tools.http, &signer)?;
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        let open = |(name, server): (&String, _)| mcp::Server::open(name, server, &signer, &end, &tasks);
        let servers = config.tools.mcp.iter().map(open).collect();
        Ok(Self { http, servers, owners: Mutex::default(), tasks, end: end.drop_guard() })
    }

    /// Ends all connections and processes. Calls that run fail, so turns are over before. Takes a few seconds at
    /// most.
    pub async fn close(&self) {
        self.end.token().cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Every tool that can be called now, each under a name that is its own. Waits for servers that are being
    /// connected for the first time, and no longer than a few seconds.
    pub async fn specs(&self) -> Vec<ToolSpec> {
        self.first_lists().await;
        let mut specs = Vec::new();
        self.each(|spec| specs.push(spec.clone()));
        specs
    }

    /// The names of the tools that can be called now. Waits for nobody.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        self.each(|spec| names.push(spec.name.clone()));
        names
    }

    fn each(&self, mut see: impl FnMut(&ToolSpec)) {
        self.http.iter().for_each(|tool| see(tool.spec()));
        for (at, server) in self.servers.iter().enumerate() {
            for spec in server.specs().iter() {
                if self.owner(&spec.name) == Some(at) {
                    see(spec);
                } else {
                    server.warn_of_twin(&spec.name);
                }
            }
        }
    }

    /// The server whose tool a name means. Tools of Spool itself and HTTP tools come first, then the servers in the
    /// order of their names. From then on the name is that server's, also while it cannot be reached and after it
    /// took the tool off its list: a call that a person agreed to must never run anywhere else.
    fn owner(&self, name: &str) -> Option<usize> {
        if builtin::find(name).is_some() || self.http.iter().any(|tool| tool.spec().name == name) {
            return None;
        }
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(owner) = owners.get(name) {
            return Some(*owner);
        }
        // One that has never told its tools may have this name: until it has, no later one gets it.
        let has = |(at, server): (usize, &Arc<mcp::Server>)| match server.has(name) {
            Some(false) => None,
            Some(true) => Some(Some(at)),
            None => Some(None),
        };
        let owner = self.servers.iter().enumerate().find_map(has)??;
        if owners.values().filter(|other| **other == owner).count() >= NAMES {
            return None;
        }
        owners.insert(name.to_owned(), owner);
        Some(owner)
    }

    /// The tool that a name means, if it can be called now.
    fn find(&self, name: &str) -> Option<(&mcp::Server, Arc<mcp::Listed>)> {
        let server: &mcp::Server = &self.servers[self.owner(name)?];
        Some((server, server.find(name)?))
    }

    async fn first_lists(&self) {
        futures_util::future::join_all(self.servers.iter().map(|server| server.first_list())).await;
    }

    /// Runs a tool. A dropped call is cancelled, as far as the other side can be told.
    pub async fn call(&self, invocation: Invocation) -> Result<Value, ToolFailure> {
        if let Some(tool) = self.http.iter().find(|tool| tool.spec().name == invocation.tool) {
            check(tool.spec(), &invocation)?;
            return tool.call(&invocation).await;
        }
        let mut found = self.find(&invocation.tool);
        if found.is_none() {
            // A turn that goes on after a restart is sooner than its servers.
            self.first_lists().await;
            found = self.find(&invocation.tool);
        }
        let Some((server, tool)) = found else {
            let message = format!("the tool {} is not available now", invocation.tool);
            return Err(ToolFailure::new(FailureKind::Unavailable, message));
        };
        check(&tool.spec, &invocation)?;
        server.call(&tool, &invocation).await
    }
}

/// The tool may have changed since the model read of it.
fn check(spec: &ToolSpec, invocation: &Invocation) -> Result<(), ToolFailure> {
    validate(spec, &invocation.input).map_err(|faults| {
        ToolFailure::new(FailureKind::Refused, format!("the input does not fit {}: {faults}", spec.name))
    })
}
