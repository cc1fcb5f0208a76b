//! The messages API.

use super::*;

fn message_start() -> String {
    event(json!({"type": "message_start", "message": {"id": "msg_1", "role": "assistant", "content": [],
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 5, "output_tokens": 1}}}))
}

fn message_delta(reason: &str) -> String {
    event(json!({"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": null},
        "usage": {"output_tokens": 25}}))
}

fn message_stop() -> String {
    event(json!({"type": "message_stop"}))
}

fn usage(output_tokens: u64) -> ProviderEvent {
    ProviderEvent::Usage(Usage { input_tokens: 45, output_tokens, reasoning_tokens: None, cached_tokens: Some(30) })
}

#[tokio::test]
async fn ms_09_thinking_text_and_usage_arrive_and_signatures_do_not() {
    let server = Server::stream([
        message_start(),
        event(json!({"type": "ping"})),
        block_start(0, json!({"type": "thinking", "thinking": "", "signature": ""})),
        block_delta(0, json!({"type": "thinking_delta", "thinking": "hm\n"})),
        block_delta(0, json!({"type": "signature_delta", "signature": "EqQBCg=="})),
        block_stop(0),
        block_start(1, json!({"type": "redacted_thinking", "data": "xyz"})),
        block_stop(1),
        block_start(2, json!({"type": "text", "text": ""})),
        block_delta(2, json!({"type": "text_delta", "text": "  a\n"})),
        block_delta(2, json!({"type": "text_delta", "text": "data: x"})),
        event(json!({"type": "an_event_of_the_future"})),
        block_stop(2),
        message_delta("end_turn"),
        message_stop(),
    ])
    .await;
    let expected = [usage(1), thought("hm\n"), text("  a\n"), text("data: x"), usage(25), finish("stop")];
    assert_eq!(good(server.anthropic()).await, expected);

    let seen = server.seen();
    assert_eq!(seen.path, "/v1/messages");
    assert_eq!(
        (&seen.headers["x-api-key"], &seen.headers["anthropic-version"]),
        (&KEY.parse().unwrap(), &"2023-06-01".parse().unwrap())
    );
    let body = json!({
        "model": "model-1",
        "system": "Be kind.",
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "  What?\n"},
        ],
        "max_tokens": 99,
        "stream": true,
        "temperature": 0.5,
    });
    assert_eq!(seen.body, body);
}

#[tokio::test]
async fn interleaved_tool_calls_are_assembled_by_block() {
    let input = |index, json: &str| block_delta(index, json!({"type": "input_json_delta", "partial_json": json}));
    let start =
        |index, id: &str| block_start(index, json!({"type": "tool_use", "id": id, "name": "search", "input": {}}));
    let server = Server::stream([
        message_start(),
        start(0, "a"),
        start(1, "b"),
        input(0, ""),
        input(0, "{\"q\""),
        input(1, "{\"q\": 2}"),
        input(0, ": 1}"),
        block_stop(0),
        block_stop(1),
        start(2, "c"),
        block_stop(2),
        message_delta("tool_use"),
        message_stop(),
    ])
    .await;
    let expected = [
        usage(1),
        tool_call("a", "search", json!({"q": 1})),
        tool_call("b", "search", json!({"q": 2})),
        tool_call("c", "search", json!({})),
        usage(25),
        finish("tool_calls"),
    ];
    assert_eq!(good(server.anthropic()).await, expected);
}

#[tokio::test]
async fn server_tools_give_call_result_and_cited_sources() {
    let citation = json!({"type": "citations_delta", "citation": {"type": "web_search_result_location",
        "url": "https://example.org/", "title": "Example", "cited_text": "words"}});
    let hit = json!({"type": "web_search_result", "url": "https://example.org/", "title": "Example", "encrypted_content": "AAAA"});
    let failure = json!({"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"});
    let server = Server::stream([
        block_start(0, json!({"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}})),
        block_delta(0, json!({"type": "input_json_delta", "partial_json": "{\"query\": \"x\"}"})),
        block_stop(0),
        block_start(1, json!({"type": "web_search_tool_result", "tool_use_id": "s1", "content": [hit]})),
        block_stop(1),
        block_start(2, json!({"type": "web_search_tool_result", "tool_use_id": "s2", "content": failure})),
        block_delta(3, citation.clone()),
        block_delta(3, citation),
        message_stop(),
    ])
    .await;
    let output = json!([{"type": "web_search_result", "url": "https://example.org/", "title": "Example"}]);
    let call = ProviderEvent::ToolCall {
        id: "s1".into(),
        tool: "web_search".into(),
        input: json!({"query": "x"}),
        by_provider: true,
    };
    let expected = [
        call,
        ProviderEvent::ToolResult { id: "s1".into(), output: Some(output), error: None },
        ProviderEvent::ToolResult { id: "s2".into(), output: None, error: Some("max_uses_exceeded".into()) },
        ProviderEvent::Source {
            title: "Example".into(),
            url: "https://example.org/".into(),
            snippet: Some("words".into()),
        },
        finish("stop"),
    ];
    assert_eq!(good(server.anthropic()).await, expected);
}

#[tokio::test]
async fn st_09_an_error_event_is_typed_and_ends_the_stream() {
    let error = |kind: &str| event(json!({"type": "error", "error": {"type": kind, "message": "no"}}));
    for (kind, retryable) in [("overloaded_error", true), ("invalid_request_error", false)] {
        let late = block_delta(0, json!({"type": "text_delta", "text": "b"}));
        let first = block_delta(0, json!({"type": "text_delta", "text": "a"}));
        let server = Server::stream([first, error(kind), late, message_stop()]).await;
        let (events, failure) = failed(server.anthropic()).await;
        assert_eq!(events, [text("a")]);
        assert_eq!((failure.code, failure.retryable), (Code::ProviderError, retryable));
    }
}

#[tokio::test]
async fn system_messages_of_the_history_join_the_system_text() {
    let server = Server::stream([message_stop()]).await;
    let mut request = request();
    request.messages.insert(1, PromptMessage::new(Role::System, "Be brief."));
    request.max_output_tokens = None;
    server.anthropic().stream(request).collect::<Vec<_>>().await;
    let body = server.seen().body;
    assert_eq!(body["system"], "Be kind.\n\nBe brief.");
    assert_eq!(body["messages"].as_array().unwrap().len(), 3);
    assert_eq!(body["max_tokens"], 8192);
}

#[tokio::test]
async fn images_and_documents_are_blocks() {
    let server = Server::stream([message_stop()]).await;
    server.anthropic().stream(with_files()).collect::<Vec<_>>().await;
    let content = server.seen().body["messages"][2]["content"].clone();
    let source = |media_type: &str| json!({"type": "base64", "media_type": media_type, "data": "YWJj"});
    assert_eq!(content[0], json!({"type": "image", "source": source("image/png")}));
    assert_eq!(content[1], json!({"type": "document", "title": "p.pdf", "source": source("application/pdf")}));
    assert_eq!((content[2]["type"].clone(), content.as_array().unwrap().len()), (json!("text"), 3));
}
