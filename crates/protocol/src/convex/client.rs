//! Messages from a client. Argument values stay raw: one bad value fails one request, not the socket.
//!
//! Unknown fields are tolerated (clients add some), unknown types are errors.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{Error, Result};

#[derive(Debug)]
pub enum ClientMessage {
    Connect(Connect),
    ModifyQuerySet(ModifyQuerySet),
    Mutation(Call),
    Action(Call),
    Authenticate(Authenticate),
    /// Telemetry; never answered.
    Event,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connect {
    pub session_id: String,
    /// How often the client has connected before with this session.
    #[serde(default)]
    pub connection_count: u32,
    /// The newest timestamp the client has seen from us, in any life of this server.
    #[serde(default)]
    pub max_observed_timestamp: Option<String>,
    /// Milliseconds of a clock of the client's own; good for nothing but reporting skew.
    #[serde(default)]
    pub client_ts: Option<f64>,
}

#[derive(Debug)]
pub struct ModifyQuerySet {
    pub base_version: u32,
    pub new_version: u32,
    pub modifications: Vec<Modification>,
}

#[derive(Debug)]
pub enum Modification {
    Add(Add),
    Remove(u32),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Add {
    pub query_id: u32,
    pub udf_path: String,
    pub args: Box<RawValue>,
    #[serde(default)]
    pub journal: Option<String>,
    #[serde(default)]
    pub component_path: Option<String>,
}

/// A mutation or an action.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    pub request_id: u32,
    pub udf_path: String,
    pub args: Box<RawValue>,
    #[serde(default)]
    pub component_path: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TokenType {
    User,
    Admin,
    None,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authenticate {
    pub base_version: u32,
    pub token_type: TokenType,
    #[serde(default)]
    pub value: Option<String>,
}

impl ClientMessage {
    /// Parses one text frame. The tag is read first, because serde's tagged enums cannot hold raw values.
    pub fn parse(text: &str) -> Result<Self> {
        let kind = tag(text)?;
        Ok(match kind.as_str() {
            "Connect" => Self::Connect(body(text, &kind)?),
            "ModifyQuerySet" => Self::ModifyQuerySet(parse_modify_query_set(text)?),
            "Mutation" => Self::Mutation(body(text, &kind)?),
            "Action" => Self::Action(body(text, &kind)?),
            "Authenticate" => Self::Authenticate(body(text, &kind)?),
            "Event" => Self::Event,
            _ => return Err(unknown(&kind)),
        })
    }
}

fn parse_modify_query_set(text: &str) -> Result<ModifyQuerySet> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Envelope {
        base_version: u32,
        new_version: u32,
        modifications: Vec<Box<RawValue>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Remove {
        query_id: u32,
    }
    let envelope: Envelope = body(text, "ModifyQuerySet")?;
    let modification = |raw: &RawValue| {
        let kind = tag(raw.get())?;
        match kind.as_str() {
            "Add" => body(raw.get(), &kind).map(Modification::Add),
            "Remove" => body::<Remove>(raw.get(), &kind).map(|remove| Modification::Remove(remove.query_id)),
            _ => Err(unknown(&kind)),
        }
    };
    Ok(ModifyQuerySet {
        base_version: envelope.base_version,
        new_version: envelope.new_version,
        modifications: envelope.modifications.iter().map(|raw| modification(raw)).collect::<Result<_>>()?,
    })
}

fn tag(text: &str) -> Result<String> {
    #[derive(Deserialize)]
    struct Tag {
        #[serde(rename = "type")]
        kind: String,
    }
    body::<Tag>(text, "message").map(|tag| tag.kind)
}

fn body<'a, T: Deserialize<'a>>(text: &'a str, kind: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|e| Error::bad_request(format!("{kind}: {e}")))
}

fn unknown(kind: &str) -> Error {
    let shown: String = kind.chars().take(64).collect();
    Error::bad_request(format!("unknown message type \"{shown}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_surrogate_in_arguments_does_not_break_the_message() {
        let text = r#"{"type":"Mutation","requestId":3,"udfPath":"m:f","args":[{"text":"\ud800"}]}"#;
        let ClientMessage::Mutation(call) = ClientMessage::parse(text).unwrap() else { panic!() };
        assert_eq!(call.request_id, 3);
        assert!(crate::convex::value::decode_args(&call.args).is_err());
    }

    #[test]
    fn key_order_and_unknown_fields_do_not_matter_but_types_do() {
        let text = r#"{"newVersion":1,"x":1,"modifications":[{"queryId":4,"type":"Remove"}],"baseVersion":0,"type":"ModifyQuerySet"}"#;
        let ClientMessage::ModifyQuerySet(set) = ClientMessage::parse(text).unwrap() else { panic!() };
        assert!(matches!(set.modifications[..], [Modification::Remove(4)]));
        let error = ClientMessage::parse(r#"{"type":"Nope"}"#).unwrap_err();
        assert!(error.message.contains("Nope"));
        assert!(ClientMessage::parse("{").is_err());
    }
}
