//! A model behind an OpenAI-compatible endpoint. Its tokens are those of the [`Pacer`].

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
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

/// How the model answers every request.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// So many tokens and the end, at once.
    AtOnce { tokens: u32 },
    /// So many tokens, one each period of the pacer.
    Steady { tokens: u32 },
    /// The beginning of an answer, and nothing more.
    Silent,
}

/// A running model. Stops when dropped.
pub struct Model {
    pub address: SocketAddr,
    pub pacer: Arc<Pacer>,
    accepting: JoinHandle<()>,
}

impl Model {
    pub async fn start(pace: Pace, period_ms: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let pacer = Arc::new(Pacer::start(period_ms)?);
        let speaks = Arc::clone(&pacer);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let pacer = Arc::clone(&speaks);
                tokio::spawn(async move {
                    // A client that goes away in the middle of its request gets no answer.
                    let _ = answer(stream, pace, &pacer).await;
                });
            }
        });
        Ok(Self { address, pacer, accepting })
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // With the listener goes the last holder of the pacer.
        self.accepting.abort();
    }
}

async fn answer(mut stream: TcpStream, pace: Pace, pacer: &Pacer) -> Result<()> {
    stream.set_nodelay(true)?;
    read_request(&mut stream).await?;
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
        Pace::Steady { tokens } => {
            stream.write_all(HEAD).await?;
            pacer.begin(Speech::new(stream.into_std()?, one.into_bytes(), tokens, last))?;
        }
    }
    Ok(())
}

/// A chunk of an HTTP body.
fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

async fn read_request(stream: &mut TcpStream) -> Result<()> {
    let mut request = Vec::new();
    loop {
        if stream.read_buf(&mut request).await? == 0 {
            bail!("the request ended early");
        }
        let Some(head) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if request.len() >= head + 4 + length.unwrap_or(0) {
            return Ok(());
        }
    }
}
