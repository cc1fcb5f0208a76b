//! The encoder against a reader that keeps the client's rules.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::*;
use crate::event::{ApprovalKind, ApprovalStatus, Event, FinalStatus};

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
    let mut encoder = Encoder::new(Dialect::Common);
    let mut reader = Reader::default();
    reader.read(&encoder.open(Opening::Whole("msg_1")));
    log().into_iter().for_each(|event| reader.read(&encoder.push(event)));
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
        let whole = whole();
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

/// Reads events as a stream sends them that come at once. Whether it ended to ask, and behind how many of them.
fn stream(encoder: &mut Encoder, reader: &mut Reader, events: &[Event]) -> Option<usize> {
    encoder.foresee(events);
    for (at, event) in events.iter().enumerate() {
        reader.read(&encoder.push(event.clone()));
        if encoder.waits() && !encoder.asks_in(&events[at + 1..]) {
            reader.read(&encoder.pause());
            return Some(at + 1);
        }
    }
    None
}

const PENDING: ApprovalStatus = ApprovalStatus::Pending;

#[test]
fn ap_08_a_client_that_asks_its_user_is_told_and_its_stream_ends_behind_the_request() {
    let events = [call("4"), approval("a4", "4", PENDING), call("5"), approval("a5", "5", PENDING), text("meanwhile")];
    let (mut first, mut reader) = (Encoder::new(Dialect::Six), Reader::default());
    assert_eq!(stream(&mut first, &mut reader, &events), Some(4), "both are shown");
    assert_eq!((reader.asked.join(" ").as_str(), reader.end.take().as_deref()), ("a4 a5", Some("finish")));
    let said_again = first.push(approval("a4", "4", PENDING));
    assert!(matches!(said_again[1], Chunk::ToolInputAvailable { provider_executed: false, .. }));

    // One of them is decided, which the rows say before the log does.
    let mut second = Encoder::new(Dialect::Six);
    events[..4].iter().for_each(|event| second.skip(event.clone()));
    assert!(second.waits());
    second.know(Waiting { log_end: 5, approvals: HashMap::from([("a5".into(), Waits::ForReader)]) });
    reader.asked.clear();
    reader.read(&second.open(Opening::Asked("msg_1")));
    assert_eq!((reader.asked.join(" ").as_str(), second.waits()), ("a5", false));
    let rest = [events[4].clone(), approval("a4", "4", ApprovalStatus::Rejected), text("never")];
    assert_eq!(stream(&mut second, &mut reader, &rest), Some(2), "the other one is still to be decided");
    assert_eq!((reader.text.as_str(), &reader.calls["4"]["error"]), ("meanwhile", &json!("denied")));
    reader.end = None;
    reader.read(&second.push(status(FinalStatus::Complete)));
    assert_eq!(reader.calls["5"]["error"], "cancelled");
}

#[test]
fn ap_08_a_stream_goes_on_while_another_call_of_the_step_runs() {
    let events = [call("a"), call("b"), approval("q", "a", PENDING), text("still"), answer("b", None, None), text("x")];
    for batches in [vec![&events[..]], events.chunks(1).collect(), events.chunks(2).collect()] {
        let (mut encoder, mut reader) = (Encoder::new(Dialect::Seven), Reader::default());
        for batch in batches {
            if stream(&mut encoder, &mut reader, batch).is_some() {
                break;
            }
        }
        assert_eq!((encoder.offset(), reader.text.as_str(), reader.asked.len()), (9, "still", 1));
    }
    // Whoever has voted is not asked again, and is asked about another call although the first one waits on.
    let mut voted = Encoder::new(Dialect::Six);
    let (for_others, for_reader) = (("q".into(), Waits::ForOthers), ("r".into(), Waits::ForReader));
    voted.know(Waiting { log_end: 9, approvals: HashMap::from([for_others, for_reader]) });
    let mut reader = Reader::default();
    assert_eq!(stream(&mut voted, &mut reader, &[call("a"), approval("q", "a", PENDING)]), None);
    assert_eq!(stream(&mut voted, &mut reader, &[call("b"), approval("r", "b", PENDING)]), Some(2));
    assert_eq!(reader.asked, ["r"]);
}

#[test]
fn ap_08_who_comes_back_to_where_it_was_asked_is_asked_again() {
    let mut encoder = Encoder::new(Dialect::Six);
    [call("4"), approval("a4", "4", PENDING)].into_iter().for_each(|event| encoder.skip(event));
    let mut reader = Reader::default();
    reader.read(&encoder.open(Opening::Rest));
    assert_eq!((reader.asked.len(), encoder.waits()), (1, true));
    encoder.know(Waiting { log_end: 2, ..Waiting::default() });
    reader.read(&encoder.open(Opening::Rest));
    assert_eq!((reader.asked.len(), encoder.waits()), (1, false), "it is decided, and nobody is asked");
}

#[test]
fn ap_08_nobody_is_asked_about_what_is_decided() {
    let decided = |status| [call("1"), approval("a", "1", PENDING), approval("a", "1", status)];
    for (status, asked, error) in [(ApprovalStatus::Approved, 0, None), (ApprovalStatus::Rejected, 1, Some("denied"))] {
        let events = decided(status);
        for known_by_rows in [false, true] {
            let (mut encoder, mut reader) = (Encoder::new(Dialect::Seven), Reader::default());
            let ends = if known_by_rows {
                encoder.know(Waiting { log_end: 3, ..Waiting::default() });
                stream(&mut encoder, &mut reader, &events[..2]).or(stream(&mut encoder, &mut reader, &events[2..]))
            } else {
                stream(&mut encoder, &mut reader, &events)
            };
            assert_eq!(ends, None);
            assert_eq!(reader.asked.len(), asked, "a denied call is one that was asked about");
            assert_eq!(reader.calls["1"].get("error").and_then(Value::as_str), error);
        }
    }
    // A rule refuses without asking anybody.
    let (mut encoder, mut reader) = (Encoder::new(Dialect::Seven), Reader::default());
    stream(&mut encoder, &mut reader, &[call("1"), approval("a", "1", ApprovalStatus::Rejected)]);
    assert_eq!((reader.calls["1"]["error"].as_str(), reader.asked.len()), (Some("denied: too much"), 0));
}

#[test]
fn ap_03_a_reader_sees_the_arguments_that_were_approved() {
    for dialect in [Dialect::Common, Dialect::Six, Dialect::Seven] {
        let (mut encoder, mut reader) = (Encoder::new(dialect), Reader::default());
        let mut approved = approval("a", "1", ApprovalStatus::Approved);
        if let Event::Approval { edited_input, .. } = &mut approved {
            *edited_input = Some(json!({ "amount": 50 }));
        }
        for event in [call("1"), approval("a", "1", PENDING), approved] {
            reader.read(&encoder.push(event));
        }
        assert_eq!(reader.calls["1"]["input"], json!({ "amount": 50 }), "{dialect:?}");
    }
}

#[test]
fn a_call_is_known_by_its_name_and_the_number_of_its_use() {
    for (id, name, expected) in
        [("c", "c", true), ("c#2", "c", true), ("c#", "c", false), ("c2", "c", false), ("c#x", "c", false)]
    {
        assert_eq!(is_call(id, name), expected, "{id}");
    }
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
