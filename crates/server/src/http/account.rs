//! Sign-in over HTTP, and the public key that our tokens can be checked with.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use spool_protocol::Error;

use super::{Body, Caller, Refusal};
use crate::app::App;
use crate::connections::PeerAddress;

/// `POST /api/auth/guest` → `{token, userId}`. With a guest's token it renews that guest.
pub async fn guest(
    State(app): State<Arc<App>>, Caller(known): Caller, Extension(PeerAddress(address)): Extension<PeerAddress>,
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

/// `GET /.well-known/jwks.json`
pub async fn jwks(State(app): State<Arc<App>>) -> Json<Value> {
    Json(app.auth.tokens().jwks())
}
