//! `/api/uploads`: the bytes of files, in and out. What a file is, the functions under `uploads:` say.
//!
//! What people upload is shown by browsers, so every answer says: this is no page of ours, guess nothing,
//! run nothing.

use std::sync::Arc;

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use spool_chat::Principal;
use spool_chat::functions::streams::urls::upload_path;
use spool_chat::tables::{Upload, UploadView, share};
use spool_protocol::{Error, Result};
use spool_store::Id;
use tokio::io::AsyncReadExt as _;

use super::durable::signed_by;
use super::headers::SANDBOX;
use super::{Caller, Parameters, Refusal, boundary};
use crate::app::App;
use crate::uploads::{About, save};

/// Bytes read from the disk at once.
const PIECE: usize = 64 << 10;
/// Types that a browser shows in its window without running anything; all others are downloads.
const SHOWN: [&str; 6] = ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "text/plain"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wish {
    thread_id: String,
    #[serde(default)]
    name: String,
    request_id: Option<String>,
}

/// `POST /api/uploads?threadId=…&name=…`: the body is the file, `Content-Type` its media type.
pub async fn create(
    State(app): State<Arc<App>>, Caller(caller): Caller, Parameters(wish): Parameters<Wish>, headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<UploadView>), Refusal> {
    let stored = async {
        let _room = app.admit()?;
        let named = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
        let guess = || mime_guess::from_path(&wish.name).first_or_octet_stream().to_string();
        let media_type = named.map_or_else(guess, str::to_owned);
        let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let Wish { thread_id: thread, name: file_name, request_id } = wish;
        let about = About { thread, file_name, media_type, request_id, declared };
        save(&app, &caller.principal, about, body.into_data_stream()).await
    };
    stored.await.map(|upload| (StatusCode::CREATED, Json(upload))).map_err(Refusal)
}

/// `GET /api/uploads/{id}`, by a token or by the signature in the URL.
pub async fn read(
    State(app): State<Arc<App>>, Path(id): Path<String>, Query(params): Query<Vec<(String, String)>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    respond(app, id, params, headers).await.map_err(Refusal)
}

async fn respond(app: Arc<App>, id: String, params: Vec<(String, String)>, headers: HeaderMap) -> Result<Response> {
    // What cannot be an id is as missing as an id of nothing.
    let id: Id<Upload> = Id::parse(&id).map_err(|_| Error::not_found("upload"))?;
    let by_url = if headers.contains_key(header::AUTHORIZATION) {
        None
    } else {
        signed_by(&app, &params, &upload_path(id.as_str()))?.map(|(owner, _)| owner)
    };
    let (_, row) = if let Some(share) = by_url.filter(|owner| owner.starts_with(share::TABLE.prefix)) {
        // The share is looked at with every read: a URL ends with what it speaks for.
        let args = json!({ "shareId": share, "uploadId": id });
        app.functions.query_as_system("shares:file", args).await?
    } else {
        let principal = match by_url {
            Some(user) => Arc::new(Principal::User { user: Id::parse(user)? }),
            None => {
                let caller = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
                boundary::identify(&app, caller).await?.principal
            }
        };
        app.functions.query("uploads:get", &principal, json!({ "uploadId": id })).await?
    };
    let row: UploadView = serde_json::from_str(&row).map_err(|e| Error::internal(format!("uploads:get: {e}")))?;
    let etag = format!("\"{}\"", row.sha256);
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == etag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Body::from_stream(pieces(app.files.reader(&id).await?)).into_response()
    };
    describe(response.headers_mut(), &row, &etag, known)?;
    Ok(response)
}

fn pieces(file: tokio::fs::File) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    stream::try_unfold(file, |mut file| async move {
        let mut piece = Vec::with_capacity(PIECE);
        let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece).await?;
        Ok((read > 0).then(|| (Bytes::from(piece), file)))
    })
}

fn describe(headers: &mut HeaderMap, row: &UploadView, etag: &str, known: bool) -> Result<()> {
    let shown = SHOWN.contains(&row.media_type.as_str());
    let disposition = if shown { "inline" } else { "attachment" };
    let charset = if row.media_type.starts_with("text/") { "; charset=utf-8" } else { "" };
    let mut all: Vec<(HeaderName, String)> = vec![
        (header::ETAG, etag.to_owned()),
        // Bytes of an id never change. Only the reader's own cache keeps them, and not for long: they can be removed.
        (header::CACHE_CONTROL, "private, max-age=3600".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_SECURITY_POLICY, SANDBOX.to_owned()),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
    ];
    if !known {
        all.push((header::CONTENT_TYPE, format!("{}{charset}", row.media_type)));
        all.push((header::CONTENT_LENGTH, row.size.to_string()));
        all.push((header::CONTENT_DISPOSITION, format!("{disposition}; filename*=UTF-8''{}", escaped(&row.file_name))));
    }
    for (name, value) in all {
        let value = HeaderValue::try_from(value).map_err(|e| Error::internal(format!("{name} of an upload: {e}")))?;
        headers.insert(name, value);
    }
    Ok(())
}

/// The name as RFC 8187 wants it.
fn escaped(name: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    name.bytes().map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
