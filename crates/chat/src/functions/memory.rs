//! What is kept about a user: the assistant's memory, the user's own instructions, the profile. Each is one
//! document with a version; who writes from an older version is refused.

pub mod clear;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Order, Page, PaginationOpts, Tx};

use super::Nothing;
use crate::context::CallContext;
use crate::limits::{self, check_bytes, check_count};
use crate::parts;
use crate::principal::Principal;
use crate::tables::{MemoryEntry, Source, StateKind, StateVersion, StateVersionView, User, UserState, user_state};

/// The version that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Saved {
    pub version: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListPage {
    pub pagination_opts: PaginationOpts,
}

fn find(tx: &mut Tx<'_>, user: &Id<User>, kind: StateKind) -> Result<Option<UserState>> {
    tx.query(user_state::BY_USER).eq(user).eq(kind.as_str()).first()
}

fn source_of(ctx: &CallContext) -> Source {
    if matches!(ctx.principal, Principal::User { .. }) { Source::User } else { Source::Application }
}

/// The row to write into, if the writer saw its newest version. A first one is version 0 until it is saved.
fn opened(tx: &mut Tx<'_>, user: &Id<User>, kind: StateKind, base: Option<u64>) -> Result<UserState> {
    let now = tx.now();
    let row = match find(tx, user, kind)? {
        Some(row) => row,
        None => UserState {
            id: tx.new_id(),
            creation_time: now as f64,
            user_id: user.clone(),
            kind,
            version: 0,
            content: Value::Null,
            entries_made: 0,
            updated_at: now,
        },
    };
    match base {
        Some(base) if base != row.version => {
            let message = format!("it is at version {}, the writer saw {base}", row.version);
            Err(Error::new(Code::HistoryConflict, message).with("current", row.version).with("path", "baseVersion"))
        }
        _ => Ok(row),
    }
}

/// Stores the next version, and forgets the oldest beyond what is kept.
fn save(tx: &mut Tx<'_>, mut row: UserState, content: Value, source: Source) -> Result<Saved> {
    row.version += 1;
    row.content = content.clone();
    row.updated_at = tx.now();
    tx.put(&row)?;
    let (version, at) = (row.version, row.updated_at);
    let copy = StateVersion {
        id: tx.new_id(),
        creation_time: at as f64,
        state_id: row.id.clone(),
        version,
        content,
        source,
        at,
    };
    tx.put(&copy)?;
    let kept = limits::STATE_VERSIONS;
    let old = tx.query::<StateVersion>(user_state::VERSION_BY_STATE).eq(&row.id).le(version.saturating_sub(kept));
    for old in old.take(limits::LISTED)? {
        tx.delete(&old.id)?;
    }
    Ok(Saved { version })
}

/// Makes the document empty, and forgets every version that had something in it. Its number goes on, so that
/// nobody who saw an older one writes that back.
fn wipe(tx: &mut Tx<'_>, user: &Id<User>, kind: StateKind, empty: Value, source: Source) -> Result<()> {
    let Some(row) = find(tx, user, kind)? else { return Ok(()) };
    for old in tx.query::<StateVersion>(user_state::VERSION_BY_STATE).eq(&row.id).take(limits::LISTED)? {
        tx.delete(&old.id)?;
    }
    save(tx, row, empty, source).map(drop)
}

fn versions(
    tx: &mut Tx<'_>, ctx: &CallContext, kind: StateKind, options: &PaginationOpts,
) -> Result<Page<StateVersionView>> {
    let user = ctx.user()?.clone();
    let Some(row) = find(tx, &user, kind)? else { return Ok(Page::empty()) };
    let scan = tx.query::<StateVersion>(user_state::VERSION_BY_STATE).eq(&row.id).order(Order::Desc);
    Ok(scan.paginate(options)?.map(StateVersionView::from))
}

/// What the assistant remembers of the user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// 0 before the first entry. What to send as `baseVersion`.
    pub version: u64,
    pub entries: Vec<MemoryEntry>,
}

/// `memory:get`
pub fn get(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<Memory> {
    let row = find(tx, &ctx.user()?.clone(), StateKind::Memory)?;
    Ok(Memory { version: row.as_ref().map_or(0, |row| row.version), entries: entries(row.as_ref())? })
}

fn entries(row: Option<&UserState>) -> Result<Vec<MemoryEntry>> {
    let Some(row) = row.filter(|row| !row.content.is_null()) else { return Ok(Vec::new()) };
    serde_json::from_value(row.content.clone()).map_err(|error| Error::internal(format!("{}: {error}", row.id)))
}

pub(crate) fn entries_of(tx: &mut Tx<'_>, user: &Id<User>) -> Result<Vec<MemoryEntry>> {
    entries(find(tx, user, StateKind::Memory)?.as_ref())
}

/// An entry as a user writes it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Of an entry that exists, which keeps its time; absent makes a new one.
    pub id: Option<String>,
    pub text: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Update {
    /// The version that the writer saw; `history_conflict` if there is a newer one. Absent writes over any.
    pub base_version: Option<u64>,
    /// All entries from now on.
    pub entries: Vec<Entry>,
}

/// `memory:update`
pub fn update(tx: &mut Tx<'_>, ctx: &CallContext, args: Update) -> Result<Saved> {
    let user = ctx.user()?.clone();
    let source = source_of(ctx);
    let mut row = opened(tx, &user, StateKind::Memory, args.base_version)?;
    let before = entries(Some(&row))?;
    let mut after: Vec<MemoryEntry> = Vec::with_capacity(args.entries.len().min(limits::MEMORY_ENTRIES));
    check_count("entries", args.entries.len(), limits::MEMORY_ENTRIES)?;
    for (at, Entry { id, text }) in args.entries.into_iter().enumerate() {
        let path = format!("entries[{at}]");
        check_text(&format!("{path}.text"), &text)?;
        let known = match &id {
            None => None,
            Some(id) => {
                let twice = after.iter().any(|entry| entry.id == *id);
                let known = before.iter().find(|entry| entry.id == *id).filter(|_| !twice);
                let message = format!("{path}.id: no other entry of the memory has this id");
                Some(known.ok_or_else(|| Error::bad_request(message).with("path", format!("{path}.id")))?)
            }
        };
        after.push(match known {
            Some(known) if known.text == text => known.clone(),
            // What the person says themselves holds in every role.
            Some(known) => MemoryEntry { text, source, role: None, ..known.clone() },
            None => next_entry(&mut row, text, source, None, tx.now()),
        });
    }
    save(tx, row, json!(after), source)
}

fn next_entry(row: &mut UserState, text: String, source: Source, role: Option<&str>, now: u64) -> MemoryEntry {
    row.entries_made += 1;
    let role = role.map(str::to_owned);
    MemoryEntry { id: format!("m{}", row.entries_made), text, created_at: now, source, role }
}

fn check_text(path: &str, text: &str) -> Result<()> {
    if text.trim().is_empty() {
        return Err(Error::bad_request(format!("{path}: must not be blank")).with("path", path));
    }
    check_bytes(path, text, limits::MEMORY_BYTES)
}

/// The assistant keeps a fact, for the role in which it answers. One that it has there already is not kept twice.
/// Fails with `too_large` where the memory is full: something has to be forgotten first.
pub fn remember(tx: &mut Tx<'_>, user: &Id<User>, text: &str, role: Option<&str>) -> Result<MemoryEntry> {
    let text = text.trim();
    check_text("text", text)?;
    let mut row = opened(tx, user, StateKind::Memory, None)?;
    let mut kept = entries(Some(&row))?;
    if let Some(known) = kept.iter().find(|entry| entry.text == text && entry.is_for(role)) {
        return Ok(known.clone());
    }
    if kept.len() >= limits::MEMORY_ENTRIES {
        let message = format!("The memory has {} entries and is full: forget one first.", kept.len());
        return Err(Error::new(Code::TooLarge, message).with("limit", limits::MEMORY_ENTRIES));
    }
    let entry = next_entry(&mut row, text.to_owned(), Source::Assistant, role, tx.now());
    kept.push(entry.clone());
    save(tx, row, json!(kept), Source::Assistant)?;
    Ok(entry)
}

/// The assistant forgets a fact. False if it is told none of this id in this role.
pub fn forget(tx: &mut Tx<'_>, user: &Id<User>, id: &str, role: Option<&str>) -> Result<bool> {
    let row = opened(tx, user, StateKind::Memory, None)?;
    let mut kept = entries(Some(&row))?;
    let before = kept.len();
    kept.retain(|entry| entry.id != id || !entry.is_for(role));
    if kept.len() == before {
        return Ok(false);
    }
    save(tx, row, json!(kept), Source::Assistant)?;
    Ok(true)
}

/// `memory:versions`
pub fn memory_versions(tx: &mut Tx<'_>, ctx: &CallContext, args: ListPage) -> Result<Page<StateVersionView>> {
    versions(tx, ctx, StateKind::Memory, &args.pagination_opts)
}

/// `memory:clear`: nothing is remembered, and no earlier version either.
pub fn clear(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<()> {
    let user = ctx.user()?.clone();
    wipe(tx, &user, StateKind::Memory, json!([]), source_of(ctx))
}

/// What the user tells every conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Instructions {
    /// 0 before the first. What to send as `baseVersion`.
    pub version: u64,
    /// Empty without any.
    pub text: String,
}

/// `instructions:get`
pub fn get_instructions(tx: &mut Tx<'_>, ctx: &CallContext, _args: Nothing) -> Result<Instructions> {
    let row = find(tx, &ctx.user()?.clone(), StateKind::CustomInstructions)?;
    let text = row.as_ref().and_then(|row| row.content.as_str()).unwrap_or_default().to_owned();
    Ok(Instructions { version: row.map_or(0, |row| row.version), text })
}

/// The user's own instructions, if there are any.
pub(crate) fn instructions_of(tx: &mut Tx<'_>, user: &Id<User>) -> Result<Option<String>> {
    let row = find(tx, user, StateKind::CustomInstructions)?;
    let text = row.as_ref().and_then(|row| row.content.as_str()).map(str::trim);
    Ok(text.filter(|text| !text.is_empty()).map(str::to_owned))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetInstructions {
    /// Empty for none.
    pub text: String,
    /// The version that the writer saw; absent writes over any.
    pub base_version: Option<u64>,
}

/// `instructions:set`
pub fn set_instructions(tx: &mut Tx<'_>, ctx: &CallContext, args: SetInstructions) -> Result<Saved> {
    check_bytes("text", &args.text, limits::INSTRUCTIONS_BYTES)?;
    let user = ctx.user()?.clone();
    let row = opened(tx, &user, StateKind::CustomInstructions, args.base_version)?;
    save(tx, row, json!(args.text), source_of(ctx))
}

/// `instructions:versions`
pub fn instructions_versions(tx: &mut Tx<'_>, ctx: &CallContext, args: ListPage) -> Result<Page<StateVersionView>> {
    versions(tx, ctx, StateKind::CustomInstructions, &args.pagination_opts)
}

/// What the application says of the user.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Profile {
    /// 0 before the first. What to send as `baseVersion`.
    pub version: u64,
    pub fields: Map<String, Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OfUser {
    /// For backends: whose profile. Absent is the caller's own.
    pub user_id: Option<Id<User>>,
}

/// Users have their own profile, backends that of anybody.
fn whose(tx: &mut Tx<'_>, ctx: &CallContext, named: Option<Id<User>>) -> Result<Id<User>> {
    let own = ctx.user()?.clone();
    let Some(named) = named else { return Ok(own) };
    let may = named == own || matches!(ctx.principal, Principal::Service { .. });
    let here = tx.get(&named)?.filter(|user| may && user.leaving_at.is_none());
    here.map(|user| user.id).ok_or_else(|| Error::not_found("user"))
}

/// `profile:get`
pub fn get_profile(tx: &mut Tx<'_>, ctx: &CallContext, args: OfUser) -> Result<Profile> {
    let user = whose(tx, ctx, args.user_id)?;
    let version = find(tx, &user, StateKind::Profile)?.map_or(0, |row| row.version);
    Ok(Profile { version, fields: profile_of(tx, &user)? })
}

/// The fields of a profile.
pub(crate) fn profile_of(tx: &mut Tx<'_>, user: &Id<User>) -> Result<Map<String, Value>> {
    let row = find(tx, user, StateKind::Profile)?;
    Ok(row.and_then(|row| row.content.as_object().cloned()).unwrap_or_default())
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetProfile {
    /// For backends: whose profile. Absent is the caller's own.
    pub user_id: Option<Id<User>>,
    /// All fields from now on: texts, or any JSON.
    pub fields: Map<String, Value>,
    /// The version that the writer saw; absent writes over any.
    pub base_version: Option<u64>,
}

/// `profile:set`
pub fn set_profile(tx: &mut Tx<'_>, ctx: &CallContext, args: SetProfile) -> Result<Saved> {
    check_count("fields", args.fields.len(), limits::PROFILE_FIELDS)?;
    for name in args.fields.keys() {
        check_bytes("fields", name, limits::NAME_BYTES)?;
        if name.trim().is_empty() || name.contains('\n') {
            let message = "fields: a name is one line, and not blank";
            return Err(Error::bad_request(message).with("path", "fields"));
        }
    }
    let fields = Value::Object(args.fields);
    parts::check_json(&fields, "fields")?;
    check_bytes("fields", &fields.to_string(), limits::PROFILE_BYTES)?;
    let user = whose(tx, ctx, args.user_id)?;
    let row = opened(tx, &user, StateKind::Profile, args.base_version)?;
    save(tx, row, fields, source_of(ctx))
}

/// An account takes over what a guest has: what the account has itself stays, and the entries of two memories
/// come together as far as there is room.
pub(super) fn adopt(tx: &mut Tx<'_>, into: &Id<User>, row: UserState) -> Result<()> {
    if find(tx, into, row.kind)?.is_none() {
        return tx.put(&UserState { user_id: into.clone(), ..row });
    }
    if row.kind == StateKind::Memory {
        for entry in entries(Some(&row))? {
            let full = entries_of(tx, into)?.len() >= limits::MEMORY_ENTRIES;
            if !full {
                remember(tx, into, &entry.text, entry.role.as_deref())?;
            }
        }
    }
    for last in tx.query::<StateVersion>(user_state::VERSION_BY_STATE).eq(&row.id).take(limits::LISTED)? {
        tx.delete(&last.id)?;
    }
    tx.delete(&row.id).map(drop)
}
