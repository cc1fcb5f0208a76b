//! The encoder against a reader that keeps the client's rules.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::*;
use crate::event::{ApprovalKind, ApprovalStatus, Event, FinalStatus};

mod asking;

/// What a client keeps of a stream; panics where a client gives up.
#[derive(Default)]
struct Reader {
    text: String,
    reasoning: String,
    open: HashSet<String>,
    calls: HashMap<String, Value>,
    sources: Vec<String>,
    files: Vec<String>,
    activities: usize,
    /// Data parts by their ids: the newest counts.
    cards: HashMap<String, Value>,
    asked: Vec<String>,
    end: Option<String>,
}

impl Reader {
    fn read(&mut self, chunks: &[Chunk]) {
        for chunk in chunks {
            assert_eq!(self.end, None, "{chunk:?} after the end");
            match chunk {
                Chunk::Start { .. } | Chunk::StartStep | Chunk::FinishStep => {}
                Chunk::TextStart { id } | Chunk::ReasoningStart { id } => {
                    assert!(self.open.insert(id.clone()), "{id} opens twice");
                }
                Chunk::TextDelta { id, delta } => {
                    assert!(self.open.contains(id), "{id} is not open");
                    self.text.push_str(delta);
                }
                Chunk::ReasoningDelta { id, delta } => {
                    assert!(self.open.contains(id), "{id} is not open");
                    self.reasoning.push_str(delta);
                }
                Chunk::TextEnd { id } | Chunk::ReasoningEnd { id } => assert!(self.open.remove(id), "{id} ends twice"),
                Chunk::ToolInputAvailable { tool_call_id, input, .. } => {
                    self.calls.insert(tool_call_id.clone(), json!({ "input": input }));
                }
                Chunk::ToolOutputAvailable { tool_call_id, output, .. } => {
                    self.calls.get_mut(tool_call_id).expect("a call")["output"] = output.clone();
                }
                Chunk::ToolOutputError { tool_call_id, error_text, .. } => {
                    self.calls.get_mut(tool_call_id).expect("a call")["error"] = json!(error_text);
                }
                Chunk::SourceUrl { source_id, .. } => self.sources.push(source_id.clone()),
                Chunk::ToolApprovalRequest { tool_call_id, approval_id } => {
                    assert!(self.calls.contains_key(tool_call_id), "no call {tool_call_id}");
                    self.asked.push(approval_id.clone());
                }
                Chunk::ToolOutputDenied { tool_call_id } => {
                    self.calls.get_mut(tool_call_id).expect("a call")["error"] = json!("denied");
                }
                Chunk::Artifact { id, data } | Chunk::Approval { id, data } => {
                    self.cards.insert(id.clone(), data.clone());
                }
                Chunk::File { url, media_type } => self.files.push(format!("{url} {media_type}")),
                Chunk::Activity { .. } => self.activities += 1,
                Chunk::Finish { .. } => self.end = Some("finish".into()),
                Chunk::Abort { .. } => self.end = Some("abort".into()),
                Chunk::Error { error_text } => self.end = Some(error_text.clone()),
            }
        }
    }
}

fn text(text: &str) -> Event {
    Event::Text { text: text.into() }
}

fn call(id: &str) -> Event {
    Event::ToolStart { tool_call_id: id.into(), tool: "search".into(), input: json!({ "id": id }) }
}

fn answer(id: &str, output: Option<Value>, error: Option<&str>) -> Event {
    Event::ToolEnd { tool_call_id: id.into(), output, error: error.map(str::to_owned), denied: false }
}

fn status(status: FinalStatus) -> Event {
    Event::Status { status, error: None, usage: None, finish_reason: Some("end_turn".into()) }
}

fn approval(id: &str, call: &str, status: ApprovalStatus) -> Event {
    Event::Approval {
        approval_id: id.into(),
        kind: ApprovalKind::ToolCall,
        status,
        tool_call_id: Some(call.into()),
        artifact_id: None,
        version: None,
        question: None,
        reason: Some("too much".into()),
        edited_input: None,
        expires_at: None,
    }
}

fn artifact(version: u64) -> Event {
    Event::Artifact {
        artifact_id: "art".into(),
        version,
        kind: "plan".into(),
        title: "T".into(),
        status: Some("draft".into()),
    }
}

/// A log with everything in it, also what only a careless runner writes.
fn log() -> Vec<Event> {
    vec![
        Event::Activity { kind: "wait".into(), label: "waiting".into() },
        Event::Reasoning { text: "hm é".into() },
        text("a"),
        text(""),
        Event::Activity { kind: "read".into(), label: "reading".into() },
        text("é\ndata: b"),
        answer("unknown", None, None),
        call("1"),
        call("2"),
        text("while"),
        answer("1", Some(json!([1, null])), None),
        call("1"),
        answer("1", Some(json!(2)), None),
        answer("2", None, Some("no")),
        Event::Source { title: "T".into(), url: "https://example.com".into(), snippet: Some("s".into()) },
        Event::File { upload_id: "upl_1".into(), media_type: Some("a/b".into()), name: None, size: None },
        text("end"),
        artifact(1),
        call("4"),
        approval("a4", "4", ApprovalStatus::Pending),
        call("5"),
        approval("a5", "5", ApprovalStatus::Pending),
        approval("a4", "4", ApprovalStatus::Rejected),
        artifact(2),
        approval("a5", "5", ApprovalStatus::Approved),
        answer("5", Some(json!("done")), None),
        answer("4", Some(json!("never")), None),
        call("3"),
        status(FinalStatus::Complete),
    ]
}

fn whole() -> Reader {
    read(&log())
}

fn read(log: &[Event]) -> Reader {
    let mut encoder = Encoder::new(Dialect::Common);
    let mut reader = Reader::default();
    reader.read(&encoder.open(Opening::Whole("msg_1")));
    log.iter().for_each(|event| reader.read(&encoder.push(event.clone())));
    reader
}

#[test]
fn st_14_a_whole_log_is_a_valid_message() {
    let reader = whole();
    assert_eq!((reader.text.as_str(), reader.reasoning.as_str()), ("aé\ndata: bwhileend", "hm é"));
    assert_eq!(reader.calls["1"], json!({ "input": { "id": "1" }, "output": [1, null] }));
    assert_eq!(reader.calls["1#2"]["output"], 2, "a name that is used again is another call");
    assert_eq!(reader.calls["2"]["error"], "no");
    assert_eq!(reader.calls["3"]["error"], "cancelled", "nothing runs on after the end");
    assert_eq!((reader.sources.len(), reader.activities, reader.end.as_deref()), (1, 2, Some("finish")));
    assert_eq!(reader.files, ["/api/uploads/upl_1 a/b"]);
    assert!(reader.open.is_empty());
    assert_eq!(reader.calls["4"]["error"], "denied: too much");
    assert_eq!(reader.calls["5"]["output"], "done");
    assert_eq!((&reader.cards["art"]["version"], &reader.cards["a5"]["status"]), (&json!(2), &json!("approved")));
    assert!(reader.asked.is_empty(), "who did not ask for it is not told");
}

/// The units of `event` before and after a cut, if the cut is inside it and between characters.
fn cut(event: &Event, units: u64) -> Option<(Event, Event)> {
    let after = event.skip(units)?;
    let head = |text: &str| text[..usize::try_from(units).unwrap()].to_owned();
    let before = match event {
        Event::Text { text } => Event::Text { text: head(text) },
        Event::Reasoning { text } => Event::Reasoning { text: head(text) },
        _ => return None,
    };
    Some((before, after))
}

/// Every place where this log can be cut, with the events before and after it.
fn cuts(log: &[Event]) -> Vec<(u64, Vec<Event>, Vec<Event>)> {
    let total: u64 = log.iter().map(Event::units).sum();
    let at = |offset: u64| {
        let (mut seen, mut unseen, mut at) = (Vec::new(), Vec::new(), 0);
        for event in log.iter().cloned() {
            let units = event.units();
            match offset.checked_sub(at) {
                None | Some(0) => unseen.push(event),
                Some(before) if before >= units => seen.push(event),
                // Inside a character is no place.
                Some(inside) => {
                    let (before, after) = cut(&event, inside)?;
                    seen.push(before);
                    unseen.push(after);
                }
            }
            at += units;
        }
        Some((offset, seen, unseen))
    };
    (0..=total).filter_map(at).collect()
}

#[test]
fn st_02_every_offset_is_a_place_to_resume_for_holders_and_for_strangers() {
    let cuts = cuts(&log());
    assert!(cuts.len() > 30);
    for (offset, seen, unseen) in cuts {
        for opening in [Opening::Held, Opening::Rest] {
            let mut reader = Reader::default();
            let mut first = Encoder::new(Dialect::Common);
            seen.iter().for_each(|event| reader.read(&first.push(event.clone())));
            let mut second = Encoder::new(Dialect::Common);
            seen.iter().for_each(|event| second.skip(event.clone()));
            assert_eq!(second.offset(), offset);
            if matches!(opening, Opening::Rest) {
                reader.open.clear();
            }
            reader.read(&second.open(opening));
            unseen.iter().for_each(|event| reader.read(&second.push(event.clone())));
            let whole = whole();
            assert_eq!((&reader.text, &reader.reasoning), (&whole.text, &whole.reasoning), "at {offset}");
            assert_eq!((reader.calls, reader.sources, reader.end), (whole.calls, whole.sources, whole.end));
            assert_eq!(reader.cards, whole.cards);
            assert!(reader.open.is_empty());
        }
    }
}

#[test]
fn st_02_whoever_resumes_by_the_offset_alone_breaks_no_rule_and_misses_no_text() {
    // An end without a beginning looks there like the end of a call before the offset.
    let log: Vec<Event> = log().into_iter().filter(|event| *event != answer("unknown", None, None)).collect();
    for (offset, seen, unseen) in cuts(&log) {
        let mut reader = Reader::default();
        let mut first = Encoder::new(Dialect::Common);
        seen.iter().for_each(|event| reader.read(&first.push(event.clone())));
        let before = seen.iter().rfind(|event| event.units() > 0 && !matches!(event, Event::Activity { .. }));
        let mut second = Encoder::resume(Dialect::Common, offset, before);
        unseen.iter().for_each(|event| reader.read(&second.push(event.clone())));
        let whole = read(&log);
        assert_eq!((&reader.text, &reader.reasoning), (&whole.text, &whole.reasoning), "at {offset}");
        assert_eq!((reader.sources, reader.end, reader.cards), (whole.sources, whole.end, whole.cards));
        assert!(reader.open.is_empty(), "at {offset}");
    }
}

#[test]
fn every_chunk_has_exactly_the_fields_that_the_oldest_reader_knows() {
    let mut encoder = Encoder::new(Dialect::Common);
    let mut chunks = encoder.open(Opening::Whole("msg_1"));
    log().into_iter().for_each(|event| chunks.extend(encoder.push(event)));
    chunks.extend(Encoder::default().push(status(FinalStatus::Stopped)));
    chunks.extend(Encoder::default().push(status(FinalStatus::Interrupted)));
    let allowed: HashMap<&str, &[&str]> = HashMap::from([
        ("start", &["messageId"][..]),
        ("text-start", &["id"]),
        ("text-delta", &["id", "delta"]),
        ("text-end", &["id"]),
        ("reasoning-start", &["id"]),
        ("reasoning-delta", &["id", "delta"]),
        ("reasoning-end", &["id"]),
        ("tool-input-available", &["toolCallId", "toolName", "input", "providerExecuted"]),
        ("tool-output-available", &["toolCallId", "output", "providerExecuted"]),
        ("tool-output-error", &["toolCallId", "errorText", "providerExecuted"]),
        ("source-url", &["sourceId", "url", "title", "providerMetadata"]),
        ("file", &["url", "mediaType"]),
        ("data-activity", &["data", "transient"]),
        ("data-artifact", &["id", "data"]),
        ("data-approval", &["id", "data"]),
        ("error", &["errorText"]),
        ("start-step", &[]),
        ("finish-step", &[]),
        ("finish", &[]),
        ("abort", &[]),
    ]);
    let mut kinds = HashSet::new();
    for chunk in &chunks {
        let Value::Object(mut fields) = serde_json::to_value(chunk).unwrap() else { panic!("{chunk:?}") };
        let kind = fields.remove("type").unwrap().as_str().unwrap().to_owned();
        let allowed = allowed[kind.as_str()];
        assert!(fields.keys().all(|key| allowed.contains(&key.as_str())), "{chunk:?}");
        kinds.insert(kind);
    }
    assert_eq!(kinds.len(), allowed.len());
}

#[test]
fn seven_is_told_why_it_ended() {
    let end = |status_| Encoder::new(Dialect::Seven).push(status(status_)).pop();
    assert_eq!(end(FinalStatus::Complete), Some(Chunk::Finish { finish_reason: Some("stop") }));
    assert_eq!(end(FinalStatus::Stopped), Some(Chunk::Abort { reason: Some("stopped") }));
}

#[test]
fn st_15_payloads_cannot_forge_a_line_and_the_offset_is_on_the_last_chunk_of_an_event() {
    let mut encoder = Encoder::new(Dialect::Common);
    let mut out = String::new();
    let chunks = encoder.push(text("x\r\n\ndata: [DONE]\n\nid: 9\u{2028}"));
    write_sse(&chunks, encoder.offset(), &mut out);
    let lines: Vec<&str> = out.split(['\r', '\n']).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 3, "{out}");
    assert!(lines[0].starts_with("data: {\"type\":\"text-start\""));
    assert_eq!(lines[1], "id: 26");
    assert!(lines[2].starts_with("data: {\"type\":\"text-delta\""));
}
