//! The assistants that a server has, as far as functions have to know them.
//!
//! An assistant is configuration; only its id is stored. So it keeps its threads when it gets another name.

use schemars::JsonSchema;
use serde::Serialize;
use spool_protocol::{Code, Error, Result};

/// An assistant that a client may name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentChoice {
    /// Stays the same for ever.
    pub id: String,
    /// What people know it by.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The model it answers with, unless a thread or a message names another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Whether it makes a plan first, and carries it out when it is approved.
    pub phases: bool,
    /// Whether it speaks first when a thread is opened with an empty message.
    pub greets: bool,
}

/// Every assistant. The first answers where nobody chose.
#[derive(Debug, Clone, Default)]
pub struct Agents {
    pub known: Vec<AgentChoice>,
}

impl Agents {
    /// The one of this id, else the first. An id of old that is not configured any more does not stop a thread.
    pub fn find(&self, id: Option<&str>) -> Option<&AgentChoice> {
        self.known.iter().find(|agent| Some(agent.id.as_str()) == id).or_else(|| self.known.first())
    }

    /// # Errors
    /// `bad_request` if a caller names an assistant that there is not.
    pub(crate) fn check(&self, id: Option<&str>) -> Result<()> {
        match id {
            Some(id) if !self.known.iter().any(|agent| agent.id == id) => {
                let known: Vec<&str> = self.known.iter().map(|agent| agent.id.as_str()).collect();
                let message = format!("agent: this server has no assistant of that id; it has {}", known.join(", "));
                Err(Error::new(Code::BadRequest, message).with("path", "agent"))
            }
            _ => Ok(()),
        }
    }
}
