//! The list of what is to be done, as an agent writes and reads it.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use spool_protocol::Result;
use spool_store::Tx;

use super::{Call, Done};
use crate::context::CallContext;
use crate::functions::todos;
use crate::tables::{Author, Todo, TodosView};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Update {
    /// The whole list.
    pub todos: Vec<Todo>,
    /// The version that you read, if it must not have changed since.
    pub base_version: Option<u64>,
}

pub fn update(tx: &mut Tx<'_>, _ctx: &CallContext, call: &Call, input: Update) -> Result<Done> {
    let list = todos::replace(tx, &call.thread.id, input.base_version, input.todos, Author::Agent)?;
    Ok(Done::output(json!({ "version": list.version })))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Read {}

pub fn read(tx: &mut Tx<'_>, _ctx: &CallContext, call: &Call, _input: Read) -> Result<Done> {
    let TodosView { version, todos, .. } = todos::list_of(tx, &call.thread.id)?;
    Ok(Done::output(json!({ "version": version, "todos": todos })))
}
