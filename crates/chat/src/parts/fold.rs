//! How the events of a log become the parts of a message. Pure.
//!
//! The order of events is the order of parts. What only told people about the progress (activities, the
//! final status) leaves nothing behind.

use serde_json::Value;
use spool_protocol::{ApprovalStatus, Event};

use super::{Part, ToolState, safe_json};

/// Builds parts event by event.
#[derive(Debug, Default)]
pub struct Fold {
    parts: Vec<Part>,
    /// Units of the log that were folded.
    offset: u64,
}

impl Fold {
    pub fn push(&mut self, event: Event) {
        let start = self.offset;
        self.offset += event.units();
        match event {
            Event::Text { text: more } => match self.parts.last_mut() {
                Some(Part::Text { text }) => text.push_str(&more),
                _ if more.is_empty() => {}
                _ => self.parts.push(Part::Text { text: more }),
            },
            Event::Reasoning { text: more } => match self.parts.last_mut() {
                Some(Part::Reasoning { text }) => text.push_str(&more),
                _ if more.is_empty() => {}
                _ => self.parts.push(Part::Reasoning { text: more }),
            },
            Event::ToolStart { tool_call_id, tool, input } => self.parts.push(Part::ToolCall {
                tool_call_id,
                tool,
                state: ToolState::Running,
                input: safe_json(input),
                output: None,
                error: None,
                started_at: None,
                ended_at: None,
                parent_tool_call_id: None,
            }),
            Event::ToolEnd { tool_call_id, output, error, denied } => {
                self.end_tool(&tool_call_id, output, error, denied);
            }
            Event::Steered { message_id, text } => self.parts.push(Part::Steered { message_id, text }),
            // The name that the streams give it, too.
            Event::Source { title, url, snippet } => {
                self.parts.push(Part::Source { title, url, snippet, source_id: Some(format!("s{start}")) });
            }
            Event::Artifact { .. } => self.show(event),
            Event::Approval { ref tool_call_id, status, ref reason, ref edited_input, .. } => {
                if let Some(call) = tool_call_id {
                    self.judge_tool(call, status, reason.clone(), edited_input.clone());
                }
                self.show(event);
            }
            Event::File { upload_id, media_type, name, size } => {
                self.parts.push(Part::File { upload_id, media_type, name, size });
            }
            Event::Activity { .. } | Event::Status { .. } => {}
        }
    }

    /// What is told again stands where it stood first.
    fn show(&mut self, event: Event) {
        let Some(card) = card(event) else { return };
        match self.parts.iter_mut().find(|part| is_same_card(part, &card)) {
            Some(shown) => *shown = card,
            None => self.parts.push(card),
        }
    }

    /// The newest open call of that id waits for a person, goes on, maybe with what they made of it, or will never
    /// run.
    fn judge_tool(&mut self, id: &str, status: ApprovalStatus, reason: Option<String>, edited: Option<Value>) {
        let open = self.parts.iter_mut().rev().find_map(|part| match part {
            Part::ToolCall { tool_call_id, state, input, error, .. } if tool_call_id == id && is_open(*state) => {
                Some((state, input, error))
            }
            _ => None,
        });
        let Some((state, input, error)) = open else { return };
        match status {
            ApprovalStatus::Pending => *state = ToolState::AwaitingApproval,
            ApprovalStatus::Approved => {
                *state = ToolState::Running;
                if let Some(edited) = edited {
                    *input = safe_json(edited);
                }
            }
            ApprovalStatus::Rejected => (*state, *error) = (ToolState::Denied, reason),
            ApprovalStatus::Expired => (*state, *error) = (ToolState::Cancelled, Some("approval expired".to_owned())),
            ApprovalStatus::Cancelled => *state = ToolState::Cancelled,
        }
    }

    /// The newest running call of that id ends; an end without a start is nothing to show.
    fn end_tool(&mut self, id: &str, result: Option<Value>, failure: Option<String>, denied: bool) {
        let running = self.parts.iter_mut().rev().find_map(|part| match part {
            Part::ToolCall { tool_call_id, state, output, error, .. } if tool_call_id == id && is_open(*state) => {
                Some((state, output, error))
            }
            _ => None,
        });
        if let Some((state, output, error)) = running {
            *state = match (denied, &failure) {
                (true, _) => ToolState::Denied,
                (false, Some(_)) => ToolState::Error,
                (false, None) => ToolState::Completed,
            };
            *output = result.map(safe_json);
            *error = failure;
        }
    }

    /// The parts of an answer that is over: what still ran was cancelled with it.
    pub fn finish(mut self) -> Vec<Part> {
        for part in &mut self.parts {
            if let Part::ToolCall { state, .. } = part
                && is_open(*state)
            {
                *state = ToolState::Cancelled;
            }
        }
        self.parts
    }
}

/// The part that shows an artifact or an approval as this event tells it.
pub fn card(event: Event) -> Option<Part> {
    match event {
        Event::Artifact { artifact_id, version, kind, title, status } => {
            Some(Part::Artifact { artifact_id, version, kind: Some(kind), title: Some(title), status })
        }
        Event::Approval {
            approval_id,
            kind,
            status,
            tool_call_id,
            artifact_id,
            version,
            question,
            reason,
            edited_input,
            expires_at,
        } => Some(Part::Approval {
            approval_id,
            kind: Some(kind),
            status: Some(status),
            tool_call_id,
            artifact_id,
            version,
            question,
            reason,
            edited_input: edited_input.map(safe_json),
            expires_at,
        }),
        _ => None,
    }
}

fn is_same_card(part: &Part, card: &Part) -> bool {
    match (part, card) {
        (Part::Artifact { artifact_id: a, .. }, Part::Artifact { artifact_id: b, .. })
        | (Part::Approval { approval_id: a, .. }, Part::Approval { approval_id: b, .. }) => a == b,
        _ => false,
    }
}

fn is_open(state: ToolState) -> bool {
    matches!(state, ToolState::Running | ToolState::AwaitingApproval)
}

/// The parts of an answer whose log holds `events`.
pub fn fold(events: impl IntoIterator<Item = Event>) -> Vec<Part> {
    let mut fold = Fold::default();
    events.into_iter().for_each(|event| fold.push(event));
    fold.finish()
}

/// Makes the text of `parts` be `full`, which wins over what was streamed. Other parts keep their place;
/// what `full` adds at the end is added at the end, any other difference makes one part of the text.
pub fn rewrite_text(parts: Vec<Part>, full: &str) -> Vec<Part> {
    let streamed = super::text(&parts);
    if let Some(rest) = full.strip_prefix(streamed.as_str()) {
        let mut fold = Fold { parts, ..Fold::default() };
        fold.push(Event::Text { text: rest.to_owned() });
        return fold.parts;
    }
    let mut full = Some(full.to_owned()).filter(|text| !text.is_empty());
    let keep = |part: Part| match part {
        Part::Text { .. } => full.take().map(|text| Part::Text { text }),
        other => Some(other),
    };
    parts.into_iter().filter_map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use spool_protocol::ApprovalKind;

    fn text(text: &str) -> Event {
        Event::Text { text: text.into() }
    }

    fn tool(id: &str) -> Event {
        Event::ToolStart { tool_call_id: id.into(), tool: "search".into(), input: json!({}) }
    }

    #[test]
    fn st_14_text_tools_and_reasoning_keep_their_order() {
        let end = Event::ToolEnd { tool_call_id: "1".into(), output: Some(json!(2)), error: None, denied: false };
        let activity = Event::Activity { kind: "wait".into(), label: "waiting".into() };
        let events = [
            Event::Reasoning { text: "r".into() },
            text("a"),
            activity,
            text("b"),
            tool("1"),
            text("c"),
            end,
            text("d"),
        ];
        let parts = fold(events);
        let shape: Vec<String> = parts
            .iter()
            .map(|part| match part {
                Part::Text { text } => text.clone(),
                Part::Reasoning { text } => format!("({text})"),
                Part::ToolCall { state, .. } => format!("{state:?}"),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(shape, ["(r)", "ab", "Completed", "cd"]);
    }

    #[test]
    fn a_tool_that_still_runs_at_the_end_was_cancelled() {
        let failed = Event::ToolEnd { tool_call_id: "2".into(), output: None, error: Some("no".into()), denied: false };
        let parts = fold([tool("1"), tool("2"), failed]);
        let states: Vec<ToolState> = parts
            .iter()
            .filter_map(|part| if let Part::ToolCall { state, .. } = part { Some(*state) } else { None })
            .collect();
        assert_eq!(states, [ToolState::Cancelled, ToolState::Error]);
    }

    fn approval(status: ApprovalStatus) -> Event {
        Event::Approval {
            approval_id: "a".into(),
            kind: ApprovalKind::ToolCall,
            status,
            tool_call_id: Some("1".into()),
            artifact_id: None,
            version: None,
            question: None,
            reason: Some("no".into()),
            edited_input: None,
            expires_at: None,
        }
    }

    #[test]
    fn ap_08_a_call_follows_its_approval_and_the_card_stays_in_its_place() {
        for (status, expected) in [
            (ApprovalStatus::Pending, ToolState::Cancelled),
            (ApprovalStatus::Approved, ToolState::Cancelled),
            (ApprovalStatus::Rejected, ToolState::Denied),
            (ApprovalStatus::Expired, ToolState::Cancelled),
        ] {
            let events = [tool("1"), approval(ApprovalStatus::Pending), text("b")];
            let decided = (status != ApprovalStatus::Pending).then(|| approval(status));
            let parts = fold(events.into_iter().chain(decided));
            let [Part::ToolCall { state, .. }, Part::Approval { status: shown, .. }, Part::Text { .. }] = &parts[..]
            else {
                panic!("{parts:?}")
            };
            assert_eq!((*state, *shown), (expected, Some(status)));
        }
        let end = Event::ToolEnd { tool_call_id: "1".into(), output: Some(json!(1)), error: None, denied: false };
        let denied = [tool("1"), approval(ApprovalStatus::Pending), approval(ApprovalStatus::Rejected), end];
        assert!(matches!(fold(denied)[0], Part::ToolCall { state: ToolState::Denied, output: None, .. }));
    }

    #[test]
    fn ap_03_a_call_shows_the_arguments_that_were_approved() {
        let mut approved = approval(ApprovalStatus::Approved);
        let Event::Approval { edited_input, .. } = &mut approved else { panic!() };
        *edited_input = Some(json!({ "amount": 50 }));
        let parts = fold([tool("1"), approval(ApprovalStatus::Pending), approved]);
        assert!(matches!(&parts[0], Part::ToolCall { input, .. } if *input == json!({ "amount": 50 })), "{parts:?}");
    }

    #[test]
    fn ar_04_a_new_version_stands_where_the_first_stood() {
        let artifact = |version, title: &str| Event::Artifact {
            artifact_id: "art".into(),
            version,
            kind: "plan".into(),
            title: title.into(),
            status: None,
        };
        let parts = fold([artifact(1, "one"), text("b"), artifact(2, "two")]);
        let [Part::Artifact { version: 2, title: Some(title), .. }, Part::Text { .. }] = &parts[..] else {
            panic!("{parts:?}")
        };
        assert_eq!(title, "two");
    }

    #[test]
    fn cl_04_cards_keep_all_that_was_told_of_them_and_sources_their_names() {
        let mut asked = approval(ApprovalStatus::Pending);
        if let Event::Approval { question: told, expires_at, .. } = &mut asked {
            (*told, *expires_at) = (Some("Really?".into()), Some(5));
        }
        let source = || Event::Source { title: "t".into(), url: "u".into(), snippet: None };
        let activity = Event::Activity { kind: "k".into(), label: "l".into() };
        let parts = fold([text("é"), activity, source(), asked.clone(), source()]);
        let ids: Vec<&str> = parts
            .iter()
            .filter_map(|part| if let Part::Source { source_id, .. } = part { source_id.as_deref() } else { None })
            .collect();
        assert_eq!(ids, ["s3", "s5"], "offsets in the log");
        let (told, kept) = (serde_json::to_value(asked).unwrap(), serde_json::to_value(&parts[2]).unwrap());
        assert_eq!(told, kept);
    }

    #[test]
    fn st_06_the_full_text_wins_over_the_deltas() {
        let streamed = || fold([text("ab"), tool("1"), text("c")]);
        assert_eq!(rewrite_text(streamed(), "abc"), streamed());
        let longer = rewrite_text(streamed(), "abcd");
        assert_eq!((longer.len(), super::super::text(&longer).as_str()), (3, "abcd"));
        let other = rewrite_text(streamed(), "xyz");
        assert_eq!((other.len(), super::super::text(&other).as_str()), (2, "xyz"));
        assert_eq!(super::super::text(&rewrite_text(streamed(), "")), "");
    }
}
