//! The assistants of the configuration: who answers, with which instructions, tools and models.

use std::collections::BTreeMap;

use spool_agent::{FlushPolicy, ToolSpec, TurnPolicy};
use spool_chat::agents::AgentChoice;
use spool_chat::builtin;
use spool_chat::states::Phase;

use crate::config::Config;
use crate::config::agents::{ASSISTANT, Agent, matches};

/// Every assistant by its id.
pub struct Agents {
    known: BTreeMap<String, Agent>,
    /// Answers where nobody chose.
    default: (String, Agent),
}

impl Agents {
    pub fn new(config: &Config) -> Self {
        let mut known = config.agents.clone();
        if known.is_empty() {
            known.insert(ASSISTANT.to_owned(), Agent::default());
        }
        let wanted = config.agent.as_deref().unwrap_or(ASSISTANT);
        let default = known.get_key_value(wanted).or_else(|| known.first_key_value());
        let default = default.map(|(id, agent)| (id.clone(), agent.clone())).unwrap_or_default();
        Self { known, default }
    }

    /// The one of this id, else the default. An id of old does not stop a thread.
    pub fn find(&self, id: Option<&str>) -> (&str, &Agent) {
        let found = id.and_then(|id| self.known.get_key_value(id));
        let (id, agent) = found.unwrap_or((&self.default.0, &self.default.1));
        (id, agent)
    }

    /// What functions and clients may know, the default first.
    pub fn choices(&self) -> Vec<AgentChoice> {
        let choice = |(id, agent): (&String, &Agent)| AgentChoice {
            id: id.clone(),
            name: agent
                .name
                .clone()
                .unwrap_or_else(|| if id == ASSISTANT { "Assistant".to_owned() } else { id.clone() }),
            description: agent.description.clone(),
            model: agent.model.clone(),
            phases: agent.phases,
            greets: agent.greeting.is_some(),
        };
        let mut choices: Vec<AgentChoice> = self.known.iter().map(choice).collect();
        choices.sort_by_key(|choice| choice.id != self.default.0);
        choices
    }
}

/// The tool with which an assistant that plans first shows its plan.
const SUBMIT_PLAN: &str = "submit_plan";

/// Which of all tools an assistant is offered in a role, and in a phase of its run: while it plans it has those
/// that change nothing, and can submit its plan; while it carries the plan out it has the others.
pub fn offered(agent: &Agent, role: Option<&str>, phase: Option<Phase>, all: &[ToolSpec]) -> Vec<ToolSpec> {
    let allowed = agent.tools(role);
    let planning = phase.is_some_and(|phase| phase != Phase::Executing);
    // What a tool of the server itself writes needs no approval, and is no planning either.
    let changes = |tool: &ToolSpec| builtin::find(&tool.name).map_or(tool.writes, |own| own.writes);
    let fits = |tool: &&ToolSpec| {
        if phase.is_some() && tool.name == SUBMIT_PLAN {
            return planning;
        }
        let plans = !planning || agent.plan_tools.as_ref().map_or(!changes(tool), |plan| matches(plan, &tool.name));
        matches(allowed, &tool.name) && plans
    };
    all.iter().filter(fits).cloned().collect()
}

/// How far a turn of this assistant may go.
pub fn policy(agent: &Agent, flush: FlushPolicy) -> TurnPolicy {
    TurnPolicy {
        flush,
        max_steps: agent.max_steps,
        max_repeats: agent.max_repeats,
        max_calls: spool_chat::limits::STEP_CALLS,
        candidates: 1 + agent.fallback.len(),
        retries: agent.retries,
        ..TurnPolicy::default()
    }
}
