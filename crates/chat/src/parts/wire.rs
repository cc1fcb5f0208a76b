//! Which opaque JSON the sync protocol of the clients can carry. Pure.
//!
//! Object keys there are ASCII 0x20 to 0x7E, do not begin with `$` (which the value encoding uses) and
//! have at most 1,024 characters (Convex, "Data types": field names). Clients are refused with the place
//! of the fault; what a model says cannot be refused, so it is kept as its JSON text.

use serde_json::Value;
use spool_protocol::{Code, Error, Event, Result};

use super::Part;

const LONGEST_KEY: usize = 1_024;

fn is_safe_key(key: &str) -> bool {
    key.len() <= LONGEST_KEY && !key.starts_with('$') && key.bytes().all(|byte| (0x20..=0x7E).contains(&byte))
}

/// The path of the first key that cannot be carried, below `path`.
fn unsafe_key(value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Object(fields) => fields.iter().find_map(|(key, value)| {
            let shown: String = key.chars().take(64).flat_map(char::escape_default).collect();
            let path = format!("{path}.{shown}");
            if is_safe_key(key) { unsafe_key(value, &path) } else { Some(path) }
        }),
        Value::Array(values) => {
            values.iter().enumerate().find_map(|(at, value)| unsafe_key(value, &format!("{path}[{at}]")))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Refuses JSON from a client that could not be sent back; `path` is where it stands in the arguments.
pub fn check_json(value: &Value, path: &str) -> Result<()> {
    let Some(fault) = unsafe_key(value, path) else { return Ok(()) };
    let message = format!(
        "{fault}: keys of objects are printable ASCII, do not begin with $ and have at most {LONGEST_KEY} characters"
    );
    Err(Error::new(Code::BadRequest, message).with("path", fault))
}

/// [`check_json`] for every opaque value of the parts that a client sent.
pub fn check_parts(parts: &[Part]) -> Result<()> {
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::ToolCall { input, output, .. } => {
                check_json(input, &format!("parts[{at}].input"))?;
                check_json(output.as_ref().unwrap_or(&Value::Null), &format!("parts[{at}].output"))?;
            }
            Part::Approval { edited_input: Some(input), .. } => {
                check_json(input, &format!("parts[{at}].editedInput"))?;
            }
            Part::Data { json, .. } => check_json(json, &format!("parts[{at}].json"))?,
            Part::Text { .. }
            | Part::Reasoning { .. }
            | Part::Steered { .. }
            | Part::Source { .. }
            | Part::Artifact { .. }
            | Part::Approval { .. }
            | Part::File { .. }
            | Part::Activity { .. } => {}
        }
    }
    Ok(())
}

/// [`check_json`] for every opaque value of the events that a runner sent.
pub fn check_events(events: &[Event]) -> Result<()> {
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::ToolStart { input, .. } => check_json(input, &format!("events[{at}].input"))?,
            Event::ToolEnd { output: Some(output), .. } => check_json(output, &format!("events[{at}].output"))?,
            Event::Text { .. }
            | Event::Reasoning { .. }
            | Event::ToolEnd { .. }
            | Event::Steered { .. }
            | Event::Source { .. }
            | Event::Artifact { .. }
            | Event::Approval { .. }
            | Event::File { .. }
            | Event::Activity { .. }
            | Event::Status { .. } => {}
        }
    }
    Ok(())
}

/// JSON from a model: as it is if it can be carried, else its text as a string.
pub fn safe_json(value: Value) -> Value {
    if unsafe_key(&value, "").is_some() { Value::String(value.to_string()) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ty_03_an_unsafe_key_is_refused_with_its_path() {
        let parts = [
            Part::Text { text: "a".into() },
            Part::Data { media_type: "m".into(), json: json!({ "a": [{ "$b": 1 }] }) },
        ];
        let error = check_parts(&parts).unwrap_err();
        assert_eq!(error.code, Code::BadRequest);
        assert_eq!(error.data.unwrap()["path"], "parts[1].json.a[0].$b");
        check_json(&json!({ "é": 1 }), "x").unwrap_err();
        check_json(&json!({ "k".repeat(1025): 1 }), "x").unwrap_err();
        check_json(&json!({ "": { "a b~": [1, null, "é$"] } }), "x").unwrap();
    }

    #[test]
    fn what_a_model_says_is_kept_as_text() {
        assert_eq!(safe_json(json!({ "ok": 1 })), json!({ "ok": 1 }));
        assert_eq!(safe_json(json!({ "$ref": 1 })), json!("{\"$ref\":1}"));
    }
}
