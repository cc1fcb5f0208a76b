//! Sessions on the sync socket: what a client says from `Connect` on, with changes, over a real connection.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::dice::Dice;
use crate::place::Place;
use crate::requests::calls;

/// Silence after which the server has said all that it had to say.
const SILENCE: Duration = Duration::from_millis(30);
const PATIENCE: Duration = Duration::from_secs(30);
const ANSWERS: [&str; 7] =
    ["Ping", "Transition", "TransitionChunk", "MutationResponse", "ActionResponse", "AuthError", "FatalError"];

/// What a client says in one session: in good order, then changed here and there.
pub fn session(dice: &mut Dice, place: &Place) -> Vec<Message> {
    let calls = calls(&place.names);
    let mut said = vec![json!({
        "type": "Connect", "sessionId": "s", "connectionCount": dice.below(2), "lastCloseReason": "InitialConnect",
        "clientTs": 1.5,
    })];
    if !dice.one_in(4) {
        let token = &place.names["token"];
        said.push(json!({ "type": "Authenticate", "baseVersion": 0, "tokenType": "User", "value": token }));
    }
    let mut version = 0;
    for n in 0..1 + dice.below(10) {
        let call = &calls[dice.below(calls.len())];
        said.push(match call["kind"].as_str() {
            Some("query") => {
                let add = json!({ "type": "Add", "queryId": n, "udfPath": call["path"], "args": [call["args"]] });
                let remove = json!({ "type": "Remove", "queryId": dice.below(n + 1) });
                version += 1;
                let changes = if dice.one_in(4) { json!([remove]) } else { json!([add]) };
                json!({ "type": "ModifyQuerySet", "baseVersion": version - 1, "newVersion": version, "modifications": changes })
            }
            kind => {
                let kind = if kind == Some("action") { "Action" } else { "Mutation" };
                json!({ "type": kind, "requestId": n, "udfPath": call["path"], "args": [call["args"]] })
            }
        });
    }
    if dice.one_in(8) {
        let (a, b) = (dice.below(said.len()), dice.below(said.len()));
        said.swap(a, b);
    }
    said.into_iter().map(|message| frame(dice, message)).collect()
}

fn frame(dice: &mut Dice, mut message: Value) -> Message {
    match dice.below(40) {
        0 => dice.json(&mut message),
        1 => {
            let mut bytes = message.to_string().into_bytes();
            dice.bytes(&mut bytes);
            return Message::text(String::from_utf8_lossy(&bytes).into_owned());
        }
        2 if dice.one_in(8) => return Message::binary(message.to_string().into_bytes()),
        _ => {}
    }
    Message::text(message.to_string())
}

/// Says it all and hears the answers. `Ok` is how the connection ended: its close code, or 0 if it stood.
pub async fn talk(place: &Place, said: Vec<Message>) -> (Vec<Message>, Result<u16, String>) {
    let heard = timeout(PATIENCE, heard(place, said.clone())).await;
    (said, heard.unwrap_or_else(|_| Err(format!("the session did not end within {PATIENCE:?}"))))
}

async fn heard(place: &Place, said: Vec<Message>) -> Result<u16, String> {
    let tcp = TcpStream::connect(place.address).await.map_err(|error| error.to_string())?;
    let url = format!("ws://{}/api/1.48.0/sync", place.address);
    let (mut socket, _) = tokio_tungstenite::client_async(url, tcp).await.map_err(|error| error.to_string())?;
    for message in said {
        // The server may have had enough already.
        if socket.send(message).await.is_err() {
            break;
        }
    }
    let mut ended = 0;
    while let Ok(Some(Ok(message))) = timeout(SILENCE, socket.next()).await {
        match message {
            Message::Text(text) => judge(&text)?,
            Message::Close(close) => {
                let reason = close.as_ref().map_or("", |close| close.reason.as_str());
                // The one fault that a client can claim: that it has seen the future.
                if reason.contains("InternalServerError") && !reason.contains("timestamps") {
                    return Err(reason.to_owned());
                }
                ended = close.map_or(1, |close| close.code.into());
            }
            _ => {}
        }
    }
    let _ = socket.close(None).await;
    Ok(ended)
}

fn judge(text: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{what}: {}", text.chars().take(600).collect::<String>()));
    let Ok(message) = serde_json::from_str::<Value>(text) else { return wrong("no JSON") };
    if !message["type"].as_str().is_some_and(|kind| ANSWERS.contains(&kind)) {
        return wrong("an unknown message");
    }
    let failed = std::iter::once(&message).chain(message["modifications"].as_array().into_iter().flatten());
    if failed.into_iter().any(|part| part["errorData"]["code"] == "internal") {
        return wrong("a fault of the server's own");
    }
    Ok(())
}
