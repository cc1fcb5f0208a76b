//! The OpenAPI document, generated from the function table. Types of clients are generated from it.
//!
//! `x-functions` has the arguments and results of every public function; the paths are the HTTP forms
//! of calling one. Must never be written by hand.

use std::collections::BTreeSet;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use spool_protocol::Code;

use crate::registry::{FUNCTIONS, Visibility};

const DEFINITIONS: &str = "#/components/schemas/";

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    })
}

/// The whole document.
pub fn document() -> Value {
    let (functions, schemas) = functions();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Spool",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A durable live backend for AI conversations.",
        },
        "paths": {
            "/api/query": call("query", "Runs a query once."),
            "/api/mutation": call("mutation", "Runs a mutation and answers when it is durable."),
            "/api/action": call("action", "Runs an action and answers when it is over."),
            "/api/auth/guest": guest(),
        },
        "components": { "schemas": schemas, "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } } },
        "security": [{ "bearer": [] }, {}],
        "x-functions": functions,
    });
    // The order of keys must not depend on how serde_json was built.
    document.sort_all_objects();
    document
}

/// `x-functions`, and the shared types of arguments and results.
fn functions() -> (Value, Value) {
    // What may be left out differs: arguments have defaults, results are always whole.
    let mut inputs: SchemaGenerator = settings().for_deserialize().into_generator();
    let mut outputs: SchemaGenerator = settings().for_serialize().into_generator();
    let public = FUNCTIONS.iter().filter(|function| function.visibility == Visibility::Public);
    let mut rows = Vec::new();
    for function in public {
        let mut args = (function.args_schema)(&mut inputs).to_value();
        if let Some(fields) = args.as_object_mut() {
            fields.remove("title");
            fields.remove("description");
        }
        rows.push((function, args, (function.returns_schema)(&mut outputs).to_value()));
    }
    let mut shared = outputs.take_definitions(true);
    shared.values_mut().for_each(never_null);
    rows.iter_mut().for_each(|(_, _, returns)| never_null(returns));
    let arguments = inputs.take_definitions(true);
    let differing = differing(&arguments, &shared);
    for (name, mut schema) in arguments {
        rename(&mut schema, &differing);
        let name = if differing.contains(&name) { format!("{name}Input") } else { name };
        shared.insert(name, schema);
    }
    let mut functions = Map::new();
    for (function, mut args, returns) in rows {
        rename(&mut args, &differing);
        let row = json!({
            "kind": function.kind.as_str(),
            "visibility": "public",
            "description": function.description,
            "args": args,
            "returns": returns,
        });
        functions.insert(function.path.to_owned(), row);
    }
    (Value::Object(functions), Value::Object(shared))
}

/// Types whose argument form is not their result form, or that hold such a type in both.
fn differing(arguments: &Map<String, Value>, results: &Map<String, Value>) -> BTreeSet<String> {
    let both = || arguments.iter().filter(|(name, _)| results.contains_key(*name));
    let mut differing: BTreeSet<String> =
        both().filter(|(name, schema)| results.get(*name) != Some(*schema)).map(|(name, _)| name.clone()).collect();
    loop {
        let holds = |(_, schema): &(&String, &Value)| {
            let mut renamed = (*schema).clone();
            rename(&mut renamed, &differing);
            renamed != **schema
        };
        let more: Vec<String> = both().filter(holds).map(|(name, _)| name.clone()).collect();
        let before = differing.len();
        differing.extend(more);
        if differing.len() == before {
            return differing;
        }
    }
}

/// A field of a result that may be missing is left out when it has no value, so it is never null.
fn never_null(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            let required: Vec<Value> = fields.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            if let Some(Value::Object(properties)) = fields.get_mut("properties") {
                let optional =
                    properties.iter_mut().filter(|(name, _)| !required.contains(&Value::from(name.as_str())));
                optional.for_each(|(_, property)| without_null(property));
            }
            fields.values_mut().for_each(never_null);
        }
        Value::Array(values) => values.iter_mut().for_each(never_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn without_null(property: &mut Value) {
    let null = json!({ "type": "null" });
    if let Some(Value::Array(kinds)) = property.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            property["type"] = only.clone();
        }
    }
    if let Some(Value::Array(choices)) = property.get_mut("anyOf") {
        choices.retain(|choice| *choice != null);
        if let [only] = choices.as_slice() {
            // Beside a reference a description stays; everything else of the choice is the property itself.
            let only = only.clone();
            if let (Value::Object(fields), Value::Object(only)) = (property, only) {
                fields.remove("anyOf");
                fields.extend(only);
            }
        }
    }
}

/// Points references to types whose argument form differs at that form.
fn rename(schema: &mut Value, differing: &BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref")
                && reference.strip_prefix(DEFINITIONS).is_some_and(|name| differing.contains(name))
            {
                reference.push_str("Input");
            }
            fields.values_mut().for_each(|value| rename(value, differing));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, differing)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn call(kind: &str, summary: &str) -> Value {
    let paths =
        FUNCTIONS.iter().filter(|function| function.visibility == Visibility::Public && function.kind.as_str() == kind);
    let paths: Vec<&str> = paths.map(|function| function.path).collect();
    json!({ "post": {
        "operationId": kind,
        "summary": summary,
        "requestBody": { "required": true, "content": { "application/json": { "schema": {
            "type": "object",
            "required": ["path"],
            "properties": {
                "path": { "type": "string", "enum": paths },
                "args": { "type": "object", "description": "As x-functions says for the path." },
                "format": { "type": "string", "enum": ["json"] },
            },
        } } } },
        "responses": {
            "200": { "description": "The function's result.", "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["status", "value"],
                "properties": { "status": { "const": "success" }, "value": {} },
            } } } },
            "default": failed(),
        },
    } })
}

fn guest() -> Value {
    json!({ "post": {
        "operationId": "guest",
        "summary": "Signs a guest in, where the server's policy allows it.",
        "security": [],
        "responses": {
            "200": { "description": "A token, to be sent as Bearer.", "content": { "application/json": { "schema": {
                "type": "object",
                "required": ["token", "userId"],
                "properties": { "token": { "type": "string" }, "userId": { "type": "string" } },
            } } } },
            "default": failed(),
        },
    } })
}

fn failed() -> Value {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    json!({ "description": "A typed error.", "content": { "application/json": { "schema": {
        "type": "object",
        "required": ["status", "errorMessage"],
        "properties": {
            "status": { "const": "error" },
            "errorMessage": { "type": "string" },
            "errorData": {
                "type": "object",
                "required": ["code", "message"],
                "properties": { "code": { "type": "string", "enum": codes }, "message": { "type": "string" } },
            },
        },
    } } } })
}
