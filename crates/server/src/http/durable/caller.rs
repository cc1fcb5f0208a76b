//! Whose streams a request is about.
//!
//! Streams belong to principals. A request names its principal by a token, or, to read, by a signed URL.
//! With neither it is refused, unless the wire is open for development, where one owner stands for all.

use ::http::HeaderMap;
use spool_chat::Principal;
use spool_chat::tables::User;
use spool_protocol::{Code, Error, Result};
use spool_store::Id;

use super::{parameter, paths};
use crate::app::App;
use crate::auth::Identity;
use crate::auth::jwt::Reason;
use crate::http::boundary;

/// The owner of everything that is made without a token while the wire is open. No user has this id.
const EVERYBODY: &str = "everybody";

/// The caller, and the name under which its streams are stored.
#[derive(Debug, Clone)]
pub struct Whose {
    pub owner: String,
    pub identity: Identity,
    /// Until when, in milliseconds, everybody may read who has the URL, if that is what says who reads.
    pub shared_until_ms: Option<u64>,
}

/// By the `Authorization` header. `needs` is the function that a service's scopes must cover.
pub async fn identify(app: &App, headers: &HeaderMap, needs: &str) -> Result<Whose> {
    let identity = identity(app, headers).await?;
    let owner = owner(app, headers, &identity.principal, needs)?;
    Ok(Whose { owner, identity, shared_until_ms: None })
}

/// The same for a request about an answer's log, which a worker reads and writes, too.
pub async fn identify_for_answer(app: &App, headers: &HeaderMap, needs: &str) -> Result<Whose> {
    let identity = identity(app, headers).await?;
    let owner = match &*identity.principal {
        // It has no streams, so nothing is ever looked for under this name.
        Principal::Worker { worker, .. } => worker.to_string(),
        principal => owner(app, headers, principal, needs)?,
    };
    Ok(Whose { owner, identity, shared_until_ms: None })
}

async fn identity(app: &App, headers: &HeaderMap) -> Result<Identity> {
    let header = headers.get(::http::header::AUTHORIZATION).map(|value| value.to_str()).transpose();
    boundary::identify(app, header.map_err(|_| Reason::Malformed.error())?).await
}

/// Under which name the streams of a caller are stored.
fn owner(app: &App, headers: &HeaderMap, principal: &Principal, needs: &str) -> Result<String> {
    Ok(match principal {
        Principal::User { user } => user.to_string(),
        Principal::Service { user, .. } if principal.covers(needs) => user.to_string(),
        Principal::Service { .. } => {
            let message = format!("The scopes of this key do not cover {needs}.");
            return Err(Error::new(Code::Forbidden, message).with("scope", needs));
        }
        Principal::Anonymous if app.config.streams.dev_open => {
            check_local(headers)?;
            EVERYBODY.to_owned()
        }
        Principal::Anonymous => return Err(Error::new(Code::Unauthenticated, "Streams need a signed-in caller.")),
        Principal::Worker { .. } => return Err(Error::new(Code::Forbidden, "Workers have no streams.")),
        Principal::System => return Err(Error::new(Code::Forbidden, "The server itself has no streams.")),
    })
}

/// While the wire is open, only for names and pages of this machine. Any page in a browser here can send
/// requests to the loopback address, and says which site it is of (`Origin`). A site can also point its own
/// name to that address, so that its pages are of the same origin as this server: then `Host` has that name.
/// And a proxy here that passes on what others ask says so.
fn check_local(headers: &HeaderMap) -> Result<()> {
    for header in ["x-forwarded-for", "forwarded"] {
        if headers.contains_key(header) {
            let message = "Without a token, streams are open to this machine only, and not through a proxy.";
            return Err(Error::new(Code::Forbidden, message).with("header", header));
        }
    }
    let mut hosts = headers.get_all(::http::header::HOST).iter();
    let host = hosts.next().filter(|_| hosts.next().is_none()).and_then(|host| host.to_str().ok());
    if !host.is_some_and(is_local) {
        let message = "Without a token, streams are open under localhost, 127.0.0.1 and [::1] only.";
        return Err(Error::new(Code::Forbidden, message).with("header", "host"));
    }
    let mut origins = headers.get_all(::http::header::ORIGIN).iter().map(|origin| origin.to_str().unwrap_or_default());
    if !origins.all(|origin| origin.split_once("://").is_some_and(|(_, host)| is_local(host))) {
        let message = "Without a token, streams are open to pages of localhost, 127.0.0.1 and [::1] only.";
        return Err(Error::new(Code::Forbidden, message).with("header", "origin"));
    }
    Ok(())
}

/// `localhost`, `127.0.0.1` or `[::1]`, with or without a port.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "[::1]"
}

/// Who reads `path`: by the header, or by the signature in the URL.
pub async fn reader(app: &App, headers: &HeaderMap, params: &[(String, String)], path: &str) -> Result<Whose> {
    if headers.contains_key(::http::header::AUTHORIZATION) {
        let needs = "streams:read";
        return if paths::is_answer(path) {
            identify_for_answer(app, headers, needs).await
        } else {
            identify(app, headers, needs).await
        };
    }
    match signed(app, params, path)? {
        Some((user, until_ms)) => Ok(Whose {
            owner: user.to_string(),
            identity: Identity::of_url(user, until_ms),
            shared_until_ms: Some(until_ms),
        }),
        None => identify(app, headers, "streams:read").await,
    }
}

/// For whom the signature of a URL speaks, and until when, in milliseconds; none if it has no signature.
fn signed(app: &App, params: &[(String, String)], path: &str) -> Result<Option<(Id<User>, u64)>> {
    let Some((owner, until_ms)) = signed_by(app, params, path)? else { return Ok(None) };
    Ok(Some((Id::parse(owner).map_err(|_| wrong())?, until_ms)))
}

/// The same, for those who are no user: the name as it was signed.
pub fn signed_by<'a>(app: &App, params: &'a [(String, String)], path: &str) -> Result<Option<(&'a str, u64)>> {
    let Some(signature) = parameter(params, "signature") else { return Ok(None) };
    let signed = || {
        let expires: u64 = parameter(params, "expires")?.parse().ok()?;
        let (owner, signature) = signature.split_once('.')?;
        app.stream_keys.urls.verify(owner, path, expires, signature).then_some((owner, expires))
    };
    let (owner, expires) = signed().ok_or_else(|| boundary::refused(app, wrong()))?;
    boundary::admit_by_url(app)?;
    if expires <= app.clock.now_ms() / 1000 {
        return Err(refused("expired", "the URL has expired"));
    }
    Ok(Some((owner, expires.saturating_mul(1000))))
}

fn wrong() -> Error {
    refused("bad_signature", "the signature of the URL is wrong")
}

fn refused(reason: &str, message: &str) -> Error {
    Error::new(Code::InvalidToken, message).with("reason", reason)
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in ["localhost", "LocalHost:3210", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:3210"] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "evil.example:3210",
            "127.0.0.1.nip.io",
            "localhost:",
            "localhost:80:80",
            "localhost@evil.example",
            "::1",
            "[::1",
            "0.0.0.0",
            "127.0.0.2",
            "localhost.",
            " localhost",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
