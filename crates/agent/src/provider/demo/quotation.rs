//! The result of a tool as a quotation in an answer.
//!
//! Owns its form and its length. Must never change what it quotes but for leaving out, which it says.

use serde_json::Value;

/// The most entries of a list.
const ENTRIES: usize = 5;
/// The most fields of an entry besides its name.
const FIELDS: usize = 4;
/// The most lines and characters of a text.
const LINES: usize = 20;
const CHARS: usize = 1500;
/// The fields that name an entry, the best first.
const NAMES: &[&str] = &["title", "name", "label", "id"];

/// `result` as Markdown that ends with a blank line: a list of what it lists, else its text.
pub(super) fn of(result: &str) -> String {
    match serde_json::from_str(result) {
        Ok(value) => of_value(&value, result),
        Err(_) => lines(result),
    }
}

fn of_value(value: &Value, text: &str) -> String {
    if let Some(text) = value.as_str() {
        // A text inside JSON may be JSON itself, as MCP has it; any other value ends the recursion.
        return of(text);
    }
    if let Some(inner) = value["content"].as_array().filter(|content| content.iter().all(|part| part["type"] == "text"))
    {
        let inner: Vec<_> = inner.iter().filter_map(|part| part["text"].as_str()).collect();
        if !inner.is_empty() {
            return of(&inner.join("\n"));
        }
    }
    let listed = value.as_array().or_else(|| value.as_object()?.values().find_map(Value::as_array));
    match listed.filter(|entries| entries.iter().all(Value::is_object)) {
        Some(entries) if entries.is_empty() => "> Nothing.\n\n".to_owned(),
        Some(entries) => {
            let mut list: String = entries.iter().take(ENTRIES).map(entry).collect();
            if entries.len() > ENTRIES {
                list.push_str(&format!("- and {} more\n", entries.len() - ENTRIES));
            }
            format!("{list}\n")
        }
        None => {
            let pretty = serde_json::to_string_pretty(value).unwrap_or_else(|_| text.to_owned());
            let (cut, more) = cut(&pretty);
            format!("```json\n{cut}{}\n```\n\n", if more { "\n…" } else { "" })
        }
    }
}

fn entry(entry: &Value) -> String {
    let name = NAMES.iter().find(|name| entry[**name].is_string());
    let of = |value: &Value| match value {
        Value::String(text) => Some(cut(&text.split_whitespace().collect::<Vec<_>>().join(" ")).0.to_owned()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    };
    let fields = entry.as_object().into_iter().flatten();
    let fields = fields.filter(|(field, _)| name.is_none_or(|name| name != field));
    let fields: Vec<_> =
        fields.filter_map(|(field, value)| Some(format!("{field}: {}", of(value)?))).take(FIELDS).collect();
    let name = name.and_then(|name| of(&entry[*name])).map(|name| format!("**{name}** ")).unwrap_or_default();
    format!("- {name}{}\n", fields.join(", "))
}

fn lines(text: &str) -> String {
    let (cut, more) = cut(text.trim());
    let quoted: String = cut.lines().map(|line| format!("> {line}\n")).collect();
    let quoted = if quoted.is_empty() { "> (nothing)\n".to_owned() } else { quoted };
    format!("{quoted}{}\n", if more { "> …\n" } else { "" })
}

/// The beginning of a text, and whether there is more.
fn cut(text: &str) -> (&str, bool) {
    let by_lines = text.match_indices('\n').nth(LINES - 1).map_or(text.len(), |(at, _)| at);
    let by_chars = text.char_indices().nth(CHARS).map_or(text.len(), |(at, _)| at);
    let end = by_lines.min(by_chars);
    (&text[..end], end < text.len())
}
