//! One MCP server: the connection that is kept to it, the tools it lists, and calls of them.
//!
//! A task of its own connects, lists, lists again when it is told to, and connects again when the connection ends.
//! Nobody waits for it but who needs it: a server that hangs, dies or floods costs the calls that are made of it,
//! and nothing else. The task is the only one that changes [`State`]; others read it, and may ask for a
//! connection.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, CallToolResponse, MetaObject, RequestMetaObject};
use rmcp::service::ServiceError;
use serde_json::{Value, json};
use spool_agent::ToolSpec;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::caller::Signer;
use super::hidden::Hidden;
use super::{FailureKind, Invocation, ToolFailure};
use crate::config::tools::McpServer;
use connection::{Connection, Fault};
use flow::Overflow;
pub use listing::Listed;
use wire::Fate;

mod answer;
mod connection;
mod flow;
mod listing;
mod process;
mod wire;

/// How long a turn waits for the first list of a server, from the start of this one.
const FIRST_LIST: Duration = Duration::from_secs(5);
/// The pauses between attempts to connect, which double from the first to the second.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A connection that lasted so long was a good one: the next pause is the first again.
const STEADY: Duration = Duration::from_secs(60);
/// The shortest time between two lists, however often a server says that its list has changed.
const BETWEEN_LISTS: Duration = Duration::from_millis(200);
/// Warnings that are remembered, so as not to be given twice.
const WARNINGS: usize = 1000;
/// Calls that one server has at a time. Whoever makes more waits, within the time that the call has.
const CALLS: usize = 16;
/// What servers of the official SDK say, among others of a session that they do not know.
const BAD_SESSION: i32 = -32000;
/// Where a call says who calls and which call it is, in its `_meta`.
pub const CALLER_META: &str = "spool/caller";
pub const CALL_META: &str = "spool/callId";

/// What is known of a server.
#[derive(Default)]
struct State {
    /// The tools that are offered: those of the last list. None once the server could not be reached again.
    tools: Arc<Vec<Arc<Listed>>>,
    specs: Arc<Vec<ToolSpec>>,
    /// It has told its tools at least once.
    listed: bool,
    connection: Option<Arc<Connection>>,
    connecting: bool,
    /// Attempts that are over, and how the last one failed.
    attempts: u64,
    fault: Option<String>,
}

pub struct Server {
    name: String,
    config: McpServer,
    hidden: Hidden,
    signer: Arc<Signer>,
    state: watch::Sender<State>,
    /// Somebody needs a connection now.
    wanted: Notify,
    room: Semaphore,
    opened: Instant,
    warned: Mutex<HashSet<String>>,
}

impl Server {
    /// Begins to connect in the background.
    pub fn open(
        name: &str, config: &McpServer, signer: &Arc<Signer>, end: &CancellationToken, tasks: &TaskTracker,
    ) -> Arc<Self> {
        let secrets = config.env.values().chain(config.headers.values()).chain(&config.url);
        let server = Arc::new(Self {
            name: name.to_owned(),
            hidden: Hidden::of(secrets),
            config: config.clone(),
            signer: Arc::clone(signer),
            state: watch::Sender::default(),
            wanted: Notify::new(),
            room: Semaphore::new(CALLS),
            opened: Instant::now(),
            warned: Mutex::default(),
        });
        tasks.spawn(Arc::clone(&server).run(end.clone()));
        server
    }

    /// Waits for its first list, or for the first failure to get one. Only in the first seconds after the start.
    pub async fn first_list(&self) {
        let mut watching = self.state.subscribe();
        let listed = watching.wait_for(|state| state.attempts > 0);
        let _ = tokio::time::timeout_at(self.opened + FIRST_LIST, listed).await;
    }

    /// What it offers now.
    pub fn specs(&self) -> Arc<Vec<ToolSpec>> {
        Arc::clone(&self.state.borrow().specs)
    }

    /// The tool that is offered under this name.
    pub fn find(&self, name: &str) -> Option<Arc<Listed>> {
        self.state.borrow().tools.iter().find(|tool| tool.spec.name == name).cloned()
    }

    /// Whether it offers a tool under this name; nothing while it has never told its tools, and this may be one.
    pub fn has(&self, name: &str) -> Option<bool> {
        let state = self.state.borrow();
        if state.listed {
            return Some(state.tools.iter().any(|tool| tool.spec.name == name));
        }
        (!listing::is_possible(&self.config.prefix(&self.name), name)).then_some(false)
    }

    pub fn warn_of_twin(&self, name: &str) {
        self.warn(&format!(
            "{name}: the name is another tool's, or can be one of a server that has not told its tools yet; a prefix tells them apart"
        ));
    }

    /// Once for every message.
    fn warn(&self, message: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() < WARNINGS && warned.insert(message.to_owned()) {
            tracing::warn!(server = self.name, "a tool of an MCP server is left out: {message}");
        }
    }

    /// Calls a tool within the time that the configuration gives it.
    pub async fn call(&self, tool: &Listed, invocation: &Invocation) -> Result<Value, ToolFailure> {
        let began = Instant::now();
        let until = began + self.config.timeout();
        let Ok(Ok(_room)) = tokio::time::timeout_at(until, self.room.acquire()).await else {
            let message = format!("{} was not called: its server had {CALLS} other calls all the time", tool.spec.name);
            return Err(ToolFailure::new(FailureKind::Unavailable, message));
        };
        let connection = tokio::time::timeout_at(until, self.connection()).await;
        let connection = connection.unwrap_or_else(|_| Err(self.unavailable("it did not connect in time")))?;
        let called = tokio::time::timeout_at(until, self.send(&connection, tool, invocation)).await;
        called.unwrap_or_else(|_| {
            let message = format!("{} gave no answer within {} s", tool.spec.name, self.config.timeout_seconds);
            Err(ToolFailure::new(FailureKind::TimedOut, message))
        })
    }

    async fn send(
        &self, connection: &Connection, tool: &Listed, invocation: &Invocation,
    ) -> Result<Value, ToolFailure> {
        let token = self.signer.sign(&format!("{}/{}", self.name, tool.own_name), invocation)?;
        let hidden = self.hidden.clone().and(&token);
        let mut meta = MetaObject::default();
        meta.0.insert(CALLER_META.into(), json!(token));
        meta.0.insert(CALL_META.into(), json!(invocation.call_id));
        let mut params = CallToolRequestParams::new(tool.own_name.clone());
        params.arguments = invocation.input.as_object().cloned();
        params.meta = Some(RequestMetaObject(meta));
        connection.flow.refill();
        match connection.peer().call_tool_once(params).await {
            Ok(CallToolResponse::Complete(result)) => answer::value(&tool.spec.name, result, &hidden),
            Ok(_) => {
                let message = format!("{} asks for more than an answer, which is not supported", tool.spec.name);
                Err(ToolFailure::new(FailureKind::Failed, message))
            }
            Err(error) => Err(self.failure(&tool.spec.name, &error, connection, &hidden)),
        }
    }

    /// A connection that lives: the one there is, or the one that comes of the next attempt.
    async fn connection(&self) -> Result<Arc<Connection>, ToolFailure> {
        let mut watching = self.state.subscribe();
        let before = watching.borrow().attempts;
        loop {
            {
                let state = watching.borrow_and_update();
                if let Some(connection) = state.connection.as_ref().filter(|connection| !connection.has_ended()) {
                    return Ok(Arc::clone(connection));
                }
                if state.attempts > before
                    && let Some(fault) = &state.fault
                {
                    return Err(self.unavailable(fault));
                }
                if !state.connecting {
                    self.wanted.notify_one();
                }
            }
            if watching.changed().await.is_err() {
                return Err(self.unavailable("this server is stopping"));
            }
        }
    }

    fn unavailable(&self, why: &str) -> ToolFailure {
        ToolFailure::new(FailureKind::Unavailable, format!("the MCP server {} cannot be reached: {why}", self.name))
    }

    fn failure(&self, tool: &str, error: &ServiceError, connection: &Connection, hidden: &Hidden) -> ToolFailure {
        if let Some(overflow) = connection.flow.overflow() {
            return ToolFailure::new(overflow.kind(), format!("{tool}: {overflow}"));
        }
        let fate = wire::fate(error);
        // A session that the server does not know any more would fail every call to come.
        let stale = match error {
            ServiceError::McpError(error) => self.config.url.is_some() && error.code.0 == BAD_SESSION,
            ServiceError::TransportSend(_) => matches!(fate, Fate::NotSent | Fate::Unknown),
            _ => false,
        };
        if stale {
            connection.give_up();
        }
        let message = match error {
            ServiceError::McpError(error) => hidden.excerpt(&error.message),
            ServiceError::TransportClosed => {
                "the MCP server went away; whether the tool did its work is not known".into()
            }
            other => hidden.excerpt(&wire::innermost(other)),
        };
        match fate {
            Fate::NotSent => self.unavailable(&message),
            Fate::TooLarge => ToolFailure::new(FailureKind::TooLarge, format!("{tool}: {}", Overflow::Message)),
            Fate::Refused | Fate::Unknown => ToolFailure::new(FailureKind::Failed, format!("{tool} failed: {message}")),
        }
    }
}

// The task.
impl Server {
    async fn run(self: Arc<Self>, end: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            self.state.send_modify(|state| state.connecting = true);
            let attempt = tokio::select! {
                attempt = connection::connect(&self.name, &self.config, &self.hidden) => attempt,
                () = end.cancelled() => return,
            };
            let began = Instant::now();
            match attempt {
                Ok((connection, tools)) => {
                    let connection = Arc::new(connection);
                    self.offer(&tools, |state| {
                        state.connection = Some(Arc::clone(&connection));
                        state.listed = true;
                        (state.attempts, state.fault, state.connecting) = (state.attempts + 1, None, false);
                    });
                    tracing::info!(
                        server = self.name,
                        tools = self.state.borrow().tools.len(),
                        "an MCP server is there"
                    );
                    tokio::select! {
                        () = self.follow(&connection) => {}
                        () = connection.ended() => {}
                        () = end.cancelled() => {
                            self.state.send_modify(|state| state.connection = None);
                            connection.close().await;
                            return;
                        }
                    }
                    let why = connection.flow.overflow().map_or("it ended".to_owned(), |overflow| overflow.to_string());
                    tracing::warn!(server = self.name, why, "an MCP server is gone; it is connected again");
                    // One that only may be stale is left to the calls that still use it, and ends with the last.
                    if connection.flow.overflow().is_some() {
                        connection.close().await;
                    }
                    self.state.send_modify(|state| state.connection = None);
                }
                Err(fault) => {
                    let Fault { why, said } = fault;
                    tracing::warn!(
                        server = self.name,
                        why,
                        said,
                        "an MCP server cannot be connected; it is tried again"
                    );
                    self.offer(&[], |state| {
                        (state.attempts, state.connecting) = (state.attempts + 1, false);
                        state.fault = Some(why);
                    });
                }
            }
            pause = if began.elapsed() >= STEADY { FIRST_PAUSE } else { pause };
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
                () = self.wanted.notified() => {}
                () = end.cancelled() => return,
            }
        }
    }

    /// Lists again whenever the list has changed, for as long as the connection lives.
    async fn follow(&self, connection: &Connection) {
        loop {
            connection.list_changed().await;
            match connection.list().await {
                Ok(tools) => self.offer(&tools, |_| {}),
                Err(fault) => {
                    let fault = self.hidden.excerpt(&fault);
                    tracing::warn!(server = self.name, fault, "an MCP server changed its list and does not tell it");
                }
            }
            tokio::time::sleep(BETWEEN_LISTS).await;
        }
    }

    /// Makes the tools those that are offered, and changes what else is known with them.
    fn offer(&self, tools: &[rmcp::model::Tool], change: impl FnOnce(&mut State)) {
        let listed = listing::offered(&self.name, &self.config, tools, &|left_out| self.warn(left_out));
        let specs = listed.iter().map(|tool| tool.spec.clone()).collect();
        self.state.send_modify(|state| {
            (state.tools, state.specs) = (Arc::new(listed), Arc::new(specs));
            change(state);
        });
    }
}
