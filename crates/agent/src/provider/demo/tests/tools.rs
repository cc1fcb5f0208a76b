//! What the demo does with tools, step by step.

use serde_json::Value;

use super::super::super::PromptCall;
use super::*;
use crate::tools::{ToolChoice, ToolSpec};

fn tool(name: &str, description: &str, properties: Value, required: &[&str]) -> ToolSpec {
    ToolSpec {
        name: name.into(),
        title: None,
        description: description.into(),
        input_schema: json!({"type": "object", "properties": properties, "required": required}),
        writes: false,
        idempotent: true,
        approvers: 1,
    }
}

fn tools() -> Vec<ToolSpec> {
    let properties = json!({
        "query": {"type": "string"},
        "city": {"type": "string", "enum": ["Haifa", "Tel Aviv"]},
        "maxPrice": {"type": "integer"},
        "bedrooms": {"type": "integer"},
        "status": {"type": "string", "enum": ["open", "sold"]},
        "limit": {"type": "integer", "minimum": 1},
    });
    let text = json!({"query": {"type": "string"}});
    let writes = json!({"kind": {"type": "string", "description": "`plan`, `report` or `code`."}, "title": {"type": "string"}, "content": {"type": "string"}});
    vec![
        tool("webSearch", "Finds pages of the web.", text.clone(), &["query"]),
        tool("searchProperties", "Search the listed properties by city and price.", properties, &["limit"]),
        tool("read_letter", "Reads letters of the mail.", json!({"letterId": {"type": "string"}}), &["letterId"]),
        tool("ask_human", "Asks a question and waits for the answer, which is long.", text.clone(), &["query"]),
        tool("searchProviders", "Finds lawyers, brokers and lenders.", text, &["query"]),
        ToolSpec {
            writes: true,
            ..tool("write_artifact", "Writes a document or report.", writes, &["kind", "title", "content"])
        },
    ]
}

fn planner() -> ToolSpec {
    let properties = json!({"title": {"type": "string"}, "content": {"type": "string"}});
    ToolSpec {
        writes: true,
        ..tool("submit_plan", "Asks a person to approve a plan.", properties, &["title", "content"])
    }
}

/// A turn that goes on until the demo calls nothing more; `answer` is what the tools answer.
struct Turn {
    request: Request,
    /// What may be called once a plan is approved.
    then: Vec<ToolSpec>,
    calls: Vec<(String, Value)>,
    text: String,
}

impl Turn {
    fn new(request: Request) -> Turn {
        Turn { request, then: Vec::new(), calls: Vec::new(), text: String::new() }
    }

    async fn of(text: &str, tools: Vec<ToolSpec>, answer: impl Fn(&PromptCall) -> (String, bool)) -> Turn {
        let mut turn = Turn::new(Request { tools, ..request(text) });
        turn.then = self::tools();
        while turn.step(&answer).await {
            assert!(turn.calls.len() < 20, "{:?}", turn.calls);
        }
        turn
    }

    /// One answer and its results; whether it called anything.
    async fn step(&mut self, answer: &impl Fn(&PromptCall) -> (String, bool)) -> bool {
        let provider = Demo::new(DemoOptions { words_per_second: 0.0 });
        let events: Vec<_> = provider.stream(self.request.clone()).collect().await;
        let calls: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Ok(ProviderEvent::ToolCall { id, tool, input, by_provider: false }) => {
                    Some(PromptCall { id: id.clone(), tool: tool.clone(), input: input.clone() })
                }
                _ => None,
            })
            .collect();
        let calls_plan = calls.iter().any(|call| call.tool == "submit_plan");
        let reason = if calls.is_empty() { "stop" } else { "tool_calls" };
        assert_eq!(events.last(), Some(&Ok(ProviderEvent::Finish { reason: reason.into() })));
        self.text = text_of(&events);
        self.calls.extend(calls.iter().map(|call| (call.tool.clone(), call.input.clone())));
        let results: Vec<_> = calls
            .iter()
            .map(|call| {
                let (text, failed) = answer(call);
                PromptMessage::result(&call.id, text, failed)
            })
            .collect();
        self.request.messages.push(PromptMessage { calls, ..PromptMessage::new(Role::Assistant, self.text.clone()) });
        let went_on = !results.is_empty();
        if calls_plan && results.iter().any(|result| result.text.contains("approved")) {
            self.request.tools = self.then.clone();
        }
        self.request.messages.extend(results);
        went_on
    }

    fn called(&self) -> Vec<&str> {
        self.calls.iter().map(|(tool, _)| tool.as_str()).collect()
    }
}

fn found(_: &PromptCall) -> (String, bool) {
    (json!({"hits": [{"title": "Old Port", "city": "Haifa", "price": 5}]}).to_string(), false)
}

#[tokio::test]
async fn tools_are_chosen_by_the_words_they_share_with_the_question() {
    let cases: [(&str, &[&str]); 8] = [
        ("Show me a property in Haifa", &["searchProperties"]),
        ("Which providers and properties are there?", &["searchProperties", "searchProviders"]),
        ("I need lawyers and brokers", &["searchProviders"]),
        ("Create an artifact about birds", &["write_artifact"]),
        // What writes is never called by its description alone.
        ("Write a report and a document", &[]),
        // Neither is what needs an id, or what asks somebody.
        ("Which letters are in the mail?", &[]),
        ("A long question and its answer", &[]),
        ("Hello there", &[]),
    ];
    for (asked, expected) in cases {
        let turn = Turn::of(asked, tools(), found).await;
        assert_eq!(turn.called(), expected, "{asked}");
    }
}

#[tokio::test]
async fn the_answer_quotes_what_came_back_and_says_that_it_failed() {
    let turn = Turn::of("a property please", tools(), found).await;
    let part =
        "`searchProperties` was called with `{\"limit\":1}`. It answered:\n\n- **Old Port** city: Haifa, price: 5\n";
    assert!(turn.text.contains(part), "{}", turn.text);
    let turn = Turn::of("a property please", tools(), |_| ("no such `table`\nreally".into(), true)).await;
    assert!(turn.text.contains("It failed:\n\n> no such `table`\n> really\n"), "{}", turn.text);
}

#[tokio::test]
async fn arguments_come_from_the_question_and_the_schema() {
    let turn = Turn::of("a property in Tel Aviv under 2M, 3 bedrooms", tools(), found).await;
    let expected = json!({"city": "Tel Aviv", "maxPrice": 2_000_000, "bedrooms": 3, "limit": 1});
    assert_eq!(turn.calls[0].1, expected);
    let strange = json!({
        "deep": {"type": "object", "properties": {"list": {"type": "array", "minItems": 1, "items": {"type": "string"}}}, "required": ["list"]},
        "flag": {"type": "boolean"}, "one": {"const": 7}, "maybe": {"type": ["null", "string"], "maxLength": 4}, "any": {},
    });
    let odd = tool("odd_weather", "", strange, &["deep", "flag", "one", "maybe", "any"]);
    let turn = Turn::of("weather today", vec![odd], found).await;
    let expected = json!({"deep": {"list": ["weather today"]}, "flag": false, "one": 7, "maybe": "weat", "any": {}});
    assert_eq!(turn.calls[0].1, expected);
}

#[tokio::test]
async fn ag_05_a_conversation_that_nobody_began_is_greeted_with_what_can_be_done() {
    let turn = Turn::of("(The user looks at a property and said nothing yet.)", tools(), found).await;
    assert!(turn.calls.is_empty());
    assert!(turn.text.starts_with("Hello. I am the **demo model**"), "{}", turn.text);
    assert!(turn.text.contains("- `searchProperties`: Search the listed properties by city and price\n"));
}

#[tokio::test]
async fn tc_09_the_choice_of_the_request_is_kept() {
    for (tool_choice, expected) in [
        (ToolChoice::None, None),
        (ToolChoice::Required, Some("webSearch")),
        (ToolChoice::Named("write_artifact".into()), Some("write_artifact")),
    ] {
        let request = Request { tools: tools(), tool_choice, ..request("Hello") };
        let mut turn = Turn::new(request);
        turn.step(&found).await;
        assert_eq!(turn.called().first().copied(), expected);
    }
}

#[tokio::test]
async fn a_plan_comes_first_and_exactly_the_approved_one_is_carried_out() {
    let planning = || vec![tools().remove(0), planner()];
    let decided = |decision: Value| {
        move |call: &PromptCall| match call.tool.as_str() {
            "submit_plan" => (decision.to_string(), false),
            _ => found(call),
        }
    };
    let turn = Turn::of("What is escrow?", planning(), decided(json!({"status": "approved", "said": "go"}))).await;
    assert_eq!(turn.called(), ["submit_plan", "webSearch", "write_artifact"]);
    assert!(turn.calls[0].1["content"].as_str().unwrap().contains("1. Search for: What is escrow?\n"));
    assert_eq!(turn.calls[1].1, json!({"query": "What is escrow?"}));
    let report = &turn.calls[2].1;
    assert_eq!((&report["kind"], &report["title"]), (&json!("report"), &json!("Report: What is escrow?")));
    assert!(report["content"].as_str().unwrap().contains("- **Old Port** city: Haifa"), "{report}");

    let edited = json!({"status": "approved", "content": "1. Search for: deposits\n2. Search for: banks"});
    let turn = Turn::of("What is escrow?", planning(), decided(edited)).await;
    assert_eq!(turn.called(), ["submit_plan", "webSearch", "webSearch", "write_artifact"]);
    assert_eq!((&turn.calls[1].1["query"], &turn.calls[2].1["query"]), (&json!("deposits"), &json!("banks")));
}

#[tokio::test]
async fn a_plan_is_made_where_nothing_else_may_write_or_where_one_is_asked_for() {
    let everything = || tools().into_iter().chain([planner()]).collect::<Vec<_>>();
    let first = |asked: &'static str| async move { Turn::of(asked, everything(), found).await.calls.first().cloned() };
    assert_eq!(first("Hello there").await, None);
    assert_eq!(first("Make a plan for escrow").await.unwrap().0, "submit_plan");
    let told = Request { tools: everything(), system: Some("Use submit_plan first.".into()), ..request("Hello there") };
    let mut turn = Turn::new(told);
    turn.step(&found).await;
    assert_eq!(turn.called(), ["submit_plan"]);
}

#[tokio::test]
async fn a_refused_plan_comes_again_with_the_reason_and_not_for_ever() {
    let refusals =
        [("Rejected: too short", true), ("{\"status\": \"rejected\", \"said\": \"Rejected: too short\"}", false)];
    for (refusal, failed) in refusals {
        let turn = Turn::of("What is escrow?", vec![planner()], |_| (refusal.into(), failed)).await;
        assert_eq!(turn.called(), ["submit_plan"; 3]);
        assert!(turn.calls[1].1["content"].as_str().unwrap().contains("refused: Rejected: too short\n"));
        assert!(turn.text.contains("3 plans were refused"));
    }
}

#[tokio::test]
async fn a_script_calls_what_it_says_and_goes_on_with_the_results() {
    let script = json!({
        "deltas": ["calling"], "toolCalls": [{"tool": "a", "input": {"n": 1}}, {"tool": "nope"}],
        "then": {"deltas": ["got "], "sayResults": true},
    });
    let answer = |call: &PromptCall| (format!("[{}]", call.tool), false);
    let turn = Turn::of(&format!("/script {script}"), tools(), answer).await;
    assert_eq!(turn.calls, [("a".to_owned(), json!({"n": 1})), ("nope".to_owned(), Value::Null)]);
    assert_eq!(turn.text, "got [a][nope]");

    let script = json!({"steps": [
        {"toolCalls": [{"tool": "a"}]}, {"toolCalls": [{"tool": "b"}, {"tool": "b"}]}, {"deltas": ["done"]},
    ]});
    let turn = Turn::of(&format!("/script {script}"), tools(), answer).await;
    assert_eq!((turn.called(), turn.text.as_str()), (vec!["a", "b", "b"], "done"));
    let ids: std::collections::BTreeSet<_> =
        turn.request.messages.iter().flat_map(|message| &message.calls).map(|call| &call.id).collect();
    assert_eq!(ids.len(), 3);
}

#[tokio::test]
async fn ar_08_arguments_are_told_as_they_are_written() {
    let script = "/script {\"toolCalls\": [{\"tool\": \"a\", \"input\": {\"text\": \"one two\"}}]}";
    let request = Request { stream_tool_input: true, ..request(script) };
    let events: Vec<_> = Demo::default().stream(request).collect().await;
    let pieces: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Ok(ProviderEvent::ToolInput { id, tool, delta }) => Some((id.as_str(), tool.as_str(), delta.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(pieces, [("demo_call_1", "a", "{\"text\":\"one "), ("demo_call_1", "a", "two\"}")]);
    assert!(matches!(&events[2], Ok(ProviderEvent::ToolCall { id, .. }) if id == "demo_call_1"));
}
