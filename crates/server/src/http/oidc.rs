//! Sign-in with identity providers: the two addresses that a browser is sent through.
//!
//! Both are navigations, so whatever happens the person ends on a page: the one they came from, or the
//! page of sign-in with the reason in `signin_error`. No code, token or secret is in an address that we send anybody to,
//! except what OpenID Connect puts into the provider's.

use std::sync::Arc;

use ::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ::http::{Extensions, StatusCode};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};

use super::Refusal;
use super::durable::origin;
use super::sign_in::{self, Client, Proof};
use crate::app::App;
use crate::auth::oidc::Failure;
use crate::auth::oidc::pending::{LIFE_MS, Pending};

/// Holds the sign-in that is on its way.
const COOKIE: &str = "spool_oidc";

type Parameters = Query<Vec<(String, String)>>;

/// `GET /api/auth/oidc/<id>/start?return_to=/…`: off to the provider.
pub async fn start(
    State(app): State<Arc<App>>, Path(id): Path<String>, Query(query): Parameters, headers: HeaderMap,
) -> Response {
    let here = origin(app.config.public_url(), &headers);
    match app.oidc.start(&id, find(&query, "return_to").unwrap_or("/"), &here).await {
        Ok((url, pending)) => {
            let kept = cookie(&app, &app.oidc.seal.close(&pending), LIFE_MS / 1000);
            redirect(url.as_str(), [kept])
        }
        Err(failure) => ended(failure, []),
    }
}

/// `GET /api/auth/oidc/<id>/callback`: back from the provider.
pub async fn callback(
    State(app): State<Arc<App>>, Path(id): Path<String>, Query(query): Parameters, headers: HeaderMap,
    extensions: Extensions,
) -> Response {
    // Whatever this ends in, the same callback does not work twice.
    let forgotten = cookie(&app, "", 0);
    match complete(&app, &id, &query, &headers, &extensions).await {
        Ok((return_to, session)) => redirect(&return_to, [session, forgotten]),
        Err(failure) => ended(failure, [forgotten]),
    }
}

/// Where to go now, and the cookie of the session.
async fn complete(
    app: &Arc<App>, id: &str, query: &[(String, String)], headers: &HeaderMap, extensions: &Extensions,
) -> Result<(String, String), Failure> {
    let state = find(query, "state").unwrap_or_default();
    let kept = sign_in::cookie::value(headers, COOKIE);
    let pending = Pending::of_callback(&app.oidc.seal, kept.as_deref(), state, id, app.clock.now_ms())?;
    if let Some(error) = find(query, "error") {
        return Err(if error == "access_denied" { Failure::Denied } else { Failure::ProviderError });
    }
    let code = find(query, "code").ok_or(Failure::ProviderError)?;
    let claims = app.oidc.finish(&pending, code).await?;
    let failed = |error: spool_protocol::Error| {
        tracing::error!(%error, "a sign-in with a provider could not be stored");
        Failure::ServerError
    };
    let user = app.auth.user(&claims).await.map_err(failed)?;
    let client = Client::of(headers, extensions);
    let opened = sign_in::open_session(app, &client, &user, Proof::Provider(id)).await;
    let (_, session) = opened.map_err(|Refusal(error)| failed(error))?;
    Ok((pending.return_to, session))
}

fn find<'query>(query: &'query [(String, String)], name: &str) -> Option<&'query str> {
    query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Lax, because the provider sends the browser back from its own site.
fn cookie(app: &App, value: &str, seconds: u64) -> String {
    let secure = if app.config.secure_cookies() { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/api/auth/oidc; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

fn ended<const N: usize>(failure: Failure, cookies: [String; N]) -> Response {
    redirect(&format!("/sign-in?signin_error={}", failure.as_str()), cookies)
}

fn redirect<const N: usize>(to: &str, cookies: [String; N]) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    let mut add = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(name, value);
        }
    };
    add(header::LOCATION, to);
    add(header::CACHE_CONTROL, "no-store");
    // The address of the callback holds a code.
    add(header::REFERRER_POLICY, "no-referrer");
    for cookie in cookies {
        add(header::SET_COOKIE, &cookie);
    }
    response
}
