//! A server to be asked: real rows and the real router. And what every answer of it must be.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use futures_util::StreamExt as _;
use http::StatusCode;
use serde_json::{Value, json};
use spool_chat::tables::credential::secret_hash;
use spool_protocol::Code;
use spool_server::app::{self, App};
use spool_server::auth::new_service_key;
use spool_server::config::Config;
use spool_server::data_dir::DataDir;
use spool_store::SystemClock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::requests::Request;

/// No answer may take longer. Generous: the machine may be busy with other things.
const PATIENCE: Duration = Duration::from_secs(30);
/// An event stream may be silent for longer than this: then its reader leaves.
const SILENCE: Duration = Duration::from_millis(5);
/// What an issuer signs with, which the fuzzer is.
pub const SECRET: &str = "the-secret-of-an-issuer-that-the-fuzzer-plays";

/// Answers without pauses, short waits, and nothing that calls out: a webhook could hit a stranger.
const CONFIG: &str = r#"
synchronous = "normal"
[providers.demo]
kind = "demo"
words_per_second = 0.0
[streams]
long_poll_ms = 10
[approvals]
push = false
[uploads]
max_bytes = 65536
# Whoever asks here is nobody on the network, and asks more than anybody may.
[limits]
reads = { per_second = 1000000.0, burst = 1000000 }
writes = { per_second = 1000000.0, burst = 1000000 }
sign_in = { per_second = 1000000.0, burst = 1000000 }
streams = { per_second = 1000000.0, burst = 1000000 }
services = { per_second = 1000000.0, burst = 1000000 }
address = { per_second = 1000000.0, burst = 1000000 }
[[auth.issuers]]
issuer = "fuzz"
audience = "spool"
secret = "the-secret-of-an-issuer-that-the-fuzzer-plays"
"#;

pub struct Place {
    pub app: Arc<App>,
    /// For those who cannot do without a connection.
    pub address: SocketAddr,
    /// Ids of rows, and credentials.
    pub names: BTreeMap<String, String>,
    serving: JoinHandle<anyhow::Result<()>>,
    dir: tempfile::TempDir,
}

impl Place {
    pub async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("spool.toml");
        std::fs::write(&file, CONFIG).unwrap();
        let mut config = Config::load(Some(&file), &|_| None).unwrap();
        config.data = dir.path().join("data");
        let data = DataDir::own(&config.data).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = App::open(config, address, data, Arc::new(SystemClock), CancellationToken::new()).unwrap();
        // The turn driver and the jobs are what is wanted; only sync sockets connect.
        let serving = tokio::spawn(app::serve(Arc::clone(&app), listener));
        let mut place = Self { app, address, names: BTreeMap::new(), serving, dir };
        place.fill().await;
        place
    }

    async fn fill(&mut self) {
        let guest = self.json("POST", "/api/auth/guest", "", b"".to_vec()).await;
        let token = text(&guest["token"]);
        let (key, hash) = new_service_key();
        assert_eq!(hash, secret_hash(&key));
        let args = json!({ "scopes": ["*"], "secretHash": hash });
        self.app.functions.mutate_as_system("keys:create", args).await.unwrap();
        let thread = text(&self.call(&token, "mutation", "threads:create", json!({ "title": "fuzz" })).await);
        let sent =
            self.call(&token, "action", "turns:sendAndWait", json!({ "threadId": thread, "text": "hello" })).await;
        let artifact = json!({ "threadId": thread, "kind": "plan", "title": "plan", "content": "plan" });
        let artifact = text(&self.call(&token, "mutation", "artifacts:create", artifact).await["artifactId"]);
        let opened = self.call(&key, "mutation", "generations:open", json!({ "threadId": thread })).await;
        let question = json!({ "generationId": opened["generationId"], "kind": "question", "question": "May I?" });
        let asked = self.call(&key, "mutation", "approvals:request", question).await;
        let upload =
            self.json("POST", &format!("/api/uploads?threadId={thread}&name=a.txt"), &token, b"abc".to_vec()).await;
        let url = self
            .call(&token, "mutation", "uploads:readUrl", json!({ "uploadId": upload["_id"], "ttlSeconds": 3600 }))
            .await;
        let url = text(&url["url"]);
        self.names = [
            ("token", token),
            ("key", key),
            ("thread", thread),
            ("message", text(&sent["_id"])),
            ("generation", text(&opened["generationId"])),
            ("artifact", artifact),
            ("approval", text(&asked["_id"])),
            ("upload", text(&upload["_id"])),
            ("user", text(&guest["userId"])),
            ("signed", url.split_once('?').map_or_else(String::new, |(_, query)| query.to_owned())),
            ("stream", "a-stream".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    }

    async fn json(&self, method: &str, target: &str, token: &str, body: Vec<u8>) -> Value {
        let mut request = http::Request::builder().method(method).uri(target).header("content-type", "text/plain");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = app::service(&self.app).oneshot(request.body(body.into()).unwrap()).await.unwrap();
        serde_json::from_slice(&axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap()).unwrap()
    }

    async fn call(&self, token: &str, kind: &str, path: &str, args: Value) -> Value {
        let body = json!({ "path": path, "args": args }).to_string().into_bytes();
        let mut answer = self.json("POST", &format!("/api/{kind}"), token, body).await;
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["value"].take()
    }

    /// Asks; `Ok` is the status, `Err` what is wrong with the answer.
    pub async fn ask(&self, request: axum::extract::Request) -> Result<u16, String> {
        let asked = async {
            let Ok(response) = app::service(&self.app).oneshot(request).await;
            judge(response).await
        };
        tokio::time::timeout(PATIENCE, asked).await.map_err(|_| format!("no answer within {PATIENCE:?}"))?
    }

    /// Like [`Place::ask`]. What is no HTTP counts as status 0.
    pub async fn send(&self, request: Request) -> (Request, Result<u16, String>) {
        let outcome = match request.to_http() {
            Some(sent) => self.ask(sent).await,
            None => Ok(0),
        };
        (request, outcome)
    }

    /// The server still answers, and every invariant of its rows holds. Then it ends.
    pub async fn close(self) -> Result<(), String> {
        let ready = http::Request::get("/readyz").body(axum::body::Body::empty()).unwrap();
        let status = self.ask(ready).await?;
        if status != 200 {
            return Err(format!("/readyz answers {status} at the end"));
        }
        let mut cursor = Value::Null;
        loop {
            let checked = self.app.functions.query_as_system("doctor:check", json!({ "cursor": cursor })).await;
            let report: Value = serde_json::from_str(&checked.map_err(|error| error.to_string())?.1).unwrap();
            if report["violations"] != json!([]) {
                return Err(format!("the doctor finds: {}", report["violations"]));
            }
            cursor = report["cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        self.app.shutdown.cancel();
        let served = tokio::time::timeout(PATIENCE, self.serving).await.map_err(|_| "the server does not end")?;
        drop(self.dir);
        served.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}

/// Whether an answer is well formed, and no fault of the server's own.
async fn judge(response: Response) -> Result<u16, String> {
    let (head, body) = response.into_parts();
    let mut body = body.into_data_stream();
    let kind = head.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let endless = kind.starts_with("text/event-stream");
    let mut bytes = Vec::new();
    loop {
        let piece = if endless {
            let Ok(piece) = tokio::time::timeout(SILENCE, body.next()).await else { break };
            piece
        } else {
            body.next().await
        };
        match piece {
            Some(Ok(piece)) => bytes.extend_from_slice(&piece),
            Some(Err(error)) => return Err(format!("the body ends with {error}")),
            None => break,
        }
    }
    let status = head.status;
    let said = || format!("{status} {kind}: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(600)]));
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        return Err(said());
    }
    if endless && std::str::from_utf8(&bytes).is_err() {
        return Err(format!("an event stream that is no text: {}", said()));
    }
    // Only what this server says of itself; a stream has the type that its owner gave it.
    if bytes.starts_with(b"{\"code\":") || bytes.starts_with(b"{\"status\":") || bytes.starts_with(b"{\"results\":") {
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| format!("{error} in {}", said()))?;
        let results = value["results"].as_array().cloned().unwrap_or_else(|| vec![value]);
        for result in results {
            let code = result["errorData"]["code"].as_str().or_else(|| result["code"].as_str());
            let known = code.is_none_or(|code| Code::ALL.iter().any(|known| known.as_str() == code));
            if !known || code == Some("internal") || (result["status"] == "error" && code.is_none()) {
                return Err(said());
            }
        }
    } else if status.is_client_error() && kind.starts_with("application/json") && !bytes.is_empty() {
        serde_json::from_slice::<Value>(&bytes).map_err(|error| format!("{error} in {}", said()))?;
    }
    Ok(status.as_u16())
}

#[tokio::test]
async fn a_fault_is_told_from_an_answer() {
    use axum::response::IntoResponse as _;
    let json = |text: &'static str| ([("content-type", "application/json")], text).into_response();
    for good in [
        json(r#"{"status":"success","value":null,"logLines":[]}"#),
        json(r#"{"status":"error","errorData":{"code":"not_found"},"logLines":[]}"#),
        (StatusCode::NOT_FOUND, "nothing").into_response(),
    ] {
        judge(good).await.unwrap();
    }
    for bad in [
        json(r#"{"status":"error","errorData":{"code":"internal"},"logLines":[]}"#),
        json(r#"{"status":"error","logLines":[]}"#),
        json(r#"{"results":[{"status":"success"},{"status":"error","errorData":{"code":"nonsense"}}]}"#),
        json(r#"{"status":"success","value":"#),
        (StatusCode::INTERNAL_SERVER_ERROR, "oops").into_response(),
    ] {
        judge(bad).await.unwrap_err();
    }
}
