//! Documents as an agent writes and reads them. The agent and the people see each other's changes: there is one
//! artifact, and the newest version is what is read.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Order, Tx};

use super::{Call, Done};
use crate::context::CallContext;
use crate::functions::artifacts::{self, Naming, Pins, Writer, writing};
use crate::limits::{self, check_bytes, check_count};
use crate::quota;
use crate::states::ArtifactStep;
use crate::tables::{Artifact, Author, artifact};

/// Documents that a list shows.
const LISTED: usize = 50;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Write {
    /// `plan`, `report`, `document` or `code`.
    pub kind: String,
    /// One line.
    pub title: String,
    /// The whole text, in Markdown unless it is code.
    pub content: String,
}

pub fn write(tx: &mut Tx<'_>, ctx: &CallContext, call: &Call, input: Write) -> Result<Done> {
    let made = create(tx, ctx, call, input)?;
    Ok(saved(&made))
}

/// The artifact of the call: the one that people have seen while it was written, or a new one.
pub(super) fn create(tx: &mut Tx<'_>, ctx: &CallContext, call: &Call, input: Write) -> Result<Artifact> {
    let Write { kind, title, content } = input;
    let naming = Naming { kind, title, key: None };
    naming.check()?;
    check_bytes("content", &content, limits::ARTIFACT_BYTES)?;
    quota::check_storage_of(tx, ctx, &call.thread.user_id, content.len() as u64)?;
    if let Some(draft) = writing::find(tx, &call.generation, &call.tool_call_id)? {
        return writing::finish(tx, &call.generation, draft, naming, content);
    }
    let pins = pins(call);
    let mut made = artifacts::named(tx, &call.thread, naming, &pins);
    artifacts::write_version(tx, &mut made, content, writer(call), pins)?;
    Ok(made)
}

fn pins(call: &Call) -> Pins {
    Pins {
        message: Some(call.generation.message_id.clone()),
        generation: Some(call.generation.clone()),
        tool_call: Some(call.tool_call_id.clone()),
    }
}

/// The account is that of the person for whom the agent works.
fn writer(call: &Call) -> Writer {
    Writer { author: Author::Agent, user: call.generation.user_id.clone() }
}

fn saved(artifact: &Artifact) -> Done {
    let Artifact { id, version, status, .. } = artifact;
    let output = json!({ "artifactId": id, "version": version, "status": status });
    Done::Output { output, events: vec![artifacts::event(artifact, *version)] }
}

/// The artifact, if it is one of this thread.
fn find(tx: &mut Tx<'_>, call: &Call, id: &Id<Artifact>) -> Result<Artifact> {
    let found = tx.get(id)?.filter(|artifact| artifact.thread_id == call.thread.id);
    found.ok_or_else(|| Error::new(Code::NotFound, "There is no such document in this conversation."))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Edit {
    pub artifact_id: Id<Artifact>,
    /// The version that you read.
    pub base_version: u64,
    /// Replacements, carried out one after the other. Either these or `content`.
    pub edits: Option<Vec<Replacement>>,
    /// The whole new text.
    pub content: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Replacement {
    /// Text that occurs exactly once.
    pub old: String,
    pub new: String,
}

pub fn edit(tx: &mut Tx<'_>, ctx: &CallContext, call: &Call, input: Edit) -> Result<Done> {
    let mut artifact = find(tx, call, &input.artifact_id)?;
    artifacts::check_base(&artifact, input.base_version)?;
    let content = match (input.edits, input.content) {
        (None, Some(content)) => content,
        (Some(edits), None) => {
            let version = artifacts::version_of(tx, &artifact, artifact.version)?;
            replaced(artifacts::content_of(tx, &version)?, edits)?
        }
        _ => return Err(Error::bad_request("edits: expected either edits or content").with("path", "edits")),
    };
    check_bytes("content", &content, limits::ARTIFACT_BYTES)?;
    quota::check_storage_of(tx, ctx, &call.thread.user_id, content.len() as u64)?;
    artifact.status = artifact.status.step(ArtifactStep::Edit)?;
    artifacts::write_version(tx, &mut artifact, content, writer(call), pins(call))?;
    Ok(saved(&artifact))
}

/// The text after the replacements. Each has to mean one place, or the model meant something else.
fn replaced(mut text: String, edits: Vec<Replacement>) -> Result<String> {
    check_count("edits", edits.len(), limits::EDITS)?;
    for (at, Replacement { old, new }) in edits.into_iter().enumerate() {
        let path = format!("edits[{at}].old");
        let wrong = |what: &str| Err(Error::bad_request(format!("{path}: {what}")).with("path", path.as_str()));
        let mut places = text.match_indices(&old).map(|(place, _)| place);
        match (places.next(), places.next()) {
            _ if old.is_empty() => return wrong("it is empty"),
            (None, _) => return wrong("this text is not in the document; read it again"),
            (Some(_), Some(_)) => return wrong("this text occurs more than once; give more of what is around it"),
            (Some(place), None) => text.replace_range(place..place + old.len(), &new),
        }
        check_bytes("content", &text, limits::ARTIFACT_BYTES)?;
    }
    Ok(text)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Read {
    pub artifact_id: Id<Artifact>,
    /// Absent is the newest.
    pub version: Option<u64>,
}

pub fn read(tx: &mut Tx<'_>, _ctx: &CallContext, call: &Call, input: Read) -> Result<Done> {
    let artifact = find(tx, call, &input.artifact_id)?;
    let view = artifacts::read(tx, artifact, input.version)?;
    let version = view.version;
    Ok(Done::output(json!({
        "artifactId": view.id, "kind": view.kind, "title": version.title, "status": version.status,
        "version": version.version, "current": view.current, "author": version.author, "content": view.content,
    })))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct List {}

pub fn list(tx: &mut Tx<'_>, _ctx: &CallContext, call: &Call, _input: List) -> Result<Done> {
    let scan = tx.query::<Artifact>(artifact::BY_THREAD).eq(&call.thread.id).order(Order::Desc);
    let found = scan.take(LISTED + 1)?;
    let more = found.len() > LISTED;
    let shown = |row: &Artifact| {
        let Artifact { id, kind, title, status, version, content_bytes, .. } = row;
        json!({
            "artifactId": id, "kind": kind, "title": title, "status": status, "version": version,
            "bytes": content_bytes,
        })
    };
    let artifacts: Vec<Value> = found.iter().take(LISTED).map(shown).collect();
    Ok(Done::output(json!({ "artifacts": artifacts, "more": more })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(pairs: &[(&str, &str)]) -> Vec<Replacement> {
        pairs.iter().map(|(old, new)| Replacement { old: (*old).into(), new: (*new).into() }).collect()
    }

    #[test]
    fn ar_02_an_edit_means_one_place_or_nothing() {
        let text = || "one two two three".to_owned();
        assert_eq!(replaced(text(), edits(&[("one", "1"), ("1 two", "x")])).unwrap(), "x two three");
        for (old, says) in [("two", "more than once"), ("four", "not in the document"), ("", "empty")] {
            let error = replaced(text(), edits(&[("one", "1"), (old, "y")])).unwrap_err();
            assert!(error.message.contains(says), "{error}");
            assert_eq!(error.data.unwrap()["path"], "edits[1].old");
        }
    }
}
