//! What a model is told: the sections before the conversation, the conversation, and the answer so far.

use std::time::Duration;

use serde_json::json;
use spool_agent::{
    PromptCall, PromptFile, PromptLimits, PromptMessage, Request, Role, Start, ToolSpec, assemble, wanted,
};
use spool_chat::functions::driver::{Claim, HistoryFile, HistoryMessage, Segment, ToldCall};
use spool_chat::recall::OPENING;
use spool_chat::tables::{Role as Speaker, Section, ToolChoice};
use spool_store::Id;

use super::calls;
use crate::app::App;
use crate::config::agents::Agent;
use crate::tools::{Caller, Invocation};

/// The order of the sections; what is not among them is not sent.
const ORDER: [&str; 8] = ["base", "role", "profile", "memory", "page", "summary", "todos", "greeting"];
/// A page is context, not the question: an answer does not wait longer for it.
const PAGE_TIME: Duration = Duration::from_secs(5);

/// Where the turn begins, and the sections that its model is told.
pub(super) async fn start(
    app: &App, claim: &Claim, agent: &Agent, caller: &Caller, tools: Vec<ToolSpec>,
) -> (Start, Vec<Section>) {
    let role = claim.effective_role.as_deref();
    let sections = match claim.resumed.as_ref().filter(|resumed| !resumed.sections.is_empty()) {
        Some(resumed) => resumed.sections.clone(),
        None => sections(app, claim, agent, role, caller).await,
    };
    let system = sections.iter().map(|section| section.text.as_str()).collect::<Vec<_>>().join("\n\n");
    let turns = &app.config.turns;
    let limits = PromptLimits { max_messages: turns.history_messages, max_bytes: turns.history_bytes };
    let history: Vec<_> = claim.history.iter().flat_map(said).collect();
    let (system, mut messages) = assemble(Some(&system), &history, limits);
    // The user opened the conversation without a word, and providers refuse a prompt without one.
    if messages.is_empty() {
        messages.push(PromptMessage::new(Role::User, OPENING));
    }
    hand_in_files(app, &mut messages).await;
    let request = Request {
        system,
        messages,
        max_output_tokens: agent.max_output_tokens,
        temperature: agent.temperature,
        tool_choice: choice(claim.tool_choice.as_ref(), &tools),
        tools,
        ..Request::default()
    };
    (resume(claim, request), sections)
}

/// Which section says what. Facts about the user and the conversation come from rows.
async fn sections(app: &App, claim: &Claim, agent: &Agent, role: Option<&str>, caller: &Caller) -> Vec<Section> {
    let overlay = agent.overlay(role).and_then(|overlay| overlay.instructions.clone());
    let general = || role.and_then(|role| app.config.roles.known.get(role)?.instructions.clone());
    let opens = claim.history.iter().all(|message| message.text.trim().is_empty() && message.files.is_empty());
    let mut found = claim.sections.clone();
    let mut add = |label: &str, text: Option<String>| {
        found.extend(text.map(|text| Section { label: label.to_owned(), text }));
    };
    add("base", agent.instructions.clone().or_else(|| app.config.instructions.clone()));
    add("role", overlay.or_else(general));
    add("greeting", agent.greeting.clone().filter(|_| opens));
    add("page", page(app, claim, agent, caller).await);
    found.retain(|section| !section.text.trim().is_empty() && ORDER.contains(&section.label.as_str()));
    found.sort_by_key(|section| ORDER.iter().position(|label| *label == section.label));
    found
}

/// What is on the page that the user looks at, as the tool for it says with the user's own rights. Without it the
/// answer is made all the same.
async fn page(app: &App, claim: &Claim, agent: &Agent, caller: &Caller) -> Option<String> {
    let (tool, page) = (agent.page_tool.clone()?, claim.page.as_ref()?);
    let call_id = format!("page_{}", caller.generation_id);
    let invocation = Invocation { call_id, tool, input: json!(page), caller: caller.clone() };
    match tokio::time::timeout(PAGE_TIME, app.tools.call(invocation)).await {
        Ok(Ok(shown)) => {
            let whole = calls::text(&shown);
            let shown = calls::beginning(&whole, agent.max_result_bytes);
            let cut = if shown.len() < whole.len() { "\n[The rest of the page is cut off.]" } else { "" };
            Some(format!("What the user looks at now:\n{shown}{cut}"))
        }
        // Its words may be those of the page, which are not for the log.
        Ok(Err(failure)) => {
            tracing::info!(kind = ?failure.kind, "the page of a prompt is left out");
            None
        }
        Err(_) => {
            tracing::info!("the page of a prompt is left out: its tool took too long");
            None
        }
    }
}

/// A choice that names a tool which is not offered is none: a provider would refuse it.
fn choice(wish: Option<&ToolChoice>, tools: &[ToolSpec]) -> spool_agent::ToolChoice {
    match wish {
        _ if tools.is_empty() => spool_agent::ToolChoice::Auto,
        None | Some(ToolChoice::Auto) => spool_agent::ToolChoice::Auto,
        Some(ToolChoice::Required) => spool_agent::ToolChoice::Required,
        Some(ToolChoice::None) => spool_agent::ToolChoice::None,
        Some(ToolChoice::Named(name)) if tools.iter().any(|tool| tool.name == *name) => {
            spool_agent::ToolChoice::Named(name.clone())
        }
        Some(ToolChoice::Named(_)) => spool_agent::ToolChoice::Auto,
    }
}

/// Puts what the answer has said and called so far behind the conversation. The calls of the newest step have
/// no results yet: the turn adds them.
fn resume(claim: &Claim, mut request: Request) -> Start {
    let Some(resumed) = &claim.resumed else { return Start { request, ..Start::default() } };
    let newest: Vec<&str> = resumed.calls.iter().map(|call| call.tool_call_id.as_str()).collect();
    let mut so_far: Vec<PromptMessage> = resumed.so_far.iter().flat_map(stretch).collect();
    so_far.retain(|message| {
        let answers = message.answers.as_ref();
        answers.is_none_or(|answered| !newest.contains(&answered.call_id.as_str()))
    });
    let told = so_far.len();
    request.messages.extend(so_far);
    Start {
        request,
        so_far: told,
        steps: resumed.steps,
        calls: resumed.calls.iter().map(calls::staged).collect(),
        spent: resumed.usage,
    }
}

/// A message of the conversation as the model gets it.
fn said(message: &HistoryMessage) -> Vec<PromptMessage> {
    if !message.segments.is_empty() {
        return message.segments.iter().flat_map(stretch).collect();
    }
    let role = match message.role {
        Speaker::User => Role::User,
        Speaker::Assistant => Role::Assistant,
        Speaker::System => Role::System,
        // Results of tools are told inside the answers that used them.
        Speaker::Tool => return Vec::new(),
    };
    let files = message.files.iter().map(prompt_file).collect();
    vec![PromptMessage { files, ..PromptMessage::new(role, message.text.clone()) }]
}

/// A stretch of an answer: what it said, what it called, what came of it, what the user said meanwhile.
fn stretch(segment: &Segment) -> Vec<PromptMessage> {
    let call = |call: &ToldCall| PromptCall {
        id: call.tool_call_id.clone(),
        tool: call.tool.clone(),
        input: call.input.clone(),
    };
    let calls = segment.calls.iter().map(call).collect();
    let mut messages = vec![PromptMessage { calls, ..PromptMessage::new(Role::Assistant, segment.text.clone()) }];
    for call in &segment.calls {
        let (text, failed) = match (&call.error, &call.output) {
            (Some(error), _) => (error.clone(), true),
            (None, Some(output)) => (calls::text(output), false),
            // It ended without a word. A call without a result is refused by providers.
            (None, None) => (String::new(), false),
        };
        messages.push(PromptMessage::result(call.tool_call_id.clone(), text, failed));
    }
    messages.extend(segment.steered.as_ref().map(|text| PromptMessage::new(Role::User, text.clone())));
    messages
}

fn prompt_file(file: &HistoryFile) -> PromptFile {
    let HistoryFile { upload_id, name, media_type, size } = file.clone();
    PromptFile { id: upload_id, name, media_type, size, bytes: None }
}

/// Reads the files that the model is to see. One that was removed meanwhile is named and nothing more.
async fn hand_in_files(app: &App, messages: &mut [PromptMessage]) {
    for (message, place) in wanted(messages, app.config.turns.file_bytes) {
        let file = &mut messages[message].files[place];
        let Ok(id) = Id::parse(&file.id) else { continue };
        match app.files.read(&id).await {
            Ok(bytes) => file.bytes = Some(bytes.into()),
            Err(error) => tracing::warn!(upload = file.id, %error, "a file is missing from a prompt"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tc_06_every_call_that_is_told_has_a_result() {
        let call = |id: &str, output, error: Option<&str>| ToldCall {
            tool_call_id: id.into(),
            tool: "t".into(),
            input: json!({}),
            output,
            error: error.map(str::to_owned),
        };
        let calls =
            vec![call("1", Some(json!("found")), None), call("2", None, Some("rejected")), call("3", None, None)];
        let messages = stretch(&Segment { calls, ..Segment::default() });
        let results: Vec<_> =
            messages[1..].iter().map(|said| (said.text.as_str(), said.answers.clone().unwrap())).collect();
        let told: Vec<_> = results.iter().map(|(text, to)| (to.call_id.as_str(), *text, to.failed)).collect();
        assert_eq!(told, [("1", "found", false), ("2", "rejected", true), ("3", "", false)]);
    }
}
