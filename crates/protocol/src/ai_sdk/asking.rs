//! Calls that wait for people, and where a stream ends so that its reader can ask. Pure.
//!
//! The SDK asks its user only while no stream is open, and sends the decision once every call of the step is decided
//! or over. So a stream ends where nothing can go on without this reader's user, and not before: while another call
//! runs, the reader follows it. What is known of decisions comes from the log and, earlier, from the rows.

use std::collections::HashMap;

use serde_json::Value;

use super::Chunk;
use super::encoder::Encoder;
use crate::event::{ApprovalStatus, Event};

/// For whom an approval waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// For the user of the reader.
    ForReader,
    /// For other people: the user of the reader has voted.
    ForOthers,
    /// It is over.
    ForNobody,
}

/// Which approvals wait, as the rows say: they know of decisions before the log tells of them.
#[derive(Debug, Clone, Default)]
pub struct Waiting {
    /// Where the log ended when the rows were read. Of later requests they say nothing.
    pub log_end: u64,
    /// Every approval that waited then.
    pub approvals: HashMap<String, Waits>,
}

impl Waiting {
    /// What a reader was asked about: for it, nothing else waited.
    pub fn shown<'a>(approvals: impl IntoIterator<Item = &'a String>) -> Self {
        let approvals = approvals.into_iter().map(|id| (id.clone(), Waits::ForReader)).collect();
        Self { log_end: u64::MAX, approvals }
    }
}

/// A tool call without a result so far.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// What the log calls it. Runners may use a name again.
    pub name: String,
    pub id: String,
    pub tool: String,
    pub input: Value,
    pub question: Option<Question>,
}

/// People are asked whether a call may run.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub approval: String,
    /// Where the request ends in the log.
    pub end: u64,
    pub waits: Waits,
    /// The reader was told.
    pub shown: bool,
}

impl Question {
    pub fn chunk(&self, call: &str) -> Chunk {
        Chunk::ToolApprovalRequest { approval_id: self.approval.clone(), tool_call_id: call.to_owned() }
    }
}

impl Call {
    /// What stands between the name of a call and the number of its use.
    const AGAIN: char = '#';

    pub fn numbered(name: &str, uses: u32) -> String {
        format!("{name}{}{uses}", Self::AGAIN)
    }

    pub fn chunk(&self) -> Chunk {
        self.said(true)
    }

    fn said(&self, provider_executed: bool) -> Chunk {
        Chunk::ToolInputAvailable {
            tool_call_id: self.id.clone(),
            tool_name: self.tool.clone(),
            input: self.input.clone(),
            provider_executed,
        }
    }
}

/// Whether the call that a reader knows by `id` is one that the log calls `name`.
pub fn is_call(id: &str, name: &str) -> bool {
    let uses = |rest: &str| rest.strip_prefix(Call::AGAIN).is_some_and(|uses| uses.parse::<u32>().is_ok());
    id.strip_prefix(name).is_some_and(|rest| rest.is_empty() || uses(rest))
}

impl Encoder {
    /// Takes what the rows say about approvals, those of calls that are open included.
    pub fn know(&mut self, waiting: Waiting) {
        self.waiting = waiting;
        let mut calls = std::mem::take(&mut self.open_calls);
        for question in calls.iter_mut().filter_map(|call| call.question.as_mut()) {
            question.waits = self.waiting_for(&question.approval, question.end);
        }
        self.open_calls = calls;
    }

    /// Notes which approvals are over in the events to come.
    pub fn foresee(&mut self, events: &[Event]) {
        let over = |event: &Event| match event {
            Event::Approval { approval_id, status, .. } if *status != ApprovalStatus::Pending => {
                Some(approval_id.clone())
            }
            _ => None,
        };
        self.decided.extend(events.iter().filter_map(over));
    }

    /// For whom an approval waits whose request ends at `end`.
    pub(super) fn waiting_for(&self, approval: &str, end: u64) -> Waits {
        if self.decided.contains(approval) {
            return Waits::ForNobody;
        }
        if end > self.waiting.log_end {
            return Waits::ForReader;
        }
        self.waiting.approvals.get(approval).copied().unwrap_or(Waits::ForNobody)
    }

    /// Asks the reader's user about a call, if that is whom it waits for. 6.0 sends no decision about a call that is
    /// said to be the provider's.
    pub(super) fn asked(&self, call: &Call) -> Option<Vec<Chunk>> {
        let question = call.question.as_ref().filter(|question| question.waits == Waits::ForReader);
        let question = question.filter(|_| self.dialect.asks())?;
        Some(vec![call.said(false), question.chunk(&call.id)])
    }

    /// Whether nothing goes on before the user of the reader decides: every open call waits for people, and one for
    /// this user.
    pub fn waits(&self) -> bool {
        let waits = |call: &Call| call.question.as_ref().map_or(Waits::ForNobody, |question| question.waits);
        self.dialect.asks()
            && self.open_calls.iter().any(|call| waits(call) == Waits::ForReader)
            && self.open_calls.iter().all(|call| waits(call) != Waits::ForNobody)
    }

    /// Whether the reader is asked about more in what follows at once: then all is shown together.
    pub fn asks_in(&self, events: &[Event]) -> bool {
        let at_once =
            |event: &&Event| matches!(event, Event::ToolStart { .. } | Event::Approval { .. } | Event::Activity { .. });
        let mut end = self.offset;
        events.iter().take_while(at_once).any(|event| {
            end += event.units();
            let Event::Approval { approval_id, status, tool_call_id: Some(_), .. } = event else { return false };
            *status == ApprovalStatus::Pending && self.waiting_for(approval_id, end) == Waits::ForReader
        })
    }
}
