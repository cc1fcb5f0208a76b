//! What ends a connection before its client does: its credential is revoked, or expires.
//!
//! One live query tells the whole server what was revoked lately, one set in memory tells every
//! connection. Nothing here ends work that a connection began: a running answer belongs to its thread.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use spool_chat::Principal;
use spool_chat::functions::credentials::Revoked;
use spool_chat::tables::{Credential, User};
use spool_protocol::{Code, Error};
use spool_store::live::Subscription;
use spool_store::{Clock, Id};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::Identity;
use crate::functions::Functions;

/// Timers are set no further ahead: the clock of the wall may be moved meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Between two attempts to read what was revoked.
const PAUSE: Duration = Duration::from_secs(1);

type Set = Arc<Known>;

/// What was ended lately.
#[derive(Default)]
struct Known {
    credentials: HashSet<Id<Credential>>,
    /// Guests that an account has claimed.
    guests: HashSet<Id<User>>,
}

/// The ids of credentials that were revoked lately, and of guests that were claimed.
pub struct Revocations {
    known: watch::Sender<Set>,
    clock: Arc<dyn Clock>,
}

impl Revocations {
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { known: watch::Sender::new(Set::default()), clock }
    }

    pub fn contains(&self, id: &Id<Credential>) -> bool {
        self.known.borrow().credentials.contains(id)
    }

    /// Watches over a connection of `identity`.
    pub fn guard(&self, identity: &Identity) -> Guard {
        let credential = identity.credential.clone();
        let guest = identity.guest.as_ref().and_then(|_| identity.principal.user().cloned());
        Guard {
            credential,
            guest,
            until_ms: identity.until_ms,
            known: self.known.subscribe(),
            clock: Arc::clone(&self.clock),
        }
    }

    /// Learns what is revoked now; to be called before anybody is served, and then followed.
    pub async fn follow(&self, functions: &Functions) -> Result<Following, Error> {
        let wake = Arc::new(Notify::new());
        let system = Arc::new(Principal::System);
        let query = functions.subscribe("credentials:revoked", &system, json!({}), None, &wake)?;
        let mut following = Following { query, wake, last: None };
        self.learn(functions, &mut following).await?;
        Ok(following)
    }

    /// Waits for what is revoked next, until `shutdown`.
    pub async fn run(&self, functions: &Functions, mut following: Following, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            tokio::select! {
                learned = self.learn(functions, &mut following) => if let Err(error) = learned {
                    tracing::error!(%error, "what was revoked cannot be read; trying again");
                    tokio::time::sleep(PAUSE).await;
                },
                () = shutdown.cancelled() => {}
            }
        }
    }

    async fn learn(&self, functions: &Functions, following: &mut Following) -> Result<(), Error> {
        let Following { query, wake, last } = following;
        let output = functions.store().changed(query, wake, last.clone()).await?;
        *last = Some(Arc::clone(&output));
        let Revoked { credentials, guests } = serde_json::from_str(&output.value.clone()?)
            .map_err(|e| Error::internal(format!("credentials:revoked: {e}")))?;
        let known = Known { credentials: credentials.into_iter().collect(), guests: guests.into_iter().collect() };
        self.known.send_replace(Arc::new(known));
        Ok(())
    }
}

/// The live query at its place.
pub struct Following {
    query: Subscription,
    wake: Arc<Notify>,
    last: Option<Arc<spool_store::live::Output>>,
}

/// Waits for the end of one credential. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    credential: Option<Id<Credential>>,
    guest: Option<Id<User>>,
    until_ms: Option<u64>,
    known: watch::Receiver<Set>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Guard({:?}, {:?})", self.credential, self.until_ms)
    }
}

impl Guard {
    /// `revoked` or `auth_expired`, when it is so; never for who has no credential. Safe to cancel.
    pub async fn ended(&mut self) -> Error {
        let Self { credential, guest, until_ms, known, clock } = self;
        let revoked = async {
            match (credential, guest) {
                (Some(id), _) => known.wait_for(|known| known.credentials.contains(id)).await.is_ok(),
                (None, Some(id)) => known.wait_for(|known| known.guests.contains(id)).await.is_ok(),
                (None, None) => false,
            }
        };
        let expired = async {
            let Some(until_ms) = *until_ms else { return std::future::pending().await };
            loop {
                let left = Duration::from_millis(until_ms.saturating_sub(clock.now_ms()));
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(LOOK_EVERY)).await;
            }
        };
        tokio::pin!(expired);
        tokio::select! {
            true = revoked => ended(Code::Revoked, "The session, key or guest of this connection was ended."),
            () = &mut expired => ended(Code::AuthExpired, "The token of this connection has expired; come back with a new one."),
        }
    }
}

fn ended(code: Code, message: &str) -> Error {
    Error::new(code, message).with("retryable", false)
}
