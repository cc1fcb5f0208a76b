//! What the demo answers, without its pauses.

use futures_util::StreamExt;
use serde_json::json;
use spool_protocol::Code;

use super::super::PromptMessage;
use super::*;
use crate::files::PromptFile;

mod tools;

fn request(text: &str) -> Request {
    Request { messages: vec![PromptMessage::new(Role::User, text)], ..Request::default() }
}

async fn ask(text: &str) -> Vec<Result<ProviderEvent, Failure>> {
    Demo::new(DemoOptions { words_per_second: 0.0 }).stream(request(text)).collect().await
}

fn text_of(events: &[Result<ProviderEvent, Failure>]) -> String {
    let texts = events.iter().filter_map(|event| match event {
        Ok(ProviderEvent::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

#[tokio::test]
async fn the_greeting_quotes_the_user_and_says_how_to_connect_a_model() {
    let events = ask("Hello there!").await;
    let text = text_of(&events);
    for part in
        ["> Hello there!\n", "demo model", "OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "SPOOL_MODEL"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(events.last(), Some(&Ok(ProviderEvent::Finish { reason: "stop".into() })));
    let words = text.split_whitespace().count() as u64;
    let usage = Usage { input_tokens: 2, output_tokens: words, ..Usage::default() };
    assert_eq!(events[events.len() - 2], Ok(ProviderEvent::Usage(usage)));
}

#[tokio::test]
async fn a_later_message_gets_a_shorter_greeting_that_counts_the_prompt() {
    let mut request = request("one");
    request.messages.push(PromptMessage::new(Role::Assistant, "two"));
    request.messages.push(PromptMessage::new(Role::User, "three"));
    let events: Vec<_> = Demo::new(DemoOptions { words_per_second: 0.0 }).stream(request).collect().await;
    assert!(text_of(&events).contains("given 3 messages"));
}

#[tokio::test]
async fn keywords_choose_the_answer_whatever_their_case() {
    let cases = [
        ("something LONG please", "# The life of an answer", 400),
        ("Markdown?", "| What happens | What you lose |", 100),
        ("show me code", "```rust", 100),
        ("show me TypeScript", "```typescript", 100),
        ("be slow", "four seconds", 40),
    ];
    for (asked, part, words) in cases {
        let text = text_of(&ask(asked).await);
        assert!(text.contains(part), "{asked}: {text}");
        assert!(text.split_whitespace().count() > words, "{asked}");
    }
    // A keyword inside another word is none.
    assert!(text_of(&ask("I belong to the decoders of stools").await).contains("Put one of these words"));
}

#[tokio::test]
async fn ms_09_thinking_comes_first_and_is_counted() {
    let events = ask("please THINK").await;
    assert!(matches!(events[0], Ok(ProviderEvent::Reasoning(_))));
    assert!(!text_of(&events).is_empty());
    let Ok(ProviderEvent::Usage(usage)) = &events[events.len() - 2] else { panic!("{events:?}") };
    assert!(usage.reasoning_tokens.unwrap() > 10 && usage.output_tokens > usage.reasoning_tokens.unwrap());
}

#[tokio::test]
async fn a_tool_call_has_a_real_result_that_the_text_uses() {
    let events = ask("use a tool, bitte schön").await;
    let call = events.iter().position(|event| matches!(event, Ok(ProviderEvent::ToolCall { .. }))).unwrap();
    let output = json!({"words": 5, "characters": 23, "longest": "schön"});
    let expected = ProviderEvent::ToolResult { id: "demo_call_1".into(), output: Some(output), error: None };
    assert_eq!(events[call + 1], Ok(expected));
    assert!(text_of(&events[call..]).contains("**5 words** and **23 characters**; the longest word is “schön”"));
    assert!(events.iter().any(|event| matches!(event, Ok(ProviderEvent::Source { .. }))));
}

#[tokio::test]
async fn st_09_an_asked_for_error_comes_after_about_twenty_words() {
    let events = ask("error").await;
    assert!((15..=25).contains(&text_of(&events).split_whitespace().count()));
    let failure = events.last().unwrap().as_ref().unwrap_err();
    assert_eq!((failure.code, failure.retryable), (Code::ProviderError, true));
}

#[tokio::test]
async fn long_messages_are_quoted_briefly_and_verbatim() {
    let text = text_of(&ask(&format!("first {}", "wörd ".repeat(100))).await);
    let quote = text.lines().next().unwrap();
    assert!(quote.starts_with("> first wörd wörd") && quote.ends_with("wörd …"), "{quote}");
    assert!(quote.chars().count() < 170);
    assert!(text_of(&ask("\n one\ntwo").await).starts_with("> one …\n\n"));
    assert!(text_of(&ask("   ").await).starts_with("Hello"));
}

#[tokio::test]
async fn attached_files_are_named_with_what_a_model_would_see() {
    let file = |name: &str, media_type: &str, bytes: Option<&[u8]>| PromptFile {
        id: name.into(),
        name: name.into(),
        media_type: media_type.into(),
        size: 3,
        bytes: bytes.map(Into::into),
    };
    let mut request = request("");
    request.messages[0].files =
        vec![file("a`b.png", "image/png", Some(b"abc")), file("z.zip", "application/zip", None)];
    let provider = Demo::new(DemoOptions { words_per_second: 0.0 });
    let text = text_of(&provider.stream(request).collect::<Vec<_>>().await);
    assert!(text.starts_with("You attached these files:\n\n- `a'b.png`: image/png, 3 bytes, a real model"), "{text}");
    assert!(text.contains("- `z.zip`: application/zip, 3 bytes, named only\n"), "{text}");
}

#[test]
fn st_15_words_keep_every_character() {
    for text in ["", " ", "a", "a b", "\n a\r\n\r\nb  ", "  lead", "👩‍👩‍👧 x\u{a0}y"] {
        assert_eq!(words(text).collect::<String>(), text);
    }
    assert_eq!(words(" a  b\n\nc").collect::<Vec<_>>(), [" ", "a  ", "b\n\n", "c"]);
}

#[tokio::test]
async fn a_script_is_followed_to_the_byte() {
    let deltas = ["\n", "  a", "data: x", "\r\n", "👩\u{200d}"];
    let script = json!({"reasoning": ["hm"], "deltas": deltas});
    let events = ask(&format!("/script {script}")).await;
    assert_eq!(events[0], Ok(ProviderEvent::Reasoning("hm".into())));
    let texts: Vec<_> = events[1..=deltas.len()].to_vec();
    assert_eq!(texts, deltas.map(|delta| Ok(ProviderEvent::Text(delta.into()))));
    assert_eq!(events.len(), deltas.len() + 3);
}

#[tokio::test]
async fn st_09_a_script_fails_or_is_cut_where_it_says() {
    for (field, code) in [("failAfter", Code::ProviderError), ("cutAfter", Code::ProviderCut)] {
        let events = ask(&format!("/script {}", json!({"deltas": ["a", "b", "c"], field: 2}))).await;
        assert_eq!(text_of(&events), "ab");
        let failure = events.last().unwrap().as_ref().unwrap_err();
        assert_eq!((failure.code, failure.retryable), (code, true));
    }
    let failure = ask("/script {\"detlas\": []}").await.remove(0).unwrap_err();
    assert!(!failure.retryable && failure.message.contains("detlas"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn the_pace_is_the_one_asked_for_and_slow_waits_first() {
    let clock = tokio::time::Instant::now();
    let demo = Demo::new(DemoOptions { words_per_second: 50.0 });
    let events: Vec<_> = demo.stream(request("hello")).collect().await;
    let words = events.iter().filter(|event| matches!(event, Ok(ProviderEvent::Text(_)))).count() as f64;
    let pace = words / clock.elapsed().as_secs_f64();
    assert!((40.0..60.0).contains(&pace), "{pace}");

    let clock = tokio::time::Instant::now();
    demo.stream(request("slow")).next().await.unwrap().unwrap();
    assert!(clock.elapsed() >= Duration::from_secs(4));

    let clock = tokio::time::Instant::now();
    let script = "/script {\"deltas\": [\"a\", \"b\"], \"delayMs\": 20, \"hangMs\": 1000}";
    let _: Vec<_> = Demo::new(DemoOptions { words_per_second: 0.0 }).stream(request(script)).collect().await;
    assert_eq!(clock.elapsed().as_millis(), 1040);
}
