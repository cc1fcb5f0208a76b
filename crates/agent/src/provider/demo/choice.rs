//! Which tools the demo calls: those whose names and descriptions share words with the question.
//!
//! Owns the comparison. Must never know a tool by its name: what it does here holds for any tool.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::Request;
use crate::tools::{ToolChoice, ToolSpec};

/// The most tools that one question calls.
const MOST: usize = 2;
/// What a name has to share with the question, or a description twice.
const ENOUGH: usize = 2;

/// Words of tools that say what is done and not with what; alone they choose nothing.
const VERBS: &[&str] = &[
    "add", "ask", "call", "change", "create", "delete", "edit", "fetch", "find", "get", "give", "list", "look", "make",
    "read", "remove", "return", "run", "search", "send", "set", "show", "submit", "tell", "update", "use", "write",
];
/// Verbs of tools that change something or somebody's day, whatever is said of them besides.
const CHANGING: &[&str] =
    &["add", "ask", "change", "create", "delete", "edit", "remove", "send", "set", "submit", "update", "write"];
/// Verbs of tools that look something up.
const LOOKING: &[&str] = &["fetch", "find", "get", "list", "look", "search"];
/// Words that every description has.
const EMPTY: &[&str] = &[
    "about", "all", "and", "any", "are", "can", "for", "from", "has", "have", "how", "into", "its", "me", "more",
    "new", "not", "one", "please", "some", "that", "the", "their", "then", "there", "this", "tool", "user", "was",
    "what", "when", "where", "which", "who", "will", "with", "you", "your",
];

/// The tools for `question`, the best first. What writes is called only if the question names it.
pub(super) fn chosen<'a>(request: &'a Request, question: &str) -> Vec<&'a ToolSpec> {
    let asked = words(question);
    let mut scored: Vec<(usize, &ToolSpec)> = request.tools.iter().map(|tool| (score(tool, &asked), tool)).collect();
    // A stable sort: among equals the configuration's order decides.
    scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    match &request.tool_choice {
        ToolChoice::None => Vec::new(),
        ToolChoice::Named(name) => request.tools.iter().filter(|tool| tool.name == *name).collect(),
        ToolChoice::Auto => scored
            .iter()
            .filter(|(score, tool)| *score >= ENOUGH && fillable(tool))
            .take(MOST)
            .map(|(_, tool)| *tool)
            .collect(),
        ToolChoice::Required => {
            let looking = scored.iter().find(|(score, tool)| *score >= ENOUGH || looks_up(tool));
            looking.or(scored.first()).map(|(_, tool)| *tool).into_iter().collect()
        }
    }
}

/// Whether a tool finds something for a text and changes nothing, as its name and its schema have it.
pub(super) fn looks_up(tool: &ToolSpec) -> bool {
    let takes_text =
        required(tool).chain(["query"]).any(|field| tool.input_schema["properties"][field]["type"] == "string");
    !changes(tool) && takes_text && words(&tool.name).iter().any(|word| LOOKING.contains(&word.as_str()))
}

/// Whether a tool changes something, as its configuration or its name has it.
pub(super) fn changes(tool: &ToolSpec) -> bool {
    tool.writes || words(&tool.name).iter().any(|word| CHANGING.contains(&word.as_str()))
}

/// Whether a question can have what the tool needs: nobody writes ids and addresses into one.
fn fillable(tool: &ToolSpec) -> bool {
    required(tool).all(|field| !["Id", "_id", "id", "url", "Url"].iter().any(|end| field.ends_with(end)))
}

fn required(tool: &ToolSpec) -> impl Iterator<Item = &str> {
    tool.input_schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn score(tool: &ToolSpec, asked: &BTreeSet<String>) -> usize {
    let is_verb = |word: &String| VERBS.contains(&word.as_str());
    let (verbs, nouns): (BTreeSet<_>, BTreeSet<_>) = words(&tool.name).into_iter().partition(is_verb);
    let named = if nouns.is_empty() { verbs.intersection(asked).count() } else { nouns.intersection(asked).count() };
    if changes(tool) && named == 0 {
        return 0;
    }
    let described: BTreeSet<_> = words(&tool.description).into_iter().filter(|word| !is_verb(word)).collect();
    let described = described.difference(&nouns).filter(|word| asked.contains(*word)).count();
    named * ENOUGH + described
}

/// The words of a text or a name in small letters and without plural endings; of `searchProperties`, `search`
/// and `property`.
pub(super) fn words(text: &str) -> BTreeSet<String> {
    let mut spaced = String::with_capacity(text.len() + 8);
    let mut before_small = false;
    for c in text.chars() {
        if c.is_uppercase() && before_small {
            spaced.push(' ');
        }
        before_small = c.is_lowercase();
        spaced.extend(c.to_lowercase());
    }
    let words = spaced.split(|c: char| !c.is_alphanumeric()).map(singular);
    words.filter(|word| word.chars().count() > 2 && !EMPTY.contains(&word.as_str())).collect()
}

fn singular(word: &str) -> String {
    if let Some(stem) = word.strip_suffix("ies").filter(|stem| stem.len() > 2) {
        return format!("{stem}y");
    }
    for end in ["ches", "shes", "xes", "sses"] {
        if word.ends_with(end) {
            return word[..word.len() - 2].to_owned();
        }
    }
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with(['s', 'u', 'i']) => stem.to_owned(),
        _ => word.to_owned(),
    }
}
