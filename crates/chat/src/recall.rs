//! What a model is told besides the conversation itself: who the user is, what it remembers, what was said
//! before, what is to be done. The text of each section, or nothing.
//!
//! Read anew for every answer. Must never put anything of another user into a section.

use serde_json::Value;
use spool_protocol::Result;
use spool_store::Tx;

use crate::functions::memory::{self, instructions_of, profile_of};
use crate::functions::todos;
use crate::limits;
use crate::summary;
use crate::tables::{Message, Role, Section, Summary, Thread, Todo, TodoStatus, User};

/// What stands in the prompt for a user who opened the conversation without a word.
pub const OPENING: &str = "(The user has opened the conversation and said nothing yet.)";

/// The sections that rows know, in their order.
pub(crate) fn sections(tx: &mut Tx<'_>, thread: &Thread) -> Result<Vec<Section>> {
    let Some(user) = tx.get(&thread.user_id)? else { return Ok(Vec::new()) };
    let sections = [
        ("profile", profile_section(tx, thread, &user)?),
        ("memory", memory_section(tx, thread, &user)?),
        ("summary", summary_section(tx, thread, &user)?),
        ("todos", todos_section(tx, thread)?),
    ];
    let section = |(label, text): (&str, Option<String>)| Some(Section { label: label.to_owned(), text: text? });
    Ok(sections.into_iter().filter_map(section).collect())
}

/// Who the user is: name, role, and the fields of the profile. Nothing without a name and without fields. The
/// e-mail address is not in it: an application that wants it told puts it into the profile.
pub fn profile_section(tx: &mut Tx<'_>, thread: &Thread, user: &User) -> Result<Option<String>> {
    let fields = profile_of(tx, &user.id)?;
    let name = user.name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    if name.is_none() && fields.is_empty() {
        return Ok(None);
    }
    let mut lines = vec!["About the user:".to_owned()];
    lines.extend(name.map(|name| format!("- Name: {name}")));
    lines.extend(thread.last_role.as_deref().map(|role| format!("- Role: {role}")));
    lines.extend(fields.iter().map(|(name, value)| match value {
        Value::String(text) => format!("- {name}: {text}"),
        other => format!("- {name}: {other}"),
    }));
    Ok(Some(lines.join("\n")))
}

/// What the user tells every conversation, and what the assistant remembers in the role of the answer. Entries carry
/// their ids, so that they can be forgotten by them.
pub fn memory_section(tx: &mut Tx<'_>, thread: &Thread, user: &User) -> Result<Option<String>> {
    let mut pieces = Vec::new();
    if let Some(instructions) = instructions_of(tx, &user.id)? {
        pieces.push(format!("The user's own instructions:\n{instructions}"));
    }
    let mut entries = memory::entries_of(tx, &user.id)?;
    entries.retain(|entry| entry.is_for(thread.last_role.as_deref()));
    if !entries.is_empty() {
        let lines: Vec<String> = entries.iter().map(|entry| format!("- [{}] {}", entry.id, entry.text)).collect();
        pieces.push(format!("What you remember about the user:\n{}", lines.join("\n")));
    }
    Ok(Some(pieces.join("\n\n")).filter(|text| !text.is_empty()))
}

/// What was said before the messages that are sent: the summary of this thread, or else what the window before
/// it left. Of that window the end is quoted as far as its summary does not have it yet.
pub fn summary_section(tx: &mut Tx<'_>, thread: &Thread, _user: &User) -> Result<Option<String>> {
    if let Some(own) = summary::of(tx, &thread.id)?.filter(|summary| summary.version > 0) {
        return Ok(Some(format!("Earlier conversation, in summary:\n{}", own.text)));
    }
    let Some(before) = summary::carried_from(tx, thread)? else { return Ok(None) };
    let mut pieces = Vec::new();
    if let Some(text) = summary::known(tx, &before)? {
        pieces.push(format!("Earlier conversation, in summary:\n{text}"));
    }
    let start = summary::of(tx, &before.id)?.as_ref().map_or(0, Summary::end);
    let rest = summary::newest(tx, &before, start, limits::CARRIED_MESSAGES)?;
    if !rest.is_empty() {
        let lines: Vec<String> = rest.iter().map(quoted).collect();
        pieces.push(format!("The end of the earlier conversation:\n{}", lines.join("\n")));
    }
    Ok(Some(pieces.join("\n\n")).filter(|text| !text.is_empty()))
}

/// The list of what is to be done in the thread, while an entry of it is open.
fn todos_section(tx: &mut Tx<'_>, thread: &Thread) -> Result<Option<String>> {
    let list = todos::list_of(tx, &thread.id)?.todos;
    if !list.iter().any(|todo| matches!(todo.status, TodoStatus::Pending | TodoStatus::InProgress)) {
        return Ok(None);
    }
    let line = |todo: &Todo| {
        let status = match todo.status {
            TodoStatus::Pending => "to do",
            TodoStatus::InProgress => "in progress",
            TodoStatus::Completed => "done",
            TodoStatus::Cancelled => "cancelled",
        };
        format!("- {status}: {}", todo.text)
    };
    let lines: Vec<String> = list.iter().map(line).collect();
    Ok(Some(format!("What is to be done in this conversation:\n{}", lines.join("\n"))))
}

fn quoted(message: &Message) -> String {
    let who = match message.role {
        Role::User => "User",
        Role::Assistant => "Assistant",
        Role::System | Role::Tool => "System",
    };
    format!("{who}: {}", summary::shortened(&message.text(), limits::CARRIED_BYTES))
}

/// The place of the first message that is sent as it is: what is before it is in the summary.
pub fn history_start(tx: &mut Tx<'_>, thread: &Thread) -> Result<u64> {
    let own = summary::of(tx, &thread.id)?.filter(|summary| summary.version > 0);
    Ok(own.as_ref().map_or(0, Summary::end))
}
