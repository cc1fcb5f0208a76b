//! The arguments of the demo's calls, from a schema and the words of a question.
//!
//! Owns the filling. Must never invent a fact: a text is the question or what was composed for it, a number
//! is in the question or the least that the schema allows.

use serde_json::{Map, Value, json};

use super::choice::words;

/// How deep a schema is followed. One that goes deeper gets empty objects.
const DEEPEST: u8 = 6;

/// What arguments are made of.
pub(super) struct Material<'a> {
    /// The words of the question, or of the plan's line.
    pub question: &'a str,
    /// For fields that want a title.
    pub title: &'a str,
    /// For fields that want a text to keep.
    pub content: &'a str,
    /// Which of several values is meant where the question does not say.
    pub kind: &'a str,
}

impl Material<'_> {
    /// The required fields, and the others that the question speaks of.
    pub(super) fn object(&self, schema: &Value) -> Value {
        self.nested(schema, 0)
    }

    fn nested(&self, schema: &Value, depth: u8) -> Value {
        let mut object = Map::new();
        let required: Vec<&str> =
            schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let value = if required.contains(&name.as_str()) {
                Some(self.required(name, field, depth))
            } else {
                self.mentioned(name, field)
            };
            object.extend(value.map(|value| (name.clone(), value)));
        }
        object.into()
    }

    fn required(&self, name: &str, field: &Value, depth: u8) -> Value {
        if let Some(value) = self.mentioned(name, field) {
            return value;
        }
        for known in [&field["const"], &field["default"], &field["enum"][0]] {
            if !known.is_null() {
                return known.clone();
            }
        }
        match kind(field) {
            "string" => self.text(name, field).into(),
            "integer" | "number" => {
                let least = field.get("minimum").cloned();
                least.or_else(|| numbers(self.question).next()).unwrap_or_else(|| json!(1))
            }
            "boolean" => false.into(),
            "array" if field["minItems"].as_u64().unwrap_or(0) > 0 && depth < DEEPEST => {
                json!([self.required(name, &field["items"], depth + 1)])
            }
            "array" => json!([]),
            "object" if depth < DEEPEST => self.nested(field, depth + 1),
            "null" => Value::Null,
            _ => json!({}),
        }
    }

    /// A value that the question itself has for a field: one of its values, or a number behind its name.
    fn mentioned(&self, name: &str, field: &Value) -> Option<Value> {
        if let Some(values) = field["enum"].as_array() {
            let asked = words(self.question);
            let named = |value: &&Value| {
                let parts = words(value.as_str().unwrap_or_default());
                !parts.is_empty() && parts.is_subset(&asked)
            };
            let kind = |value: &&Value| !self.kind.is_empty() && value.as_str() == Some(self.kind);
            return values.iter().find(named).or_else(|| values.iter().find(kind)).cloned();
        }
        if matches!(kind(field), "integer" | "number") {
            // `maxPrice` is the number behind "price" or "under", `bedrooms` the one before it.
            let about = words(name);
            let limit = |word: &str| match word {
                "under" | "below" | "most" => about.contains("max"),
                "over" | "above" | "least" => about.contains("min"),
                _ => false,
            };
            let tokens: Vec<&str> = self.question.split_whitespace().collect();
            let at = tokens.iter().position(|token| {
                let plain = token.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
                limit(&plain) || words(&plain).iter().any(|word| about.contains(word))
            })?;
            let near = tokens.get(at + 1).into_iter().chain(at.checked_sub(1).and_then(|before| tokens.get(before)));
            return near.filter_map(|token| number(token)).next();
        }
        None
    }

    fn text(&self, name: &str, field: &Value) -> String {
        let name = name.to_lowercase();
        let of = |names: &[&str]| names.contains(&name.as_str());
        let text = if of(&["title", "name", "subject", "label"]) {
            self.title
        } else if of(&["content", "body", "text", "markdown", "plan", "report", "document"]) {
            self.content
        } else {
            self.documented(field).unwrap_or(self.question)
        };
        let most = field["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
        text.chars().take(most).collect()
    }

    /// One of the values that the description of a field puts between backticks, if there are several.
    fn documented<'a>(&self, field: &'a Value) -> Option<&'a str> {
        let description = field["description"].as_str().unwrap_or_default();
        let values: Vec<&str> = description.split('`').skip(1).step_by(2).collect();
        let asked = words(self.question);
        let first = values.first().filter(|_| values.len() > 1)?;
        let meant = values.iter().find(|value| **value == self.kind);
        let meant = meant.or_else(|| values.iter().find(|value| asked.contains(**value)));
        Some(meant.unwrap_or(first))
    }
}

/// The type of a field; the first that is not `null` where there are several.
fn kind(field: &Value) -> &str {
    let several = || field["type"].as_array()?.iter().filter_map(Value::as_str).find(|kind| *kind != "null");
    field["type"].as_str().or_else(several).unwrap_or("object")
}

fn numbers(text: &str) -> impl Iterator<Item = Value> {
    text.split_whitespace().filter_map(number)
}

/// `500,000`, `3`, `$1.5`, `500k` and `2M`.
fn number(token: &str) -> Option<Value> {
    let plain: String = token.chars().filter(|c| *c != ',').collect();
    let plain = plain.trim_matches(|c: char| !c.is_alphanumeric());
    let (digits, times) = match plain.char_indices().last()? {
        (at, 'k' | 'K') => (&plain[..at], 1_000.0),
        (at, 'm' | 'M') => (&plain[..at], 1_000_000.0),
        _ => (plain, 1.0),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value = digits.parse::<f64>().ok().filter(|value| value.is_finite())? * times;
    // A whole number is one for every schema; `2.0` is none for many.
    let whole = value.fract() == 0.0 && value.abs() < 1e15;
    Some(if whole { json!(format!("{value:.0}").parse::<i64>().ok()?) } else { json!(value) })
}
