//! A model behind an OpenAI-compatible endpoint. Its tokens are those of the [`Pacer`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::pacer::{Pacer, Speech, token};

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\
    connection: close\r\n\r\n";
const BEFORE: &str = r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[{"index":0,"delta":{"content":""#;
const AFTER: &str = r#""},"logprobs":null,"finish_reason":null}]}"#;
const LAST: &str = concat!(
    r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
    "\n\n",
    r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"bench","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":10,"total_tokens":20}}"#,
    "\n\ndata: [DONE]\n\n"
);

/// Arguments that every tool of the measurements takes.
const ARGUMENTS: &str = r#"{"title":"A plan","content":"First this, then that."}"#;

/// How long a request may not come that must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the model answers every request.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// So many tokens and the end, at once.
    AtOnce { tokens: u32 },
    /// So many tokens, one each period of the pacer.
    Steady { tokens: u32 },
    /// The beginning of an answer, and nothing more.
    Silent,
    /// At once: a call of the first tool that is offered; one token after its result, or where there is no tool.
    Calls,
}

/// A request of the pace [`Pace::Calls`].
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// When all of the request was here.
    pub arrived: Instant,
    /// From then until all of the answer was handed to the operating system.
    pub took: Duration,
    /// Messages in the request.
    pub messages: usize,
}

/// A running model. Stops when dropped.
pub struct Model {
    pub address: SocketAddr,
    pub pacer: Arc<Pacer>,
    served: UnboundedReceiver<Served>,
    accepting: JoinHandle<()>,
}

impl Model {
    pub async fn start(pace: Pace, period_ms: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let pacer = Arc::new(Pacer::start(period_ms)?);
        let speaks = Arc::clone(&pacer);
        let (serves, served) = unbounded_channel();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (pacer, serves) = (Arc::clone(&speaks), serves.clone());
                tokio::spawn(async move {
                    // A client that goes away in the middle of its request gets no answer.
                    let _ = answer(stream, pace, &pacer, &serves).await;
                });
            }
        });
        Ok(Self { address, pacer, served, accepting })
    }

    /// The next request of the pace [`Pace::Calls`].
    pub async fn served(&mut self) -> Result<Served> {
        let served = tokio::time::timeout(PATIENCE, self.served.recv()).await.context("the model is not asked")?;
        served.context("the model is gone")
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // With the listener goes the last holder of the pacer.
        self.accepting.abort();
    }
}

async fn answer(mut stream: TcpStream, pace: Pace, pacer: &Pacer, serves: &UnboundedSender<Served>) -> Result<()> {
    stream.set_nodelay(true)?;
    let request = read_request(&mut stream).await?;
    let one = chunk(&format!("{BEFORE}{}{AFTER}\n\n", token()));
    let last = [chunk(LAST).as_bytes(), b"0\r\n\r\n"].concat();
    match pace {
        Pace::AtOnce { tokens } => {
            let body = one.repeat(usize::try_from(tokens)?);
            stream.write_all(&[HEAD, body.as_bytes(), &last].concat()).await?;
            stream.shutdown().await?;
        }
        Pace::Silent => {
            stream.write_all(HEAD).await?;
            let mut nothing = [0];
            let _ = stream.read(&mut nothing).await; // until the client goes
        }
        Pace::Calls => {
            let arrived = Instant::now();
            let request: Value = serde_json::from_slice(&request)?;
            let messages = request["messages"].as_array().map_or(0, Vec::len);
            let tool = request["tools"][0]["function"]["name"].as_str();
            let told = request["messages"][messages.saturating_sub(1)]["role"] == "tool";
            let body = match tool.filter(|_| !told) {
                Some(tool) => chunk(&call(tool)),
                None => one,
            };
            stream.write_all(&[HEAD, body.as_bytes(), &last].concat()).await?;
            let _ = serves.send(Served { arrived, took: arrived.elapsed(), messages });
            stream.shutdown().await?;
        }
        Pace::Steady { tokens } => {
            stream.write_all(HEAD).await?;
            pacer.begin(Speech::new(stream.into_std()?, one.into_bytes(), tokens, last))?;
        }
    }
    Ok(())
}

/// A call of `tool` as one event.
fn call(tool: &str) -> String {
    let function = json!({ "name": tool, "arguments": ARGUMENTS });
    let called = json!([{ "index": 0, "id": "call_bench", "type": "function", "function": function }]);
    let choice = json!({ "index": 0, "delta": { "tool_calls": called }, "finish_reason": null });
    let event = json!({ "id": "chatcmpl-bench", "object": "chat.completion.chunk", "choices": [choice] });
    format!("data: {event}\n\n")
}

/// A chunk of an HTTP body.
fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// The body of the request.
async fn read_request(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut request = Vec::new();
    loop {
        if stream.read_buf(&mut request).await? == 0 {
            bail!("the request ended early");
        }
        let Some(head) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if request.len() >= head + 4 + length.unwrap_or(0) {
            return Ok(request.split_off(head + 4));
        }
    }
}
