//! The official example server from npm, over both of its wires, and a server over HTTP that is written here.

use std::convert::Infallible;
use std::net::TcpListener;
use std::process::Stdio;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use spool_server::tools::FailureKind;
use tokio::process::{Child, Command};

use crate::place::{PATIENCE, Place, npm_server, verify};

fn stdio(lines: &str) -> Place {
    Place::open(&format!("[tools.mcp.npm]\ncommand = \"node\"\nargs = [{:?}, \"stdio\"]\n{lines}", npm_server()))
}

#[tokio::test]
async fn tc_10_the_server_of_npm_is_listed_and_called_over_stdio() {
    let place = stdio("");
    place.until(|names| names.contains(&"npm_echo".to_owned())).await;
    let sum = place.call("npm_get-sum", json!({ "a": 2, "b": 3 })).await.unwrap();
    assert!(sum.as_str().unwrap().contains("5"), "{sum}");
    let weather = place.call("npm_get-structured-content", json!({ "location": "New York" })).await.unwrap();
    assert!(weather["temperature"].is_number(), "{weather}");
    let failure = place.call("npm_get-sum", json!({ "a": "2" })).await.unwrap_err();
    assert!(failure.kind == FailureKind::Refused && failure.message.contains("/a: expected a number"), "{failure:?}");
    let picture = place.call("npm_get-tiny-image", json!({})).await.unwrap();
    assert!(picture.as_array().unwrap().iter().any(|block| block["type"] == "image"), "{picture}");
    place.close().await;
}

#[tokio::test]
async fn tc_07_a_long_operation_of_npm_is_cut_at_its_time() {
    let place = stdio("timeout_seconds = 1\n");
    place.until(|names| names.contains(&"npm_trigger-long-running-operation".to_owned())).await;
    let long = json!({ "duration": 60, "steps": 5 });
    let failure = place.call("npm_trigger-long-running-operation", long).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::TimedOut, "{failure:?}");
    assert!(place.call("npm_echo", json!({ "message": "hello" })).await.is_ok());
    place.close().await;
}

/// The server of npm on a port of its own.
async fn listening(port: u16) -> Child {
    let mut command = Command::new("node");
    command.arg(npm_server()).arg("streamableHttp").env("PORT", port.to_string());
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let reachable = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reachable).await.unwrap();
    child
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn tc_10_the_server_of_npm_is_listed_and_called_over_http_also_after_it_was_restarted() {
    let port = free_port();
    let mut server = listening(port).await;
    let place = Place::open(&format!(
        "[tools.mcp.npm]\nurl = \"http://127.0.0.1:{port}/mcp\"\nallow_private = true\nheaders = {{ Authorization = \"Bearer planted\" }}"
    ));
    place.until(|names| names.contains(&"npm_echo".to_owned())).await;
    assert!(!place.names().await.iter().any(|name| name.len() > 64));
    let echo = place.call("npm_echo", json!({ "message": "hello" })).await.unwrap();
    assert_eq!(echo, json!("Echo: hello"));
    server.kill().await.unwrap();
    let failure = place.call("npm_echo", json!({ "message": "hello" })).await.unwrap_err();
    assert_ne!(failure.kind, FailureKind::TimedOut, "{failure:?}");
    let _server = listening(port).await;
    let began = std::time::Instant::now();
    while place.call("npm_echo", json!({ "message": "again" })).await != Ok(json!("Echo: again")) {
        assert!(began.elapsed() < PATIENCE, "a server that is back stays away");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    place.close().await;
}

/// An MCP server over HTTP that is written here: it says what it was sent, and misbehaves where it is asked to.
async fn answer(headers: HeaderMap, axum::Json(message): axum::Json<Value>) -> Response {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let tools = ["who", "flood", "larger", "busy", "stall"];
    let tools = tools.map(|name| json!({ "name": name, "inputSchema": { "type": "object" } }));
    let result = match message["method"].as_str().unwrap() {
        "initialize" => json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} },
            "serverInfo": { "name": "here", "version": "1" } }),
        "tools/list" => json!({ "tools": tools }),
        "tools/call" => match message["params"]["name"].as_str().unwrap() {
            "who" => json!({ "content": [], "structuredContent": { "caller": header("spool-caller"),
                "key": header("idempotency-key"), "authorization": header("authorization"),
                "meta": message["params"]["_meta"] } }),
            "larger" => json!({ "content": [{ "type": "text", "text": "x".repeat(17 << 20) }] }),
            "busy" => return (StatusCode::SERVICE_UNAVAILABLE, "busy").into_response(),
            "stall" => std::future::pending().await,
            _ => {
                let log = json!({ "jsonrpc": "2.0", "method": "notifications/message",
                    "params": { "level": "info", "data": "x".repeat(10_000) } });
                let event = Bytes::from(format!("data: {log}\n\n"));
                let forever = futures_util::stream::repeat_with(move || Ok::<_, Infallible>(event.clone()));
                return ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(forever)).into_response();
            }
        },
        _ => return StatusCode::ACCEPTED.into_response(),
    };
    axum::Json(json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })).into_response()
}

async fn here(lines: &str) -> (Place, tokio::task::JoinHandle<std::io::Result<()>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = axum::Router::new().route("/mcp", axum::routing::post(answer));
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let place = Place::open(&format!(
        "[tools.mcp.here]\nurl = \"http://127.0.0.1:{port}/mcp\"\nallow_private = true\n{lines}\n"
    ));
    place.until(|names| names.contains(&"here_who".to_owned())).await;
    (place, serving)
}

#[tokio::test]
async fn tc_03_over_http_the_caller_is_in_a_header_too() {
    let (place, serving) = here("headers = { Authorization = \"Bearer planted\" }").await;
    let seen = place.call("here_who", json!({})).await.unwrap();
    assert_eq!((&seen["authorization"], &seen["key"]), (&json!("Bearer planted"), &json!("tc_1")));
    assert_eq!(seen["caller"], seen["meta"]["spool/caller"]);
    let claims = verify(&place.tokens, seen["caller"].as_str().unwrap(), "tool:here/who");
    assert_eq!(claims["sub"], "usr_ann");
    place.close().await;
    serving.abort();
}

#[tokio::test]
async fn tc_07_over_http_a_server_that_misbehaves_costs_its_own_call() {
    let (place, serving) = here("timeout_seconds = 10").await;
    for (tool, kind, says) in [
        ("here_busy", FailureKind::Failed, "503"),
        ("here_larger", FailureKind::TooLarge, "16 MiB"),
        ("here_flood", FailureKind::Failed, "MiB unasked"),
        ("here_stall", FailureKind::TimedOut, "within 10 s"),
    ] {
        let failure = place.call(tool, json!({})).await.unwrap_err();
        assert!(failure.kind == kind && failure.message.contains(says), "{tool}: {failure:?}");
        assert!(place.call("here_who", json!({})).await.is_ok(), "after {tool}");
    }
    place.close().await;
    serving.abort();
}
