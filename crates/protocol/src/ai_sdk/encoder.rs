//! From the events of one log to the chunks of one UI message. Pure.
//!
//! Owns which part and which calls are open. A reader's rules: a delta needs its start, an end needs its
//! start, a tool's result needs its call. The encoder keeps them whatever the log holds, from its
//! beginning as well as from any offset.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{Chunk, Dialect};
use crate::event::{ApprovalStatus, Event, Failure, FinalStatus};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Reasoning,
}

impl Kind {
    /// The id of the open part of this kind. Ids are unique among open parts only and one part is open at
    /// a time, so the kind is enough, and every reader of the log knows the part by the same name.
    fn id(self) -> String {
        match self {
            Kind::Text => "text".to_owned(),
            Kind::Reasoning => "reasoning".to_owned(),
        }
    }
}

/// A tool call without a result so far.
#[derive(Debug)]
struct Call {
    id: String,
    tool: String,
    input: Value,
}

/// The state of one stream.
#[derive(Debug, Default)]
pub struct Encoder {
    dialect: Dialect,
    offset: u64,
    /// The part that has begun and not ended.
    part: Option<Kind>,
    /// Calls may have begun before the place where this encoder began.
    resumed: bool,
    open_calls: Vec<Call>,
    known_calls: HashSet<String>,
    /// Approvals that are known to come out well: nobody is asked about those any more.
    approved: HashSet<String>,
}

impl Encoder {
    /// At the beginning of a log.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, ..Self::default() }
    }

    /// In the middle of a log, for a reader who has read exactly up to `offset` and keeps the state of the
    /// stream. `before` is the event that ends there.
    pub fn resume(dialect: Dialect, offset: u64, before: Option<&Event>) -> Self {
        let part = match before {
            Some(Event::Text { .. }) => Some(Kind::Text),
            Some(Event::Reasoning { .. }) => Some(Kind::Reasoning),
            _ => None,
        };
        Self { dialect, offset, part, resumed: offset > 0, ..Self::default() }
    }

    /// Goes on as if it had read the log from its beginning: the calls that have no end there, and those that have.
    pub fn knowing(
        mut self, open: impl Iterator<Item = (String, String, Value)>, over: impl Iterator<Item = String>,
    ) -> Self {
        self.resumed = false;
        self.open_calls = open.map(|(id, tool, input)| Call { id, tool, input }).collect();
        self.known_calls = self.open_calls.iter().map(|call| call.id.clone()).chain(over).collect();
        self
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The offset after the last event taken.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What comes before the first event of a whole message.
    pub fn begin(&self, message_id: &str) -> Vec<Chunk> {
        vec![Chunk::Start { message_id: message_id.to_owned() }, Chunk::StartStep]
    }

    /// Passes over an event that the reader has already.
    pub fn skip(&mut self, event: Event) {
        drop(self.push(event));
    }

    /// Goes on for a reader who came to this offset with another connection and has the message so far,
    /// but none of the stream's state: text goes on in a part of its own, and calls without a result are
    /// said again, which changes nothing for a reader who knows them.
    pub fn reopen(&mut self) -> Vec<Chunk> {
        self.part = None;
        self.open_calls.iter().map(Call::chunk).collect()
    }

    /// Goes on for a reader whose stream ended at a [`pause`], on the same message.
    pub fn go_on(&mut self, message_id: &str) -> Vec<Chunk> {
        self.part = None;
        vec![Chunk::Start { message_id: message_id.to_owned() }]
    }

    /// Notes what is approved among the events to come.
    pub fn foresee(&mut self, events: &[Event]) {
        let approved = |event: &Event| match event {
            Event::Approval { approval_id, status: ApprovalStatus::Approved, .. } => Some(approval_id.clone()),
            _ => None,
        };
        self.approved.extend(events.iter().filter_map(approved));
    }

    /// The end of a stream whose reader has to ask its user first.
    pub fn pause(&mut self) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        self.close_part(&mut chunks);
        chunks.extend([Chunk::FinishStep, Chunk::Finish { finish_reason: Some("tool-calls") }]);
        chunks
    }

    /// The chunks of the next event of the log.
    pub fn push(&mut self, event: Event) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let start = self.offset;
        self.offset += event.units();
        match event {
            Event::Text { text } => self.say(Kind::Text, text, &mut chunks),
            Event::Reasoning { text } => self.say(Kind::Reasoning, text, &mut chunks),
            Event::ToolStart { tool_call_id, tool, input } => {
                // A second call of one id would take the first one's place in the message.
                if self.known_calls.insert(tool_call_id.clone()) {
                    self.close_part(&mut chunks);
                    let call = Call { id: tool_call_id, tool, input };
                    chunks.push(call.chunk());
                    self.open_calls.push(call);
                }
            }
            Event::ToolEnd { tool_call_id, output, error, .. } => {
                let open = self.open_calls.iter().position(|call| call.id == tool_call_id);
                if open.is_some() || self.resumed {
                    if let Some(at) = open {
                        self.open_calls.remove(at);
                    }
                    self.close_part(&mut chunks);
                    chunks.push(result(tool_call_id, output, error));
                    // What comes next is another step, as the SDK counts them. And 5.0 takes a last step
                    // in which all calls have results for one that it has to answer, again and again.
                    if self.open_calls.is_empty() {
                        chunks.extend([Chunk::FinishStep, Chunk::StartStep]);
                    }
                }
            }
            Event::Source { title, url, snippet } => {
                self.close_part(&mut chunks);
                let provider_metadata = snippet.map(|snippet| json!({ "spool": { "snippet": snippet } }));
                chunks.push(Chunk::SourceUrl { source_id: format!("s{start}"), url, title, provider_metadata });
            }
            Event::Artifact { ref artifact_id, .. } => {
                self.close_part(&mut chunks);
                chunks.push(Chunk::Artifact { id: artifact_id.clone(), data: fields(&event) });
            }
            Event::Approval { ref approval_id, ref tool_call_id, status, ref reason, .. } => {
                self.close_part(&mut chunks);
                chunks.push(Chunk::Approval { id: approval_id.clone(), data: fields(&event) });
                if let Some(call) = tool_call_id {
                    self.judge(approval_id, call, status, reason.as_deref(), &mut chunks);
                }
            }
            Event::File { upload_id, media_type, .. } => {
                self.close_part(&mut chunks);
                let media_type = media_type.unwrap_or_else(|| "application/octet-stream".to_owned());
                chunks.push(Chunk::File { url: format!("/api/uploads/{upload_id}"), media_type });
            }
            // The message follows the answer in the list of messages, where clients of this protocol show it.
            Event::Steered { .. } => self.close_part(&mut chunks),
            // Progress interrupts nothing: the text around it is one part of the stored message, too.
            Event::Activity { kind, label } => chunks.push(Chunk::activity(&kind, &label)),
            Event::Status { status, error, finish_reason, .. } => {
                self.end(status, error, finish_reason.as_deref(), &mut chunks);
            }
        }
        chunks
    }

    fn judge(
        &mut self, approval: &str, call: &str, status: ApprovalStatus, reason: Option<&str>, chunks: &mut Vec<Chunk>,
    ) {
        let open = self.open_calls.iter().position(|open| open.id == call);
        if open.is_none() && !self.resumed {
            return;
        }
        let tool_call_id = call.to_owned();
        match status {
            ApprovalStatus::Pending if self.dialect.asks() && !self.approved.contains(approval) => {
                let said_again = open.and_then(|at| self.open_calls.get(at)).map(|open| open.asked(false));
                chunks.extend(said_again);
                chunks.push(Chunk::ToolApprovalRequest { approval_id: approval.to_owned(), tool_call_id });
            }
            ApprovalStatus::Pending | ApprovalStatus::Approved => {}
            over => {
                if let Some(at) = open {
                    self.open_calls.remove(at);
                }
                chunks.push(match (over, self.dialect.asks()) {
                    (ApprovalStatus::Rejected, true) => Chunk::ToolOutputDenied { tool_call_id },
                    (ApprovalStatus::Rejected, false) => {
                        let said = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                        result(tool_call_id, None, Some(format!("denied{said}")))
                    }
                    (ApprovalStatus::Expired, _) => result(tool_call_id, None, Some("approval expired".to_owned())),
                    _ => result(tool_call_id, None, Some("cancelled".to_owned())),
                });
                if self.open_calls.is_empty() {
                    chunks.extend([Chunk::FinishStep, Chunk::StartStep]);
                }
            }
        }
    }

    /// The end of a stream that cannot go on.
    pub fn fail(&mut self, error_text: String) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        self.close_all(&mut chunks);
        chunks.push(Chunk::Error { error_text });
        chunks
    }

    fn say(&mut self, kind: Kind, delta: String, chunks: &mut Vec<Chunk>) {
        if delta.is_empty() {
            return;
        }
        if self.part != Some(kind) {
            self.close_part(chunks);
            let id = kind.id();
            chunks.push(match kind {
                Kind::Text => Chunk::TextStart { id },
                Kind::Reasoning => Chunk::ReasoningStart { id },
            });
            self.part = Some(kind);
        }
        let id = kind.id();
        chunks.push(match kind {
            Kind::Text => Chunk::TextDelta { id, delta },
            Kind::Reasoning => Chunk::ReasoningDelta { id, delta },
        });
    }

    fn close_part(&mut self, chunks: &mut Vec<Chunk>) {
        chunks.extend(self.part.take().map(|kind| match kind {
            Kind::Text => Chunk::TextEnd { id: kind.id() },
            Kind::Reasoning => Chunk::ReasoningEnd { id: kind.id() },
        }));
    }

    /// Nobody will answer an open call any more, and a client would show it as running for ever.
    fn close_all(&mut self, chunks: &mut Vec<Chunk>) {
        self.close_part(chunks);
        let cancelled = |call: Call| result(call.id, None, Some("cancelled".to_owned()));
        chunks.extend(self.open_calls.drain(..).map(cancelled));
    }

    fn end(&mut self, status: FinalStatus, error: Option<Failure>, reason: Option<&str>, chunks: &mut Vec<Chunk>) {
        self.close_all(chunks);
        let seven = self.dialect == Dialect::Seven;
        let asks = self.dialect.asks();
        match status {
            FinalStatus::Complete => {
                let finish_reason = asks.then(|| finish_reason(reason));
                chunks.extend([Chunk::FinishStep, Chunk::Finish { finish_reason }]);
            }
            FinalStatus::Stopped => {
                chunks.extend([Chunk::FinishStep, Chunk::Abort { reason: seven.then_some("stopped") }]);
            }
            FinalStatus::Error | FinalStatus::Interrupted => {
                let unsaid = || "The answer was interrupted. What it had is kept.".to_owned();
                chunks.push(Chunk::Error { error_text: error.map_or_else(unsaid, |error| error.message) });
            }
        }
    }
}

impl Call {
    fn chunk(&self) -> Chunk {
        self.asked(true)
    }

    fn asked(&self, provider_executed: bool) -> Chunk {
        Chunk::ToolInputAvailable {
            tool_call_id: self.id.clone(),
            tool_name: self.tool.clone(),
            input: self.input.clone(),
            provider_executed,
        }
    }
}

/// How many of `events` go out before a stream ends because a call waits for a decision that is not among
/// them; `None` if nothing waits. Always just behind the request, so that whoever names the newest request
/// that it was shown names its place, too. Requests that follow at once are shown together.
pub fn pause(events: &[Event]) -> Option<usize> {
    let known: HashSet<&str> = events.iter().filter_map(decided).collect();
    let mut after = None;
    for (at, event) in events.iter().enumerate() {
        match event {
            Event::Approval { approval_id, status: ApprovalStatus::Pending, tool_call_id: Some(_), .. }
                if !known.contains(approval_id.as_str()) =>
            {
                after = Some(at + 1);
            }
            Event::ToolStart { .. } | Event::Approval { .. } | Event::Activity { .. } => {}
            _ if after.is_some() => break,
            _ => {}
        }
    }
    after
}

/// The approval that this event tells the end of.
fn decided(event: &Event) -> Option<&str> {
    match event {
        Event::Approval { approval_id, status, .. } if *status != ApprovalStatus::Pending => Some(approval_id),
        _ => None,
    }
}

/// The fields of an event without its tag.
fn fields(event: &Event) -> Value {
    let mut data = serde_json::to_value(event).unwrap_or_default();
    if let Some(fields) = data.as_object_mut() {
        fields.remove("type");
    }
    data
}

fn result(tool_call_id: String, output: Option<Value>, error: Option<String>) -> Chunk {
    match error {
        Some(error_text) => Chunk::ToolOutputError { tool_call_id, error_text, provider_executed: true },
        None => {
            Chunk::ToolOutputAvailable { tool_call_id, output: output.unwrap_or_default(), provider_executed: true }
        }
    }
}

/// A provider's word for its end in the words of the SDK, which are a closed list.
fn finish_reason(reason: Option<&str>) -> &'static str {
    match reason {
        Some("stop" | "end_turn" | "stop_sequence") => "stop",
        Some("length" | "max_tokens") => "length",
        Some("content_filter" | "content-filter" | "refusal") => "content-filter",
        Some("tool_calls" | "tool-calls" | "tool_use") => "tool-calls",
        _ => "other",
    }
}
