//! Files that a client sends in a message: read from their URLs, stored as uploads. Nothing is ever fetched.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::stream;
use sha2::{Digest as _, Sha256};
use spool_chat::functions::uploads::media_type as checked;
use spool_chat::tables::Upload;
use spool_protocol::{Code, Error, Result};
use spool_store::Id;

use super::Call;
use crate::uploads::{About, save};

/// A file of a message.
#[derive(Debug, PartialEq, Eq)]
pub enum Attached {
    /// It came with the message.
    Inline { media_type: String, name: String, bytes: Vec<u8> },
    /// It was uploaded before.
    Stored(Id<Upload>),
}

impl Attached {
    /// What the `url` of a file part means: data, or an upload of ours by its path, wherever the client
    /// thinks that we are. Whether it is the caller's, the transaction says.
    pub fn parse(url: &str, media_type: Option<String>, name: Option<String>) -> Result<Self> {
        if let Some(data) = url.strip_prefix("data:") {
            let (said, bytes) = decode(data)?;
            // Browsers know no type for some files, and the SDK allows half of one.
            let media_type = media_type.filter(|given| checked(given).is_ok()).unwrap_or(said);
            return Ok(Self::Inline { media_type, name: name.unwrap_or_default(), bytes });
        }
        let path = url.split_once("://").map_or(url, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
        let id = path.strip_prefix("/api/uploads/").and_then(|id| id.split(['?', '#']).next());
        id.and_then(|id| Id::parse(id).ok()).map(Self::Stored).ok_or_else(|| {
            fault("a file is sent as a data: URL, or uploaded before and sent by its URL here; no other is fetched")
        })
    }
}

/// Whether storing the files writes anything.
pub fn any_inline(files: &[Attached]) -> bool {
    files.iter().any(|file| matches!(file, Attached::Inline { .. }))
}

fn decode(data: &str) -> Result<(String, Vec<u8>)> {
    let (head, body) = data.split_once(',').ok_or_else(|| fault("a data: URL of a file has no comma"))?;
    let head = head.strip_suffix(";base64").ok_or_else(|| fault("a data: URL of a file must be base64"))?;
    let bytes = BASE64.decode(body).map_err(|_| fault("a data: URL of a file is not valid base64"))?;
    let media_type = if head.is_empty() { "text/plain" } else { head };
    Ok((media_type.to_owned(), bytes))
}

fn fault(message: &str) -> Error {
    Error::bad_request(format!("messages: {message}")).with("path", "messages")
}

/// Stores what is not stored, and returns the ids in their order. The message's id makes it repeatable: the
/// same file of the same message is the same upload.
pub async fn store(call: &Call, thread: &str, message: Option<&str>, files: Vec<Attached>) -> Result<Vec<Id<Upload>>> {
    let mut ids = Vec::with_capacity(files.len());
    for (at, file) in files.into_iter().enumerate() {
        ids.push(match file {
            Attached::Stored(id) => id,
            Attached::Inline { media_type, name, bytes } => {
                let request_id = message.map(|id| request_id(id, at));
                let declared = Some(bytes.len() as u64);
                let about = About { thread: thread.to_owned(), file_name: name, media_type, request_id, declared };
                let body = stream::iter([Ok::<_, std::convert::Infallible>(bytes.into())]);
                save(&call.app, &call.caller.principal, about, body).await.map_err(told)?.id
            }
        });
    }
    Ok(ids)
}

/// Whatever the length of the message's id is.
fn request_id(message: &str, at: usize) -> String {
    let digest: String = Sha256::digest(message).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("chat:{digest}:{at}")
}

/// The client knows a message, not our request.
fn told(error: Error) -> Error {
    if error.code != Code::AlreadyExists {
        return error;
    }
    let message = "This message id was used with another file in this chat. Send a changed file as a new message.";
    Error::new(Code::AlreadyExists, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Attached> {
        Attached::parse(url, None, None)
    }

    #[test]
    fn data_is_decoded_and_no_address_is_followed() {
        let inline = |media_type: &str, bytes: &[u8]| Attached::Inline {
            media_type: media_type.into(),
            name: String::new(),
            bytes: bytes.into(),
        };
        assert_eq!(parse("data:image/png;base64,YWJj").unwrap(), inline("image/png", b"abc"));
        assert_eq!(parse("data:;base64,").unwrap(), inline("text/plain", b""));
        let given = Attached::parse("data:;base64,YQ==", Some("text/csv".into()), None).unwrap();
        assert_eq!(given, inline("text/csv", b"a"));
        let half = Attached::parse("data:image/png;base64,YQ==", Some("image".into()), None).unwrap();
        assert_eq!(half, inline("image/png", b"a"));
        for bad in [
            "data:",
            "data:,",
            "data:text/plain,abc",
            "data:text/plain;base64,*",
            "https://example.com/x.png",
            "http://169.254.169.254/",
            "file:///etc/passwd",
            "/etc/passwd",
            "",
            "/api/uploads/../x",
        ] {
            assert_eq!(parse(bad).unwrap_err().code, Code::BadRequest, "{bad}");
        }
    }

    #[test]
    fn our_own_address_is_an_id() {
        let id = format!("upl_{}", "0".repeat(26));
        for url in [format!("/api/uploads/{id}"), format!("http://h:1/api/uploads/{id}?signature=x")] {
            assert_eq!(parse(&url).unwrap(), Attached::Stored(Id::parse(&id).unwrap()), "{url}");
        }
    }
}
