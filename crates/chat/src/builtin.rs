//! Tools that every agent of this server can have: documents, the list of what is to be done, questions to the
//! person, what is remembered of the user.
//!
//! Each runs inside the transaction that ends its call, and so exactly once: what it wrote, its output and its
//! events are stored together or not at all. A tool that fails fails that transaction. The name of a tool, its
//! description and the names of its arguments are what models read. Must never reach beyond the thread of the
//! call and the memory of its owner, whatever ids the model names.

mod documents;
mod memory;
mod people;
mod todos;

pub use people::answered;

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::Value;
use spool_protocol::{ApprovalKind, Event, Result};
use spool_store::{Id, Tx};

use crate::args::decode;
use crate::context::CallContext;
use crate::tables::{Artifact, Generation, Thread};

/// One built-in tool.
#[derive(Debug)]
pub struct BuiltIn {
    /// What models call it.
    pub name: &'static str,
    /// What models are told of it.
    pub description: &'static str,
    /// Whether it changes anything.
    pub writes: bool,
    /// The JSON Schema of its input.
    pub schema: fn() -> Value,
    pub run: fn(&mut Tx<'_>, &CallContext, &Call, Value) -> Result<Done>,
}

/// The call that a tool answers.
#[derive(Debug, Clone)]
pub struct Call {
    pub thread: Thread,
    pub generation: Generation,
    /// What the model calls its call.
    pub tool_call_id: String,
    pub agent_id: Option<String>,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Done {
    /// It is answered. The caller adds `events` to the log of the answer, before the end of the call.
    Output { output: Value, events: Vec<Event> },
    /// A person has to say something first; then [`answered`] is the output.
    Ask(Question),
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// `question` or `plan`.
    pub kind: ApprovalKind,
    /// With kind `question`.
    pub question: Option<String>,
    /// With kind `question`: what may be answered; empty leaves it open.
    pub options: Vec<String>,
    /// With kind `plan`: the artifact, and the version that is asked about.
    pub plan: Option<(Id<Artifact>, u64)>,
    /// For the log of the answer, before the request for approval.
    pub events: Vec<Event>,
}

impl Done {
    fn output(output: Value) -> Self {
        Self::Output { output, events: Vec::new() }
    }
}

/// `name writes (function)(Input) = "what models are told"`
macro_rules! tools {
    ($($name:literal $access:ident $run:path, $input:ty => $description:literal;)*) => {
        &[$(BuiltIn {
            name: $name,
            description: $description,
            writes: tools!(@$access),
            schema: schema::<$input>,
            run: |tx, ctx, call, input| $run(tx, ctx, call, read::<$input>(input)?),
        },)*]
    };
    (@writes) => { true };
    (@reads) => { false };
}

static TOOLS: &[BuiltIn] = tools![
    "write_artifact" writes documents::write, documents::Write =>
        "Writes a document that the user sees beside the conversation: a plan, a report, a document or code. Use it for anything longer than a few paragraphs that the user will keep or change. Give kind and title before content: the user watches it grow. Returns its artifactId and version.";
    "edit_artifact" writes documents::edit, documents::Edit =>
        "Changes a document. Name the version that you read as baseVersion, and either replacements (each `old` text must occur exactly once) or the whole new content. Fails if somebody has changed it since: read it again then.";
    "read_artifact" reads documents::read, documents::Read =>
        "Reads a document: the newest version unless you name one. The user may have changed it, so read it before you rely on it.";
    "list_artifacts" reads documents::list, documents::List =>
        "Lists the documents of this conversation, newest first, without their contents.";
    "update_todos" writes todos::update, todos::Update =>
        "Replaces the list of what is to be done in this conversation, which the user sees. Write the whole list every time, and keep at most one entry in_progress.";
    "read_todos" reads todos::read, todos::Read =>
        "Reads the list of what is to be done in this conversation. The user may have changed it.";
    "ask_human" reads people::ask, people::Ask =>
        "Asks the user a question and waits for the answer, which can take long. Ask only what you cannot find out or decide yourself.";
    "submit_plan" writes people::submit_plan, people::SubmitPlan =>
        "Shows the user a plan and waits for approval. The user may change it: carry out exactly the content that comes back. If it is rejected, make another plan by the reason.";
    "remember" writes memory::remember, memory::Remember =>
        "Keeps one fact about the user for later conversations. Use it for lasting facts and wishes that the user tells you or asks you to keep, never for secrets or for what only matters now. Returns the id of the entry.";
    "forget" writes memory::forget, memory::Forget =>
        "Removes an entry of what you remember about the user, by its id. Use it when the user asks for it, or when the entry is wrong.";
];

/// The tool of this name.
pub fn find(name: &str) -> Option<&'static BuiltIn> {
    all().iter().find(|tool| tool.name == name)
}

/// Every built-in tool.
pub fn all() -> &'static [BuiltIn] {
    TOOLS
}

/// Whole in itself, because models and validators get it alone.
fn schema<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    SchemaGenerator::new(settings).into_root_schema_for::<T>().to_value()
}

fn read<T: DeserializeOwned>(input: Value) -> Result<T> {
    decode(input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ty_01_every_tool_has_a_name_of_its_own_and_a_schema_of_an_object() {
        let mut seen = HashSet::new();
        for tool in all() {
            assert!(seen.insert(tool.name), "{}", tool.name);
            let fits = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(tool.name.len() <= 64 && tool.name.chars().all(fits), "{}", tool.name);
            let schema = (tool.schema)();
            assert_eq!(schema["type"], "object", "{}", tool.name);
            assert_eq!(schema["additionalProperties"], false, "{}: {schema}", tool.name);
            assert!(!schema.to_string().contains("$ref"), "{}: {schema}", tool.name);
        }
    }
}
