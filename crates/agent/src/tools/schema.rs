//! Whether an input fits the schema of its tool, and whether a schema is one that is taken at all.
//!
//! Pure: a schema is never looked up elsewhere, so a reference leads into the same schema or is a mistake. What
//! is said of a fault names its place and never repeats the input, which may be large and private.

use jsonschema::error::{TypeKind, ValidationError, ValidationErrorKind};
use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use super::ToolSpec;

/// The largest schema, in bytes as JSON. It goes into every prompt.
pub const SCHEMA_BYTES: usize = 64 << 10;
/// Faults that are told; a model mends a few at a time.
const FAULTS: usize = 5;
/// What a fault may say, in bytes: a schema may list thousands of values.
const FAULT_BYTES: usize = 300;
/// Steps that one pattern may take to give an answer, and the bytes that it may be compiled to. Patterns come
/// from others, and some take for ever.
const PATTERN_STEPS: usize = 100_000;
const PATTERN_BYTES: usize = 1 << 20;

/// Whether a schema can be that of a tool: an object schema of draft 4 to 2020-12 that holds everything it refers
/// to, of at most [`SCHEMA_BYTES`]. The failure says what is wrong with it.
pub fn check_schema(schema: &Value) -> Result<(), String> {
    if schema["type"] != "object" {
        return Err("must be a JSON Schema whose \"type\" is \"object\"".into());
    }
    let size = schema.to_string().len();
    if size > SCHEMA_BYTES {
        return Err(format!("has {size} bytes, and may have {SCHEMA_BYTES}"));
    }
    compile(schema).map(drop)
}

/// Whether `input` fits the tool's schema. The failure lists what does not by its place, a JSON pointer
/// (RFC 6901): `/minPrice: expected a number`.
///
/// The schema is compiled anew each time. That takes microseconds, where the call takes milliseconds at least.
pub fn validate(tool: &ToolSpec, input: &Value) -> Result<(), String> {
    let schema = compile(&tool.input_schema).map_err(|fault| format!("the schema of {}: {fault}", tool.name))?;
    let mut faults = schema.iter_errors(input);
    let mut told: Vec<String> = faults.by_ref().take(FAULTS).map(|fault| tell(&fault)).collect();
    if told.is_empty() {
        return Ok(());
    }
    let more = faults.count();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    Err(told.join("; "))
}

fn compile(schema: &Value) -> Result<Validator, String> {
    let patterns = PatternOptions::fancy_regex().backtrack_limit(PATTERN_STEPS).size_limit(PATTERN_BYTES);
    let options = jsonschema::options().offline().with_pattern_options(patterns);
    options.build(schema).map_err(|fault| shorten(format!("{}: {fault}", pointer(&fault))))
}

fn tell(fault: &ValidationError<'_>) -> String {
    let place = pointer(fault);
    shorten(match fault.kind() {
        ValidationErrorKind::Type { kind: TypeKind::Single(kind) } => {
            format!("{place}: expected {}", article(&kind.to_string()))
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            format!("{}/{name}: is required", if place == "/" { "" } else { place.as_str() })
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            format!("{place}: does not know {}", unexpected.join(", "))
        }
        ValidationErrorKind::Enum { options } => format!("{place}: must be one of {options}"),
        _ => format!("{place}: {}", fault.masked_with("the value")),
    })
}

/// Where the fault is. The whole is written `/`, because an empty text looks like a mistake of its own.
fn pointer(fault: &ValidationError<'_>) -> String {
    let place = fault.instance_path().as_str();
    if place.is_empty() { "/".into() } else { place.to_owned() }
}

fn article(kind: &str) -> String {
    match kind {
        "null" => "null".into(),
        "array" | "integer" | "object" => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

fn shorten(mut text: String) -> String {
    if text.len() > FAULT_BYTES {
        text.truncate(text.floor_char_boundary(FAULT_BYTES));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tool(schema: Value) -> ToolSpec {
        ToolSpec {
            name: "search".into(),
            title: None,
            description: String::new(),
            input_schema: schema,
            writes: false,
            idempotent: true,
            approvers: 1,
        }
    }

    fn search() -> ToolSpec {
        tool(json!({
            "type": "object",
            "properties": {
                "city": { "type": "string", "maxLength": 5 },
                "minPrice": { "type": "number" },
                "kind": { "enum": ["flat", "house"] },
                "near": { "$ref": "#/$defs/place" },
            },
            "required": ["city"],
            "additionalProperties": false,
            "$defs": { "place": { "type": "object", "properties": { "zip": { "type": "string" } }, "required": ["zip"] } },
        }))
    }

    #[test]
    fn tc_05_an_input_that_fits_is_taken_and_a_fault_is_named_by_its_place() {
        validate(&search(), &json!({ "city": "Rome", "minPrice": 5, "near": { "zip": "1" } })).unwrap();
        for (input, told) in [
            (json!({ "city": "Rome", "minPrice": "5" }), "/minPrice: expected a number"),
            (json!({}), "/city: is required"),
            (json!({ "city": "Rome", "near": {} }), "/near/zip: is required"),
            (json!({ "city": "Rome", "drop": 1 }), "/: does not know drop"),
            (json!({ "city": "Rome", "kind": "tent" }), "/kind: must be one of [\"flat\",\"house\"]"),
            (json!("Rome"), "/: expected an object"),
            (json!({ "city": "a secret place" }), "/city: the value is longer than 5 characters"),
        ] {
            assert_eq!(validate(&search(), &input).unwrap_err(), told, "{input}");
        }
        let both = validate(&search(), &json!({ "minPrice": "5" })).unwrap_err();
        assert!(both.contains("/minPrice") && both.contains("; ") && both.contains("/city"), "{both}");
    }

    #[test]
    fn tc_05_many_and_long_faults_are_told_in_short() {
        let schema = tool(json!({ "type": "object", "additionalProperties": { "type": "string" } }));
        let input: serde_json::Map<String, Value> = (0..1000).map(|n| (format!("p{n}"), json!(n))).collect();
        let told = validate(&schema, &Value::Object(input)).unwrap_err();
        assert!(told.ends_with("and 995 more") && told.len() < 2000, "{told}");
        let options: Vec<String> = (0..1000).map(|n| format!("option {n}")).collect();
        let schema = tool(json!({ "type": "object", "properties": { "a": { "enum": options } } }));
        assert!(validate(&schema, &json!({ "a": "b" })).unwrap_err().len() < 400);
    }

    #[test]
    fn tc_05_schemas_are_checked_when_they_are_loaded() {
        check_schema(&search().input_schema).unwrap();
        check_schema(&json!({ "type": "object", "$schema": "http://json-schema.org/draft-07/schema#" })).unwrap();
        for (schema, names) in [
            (json!({ "type": "string" }), "object"),
            (json!("object"), "object"),
            (json!({ "properties": {} }), "object"),
            (json!({ "type": "object", "properties": { "a": { "type": "numbr" } } }), "numbr"),
            (
                json!({ "type": "object", "properties": { "a": { "$ref": "https://example.com/a.json" } } }),
                "example.com",
            ),
            (json!({ "type": "object", "properties": { "a": { "$ref": "file:///etc/passwd" } } }), "passwd"),
            (json!({ "type": "object", "properties": { "a": { "$ref": "#/$defs/none" } } }), "none"),
            (json!({ "type": "object", "properties": { "a": { "type": "string", "pattern": "(" } } }), "("),
            (json!({ "type": "object", "description": "x".repeat(SCHEMA_BYTES) }), "65536"),
        ] {
            let fault = check_schema(&schema).unwrap_err();
            assert!(fault.contains(names), "{fault}");
        }
    }

    /// Schemas come from servers of others: none may take the process or its time.
    #[test]
    fn tc_05_schemas_that_turn_in_circles_and_slow_patterns_end() {
        for schema in [
            json!({ "type": "object", "$ref": "#" }),
            json!({ "type": "object", "allOf": [{ "$ref": "#" }] }),
            json!({ "type": "object", "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } }),
        ] {
            if check_schema(&schema).is_ok() {
                let _ = validate(&tool(schema), &json!({ "a": {} }));
            }
        }
        let slow =
            tool(json!({ "type": "object", "properties": { "a": { "type": "string", "pattern": "^(?=(a+)+$)b" } } }));
        assert!(validate(&slow, &json!({ "a": format!("{}!", "a".repeat(5000)) })).is_err());
    }
}
