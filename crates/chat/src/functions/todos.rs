//! The list of what is to be done in a thread, as people see and change it. Agents do so by their tools.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Tx};

use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::owned;
use crate::principal::Principal;
use crate::tables::{Author, Thread, Todo, Todos, TodosView, todos};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub thread_id: Id<Thread>,
}

/// `todos:get`: version 0 and no entries where nobody wrote a list.
pub fn get(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<TodosView> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    list_of(tx, &thread.id)
}

/// The list of a thread.
pub(crate) fn list_of(tx: &mut Tx<'_>, thread: &Id<Thread>) -> Result<TodosView> {
    let row = find(tx, thread)?;
    Ok(row.map_or_else(|| TodosView::empty(thread.clone()), TodosView::from))
}

fn find(tx: &mut Tx<'_>, thread: &Id<Thread>) -> Result<Option<Todos>> {
    tx.query::<Todos>(todos::BY_THREAD).eq(thread).first()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Update {
    pub thread_id: Id<Thread>,
    /// The version that the writer saw; `history_conflict` if there is a newer one.
    pub base_version: u64,
    /// The whole list.
    pub todos: Vec<Todo>,
}

/// Which version a list is at now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    pub version: u64,
}

/// `todos:update`
pub fn update(tx: &mut Tx<'_>, ctx: &CallContext, args: Update) -> Result<Saved> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    let author = if matches!(ctx.principal, Principal::User { .. }) { Author::User } else { Author::Agent };
    let saved = replace(tx, &thread.id, Some(args.base_version), args.todos, author)?;
    Ok(Saved { version: saved.version })
}

/// Stores the whole list as the next version; without `base`, whatever the list is at.
pub(crate) fn replace(
    tx: &mut Tx<'_>, thread: &Id<Thread>, base: Option<u64>, todos: Vec<Todo>, author: Author,
) -> Result<TodosView> {
    check_count("todos", todos.len(), limits::TODOS)?;
    for (at, todo) in todos.iter().enumerate() {
        let path = format!("todos[{at}].text");
        if todo.text.trim().is_empty() {
            return Err(Error::bad_request(format!("{path}: it is empty")).with("path", path));
        }
        check_bytes(&path, &todo.text, limits::TODO_BYTES)?;
    }
    let old = find(tx, thread)?;
    let current = old.as_ref().map_or(0, |old| old.version);
    if let Some(base) = base.filter(|base| *base != current) {
        let message = format!("the list is at version {current}, the writer saw {base}");
        return Err(Error::new(Code::HistoryConflict, message).with("current", current).with("path", "baseVersion"));
    }
    let now = tx.now();
    let (id, creation_time) = match old {
        Some(old) => (old.id, old.creation_time),
        None => (tx.new_id(), now as f64),
    };
    let thread_id = thread.clone();
    let row = Todos { id, creation_time, thread_id, version: current + 1, todos, author, updated_at: now };
    tx.put(&row)?;
    Ok(TodosView::from(row))
}
