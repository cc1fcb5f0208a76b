//! What every answer tells browsers: guess nothing, frame nothing, run nothing that is not ours.
//!
//! An answer that says it for itself, as files of users do, keeps what it says.

use ::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::extract::State;
use axum::response::Response;

use crate::config::Config;

/// An answer of the API is no page: nothing in it is ever run, shown in a frame or sent anywhere.
const NO_PAGE: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// What strangers wrote and a browser may show: it runs nothing, loads nothing and is of no origin.
pub const SANDBOX: &str = "sandbox; default-src 'none'; frame-ancestors 'none'";

/// The headers of this installation.
#[derive(Clone)]
pub struct Headers {
    all: Vec<(HeaderName, HeaderValue)>,
}

impl Headers {
    pub fn of(config: &Config) -> Self {
        let fixed = [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (header::CONTENT_SECURITY_POLICY, NO_PAGE),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=()"),
        ];
        let mut all: Vec<_> = fixed.map(|(name, value)| (name, HeaderValue::from_static(value))).into();
        if config.security.hsts_seconds > 0
            && let Ok(value) = HeaderValue::try_from(format!("max-age={}", config.security.hsts_seconds))
        {
            all.push((header::STRICT_TRANSPORT_SECURITY, value));
        }
        Self { all }
    }
}

/// Adds what the answer does not say itself. One that says "as before" would change what was said before.
pub async fn complete(State(headers): State<Headers>, mut response: Response) -> Response {
    if response.status() == StatusCode::NOT_MODIFIED {
        return response;
    }
    for (name, value) in headers.all {
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

/// The policy of the UI's page: its own scripts and styles, images of its own, this server to talk to.
///
/// `'self'` covers the sync socket, too (CSP 3, 6.7.2.8). Nothing inline: an answer of a model that broke out
/// of the renderer could still run and send nothing.
pub fn page_policy(config: &Config) -> String {
    let images = if config.security.remote_images { " https:" } else { "" };
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; connect-src 'self'; \
         img-src 'self' data: blob:{images}; manifest-src 'self'; worker-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )
}
