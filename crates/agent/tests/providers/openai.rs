//! Chat completions.

use super::*;

#[tokio::test]
async fn st_15_text_arrives_to_the_byte_and_the_request_is_the_documented_one() {
    let pieces = ["\n", "  a", "data: x", "\r\n", "👩\u{200d}👧"];
    let first = delta(json!({"role": "assistant", "content": ""}));
    let frames = [first].into_iter().chain(pieces.map(content)).chain([reason("stop"), end()]);
    let server = Server::stream(frames).await;
    let mut expected: Vec<_> = pieces.map(text).into();
    expected.push(finish("stop"));
    assert_eq!(good(server.openai()).await, expected);

    let seen = server.seen();
    assert_eq!(seen.path, "/v1/chat/completions");
    assert_eq!(seen.headers["authorization"], format!("Bearer {KEY}"));
    let body = json!({
        "model": "model-1",
        "messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "  What?\n"},
        ],
        "stream": true,
        "stream_options": {"include_usage": true},
        "max_tokens": 99,
        "temperature": 0.5,
    });
    assert_eq!(seen.body, body);
}

#[tokio::test]
async fn images_and_documents_are_parts_and_everything_else_is_text() {
    let server = Server::stream([reason("stop"), end()]).await;
    server.openai().stream(with_files()).collect::<Vec<_>>().await;
    let body = server.seen().body;
    assert_eq!(body["messages"][1]["content"], "Hi");
    assert_eq!(body["messages"][2]["content"], format!("{}\n\nHello", named("made.png", "image/png")));
    let content = json!([
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,YWJj"}},
        {"type": "file", "file": {"filename": "p.pdf", "file_data": "data:application/pdf;base64,YWJj"}},
        {"type": "text", "text": format!("[Attached file: t.csv (text/csv)]\nabc\n[End of the file t.csv]\n\n{}\n\n  What?\n", named("z.zip", "application/zip"))},
    ]);
    assert_eq!(body["messages"][3]["content"], content);
}

#[tokio::test]
async fn a_message_of_text_files_stays_a_string() {
    let server = Server::stream([reason("stop"), end()]).await;
    let mut request = request();
    request.messages =
        vec![PromptMessage { files: vec![file("t.csv", "text/csv")], ..PromptMessage::new(Role::User, "") }];
    server.openai().stream(request).collect::<Vec<_>>().await;
    let content = "[Attached file: t.csv (text/csv)]\nabc\n[End of the file t.csv]";
    assert_eq!(server.seen().body["messages"][1]["content"], content);
}

#[tokio::test]
async fn frames_cut_at_any_byte_are_read_whole() {
    let whole =
        [": keep-alive\r\n\r\n".to_owned(), content("a👧b").replace('\n', "\r\n"), reason("stop"), end()].concat();
    let server = Server::stream(whole.into_bytes().chunks(1)).await;
    assert_eq!(good(server.openai()).await, [text("a👧b"), finish("stop")]);
}

#[tokio::test]
async fn ms_09_reasoning_is_read_in_both_spellings_and_never_twice() {
    let server = Server::stream([
        delta(json!({"reasoning_content": "one", "content": null})),
        delta(json!({"reasoning": "two"})),
        delta(json!({"reasoning": "three", "reasoning_content": "three"})),
        content("text"),
        reason("stop"),
        end(),
    ])
    .await;
    let expected = [thought("one"), thought("two"), thought("three"), text("text"), finish("stop")];
    assert_eq!(good(server.openai()).await, expected);
}

#[tokio::test]
async fn interleaved_parallel_tool_calls_are_assembled_by_index() {
    let call = |index: u64, id: Value, name: Value, arguments: &str| {
        delta(json!({"tool_calls": [
            {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
        ]}))
    };
    let server = Server::stream([
        call(0, json!("a"), json!("search"), ""),
        call(1, json!("b"), json!("weather"), "{\"ci"),
        call(0, Value::Null, Value::Null, "{\"q\": "),
        call(1, Value::Null, Value::Null, "ty\":\"Ulm\"}"),
        call(0, json!("a"), json!("search"), "1}"),
        reason("tool_calls"),
        end(),
    ])
    .await;
    let expected = [
        tool_call("a", "search", json!({"q": 1})),
        tool_call("b", "weather", json!({"city": "Ulm"})),
        finish("tool_calls"),
    ];
    assert_eq!(good(server.openai()).await, expected);
}

#[tokio::test]
async fn tool_calls_without_index_or_id_or_with_torn_arguments_are_kept() {
    let calls = |calls: Value| delta(json!({"tool_calls": calls}));
    let server = Server::stream([
        calls(json!([{"function": {"name": "one", "arguments": {"whole": true}}}])),
        calls(json!([{"index": 0, "id": "x", "function": {"name": "two", "arguments": ""}}])),
        calls(json!([{"index": 0, "id": "y", "function": {"name": "three", "arguments": "{\"torn\": "}}])),
        reason("length"),
        end(),
    ])
    .await;
    let expected = [
        tool_call("call_0", "one", json!({"whole": true})),
        tool_call("x", "two", json!({})),
        tool_call("y", "three", json!("{\"torn\": ")),
        finish("length"),
    ];
    assert_eq!(good(server.openai()).await, expected);
}

#[tokio::test]
async fn usage_after_the_reason_counts_cached_and_reasoning_tokens() {
    let usage = json!({
        "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 64}, "completion_tokens_details": {"reasoning_tokens": 12},
    });
    let server =
        Server::stream([content("a"), reason("stop"), data(json!({"choices": [], "usage": usage})), end()]).await;
    let usage = Usage { input_tokens: 100, output_tokens: 20, reasoning_tokens: Some(12), cached_tokens: Some(64) };
    assert_eq!(good(server.openai()).await, [text("a"), ProviderEvent::Usage(usage), finish("stop")]);
}

#[tokio::test]
async fn citations_become_sources_once_each() {
    let cited = json!({"annotations": [
        {"type": "url_citation", "url_citation": {"url": "https://example.org/", "title": "Example"}}
    ]});
    let server = Server::stream([delta(cited.clone()), delta(cited), reason("stop"), end()]).await;
    let source = ProviderEvent::Source { title: "Example".into(), url: "https://example.org/".into(), snippet: None };
    assert_eq!(good(server.openai()).await, [source, finish("stop")]);
}

#[tokio::test]
async fn a_reason_is_an_end_even_without_the_end_marker() {
    let server = Server::stream([content("a"), reason("stop")]).await;
    assert_eq!(good(server.openai()).await, [text("a"), finish("stop")]);
}

#[tokio::test]
async fn st_09_an_end_marker_without_a_reason_is_a_cut() {
    let server = Server::stream([content("a"), end()]).await;
    let (events, failure) = failed(server.openai()).await;
    assert_eq!(events, [text("a")]);
    assert_eq!((failure.code, failure.retryable), (Code::ProviderCut, true));
}

#[tokio::test]
async fn st_09_an_error_inside_the_stream_is_typed_and_ends_it() {
    let error = data(json!({"error": {"message": format!("Upstream died for {KEY}"), "code": 502}}));
    let server = Server::stream([content("a"), error, content("b"), reason("stop"), end()]).await;
    let (events, failure) = failed(server.openai()).await;
    assert_eq!(events, [text("a")]);
    assert_eq!((failure.code, failure.retryable, failure.status), (Code::ProviderError, true, Some(502)));
    assert_eq!(failure.message, "The model provider reported an error: Upstream died for [key]");
}

#[tokio::test]
async fn frames_that_are_no_json_are_a_provider_error() {
    let server = Server::stream(["data: hello\n\n".to_owned()]).await;
    assert_eq!(failed(server.openai()).await.1.code, Code::ProviderError);
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_refused_with_its_reason() {
    let server = Server::status(200, r#"{"error": {"message": "no such model"}}"#).await;
    assert!(failed(server.openai()).await.1.message.ends_with(": no such model"));
    let server = Server::status(200, r#"{"choices": []}"#).await;
    let failure = failed(server.openai()).await.1;
    assert!(!failure.retryable && failure.message.contains("base URL"), "{failure}");
}
