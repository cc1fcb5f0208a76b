//! HTTP tools against a server on this machine: what is sent, and what becomes of every kind of answer.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use spool_server::tools::FailureKind;

use crate::place::{Place, invocation, verify};

async fn answer(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    match uri.path() {
        "/echo" => axum::Json(json!({
            "method": method.as_str(), "query": uri.query(), "caller": header("spool-caller"),
            "key": header("idempotency-key"), "authorization": header("authorization"),
            "type": header("content-type"), "body": serde_json::from_slice::<Value>(&body).ok(),
        }))
        .into_response(),
        "/text" => "five flats".into_response(),
        "/empty" => StatusCode::NO_CONTENT.into_response(),
        "/picture" => ([(header::CONTENT_TYPE, "image/png")], "png").into_response(),
        "/bad-json" => ([(header::CONTENT_TYPE, "application/json")], "{nonsense").into_response(),
        "/large" => axum::Json("x".repeat(10_000_000)).into_response(),
        "/larger" => axum::Json("x".repeat(17 << 20)).into_response(),
        "/flood" => {
            let forever = futures_util::stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from(vec![b'x'; 1 << 16])));
            ([(header::CONTENT_TYPE, "text/plain")], Body::from_stream(forever)).into_response()
        }
        "/hang" => std::future::pending().await,
        "/break" => {
            // More than waits to be sent with the rest.
            let some = Bytes::from(vec![b' '; 1 << 20]);
            let broken = futures_util::stream::iter([Ok(some), Err(std::io::Error::other("gone"))]);
            ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(broken)).into_response()
        }
        "/redirect" => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, "/echo")]).into_response(),
        "/refuse" => {
            let said = format!("not for {:?} and {:?}", header("authorization"), header("spool-caller"));
            (StatusCode::FORBIDDEN, said).into_response()
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "x".repeat(100_000)).into_response(),
    }
}

struct Server {
    place: Place,
    serving: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// One tool for each path, which is its name; a query goes to the address alone.
    async fn open(paths: &[&str], lines: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
        let tool = |path: &&str| {
            let name = path.split('?').next().unwrap();
            format!(
                "[tools.http.{name}]\ndescription = \"Does {name}.\"\nurl = \"http://127.0.0.1:{port}/{path}\"\nallow_private = true\n\
                 timeout_seconds = 5\nheaders = {{ Authorization = \"Bearer planted-secret\" }}\n\
                 input = {{ type = \"object\", properties = {{ city = {{ type = \"string\" }} }} }}\n{lines}\n"
            )
        };
        let place = Place::open(&paths.iter().map(tool).collect::<String>());
        Self { place, serving }
    }

    async fn close(self) {
        self.place.close().await;
        self.serving.abort();
    }
}

#[tokio::test]
async fn tc_03_a_request_carries_the_input_the_call_and_a_caller_that_can_be_checked() {
    let server = Server::open(&["echo"], "").await;
    let spec = server.place.spec("echo").await;
    assert!(spec.writes && !spec.idempotent && spec.approvers == 1);
    let seen = server.place.call("echo", json!({ "city": "Rome", "rooms": [1, 2] })).await.unwrap();
    assert_eq!((&seen["method"], &seen["type"]), (&json!("POST"), &json!("application/json")));
    assert_eq!(seen["body"], json!({ "city": "Rome", "rooms": [1, 2] }));
    assert_eq!((&seen["key"], &seen["authorization"]), (&json!("tc_1"), &json!("Bearer planted-secret")));
    let claims = verify(&server.place.tokens, seen["caller"].as_str().unwrap(), "tool:echo");
    assert_eq!(
        (&claims["sub"], &claims["role"], &claims["call"]),
        (&json!("usr_ann"), &json!("broker"), &json!("tc_1"))
    );
    server.close().await;
}

#[tokio::test]
async fn tc_08_a_repeated_call_has_the_same_key() {
    let server = Server::open(&["echo"], "idempotent = true").await;
    assert!(server.place.spec("echo").await.idempotent);
    for _ in 0..2 {
        let seen = server.place.toolbox.call(invocation("tc_42", "echo", json!({}))).await.unwrap();
        assert_eq!(seen["key"], "tc_42");
    }
    server.close().await;
}

#[tokio::test]
async fn tc_10_get_carries_the_input_in_the_query() {
    let server = Server::open(&["echo"], "method = \"GET\"").await;
    assert!(!server.place.spec("echo").await.writes);
    let input = json!({ "city": "New & York", "rooms": 3, "empty": null, "near": { "zip": "1" } });
    let seen = server.place.call("echo", input).await.unwrap();
    assert_eq!(seen["query"], "city=New+%26+York&near=%7B%22zip%22%3A%221%22%7D&rooms=3");
    assert_eq!(server.place.call("echo", json!({})).await.unwrap()["query"], Value::Null);
    server.close().await;
}

#[tokio::test]
async fn tc_03_what_the_address_says_in_its_query_the_model_does_not_say_again() {
    let server = Server::open(&["echo?tenant=acme&api%5Fkey=planted-key"], "method = \"DELETE\"").await;
    for input in [json!({ "tenant": "other" }), json!({ "Tenant[]": 1 }), json!({ "city": "Rome", "api_key": "x" })] {
        let failure = server.place.call("echo", input).await.unwrap_err();
        assert!(failure.kind == FailureKind::Refused && failure.message.contains("which its address"), "{failure:?}");
    }
    let seen = server.place.call("echo", json!({ "city": "Rome" })).await.unwrap();
    assert_eq!(seen["query"], "tenant=acme&api%5Fkey=planted-key&city=Rome");
    server.close().await;
}

#[tokio::test]
async fn tc_05_every_kind_of_answer_ends_in_a_value_or_in_words() {
    let paths =
        ["text", "empty", "picture", "bad-json", "large", "larger", "flood", "break", "redirect", "refuse", "broken"];
    let server = Server::open(&paths, "").await;
    let place = &server.place;
    assert_eq!(place.call("text", json!({})).await.unwrap(), json!("five flats"));
    assert_eq!(place.call("empty", json!({})).await.unwrap(), Value::Null);
    assert_eq!(place.call("large", json!({})).await.unwrap().as_str().unwrap().len(), 10_000_000);
    for (tool, kind, says) in [
        ("picture", FailureKind::Failed, "image/png"),
        ("bad-json", FailureKind::Failed, "and is not"),
        ("larger", FailureKind::TooLarge, "16 MiB"),
        ("flood", FailureKind::TooLarge, "16 MiB"),
        ("break", FailureKind::Failed, "broke off"),
        ("redirect", FailureKind::Failed, "307: redirects are not followed"),
        ("refuse", FailureKind::Failed, "403: not for"),
        ("broken", FailureKind::Failed, "500: xxx"),
    ] {
        let failure = place.call(tool, json!({})).await.unwrap_err();
        assert!(failure.kind == kind && failure.message.contains(says), "{tool}: {failure:?}");
        assert!(failure.message.len() < 700, "{tool}: {}", failure.message);
        assert!(!failure.message.contains("planted") && !failure.message.contains("eyJ"), "{failure:?}");
    }
    server.close().await;
}

#[tokio::test]
async fn tc_07_a_tool_that_hangs_is_given_up_in_time() {
    let server = Server::open(&["hang"], "").await;
    let began = Instant::now();
    let failure = server.place.call("hang", json!({})).await.unwrap_err();
    assert!(failure.kind == FailureKind::TimedOut && failure.message.contains("within 5 s"), "{failure:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    server.close().await;
}

#[tokio::test]
async fn tc_05_what_cannot_be_reached_was_not_run() {
    let server = Server::open(&["echo"], "").await;
    server.serving.abort();
    let _ = server.serving.await;
    let failure = server.place.call("echo", json!({})).await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure:?}");
    assert!(!failure.message.contains("127.0.0.1"), "{failure:?}");
    server.place.close().await;
}
