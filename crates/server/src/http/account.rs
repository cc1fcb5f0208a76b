//! Sign-in over HTTP, and the public key that our tokens can be checked with.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use spool_protocol::{Code, Error};

use super::{Caller, Refusal};
use crate::app::App;
use crate::config::GuestPolicy;

/// `POST /api/auth/guest` → `{token, userId}`. With a guest's token it renews that guest.
pub async fn guest(State(app): State<Arc<App>>, Caller(known): Caller) -> Result<Json<Value>, Refusal> {
    if app.config.guest_policy() == GuestPolicy::Off {
        let message = "this server takes no guests; sign in, or set guests.policy = \"server\"";
        return Err(Refusal(Error::new(Code::Unauthenticated, message).with("reason", "guests_off")));
    }
    let (token, user) = app.auth.guest(&known).await.map_err(Refusal)?;
    Ok(Json(json!({ "token": token, "userId": user.as_str() })))
}

/// `GET /.well-known/jwks.json`
pub async fn jwks(State(app): State<Arc<App>>) -> Json<Value> {
    Json(app.auth.tokens().jwks())
}
