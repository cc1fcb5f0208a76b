//! Sign-in by e-mail and password, and the sessions it opens.
//!
//! The secret of a session is in a cookie that only these routes read, and only for pages of this server's
//! own ([`cookie`]). What a page can do with it is to get a token that lives for minutes; every other route
//! takes tokens in a header, so no foreign page can do anything in a person's name.

use std::sync::Arc;

use ::http::header::{self, HeaderMap, HeaderValue};
use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use spool_chat::functions::credentials::Session;
use spool_chat::functions::passwords::Found;
use spool_chat::tables::credential::secret_hash;
use spool_chat::tables::{Credential, User};
use spool_protocol::{Code, Error};
use spool_store::Id;

use super::Refusal;
use crate::app::App;
use crate::auth::passwords::check;
use crate::auth::random_token;
use crate::auth::throttle::Key;
use crate::config::sign_in::SignUp;
use crate::origin;

pub mod cookie;
mod forgot;

pub use forgot::forgot;

type Reply = Result<Response, Refusal>;

/// Bodies here are an address and two passwords.
const BODY_BYTES: usize = 16 << 10;

/// A request of a page of ours, or of no page at all; see [`cookie::check_origin`].
pub struct Form<T> {
    body: T,
    client: Client,
}

/// What is known of whoever sends a form.
pub struct Client {
    /// The secret of the session that the cookie holds.
    secret: Option<String>,
    /// For counting attempts, and for the list of sessions.
    address: String,
    user_agent: Option<String>,
    /// The guest that this browser was until now.
    guest: Option<Id<User>>,
}

impl Client {
    /// Whoever sent a request, who was no guest.
    pub fn of(headers: &HeaderMap) -> Self {
        let user_agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Self {
            secret: cookie::read(headers),
            address: cookie::network(origin::current().address),
            user_agent: user_agent.map(str::to_owned),
            guest: None,
        }
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Form<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        cookie::check_origin(&parts.headers, app.config.public_url()).map_err(Refusal)?;
        // A form of a foreign page cannot send this type without being asked for permission.
        let json = parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if !json {
            return Err(Refusal(Error::bad_request("content-type: must be application/json")));
        }
        let known = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let guest = app.auth.claimable(known).await.map_err(Refusal)?;
        let client = Client { guest, ..Client::of(&parts.headers) };
        let bytes = super::received::whole(Request::from_parts(parts, body), BODY_BYTES).await.map_err(Refusal)?;
        let body = if bytes.is_empty() { &b"{}"[..] } else { &bytes[..] };
        // The parser's own words may repeat a password.
        let body =
            serde_json::from_slice(body).map_err(|_| Refusal(Error::bad_request("body: not the expected fields")))?;
        Ok(Self { body, client })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    email: String,
    password: String,
}

/// `POST /api/auth/sign-in {email, password}` → `{token, expiresAt, sessionId, userId, claimed}` and the
/// cookie. A guest's token in the header says whose conversations go into the account.
pub async fn sign_in(State(app): State<Arc<App>>, Form { body, client }: Form<SignIn>) -> Reply {
    check_enabled(&app)?;
    let account = body.email.trim().to_lowercase();
    let keys = [
        Key::Pair(account.clone(), client.address.clone()),
        Key::Account(account.clone()),
        Key::Address(client.address.clone()),
    ];
    app.passwords.throttle.attempt(app.clock.now_ms(), &keys).map_err(Refusal)?;
    let found = find(&app, json!({ "email": account })).await?;
    let hash = found.as_ref().and_then(|found| found.hash.clone());
    let right = app.passwords.verify(body.password, hash.clone()).await.map_err(Refusal)?;
    // An address without an account gets the same answer after the same time.
    let (Some(Found { user_id, .. }), Some(hash), true) = (found, hash, right) else {
        let message = "The e-mail address or the password is wrong.";
        let error = Error::new(Code::Unauthenticated, message).with("reason", "wrong_password");
        app.functions.denials().note_refused(&origin::current().facts, app.clock.now_ms(), &error);
        return Err(Refusal(error));
    };
    app.passwords.throttle.succeeded(&keys);
    open(&app, &client, &user_id, &hash).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignUpForm {
    email: String,
    password: String,
    name: Option<String>,
}

/// `POST /api/auth/sign-up {email, password, name?}`, where the server takes everybody.
pub async fn sign_up(State(app): State<Arc<App>>, Form { body, client }: Form<SignUpForm>) -> Reply {
    check_enabled(&app)?;
    if app.config.auth.password.sign_up != SignUp::Open {
        let message = "Accounts of this server are made by its administrator.";
        return Err(Refusal(Error::new(Code::Forbidden, message).with("reason", "sign_up_off")));
    }
    check(&body.password, &body.email).map_err(Refusal)?;
    let keys = [Key::Address(client.address.clone())];
    app.passwords.throttle.attempt(app.clock.now_ms(), &keys).map_err(Refusal)?;
    let hash = app.passwords.hash(body.password).await.map_err(Refusal)?;
    let args = json!({ "email": body.email, "name": body.name, "hash": hash });
    let user: Id<User> = mutate(&app, "passwords:create", args).await?;
    open(&app, &client, &user, &hash).await
}

/// `POST /api/auth/sign-out`: ends the session of the cookie, if there is one.
pub async fn sign_out(State(app): State<Arc<App>>, Form { client, .. }: Form<Nothing>) -> Reply {
    if let Some(session) = session(&app, &client).await? {
        let args = json!({ "credentialId": session.credential });
        mutate::<()>(&app, "credentials:revoke", args).await?;
    }
    let mut response = Json(json!({})).into_response();
    set_cookie(&mut response, &cookie::removed(app.config.secure_cookies()));
    Ok(response)
}

/// `POST /api/auth/token` → `{token, expiresAt, sessionId, userId}` for the session of the cookie.
pub async fn token(State(app): State<Arc<App>>, Form { client, .. }: Form<Nothing>) -> Reply {
    match session(&app, &client).await? {
        Some(session) => {
            app.auth.note_use(&session.credential, Some(client.address));
            Ok(Json(issued(&app, &session)?).into_response())
        }
        None => {
            let mut response = Refusal(signed_out()).into_response();
            if client.secret.is_some() {
                set_cookie(&mut response, &cookie::removed(app.config.secure_cookies()));
            }
            Ok(response)
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    old: String,
    new: String,
}

/// `POST /api/auth/password {old, new}`: changes it and signs every other device out.
pub async fn password(State(app): State<Arc<App>>, Form { body, client }: Form<Change>) -> Reply {
    check_enabled(&app)?;
    let session = session(&app, &client).await?.ok_or_else(|| Refusal(signed_out()))?;
    let found = find(&app, json!({ "userId": session.user })).await?;
    let Some(Found { email, hash: Some(old_hash), .. }) = found else {
        return Err(Refusal(Error::new(Code::NotFound, "This account has no password.")));
    };
    check(&body.new, &email).map_err(Refusal)?;
    let keys = [Key::Pair(email.clone(), client.address.clone()), Key::Account(email)];
    app.passwords.throttle.attempt(app.clock.now_ms(), &keys).map_err(Refusal)?;
    let wrong = || Refusal(Error::new(Code::Forbidden, "The old password is wrong.").with("reason", "wrong_password"));
    if !app.passwords.verify(body.old, Some(old_hash.clone())).await.map_err(Refusal)? {
        return Err(wrong());
    }
    app.passwords.throttle.succeeded(&keys);
    let hash = app.passwords.hash(body.new).await.map_err(Refusal)?;
    let args = json!({ "userId": session.user, "oldHash": old_hash, "hash": hash, "sessionId": session.credential });
    if !mutate::<bool>(&app, "passwords:change", args).await? {
        return Err(wrong());
    }
    Ok(Json(json!({})).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    token: String,
    password: String,
}

/// `POST /api/auth/reset {token, password}`: sets the password by a link, once, and signs in with it. Every
/// other session ends.
pub async fn reset(State(app): State<Arc<App>>, Form { body, client }: Form<Reset>) -> Reply {
    check_enabled(&app)?;
    let keys = [Key::Address(client.address.clone())];
    app.passwords.throttle.attempt(app.clock.now_ms(), &keys).map_err(Refusal)?;
    let worthless = || {
        let message = "This link was used, is too old, or was replaced by a newer one. Ask for another.";
        Refusal(Error::new(Code::Gone, message))
    };
    let reset_hash = secret_hash(&body.token);
    let (_, found) = app
        .functions
        .query_as_system("passwords:forReset", json!({ "resetHash": reset_hash }))
        .await
        .map_err(Refusal)?;
    let found: Found = decoded::<Option<Found>>("passwords:forReset", &found)?.ok_or_else(worthless)?;
    check(&body.password, &found.email).map_err(Refusal)?;
    let hash = app.passwords.hash(body.password).await.map_err(Refusal)?;
    let args = json!({ "resetHash": reset_hash, "hash": hash });
    let found: Found = mutate::<Option<Found>>(&app, "passwords:reset", args).await?.ok_or_else(worthless)?;
    app.passwords.throttle.succeeded(&keys);
    open(&app, &client, &found.user_id, &hash).await
}

/// Opens a session for a user who has proved to be it by a password, and answers with its token and cookie.
/// `hash` is what the password was compared with: one that was changed meanwhile opens nothing.
async fn open(app: &Arc<App>, client: &Client, user: &Id<User>, hash: &str) -> Reply {
    let (session, cookie) = open_session(app, client, user, Proof::Password { hash }).await?;
    let mut answer = issued(app, &session)?;
    // The guest's token is worth nothing from now on.
    answer["claimed"] = client.guest.is_some().into();
    let mut response = Json(answer).into_response();
    set_cookie(&mut response, &cookie);
    Ok(response)
}

/// How somebody proved to be a user.
pub enum Proof<'a> {
    Password {
        hash: &'a str,
    },
    /// The id of who vouched for it.
    Provider(&'a str),
}

/// Opens a session. Returns it with its cookie.
pub async fn open_session(
    app: &App, client: &Client, user: &Id<User>, proof: Proof<'_>,
) -> Result<(Session, String), Refusal> {
    let secret = random_token();
    let lifetime_ms = app.config.auth.session_days * 86_400_000;
    let expires_at = app.clock.now_ms() + lifetime_ms;
    let method = match &proof {
        Proof::Password { .. } => "password".to_owned(),
        Proof::Provider(id) => format!("oidc:{id}"),
    };
    let args = json!({
        "userId": user, "secretHash": secret_hash(&secret), "expiresAt": expires_at, "method": method,
        "userAgent": client.user_agent, "address": client.address,
    });
    let credential: Option<Id<Credential>> = match proof {
        Proof::Password { hash } => mutate(app, "passwords:signIn", json!({ "hash": hash, "session": args })).await?,
        Proof::Provider(_) => Some(mutate(app, "credentials:openSession", args).await?),
    };
    let credential = credential.ok_or_else(|| Refusal(signed_out()))?;
    // Whoever was signed in on this browser before is not any more.
    if let Some(before) = session(app, client).await? {
        mutate::<()>(app, "credentials:revoke", json!({ "credentialId": before.credential })).await?;
    }
    // What this browser made as a guest becomes the account's.
    if let Some(guest) = &client.guest {
        app.auth.take_over(guest, user).await.map_err(Refusal)?;
    }
    let session = Session { credential, user: user.clone(), expires_at };
    Ok((session, cookie::made(&secret, lifetime_ms / 1000, app.config.secure_cookies())))
}

/// What a client gets to call other routes with.
fn issued(app: &App, session: &Session) -> Result<Value, Refusal> {
    let (token, expires_at) = app.auth.tokens().issue_session(session).map_err(Refusal)?;
    Ok(json!({ "token": token, "expiresAt": expires_at, "sessionId": session.credential, "userId": session.user }))
}

/// The session of the cookie, if it is on.
async fn session(app: &App, client: &Client) -> Result<Option<Session>, Refusal> {
    let Some(secret) = &client.secret else { return Ok(None) };
    let args = json!({ "secretHash": secret_hash(secret) });
    let (_, session) = app.functions.query_as_system("credentials:session", args).await.map_err(Refusal)?;
    decoded("credentials:session", &session)
}

async fn find(app: &App, args: Value) -> Result<Option<Found>, Refusal> {
    let (_, found) = app.functions.query_as_system("passwords:find", args).await.map_err(Refusal)?;
    decoded("passwords:find", &found)
}

async fn mutate<T: DeserializeOwned>(app: &App, path: &str, args: Value) -> Result<T, Refusal> {
    let result = app.functions.mutate_as_system(path, args).await.map_err(Refusal)?;
    decoded(path, &result)
}

fn decoded<T: DeserializeOwned>(path: &str, result: &str) -> Result<T, Refusal> {
    serde_json::from_str(result).map_err(|e| Refusal(Error::internal(format!("{path}: {e}"))))
}

fn check_enabled(app: &App) -> Result<(), Refusal> {
    if app.config.auth.password.enabled {
        return Ok(());
    }
    let message = "This server signs nobody in with a password.";
    Err(Refusal(Error::new(Code::Forbidden, message).with("reason", "password_off")))
}

fn signed_out() -> Error {
    Error::new(Code::Unauthenticated, "You are not signed in.").with("reason", "signed_out")
}

fn set_cookie(response: &mut Response, cookie: &str) {
    let headers: &mut HeaderMap = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(cookie) {
        headers.append(header::SET_COOKIE, value);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
