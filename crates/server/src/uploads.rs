//! The bytes of uploads: one file each, in `uploads/` of the data directory, under the upload's own id.
//!
//! Order is everything here. Bytes and their directory entry are on disk before the row is, and leave
//! before it does. What a crash leaves without a row is swept at the next start. Must never use a name that
//! a client gave.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Bytes;
use futures_util::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use spool_chat::Principal;
use spool_chat::functions::uploads::{Created, media_type};
use spool_chat::tables::{Upload, UploadView, User};
use spool_protocol::{Code, Error, Result};
use spool_store::Id;
use tokio::io::AsyncWriteExt as _;

use crate::app::App;

/// How long a sender may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// A body over the limit is read on up to this many times the limit: most clients only hear the refusal
/// once they have said everything.
const PATIENCE: u64 = 4;
/// Ids looked up, or files removed, in one go.
const BATCH: usize = 500;

/// The directory of the bytes.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
}

/// Bytes that no row speaks of yet. Dropped, they go again.
struct Draft<'a> {
    files: &'a Files,
    id: Id<Upload>,
    size: u64,
    sha256: String,
    kept: bool,
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.kept {
            // If it stays, the next start sweeps it.
            let _ = std::fs::remove_file(self.files.path(&self.id));
        }
    }
}

impl Files {
    pub fn open(data: &Path) -> anyhow::Result<Self> {
        let dir = data.join("uploads");
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.with_context(|| format!("the directory of uploads {}", dir.display()))?;
        Ok(Self { dir })
    }

    /// An id has no character that means something in a path.
    fn path(&self, id: &Id<Upload>) -> PathBuf {
        self.dir.join(id.as_str())
    }

    pub async fn reader(&self, id: &Id<Upload>) -> Result<tokio::fs::File> {
        tokio::fs::File::open(self.path(id)).await.map_err(|e| failed("opening", e))
    }

    pub async fn read(&self, id: &Id<Upload>) -> Result<Vec<u8>> {
        tokio::fs::read(self.path(id)).await.map_err(|e| failed("reading", e))
    }

    /// Writes and syncs a file of at most `limit` bytes.
    async fn write<E>(
        &self, id: Id<Upload>, body: impl Stream<Item = std::result::Result<Bytes, E>>, limit: u64,
    ) -> Result<Draft<'_>> {
        let options = OpenOptions::new().create_new(true).write(true).mode(0o600).clone();
        let opened = tokio::fs::OpenOptions::from(options).open(self.path(&id)).await;
        let mut file = opened.map_err(|e| failed("creating", e))?;
        let mut draft = Draft { files: self, id, size: 0, sha256: String::new(), kept: false };
        let mut hash = Sha256::new();
        tokio::pin!(body);
        while let Some(chunk) = next(&mut body).await? {
            draft.size += chunk.len() as u64;
            if draft.size > limit {
                drop(draft);
                drain(body, limit * PATIENCE).await;
                return Err(too_large(limit));
            }
            hash.update(&chunk);
            file.write_all(&chunk).await.map_err(|e| failed("writing", e))?;
        }
        file.flush().await.map_err(|e| failed("writing", e))?;
        file.sync_all().await.map_err(|e| failed("syncing", e))?;
        self.sync().await?;
        draft.sha256 = hex(hash);
        Ok(draft)
    }

    /// Removes files; one that is not there is no error.
    async fn remove(&self, ids: &[Id<Upload>]) -> Result<()> {
        for id in ids {
            match tokio::fs::remove_file(self.path(id)).await {
                Err(e) if e.kind() != ErrorKind::NotFound => return Err(failed("removing", e)),
                _ => {}
            }
        }
        self.sync().await
    }

    /// Makes the names in the directory durable.
    async fn sync(&self) -> Result<()> {
        let dir = tokio::fs::File::open(&self.dir).await.map_err(|e| failed("opening the directory of", e))?;
        dir.sync_all().await.map_err(|e| failed("syncing the directory of", e))
    }

    /// What lies here under the name of an upload.
    async fn stored(&self) -> Result<Vec<Id<Upload>>> {
        let listing = |e| failed("listing", e);
        let mut entries = tokio::fs::read_dir(&self.dir).await.map_err(listing)?;
        let mut ids = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(listing)? {
            ids.extend(entry.file_name().to_str().and_then(|name| Id::parse(name).ok()));
        }
        Ok(ids)
    }

    /// What is wrong with the bytes of this row, if anything is.
    pub fn fault(&self, row: &UploadView) -> Option<String> {
        let (size, digest) = match std::fs::File::open(self.path(&row.id)).and_then(digest) {
            Ok(found) => found,
            Err(e) => return Some(format!("the bytes cannot be read: {e}")),
        };
        let same = size == row.size && digest == row.sha256;
        (!same).then(|| format!("there are {size} bytes, and not those that were uploaded"))
    }
}

/// Size and SHA-256 of a file, whatever its size.
fn digest(mut file: std::fs::File) -> std::io::Result<(u64, String)> {
    use std::io::Read as _;
    let (mut hash, mut size, mut piece) = (Sha256::new(), 0, vec![0; 64 << 10]);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((size, hex(hash)));
        }
        size += read as u64;
        hash.update(&piece[..read]);
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn next<E>(body: &mut (impl Stream<Item = std::result::Result<Bytes, E>> + Unpin)) -> Result<Option<Bytes>> {
    match tokio::time::timeout(SILENCE, body.next()).await {
        Ok(None) => Ok(None),
        Ok(Some(Ok(chunk))) => Ok(Some(chunk)),
        Ok(Some(Err(_))) => Err(Error::bad_request("body: it ended before its end")),
        Err(_) => Err(Error::bad_request("body: nothing came for a minute")),
    }
}

async fn drain<E>(mut body: impl Stream<Item = std::result::Result<Bytes, E>> + Unpin, most: u64) {
    let mut read = 0;
    while let Ok(Some(chunk)) = next(&mut body).await {
        read += chunk.len() as u64;
        if read > most {
            break;
        }
    }
}

fn too_large(limit: u64) -> Error {
    let message = format!("The file is too large: the limit is {limit} bytes.");
    Error::new(Code::TooLarge, message).with("limit", limit).with("path", "body")
}

fn failed(doing: &str, error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            Error::new(Code::StorageFull, "The disk is full: the file was not stored.")
        }
        _ => Error::internal(format!("{doing} uploads: {error}")),
    }
}

/// What an uploader says of a file.
#[derive(Debug, Clone)]
pub struct About {
    pub thread: String,
    pub file_name: String,
    pub media_type: String,
    pub request_id: Option<String>,
    /// How long the body will be, if it says so.
    pub declared: Option<u64>,
}

/// Stores a file: bytes first, then the row. Refuses before it reads what it would refuse after.
pub async fn save<E>(
    app: &App, principal: &Principal, about: About, body: impl Stream<Item = std::result::Result<Bytes, E>>,
) -> Result<UploadView> {
    let mut args = json!({ "threadId": about.thread });
    if let Some(user) = uploader(principal)? {
        args["user"] = json!(user);
    }
    let media_type = accepted(app, &about.media_type)?;
    let mut wish = args.clone();
    if let Some(declared) = about.declared {
        wish["size"] = json!(declared);
    }
    app.functions.query_as_system("uploads:writable", wish).await?;
    let limit = app.config.uploads.max_bytes;
    tokio::pin!(body);
    if about.declared.is_some_and(|declared| declared > limit) {
        drain(body, limit * PATIENCE).await;
        return Err(too_large(limit));
    }
    let mut draft = app.files.write(Id::fresh(app.clock.now_ms()), body, limit).await?;
    args["id"] = json!(draft.id);
    args["fileName"] = json!(about.file_name);
    args["mediaType"] = json!(media_type);
    args["size"] = json!(draft.size);
    args["sha256"] = json!(draft.sha256);
    if let Some(request) = about.request_id {
        args["requestId"] = json!(request);
    }
    // From here on a row may exist whatever becomes of this task, and a row must have its bytes: they stay
    // unless it is known that there is none.
    draft.kept = true;
    let created = app.functions.mutate_as_system("uploads:create", args).await;
    draft.kept = match &created {
        Ok(created) => parsed::<Created>(created)?.created,
        Err(error) => error.code == Code::Internal,
    };
    Ok(parsed::<Created>(&created?)?.upload)
}

/// The user for whom a file is stored; nobody for a service, which may write to any thread.
fn uploader(principal: &Principal) -> Result<Option<Id<User>>> {
    match principal {
        Principal::User { user } => Ok(Some(user.clone())),
        Principal::Service { .. } if principal.covers("uploads:create") => Ok(None),
        Principal::Service { .. } => {
            let message = "The scopes of this key do not cover uploads:create.";
            Err(Error::new(Code::Forbidden, message).with("scope", "uploads:create"))
        }
        Principal::Anonymous => Err(Error::new(Code::Unauthenticated, "This needs a signed-in user.")),
        Principal::Worker { .. } => Err(Error::new(Code::Forbidden, "Workers store no files.")),
        Principal::System => Ok(None),
    }
}

/// The media type, if this server takes files of it.
fn accepted(app: &App, given: &str) -> Result<String> {
    let given = media_type(given)?;
    if app.config.uploads.takes(&given) {
        return Ok(given);
    }
    let message = format!("mediaType: files of the type {given} are not taken here; see uploads.types");
    Err(Error::bad_request(message).with("path", "mediaType").with("types", app.config.uploads.types.clone()))
}

fn parsed<T: DeserializeOwned>(value: &str) -> Result<T> {
    serde_json::from_str(value).map_err(|e| Error::internal(format!("uploads: {e}")))
}

/// Removes bytes without a row: uploads that a crash cut off. Before anything is served, so that none is
/// under way.
pub async fn sweep(app: &App) -> Result<()> {
    let stored = app.files.stored().await?;
    let mut swept = 0;
    for ids in stored.chunks(BATCH) {
        let (_, known) = app.functions.query_as_system("uploads:known", json!({ "ids": ids })).await?;
        let known: std::collections::HashSet<Id<Upload>> = parsed(&known)?;
        let gone: Vec<Id<Upload>> = ids.iter().filter(|id| !known.contains(id)).cloned().collect();
        if !gone.is_empty() {
            app.files.remove(&gone).await?;
            swept += gone.len();
        }
    }
    if swept > 0 {
        tracing::info!(swept, "removed files of uploads that were never finished");
    }
    Ok(())
}

/// Removes the bytes of removed uploads, and then what is left of their rows.
pub async fn purge(app: &App) -> Result<()> {
    loop {
        let (_, ids) = app.functions.query_as_system("uploads:unwanted", json!({ "limit": BATCH })).await?;
        let ids: Vec<Id<Upload>> = parsed(&ids)?;
        if ids.is_empty() || app.shutdown.is_cancelled() {
            return Ok(());
        }
        app.files.remove(&ids).await?;
        app.functions.mutate_as_system("uploads:forget", json!({ "ids": ids })).await?;
    }
}

/// The rows of one page of `uploads:everyone` whose bytes are not what they should be.
pub fn faults(files: &Files, page: &Value) -> anyhow::Result<Vec<(UploadView, String)>> {
    let rows: Vec<UploadView> = serde_json::from_value(page["page"].clone())?;
    Ok(rows.into_iter().filter_map(|row| files.fault(&row).map(|fault| (row, fault))).collect())
}
