//! The routes. Each wire has a file; this one is the table of contents.

use std::sync::Arc;

use ::http::{HeaderValue, StatusCode};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::de::DeserializeOwned;
use spool_protocol::{Code, Error};
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::auth::Identity;
use crate::auth::jwt::Reason;
use crate::sync;

mod account;
mod boundary;
mod chat;
mod cors;
mod durable;
mod follow;
mod functions;
mod headers;
mod health;
mod oidc;
mod portions;
mod received;
mod sign_in;
mod stream;
mod ui;
mod uploads;

pub use durable::links as durable_links;

/// Arguments of 16 MiB and their envelope.
const BODY_BYTES: usize = (16 << 20) + 2_000;

pub fn router(app: &Arc<App>) -> Router {
    let chat = chat_bytes(app.config.uploads.max_bytes);
    let api = Router::new()
        .route("/api/sync", get(sync::upgrade_other))
        .route("/api/{version}/sync", get(sync::upgrade_npm))
        .route("/api/query", get(functions::query_by_url).post(functions::query))
        .route("/api/mutation", post(functions::mutation))
        .route("/api/action", post(functions::action))
        .route("/api/run/{*path}", post(functions::run))
        .route("/api/query_batch", post(functions::query_batch))
        .route("/api/query_ts", post(functions::query_ts))
        .route("/api/query_at_ts", post(functions::query_at_ts))
        .route("/api/debug_event", post(|| async {}))
        .route("/api/auth/guest", post(account::guest))
        .route("/api/auth/claim", post(account::claim))
        .route("/api/auth/oidc/{provider}/start", get(oidc::start))
        .route("/api/auth/oidc/{provider}/callback", get(oidc::callback))
        .route("/api/auth/methods", get(account::methods))
        .route("/api/auth/sign-in", post(sign_in::sign_in))
        .route("/api/auth/sign-up", post(sign_in::sign_up))
        .route("/api/auth/sign-out", post(sign_in::sign_out))
        .route("/api/auth/token", post(sign_in::token))
        .route("/api/auth/password", post(sign_in::password))
        .route("/api/auth/forgot", post(sign_in::forgot))
        .route("/api/auth/reset", post(sign_in::reset))
        .route("/api/stream/{generation}", get(stream::follow))
        .route("/api/chat", post(chat::submit).layer((DefaultBodyLimit::max(chat), Extension(BodyLimit(chat)))))
        .route("/api/chat/{chat}/stream", get(chat::resume))
        .route("/api/chat/{chat}/stop", post(chat::stop))
        .route("/api/uploads", post(uploads::create))
        .route("/api/uploads/{id}", get(uploads::read))
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn(with_request_id));
    Router::new()
        .merge(api)
        .merge(durable::router())
        .route("/.well-known/jwks.json", get(account::jwks))
        .route("/openapi.json", get(health::openapi))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/version", get(health::version))
        .fallback(ui::page)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(CatchPanicLayer::custom(|_| Refusal(Error::internal("a handler panicked")).into_response()))
        .layer(middleware::from_fn_with_state(Arc::clone(app), boundary::enter))
        .layer(cors::layer(&app.config.cors))
        .layer(middleware::map_response_with_state(headers::Headers::of(&app.config), headers::complete))
        .with_state(Arc::clone(app))
}

/// A message may carry files in base64, and clients send the earlier ones with it. Held in memory, so there
/// is an end to it; larger files are uploaded first.
fn chat_bytes(file: u64) -> usize {
    const MOST: usize = 128 << 20;
    usize::try_from(file).unwrap_or(MOST).saturating_mul(2).saturating_add(BODY_BYTES).min(MOST)
}

/// The limit of this route's bodies where it is not [`BODY_BYTES`], for the refusal to name it.
#[derive(Clone, Copy)]
struct BodyLimit(usize);

/// Clients join their configured address and `/api/…` as they are, so an address that ends in a slash
/// makes two. Runs before routing.
pub fn collapse_slashes(mut request: Request) -> Request {
    let path_and_query = request.uri().path_and_query().map_or("/", |both| both.as_str());
    if path_and_query.starts_with("//") {
        let collapsed = format!("/{}", path_and_query.trim_start_matches('/'));
        if let Ok(uri) = collapsed.parse() {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Gives every answer a request id; the client's own is honoured.
async fn with_request_id(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let id = crate::origin::current().facts.request_id.clone();
    if let Some(id) = id.and_then(|id| HeaderValue::from_str(&id).ok()) {
        response.headers_mut().entry("x-request-id").or_insert(id);
    }
    response
}

/// Who is calling. Refuses bad credentials; none at all is `Anonymous`.
pub struct Caller(pub Identity);

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut ::http::request::Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let header = parts.headers.get(::http::header::AUTHORIZATION);
        let header = header.map(|value| value.to_str()).transpose();
        let header = header.map_err(|_| Refusal(Reason::Malformed.error()))?;
        boundary::identify(app, header).await.map(Caller).map_err(Refusal)
    }
}

/// The query string as a `T`, refused in our own words.
pub struct Parameters<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Parameters<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut ::http::request::Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let query = Query::<T>::from_request_parts(parts, app).await;
        query
            .map(|Query(parameters)| Parameters(parameters))
            .map_err(|rejection| Refusal(Error::bad_request(format!("query string: {}", rejection.body_text()))))
    }
}

/// The one variable segment of a path, refused in our own words.
pub struct Segment(pub String);

impl FromRequestParts<Arc<App>> for Segment {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut ::http::request::Parts, app: &Arc<App>) -> Result<Self, Refusal> {
        let path = Path::<String>::from_request_parts(parts, app).await;
        path.map(|Path(segment)| Segment(segment))
            .map_err(|rejection| Refusal(Error::bad_request(format!("path: {}", rejection.body_text()))))
    }
}

/// The route is there, and takes other methods: `Allow` says which.
async fn other_method(method: ::http::Method) -> Response {
    let refusal = Refusal(Error::bad_request(format!("{method} is not answered here; Allow says what is")));
    (StatusCode::METHOD_NOT_ALLOWED, refusal).into_response()
}

/// A request body within the limit; a larger one is refused in our own words.
pub struct Body(pub Bytes);

impl FromRequest<Arc<App>> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, _app: &Arc<App>) -> Result<Self, Refusal> {
        let limit = request.extensions().get::<BodyLimit>().map_or(BODY_BYTES, |limit| limit.0);
        received::whole(request, limit).await.map(Body).map_err(Refusal)
    }
}

/// A request that failed as a whole: `{code, message, …}` with the fitting status.
pub struct Refusal(pub Error);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = crate::functions::shown("http", self.0);
        let status = status_of(error.code);
        let mut response = (status, axum::Json(error.to_data())).into_response();
        say_when(&error, &mut response);
        response
    }
}

/// The status of a request that failed as a whole.
fn status_of(code: Code) -> StatusCode {
    match code {
        Code::Unauthenticated | Code::InvalidToken | Code::AuthExpired | Code::Revoked => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound | Code::FunctionNotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists
        | Code::ThreadBusy
        | Code::HistoryConflict
        | Code::InvalidTransition
        | Code::InvalidPhase
        | Code::RunnerUnavailable
        | Code::StaleEpoch
        | Code::WorkerUnavailable
        | Code::AlreadyResolved
        | Code::AwaitingApprovalExpired
        | Code::CannotDeleteDefault
        | Code::OffsetMismatch
        | Code::LogSealed
        | Code::StreamConflict => StatusCode::CONFLICT,
        Code::Gone => StatusCode::GONE,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::RateLimited | Code::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
        Code::Overloaded | Code::StorageFull | Code::IssuerUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::BadRequest | Code::BadId | Code::InvalidCursor | Code::WrongKind | Code::EmptyMessage => {
            StatusCode::BAD_REQUEST
        }
        Code::ProviderError | Code::ProviderCut => StatusCode::BAD_GATEWAY,
        Code::Interrupted | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// When it is worth trying again, for answers of 429 and 503.
fn say_when(error: &Error, response: &mut Response) {
    let told = error.data.as_ref().and_then(|data| data.get("retryAfterMs")?.as_u64());
    let full = response.status() == StatusCode::SERVICE_UNAVAILABLE;
    if let Some(seconds) = told.map(|ms| ms.div_ceil(1000)).or(full.then_some(1)) {
        response.headers_mut().insert("retry-after", seconds.into());
    }
}
