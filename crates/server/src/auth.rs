//! From credentials to a principal. The only place that reads tokens and keys.
//!
//! Four kinds are taken: tokens that this server signed (of guests and sessions), tokens of configured
//! issuers, service keys, and tokens of workers. A refused credential is never treated as none.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::json;
use spool_chat::Principal;
use spool_chat::functions::account;
use spool_chat::tables::credential::secret_hash;
use spool_chat::tables::departure::hash_of_user;
use spool_chat::tables::{Credential, User};
use spool_protocol::Error;
use spool_store::Id;
use tokio::sync::watch;

use crate::config::guests::InForce;
use crate::functions::Functions;

pub mod guests;
pub mod issuers;
pub mod jwt;
pub mod keys;
pub mod oidc;
pub mod passwords;
mod remote;
pub mod revocation;
pub mod throttle;
pub mod tokens;
pub mod workers;

use guests::Door;
use issuers::Issuers;
use jwt::{Claims, Profile, Reason};
use revocation::Revocations;
use tokens::Tokens;

/// What `credentials:find` answers.
#[derive(Deserialize)]
struct Found {
    key: Id<Credential>,
    user: Id<User>,
    scopes: Vec<String>,
    #[serde(default, rename = "expiresAt")]
    expires_at: Option<u64>,
}

/// A verified caller, and until when.
#[derive(Debug, Clone)]
pub struct Identity {
    pub principal: Arc<Principal>,
    /// The subject of a guest's token.
    pub guest: Option<String>,
    /// Unix time in milliseconds from which the credential is refused; `None` if it does not expire by itself.
    pub until_ms: Option<u64>,
    /// The session or key, whose revocation ends what is open in its name.
    pub credential: Option<Id<Credential>>,
}

impl Identity {
    fn lasting(principal: Principal) -> Self {
        Self { principal: Arc::new(principal), guest: None, until_ms: None, credential: None }
    }

    pub fn anonymous() -> Self {
        Self::lasting(Principal::Anonymous)
    }

    /// Whoever has a URL that we signed for a user.
    pub fn of_url(user: Id<User>, until_ms: u64) -> Self {
        Self { until_ms: Some(until_ms), ..Self::lasting(Principal::User { user }) }
    }
}

pub struct Auth {
    tokens: Tokens,
    issuers: Issuers,
    functions: Functions,
    door: Door,
    /// (issuer, subject) → user. Only a memo of rows, which never change their id.
    users: Mutex<HashMap<(String, String), Known>>,
    revocations: Revocations,
    /// When the use of a credential was noted last, in milliseconds.
    noted: Mutex<HashMap<Id<Credential>, u64>>,
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
/// The last use of a credential is known to this many milliseconds.
const NOTED_MS: u64 = 60_000;
/// Prefix of service keys, so that they are recognised in headers and in leaked text.
const KEY_PREFIX: &str = "spk_";

impl Auth {
    pub fn new(tokens: Tokens, issuers: Issuers, functions: Functions, guests: InForce, admin_token: String) -> Self {
        let door = Door::new(guests, Arc::clone(tokens.clock()));
        let revocations = Revocations::new(Arc::clone(tokens.clock()));
        let (users, noted, departed) = (Mutex::default(), Mutex::default(), watch::Sender::default());
        Self { tokens, issuers, functions, door, users, revocations, noted, departed, admin_token }
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

    pub fn revocations(&self) -> &Revocations {
        &self.revocations
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
        if token.starts_with(workers::PREFIX) {
            return workers::identify(&self.functions, token).await;
        }
        if token == self.admin_token {
            return Ok(Identity::lasting(Principal::System));
        }
        let claims = self.issuers.verify(token).await?;
        let own = claims.issuer == self.tokens.issuer();
        if let Some(session) = claims.session.as_deref().filter(|_| own) {
            return self.identity_of_session(&claims, session);
        }
        if own {
            return self.identity_of_guest(&claims).await;
        }
        let user = self.user(&claims).await?;
        let until_ms = Some(claims.until_ms);
        Ok(Identity { principal: Arc::new(Principal::User { user }), guest: None, until_ms, credential: None })
    }

    /// A token that we gave for a session. Its signature vouches for the ids: no row is read.
    fn identity_of_session(&self, claims: &Claims, session: &str) -> Result<Identity, Error> {
        let unreadable = |_| Reason::Malformed.error();
        let credential: Id<Credential> = Id::parse(session).map_err(unreadable)?;
        let user: Id<User> = Id::parse(&claims.subject).map_err(unreadable)?;
        if self.revocations.contains(&credential) {
            return Err(Reason::Revoked.error());
        }
        // The rows of an account that was deleted are gone, those of its sessions with them.
        let departed = self.departed.borrow();
        if !departed.is_empty() && departed.contains(&hash_of_user(&user)) {
            return Err(account::departed());
        }
        drop(departed);
        self.note_use(&credential, None);
        Ok(Identity {
            principal: Arc::new(Principal::User { user }),
            guest: None,
            until_ms: Some(claims.until_ms),
            credential: Some(credential),
        })
    }

    /// Notes that a credential was used, now and then, while its caller goes on. `address` is a coarse hint.
    pub fn note_use(&self, credential: &Id<Credential>, address: Option<String>) {
        let now = self.tokens.clock().now_ms();
        {
            let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
            if noted.get(credential).is_some_and(|last| now.saturating_sub(*last) < NOTED_MS) {
                return;
            }
            if noted.len() >= USERS_REMEMBERED {
                noted.clear();
            }
            noted.insert(credential.clone(), now);
        }
        let functions = self.functions.clone();
        let args = json!({ "credentialId": credential, "address": address });
        tokio::spawn(async move {
            if let Err(error) = functions.mutate_as_system("credentials:touch", args).await {
                tracing::warn!(%error, "the use of a credential could not be noted");
            }
        });
    }

    /// A service key. Deploy keys of Convex tools carry a `name|` in front.
    pub async fn from_key(&self, key: &str) -> Result<Identity, Error> {
        let key = key.rsplit('|').next().unwrap_or(key);
        let args = json!({ "secretHash": secret_hash(key) });
        let (_, found) = self.functions.query_as_system("credentials:find", args).await?;
        let found: Option<Found> =
            serde_json::from_str(&found).map_err(|e| Error::internal(format!("credentials:find: {e}")))?;
        let Found { key, user, scopes, expires_at } = found.ok_or_else(|| {
            let mut error = Reason::UnknownKey.error();
            error.message = "the service key is unknown, expired or revoked".into();
            error
        })?;
        self.note_use(&key, None);
        let credential = Some(key.clone());
        let principal = Arc::new(Principal::Service { key, user, scopes });
        Ok(Identity { principal, guest: None, until_ms: expires_at, credential })
    }

    /// The row of a verified identity, made by its first call. What a newer token says of the person
    /// replaces what an older one said; two devices with different tokens must not take turns.
    pub async fn user(&self, claims: &Claims) -> Result<Id<User>, Error> {
        let key = (claims.issuer.clone(), claims.subject.clone());
        if let Some(known) = self.users.lock().unwrap_or_else(PoisonError::into_inner).get(&key)
            && (known.profile == claims.profile || known.issued_ms >= claims.issued_ms)
        {
            return Ok(known.user.clone());
        }
        let Profile { name, email, picture } = &claims.profile;
        let args = json!({
            "issuer": claims.issuer, "subject": claims.subject, "kind": "full",
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
    let stored = secret_hash(&key);
    (key, stored)
}

/// 256 random bits as text.
pub fn random_token() -> String {
    use base64::Engine as _;
    let bytes: [u8; 32] = rand::random();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
