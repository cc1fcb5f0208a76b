//! The body of `POST /api/chat`, and what of it is a person's: a message, or decisions about tool calls.
//! Pure.
//!
//! Only the last message is looked at. Whatever the client says about earlier ones is its own business:
//! the thread is in the store.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use spool_protocol::{Code, Error};

use super::files::Attached;

/// Approvals that one answer may show: each is looked up when one of them is decided.
const SHOWN: usize = 200;

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
pub struct Submission<'a> {
    pub id: String,
    #[serde(default)]
    pub trigger: Trigger,
    #[serde(default)]
    pub message_id: Option<String>,
    #[serde(default, borrow)]
    messages: Option<Vec<&'a RawValue>>,
    /// What clients send that know that the server has the rest.
    #[serde(default, borrow)]
    message: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    id: Option<String>,
    role: String,
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
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
    #[serde(default)]
    input: Option<Value>,
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

/// What a submission asks for.
#[derive(Debug, PartialEq)]
pub enum Wanted {
    Answer(Question),
    Decision(Decisions),
}

/// What a client says that its user decided. A claim, nothing more.
#[derive(Debug, PartialEq)]
pub struct Decisions {
    /// At least one.
    pub claims: Vec<Claim>,
    /// Every approval that the client was shown in this message: tells how far it has read.
    pub shown: Vec<String>,
}

#[derive(Debug, PartialEq)]
pub struct Claim {
    pub approval: String,
    pub tool_call: String,
    pub input: Value,
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

impl<'a> Submission<'a> {
    pub fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let submission: Self = parse(body)?;
        if submission.id.is_empty() {
            return Err(fault("id", "the id of the chat is empty"));
        }
        Ok(submission)
    }

    /// What the newest message of a submission asks for.
    pub fn wanted(&self) -> Result<Wanted, Error> {
        let newest = self.message.or_else(|| self.messages.as_ref()?.last().copied());
        let newest = newest.ok_or_else(|| fault("messages", "there is no message to answer"))?;
        let newest: Message =
            serde_json::from_str(newest.get()).map_err(|e| fault("messages", &format!("the last message: {e}")))?;
        match newest.role.as_str() {
            "user" => {}
            "assistant" => return decisions(newest).map(Wanted::Decision),
            _ => return Err(fault("messages", "the last message must be of the role user")),
        }
        if self.message_id.is_some() {
            let message = "A message that was sent cannot be changed. Send the changed text as a new message.";
            return Err(Error::new(Code::InvalidTransition, message).with("path", "messageId"));
        }
        let (mut text, mut files) = (String::new(), Vec::new());
        for part in newest.parts {
            match part.kind.as_str() {
                "text" => text.push_str(part.text.as_deref().unwrap_or_default()),
                "file" => files.push(Attached::parse(
                    part.url.as_deref().unwrap_or_default(),
                    part.media_type,
                    part.filename,
                )?),
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
        Ok(Wanted::Answer(Question { id: newest.id.filter(|id| !id.is_empty()), text, files }))
    }
}

/// The client goes on from an answer. Results of tools are not its to say; decisions of its user are.
fn decisions(answer: Message) -> Result<Decisions, Error> {
    let mut decisions = Decisions { claims: Vec::new(), shown: Vec::new() };
    for part in answer.parts {
        let Some(Approval { id, approved, reason }) = part.approval else { continue };
        decisions.shown.push(id.clone());
        if part.state.as_deref() == Some("approval-responded") {
            let unclear = |field: &str| fault("messages", &format!("a decision without {field}"));
            decisions.claims.push(Claim {
                approval: id,
                tool_call: part.tool_call_id.ok_or_else(|| unclear("toolCallId"))?,
                input: part.input.unwrap_or_default(),
                approved: approved.ok_or_else(|| unclear("approved"))?,
                reason,
            });
        }
    }
    if decisions.shown.len() > SHOWN {
        return Err(fault("messages", &format!("more than {SHOWN} approvals in one message")));
    }
    if decisions.claims.is_empty() {
        return Err(fault("messages", "the last message is an answer: send a message of the role user"));
    }
    Ok(decisions)
}

fn fault(path: &str, message: &str) -> Error {
    Error::bad_request(format!("{path}: {message}")).with("path", path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted(body: Value) -> Result<Wanted, Error> {
        let body = body.to_string();
        Submission::parse(body.as_bytes()).and_then(|submission| submission.wanted())
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
            (json!({ "id": "c", "messages": [user("hi")], "messageId": "u1" }), Code::InvalidTransition),
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
            input: json!({ "n": 1 }),
            approved: false,
            reason: Some("no".into()),
        };
        let expected = Decisions { claims: vec![claim], shown: vec!["a1".into(), "a2".into()] };
        assert_eq!(wanted(body).unwrap(), Wanted::Decision(expected));
    }
}
