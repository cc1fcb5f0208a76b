//! Where a request enters: whence it comes, whether its caller may ask now, and who that is.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use spool_chat::Principal;
use spool_protocol::{Code, Error};

use super::Refusal;
use crate::app::App;
use crate::auth::Identity;
use crate::limits::Class;
use crate::origin::{self, Peer};

/// Serves the request as one of its origin, unless that asks too much.
pub async fn enter(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>();
    let origin = Arc::new(app.origins.of(peer, request.headers(), request.method(), request.uri()));
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
        Err(error) => Err(refused(app, error)),
    }
}

/// Counts a request that a signed URL lets in. Whoever has the URL may use it, so it counts for the address.
pub fn admit_by_url(app: &App) -> Result<(), Error> {
    let origin = origin::current();
    app.limits.charge(origin.class.unwrap_or(Class::Asset), &Principal::Anonymous, &origin)
}

/// Notes a credential that is refused, or the signature of a URL, and counts it for the address. Returns what to say.
pub fn refused(app: &App, error: Error) -> Error {
    let origin = origin::current();
    app.functions.denials().note_refused(&origin.facts, app.clock.now_ms(), &error);
    let limited = (error.code == Code::InvalidToken).then(|| app.limits.refuse(&origin).err()).flatten();
    limited.unwrap_or(error)
}
