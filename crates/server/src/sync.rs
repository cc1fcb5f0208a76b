//! The Convex sync protocol over WebSocket.
//!
//! [`session`] is what one client has asked for and been told; [`socket`] moves frames and time. Nothing
//! here is kept beyond the connection: a client that reconnects says everything again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use hyper_util::rt::TokioIo;
use spool_chat::Principal;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::app::App;
use crate::http::Refusal;
use crate::limits::Class;
use crate::origin;

mod session;
mod socket;

/// The largest frame a client may send: 16 MiB of arguments, escaped.
const INBOUND_BYTES: usize = 32 << 20;

/// The most that one socket may have written and not sent: some frames, which are small.
const OUTBOUND_BYTES: usize = 1 << 20;

/// How a client takes messages above its frame limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// npm 1.28 and later assemble `TransitionChunk`s.
    Npm,
    /// The Rust client and those built on it take frames below 16 MiB, and fragments.
    Other,
}

/// `GET /api/{version}/sync`: npm clients, which carry their version in the path.
pub async fn upgrade_npm(State(app): State<Arc<App>>, Path(_version): Path<String>, request: Request) -> Response {
    upgrade(app, Client::Npm, request)
}

/// `GET /api/sync`: every other client.
pub async fn upgrade_other(State(app): State<Arc<App>>, request: Request) -> Response {
    upgrade(app, Client::Other, request)
}

/// Upgrades by hand instead of through axum, which cannot send fragments.
fn upgrade(app: Arc<App>, client: Client, mut request: Request) -> Response {
    let head = {
        let mut head = http::Request::new(());
        *head.method_mut() = request.method().clone();
        *head.version_mut() = request.version();
        *head.headers_mut() = without_extensions(request.headers());
        head
    };
    let response = match create_response(&head) {
        Ok(response) => response,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("not a WebSocket upgrade: {error}")).into_response(),
    };
    let origin = origin::current();
    let charged = app.limits.charge(Class::Stream, &Principal::Anonymous, &origin);
    let place = match charged.and_then(|()| app.admit()) {
        Ok(place) => place,
        Err(error) => return Refusal(error).into_response(),
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let tracker = app.tasks.clone();
    tracker.spawn(origin::scope(origin, async move {
        let Ok(upgraded) = upgraded.await else { return };
        let mut config = WebSocketConfig::default();
        // The default read buffer of 128 KiB per socket would cost more than all the rest of a session.
        config.read_buffer_size = 4 << 10;
        config.write_buffer_size = 16 << 10;
        config.max_write_buffer_size = OUTBOUND_BYTES;
        config.max_message_size = Some(INBOUND_BYTES);
        config.max_frame_size = Some(INBOUND_BYTES);
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        app.functions.metrics().sync_sessions.inc();
        socket::serve(&app, stream, client).await;
        app.functions.metrics().sync_sessions.dec();
        drop(place);
    }));
    response.map(|()| Body::empty())
}

/// Offered extensions are not taken: no stable Rust library compresses.
fn without_extensions(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(http::header::SEC_WEBSOCKET_EXTENSIONS);
    headers
}
