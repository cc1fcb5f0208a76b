//! What a model was told before the conversation, section by section, so that the owner can look it up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_store::{Document, Id, Index, Table};

use super::{Generation, Thread};

/// A labelled piece of the instructions: `base`, `role`, `profile`, `memory`, `page`, `summary`, `todos`, `greeting`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Section {
    pub label: String,
    pub text: String,
}

/// The prompt of one generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prompt {
    #[serde(rename = "_id")]
    pub id: Id<Prompt>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub thread_id: Id<Thread>,
    pub generation_id: Id<Generation>,
    pub model: String,
    pub sections: Vec<Section>,
    /// Names of the tools that were offered.
    pub tools: Vec<String>,
    /// Messages of the conversation that were sent behind the sections.
    pub messages: u32,
}

static INDEXES: [Index; 2] =
    [Index::unique("by_generation", &["generationId"]), Index::new("by_thread", &["threadId"])];
pub static TABLE: Table = Table { name: "prompts", prefix: "prm", indexes: &INDEXES };
pub static BY_GENERATION: &Index = &INDEXES[0];
pub static BY_THREAD: &Index = &INDEXES[1];

impl Document for Prompt {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}
