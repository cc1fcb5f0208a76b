//! Who may come here and how, guests, and the public key that our tokens can be checked with.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use spool_protocol::Error;

use super::{Body, Caller, Refusal};
use crate::app::App;
use crate::config::sign_in::SignUp;
use crate::connections::Peer;

/// `POST /api/auth/guest` → `{token, userId}`. With a guest's token it renews that guest.
pub async fn guest(
    State(app): State<Arc<App>>, Caller(known): Caller, Extension(Peer(address)): Extension<Peer>,
) -> Result<Json<Value>, Refusal> {
    let (token, user) = app.auth.guest(&known, address).await.map_err(Refusal)?;
    Ok(Json(json!({ "token": token, "userId": user.as_str() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    /// The guest's.
    token: String,
}

/// `POST /api/auth/claim {token}` → `{threads}`: the caller takes over what the guest of that token has.
pub async fn claim(
    State(app): State<Arc<App>>, Caller(into): Caller, Body(body): Body,
) -> Result<Json<Value>, Refusal> {
    let claim = serde_json::from_slice::<Claim>(&body);
    // What the reader says of a mistake may quote the token.
    let malformed = |_| Refusal(Error::bad_request("the body must be {\"token\": \"<the guest's token>\"}"));
    let threads = app.auth.claim(&into, &claim.map_err(malformed)?.token).await.map_err(Refusal)?;
    Ok(Json(json!({ "threads": threads })))
}

/// `GET /api/auth/methods`: the ways to sign in, for whoever draws the page.
pub async fn methods(State(app): State<Arc<App>>) -> Json<Value> {
    let password = &app.config.auth.password;
    let providers = app.config.auth.providers.iter();
    let providers: Vec<_> = providers.map(|one| json!({ "id": one.id, "name": one.shown_name() })).collect();
    Json(json!({
        "guest": app.config.guests().policy,
        "password": password.enabled,
        "signUp": password.enabled && password.sign_up == SignUp::Open,
        "mail": password.enabled && app.mail.is_some(),
        "providers": providers,
    }))
}

/// `GET /.well-known/jwks.json`
pub async fn jwks(State(app): State<Arc<App>>) -> Json<Value> {
    Json(app.auth.tokens().jwks())
}
