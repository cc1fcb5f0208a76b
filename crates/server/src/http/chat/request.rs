//! The body of `POST /api/chat`, and what of it is a person's: a message, or decisions about tool calls.
//! Pure.
//!
//! Only the last message is looked at. Whatever the client says about earlier ones is its own business:
//! the thread is in the store. A body may be large and is untrusted, so nothing is kept of it that is not used.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use spool_chat::limits::{DECISIONS, MESSAGE_BYTES, MESSAGE_FILES, NAME_BYTES, PARTS};
use spool_protocol::{Code, Error};

use super::files::Attached;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trigger {
    #[default]
    SubmitMessage,
    RegenerateMessage,
}

/// Extra fields are the application's own and are passed over.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: String,
    #[serde(default)]
    trigger: Trigger,
    #[serde(default)]
    message_id: Option<String>,
    #[serde(default, borrow)]
    messages: Option<Last<'a>>,
    /// What clients send that know that the server has the rest.
    #[serde(default, borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(default)]
    id: Option<String>,
    role: String,
    #[serde(default, borrow)]
    parts: Parts<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    text: Option<String>,
    /// Of a file.
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    filename: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default, borrow)]
    input: Option<&'a RawValue>,
    #[serde(default)]
    approval: Option<Approval>,
}

#[derive(Debug, Deserialize)]
struct Approval {
    id: String,
    #[serde(default)]
    approved: Option<bool>,
    #[serde(default)]
    reason: Option<String>,
}

/// The last entry of a list, of which no other is kept.
#[derive(Debug)]
struct Last<'a>(Option<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Last<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Option<&'de RawValue>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of messages")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut last = None;
                while let Some(entry) = list.next_element()? {
                    last = Some(entry);
                }
                Ok(last)
            }
        }
        deserializer.deserialize_seq(Entries).map(Last)
    }
}

/// The parts of a message as far as a message may have them, and how many it has.
#[derive(Debug, Default)]
struct Parts<'a> {
    kept: Vec<Part<'a>>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Parts<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Parts<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of parts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut parts = Parts::default();
                while parts.kept.len() < PARTS {
                    let Some(part) = list.next_element()? else { break };
                    parts.kept.push(part);
                }
                parts.count = parts.kept.len();
                while list.next_element::<IgnoredAny>()?.is_some() {
                    parts.count += 1;
                }
                Ok(parts)
            }
        }
        deserializer.deserialize_seq(Entries)
    }
}

/// What a client asks of a chat.
#[derive(Debug, PartialEq)]
pub struct Submission {
    pub chat: String,
    pub wanted: Wanted,
}

/// What a submission asks for.
#[derive(Debug, PartialEq)]
pub enum Wanted {
    Answer(Question),
    Decision(Decisions),
    /// An answer again: the one that is meant by this id, or the newest.
    Again(Option<String>),
}

/// What a client says that its user decided. Claims, nothing more.
#[derive(Debug, PartialEq)]
pub struct Decisions {
    /// At least one.
    pub claims: Vec<Claim>,
    /// Every approval that the client was shown in this message: tells how far it has read.
    pub shown: Vec<Shown>,
}

#[derive(Debug, PartialEq)]
pub struct Shown {
    pub approval: String,
    /// The client has the end of the call, too.
    pub over: bool,
}

#[derive(Debug, PartialEq)]
pub struct Claim {
    pub approval: String,
    pub tool_call: String,
    /// As JSON: it is read when there is something to compare it with.
    pub input: String,
    pub approved: bool,
    pub reason: Option<String>,
}

/// What a person said.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    pub id: Option<String>,
    pub text: String,
    pub files: Vec<Attached>,
}

/// A JSON body, or `bad_request` with the place of the fault.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|e| Error::bad_request(format!("body: {e}")))
}

impl Submission {
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body: Body = parse(body)?;
        if body.id.is_empty() {
            return Err(fault("id", "the id of the chat is empty"));
        }
        let wanted = match body.trigger {
            Trigger::SubmitMessage => said(&body)?,
            Trigger::RegenerateMessage => Wanted::Again(body.message_id),
        };
        Ok(Self { chat: body.id, wanted })
    }
}

/// What the newest message of a submission asks for.
fn said(body: &Body<'_>) -> Result<Wanted, Error> {
    let newest = body.message.or_else(|| body.messages.as_ref()?.0);
    let newest = newest.ok_or_else(|| fault("messages", "there is no message to answer"))?;
    let newest: Message =
        serde_json::from_str(newest.get()).map_err(|e| fault("messages", &format!("the last message: {e}")))?;
    within("parts", newest.parts.count, PARTS)?;
    match newest.role.as_str() {
        "user" => question(newest, body.message_id.as_deref()).map(Wanted::Answer),
        "assistant" => decisions(newest).map(Wanted::Decision),
        _ => Err(fault("messages", "the last message must be of the role user")),
    }
}

/// A client that names the message has sent it before: if it says the same, it is a repetition.
fn question(newest: Message<'_>, named: Option<&str>) -> Result<Question, Error> {
    let id = newest.id.filter(|id| !id.is_empty());
    if named.is_some() && named != id.as_deref() {
        let message = "A message that was sent cannot be changed. Send the changed text as a new message.";
        return Err(Error::new(Code::InvalidTransition, message).with("path", "messageId"));
    }
    let (mut text, mut files) = (String::new(), Vec::new());
    for part in newest.parts.kept {
        match part.kind.as_str() {
            "text" => text.push_str(part.text.as_deref().unwrap_or_default()),
            "file" => {
                within("files", files.len() + 1, MESSAGE_FILES)?;
                files.push(Attached::parse(part.url.as_deref().unwrap_or_default(), part.media_type, part.filename)?);
            }
            _ => {}
        }
    }
    if text.trim().is_empty() {
        if files.is_empty() {
            let message = "The message has no text and no file.";
            return Err(Error::new(Code::EmptyMessage, message).with("path", "messages"));
        }
        text.clear(); // as it is stored
    }
    // Here, before a thread or a file is made for it.
    within("bytes of text", text.len(), MESSAGE_BYTES)?;
    within("bytes in its id", id.as_ref().map_or(0, String::len), NAME_BYTES)?;
    Ok(Question { id, text, files })
}

/// The client goes on from an answer. Results of tools are not its to say; decisions of its user are.
fn decisions(answer: Message<'_>) -> Result<Decisions, Error> {
    let mut decisions = Decisions { claims: Vec::new(), shown: Vec::new() };
    for part in answer.parts.kept {
        let Some(Approval { id, approved, reason }) = part.approval else { continue };
        let over = part.state.as_ref().is_some_and(|state| state.starts_with("output-"));
        decisions.shown.push(Shown { approval: id.clone(), over });
        if part.state.as_deref() == Some("approval-responded") {
            let unclear = |field: &str| fault("messages", &format!("a decision without {field}"));
            decisions.claims.push(Claim {
                approval: id,
                tool_call: part.tool_call_id.ok_or_else(|| unclear("toolCallId"))?,
                input: part.input.map_or("null", RawValue::get).to_owned(),
                approved: approved.ok_or_else(|| unclear("approved"))?,
                reason,
            });
        }
    }
    within("decisions", decisions.claims.len(), DECISIONS)?;
    if decisions.claims.is_empty() {
        return Err(fault("messages", "the last message is an answer: send a message of the role user"));
    }
    Ok(decisions)
}

fn within(what: &str, count: usize, limit: usize) -> Result<(), Error> {
    if count <= limit {
        return Ok(());
    }
    let message = format!("messages: the message has {count} {what}; the limit is {limit}");
    Err(Error::new(Code::TooLarge, message).with("limit", limit).with("path", "messages"))
}

fn fault(path: &str, message: &str) -> Error {
    Error::bad_request(format!("{path}: {message}")).with("path", path)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn wanted(body: Value) -> Result<Wanted, Error> {
        Submission::parse(body.to_string().as_bytes()).map(|submission| submission.wanted)
    }

    fn user(text: &str) -> Value {
        json!({ "id": "u1", "role": "user", "metadata": { "x": 1 }, "parts": [
            { "type": "text", "text": text, "state": "done" }, { "type": "data-x", "data": 1 },
        ]})
    }

    #[test]
    fn both_forms_of_the_body_are_taken_with_extra_fields() {
        let expected = Wanted::Answer(Question { id: Some("u1".into()), text: "hi".into(), files: Vec::new() });
        let old = json!({ "id": "u0", "role": "user", "parts": [{ "type": "text", "text": "old" }] });
        let many = json!({ "id": "c", "messages": [old, user("hi")], "trigger": "submit-message", "messageId": null, "x": [] });
        assert_eq!(wanted(many).unwrap(), expected);
        assert_eq!(wanted(json!({ "id": "c", "message": user("hi") })).unwrap(), expected);
    }

    #[test]
    fn files_may_stand_alone() {
        let part = json!({ "type": "file", "mediaType": "text/csv", "filename": "a.csv", "url": "data:;base64,YQ==" });
        let only = wanted(
            json!({ "id": "c", "message": { "role": "user", "parts": [part, { "type": "text", "text": " " }] } }),
        );
        let file = Attached::Inline { media_type: "text/csv".into(), name: "a.csv".into(), bytes: b"a".into() };
        let question = Question { id: None, text: String::new(), files: vec![file] };
        assert_eq!(only.unwrap(), Wanted::Answer(question));
    }

    #[test]
    fn what_cannot_be_answered_is_refused_with_its_place() {
        let answer = |part: Value| json!({ "id": "c", "messages": [{ "role": "assistant", "parts": [part] }] });
        let silent =
            json!({ "type": "tool-x", "toolCallId": "t", "state": "approval-responded", "approval": { "id": "a" } });
        let asked =
            json!({ "type": "tool-x", "toolCallId": "t", "state": "approval-requested", "approval": { "id": "a" } });
        let file =
            json!({ "id": "c", "message": { "role": "user", "parts": [{ "type": "file", "url": "https://x/y" }] } });
        for (body, code) in [
            (json!({ "messages": [user("hi")] }), Code::BadRequest),
            (json!({ "id": "", "messages": [user("hi")] }), Code::BadRequest),
            (json!({ "id": "c", "messages": [user("hi")], "trigger": "other" }), Code::BadRequest),
            (json!({ "id": "c", "messages": [] }), Code::BadRequest),
            (json!({ "id": "c", "messages": ["hi"] }), Code::BadRequest),
            (json!({ "id": "c", "messages": [{ "role": "system", "parts": [] }] }), Code::BadRequest),
            (json!({ "id": "c", "messages": [user("  ")] }), Code::EmptyMessage),
            (json!({ "id": "c", "messages": [user("hi")], "messageId": "u0" }), Code::InvalidTransition),
            (file, Code::BadRequest),
            (answer(silent), Code::BadRequest),
            (answer(asked), Code::BadRequest),
            (answer(json!({ "type": "tool-x", "state": "output-available", "output": 1 })), Code::BadRequest),
        ] {
            let error = wanted(body.clone()).unwrap_err();
            assert_eq!(error.code, code, "{body}: {error}");
        }
    }

    #[test]
    fn what_is_named_is_a_repetition_and_of_everything_else_nothing_is_kept() {
        let again = json!({ "id": "c", "messages": [user("hi")], "messageId": "u1" });
        assert!(matches!(wanted(again).unwrap(), Wanted::Answer(Question { id: Some(id), .. }) if id == "u1"));
        let anew = json!({ "id": "c", "trigger": "regenerate-message", "messages": [1, "two"], "messageId": "a1" });
        assert_eq!(wanted(anew).unwrap(), Wanted::Again(Some("a1".into())));
        let many = |parts: usize| json!({ "id": "c", "message": { "role": "user", "parts": vec![json!({ "type": "text", "text": "a" }); parts] } });
        assert!(wanted(many(PARTS)).is_ok());
        let error = wanted(many(PARTS + 5)).unwrap_err();
        assert_eq!((error.code, error.message.contains("10005 parts")), (Code::TooLarge, true), "{error}");
        let file = json!({ "type": "file", "url": "data:;base64,YQ==" });
        let files = json!({ "id": "c", "message": { "role": "user", "parts": vec![file; MESSAGE_FILES + 1] } });
        assert_eq!(wanted(files).unwrap_err().code, Code::TooLarge);
        let long = json!({ "id": "c", "message": user(&"a".repeat(MESSAGE_BYTES + 1)) });
        assert_eq!(wanted(long).unwrap_err().code, Code::TooLarge);
    }

    #[test]
    fn a_decision_is_a_claim_and_what_was_shown_is_noted() {
        let part = |id: &str, state: &str, approval: Value| json!({ "type": "tool-pay", "toolCallId": id, "state": state, "input": { "n": 1 }, "approval": approval });
        let parts = [
            part("t1", "output-available", json!({ "id": "a1", "approved": true })),
            part("t2", "approval-responded", json!({ "id": "a2", "approved": false, "reason": "no" })),
            json!({ "type": "text", "text": "…", "state": "done" }),
        ];
        let body = json!({ "id": "c", "messages": [user("pay"), { "id": "m", "role": "assistant", "parts": parts }], "messageId": "m" });
        let claim = Claim {
            approval: "a2".into(),
            tool_call: "t2".into(),
            input: r#"{"n":1}"#.into(),
            approved: false,
            reason: Some("no".into()),
        };
        let shown = [("a1", true), ("a2", false)].map(|(id, over)| Shown { approval: id.into(), over }).into();
        let expected = Decisions { claims: vec![claim], shown };
        assert_eq!(wanted(body).unwrap(), Wanted::Decision(expected));
    }
}
