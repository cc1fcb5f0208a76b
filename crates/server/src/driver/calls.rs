//! Calls of tools, between the machine that wants them and the rows that say whether they may run.

use serde_json::{Value, json};
use spool_agent::tools::validate;
use spool_agent::{Call, MadeCall, Stage, Then, ToolSpec, WRITES};
use spool_chat::builtin::BuiltIn;
use spool_chat::functions::driver::{CallState, Claim, NewCall, Verdict};
use spool_chat::parts::ToolState;
use spool_chat::states::Phase;
use spool_chat::tables::CallError;
use spool_protocol::ApprovalKind;

use crate::agents;
use crate::app::App;
use crate::config::agents::{Agent, matches};
use crate::tools::FailureKind;

/// What a turn may call, and what there is besides.
pub(super) struct Offer {
    pub tools: Vec<ToolSpec>,
    /// Names of every tool of the server.
    pub known: Vec<String>,
    /// Patterns of the tools that the assistant may call in this role.
    pub allowed: Vec<String>,
    /// Patterns of the tools that the configuration marks as of high risk, whoever calls them.
    pub high_risk: Vec<String>,
}

impl Offer {
    /// What the assistant may call in this turn, in this phase of its run. Where it may call nothing, no server of
    /// tools is waited for.
    pub async fn of(app: &App, agent: &Agent, claim: &Claim, phase: Option<Phase>) -> Self {
        let role = claim.effective_role.as_deref();
        let own = spool_chat::builtin::all();
        let (allowed, high_risk) = (agent.tools(role).to_vec(), app.config.approvals.high_risk.clone());
        let tools = if allowed.is_empty() && phase.is_none() {
            Vec::new()
        } else {
            let mut all: Vec<ToolSpec> = own.iter().map(built_in).collect();
            all.extend(app.tools.specs().await);
            agents::offered(agent, role, phase, &all)
        };
        let known = own.iter().map(|tool| tool.name.to_owned()).chain(app.tools.names()).collect();
        Self { tools, known, allowed, high_risk }
    }

    pub fn find(&self, name: &str) -> Option<&ToolSpec> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// Whether the assistant may not call this any more, which it may have called before somebody decided about it.
    /// A tool that only cannot be reached is another matter.
    pub fn withholds(&self, name: &str) -> bool {
        let known = self.known.iter().any(|known| known == name);
        self.find(name).is_none() && (known || !matches(&self.allowed, name))
    }

    /// Whether people see a document while the model writes it: if nobody has to be asked about the call.
    pub fn shows_writing(&self, agent: &Agent) -> bool {
        let risky = matches(&agent.high_risk, WRITES) || matches(&self.high_risk, WRITES);
        self.find(WRITES).is_some_and(|tool| tool.approvers <= 1) && !risky
    }

    /// The call as it is stored, and whether it may run.
    pub fn judge(&self, agent: &Agent, made: MadeCall) -> NewCall {
        let verdict = self.verdict(agent, &made);
        NewCall { tool_call_id: made.id, tool: made.tool, input: made.input, verdict }
    }

    fn verdict(&self, agent: &Agent, made: &MadeCall) -> Verdict {
        let name = &made.tool;
        let Some(tool) = self.find(name) else {
            return if self.known.iter().any(|known| known == name) {
                Verdict::Deny { message: format!("The tool {name} may not be used here.") }
            } else {
                let there: Vec<&str> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
                let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
                let message = format!("There is no tool {name}. Tools that can be called: {there}.");
                Verdict::Fail { message, code: CallError::UnknownTool }
            };
        };
        if made.repeated {
            let message = format!("The same call of {name} was made too often in this answer. Go on without it.");
            return Verdict::Fail { message, code: CallError::Repeated };
        }
        if let Err(fault) = validate(tool, &made.input) {
            let message = format!("The arguments of {name} are not what it takes: {fault}");
            return Verdict::Fail { message, code: CallError::InvalidInput };
        }
        // What `[approvals] high_risk` names is judged where the rows are, with how many people decide.
        let risky = tool.approvers > 1 || matches(&agent.high_risk, name);
        match (tool.writes, risky) {
            (_, true) => Verdict::Ask { approvers: tool.approvers.max(1), always: true },
            (true, false) => Verdict::Ask { approvers: 1, always: false },
            (false, false) => Verdict::Run,
        }
    }
}

/// A tool of the server itself, as a model sees it. It runs in the transaction that ends its call, so it is
/// never in doubt whether it had its effect.
fn built_in(tool: &BuiltIn) -> ToolSpec {
    ToolSpec {
        name: tool.name.to_owned(),
        title: None,
        description: tool.description.to_owned(),
        input_schema: (tool.schema)(),
        // What it writes stays in the conversation, in versions: nobody has to be asked.
        writes: false,
        idempotent: true,
        approvers: 1,
    }
}

/// A call as the machine sees it.
pub(super) fn staged(call: &CallState) -> Call {
    let over = |failed: bool, then: Then| {
        let result = match (&call.error, &call.output) {
            (Some(error), _) => error.clone(),
            (None, Some(output)) => text(output),
            (None, None) => String::new(),
        };
        Stage::Over { result, failed, then }
    };
    let stage = match call.state {
        ToolState::Pending => Stage::Ready,
        ToolState::AwaitingApproval => Stage::Waiting,
        ToolState::Running => Stage::Running,
        ToolState::Completed => over(false, Then::GoOn),
        ToolState::Denied if call.asked == Some(ApprovalKind::Plan) => over(true, Then::Reject),
        ToolState::Cancelled if call.expired => over(true, Then::Expire),
        ToolState::Error | ToolState::Denied | ToolState::Cancelled => over(true, Then::GoOn),
    };
    Call { row: call.id.as_str().to_owned(), id: call.tool_call_id.clone(), input: call.input.clone(), stage }
}

/// Whether a plan of the step was approved: from here on the run carries it out.
pub(super) fn approves_plan(calls: &[CallState]) -> bool {
    calls.iter().any(|call| call.asked == Some(ApprovalKind::Plan) && call.state == ToolState::Completed)
}

/// What kind of failure a call that was made ends with.
pub(super) fn error_code(kind: FailureKind) -> CallError {
    match kind {
        FailureKind::Refused => CallError::Refused,
        FailureKind::Failed => CallError::Failed,
        FailureKind::TimedOut => CallError::TimedOut,
        FailureKind::TooLarge => CallError::TooLarge,
        FailureKind::Unavailable => CallError::Unavailable,
    }
}

/// A result as a model reads it: text as it is, everything else as JSON.
pub(super) fn text(output: &Value) -> String {
    output.as_str().map_or_else(|| output.to_string(), str::to_owned)
}

/// As much of a text as fits, cut between two characters.
pub(super) fn beginning(text: &str, max_bytes: usize) -> &str {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A result as its row keeps it, and the whole of it where the row has only the beginning.
pub(super) fn bounded(output: Value, row: &str, max_bytes: usize) -> (Value, Option<String>) {
    let whole = text(&output);
    if whole.len() <= max_bytes {
        return (output, None);
    }
    let shown = json!({
        "truncated": true,
        "bytes": whole.len(),
        "beginning": beginning(&whole, max_bytes),
        "rest": format!("The whole result is kept under {row}; the user can look it up."),
    });
    (shown, Some(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer() -> Offer {
        let tool = |name: &str, writes, approvers| ToolSpec {
            name: name.into(),
            title: None,
            description: String::new(),
            input_schema: json!({ "type": "object", "properties": { "n": { "type": "number" } } }),
            writes,
            idempotent: false,
            approvers,
        };
        let tools = vec![tool("read", false, 1), tool("write", true, 1), tool("wipe", true, 2)];
        let known = ["read", "write", "wipe", "brokers_only"].map(str::to_owned).to_vec();
        Offer { tools, known, allowed: vec!["w*".into()], high_risk: Vec::new() }
    }

    #[test]
    fn tc_04_what_may_not_be_called_any_more_is_withheld_and_what_is_out_of_reach_is_not() {
        let offer = offer();
        for (name, withheld) in
            [("write", false), ("read", false), ("brokers_only", true), ("gone", true), ("w_of_a_dead_server", false)]
        {
            assert_eq!(offer.withholds(name), withheld, "{name}");
        }
    }

    #[test]
    fn ap_08_a_document_of_high_risk_is_not_shown_before_somebody_decides() {
        let mut offer = offer();
        let spec = ToolSpec { name: WRITES.into(), writes: false, ..offer.tools[0].clone() };
        offer.tools.push(spec);
        assert!(offer.shows_writing(&Agent::default()));
        offer.high_risk = vec!["write_*".into()];
        assert!(!offer.shows_writing(&Agent::default()));
    }

    #[test]
    fn tc_05_each_call_is_judged_by_name_arguments_and_risk() {
        let agent = Agent { high_risk: vec!["re*".into()], ..Agent::default() };
        let of = |agent: &Agent, tool: &str, input: Value, repeated| {
            let made = MadeCall { id: "1".into(), tool: tool.into(), input, repeated };
            offer().judge(agent, made).verdict
        };
        let plain = Agent::default();
        assert_eq!(of(&plain, "read", json!({ "n": 1 }), false), Verdict::Run);
        assert_eq!(of(&agent, "read", json!({}), false), Verdict::Ask { approvers: 1, always: true });
        assert_eq!(of(&plain, "write", json!({}), false), Verdict::Ask { approvers: 1, always: false });
        assert_eq!(of(&plain, "wipe", json!({}), false), Verdict::Ask { approvers: 2, always: true });
        assert!(matches!(of(&plain, "brokers_only", json!({}), false), Verdict::Deny { .. }));
        for (verdict, expected) in [
            (of(&plain, "nope", json!({}), false), CallError::UnknownTool),
            (of(&plain, "read", json!({ "n": "one" }), false), CallError::InvalidInput),
            (of(&plain, "read", json!("torn {"), false), CallError::InvalidInput),
            (of(&plain, "read", json!({}), true), CallError::Repeated),
        ] {
            assert!(matches!(verdict, Verdict::Fail { code, .. } if code == expected), "{verdict:?}");
        }
    }

    #[test]
    fn ag_08_while_it_plans_an_assistant_has_those_tools_of_the_server_that_change_nothing() {
        let agent = Agent { phases: true, tools: vec!["*".into()], ..Agent::default() };
        let all: Vec<ToolSpec> = spool_chat::builtin::all().iter().map(built_in).collect();
        let in_phase = |agent: &Agent, phase: Option<Phase>| {
            let mut names: Vec<String> =
                agents::offered(agent, None, phase, &all).into_iter().map(|tool| tool.name).collect();
            names.sort();
            names
        };
        let planning = ["ask_human", "list_artifacts", "read_artifact", "read_todos", "submit_plan"];
        assert_eq!(in_phase(&agent, Some(Phase::Planning)), planning);
        assert_eq!(in_phase(&agent, Some(Phase::Executing)).len(), all.len() - 1, "all but submit_plan");
        let told = Agent { plan_tools: Some(vec!["remember".into()]), ..agent };
        assert_eq!(in_phase(&told, Some(Phase::Planning)), ["remember", "submit_plan"]);
    }

    #[test]
    fn tc_07_a_large_result_is_cut_between_characters_and_points_to_the_rest() {
        let (kept, whole) = bounded(json!("é".repeat(300)), "tc_1", 301);
        assert_eq!(whole.unwrap().len(), 600);
        assert_eq!((kept["beginning"].as_str().unwrap().len(), &kept["bytes"]), (300, &json!(600)));
        assert!(kept["rest"].as_str().unwrap().contains("tc_1"));
        assert_eq!(bounded(json!({ "a": 1 }), "tc_1", 301), (json!({ "a": 1 }), None));
    }
}
