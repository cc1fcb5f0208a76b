//! The providers against a server on the loopback that replays what real ones send.
//!
//! Owns the shapes of both protocols as they were seen in the field. Must never reach the network.

// Clippy knows `#[test]` functions as tests, but not what only they call.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use spool_agent::provider::anthropic::{Anthropic, AnthropicOptions};
use spool_agent::provider::openai::{OpenAi, OpenAiOptions};
use spool_agent::provider::{ApiKey, client};
use spool_agent::{
    Failure, PromptCall, PromptFile, PromptMessage, Provider, ProviderEvent, Request, Role, ToolChoice, ToolSpec,
};
use spool_protocol::{Code, Usage};
use tokio::sync::oneshot;

const KEY: &str = "sk-test-0123456789";

/// What the server answers to one request.
#[derive(Clone)]
struct Reply {
    status: u16,
    kind: &'static str,
    chunks: Vec<Vec<u8>>,
    end: End,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Close,
    /// The connection breaks without the last chunk.
    Break,
    /// Nothing more comes.
    Hang,
}

/// One request as the server saw it.
#[derive(Clone)]
struct Seen {
    path: String,
    headers: HeaderMap,
    body: Value,
}

#[derive(Clone)]
struct Server {
    url: String,
    reply: Reply,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// Fires when the body of a reply is dropped, which is when its connection is gone.
    closed: Arc<Mutex<VecDeque<oneshot::Sender<()>>>>,
}

impl Server {
    async fn start(reply: Reply) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { url, reply, seen: Arc::default(), closed: Arc::default() };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    async fn stream(frames: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        Self::start(Reply {
            status: 200,
            kind: "text/event-stream",
            chunks: frames.into_iter().map(Into::into).collect(),
            end: End::Close,
        })
        .await
    }

    async fn status(status: u16, body: &str) -> Self {
        let chunks = vec![body.into()];
        Self::start(Reply { status, kind: "application/json", chunks, end: End::Close }).await
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap()[0].clone()
    }

    fn openai(&self) -> OpenAi {
        let options = OpenAiOptions { base_url: format!("{}/v1/", self.url), key: ApiKey::new(KEY) };
        OpenAi::new(client().unwrap(), options).unwrap()
    }

    fn anthropic(&self) -> Anthropic {
        let options = AnthropicOptions { base_url: self.url.clone(), key: ApiKey::new(KEY) };
        Anthropic::new(client().unwrap(), options).unwrap()
    }
}

async fn answer(State(server): State<Server>, request: HttpRequest) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = head.uri.path().to_owned();
    let body = serde_json::from_slice(&body).unwrap();
    server.seen.lock().unwrap().push(Seen { path, headers: head.headers, body });

    // Held by the body: dropped with it, and the receiver sees that.
    let guard = server.closed.lock().unwrap().pop_front();
    let reply = server.reply;
    let chunks = stream::iter(reply.chunks.into_iter().map(Ok)).then(|chunk| async {
        // A chunk of its own on the wire, so that events arrive apart.
        tokio::task::yield_now().await;
        chunk
    });
    let end = match reply.end {
        End::Close => stream::empty().boxed(),
        // The server flushes while its body waits; without the wait the chunks before would be lost.
        End::Break => stream::once(async {
            tokio::task::yield_now().await;
            Err(io::Error::other("broken"))
        })
        .boxed(),
        End::Hang => stream::pending().boxed(),
    };
    let body = chunks.chain(end).map(move |chunk: Result<Vec<u8>, io::Error>| {
        let _held = &guard;
        chunk
    });
    Response::builder()
        .status(StatusCode::from_u16(reply.status).unwrap())
        .header("content-type", reply.kind)
        .body(Body::from_stream(body))
        .unwrap()
}

fn request() -> Request {
    Request {
        model: "model-1".into(),
        system: Some("Be kind.".into()),
        messages: vec![
            PromptMessage::new(Role::User, "Hi"),
            PromptMessage::new(Role::Assistant, "Hello"),
            PromptMessage::new(Role::User, "  What?\n"),
        ],
        max_output_tokens: Some(99),
        temperature: Some(0.5),
        ..Request::default()
    }
}

/// A file of three bytes, given.
fn file(name: &str, media_type: &str) -> PromptFile {
    let bytes = Some(b"abc".as_slice().into());
    PromptFile { id: name.into(), name: name.into(), media_type: media_type.into(), size: 3, bytes }
}

fn named(name: &str, media_type: &str) -> String {
    format!("[Attached file: {name} ({media_type}, 3 bytes); its content is not shown.]")
}

/// The same request with a file of each kind; an answer shows one too.
fn with_files() -> Request {
    let mut request = request();
    request.messages[1].files = vec![file("made.png", "image/png")];
    request.messages[2].files = vec![
        file("i.png", "image/png"),
        file("p.pdf", "application/pdf"),
        file("t.csv", "text/csv"),
        file("z.zip", "application/zip"),
    ];
    request
}

async fn events(provider: impl Provider) -> Vec<Result<ProviderEvent, Failure>> {
    let all = provider.stream(request()).collect();
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("the stream ends")
}

async fn good(provider: impl Provider) -> Vec<ProviderEvent> {
    events(provider).await.into_iter().map(|event| event.unwrap()).collect()
}

/// The events before the failure, and the failure, which must be the last.
async fn failed(provider: impl Provider) -> (Vec<ProviderEvent>, Failure) {
    let mut events = events(provider).await;
    let failure = events.pop().unwrap().unwrap_err();
    (events.into_iter().map(|event| event.unwrap()).collect(), failure)
}

fn text(text: &str) -> ProviderEvent {
    ProviderEvent::Text(text.into())
}

fn thought(text: &str) -> ProviderEvent {
    ProviderEvent::Reasoning(text.into())
}

fn finish(reason: &str) -> ProviderEvent {
    ProviderEvent::Finish { reason: reason.into() }
}

fn tool_call(id: &str, tool: &str, input: Value) -> ProviderEvent {
    ProviderEvent::ToolCall { id: id.into(), tool: tool.into(), input, by_provider: false }
}

/// A frame of the chat-completions API.
fn data(json: Value) -> String {
    format!("data: {json}\n\n")
}

fn delta(delta: Value) -> String {
    data(json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]}))
}

fn content(text: &str) -> String {
    delta(json!({"content": text}))
}

fn reason(reason: &str) -> String {
    data(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
}

fn end() -> String {
    "data: [DONE]\n\n".to_owned()
}

/// A frame of the messages API.
fn event(json: Value) -> String {
    format!("event: {}\ndata: {json}\n\n", json["type"].as_str().unwrap())
}

fn block_delta(index: u64, delta: Value) -> String {
    event(json!({"type": "content_block_delta", "index": index, "delta": delta}))
}

fn block_start(index: u64, block: Value) -> String {
    event(json!({"type": "content_block_start", "index": index, "content_block": block}))
}

fn block_stop(index: u64) -> String {
    event(json!({"type": "content_block_stop", "index": index}))
}

#[path = "providers/anthropic.rs"]
mod anthropic;
#[path = "providers/both.rs"]
mod both;
#[path = "providers/openai.rs"]
mod openai;
#[path = "providers/tools.rs"]
mod tools;
