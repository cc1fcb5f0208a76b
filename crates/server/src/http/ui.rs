//! The web UI, embedded in the binary. Unknown paths get its page: the UI routes by itself.

use ::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rust_embed::{EmbeddedFile, RustEmbed};
use spool_protocol::{Code, Error};

use super::Refusal;

#[derive(RustEmbed)]
#[folder = "../../web/dist"]
struct Built;

/// Nothing from elsewhere, and no inline script. Styles inline: the markdown renderer sets some.
const CONTENT_POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
    connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'";

pub async fn page(uri: Uri, headers: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    if let Some(file) = Built::get(path).filter(|_| !path.is_empty()) {
        return serve(path, &file, &headers);
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    if last.contains('.') || path.starts_with("api/") || path.starts_with("v1/") {
        return Refusal(Error::new(Code::NotFound, format!("there is nothing at {}", uri.path()))).into_response();
    }
    match Built::get("index.html") {
        Some(file) if path.starts_with("s/") => unlisted(serve("index.html", &file, &headers)),
        Some(file) => serve("index.html", &file, &headers),
        None => (StatusCode::OK, Html(include_str!("unbuilt.html"))).into_response(),
    }
}

/// The page of a share link. Its path is a secret, which no page says to others ([`serve`]), and no search
/// engine is to keep it.
fn unlisted(mut response: Response) -> Response {
    response.headers_mut().insert("x-robots-tag", HeaderValue::from_static("noindex, nofollow"));
    response
}

fn serve(path: &str, file: &EmbeddedFile, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", BASE64.encode(&file.metadata.sha256_hash()[..12]));
    if headers.get(header::IF_NONE_MATCH).is_some_and(|seen| seen.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    // The build puts a digest into the names under assets/, so those never change.
    let fresh = if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let mut response = file.data.clone().into_response();
    let set = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind.essence_str()),
        (header::CACHE_CONTROL, fresh),
        (header::ETAG, tag.as_str()),
        (header::CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            set.insert(name, value);
        }
    }
    response
}
