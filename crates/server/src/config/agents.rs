//! Assistants, as `[agents.<id>]` says. Without any there is one, `assistant`, which follows `instructions`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::Deserialize;
use spool_chat::rules::is_like;
use spool_chat::states::{Phase, PhaseNames};

/// The id of the assistant that is there without any configuration.
pub const ASSISTANT: &str = "assistant";
/// The overlay for roles that have none of their own.
const ANY_ROLE: &str = "default";
/// The longest name of a phase, in characters: four stand in a line.
const PHASE_NAME_CHARS: usize = 40;

/// One assistant.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agent {
    /// What people know it by. Default: the id.
    pub name: Option<String>,
    pub description: Option<String>,
    /// What it is told first. Default: the server's `instructions`.
    pub instructions: Option<String>,
    /// The model it answers with, unless a thread or a message names another.
    pub model: Option<String>,
    /// Tools it may call, by name or pattern (`crm_*`, `*`). None by default.
    pub tools: Vec<String>,
    /// Times that the model may be asked in one turn, 1 to 100.
    pub max_steps: u32,
    /// Calls of one tool with the same arguments in one turn, 1 to 100.
    pub max_repeats: u32,
    /// Seconds that one call of a tool may take, 1 to 3600.
    pub tool_timeout_seconds: u64,
    /// Bytes of a result that the model is given, 256 to 1048576. The rest is kept and can be looked up.
    pub max_result_bytes: usize,
    /// The most tokens of an answer of the model. Default: the provider's.
    pub max_output_tokens: Option<u32>,
    /// 0.0 to 2.0. Default: the model's own.
    pub temperature: Option<f64>,
    /// Models that are asked in turn when the first one fails.
    pub fallback: Vec<String>,
    /// How often a model is asked again after a failure that may pass, 0 to 10.
    pub retries: u32,
    /// How it opens a conversation that the user began without a word.
    pub greeting: Option<String>,
    /// The tool that says what is on the page that the user looks at.
    pub page_tool: Option<String>,
    /// Makes a plan first, and carries it out when it is approved.
    pub phases: bool,
    /// Tools while it plans. Default: those of `tools` that change nothing.
    pub plan_tools: Option<Vec<String>>,
    /// Tools that a person is asked about each time, whatever rules say.
    pub high_risk: Vec<String>,
    /// What is different in a role; `default` is for roles without an overlay.
    pub roles: BTreeMap<String, Overlay>,
}

/// What is different in a role.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Overlay {
    /// What the assistant is told behind its own instructions.
    pub instructions: Option<String>,
    /// The tools in this role, instead of those of the assistant.
    pub tools: Option<Vec<String>>,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            name: None,
            description: None,
            instructions: None,
            model: None,
            tools: Vec::new(),
            max_steps: 5,
            max_repeats: 3,
            tool_timeout_seconds: 60,
            max_result_bytes: 64 << 10,
            max_output_tokens: None,
            temperature: None,
            fallback: Vec::new(),
            retries: 0,
            greeting: None,
            page_tool: None,
            phases: false,
            plan_tools: None,
            high_risk: Vec::new(),
            roles: BTreeMap::new(),
        }
    }
}

impl Agent {
    /// What is different in a role. A role that nobody thought of has the overlay `default`, if there is one.
    pub fn overlay(&self, role: Option<&str>) -> Option<&Overlay> {
        self.roles.get(role?).or_else(|| self.roles.get(ANY_ROLE))
    }

    /// Patterns of the tools that may be called in a role.
    pub fn tools(&self, role: Option<&str>) -> &[String] {
        self.overlay(role).and_then(|overlay| overlay.tools.as_deref()).unwrap_or(&self.tools)
    }

    fn check(&self, id: &str) -> Result<()> {
        let checks = [
            ("max_steps", (1..=100).contains(&self.max_steps), "1 to 100"),
            ("max_repeats", (1..=100).contains(&self.max_repeats), "1 to 100"),
            ("tool_timeout_seconds", (1..=3600).contains(&self.tool_timeout_seconds), "1 to 3600"),
            ("max_result_bytes", (256..=1 << 20).contains(&self.max_result_bytes), "256 to 1048576"),
            ("retries", self.retries <= 10, "0 to 10"),
            ("temperature", self.temperature.is_none_or(|t| (0.0..=2.0).contains(&t)), "0.0 to 2.0"),
            ("name", self.name.as_ref().is_none_or(|name| !name.trim().is_empty()), "a text that is not blank"),
        ];
        for (key, valid, range) in checks {
            if !valid {
                bail!("agents.{id}.{key}: must be {range}");
            }
        }
        Ok(())
    }
}

/// Whether a name is meant by one of these patterns, in which `*` stands for any text.
pub fn matches(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| is_like(pattern, name))
}

/// Ids are lowercase words, because they stand in rows and addresses for ever; roles must be known.
pub(super) fn check(
    agents: &BTreeMap<String, Agent>, default: Option<&str>, knows_role: impl Fn(&str) -> bool,
) -> Result<()> {
    for (id, agent) in agents {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if id.is_empty() || id.len() > 64 || !id.bytes().all(plain) {
            bail!("agents.{id}: an id must be 1 to 64 lowercase letters, digits, - and _");
        }
        agent.check(id)?;
        if let Some(role) = agent.roles.keys().find(|role| *role != ANY_ROLE && !knows_role(role)) {
            bail!("agents.{id}.roles.{role}: must be one of roles.known, or {ANY_ROLE}");
        }
    }
    match default {
        Some(id) if !agents.contains_key(id) => bail!("agent: must be the id of one of [agents.…], not \"{id}\""),
        _ => Ok(()),
    }
}

pub(super) fn check_names(phases: &PhaseNames) -> Result<()> {
    for phase in Phase::ALL {
        let name = phases.of(phase).trim();
        if name.is_empty() || name.chars().count() > PHASE_NAME_CHARS {
            bail!("phases.{}: must be 1 to {PHASE_NAME_CHARS} characters", phase.as_str());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;
    use super::*;

    #[test]
    fn op_09_a_mistake_in_agents_is_named_with_its_key() {
        for (text, names) in [
            ("[agents.\"A B\"]", "agents.A B"),
            ("[agents.a]\nmax_steps = 0", "agents.a.max_steps"),
            ("[agents.a]\ntemperature = 3.0", "agents.a.temperature"),
            ("[agents.a.roles.nobody]\ntools = []", "agents.a.roles.nobody"),
            ("[agents.a]\ntool = [\"x\"]", "tool"),
            ("agent = \"b\"\n[agents.a]", "agent: must be"),
        ] {
            let error = format!("{:#}", load(text, &[]).unwrap_err());
            assert!(error.contains(names), "{error}");
        }
    }

    #[test]
    fn tc_04_tools_follow_the_role_and_patterns_match_whole_names() {
        let text = r#"
            [roles.known.broker]
            name = "Broker"
            [roles.known.investor]
            name = "Investor"
            [agents.a]
            tools = ["search_*"]
            [agents.a.roles.broker]
            tools = ["*"]
            [agents.a.roles.default]
            instructions = "Be general."
        "#;
        let agent = &load(text, &[]).unwrap().agents["a"];
        let may = |role: Option<&str>, tool: &str| matches(agent.tools(role), tool);
        assert!(may(None, "search_x") && !may(None, "a_search_x") && !may(Some("investor"), "delete"));
        assert!(may(Some("broker"), "delete"));
        assert_eq!(agent.overlay(Some("investor")).unwrap().instructions.as_deref(), Some("Be general."));
        assert!(agent.overlay(None).is_none());
    }
}
