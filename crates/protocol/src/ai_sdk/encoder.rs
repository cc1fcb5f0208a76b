//! From the events of one log to the chunks of one UI message. Pure.
//!
//! Owns which part and which calls are open. A reader's rules: a delta needs its start, an end needs its
//! start, a tool's result needs its call. The encoder keeps them whatever the log holds, from its
//! beginning as well as from any offset.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::asking::{Call, Question, Waiting, Waits};
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

/// What a reader has of a message, and so what its stream begins with.
#[derive(Debug, Clone, Copy)]
pub enum Opening<'a> {
    /// Nothing: it gets the message with this id from its beginning.
    Whole(&'a str),
    /// What came before, and the parts that were open there.
    Held,
    /// What came before, through another connection, and none of the stream's state.
    Rest,
    /// What came before the place where its stream ended to ask, in the message with this id.
    Asked(&'a str),
}

/// The state of one stream.
#[derive(Debug, Clone, Default)]
pub struct Encoder {
    pub(super) dialect: Dialect,
    pub(super) offset: u64,
    /// The part that has begun and not ended.
    part: Option<Kind>,
    /// Calls may have begun before the place where this encoder began.
    resumed: bool,
    pub(super) open_calls: Vec<Call>,
    /// Ids of calls in this message.
    ids: HashSet<String>,
    pub(super) waiting: Waiting,
    /// Approvals that are over in events to come.
    pub(super) decided: HashSet<String>,
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
        let call = |(id, tool, input): (String, _, _)| Call { name: id.clone(), id, tool, input, question: None };
        self.open_calls = open.map(call).collect();
        self.ids = self.open_calls.iter().map(|call| call.id.clone()).chain(over).collect();
        self
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The offset after the last event taken.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Passes over an event that the reader has already.
    pub fn skip(&mut self, event: Event) {
        drop(self.push(event));
    }

    /// What comes before the next event. Whoever has none of the stream's state gets text in a part of its own, and
    /// calls without a result again, which changes nothing for a reader who knows them.
    pub fn open(&mut self, opening: Opening<'_>) -> Vec<Chunk> {
        let start = |id: &str| Chunk::Start { message_id: id.to_owned() };
        match opening {
            Opening::Whole(id) => vec![start(id), Chunk::StartStep],
            Opening::Held => Vec::new(),
            Opening::Rest => {
                self.part = None;
                self.open_calls.iter().flat_map(|call| self.asked(call).unwrap_or_else(|| vec![call.chunk()])).collect()
            }
            Opening::Asked(id) => {
                self.part = None;
                let asked = self.open_calls.iter().filter_map(|call| self.asked(call)).flatten();
                std::iter::once(start(id)).chain(asked).collect()
            }
        }
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
                self.close_part(&mut chunks);
                let id = self.fresh_id(&tool_call_id);
                let call = Call { name: tool_call_id, id, tool, input, question: None };
                chunks.push(call.chunk());
                self.open_calls.push(call);
            }
            Event::ToolEnd { tool_call_id, output, error, .. } => {
                let open = self.find(&tool_call_id).map(|at| self.open_calls.remove(at).id);
                if let Some(id) = open.or(self.resumed.then_some(tool_call_id)) {
                    self.close_part(&mut chunks);
                    self.over(result(id, output, error), &mut chunks);
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
            Event::Approval { ref approval_id, .. } => {
                self.close_part(&mut chunks);
                chunks.push(Chunk::Approval { id: approval_id.clone(), data: fields(&event) });
                self.judge(event, &mut chunks);
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

    /// The newest open call of that name, as the parts of the message have it.
    fn find(&self, name: &str) -> Option<usize> {
        self.open_calls.iter().rposition(|call| call.name == name)
    }

    /// A name that a runner uses again is another call, whose id must not take the first one's place in the message.
    fn fresh_id(&mut self, name: &str) -> String {
        let (mut id, mut uses) = (name.to_owned(), 1);
        while !self.ids.insert(id.clone()) {
            uses += 1;
            id = Call::numbered(name, uses);
        }
        id
    }

    /// A call has its result. What comes after the last one is another step, as the SDK counts them. And 5.0 takes a
    /// last step in which all calls have results for one that it has to answer, again and again.
    fn over(&self, result: Chunk, chunks: &mut Vec<Chunk>) {
        chunks.push(result);
        if self.open_calls.is_empty() {
            chunks.extend([Chunk::FinishStep, Chunk::StartStep]);
        }
    }

    /// What an approval does to the call that it is about, if it is about one.
    fn judge(&mut self, event: Event, chunks: &mut Vec<Chunk>) {
        let Event::Approval { approval_id, status, tool_call_id: Some(name), reason, edited_input, .. } = event else {
            return;
        };
        let Some(at) = self.find(&name) else {
            if self.resumed && !matches!(status, ApprovalStatus::Pending | ApprovalStatus::Approved) {
                self.over(result(name, None, Some(refusal(status, reason))), chunks);
            }
            return;
        };
        match status {
            ApprovalStatus::Pending => {
                let (end, waits) = (self.offset, self.waiting_for(&approval_id, self.offset));
                let shown = self.dialect.asks() && waits == Waits::ForReader;
                let call = &mut self.open_calls[at];
                call.question = Some(Question { approval: approval_id, end, waits, shown });
                chunks.extend(self.asked(&self.open_calls[at]).into_iter().flatten());
            }
            ApprovalStatus::Approved => {
                let call = &mut self.open_calls[at];
                if let Some(question) = &mut call.question {
                    question.waits = Waits::ForNobody;
                }
                if let Some(edited) = edited_input {
                    call.input = edited;
                    chunks.push(call.chunk());
                }
            }
            ApprovalStatus::Rejected | ApprovalStatus::Expired | ApprovalStatus::Cancelled => {
                let call = self.open_calls.remove(at);
                let denied = call.question.filter(|_| status == ApprovalStatus::Rejected && self.dialect.asks());
                let Some(question) = denied else {
                    return self.over(result(call.id, None, Some(refusal(status, reason))), chunks);
                };
                // A denied call is one that was asked about, also where nobody had to be any more.
                if !question.shown {
                    chunks.push(question.chunk(&call.id));
                }
                self.over(Chunk::ToolOutputDenied { tool_call_id: call.id }, chunks);
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

/// The fields of an event without its tag.
fn fields(event: &Event) -> Value {
    let mut data = serde_json::to_value(event).unwrap_or_default();
    if let Some(fields) = data.as_object_mut() {
        fields.remove("type");
    }
    data
}

/// Why a call never ran, in words.
fn refusal(status: ApprovalStatus, reason: Option<String>) -> String {
    match status {
        ApprovalStatus::Rejected => format!("denied{}", reason.map(|reason| format!(": {reason}")).unwrap_or_default()),
        ApprovalStatus::Expired => "approval expired".to_owned(),
        _ => "cancelled".to_owned(),
    }
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
