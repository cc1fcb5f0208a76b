//! From the id of a chat to the caller's thread, and to the answer in it that is to be made again.
//!
//! A chat id is the id of a thread, or a name of the client's own making, which is the thread's
//! `externalId`. Names are each user's own, so nobody can meet another's.

use serde::Deserialize;
use serde_json::json;
use spool_chat::busy;
use spool_chat::tables;
use spool_protocol::Error;
use spool_store::Id;

use super::Call;

/// How far back an answer is looked for that is not named by its own id.
const LOOK_BACK: u32 = 10;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Thread {
    #[serde(rename = "_id")]
    pub id: String,
    #[serde(default)]
    pub active_generation_id: Option<String>,
}

/// Whatever looks like the id of a thread is one: nobody makes a thread under the name of another's.
fn is_thread_id(chat: &str) -> bool {
    Id::<tables::Thread>::parse(chat).is_ok()
}

/// The thread of a chat; `None` if the caller has used no such name yet. A thread that is missing or
/// foreign is `not_found`.
pub async fn find(call: &Call, chat: &str) -> Result<Option<Thread>, Error> {
    if !is_thread_id(chat) {
        return call.query("threads:find", json!({ "externalId": chat })).await;
    }
    let thread: Option<Thread> = call.query("threads:get", json!({ "threadId": chat })).await?;
    thread.map(Some).ok_or_else(|| Error::not_found("chat"))
}

/// The id of a chat's thread. Two first requests of one name at once get the same thread.
pub async fn find_or_create(call: &Call, chat: &str) -> Result<String, Error> {
    if !is_thread_id(chat) {
        return call.mutate("threads:create", json!({ "externalId": chat })).await;
    }
    let thread = find(call, chat).await?;
    thread.map(|thread| thread.id).ok_or_else(|| Error::not_found("chat"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(rename = "_id")]
    id: String,
    thread_id: String,
    role: String,
    #[serde(default)]
    request_id: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    page: Vec<Message>,
}

/// The answer that a client means by `message`: an answer's id, the id of the message that it answers
/// (ours or the client's own), or nothing for the newest.
pub async fn answer_to_regenerate(call: &Call, thread: &Thread, message: Option<&str>) -> Result<String, Error> {
    if let Some(id) = message
        && Id::<tables::Message>::parse(id).is_ok()
    {
        let named: Message = call.query("messages:get", json!({ "messageId": id })).await?;
        if named.thread_id != thread.id {
            return Err(Error::not_found("message"));
        }
        if named.role == "assistant" {
            return Ok(named.id);
        }
    }
    pick(newest(call, thread).await?, message).ok_or_else(|| Error::not_found("message"))
}

/// The newest messages, the newest first.
async fn newest(call: &Call, thread: &Thread) -> Result<Vec<Message>, Error> {
    let options = json!({ "numItems": LOOK_BACK, "cursor": null });
    let args = json!({ "threadId": thread.id, "order": "desc", "paginationOpts": options });
    call.query::<Page>("messages:page", args).await.map(|newest| newest.page)
}

/// Refuses a new message while another is being answered, before anything is stored for it.
pub async fn check_free(call: &Call, chat: &str, request: Option<&str>) -> Result<(), Error> {
    let Some(thread) = find(call, chat).await? else { return Ok(()) };
    let Some(active) = &thread.active_generation_id else { return Ok(()) };
    let repeated = |message: &Message| request.is_some() && message.request_id.as_deref() == request;
    if newest(call, &thread).await?.iter().any(repeated) {
        return Ok(());
    }
    Err(busy(active))
}

/// `newest` has the newest message first.
fn pick(newest: Vec<Message>, named: Option<&str>) -> Option<String> {
    let mut answer = None;
    for message in newest {
        let meant = named.is_none_or(|named| message.id == named || message.request_id.as_deref() == Some(named));
        if message.role == "assistant" {
            if meant {
                return Some(message.id);
            }
            answer = Some(message.id);
        } else if meant && named.is_some() {
            return answer;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_found_by_its_question_too() {
        let message = |id: &str, role: &str, request_id: Option<&str>| Message {
            id: id.into(),
            thread_id: "t".into(),
            role: role.into(),
            request_id: request_id.map(str::to_owned),
        };
        let thread = || {
            vec![
                message("u2", "user", Some("mine2")),
                message("a1", "assistant", None),
                message("u1", "user", Some("mine1")),
            ]
        };
        for (named, expected) in [
            (None, Some("a1")),
            (Some("a1"), Some("a1")),
            (Some("u1"), Some("a1")),
            (Some("mine1"), Some("a1")),
            (Some("mine2"), None),
            (Some("other"), None),
        ] {
            assert_eq!(pick(thread(), named).as_deref(), expected, "{named:?}");
        }
    }
}
