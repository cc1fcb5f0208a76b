//! Which sites may call from a browser, and what their pages may read of the answers.
//!
//! Credentials are tokens in a header, which a foreign page does not have, so by default every site may
//! call. The one cookie there is, at `/api/auth/`, goes only to sites that the configuration names.
//!
//! A sync socket has no such check, on purpose: browsers send cookies with it, but nothing there reads them.
//! A page that opens one is nobody until it sends a token.

use std::time::Duration;

use ::http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowCredentials, AllowHeaders, AllowOrigin, CorsLayer};

use super::durable;
use crate::config::web::Cors;

pub fn layer(config: &Cors) -> CorsLayer {
    let exposed = ["x-request-id", "x-spool-generation-id", "retry-after"].map(HeaderName::from_static);
    let (admits, names) = (config.clone(), config.clone());
    let of = |origin: &HeaderValue, test: &dyn Fn(&str) -> bool| origin.to_str().is_ok_and(test);
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| of(origin, &|origin| admits.admits(origin))))
        .allow_credentials(AllowCredentials::predicate(move |origin, _| of(origin, &|origin| names.names(origin))))
        .allow_headers(AllowHeaders::mirror_request())
        .allow_methods([Method::GET, Method::POST, Method::OPTIONS, Method::PATCH, Method::DELETE, Method::PUT])
        .expose_headers(exposed.into_iter().chain(durable::EXPOSED).collect::<Vec<_>>())
        .max_age(Duration::from_secs(86_400))
}
