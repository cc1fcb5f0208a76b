//! Who may come here and how, guests, and the public key that our tokens can be checked with.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use spool_protocol::{Code, Error};

use super::{Caller, Refusal};
use crate::app::App;
use crate::config::GuestPolicy;
use crate::config::sign_in::SignUp;

/// `POST /api/auth/guest` → `{token, userId}`. With a guest's token it renews that guest.
pub async fn guest(State(app): State<Arc<App>>, Caller(known): Caller) -> Result<Json<Value>, Refusal> {
    if app.config.guest_policy() == GuestPolicy::Off {
        let message = "this server takes no guests; sign in, or set guests.policy = \"server\"";
        return Err(Refusal(Error::new(Code::Unauthenticated, message).with("reason", "guests_off")));
    }
    let (token, user) = app.auth.guest(&known).await.map_err(Refusal)?;
    Ok(Json(json!({ "token": token, "userId": user.as_str() })))
}

/// `GET /api/auth/methods`: the ways to sign in, for whoever draws the page.
pub async fn methods(State(app): State<Arc<App>>) -> Json<Value> {
    let password = &app.config.auth.password;
    let guest = match app.config.guest_policy() {
        GuestPolicy::Off => "off",
        GuestPolicy::Server => "server",
    };
    Json(json!({
        "guest": guest,
        "password": password.enabled,
        "signUp": password.enabled && password.sign_up == SignUp::Open,
        "mail": password.enabled && app.mail.is_some(),
        "providers": [],
    }))
}

/// `GET /.well-known/jwks.json`
pub async fn jwks(State(app): State<Arc<App>>) -> Json<Value> {
    Json(app.auth.tokens().jwks())
}
