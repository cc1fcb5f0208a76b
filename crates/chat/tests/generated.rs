//! Files that are generated from the function table are fresh.

use std::path::Path;

#[test]
fn openapi_is_fresh() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients/typescript/openapi.json");
    let fresh = serde_json::to_string_pretty(&spool_chat::openapi::document()).unwrap() + "\n";
    if std::fs::read_to_string(&file).is_ok_and(|present| present == fresh) {
        return;
    }
    std::fs::write(&file, fresh).unwrap();
    let expected = std::env::var_os("SPOOL_UPDATE").is_some();
    assert!(expected, "openapi.json was stale and is written anew: generate the types and commit both");
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
