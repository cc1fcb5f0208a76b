//! From credentials to a principal. The only place that reads tokens and keys.
//!
//! Three kinds are taken: tokens that this server signed (guests), tokens of configured issuers, and
//! service keys. A refused credential is never treated as none.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use spool_chat::Principal;
use spool_chat::tables::{Credential, User};
use spool_protocol::Error;
use spool_store::Id;
use tokio::sync::watch;

use crate::functions::Functions;

pub mod issuers;
pub mod jwt;
pub mod keys;
mod remote;
pub mod tokens;

use issuers::Issuers;
use jwt::{Claims, Profile, Reason};
use tokens::Tokens;

/// What `credentials:find` answers.
#[derive(Deserialize)]
struct Found {
    key: Id<Credential>,
    user: Id<User>,
    scopes: Vec<String>,
}

/// A verified caller, and until when.
#[derive(Debug, Clone)]
pub struct Identity {
    pub principal: Arc<Principal>,
    /// The subject of a token that this server signed.
    pub subject: Option<String>,
    /// Unix time in milliseconds from which the credential is refused; `None` if it does not expire by itself.
    pub until_ms: Option<u64>,
}

impl Identity {
    fn lasting(principal: Principal) -> Self {
        Self { principal: Arc::new(principal), subject: None, until_ms: None }
    }

    pub fn anonymous() -> Self {
        Self::lasting(Principal::Anonymous)
    }
}

pub struct Auth {
    tokens: Tokens,
    issuers: Issuers,
    functions: Functions,
    /// (issuer, subject) → user. Only a memo of rows, which never change their id.
    users: Mutex<HashMap<(String, String), Known>>,
    /// Hashes of users who deleted their accounts lately.
    departed: watch::Sender<HashSet<String>>,
    admin_token: String,
}

/// A user's row as the newest token seen left it.
#[derive(Clone)]
struct Known {
    user: Id<User>,
    issued_ms: u64,
    profile: Profile,
}

/// More people than this between two restarts start the memo anew.
const USERS_REMEMBERED: usize = 100_000;
/// Prefix of service keys, so that they are recognised in headers and in leaked text.
const KEY_PREFIX: &str = "spk_";

impl Auth {
    pub fn new(tokens: Tokens, issuers: Issuers, functions: Functions, admin_token: String) -> Self {
        Self { tokens, issuers, functions, users: Mutex::default(), departed: watch::Sender::default(), admin_token }
    }

    /// Takes note of who has left. Their tokens are looked at anew, and refused.
    pub fn note_departed(&self, departed: HashSet<String>) {
        self.users.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.departed.send_replace(departed);
    }

    /// Changes whenever somebody leaves.
    pub fn departures(&self) -> watch::Receiver<HashSet<String>> {
        self.departed.subscribe()
    }

    pub fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The `Authorization` header: `Bearer <token or key>`, `Convex <key>`, or none.
    pub async fn from_header(&self, header: Option<&str>) -> Result<Identity, Error> {
        let Some(header) = header else { return Ok(Identity::anonymous()) };
        let (scheme, credential) = header.split_once(' ').unwrap_or((header, ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            self.from_token(credential.trim()).await
        } else if scheme.eq_ignore_ascii_case("convex") {
            self.from_key(credential.trim()).await
        } else {
            let mut error = Reason::Malformed.error();
            error.message = "the Authorization header must say Bearer or Convex".into();
            Err(error)
        }
    }

    /// A user's token, or a service key where a client can only send tokens.
    pub async fn from_token(&self, token: &str) -> Result<Identity, Error> {
        if token.starts_with(KEY_PREFIX) {
            return self.from_key(token).await;
        }
        if token == self.admin_token {
            return Ok(Identity::lasting(Principal::System));
        }
        let claims = self.issuers.verify(token).await?;
        let user = self.user(&claims).await?;
        let until_ms = Some(claims.until_ms);
        // Only a guest is renewed here: a subject of another issuer is nobody of ours.
        let subject = Some(claims.subject).filter(|_| claims.issuer == self.tokens.issuer());
        Ok(Identity { principal: Arc::new(Principal::User { user }), subject, until_ms })
    }

    /// A service key. Deploy keys of Convex tools carry a `name|` in front.
    pub async fn from_key(&self, key: &str) -> Result<Identity, Error> {
        let key = key.rsplit('|').next().unwrap_or(key);
        let args = json!({ "secretHash": hash(key) });
        let (_, found) = self.functions.query_as_system("credentials:find", args).await?;
        let found: Option<Found> =
            serde_json::from_str(&found).map_err(|e| Error::internal(format!("credentials:find: {e}")))?;
        let Found { key, user, scopes } = found.ok_or_else(|| {
            let mut error = Reason::UnknownKey.error();
            error.message = "the service key is unknown, expired or revoked".into();
            error
        })?;
        let principal = Principal::Service { key, user, scopes };
        Ok(Identity::lasting(principal))
    }

    /// A new anonymous user, or the same one again with a fresh token. Returns (token, user id).
    pub async fn guest(&self, known: &Identity) -> Result<(String, Id<User>), Error> {
        let subject = known.subject.clone().unwrap_or_else(|| format!("guest_{}", uuid::Uuid::new_v4().simple()));
        let claims = Claims {
            issuer: self.tokens.issuer().to_owned(),
            subject,
            until_ms: u64::MAX,
            issued_ms: 0,
            profile: Profile::default(),
        };
        let user = self.user(&claims).await?;
        Ok((self.tokens.issue(&claims.subject)?, user))
    }

    /// The row of a verified identity, made by its first call. What a newer token says of the person
    /// replaces what an older one said; two devices with different tokens must not take turns.
    async fn user(&self, claims: &Claims) -> Result<Id<User>, Error> {
        let key = (claims.issuer.clone(), claims.subject.clone());
        if let Some(known) = self.users.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
            && (known.profile == claims.profile || known.issued_ms >= claims.issued_ms)
        {
            return Ok(known.user.clone());
        }
        let kind = if claims.issuer == self.tokens.issuer() { "anonymous" } else { "full" };
        let Profile { name, email, picture } = &claims.profile;
        let args = json!({
            "issuer": claims.issuer, "subject": claims.subject, "kind": kind,
            "name": name, "email": email, "picture": picture, "issuedMs": claims.issued_ms,
        });
        let user = self.functions.mutate_as_system("users:provision", args).await?;
        let user: Id<User> =
            serde_json::from_str(&user).map_err(|e| Error::internal(format!("users:provision: {e}")))?;
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= USERS_REMEMBERED {
            users.clear();
        }
        let (issued_ms, profile) = (claims.issued_ms, claims.profile.clone());
        users.insert(key, Known { user: user.clone(), issued_ms, profile });
        Ok(user)
    }
}

/// A new service key and the hash under which it is stored.
pub fn new_service_key() -> (String, String) {
    let key = format!("{KEY_PREFIX}{}", random_token());
    let stored = hash(&key);
    (key, stored)
}

/// 256 random bits as text.
pub fn random_token() -> String {
    use base64::Engine as _;
    let bytes: [u8; 32] = rand::random();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A fast hash is right for secrets of 256 random bits; passwords need another.
fn hash(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
