//! An MCP server as a process of ours, which speaks over its standard input and output.
//!
//! It leads a process group of its own, so that what it starts ends with it, and gets a small environment: what
//! this server is configured with is none of its business. It ends when its input does, as the specification asks;
//! if not, it is ended.

use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use rmcp::RoleClient;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use tokio::io::AsyncReadExt as _;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::flow::{Counted, Flow};
use crate::config::tools::McpServer;
use crate::tools::hidden::Hidden;

/// What a process needs to run at all.
const INHERITED: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TMPDIR", "TZ", "TERM"];
/// How long a process may take to end by itself, and then when it is asked to.
const BY_ITSELF: Duration = Duration::from_millis(1500);
const WHEN_ASKED: Duration = Duration::from_secs(1);
/// POSIX.
const SIGTERM: i32 = 15;
/// What one process may log, in bytes. The rest is read, so that it does not stop, and forgotten.
const LOGGED_BYTES: usize = 256 << 10;
/// The end of its complaints that is logged if it does not get ready.
const TAIL_BYTES: usize = 400;
/// The longest text without a space that is waited for. What is longer is no complaint, and nothing of it or behind
/// it is kept or logged.
const WORD_BYTES: usize = 64 << 10;
/// How long its last words are waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

pub struct Process {
    child: Box<dyn ChildWrapper>,
    wire: AsyncRwTransport<RoleClient, Counted<ChildStdout>, ChildStdin>,
    over: bool,
}

/// Starts the process. Its complaints are logged at `debug`, as they may repeat what people wrote; those of one that
/// never gets ready cannot.
pub fn spawn(name: &str, config: &McpServer, hidden: &Hidden, flow: &Arc<Flow>) -> Result<(Process, Tail), String> {
    let program = config.command.as_deref().unwrap_or_default();
    let failed = |error: io::Error| format!("{program} cannot be started: {error}");
    let mut command = Command::new(program);
    command.args(&config.args).env_clear();
    command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.envs(config.env.iter().map(|(name, value)| (name, value.expose())));
    if let Some(cwd) = &config.cwd {
        command.current_dir(cwd);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut command = CommandWrap::from(command);
    command.wrap(KillOnDrop).wrap(ProcessGroup::leader());
    let mut child = command.spawn().map_err(failed)?;
    let (input, output, errors) = (child.stdin().take(), child.stdout().take(), child.stderr().take());
    let (Some(input), Some(output), Some(errors)) = (input, output, errors) else {
        return Err(format!("{program} has no standard input and output"));
    };
    let tail = Tail::of(name, errors, hidden.clone());
    let wire = AsyncRwTransport::new(Counted::new(output, Arc::clone(flow)), input);
    // The flow cuts what is too long, and says so; the wire would drop it, and the call would wait for nothing.
    Ok((Process { child, wire: wire.with_max_line_length(usize::MAX), over: false }, tail))
}

impl Transport<RoleClient> for Process {
    type Error = io::Error;

    fn send(
        &mut self, item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.wire.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        self.wire.receive().await
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.wire.close().await?;
        if tokio::time::timeout(BY_ITSELF, self.child.wait()).await.is_err() {
            let _ = self.child.signal(SIGTERM);
            if tokio::time::timeout(WHEN_ASKED, self.child.wait()).await.is_err() {
                return Ok(());
            }
        }
        self.over = true;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.over {
            // The whole group, and at once.
            let _ = self.child.start_kill();
        }
    }
}

/// The last that a process complained of, without secrets.
#[derive(Default)]
pub struct Tail {
    text: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Tail {
    fn of(name: &str, mut errors: ChildStderr, hidden: Hidden) -> Self {
        let text: Arc<Mutex<String>> = Arc::default();
        let (kept, name) = (Arc::clone(&text), name.to_owned());
        let reader = tokio::spawn(async move {
            let (mut buffer, mut open, mut logged) = ([0; 4096], Vec::new(), 0);
            loop {
                let count = errors.read(&mut buffer).await.unwrap_or(0);
                open.extend_from_slice(&buffer[..count]);
                // What is hidden has no space in it: up to a space it is there whole, or not at all.
                let space = open.iter().rposition(u8::is_ascii_whitespace).map_or(0, |at| at + 1);
                let end = if count == 0 { open.len() } else { space };
                if end > 0 {
                    let said = String::from_utf8_lossy(&open[..end]).into_owned();
                    keep_end(&kept, &hidden.hide(&said));
                    if logged < LOGGED_BYTES {
                        tracing::debug!(server = name, said = hidden.excerpt(&said), "an MCP server complains");
                        logged += end;
                    }
                    open.drain(..end);
                }
                if count == 0 {
                    return;
                }
                if open.len() > WORD_BYTES {
                    // It is still read, so that it does not stop.
                    while matches!(errors.read(&mut buffer).await, Ok(1..)) {}
                    return;
                }
            }
        });
        Self { text, reader: Some(reader) }
    }

    /// It is ready: what it complains of from now on may be what people wrote.
    pub fn forget(&mut self) {
        self.reader = None;
    }

    /// What it complained of before it ended, on one line.
    pub async fn said(self) -> String {
        if let Some(reader) = self.reader {
            let _ = tokio::time::timeout(LAST_WORDS, reader).await;
        }
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.replace(char::is_control, " ").trim().to_owned()
    }
}

fn keep_end(kept: &Mutex<String>, said: &str) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.push_str(said);
    let surplus = kept.floor_char_boundary(kept.len().saturating_sub(TAIL_BYTES));
    kept.drain(..surplus);
}
