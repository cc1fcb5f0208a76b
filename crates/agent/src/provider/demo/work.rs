//! What the demo does with tools: it calls those that share words with the question, and quotes what they say.
//!
//! Owns the order of the work: a plan first where one has to be submitted, then the lookups, then a report
//! where the plan was one, then the answer. Everything follows from the request, so a turn that is taken up
//! again after a crash goes on where it was. Must never claim to understand a result: it quotes.

use serde_json::Value;

use super::super::calls::Ids;
use super::super::{PromptCall, PromptMessage, ProviderEvent, Request, Role};
use super::answer::{Piece, quote};
use super::choice::{changes, chosen, looks_up, words};
use super::input::Material;
use super::quotation;
use crate::tools::{ToolChoice, ToolSpec};

/// The tool that asks a person to approve a plan.
const PLAN: &str = "submit_plan";
/// Plans that one question gets before the demo gives up.
const PLANS: usize = 3;
/// Lookups that one plan gets.
const LOOKUPS: usize = 3;
/// How a line of a plan begins that says what to look up.
const LOOK_UP: &str = "Search for: ";

/// A call since the latest message of the user, with its result.
struct Made<'a> {
    call: &'a PromptCall,
    text: &'a str,
    failed: bool,
}

/// The answer to `asked` with the tools of `request`, up to its next calls or to its end. `None` where tools
/// have nothing to do with it.
pub(super) fn pieces(request: &Request, asked: &str) -> Option<Vec<Piece>> {
    // A stage direction is nobody's question; only a choice that leaves no other way calls something for it.
    let directed = asked.trim().starts_with('(') && matches!(request.tool_choice, ToolChoice::Auto | ToolChoice::None);
    if request.tools.is_empty() || (directed && asked.trim().ends_with(')')) {
        return None;
    }
    let made = made(&request.messages);
    let plans: Vec<&Made<'_>> = made.iter().filter(|made| made.call.tool == PLAN).collect();
    let approved = plans.iter().rev().find(|plan| approves(plan));
    if let (None, Some(planner)) = (approved, planner(request, asked)) {
        return Some(plan(request, planner, asked, &plans));
    }
    let report = approved.and_then(|_| request.tools.iter().find(|tool| reports(tool)));
    let found: Vec<&Made<'_>> = made.iter().filter(|made| made.call.tool != PLAN).collect();
    if found.is_empty() {
        let calls = lookups(request, asked, approved.copied(), report);
        if !calls.is_empty() {
            let names: Vec<_> = calls.iter().map(|(tool, _)| format!("`{}`", tool.name)).collect();
            let opening = format!("I look that up with {}.\n\n", names.join(" and "));
            return Some(called(request, opening, calls));
        }
        approved?;
    }
    if let Some(report) = report.filter(|report| found.iter().all(|made| made.call.tool != report.name)) {
        let title = format!("Report: {}", title(asked));
        let content = report_of(&title, asked, &found);
        let input = Material { question: asked, title: &title, content: &content, kind: "report" };
        let input = input.object(&report.input_schema);
        return Some(called(request, "I write down what I found.\n\n".to_owned(), vec![(report, input)]));
    }
    Some(told(asked, &found))
}

fn made(messages: &[PromptMessage]) -> Vec<Made<'_>> {
    let from = messages.iter().rposition(|message| message.role == Role::User).unwrap_or_default();
    let since = &messages[from..];
    let result = |call: &PromptCall| {
        since.iter().find_map(|message| {
            let answered = message.answers.as_ref().filter(|answered| answered.call_id == call.id)?;
            Some((message.text.as_str(), answered.failed))
        })
    };
    let calls = since.iter().flat_map(|message| &message.calls);
    calls.filter_map(|call| result(call).map(|(text, failed)| Made { call, text, failed })).collect()
}

/// The tool that submits a plan, where a plan is due: where the instructions name the tool or the question asks
/// for a plan, and as long as nothing else that changes anything may be called.
fn planner<'a>(request: &'a Request, asked: &str) -> Option<&'a ToolSpec> {
    let planning = request.tools.iter().all(|tool| !changes(tool) || tool.name == PLAN || tool.name.contains("ask"));
    let told = request.system.as_deref().is_some_and(|system| system.contains(PLAN));
    let wanted = planning || told || words(asked).contains("plan");
    let due = wanted && request.tool_choice != ToolChoice::None;
    request.tools.iter().find(|tool| due && tool.name == PLAN)
}

/// Whether the result of a plan lets it be carried out. A person who said no is a result like any other.
fn approves(plan: &Made<'_>) -> bool {
    !plan.failed && status(plan).is_none_or(|status| status == "approved")
}

fn status(plan: &Made<'_>) -> Option<String> {
    serde_json::from_str::<Value>(plan.text).ok()?["status"].as_str().map(str::to_owned)
}

/// Why a plan was refused: what the person said, if they said something.
fn reason(plan: &Made<'_>) -> String {
    let result: Value = serde_json::from_str(plan.text).unwrap_or_default();
    let said = ["said", "reason", "error"].into_iter().find_map(|field| result[field].as_str());
    one_line(said.unwrap_or(if result.is_object() { "" } else { plan.text }))
}

/// Submits a plan; a refused one comes again with the reason in it, a few times.
fn plan(request: &Request, planner: &ToolSpec, asked: &str, refused: &[&Made<'_>]) -> Vec<Piece> {
    if refused.len() >= PLANS {
        return over(format!("{PLANS} plans were refused, so I stop here. Tell me what to do instead.\n"));
    }
    let title = format!("Plan: {}", title(asked));
    let reason = refused.last().map(|plan| reason(plan)).filter(|reason| !reason.is_empty());
    let changed = reason.map(|reason| format!("The plan before this one was refused: {reason}\n\n"));
    let content = format!(
        "# {title}\n\n{}1. {LOOK_UP}{}\n2. Read what was found.\n3. Write a report that quotes it.\n\nThe demo model \
         wrote this plan from a form. Change a line that begins with “{}” or add one, and exactly that is looked \
         up.\n",
        changed.unwrap_or_default(),
        one_line(asked),
        LOOK_UP.trim_end(),
    );
    let input = Material { question: asked, title: &title, content: &content, kind: "plan" };
    let input = input.object(&planner.input_schema);
    let opening = match refused.is_empty() {
        true => "This wants a plan first. Read it, change it if you like, and approve it.\n\n",
        false => "Here is another plan.\n\n",
    };
    called(request, opening.to_owned(), vec![(planner, input)])
}

/// What is called for a question, or for each line of an approved plan.
fn lookups<'a>(
    request: &'a Request, asked: &str, approved: Option<&Made<'_>>, report: Option<&ToolSpec>,
) -> Vec<(&'a ToolSpec, Value)> {
    if request.tool_choice == ToolChoice::None {
        return Vec::new();
    }
    let input = |tool: &'a ToolSpec, question: &str| {
        let title = title(question);
        let material = Material { question, title: &title, content: question, kind: "" };
        (tool, material.object(&tool.input_schema))
    };
    let Some(plan) = approved else {
        let chosen = chosen(request, asked).into_iter().filter(|tool| tool.name != PLAN);
        return chosen.map(|tool| input(tool, asked)).collect();
    };
    // The best for the question among those that look something up, and the first of them if none is.
    let named = chosen(request, asked).into_iter().find(|tool| looks_up(tool));
    let first = || request.tools.iter().find(|tool| looks_up(tool) && report.is_none_or(|report| report != *tool));
    let Some(tool) = named.or_else(first) else { return Vec::new() };
    lines(plan).iter().take(LOOKUPS).map(|line| input(tool, line)).collect()
}

/// What the approved plan says to look up. A person may have changed it, so the result counts before the call.
fn lines(plan: &Made<'_>) -> Vec<String> {
    let result = serde_json::from_str(plan.text).unwrap_or_else(|_| Value::String(plan.text.to_owned()));
    let mut lines = Vec::new();
    for text in [&result, &plan.call.input] {
        look_up_lines(text, &mut lines);
        if !lines.is_empty() {
            break;
        }
    }
    lines
}

fn look_up_lines(value: &Value, lines: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let says =
                text.lines().filter_map(|line| line.split_once(LOOK_UP)).filter(|(before, _)| !before.contains('“'));
            lines.extend(says.map(|(_, what)| what.trim().to_owned()).filter(|what| !what.is_empty()));
        }
        Value::Array(items) => items.iter().for_each(|item| look_up_lines(item, lines)),
        Value::Object(fields) => fields.values().for_each(|field| look_up_lines(field, lines)),
        _ => {}
    }
}

/// Whether a tool makes an artifact, as its name has it.
fn reports(tool: &ToolSpec) -> bool {
    let words = words(&tool.name);
    words.contains("artifact") && (words.contains("create") || words.contains("write"))
}

fn report_of(title: &str, asked: &str, found: &[&Made<'_>]) -> String {
    let mut report = format!("# {title}\n\nThe question was: {}\n\n", one_line(asked));
    if found.is_empty() {
        report.push_str("Nothing was looked up: no tool of this assistant finds anything.\n\n");
    }
    for (number, made) in found.iter().enumerate() {
        let asked = made.call.input.as_object().into_iter().flatten().find_map(|(_, value)| value.as_str());
        report.push_str(&format!("## {}. {}\n\n", number + 1, one_line(asked.unwrap_or(&made.call.tool))));
        report.push_str(&said(made));
    }
    report.push_str("The demo model put this together from quotations. It did not judge them.\n");
    report
}

fn told(asked: &str, found: &[&Made<'_>]) -> Vec<Piece> {
    let mut text = quote(asked).map(|quote| format!("> {quote}\n\n")).unwrap_or_default();
    for made in found {
        text.push_str(&format!("`{}` was called with `{}`. ", made.call.tool, short(&made.call.input)));
        text.push_str(&said(made));
    }
    text.push_str(
        "I am the **demo model**: I chose by words that the question and the tools share, and I quote what came back. \
         A real model would now tell you what it means.\n",
    );
    over(text)
}

fn said(made: &Made<'_>) -> String {
    if made.failed {
        return format!("It failed:\n\n{}", quotation::of(made.text));
    }
    format!("It answered:\n\n{}", quotation::of(made.text))
}

/// A text and the end.
fn over(text: String) -> Vec<Piece> {
    vec![Piece::Text(text), Piece::Other(Ok(ProviderEvent::Finish { reason: "stop".to_owned() }))]
}

fn called(request: &Request, opening: String, calls: Vec<(&ToolSpec, Value)>) -> Vec<Piece> {
    let mut ids = Ids::of(request);
    let mut pieces = vec![Piece::Text(opening)];
    for (tool, input) in calls {
        pieces.push(Piece::Other(Ok(call(&mut ids, request, tool.name.clone(), input))));
    }
    pieces.push(Piece::Other(Ok(ProviderEvent::Finish { reason: "tool_calls".to_owned() })));
    pieces
}

/// A call that is ours to run, under the number that it has in its prompt.
pub(super) fn call(ids: &mut Ids, request: &Request, tool: String, input: Value) -> ProviderEvent {
    let before = request.messages.iter().map(|message| message.calls.len()).sum::<usize>();
    ProviderEvent::ToolCall { id: ids.fresh(&format!("demo_call_{}", before + 1)), tool, input, by_provider: false }
}

fn title(asked: &str) -> String {
    quote(asked).map_or_else(|| "Untitled".to_owned(), |quote| quote.chars().take(80).collect())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn short(input: &Value) -> String {
    let text = input.to_string().replace('`', "'");
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{} …", &text[..end]),
        None => text,
    }
}
