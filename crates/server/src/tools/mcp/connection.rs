//! One connection to an MCP server, over whichever wire, from the handshake to its end.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{ClientCapabilities, ClientConfig, Implementation, PaginatedRequestParams, Tool};
use rmcp::service::{NotificationContext, Peer, RunningService, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::{ClientHandler, RoleClient, ServiceExt as _};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::flow::Flow;
use super::{process, wire};
use crate::config::tools::McpServer;
use crate::tools::hidden::Hidden;

/// How long a server may take to be ready: a package runner may have to fetch it first.
const READY: Duration = Duration::from_secs(60);
/// How long it may take to list its tools.
const LISTED: Duration = Duration::from_secs(30);
/// Pages of a list; a cursor can lead in circles.
const PAGES: usize = 64;
/// How long an end that we ask for may take.
const CLOSED: Duration = Duration::from_secs(4);

pub struct Connection {
    running: RunningService<RoleClient, Listener>,
    pub flow: Arc<Flow>,
    ended: CancellationToken,
    /// The wire is let go of, a process with it.
    gone: CancellationToken,
    changed: Arc<Notify>,
}

/// Why there is no connection, without secrets.
pub struct Fault {
    pub why: String,
    /// The end of what a process complained of before, which is for whoever reads the log and nobody else.
    pub said: String,
}

/// Connects and lists the tools.
pub async fn connect(name: &str, config: &McpServer, hidden: &Hidden) -> Result<(Connection, Vec<Tool>), Fault> {
    let ended = CancellationToken::new();
    let flow = Arc::new(Flow::new(ended.clone()));
    let mut errors = process::Tail::default();
    let ready = async {
        let connection = match &config.url {
            Some(_) => {
                let transport = wire::open(config, &flow)?;
                begin(transport, flow, ended).await?
            }
            None => {
                let (transport, tail) = process::spawn(name, config, hidden, &flow)?;
                errors = tail;
                begin(transport, flow, ended).await?
            }
        };
        let tools = connection.list().await?;
        Ok((connection, tools))
    };
    let ready = tokio::time::timeout(READY, ready).await;
    let ready = ready.unwrap_or_else(|_| Err(format!("it was not ready within {} s", READY.as_secs())));
    match ready {
        Ok(ready) => {
            errors.forget();
            Ok(ready)
        }
        Err(why) => Err(Fault { why: hidden.excerpt(&why), said: errors.said().await }),
    }
}

async fn begin<T: Transport<RoleClient> + 'static>(
    transport: T, flow: Arc<Flow>, ended: CancellationToken,
) -> Result<Connection, String> {
    let (gone, changed) = (CancellationToken::new(), Arc::new(Notify::new()));
    let watched = Watched {
        inner: transport,
        ended: ended.clone(),
        _ended: ended.clone().drop_guard(),
        _gone: gone.clone().drop_guard(),
    };
    let listener = Listener { changed: Arc::clone(&changed) };
    let running = listener.serve(watched).await.map_err(|error| wire::innermost(&error))?;
    Ok(Connection { running, flow, ended, gone, changed })
}

impl Connection {
    pub fn peer(&self) -> &Peer<RoleClient> {
        self.running.peer()
    }

    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Lets nobody use it any more. Whoever looks after it closes it.
    pub fn give_up(&self) {
        self.ended.cancel();
    }

    /// The server said that it has other tools now.
    pub async fn list_changed(&self) {
        self.changed.notified().await;
    }

    /// Ends it, and waits for the end of its process.
    pub async fn close(&self) {
        self.ended.cancel();
        self.running.cancellation_token().cancel();
        let _ = tokio::time::timeout(CLOSED, self.gone.cancelled()).await;
    }

    /// All tools, page by page.
    pub async fn list(&self) -> Result<Vec<Tool>, String> {
        let listed = tokio::time::timeout(LISTED, self.list_slowly()).await;
        listed.unwrap_or_else(|_| Err(format!("it did not list its tools within {} s", LISTED.as_secs())))
    }

    async fn list_slowly(&self) -> Result<Vec<Tool>, String> {
        let (mut tools, mut cursor) = (Vec::new(), None);
        for _ in 0..PAGES {
            let params = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.peer().list_tools(Some(params)).await;
            let page = page.map_err(|error| format!("its tools: {}", wire::innermost(&error)))?;
            tools.extend(page.tools);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(tools);
            }
        }
        Err(format!("its list of tools has more than {PAGES} pages"))
    }
}

/// What a server may ask of us: nothing. What it may tell: that its list has changed.
struct Listener {
    changed: Arc<Notify>,
}

impl ClientHandler for Listener {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }

    fn get_info(&self) -> ClientConfig {
        let version = env!("CARGO_PKG_VERSION");
        ClientConfig::new(ClientCapabilities::default(), Implementation::new("spool", version))
    }
}

/// A wire that says when it has ended.
struct Watched<T> {
    inner: T,
    ended: CancellationToken,
    _ended: DropGuard,
    _gone: DropGuard,
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Watched<T> {
    type Error = T::Error;

    fn send(
        &mut self, item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.inner.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let received = self.inner.receive().await;
        if received.is_none() {
            self.ended.cancel();
        }
        received
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}
