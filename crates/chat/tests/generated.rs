//! Files that are generated from the function table are fresh.

use std::path::Path;

use serde_json::Value;

/// Writes a generated file anew if it is not `fresh`, and fails unless that was the wish (`make generate`).
fn check(file: &str, fresh: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    let fresh = serde_json::to_string_pretty(fresh).unwrap() + "\n";
    if std::fs::read_to_string(&path).is_ok_and(|present| present == fresh) {
        return;
    }
    std::fs::write(&path, fresh).unwrap();
    let expected = std::env::var_os("SPOOL_UPDATE").is_some();
    assert!(expected, "{file} was stale and is written anew: run `make generate` and commit what it writes");
}

#[test]
fn openapi_is_fresh() {
    check("clients/typescript/openapi.json", &spool_chat::openapi::document());
}

#[test]
fn the_cases_of_the_authorization_matrix_are_fresh() {
    check("tests/matrix/cases.json", &crate::matrix::cases());
}

#[test]
fn ty_01_every_reference_of_the_document_has_its_definition() {
    let document = spool_chat::openapi::document();
    let text = document.to_string();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("\"$ref\":\"") {
        rest = &rest[at + 8..];
        let reference = &rest[..rest.find('"').unwrap()];
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    assert!(document["x-functions"]["threads:create"]["args"]["properties"]["title"].is_object());
    assert!(document["x-functions"].get("driver:claim").is_none());
    let schemas = document["components"]["schemas"].as_object().unwrap();
    // Results are whole: what is optional there is left out, never null; arguments may be null.
    assert_eq!(schemas["MessageView"]["properties"]["model"]["type"], "string");
    assert!(schemas["Event"].to_string().contains("schemas/Usage\""));
    assert!(schemas["EventInput"].to_string().contains("schemas/UsageInput\""));
    assert!(!schemas.contains_key("Page"));
}
