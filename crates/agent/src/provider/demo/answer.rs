//! What the demo says, and when it says what.
//!
//! Owns the choice by keyword; the longer texts are in `prose/`. Must never claim anything about the
//! user's words but what can be read off them: their quote, their count.

use std::time::Duration;

use serde_json::json;

use super::super::{Failure, ProviderEvent};
use crate::files::PromptFile;
use crate::tools::ToolSpec;

const LONG: &str = include_str!("prose/long.md");
const MARKDOWN: &str = include_str!("prose/markdown.md");
const CODE: &str = include_str!("prose/code.md");
const MENU: &str = include_str!("prose/menu.md");
const CONNECT: &str = include_str!("prose/connect.md");

/// The most characters of the user's text that are quoted.
const QUOTE_CHARS: usize = 160;
/// How long "slow" waits before its first word.
const SLOW: Duration = Duration::from_secs(4);
/// How long the tool seems to work.
const TOOL_TIME: Duration = Duration::from_millis(900);

/// A part of an answer, not yet cut into words.
pub(super) enum Piece {
    Text(String),
    Reasoning(String),
    Other(Result<ProviderEvent, Failure>),
    /// A pause before the next piece.
    Wait(Duration),
}

/// The answer to `asked`, the latest of `messages` messages in the prompt.
pub(super) fn pieces(asked: &str, files: &[PromptFile], messages: usize) -> Vec<Piece> {
    let wants = |words: &[&str]| {
        asked.split(|c: char| !c.is_alphanumeric()).any(|word| words.contains(&word.to_lowercase().as_str()))
    };
    let mut pieces = Vec::new();
    if wants(&["slow", "slowly"]) {
        pieces.push(Piece::Wait(SLOW));
    }
    if wants(&["reason", "reasoning", "think", "thinking"]) {
        pieces.push(Piece::Reasoning(reasoning(asked)));
    }
    if wants(&["error", "errors"]) {
        pieces.push(Piece::Text(ERROR.to_owned()));
        pieces.push(Piece::Other(Err(Failure::error("The demo model failed because it was asked to.", true))));
        return pieces;
    }
    pieces.push(Piece::Text(opening(asked)));
    pieces.extend(attached(files).map(Piece::Text));
    if wants(&["tool", "tools"]) {
        pieces.extend(tool(asked));
    } else if wants(&["code", "rust", "typescript"]) {
        pieces.push(Piece::Text(CODE.to_owned()));
    } else if wants(&["markdown", "table"]) {
        pieces.push(Piece::Text(MARKDOWN.to_owned()));
    } else if wants(&["long", "longer"]) {
        pieces.push(Piece::Text(LONG.to_owned()));
    } else if wants(&["slow", "slowly"]) {
        pieces.push(Piece::Text(SLOW_TEXT.to_owned()));
    } else if wants(&["reason", "reasoning", "think", "thinking"]) {
        pieces.push(Piece::Text(REASON_TEXT.to_owned()));
    } else {
        pieces.push(Piece::Text(help(messages)));
    }
    pieces.push(Piece::Other(Ok(ProviderEvent::Finish { reason: "stop".to_owned() })));
    pieces
}

/// The answer to a stage direction, as `(The user has opened the conversation.)`: nobody said it, so nothing is
/// quoted. `None` for everything else.
pub(super) fn greeting(asked: &str, tools: &[ToolSpec]) -> Option<Vec<Piece>> {
    asked.trim().strip_prefix('(')?.strip_suffix(')')?;
    let line = |tool: &ToolSpec| {
        let what = tool.description.split_inclusive(['.', ':']).next().unwrap_or_default();
        format!("- `{}`: {}\n", tool.name, what.trim_end_matches([':', '.']))
    };
    let tools: String = tools.iter().map(line).collect();
    let can = match tools.is_empty() {
        true => "Say something, and I will quote it.\n".to_owned(),
        false => format!("Use a word of what these tools are about, and I will call them:\n\n{tools}"),
    };
    let text =
        format!("Hello. I am the **demo model**; a real one would greet you in the words of this assistant. {can}");
    Some(vec![Piece::Text(text), Piece::Other(Ok(ProviderEvent::Finish { reason: "stop".to_owned() }))])
}

const ERROR: &str = "You asked for an error, so this answer breaks off in the middle. Watch what stays: these words \
                     are kept, the message";

const SLOW_TEXT: &str = "You asked me to be slow, so I kept quiet for four seconds first. A real model does the same \
    while it reads a long prompt. The message was already there, on every device, marked as being written; you could \
    have stopped it, reloaded the page or walked away, and nothing would have been lost.\n";

const REASON_TEXT: &str = "What you saw before this line is reasoning. Models that think aloud send it apart from the \
    answer, and Spool keeps it apart: it is stored as a part of its own, you can fold it away, and it is not part of \
    the message's text when you copy it or send it on.\n\nMine was written in advance. Connect a reasoning model and \
    the same place shows the real thing.\n";

/// Every answer but the broken one begins with the user's own words.
fn opening(asked: &str) -> String {
    match quote(asked) {
        Some(quote) => format!("> {quote}\n\n"),
        None => String::new(),
    }
}

/// What can be read off the files: their names, their kinds, whether their bytes came along.
fn attached(files: &[PromptFile]) -> Option<String> {
    let line = |file: &PromptFile| {
        let given = if file.bytes.is_some() { "a real model would see it" } else { "named only" };
        format!("- `{}`: {}, {} bytes, {given}\n", file.name.replace('`', "'"), file.media_type, file.size)
    };
    let lines: String = files.iter().map(line).collect();
    let files = if files.len() == 1 { "one file" } else { "these files" };
    (!lines.is_empty()).then(|| format!("You attached {files}:\n\n{lines}\n"))
}

/// The first line of what was said, verbatim, cut at a space where it is long.
pub(super) fn quote(asked: &str) -> Option<String> {
    let line = asked.lines().map(str::trim).find(|line| !line.is_empty())?;
    let cut = match line.char_indices().nth(QUOTE_CHARS) {
        None => line,
        Some((end, _)) => {
            let head = &line[..end];
            head.rfind(char::is_whitespace).map_or(head, |space| &head[..space])
        }
    };
    let more = cut.len() < asked.trim().len();
    Some(if more { format!("{cut} …") } else { cut.to_owned() })
}

fn help(messages: usize) -> String {
    if messages <= 1 {
        return format!(
            "Hello, and thank you for your message, which I have quoted rather than understood. I am the **demo \
             model** that ships with Spool. My sentences were written in advance, and nothing you type to me leaves \
             this server.\n\nWhat carries them is real. Each piece of this answer is stored before you see it. \
             Reload the page while I am talking, or open this thread in a second window: you will not miss a \
             word.\n\n{MENU}\n{CONNECT}"
        );
    }
    format!(
        "That arrived safely. With it I was given {messages} messages of this thread, in order, just as a real model \
         would be. I am still the **demo model**, so I can only quote you.\n\n{MENU}\n{CONNECT}"
    )
}

fn reasoning(asked: &str) -> String {
    let words = asked.split_whitespace().count();
    format!(
        "The message has {words} words and one of them asks me to think. I cannot, so I should say so plainly. \
         What would help instead? Showing where reasoning appears, that it streams before the answer, and that it \
         is stored apart from it. Then the answer itself, kept short.\n"
    )
}

/// A call with a real result: the words of the message, counted.
fn tool(asked: &str) -> Vec<Piece> {
    let words = asked.split_whitespace().count();
    let characters = asked.chars().count();
    let longest = asked
        .split(|c: char| !c.is_alphanumeric())
        .max_by_key(|word| word.chars().count())
        .filter(|word| word.chars().count() <= QUOTE_CHARS)
        .unwrap_or_default();
    let id = "demo_call_1".to_owned();
    let output = json!({"words": words, "characters": characters, "longest": longest});
    vec![
        Piece::Text("Let me count your words with a tool.\n\n".to_owned()),
        Piece::Other(Ok(ProviderEvent::ToolCall {
            id: id.clone(),
            tool: "count_words".to_owned(),
            input: json!({"message": "latest"}),
            by_provider: true,
        })),
        Piece::Wait(TOOL_TIME),
        Piece::Other(Ok(ProviderEvent::ToolResult { id, output: Some(output), error: None })),
        Piece::Text(format!(
            "Your message has **{words} words** and **{characters} characters**; the longest word is “{longest}”. \
             The count is real, although the tool is built into this demo. Its call and its result are entries of \
             this answer's log, in their place between the sentences, so every device shows them in the same \
             order.\n\nI took a word to be what stands between spaces. The source below shows how much more there \
             is to it.\n"
        )),
        Piece::Other(Ok(ProviderEvent::Source {
            title: "Unicode Text Segmentation (UAX #29)".to_owned(),
            url: "https://www.unicode.org/reports/tr29/".to_owned(),
            snippet: Some("How to find the boundaries of characters, words and sentences in any script.".to_owned()),
        })),
    ]
}
