//! What an MCP tool answered, as one value.

use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::Value;

use crate::tools::hidden::Hidden;
use crate::tools::{FailureKind, ToolFailure};

/// The structured content if there is some, else the text, else the blocks as they came.
pub fn value(tool: &str, result: CallToolResult, hidden: &Hidden) -> Result<Value, ToolFailure> {
    if result.is_error == Some(true) {
        let said = hidden.excerpt(&texts(&result.content).join("\n"));
        let said = if said.is_empty() { "it does not say why".into() } else { said };
        return Err(ToolFailure::new(FailureKind::Failed, format!("{tool} failed: {said}")));
    }
    if let Some(structured) = result.structured_content {
        return Ok(structured);
    }
    let texts = texts(&result.content);
    if texts.len() == result.content.len() {
        return Ok(Value::String(texts.join("\n")));
    }
    serde_json::to_value(&result.content).map_err(|error| {
        ToolFailure::new(FailureKind::Failed, format!("{tool} answered with what cannot be kept: {error}"))
    })
}

fn texts(content: &[ContentBlock]) -> Vec<&str> {
    content.iter().filter_map(|block| Some(block.as_text()?.text.as_str())).collect()
}
