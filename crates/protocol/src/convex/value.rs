//! Convex values as JSON (`convex_encoded_json`), turned into plain JSON and checked on the way out.
//!
//! Spool's functions speak plain JSON: numbers, strings, booleans, null, arrays, objects. Of the special
//! forms, `$integer` becomes a JSON integer and `$float` of a finite number that number; NaN, infinities
//! and `$bytes` have no place in any argument and are refused by name.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use crate::error::{Code, Error, Result};

/// The arguments of a call: an object, or an array of one object (none for no arguments).
pub fn decode_args(raw: &RawValue) -> Result<Value> {
    let value: Value = serde_json::from_str(raw.get())
        .map_err(|e| Error::bad_request(format!("args: not valid JSON text: {e}")).with("path", "args"))?;
    args_of(value)
}

/// Like [`decode_args`], for JSON that is parsed already.
pub fn args_of(value: Value) -> Result<Value> {
    let args = match value {
        Value::Array(mut list) if list.len() <= 1 => list.pop().unwrap_or_else(|| Value::Object(Map::new())),
        other => other,
    };
    match decode(args, "")? {
        object @ Value::Object(_) => Ok(object),
        _ => Err(Error::bad_request("args must be one object of named arguments").with("path", "args")),
    }
}

fn decode(value: Value, path: &str) -> Result<Value> {
    match value {
        Value::Array(items) => {
            let items = items.into_iter().enumerate().map(|(at, item)| decode(item, &format!("{path}[{at}]")));
            items.collect::<Result<_>>().map(Value::Array)
        }
        Value::Object(fields) => {
            if let Some((key, body)) = fields.iter().next().filter(|(key, _)| fields.len() == 1 && key.starts_with('$'))
            {
                return special(key, body, path);
            }
            let fields = fields.into_iter().map(|(key, value)| {
                check_name(&key, path)?;
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                Ok((key, decode(value, &path)?))
            });
            fields.collect::<Result<_>>().map(Value::Object)
        }
        plain => Ok(plain),
    }
}

fn special(key: &str, body: &Value, path: &str) -> Result<Value> {
    let bytes = || -> Option<[u8; 8]> {
        let text = body.as_str()?;
        STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()?.try_into().ok()
    };
    let number = match key {
        "$integer" => bytes().map(|bytes| Number::from(i64::from_le_bytes(bytes))),
        "$float" => bytes().and_then(|bytes| Number::from_f64(f64::from_le_bytes(bytes) + 0.0)),
        _ => None,
    };
    number.map(Value::Number).ok_or_else(|| {
        Error::bad_request(format!("{path}: {key} is not a value that functions here take")).with("path", path)
    })
}

fn check_name(name: &str, path: &str) -> Result<()> {
    if is_field_name(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).collect();
    let message =
        format!("{path}: \"{shown}\" is not a field name (ASCII 0x20 to 0x7E, not starting with $, at most 1024)");
    Err(Error::bad_request(message).with("path", path))
}

/// Whether clients accept the name in an object. One bad name in a result would stop an npm client for good.
pub fn is_field_name(name: &str) -> bool {
    !name.starts_with('$') && name.len() <= 1024 && name.bytes().all(|byte| (0x20..=0x7E).contains(&byte))
}

/// Whether every field name in `value` is one that clients accept.
pub fn is_wire_safe(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(is_wire_safe),
        Value::Object(fields) => fields.iter().all(|(name, value)| is_field_name(name) && is_wire_safe(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// The last look at a result before it goes to clients: field names that would break them fail the
/// function instead. Text without the two suspicious characters passes without being parsed.
pub fn check_result(json: &str) -> Result<()> {
    if !json.contains("\"$") && json.is_ascii() {
        return Ok(());
    }
    let value: Value = serde_json::from_str(json).map_err(|e| Error::internal(format!("result is not JSON: {e}")))?;
    if is_wire_safe(&value) {
        Ok(())
    } else {
        Err(Error::new(Code::Internal, "the result has a field name that clients cannot take"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn special_forms_become_numbers_or_are_refused_with_their_path() {
        let five = args_of(json!([{ "n": { "$integer": "BQAAAAAAAAA=" } }])).unwrap();
        assert_eq!(five, json!({ "n": 5 }));
        for (form, path) in [
            (json!({ "a": [{ "$float": "AAAAAAAA+H8=" }] }), "a[0]"),
            (json!({ "a": { "b": { "$bytes": "AA==" } } }), "a.b"),
            (json!({ "a": { "$set": [] } }), "a"),
        ] {
            let error = args_of(form).unwrap_err();
            assert!(error.message.starts_with(path), "{}", error.message);
        }
        let minus_zero = args_of(json!({ "n": { "$float": "AAAAAAAAAIA=" } })).unwrap();
        assert_eq!(minus_zero, json!({ "n": 0.0 }));
    }

    #[test]
    fn arguments_are_an_object_or_a_list_of_one() {
        assert_eq!(args_of(json!([])).unwrap(), json!({}));
        assert!(args_of(json!([{}, {}])).is_err());
        assert!(args_of(json!("x")).is_err());
        assert!(args_of(json!({ "a": 1, "$x": 2 })).is_err());
    }

    #[test]
    fn results_with_names_that_stop_clients_are_caught() {
        assert!(check_result(r#"{"a":"$x","b":"é"}"#).is_ok());
        assert!(check_result(r#"{"a":{"$x":1}}"#).is_err());
        assert!(check_result(r#"{"é":1}"#).is_err());
    }
}
