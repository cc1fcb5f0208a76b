//! The data directory: one process at a time, its signing key, and how the command line finds a running
//! server.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// The database's file name in the directory.
pub const DATABASE: &str = "spool.db";

/// A directory that this process owns until it ends.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Holds the lock; the system lets go of it however the process ends.
    _lock: File,
}

/// How a local operator reaches the running server: readable by its user only, new at every start.
#[derive(Debug, Serialize, Deserialize)]
pub struct AdminAccess {
    pub address: SocketAddr,
    pub token: String,
}

/// Why a directory could not be opened.
#[derive(Debug)]
pub enum OpenError {
    InUse,
    Other(anyhow::Error),
}

impl DataDir {
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let other = |e: std::io::Error| {
            OpenError::Other(anyhow::Error::new(e).context(format!("data directory {}", path.display())))
        };
        std::fs::create_dir_all(path).map_err(other)?;
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(path.join("lock")).map_err(other)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
            Err(TryLockError::Error(e)) => Err(other(e)),
        }
    }

    /// Like [`DataDir::open`], for processes that have no use for a directory of somebody else.
    pub fn own(path: &Path) -> Result<Self> {
        Self::open(path).map_err(|error| match error {
            OpenError::InUse => anyhow::anyhow!(
                "data directory {} is in use by another process; stop it or choose another with --data",
                path.display()
            ),
            OpenError::Other(error) => error,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// The server's own signing key in PKCS #8, made at the first start.
    pub fn signing_key(&self, generate: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        let file = self.path.join("signing-key.pk8");
        match std::fs::read(&file) {
            Ok(key) => Ok(key),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let key = generate()?;
                write_private(&file, &key)?;
                Ok(key)
            }
            Err(e) => Err(e).with_context(|| format!("signing key {}", file.display())),
        }
    }

    pub fn publish_admin(&self, access: &AdminAccess) -> Result<()> {
        write_private(&self.path.join("admin.json"), &serde_json::to_vec(access)?)
    }
}

impl AdminAccess {
    /// What the running server has left for its operator.
    pub fn of(path: &Path) -> Result<Self> {
        let file = path.join("admin.json");
        let text = std::fs::read(&file).with_context(|| format!("the server's address in {}", file.display()))?;
        let access =
            serde_json::from_slice(&text).with_context(|| format!("the server's address in {}", file.display()))?;
        Ok(access)
    }
}

/// Written beside and renamed, so that a crash leaves the old file or the new one.
fn write_private(file: &Path, bytes: &[u8]) -> Result<()> {
    let beside = file.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut out = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&beside)?;
        out.write_all(bytes)?;
        out.sync_all()?;
        std::fs::rename(&beside, file)
    };
    write().with_context(|| format!("writing {}", file.display()))?;
    if !file.exists() {
        bail!("writing {}: it is not there afterwards", file.display());
    }
    Ok(())
}
