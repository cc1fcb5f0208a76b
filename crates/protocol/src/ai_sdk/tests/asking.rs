//! When a reader asks its user, and what it sees of the decision.

use super::*;

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
