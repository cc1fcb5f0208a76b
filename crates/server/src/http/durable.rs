//! `/v1/stream/…`: the Durable Streams protocol, version 1.0 (github.com/durable-streams/durable-streams).
//!
//! Owns what the wire says: headers, offsets, statuses. What a stream is, the functions under `streams:`
//! say; nothing is kept here that a row does not have. `/v1/stream/generations/{id}` shows an answer's log
//! in the same form, read-only. `/v1/stream/__ds/…` is the protocol's own.

use std::sync::Arc;

use ::http::{HeaderValue, header};
use axum::Router;
use axum::extract::{Query, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, delete, get, post};
use spool_protocol::{Code, Error};

use super::headers::SANDBOX;
use crate::app::App;

mod caller;
mod content;
mod headers;
mod offset;
mod paths;
mod read;
mod refusal;
mod source;
mod sse;
mod subscriptions;
mod text;
mod write;

pub use caller::signed_by;
pub use headers::EXPOSED;
pub use paths::origin;
use refusal::Refused;
pub use subscriptions::links;

/// The parameters of the query, in order and with repetitions.
type Params = Query<Vec<(String, String)>>;
type Answer = Result<Response, Refused>;

fn parameter<'a>(params: &'a [(String, String)], name: &str) -> Option<&'a str> {
    params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

pub fn router() -> Router<Arc<App>> {
    let streams = get(read::get).head(read::head).put(write::create).post(write::append).delete(write::remove);
    let subscription = get(subscriptions::show).put(subscriptions::create).delete(subscriptions::remove);
    Router::new()
        .route("/v1/stream/__ds/jwks.json", get(subscriptions::jwks))
        .route("/v1/stream/__ds/subscriptions/{id}", subscription)
        .route("/v1/stream/__ds/subscriptions/{id}/streams", post(subscriptions::link))
        .route("/v1/stream/__ds/subscriptions/{id}/streams/{*path}", delete(subscriptions::unlink))
        .route("/v1/stream/__ds/subscriptions/{id}/claim", post(subscriptions::claim))
        .route("/v1/stream/__ds/subscriptions/{id}/callback", post(subscriptions::callback))
        .route("/v1/stream/__ds/subscriptions/{id}/ack", post(subscriptions::ack))
        .route("/v1/stream/__ds/subscriptions/{id}/release", post(subscriptions::release))
        .route("/v1/stream/__ds/{*rest}", any(nothing))
        .route("/v1/stream/", any(nothing))
        .route("/v1/stream/{*path}", streams)
        .layer(middleware::from_fn(for_no_page))
        .layer(middleware::map_response(secure))
}

async fn nothing() -> Refused {
    Refused(Error::not_found("stream"))
}

/// As what a page would run or apply an answer. Streams hold what strangers wrote, under any type they like.
const CODE: [&str; 9] =
    ["script", "style", "worker", "sharedworker", "serviceworker", "audioworklet", "paintworklet", "manifest", "xslt"];

/// Refuses to be the code of a page, where a browser says that it asks for some.
async fn for_no_page(request: Request, next: Next) -> Response {
    let wanted = request.headers().get("sec-fetch-dest").and_then(|value| value.to_str().ok());
    match wanted.filter(|wanted| CODE.contains(wanted)) {
        Some(wanted) => {
            let message = format!("A stream is data, and no {wanted} of a page.");
            Refused(Error::new(Code::Forbidden, message).with("header", "sec-fetch-dest")).into_response()
        }
        None => next.run(request).await,
    }
}

/// What browsers need to know of every answer, refusals included: its bytes are what it says they are and no page
/// of ours, and any site may read it that has the credentials.
async fn secure(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}
