//! What a model may call, as it is told to the model.
//!
//! Values only. Must never run anything: who runs a tool, and whether the caller may, is not known here.

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod schema;

pub use schema::{SCHEMA_BYTES, check_schema, validate};

/// A tool as a model and its judges see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolSpec {
    /// 1 to 64 of `a-z A-Z 0-9 _ -`, unique among the tools of a turn.
    pub name: String,
    /// For people; the name where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// For the model.
    pub description: String,
    /// JSON Schema of the input, whose type is `object`.
    pub input_schema: Value,
    /// It changes something outside: a person is asked first, unless a rule says otherwise.
    pub writes: bool,
    /// Calling it again with the same call id changes nothing more. What may be called again after a crash.
    pub idempotent: bool,
    /// How many different people have to agree, 1 or more, if it is asked about.
    pub approvers: u32,
}

/// Whether the model has to call a tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    #[default]
    Auto,
    /// Some tool.
    Required,
    None,
    /// This tool.
    Named(String),
}
