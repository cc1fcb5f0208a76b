//! Which tools of an MCP server are offered, and as what. Pure.
//!
//! A list comes from others: names are brought into the form that providers take, descriptions are cut, and a tool
//! whose schema is not taken is left out with a warning; the rest is offered all the same.

use std::collections::HashSet;
use std::sync::Arc;

use rmcp::model::Tool;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use spool_agent::ToolSpec;
use spool_agent::tools::check_schema;

use crate::config::tools::{McpServer, NAME_LENGTH, is_name_byte};

/// Tools of one server. More would fill the prompt before anybody said a word.
const TOOLS: usize = 256;
/// Bytes of a description that a model is given.
const DESCRIPTION_BYTES: usize = 8 << 10;
/// Hexadecimal digits that keep cut names apart.
const DIGITS: usize = 8;

/// A tool as it is offered, and what its server calls it.
pub struct Listed {
    pub spec: ToolSpec,
    pub own_name: String,
}

/// What is offered of a list. `left_out` is told of what is not, and why.
pub fn offered(name: &str, config: &McpServer, tools: &[Tool], left_out: &dyn Fn(&str)) -> Vec<Arc<Listed>> {
    let (mut listed, mut names) = (Vec::new(), HashSet::new());
    for tool in tools.iter().filter(|tool| config.offers(&tool.name)) {
        let offered = offered_name(&config.prefix(name), &tool.name);
        let schema = Value::Object(tool.input_schema.as_ref().clone());
        if listed.len() == TOOLS {
            left_out(&format!("{}: the server has more than {TOOLS} tools", tool.name));
        } else if let Err(fault) = check_schema(&schema) {
            left_out(&format!("{}: its input schema {fault}", tool.name));
        } else if !names.insert(offered.clone()) {
            left_out(&format!("{}: another tool is called {offered} already", tool.name));
        } else {
            let spec = spec(config, tool, offered, schema);
            listed.push(Arc::new(Listed { spec, own_name: tool.name.to_string() }));
        }
    }
    listed
}

/// What the operator says counts, then what the server says. Of a tool that nothing is said of, the worst is
/// assumed: it writes, and twice is not once.
fn spec(config: &McpServer, tool: &Tool, name: String, input_schema: Value) -> ToolSpec {
    let said = config.tools.get(tool.name.as_ref()).cloned().unwrap_or_default();
    let hints = tool.annotations.clone().unwrap_or_default();
    let writes = said.writes.unwrap_or(hints.read_only_hint != Some(true));
    let idempotent = said.idempotent.unwrap_or(!writes || hints.idempotent_hint == Some(true));
    let description = said.description.or_else(|| tool.description.as_deref().map(str::to_owned));
    let mut description = description.unwrap_or_default();
    description.truncate(description.floor_char_boundary(DESCRIPTION_BYTES));
    let title = tool.title.clone().or(hints.title);
    ToolSpec { name, title, description, input_schema, writes, idempotent, approvers: said.approvers.unwrap_or(1) }
}

/// The name for providers: other characters become `_`, and what is too long ends with a hash of itself.
fn offered_name(prefix: &str, own: &str) -> String {
    let safe = |c: char| if c.is_ascii() && is_name_byte(c as u8) { c } else { '_' };
    let mut name: String = prefix.chars().chain(own.chars().map(safe)).collect();
    if name.is_empty() {
        name.push('_');
    }
    if name.len() > NAME_LENGTH {
        let hash: String = Sha256::digest(own).iter().map(|byte| format!("{byte:02x}")).collect();
        name.truncate(NAME_LENGTH - DIGITS - 1);
        name = format!("{name}_{}", &hash[..DIGITS]);
    }
    name
}

/// Whether a tool that is offered with this prefix could have this name.
pub fn is_possible(prefix: &str, name: &str) -> bool {
    // A name that was too long may have lost the end of its prefix.
    let kept = prefix.len().min(NAME_LENGTH - DIGITS - 1);
    name.starts_with(prefix.get(..kept).unwrap_or(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::cell::RefCell;

    fn config(text: &str) -> McpServer {
        toml::from_str(&format!("command = \"a\"\n{text}")).unwrap()
    }

    fn tool(value: Value) -> Tool {
        let mut whole = json!({ "name": "find", "inputSchema": { "type": "object" } });
        whole.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    fn list(config: &McpServer, tools: &[Tool]) -> (Vec<ToolSpec>, Vec<String>) {
        let left_out = RefCell::new(Vec::new());
        let listed = offered("props", config, tools, &|why| left_out.borrow_mut().push(why.to_owned()));
        (listed.iter().map(|tool| tool.spec.clone()).collect(), left_out.into_inner())
    }

    #[test]
    fn tc_10_names_become_what_providers_take() {
        assert_eq!(offered_name("props_", "find.all/now"), "props_find_all_now");
        assert_eq!(offered_name("", "größe"), "gr__e");
        assert_eq!(offered_name("", ""), "_");
        assert!(is_possible("p_", "p_find") && is_possible("", "find") && !is_possible("p_", "q_find"));
        let (long, other) = (offered_name("p_", &"a".repeat(200)), offered_name("p_", &"a".repeat(201)));
        assert!(long.len() == 64 && other.len() == 64 && long != other, "{long} {other}");
        let (specs, left_out) = list(&config(""), &[tool(json!({"name": "a.b"})), tool(json!({"name": "a_b"}))]);
        assert_eq!((specs.len(), specs[0].name.as_str()), (1, "props_a_b"));
        assert!(left_out[0].contains("a_b") && left_out[0].contains("already"), "{left_out:?}");
    }

    #[test]
    fn tc_08_a_tool_writes_unless_somebody_says_that_it_does_not() {
        for (annotations, writes, idempotent) in [
            (Value::Null, true, false),
            (json!({ "readOnlyHint": true }), false, true),
            (json!({ "readOnlyHint": false, "idempotentHint": true }), true, true),
            (json!({ "destructiveHint": false }), true, false),
        ] {
            let value = if annotations.is_null() { json!({}) } else { json!({ "annotations": annotations }) };
            let (specs, _) = list(&config(""), &[tool(value)]);
            assert_eq!((specs[0].writes, specs[0].idempotent), (writes, idempotent), "{annotations}");
        }
        let said = config("[tools.find]\nwrites = true\nidempotent = true\napprovers = 2\ndescription = \"Ours.\"");
        let theirs =
            tool(json!({ "annotations": { "readOnlyHint": true }, "description": "Theirs.", "title": "Find" }));
        let (specs, _) = list(&said, &[theirs]);
        assert!(specs[0].writes && specs[0].idempotent && specs[0].approvers == 2);
        assert_eq!((specs[0].description.as_str(), specs[0].title.as_deref()), ("Ours.", Some("Find")));
    }

    #[test]
    fn tc_10_what_cannot_be_taken_is_left_out_and_the_rest_is_offered() {
        let tools = [
            tool(json!({ "name": "bad", "inputSchema": { "type": "object", "$ref": "https://x.example/a" } })),
            tool(json!({ "name": "hidden" })),
            tool(json!({ "name": "good", "description": "é".repeat(10_000) })),
        ];
        let (specs, left_out) = list(&config("exclude = [\"hid*\"]"), &tools);
        assert_eq!((specs.len(), left_out.len()), (1, 1), "{left_out:?}");
        assert!(left_out[0].starts_with("bad: its input schema"), "{left_out:?}");
        assert!(specs[0].name == "props_good" && specs[0].description.len() <= DESCRIPTION_BYTES);
        let many: Vec<Tool> = (0..300).map(|n| tool(json!({ "name": format!("t{n}") }))).collect();
        assert_eq!(list(&config(""), &many).0.len(), TOOLS);
    }
}
