//! What holds for every provider over HTTP.

use super::*;

/// Every provider at one server, as the text of its first delta.
fn all(server: &Server) -> [Arc<dyn Provider>; 2] {
    [Arc::new(server.openai()), Arc::new(server.anthropic())]
}

struct Shared(Arc<dyn Provider>);

impl Provider for Shared {
    fn stream(&self, request: Request) -> spool_agent::EventStream {
        self.0.stream(request)
    }
}

/// One delta that both protocols read as the text `a`: each ignores the other's.
fn first_delta() -> String {
    let json = json!({
        "type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"},
        "choices": [{"index": 0, "delta": {"content": "a"}}],
    });
    data(json)
}

#[tokio::test]
async fn st_09_a_stream_that_just_ends_or_breaks_is_a_cut() {
    for end in [End::Close, End::Break] {
        let reply = Reply { status: 200, kind: "text/event-stream", chunks: vec![first_delta().into()], end };
        let server = Server::start(reply).await;
        for provider in all(&server) {
            let (events, failure) = failed(Shared(provider)).await;
            assert_eq!(events, [text("a")]);
            assert_eq!((failure.code, failure.retryable), (Code::ProviderCut, true));
            assert!(!failure.message.contains("127.0.0.1"), "{failure}");
        }
    }
}

#[tokio::test]
async fn http_errors_are_typed_and_their_messages_carry_no_key() {
    let cases = [(400, false), (401, false), (404, false), (429, true), (500, true), (529, true), (302, false)];
    for (status, retryable) in cases {
        let body = json!({"error": {"type": "some_error", "message": format!("About {KEY}\nand sk-other")}});
        let server = Server::status(status, &body.to_string()).await;
        for provider in all(&server) {
            let (events, failure) = failed(Shared(provider)).await;
            assert_eq!(events, []);
            let typed = (failure.code, failure.retryable, failure.status);
            assert_eq!(typed, (Code::ProviderError, retryable, Some(status)), "{failure}");
            assert!(failure.message.ends_with(&format!("(HTTP {status}): About [key] and [key]")), "{failure}");
        }
        assert_eq!(server.seen.lock().unwrap().len(), 2, "nothing is followed and nothing is tried again");
    }
}

#[tokio::test]
async fn a_provider_that_falls_silent_is_a_cut_unless_its_answer_was_complete() {
    // The real client waits two minutes; only the length of the wait differs here.
    let client = reqwest::Client::builder().read_timeout(Duration::from_millis(100)).build().unwrap();
    for (last, complete) in [(content("b"), false), (reason("stop"), true)] {
        let chunks = vec![content("a").into(), last.into()];
        let server = Server::start(Reply { status: 200, kind: "text/event-stream", chunks, end: End::Hang }).await;
        let options = OpenAiOptions { base_url: server.url.clone(), key: None };
        let last = events(OpenAi::new(client.clone(), options).unwrap()).await.pop().unwrap();
        if complete {
            assert_eq!(last, Ok(finish("stop")));
        } else {
            let failure = last.unwrap_err();
            assert_eq!((failure.code, failure.retryable), (Code::ProviderCut, true));
            assert!(failure.message.contains("sent nothing"), "{failure}");
        }
    }
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let reply = Reply { status: 200, kind: "text/event-stream", chunks: vec![first_delta().into()], end: End::Hang };
    let server = Server::start(reply).await;
    for provider in all(&server) {
        let (guard, mut closed) = oneshot::channel();
        server.closed.lock().unwrap().push_back(guard);
        let mut stream = provider.stream(request());
        assert_eq!(stream.next().await.unwrap().unwrap(), text("a"));
        assert!(closed.try_recv().is_err_and(|error| error == oneshot::error::TryRecvError::Empty));
        drop(stream);
        tokio::time::timeout(Duration::from_secs(10), closed).await.expect("the connection closes").unwrap_err();
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_retryable_error_without_its_address() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let options = OpenAiOptions { base_url: format!("http://user:pass@{address}/v1"), key: None };
    let failure = failed(OpenAi::new(client().unwrap(), options).unwrap()).await.1;
    assert_eq!((failure.code, failure.retryable, failure.status), (Code::ProviderError, true, None));
    assert!(!failure.message.contains("pass") && !failure.message.contains("127.0.0.1"), "{failure}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_without_a_call() {
    for base_url in ["", "localhost:1234", "ftp://example.org"] {
        let options = OpenAiOptions { base_url: base_url.into(), key: None };
        assert!(!OpenAi::new(client().unwrap(), options).unwrap_err().retryable, "{base_url}");
    }
    let options = OpenAiOptions { base_url: "http://127.0.0.1:1".into(), key: ApiKey::new("secret\nkey") };
    let failure = failed(OpenAi::new(client().unwrap(), options).unwrap()).await.1;
    assert!(!failure.retryable && !failure.message.contains("secret"), "{failure}");
}

#[tokio::test]
async fn ag_07_each_key_is_seen_by_its_own_endpoint_only() {
    let client = client().unwrap();
    let mut servers = Vec::new();
    let mut providers = Vec::new();
    for n in 0..4 {
        let server = Server::stream([content("a"), reason("stop"), end()]).await;
        let key = ApiKey::new(format!("key-{n}"));
        providers.push(OpenAi::new(client.clone(), OpenAiOptions { base_url: server.url.clone(), key }).unwrap());
        servers.push(server);
    }
    let runs = (0..100).map(|run| {
        let provider = providers[run % 4].clone();
        async move { assert_eq!(good(provider).await.last(), Some(&finish("stop"))) }
    });
    futures_util::future::join_all(runs).await;
    for (n, server) in servers.iter().enumerate() {
        let seen = server.seen.lock().unwrap();
        assert_eq!(seen.len(), 25);
        let own = format!("Bearer key-{n}");
        assert!(seen.iter().all(|seen| seen.headers["authorization"] == own));
    }
    assert!(!format!("{providers:?}").contains("key-"), "Debug shows no key");
}
