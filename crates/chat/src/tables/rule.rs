//! What somebody decided for the future: calls of a tool that are allowed, refused or asked about without a
//! look at each. A rule speaks for its owner alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spool_store::{Document, Id, Index, Table};

use super::{Approval, User};

/// What a rule does with the calls that it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// They run without a question.
    Allow,
    /// They do not run.
    Deny,
    /// A person is asked, even if another rule allows them.
    Ask,
}

/// A condition on the arguments of a call. Exactly one of `equals` and `like` is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Condition {
    /// A place in the arguments as a JSON Pointer (RFC 6901): `/to/account`; the empty text is all of them. A place
    /// that is not there meets no condition.
    pub path: String,
    /// The value there is this one, whatever order its keys have.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::args::given")]
    pub equals: Option<Value>,
    /// The value there is a string of this shape, in which `*` stands for any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    #[serde(rename = "_id")]
    pub id: Id<Rule>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    pub user_id: Id<User>,
    /// Only calls of this agent; absent is of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The name of a tool, in which `*` stands for any text.
    pub tool: String,
    /// All of them hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<Condition>,
    pub effect: Effect,
    pub created_at: u64,
    /// The approval with which it was remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_from: Option<Id<Approval>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<u64>,
    /// Calls that it decided.
    pub uses: u64,
}

static INDEXES: [Index; 1] = [Index::new("by_user", &["userId", "createdAt"])];
pub static TABLE: Table = Table { name: "approval_rules", prefix: "rul", indexes: &INDEXES };
pub static BY_USER: &Index = &INDEXES[0];

impl Document for Rule {
    const TABLE: &'static Table = &TABLE;
    fn id(&self) -> &Id<Self> {
        &self.id
    }
}

/// A rule as its owner sees it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RuleView {
    #[serde(rename = "_id")]
    pub id: Id<Rule>,
    #[serde(rename = "_creationTime")]
    pub creation_time: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    pub tool: String,
    pub arguments: Vec<Condition>,
    pub effect: Effect,
    pub created_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_from: Option<Id<Approval>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<u64>,
    pub uses: u64,
}

impl From<Rule> for RuleView {
    fn from(rule: Rule) -> Self {
        Self {
            id: rule.id,
            creation_time: rule.creation_time,
            agent_id: rule.agent_id,
            tool: rule.tool,
            arguments: rule.arguments,
            effect: rule.effect,
            created_at: rule.created_at,
            created_from: rule.created_from,
            last_used_at: rule.last_used_at,
            uses: rule.uses,
        }
    }
}
