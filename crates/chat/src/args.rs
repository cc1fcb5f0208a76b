//! From JSON to the arguments of a function, with the place of every fault.
//!
//! Must never quote what a client sent beyond a short id or name: errors are logged.

use serde::Deserializer;
use serde::de::{self, Deserialize, DeserializeOwned};
use serde_json::{Map, Number, Value};
use spool_protocol::{Code, Error, Result};

/// Begins the message of a fault found inside a value that serde buffers; the path follows.
const NESTED: &str = "\u{1}";
/// Longest message of a fault; some quote a name that the client sent.
const LONGEST_FAULT: usize = 300;

/// Reads the arguments of a function. Missing arguments are `{}`. Fails with `bad_request` or `bad_id`,
/// whose `data.path` names the place, like `parts[2].url`.
pub fn decode<T: DeserializeOwned>(args: Value) -> Result<T> {
    let args = match args {
        Value::Null => Value::Object(Map::new()),
        Value::Object(_) => integral(args),
        _ => return Err(Error::bad_request("arguments are one JSON object").with("path", "")),
    };
    serde_path_to_error::deserialize(args).map_err(|error| {
        let path = error.path().to_string();
        fault(if path == "." { "" } else { &path }, &error.inner().to_string())
    })
}

/// Whole numbers become integers: JavaScript has one kind of number, and `1.0` means 1.
fn integral(value: Value) -> Value {
    /// Largest integer up to which every integer is a float (2^53).
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or(0.5);
            let whole = float.fract() == 0.0 && float.abs() <= EXACT && !(float == 0.0 && float.is_sign_negative());
            Value::Number(if whole { Number::from(float as i64) } else { number })
        }
        Value::Array(values) => Value::Array(values.into_iter().map(integral).collect()),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(key, value)| (key, integral(value))).collect()),
        other => other,
    }
}

fn fault(path: &str, message: &str) -> Error {
    let (path, message) = match message.strip_prefix(NESTED).and_then(|nested| nested.split_once(NESTED)) {
        Some((inside, message)) => (join(path, inside), message),
        None => (path.to_owned(), message),
    };
    let (code, message) = match message.strip_prefix("bad_id: ") {
        Some(message) => (Code::BadId, message.to_owned()),
        None => (Code::BadRequest, without_text(message)),
    };
    let shown = if path.is_empty() { message } else { format!("{path}: {message}") };
    Error::new(code, shown).with("path", path)
}

fn join(path: &str, inside: &str) -> String {
    match (path, inside) {
        ("", only) | (only, "") => only.to_owned(),
        (path, inside) if inside.starts_with('[') => format!("{path}{inside}"),
        (path, inside) => format!("{path}.{inside}"),
    }
}

/// "invalid type: string "the whole text", expected u32" without the text.
fn without_text(message: &str) -> String {
    let quoted = message.find("string \"").zip(message.rfind(", expected "));
    let message = match quoted {
        Some((from, to)) if from < to => format!("{}string{}", &message[..from], &message[to..]),
        _ => message.to_owned(),
    };
    message.chars().take(LONGEST_FAULT).collect()
}

/// A fault at `path` inside a value that was buffered: [`decode`] joins it to the path outside.
pub(crate) fn nested_fault<E: de::Error>(path: &str, message: &str) -> E {
    match message.strip_prefix(NESTED).and_then(|nested| nested.split_once(NESTED)) {
        Some((inside, message)) => E::custom(format_args!("{NESTED}{}{NESTED}{message}", join(path, inside))),
        None => E::custom(format_args!("{NESTED}{path}{NESTED}{message}")),
    }
}

/// For a field that can be left as it is (absent), cleared (null) or set.
pub(crate) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// For a field that holds any JSON: null is a value, and only an absent field is none.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::Part;
    use crate::tables::Thread;
    use serde_json::json;
    use spool_store::Id;

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    #[allow(dead_code)]
    struct Args {
        thread_id: Option<Id<Thread>>,
        #[serde(default)]
        parts: Vec<Part>,
        count: Option<u32>,
    }

    fn refused(args: Value) -> (Code, String, String) {
        let error = decode::<Args>(args).unwrap_err();
        let path = error.data.as_ref().unwrap()["path"].as_str().unwrap().to_owned();
        (error.code, path, error.message)
    }

    #[test]
    fn ty_03_a_fault_names_its_json_path() {
        let text = json!({ "type": "text", "text": "x" });
        let (code, path, message) =
            refused(json!({ "parts": [text, text, { "type": "source", "title": "t", "url": 5 }] }));
        assert_eq!((code, path.as_str()), (Code::BadRequest, "parts[2].url"));
        assert!(message.contains("parts[2].url"), "{message}");
        assert_eq!(refused(json!({ "parts": [{ "type": "nothing" }] })).1, "parts[0].type");
        assert_eq!(refused(json!({ "parts": [{ "type": 1 }] })).1, "parts[0].type");
        assert_eq!(refused(json!({ "parts": [{ "text": "x" }] })).1, "parts[0]");
        assert_eq!(refused(json!({ "parts": [{ "type": "text", "text": "x", "more": 1 }] })).1, "parts[0].more");
        assert_eq!(refused(json!([])).0, Code::BadRequest);
    }

    #[test]
    fn ia_01_unknown_arguments_are_refused() {
        let (code, _, message) = refused(json!({ "userId": "usr_1" }));
        assert_eq!(code, Code::BadRequest);
        assert!(message.contains("userId"), "{message}");
    }

    #[test]
    fn ia_12_a_wrong_kind_of_id_is_named_before_any_lookup() {
        let (code, path, message) = refused(json!({ "threadId": "gen_01jzzzzzzzzzzzzzzzzzzzzzzz" }));
        assert_eq!((code, path.as_str()), (Code::BadId, "threadId"));
        assert!(message.contains("thr_"), "{message}");
    }

    #[test]
    fn whole_floats_are_integers_and_others_are_not() {
        assert_eq!(decode::<Args>(json!({ "count": 3.0 })).unwrap().count, Some(3));
        assert_eq!(refused(json!({ "count": 3.5 })).1, "count");
        assert_eq!(integral(json!([1e300, -0.0, 2.0])), json!([1e300, -0.0, 2]));
    }

    #[test]
    fn op_06_a_fault_does_not_quote_texts() {
        let (_, _, message) = refused(json!({ "count": "a secret, expected nowhere" }));
        assert!(!message.contains("secret"), "{message}");
    }
}
