//! Where a request enters: whence it comes, whether its caller may ask now, and who that is.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use spool_protocol::{Code, Error};

use super::Refusal;
use crate::app::App;
use crate::auth::Identity;
use crate::limits::Class;
use crate::origin::{self, Peer};

/// Serves the request as one of its origin, unless that asks too much.
pub async fn enter(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>();
    let origin = Arc::new(app.origins.of(peer, request.headers(), request.method(), request.uri().path()));
    if let Err(error) = app.limits.arrive(&origin) {
        return Refusal(error).into_response();
    }
    origin::scope(origin, next.run(request)).await
}

/// The caller by the `Authorization` header. The request counts for them; a credential that is refused
/// counts for the address.
pub async fn identify(app: &App, header: Option<&str>) -> Result<Identity, Error> {
    let origin = origin::current();
    match app.auth.from_header(header).await {
        Ok(identity) => {
            app.functions.denials().note_key(&identity.principal, &origin.facts, app.clock.now_ms());
            app.limits.charge(origin.class.unwrap_or(Class::Asset), &identity.principal, &origin)?;
            Ok(identity)
        }
        Err(error) => {
            app.functions.denials().note_refused(&origin.facts, app.clock.now_ms(), &error);
            if error.code == Code::InvalidToken {
                app.limits.refuse(&origin)?;
            }
            Err(error)
        }
    }
}
