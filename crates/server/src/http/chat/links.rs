//! The addresses of files in a stream of chunks: whole and signed, so that a page of any origin can show
//! them as they are.

use spool_chat::Principal;
use spool_chat::functions::streams::urls::UrlKey;
use spool_protocol::ai_sdk::Chunk;

use super::Call;

/// How long an address in a stream can be opened. A client that stores messages asks for a new one with
/// `uploads:readUrl`.
const SECONDS: u64 = 24 * 3600;

/// What makes the addresses of one reader.
pub struct Links {
    origin: String,
    /// The reader, if it is the owner of what it reads. A service has credentials of its own.
    signer: Option<(UrlKey, String)>,
    expires: u64,
}

impl Links {
    pub fn of(call: &Call) -> Self {
        let signer = match &*call.caller.principal {
            Principal::User { user } => Some((call.app.stream_keys.urls.clone(), user.to_string())),
            _ => None,
        };
        Self { origin: call.origin.clone(), signer, expires: call.app.clock.now_ms() / 1000 + SECONDS }
    }

    /// Gives the files among the chunks their addresses.
    pub fn complete(&self, chunks: &mut [Chunk]) {
        for chunk in chunks {
            let Chunk::File { url, .. } = chunk else { continue };
            let id = url.rsplit('/').next().unwrap_or_default();
            let path = match &self.signer {
                Some((key, owner)) => key.upload_url(owner, id, self.expires),
                None => std::mem::take(url),
            };
            *url = format!("{}{path}", self.origin);
        }
    }
}
