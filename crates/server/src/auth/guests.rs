//! Guests at the door: who becomes one, how many of one address, and what their tokens are worth.
//!
//! What a guest is, its row says: it is read for every token, because an account may have claimed it, or its
//! time may be over.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use spool_chat::functions::guests::Found;
use spool_chat::functions::guests::claim::Moved;
use spool_chat::tables::User;
use spool_chat::{GuestPolicy, Principal, limits};
use spool_protocol::{Code, Error};
use spool_store::{Clock, Id};

use super::jwt::{Claims, Reason};
use super::{Auth, Identity};
use crate::config::guests::InForce;

const HOUR_MS: u64 = 3_600_000;
/// Addresses that are remembered for an hour; beyond them the oldest hours are forgotten first.
const ADDRESSES: usize = 100_000;

/// The settings, and who came lately.
pub struct Door {
    rules: InForce,
    clock: Arc<dyn Clock>,
    arrivals: Mutex<HashMap<IpAddr, Hour>>,
}

/// The new guests of one address since its hour began.
#[derive(Debug, Clone, Copy)]
struct Hour {
    began_ms: u64,
    guests: u64,
}

impl Door {
    pub fn new(rules: InForce, clock: Arc<dyn Clock>) -> Self {
        Self { rules, clock, arrivals: Mutex::default() }
    }

    /// Counts a new guest of an address; `quota_exceeded` if it has had its share.
    fn count(&self, address: IpAddr) -> Result<(), Error> {
        let Some(limit) = self.rules.new_per_hour else { return Ok(()) };
        let now = self.clock.now_ms();
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if arrivals.len() >= ADDRESSES {
            arrivals.retain(|_, hour| now.saturating_sub(hour.began_ms) < HOUR_MS);
        }
        if arrivals.len() >= ADDRESSES {
            // So many addresses in an hour are an attack by many; forgetting is better than growing.
            arrivals.clear();
        }
        let hour = arrivals.entry(network(address)).or_insert(Hour { began_ms: now, guests: 0 });
        if now.saturating_sub(hour.began_ms) >= HOUR_MS {
            *hour = Hour { began_ms: now, guests: 0 };
        }
        if hour.guests >= limit {
            let reset = hour.began_ms + HOUR_MS;
            let message = "Too many new guests from this address. Sign in, or come back later.";
            let error = Error::new(Code::QuotaExceeded, message).with("quota", "new_guests").with("limit", limit);
            return Err(error.with("resetsAt", reset).with("retryAfterMs", reset - now));
        }
        hour.guests += 1;
        Ok(())
    }
}

/// Who shares a limit: an IPv4 address, or the network that one customer has of IPv6, which is a /64 at least.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
    }
}

impl Auth {
    /// A new anonymous user for somebody at `address`, or the guest of a token again. Returns a fresh token and
    /// the user.
    pub async fn guest(&self, known: &Identity, address: IpAddr) -> Result<(String, Id<User>), Error> {
        let rules = &self.door.rules;
        if rules.policy != GuestPolicy::Server {
            let message = "this server takes no guests; sign in, or set guests.policy = \"server\"";
            return Err(Error::new(Code::Unauthenticated, message).with("reason", "guests_off"));
        }
        let subject = match &known.guest {
            Some(subject) => subject.clone(),
            None => {
                self.door.count(address)?;
                format!("guest_{}", uuid::Uuid::new_v4().simple())
            }
        };
        let user = self.admit(&subject, None).await?;
        Ok((self.tokens.issue(&subject, rules.token_ms)?, user))
    }

    async fn admit(&self, subject: &str, issued_ms: Option<u64>) -> Result<Id<User>, Error> {
        let mut args = self.identity(subject);
        args["issuedMs"] = json!(issued_ms);
        let user = self.functions.mutate_as_system("guests:admit", args).await?;
        serde_json::from_str(&user).map_err(|e| Error::internal(format!("guests:admit: {e}")))
    }

    fn identity(&self, subject: &str) -> Value {
        json!({ "issuer": self.tokens.issuer(), "subject": subject })
    }

    async fn find_guest(&self, claims: &Claims) -> Result<Option<Found>, Error> {
        let (_, found) = self.functions.query_as_system("guests:find", self.identity(&claims.subject)).await?;
        serde_json::from_str(&found).map_err(|e| Error::internal(format!("guests:find: {e}")))
    }

    /// The caller with a guest's token that holds.
    pub(super) async fn identity_of_guest(&self, claims: &Claims) -> Result<Identity, Error> {
        if self.door.rules.policy != GuestPolicy::Server {
            return Err(Reason::GuestsOff.error());
        }
        let user = match self.find_guest(claims).await? {
            Some(Found { claimed_into: Some(_), .. }) => return Err(Reason::GuestClaimed.error()),
            Some(Found { user, .. }) => user,
            // Removed, while its token was good for longer: the settings were others.
            None => self.admit(&claims.subject, Some(claims.issued_ms)).await?,
        };
        Ok(Identity {
            principal: Arc::new(Principal::User { user }),
            guest: Some(claims.subject.clone()),
            until_ms: Some(claims.until_ms),
            credential: None,
        })
    }

    /// The account `into` takes over what the guest of `token` has. Returns how many threads this call moved.
    pub async fn claim(&self, into: &Identity, token: &str) -> Result<u64, Error> {
        let Principal::User { user: account } = &*into.principal else {
            return Err(Error::new(Code::Unauthenticated, "Claiming a guest needs a person who is signed in."));
        };
        let claims = self.issuers.verify(token).await?;
        let is_guest = claims.issuer == self.tokens.issuer();
        // A session's token names the user, and no guest is called so.
        let found = if is_guest { self.find_guest(&claims).await? } else { None };
        let guest = found.ok_or_else(|| Error::not_found("guest"))?.user;
        self.move_all(&guest, account).await
    }

    /// The guest that somebody was until now who signs in, by the `Authorization` header, whatever the policy is
    /// by now. A token that is refused is not taken for none: its bearer should know.
    pub async fn claimable(&self, header: Option<&str>) -> Result<Option<Id<User>>, Error> {
        let Some(header) = header else { return Ok(None) };
        let token = header.split_once(' ').map_or("", |(_, token)| token.trim());
        let claims = self.issuers.verify(token).await?;
        let own = claims.issuer == self.tokens.issuer();
        match if own { self.find_guest(&claims).await? } else { None } {
            Some(Found { claimed_into: Some(_), .. }) => Err(Reason::GuestClaimed.error()),
            found => Ok(found.map(|found| found.user)),
        }
    }

    /// The account that somebody has just signed in to takes over what they made as a guest. Another account
    /// may have been faster; that is no reason not to sign in.
    pub async fn take_over(&self, guest: &Id<User>, account: &Id<User>) -> Result<(), Error> {
        match self.move_all(guest, account).await {
            Err(error) if !matches!(error.code, Code::InvalidToken | Code::NotFound) => Err(error),
            _ => Ok(()),
        }
    }

    async fn move_all(&self, guest: &Id<User>, account: &Id<User>) -> Result<u64, Error> {
        let args = json!({ "guest": guest, "into": account });
        let mut step: Moved = self.step("users:claim", args).await?;
        let mut threads = step.threads;
        while step.has_more {
            // The server's own round carries on what is left when this request is cut off.
            step = self.step("users:move", json!({ "guest": guest, "limit": limits::CLAIMED_ROWS })).await?;
            threads += step.threads;
        }
        Ok(threads)
    }

    async fn step(&self, path: &str, args: Value) -> Result<Moved, Error> {
        let moved = self.functions.mutate_as_system(path, args).await?;
        serde_json::from_str(&moved).map_err(|e| Error::internal(format!("{path}: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use spool_store::VirtualClock;

    use super::*;
    use crate::config::guests::Guests;

    #[test]
    fn gu_02_one_address_becomes_so_many_guests_in_an_hour() {
        let clock = Arc::new(VirtualClock::at_ms(1_700_000_000_000));
        let rules = Guests { new_per_hour: Some(2), ..Guests::default() }.in_force(false);
        let door = Door::new(rules, clock.clone());
        let [here, there]: [IpAddr; 2] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse().unwrap());
        door.count(here).unwrap();
        clock.advance_ms(HOUR_MS - 1);
        // The same address in the clothes of IPv6.
        door.count("::ffff:192.0.2.1".parse().unwrap()).unwrap();
        let refused = door.count(here).unwrap_err();
        assert_eq!(refused.code, Code::QuotaExceeded);
        let data = json!({ "quota": "new_guests", "limit": 2, "resetsAt": 1_700_000_000_000_u64 + HOUR_MS, "retryAfterMs": 1 });
        assert_eq!(refused.data.unwrap(), data);
        door.count(there).unwrap();
        clock.advance_ms(1);
        door.count(here).unwrap();
        // One customer has 2^64 addresses of IPv6.
        for (at, allowed) in [("2001:db8::1", true), ("2001:db8::2", true), ("2001:db8::3", false)] {
            assert_eq!(door.count(at.parse().unwrap()).is_ok(), allowed, "{at}");
        }
    }
}
