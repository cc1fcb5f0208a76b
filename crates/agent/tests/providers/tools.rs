//! Tools: what both protocols are told of them, and calls that arrive whole, in pieces, or torn.

use super::*;

fn spec(name: &str, description: &str, input_schema: Value) -> ToolSpec {
    ToolSpec {
        name: name.into(),
        title: None,
        description: description.into(),
        input_schema,
        writes: false,
        idempotent: true,
        approvers: 1,
    }
}

fn search() -> ToolSpec {
    let schema = json!({"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]});
    spec("search", "Finds pages.", schema)
}

fn call(id: &str, tool: &str, input: Value) -> PromptCall {
    PromptCall { id: id.into(), tool: tool.into(), input }
}

/// A turn of two steps, the first with parallel calls, and a message that steered it.
fn called() -> Request {
    let step = |text: &str, calls| PromptMessage { calls, ..PromptMessage::new(Role::Assistant, text) };
    Request {
        model: "model-1".into(),
        messages: vec![
            PromptMessage::new(Role::User, "Find"),
            step("Two searches.", vec![call("a", "search", json!({"q": "1"})), call("b", "search", json!({"q": "2"}))]),
            PromptMessage::result("a", "found 1", false),
            PromptMessage::result("b", "timed out", true),
            // Torn arguments, and a tool that cannot exist.
            step("", vec![call("functions.go:0", "go to", json!("{\"torn"))]),
            PromptMessage::result("functions.go:0", "", true),
            PromptMessage::new(Role::User, "Go on"),
        ],
        tools: vec![search(), spec("now", "", json!({"type": "object"}))],
        stream_tool_input: true,
        ..Request::default()
    }
}

async fn body_of(server: Server, provider: impl Provider, request: Request) -> Value {
    provider.stream(request).collect::<Vec<_>>().await;
    server.seen().body
}

async fn openai_body(request: Request) -> Value {
    let server = Server::stream([reason("stop"), end()]).await;
    let provider = server.openai();
    body_of(server, provider, request).await
}

async fn anthropic_body(request: Request) -> Value {
    let server = Server::stream([event(json!({"type": "message_stop"}))]).await;
    let provider = server.anthropic();
    body_of(server, provider, request).await
}

#[tokio::test]
async fn tc_06_openai_gets_calls_and_results_as_messages_that_pair_by_id() {
    let body = openai_body(called()).await;
    let function = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let messages = json!([
        {"role": "user", "content": "Find"},
        {"role": "assistant", "content": "Two searches.", "tool_calls": [
            function("a", "search", r#"{"q":"1"}"#), function("b", "search", r#"{"q":"2"}"#)
        ]},
        {"role": "tool", "tool_call_id": "a", "content": "found 1"},
        {"role": "tool", "tool_call_id": "b", "content": "timed out"},
        {"role": "assistant", "content": null, "tool_calls": [
            function("functions.go:0", "go_to", r#"{"invalid_arguments":"{\"torn"}"#)
        ]},
        {"role": "tool", "tool_call_id": "functions.go:0", "content": ""},
        {"role": "user", "content": "Go on"},
    ]);
    assert_eq!(body["messages"], messages);
    let tools = json!([
        {"type": "function", "function": {"name": "search", "description": "Finds pages.", "parameters": search().input_schema}},
        {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
    ]);
    assert_eq!(body["tools"], tools);
    assert!(body.get("tool_choice").is_none());
}

#[tokio::test]
async fn tc_06_anthropic_gets_results_in_one_message_of_the_user_with_what_the_user_says_next() {
    let body = anthropic_body(called()).await;
    let torn = body["messages"][3]["content"][0]["id"].as_str().unwrap().to_owned();
    assert!(torn.starts_with("call_") && torn.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{torn}");
    let messages = json!([
        {"role": "user", "content": "Find"},
        {"role": "assistant", "content": [
            {"type": "text", "text": "Two searches."},
            {"type": "tool_use", "id": "a", "name": "search", "input": {"q": "1"}},
            {"type": "tool_use", "id": "b", "name": "search", "input": {"q": "2"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "found 1"},
            {"type": "tool_result", "tool_use_id": "b", "content": "timed out", "is_error": true},
        ]},
        // No empty text block: the API refuses it.
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": torn, "name": "go_to", "input": {"invalid_arguments": "{\"torn"}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": torn, "is_error": true},
            {"type": "text", "text": "Go on"},
        ]},
    ]);
    assert_eq!(body["messages"], messages);
    let tools = json!([
        {"name": "search", "description": "Finds pages.", "input_schema": search().input_schema},
        {"name": "now", "input_schema": {"type": "object"}},
    ]);
    assert_eq!((&body["tools"], &body["tool_choice"]), (&tools, &json!({"type": "auto"})));
}

#[tokio::test]
async fn tc_06_the_last_result_is_the_message_that_anthropic_answers() {
    let mut request = called();
    request.messages.truncate(4);
    let body = anthropic_body(request).await;
    assert_eq!(body["messages"].as_array().unwrap().len(), 3);
    assert_eq!(body["messages"][2]["content"][1]["tool_use_id"], "b");
}

#[tokio::test]
async fn a_message_that_says_nothing_is_left_out() {
    let mut request = called();
    request.messages.insert(4, PromptMessage::new(Role::Assistant, " \n"));
    assert_eq!(openai_body(request.clone()).await, openai_body(called()).await);
    assert_eq!(anthropic_body(request).await, anthropic_body(called()).await);
}

#[tokio::test]
async fn tc_09_the_choice_among_tools_is_told_in_the_words_of_each_protocol() {
    let named = || ToolChoice::Named("search".into());
    let cases = [
        (ToolChoice::Required, json!("required"), json!({"type": "any"})),
        (ToolChoice::None, json!("none"), json!({"type": "none"})),
        (
            named(),
            json!({"type": "function", "function": {"name": "search"}}),
            json!({"type": "tool", "name": "search"}),
        ),
    ];
    for (tool_choice, openai, anthropic) in cases {
        let request = || Request { tool_choice: tool_choice.clone(), ..called() };
        assert_eq!(openai_body(request()).await["tool_choice"], openai);
        assert_eq!(anthropic_body(request()).await["tool_choice"], anthropic);
    }
}

#[tokio::test]
async fn calls_of_the_past_are_shown_when_no_tool_is_offered_any_more() {
    let request = || Request { tools: Vec::new(), tool_choice: ToolChoice::Required, ..called() };
    let body = openai_body(request()).await;
    assert!(body.get("tools").is_none() && body.get("tool_choice").is_none(), "{body}");
    let body = anthropic_body(request()).await;
    let tools = json!([
        {"name": "go_to", "input_schema": {"type": "object"}}, {"name": "search", "input_schema": {"type": "object"}}
    ]);
    assert_eq!((&body["tools"], &body["tool_choice"]), (&tools, &json!({"type": "none"})));
}

/// A piece of a call as OpenAI sends it.
fn piece(index: u64, rest: Value) -> String {
    let mut call = json!({"index": index});
    call.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    delta(json!({"tool_calls": [call]}))
}

fn openai_pieces() -> Vec<String> {
    vec![
        content("Looking. "),
        piece(0, json!({"id": "a", "type": "function", "function": {"name": "search", "arguments": ""}})),
        piece(0, json!({"function": {"arguments": "{\"q\": "}})),
        piece(1, json!({"id": "b", "type": "function", "function": {"name": "search", "arguments": "{\"q\""}})),
        piece(0, json!({"function": {"arguments": "\"é\"}"}})),
        piece(1, json!({"function": {"arguments": ": 2}"}})),
    ]
}

fn anthropic_pieces() -> Vec<String> {
    let start =
        |index, id: &str| block_start(index, json!({"type": "tool_use", "id": id, "name": "search", "input": {}}));
    let input = |index, json: &str| block_delta(index, json!({"type": "input_json_delta", "partial_json": json}));
    vec![
        block_start(0, json!({"type": "text", "text": ""})),
        block_delta(0, json!({"type": "text_delta", "text": "Looking. "})),
        block_stop(0),
        start(1, "a"),
        input(1, ""),
        input(1, "{\"q\": "),
        start(2, "b"),
        input(2, "{\"q\""),
        input(1, "\"é\"}"),
        input(2, ": 2}"),
    ]
}

fn input_piece(id: &str, delta: &str) -> ProviderEvent {
    ProviderEvent::ToolInput { id: id.into(), tool: "search".into(), delta: delta.into() }
}

fn told() -> Vec<ProviderEvent> {
    vec![
        text("Looking. "),
        input_piece("a", "{\"q\": "),
        input_piece("b", "{\"q\""),
        input_piece("a", "\"é\"}"),
        input_piece("b", ": 2}"),
    ]
}

async fn run(provider: impl Provider, request: Request) -> Vec<Result<ProviderEvent, Failure>> {
    let all = provider.stream(request).collect();
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("the stream ends")
}

#[tokio::test]
async fn ar_08_arguments_are_told_as_they_arrive_where_that_is_wanted() {
    let calls =
        [tool_call("a", "search", json!({"q": "é"})), tool_call("b", "search", json!({"q": 2})), finish("tool_calls")];
    let whole: Vec<_> = told().into_iter().chain(calls.clone()).map(Ok).collect();
    let quiet: Vec<_> = [text("Looking. ")].into_iter().chain(calls).map(Ok).collect();
    let wants = |stream_tool_input| Request { stream_tool_input, ..request() };

    let frames = openai_pieces().into_iter().chain([reason("tool_calls"), end()]);
    let server = Server::stream(frames).await;
    assert_eq!(run(server.openai(), wants(true)).await, whole);
    assert_eq!(run(server.openai(), wants(false)).await, quiet);

    let stop = event(json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}));
    let ends = [block_stop(1), block_stop(2), stop, event(json!({"type": "message_stop"}))];
    let server = Server::stream(anthropic_pieces().into_iter().chain(ends)).await;
    assert_eq!(run(server.anthropic(), wants(true)).await, whole);
    assert_eq!(run(server.anthropic(), wants(false)).await, quiet);
}

#[tokio::test]
async fn st_09_a_call_that_is_cut_in_the_middle_is_never_made() {
    let broken = |frames: Vec<String>| Reply {
        status: 200,
        kind: "text/event-stream",
        chunks: frames.into_iter().map(Into::into).collect(),
        end: End::Break,
    };
    let wants = || Request { stream_tool_input: true, ..request() };
    let mut expected: Vec<_> = told().into_iter().map(Ok).collect();
    let server = Server::start(broken(openai_pieces())).await;
    let mut events = run(server.openai(), wants()).await;
    assert_eq!(events.pop().unwrap().unwrap_err().code, Code::ProviderCut);
    assert_eq!(events, expected);

    // Anthropic closes each block, so the first call is whole; whether it is run is for the turn to say,
    // which sees the failure.
    let mut frames = anthropic_pieces();
    frames.push(block_stop(1));
    expected.push(Ok(tool_call("a", "search", json!({"q": "é"}))));
    let server = Server::start(broken(frames)).await;
    let mut events = run(server.anthropic(), wants()).await;
    assert_eq!(events.pop().unwrap().unwrap_err().code, Code::ProviderCut);
    assert_eq!(events, expected);
}

#[tokio::test]
async fn the_name_of_a_tool_may_come_after_its_first_arguments() {
    let server = Server::stream([
        piece(0, json!({"id": "a", "function": {"arguments": "{\"q\""}})),
        piece(0, json!({"function": {"name": "search", "arguments": ": 2}"}})),
        reason("stop"),
        end(),
    ])
    .await;
    // A reason of `stop` behind a call is a habit of some servers.
    let expected = [input_piece("a", "{\"q\": 2}"), tool_call("a", "search", json!({"q": 2})), finish("tool_calls")];
    assert_eq!(run(server.openai(), Request { stream_tool_input: true, ..request() }).await, expected.map(Ok));
}

#[tokio::test]
async fn arguments_that_are_taken_back_are_those_that_came_last() {
    let server = Server::stream([
        piece(0, json!({"id": "a", "function": {"name": "search", "arguments": "{\"q\": \"é"}})),
        piece(0, json!({"function": {"arguments": {}}})),
        reason("tool_calls"),
        end(),
    ])
    .await;
    let expected = [input_piece("a", "{\"q\": \"é"), tool_call("a", "search", json!({})), finish("tool_calls")];
    assert_eq!(run(server.openai(), Request { stream_tool_input: true, ..request() }).await, expected.map(Ok));
}

#[tokio::test]
async fn tc_06_a_call_gets_another_id_than_the_calls_of_its_prompt() {
    let server = Server::stream([
        piece(0, json!({"id": "a", "function": {"name": "search", "arguments": "{}"}})),
        reason("tool_calls"),
        end(),
    ])
    .await;
    let events = run(server.openai(), called()).await;
    let call = events.iter().find_map(|event| match event {
        Ok(ProviderEvent::ToolCall { id, .. }) => Some(id.clone()),
        _ => None,
    });
    assert_eq!(call.as_deref(), Some("a_1"));
}

#[tokio::test]
async fn tc_06_an_answer_cut_off_by_its_length_keeps_its_torn_call() {
    let server = Server::stream([
        piece(0, json!({"id": "a", "function": {"name": "search", "arguments": "{\"q\": \"lo"}})),
        reason("length"),
        end(),
    ])
    .await;
    let expected = [tool_call("a", "search", json!("{\"q\": \"lo")), finish("length")];
    assert_eq!(good(server.openai()).await, expected);

    let server = Server::stream([
        block_start(0, json!({"type": "tool_use", "id": "a", "name": "search", "input": {}})),
        block_delta(0, json!({"type": "input_json_delta", "partial_json": "{\"q\": \"lo"})),
        block_stop(0),
        event(json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}})),
        event(json!({"type": "message_stop"})),
    ])
    .await;
    assert_eq!(good(server.anthropic()).await, expected);
}
