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
}

impl Offer {
    /// What the assistant may call in this turn, in this phase of its run. A server without tools for it is not
    /// asked for any.
    pub async fn of(app: &App, agent: &Agent, claim: &Claim, phase: Option<Phase>) -> Self {
        let role = claim.effective_role.as_deref();
        if agent.tools(role).is_empty() && phase.is_none() {
            return Self { tools: Vec::new(), known: Vec::new() };
        }
        let mut all: Vec<ToolSpec> = spool_chat::builtin::all().iter().map(built_in).collect();
        all.extend(app.tools.specs().await);
        let tools = agents::offered(agent, role, phase, &all);
        Self { tools, known: all.into_iter().map(|tool| tool.name).collect() }
    }

    pub fn find(&self, name: &str) -> Option<&ToolSpec> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// Whether people see a document while the model writes it: if nobody has to be asked about the call.
    pub fn shows_writing(&self, agent: &Agent) -> bool {
        self.find(WRITES).is_some_and(|tool| tool.approvers <= 1) && !matches(&agent.high_risk, WRITES)
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
    Call { row: call.id.as_str().to_owned(), id: call.tool_call_id.clone(), stage }
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

/// A result as its row keeps it, and the whole of it where the row has only the beginning.
pub(super) fn bounded(output: Value, row: &str, max_bytes: usize) -> (Value, Option<String>) {
    let whole = text(&output);
    if whole.len() <= max_bytes {
        return (output, None);
    }
    let mut end = max_bytes;
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    let shown = json!({
        "truncated": true,
        "bytes": whole.len(),
        "beginning": whole[..end],
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
        Offer { tools, known: ["read", "write", "wipe", "brokers_only"].map(str::to_owned).to_vec() }
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
    fn tc_07_a_large_result_is_cut_between_characters_and_points_to_the_rest() {
        let (kept, whole) = bounded(json!("é".repeat(300)), "tc_1", 301);
        assert_eq!(whole.unwrap().len(), 600);
        assert_eq!((kept["beginning"].as_str().unwrap().len(), &kept["bytes"]), (300, &json!(600)));
        assert!(kept["rest"].as_str().unwrap().contains("tc_1"));
        assert_eq!(bounded(json!({ "a": 1 }), "tc_1", 301), (json!({ "a": 1 }), None));
    }
}
