//! Messages to a client, written as text. Results are spliced in as the JSON they already are: a result
//! is serialized once, however many sockets it goes to.

use std::sync::Arc;

use serde_json::Value;

use crate::convex::{Text, encode_ts};
use crate::error::Error;

/// A client's place in three orders: its query set, its identity, the commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version {
    pub query_set: u32,
    pub identity: u32,
    pub ts: u64,
}

impl Version {
    fn write(self, out: &mut Text) {
        let Version { query_set, identity, ts } = self;
        out.push(&format!(r#"{{"querySet":{query_set},"identity":{identity},"ts":"{}"}}"#, encode_ts(ts)));
    }
}

/// What a query now is, for one client.
#[derive(Debug)]
pub enum Modification<'a> {
    Updated { query_id: u32, value: &'a Arc<str>, journal: Option<&'a str> },
    Failed { query_id: u32, error: &'a Error, journal: Option<&'a str> },
    Removed { query_id: u32 },
}

impl Modification<'_> {
    fn write(&self, out: &mut Text) {
        match self {
            Self::Updated { query_id, value, journal } => {
                out.push(&format!(r#"{{"type":"QueryUpdated","queryId":{query_id},"value":"#));
                out.share(value);
                out.push(&format!(r#","logLines":[],"journal":{}"#, json(*journal)));
            }
            Self::Failed { query_id, error, journal } => {
                let (message, journal, data) = (json(error.message.as_str()), json(*journal), error.to_data());
                out.push(&format!(
                    r#"{{"type":"QueryFailed","queryId":{query_id},"errorMessage":{message},"logLines":[],"journal":{journal},"errorData":{data}"#
                ));
            }
            Self::Removed { query_id } => out.push(&format!(r#"{{"type":"QueryRemoved","queryId":{query_id}"#)),
        }
        out.push("}");
    }
}

/// `skew` is client clock minus ours in ms; `server_ns` our time in ns. Both present or both absent.
pub fn transition(
    start: Version, end: Version, modifications: &[Modification<'_>], clocks: Option<(i64, u64)>,
) -> Text {
    let mut out = Text::from(r#"{"type":"Transition","startVersion":"#.to_owned());
    start.write(&mut out);
    out.push(r#","endVersion":"#);
    end.write(&mut out);
    out.push(r#","modifications":["#);
    for (at, modification) in modifications.iter().enumerate() {
        if at > 0 {
            out.push(",");
        }
        modification.write(&mut out);
    }
    out.push("]");
    if let Some((skew, server_ns)) = clocks {
        out.push(&format!(r#","clientClockSkew":{skew},"serverTs":{server_ns}"#));
    }
    out.push("}");
    out
}

/// A success carries its commit timestamp, and must reach the client before any Transition at it.
pub fn mutation_response(request_id: u32, result: Result<(&str, u64), &Error>) -> String {
    match result {
        Ok((value, ts)) => format!(
            r#"{{"type":"MutationResponse","requestId":{request_id},"success":true,"result":{value},"ts":"{}","logLines":[]}}"#,
            encode_ts(ts)
        ),
        Err(error) => failure("MutationResponse", request_id, error),
    }
}

pub fn action_response(request_id: u32, result: Result<&str, &Error>) -> String {
    match result {
        Ok(value) => format!(
            r#"{{"type":"ActionResponse","requestId":{request_id},"success":true,"result":{value},"logLines":[]}}"#
        ),
        Err(error) => failure("ActionResponse", request_id, error),
    }
}

fn failure(kind: &str, request_id: u32, error: &Error) -> String {
    let (message, data) = (json(error.message.as_str()), error.to_data());
    format!(
        r#"{{"type":"{kind}","requestId":{request_id},"success":false,"result":{message},"logLines":[],"errorData":{data}}}"#
    )
}

/// After it the socket must be closed: npm clients otherwise keep a version of their own.
pub fn auth_error(error: &Error, base_version: u32, update_attempted: bool) -> String {
    let message = json(error.message.as_str());
    format!(
        r#"{{"type":"AuthError","error":{message},"baseVersion":{base_version},"authUpdateAttempted":{update_attempted}}}"#
    )
}

/// Feeds the client's watchdog, which does not count WebSocket pings.
pub const PING: &str = r#"{"type":"Ping"}"#;

/// A large Transition as `TransitionChunk` messages of at most `max_bytes` of its text each. Only npm clients
/// assemble them.
pub fn chunks(transition: &Text, max_bytes: usize) -> impl Iterator<Item = String> {
    let (total, id) = (transition.cuts(max_bytes).count(), transition.len());
    transition.cuts(max_bytes).enumerate().map(move |(at, part)| {
        let text = json(part.as_str());
        format!(
            r#"{{"type":"TransitionChunk","chunk":{text},"partNumber":{at},"totalParts":{total},"transitionId":"{id}"}}"#
        )
    })
}

fn json<'a>(text: impl Into<Option<&'a str>>) -> String {
    text.into().map_or_else(|| "null".to_owned(), |text| Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_written_is_json_with_the_fields_that_clients_require() {
        let error = Error::not_found("thread");
        let end = Version { query_set: 1, identity: 0, ts: 1000 };
        let modifications = [
            Modification::Updated { query_id: 0, value: &r#"{"a":1}"#.into(), journal: None },
            Modification::Failed { query_id: 1, error: &error, journal: Some("j") },
            Modification::Removed { query_id: 2 },
        ];
        let text = transition(Version::default(), end, &modifications, None);
        let value: Value = serde_json::from_str(&text.cuts(usize::MAX).collect::<String>()).unwrap();
        assert_eq!(value["endVersion"]["ts"], "6AMAAAAAAAA=");
        assert_eq!(value["modifications"][0]["journal"], Value::Null);
        assert_eq!(value["modifications"][1]["errorData"]["code"], "not_found");
        assert!(value.get("serverTs").is_none(), "absent, never null");
        let failed: Value = serde_json::from_str(&mutation_response(7, Err(&error))).unwrap();
        assert_eq!((&failed["success"], &failed["logLines"]), (&false.into(), &Value::Array(vec![])));
        let done: Value = serde_json::from_str(&mutation_response(7, Ok(("null", 1000)))).unwrap();
        assert_eq!(done["ts"], "6AMAAAAAAAA=");
    }

    #[test]
    fn chunks_join_to_the_transition_and_say_how_many_they_are() {
        let text = "aé€😀\"".repeat(50);
        let parts: Vec<Value> =
            chunks(&Text::from(text.clone()), 7).map(|part| serde_json::from_str(&part).unwrap()).collect();
        assert_eq!(parts.iter().map(|part| part["chunk"].as_str().unwrap()).collect::<String>(), text);
        for (at, part) in parts.iter().enumerate() {
            assert_eq!((&part["partNumber"], &part["totalParts"]), (&at.into(), &parts.len().into()));
        }
    }
}
