//! Whose streams a request is about.
//!
//! Streams belong to principals. A request names its principal by a token, or, to read, by a signed URL.
//! With neither it is refused, unless the wire is open for development, where one owner stands for all.

use std::sync::Arc;

use ::http::HeaderMap;
use spool_chat::Principal;
use spool_chat::tables::User;
use spool_protocol::{Code, Error, Result};
use spool_store::Id;

use crate::app::App;
use crate::auth::jwt::Reason;

/// The owner of everything that is made without a token while the wire is open. No user has this id.
const EVERYBODY: &str = "everybody";

/// The principal, and the name under which its streams are stored.
#[derive(Debug, Clone)]
pub struct Whose {
    pub owner: String,
    pub principal: Arc<Principal>,
}

/// By the `Authorization` header. `needs` is the function that a service's scopes must cover.
pub async fn identify(app: &App, headers: &HeaderMap, needs: &str) -> Result<Whose> {
    let header = headers.get(::http::header::AUTHORIZATION).map(|value| value.to_str()).transpose();
    let header = header.map_err(|_| Reason::Malformed.error())?;
    let principal = app.auth.from_header(header).await?.principal;
    let owner = match &*principal {
        Principal::User { user } => user.to_string(),
        Principal::Service { user, .. } if principal.covers(needs) => user.to_string(),
        Principal::Service { .. } => {
            let message = format!("The scopes of this key do not cover {needs}.");
            return Err(Error::new(Code::Forbidden, message).with("scope", needs));
        }
        Principal::Anonymous if app.config.streams.dev_open => EVERYBODY.to_owned(),
        Principal::Anonymous => return Err(Error::new(Code::Unauthenticated, "Streams need a signed-in caller.")),
        Principal::System => return Err(Error::new(Code::Forbidden, "The server itself has no streams.")),
    };
    Ok(Whose { owner, principal })
}

/// Who reads `path`: by the header, or by the signature in the URL.
pub async fn reader(app: &App, headers: &HeaderMap, params: &[(String, String)], path: &str) -> Result<Whose> {
    if headers.contains_key(::http::header::AUTHORIZATION) {
        return identify(app, headers, "streams:read").await;
    }
    match signed(app, params, path)? {
        Some(user) => Ok(Whose { owner: user.to_string(), principal: Arc::new(Principal::User { user }) }),
        None => identify(app, headers, "streams:read").await,
    }
}

/// For whom the signature of a URL speaks; none if it has no signature.
pub fn signed(app: &App, params: &[(String, String)], path: &str) -> Result<Option<Id<User>>> {
    let find = |name: &str| params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let Some(signature) = find("signature") else { return Ok(None) };
    let refused = |reason: &str, message: &str| Error::new(Code::InvalidToken, message).with("reason", reason);
    let wrong = || refused("bad_signature", "the signature of the URL is wrong");
    let expires: u64 = find("expires").and_then(|expires| expires.parse().ok()).ok_or_else(wrong)?;
    let (owner, signature) = signature.split_once('.').ok_or_else(wrong)?;
    let user: Id<User> = Id::parse(owner).map_err(|_| wrong())?;
    if !app.stream_keys.urls.verify(owner, path, expires, signature) {
        return Err(wrong());
    }
    if expires <= app.clock.now_ms() / 1000 {
        return Err(refused("expired", "the URL has expired"));
    }
    Ok(Some(user))
}
