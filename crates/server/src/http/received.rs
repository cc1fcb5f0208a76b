//! Bodies of requests, read whole within a limit.
//!
//! A server that answers "too large" and closes while the client still sends makes the kernel reset the
//! connection, and the answer is lost on its way. So what is too large is read on and dropped, up to a bound,
//! before the answer is given.

use std::time::Duration;

use axum::body::{BodyDataStream, Bytes};
use axum::extract::Request;
use futures_util::StreamExt as _;
use hyper::body::Body as _;
use spool_protocol::{Code, Error, Result};

/// Bytes beyond the limit that are read and dropped for the sake of the answer.
const DROPPED_BYTES: usize = 64 << 20;
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The body, if it has at most `limit` bytes.
pub async fn whole(request: Request, limit: usize) -> Result<Bytes> {
    let asks_first = request.headers().contains_key(http::header::EXPECT);
    let announced = request.body().size_hint().lower();
    let mut body = request.into_body().into_data_stream();
    let too_large = || {
        let message = format!("the body is larger than {limit} bytes");
        Error::new(Code::TooLarge, message).with("limit", limit)
    };
    if usize::try_from(announced).is_ok_and(|announced| announced <= limit) {
        match gather(&mut body, limit).await? {
            Some(bytes) => return Ok(bytes),
            None => drop_rest(body).await,
        }
    } else if !asks_first {
        drop_rest(body).await;
    }
    // A client that asked whether it may send hears the answer instead, and sends nothing.
    Err(too_large())
}

/// The whole body; `None` as soon as it is above the limit.
async fn gather(body: &mut BodyDataStream, limit: usize) -> Result<Option<Bytes>> {
    let mut first: Option<Bytes> = None;
    let mut gathered = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| Error::bad_request(format!("the body cannot be read: {error}")))?;
        if chunk.len() + gathered.len() + first.as_ref().map_or(0, Bytes::len) > limit {
            return Ok(None);
        }
        // Most bodies are one piece, and are not copied.
        match first.take() {
            None if gathered.is_empty() => first = Some(chunk),
            None => gathered.extend_from_slice(&chunk),
            Some(one) => {
                gathered.extend_from_slice(&one);
                gathered.extend_from_slice(&chunk);
            }
        }
    }
    Ok(Some(first.unwrap_or_else(|| gathered.into())))
}

async fn drop_rest(mut body: BodyDataStream) {
    let reading = async {
        let mut dropped = 0;
        while let Some(Ok(chunk)) = body.next().await {
            dropped += chunk.len();
            if dropped > DROPPED_BYTES {
                break;
            }
        }
    };
    // Whoever takes longer may lose the answer; it was told the limit in the documentation, too.
    let _ = tokio::time::timeout(PATIENCE, reading).await;
}
