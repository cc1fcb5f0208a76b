//! How often somebody may try. Attempts are counted before they are carried out, so that many at once are
//! no way around.
//!
//! In memory: a durable count would let anybody make this server write. A restart forgets it, which gives an
//! attacker a handful of attempts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use spool_protocol::{Code, Error};

/// Time in which attempts are counted together, in milliseconds.
const WINDOW_MS: u64 = 5 * 60_000;
/// Keys that are remembered. Above it those whose time is over go, and if all are fresh, the window of
/// everybody ends: better than to refuse everybody.
const KEYS: usize = 100_000;

/// What is counted, and how much of it a window has.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// One account from one address: a person who forgot the password.
    Pair(String, String),
    /// One account from anywhere. High, because it also locks its owner out.
    Account(String),
    /// One address for all accounts: many people may share it.
    Address(String),
    /// Mails to one account.
    Mail(String),
}

impl Key {
    fn limit(&self) -> u32 {
        match self {
            Key::Pair(..) => 5,
            Key::Account(_) => 50,
            Key::Address(_) => 30,
            Key::Mail(_) => 2,
        }
    }
}

#[derive(Default)]
pub struct Throttle {
    counts: Mutex<HashMap<Key, Count>>,
}

struct Count {
    attempts: u32,
    until_ms: u64,
}

impl Throttle {
    /// Counts an attempt; `rate_limited` if one of the keys has none left, and then none is taken.
    pub fn attempt(&self, now_ms: u64, keys: &[Key]) -> Result<(), Error> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() + keys.len() > KEYS {
            counts.retain(|_, count| count.until_ms > now_ms);
            if counts.len() + keys.len() > KEYS {
                counts.clear();
            }
        }
        let full = keys.iter().filter_map(|key| counts.get(key).filter(|count| count.attempts >= key.limit()));
        if let Some(until_ms) = full.map(|count| count.until_ms).filter(|until_ms| *until_ms > now_ms).max() {
            let wait_ms = until_ms - now_ms;
            let message = format!("Too many attempts; try again in {} s.", wait_ms.div_ceil(1000));
            return Err(Error::new(Code::RateLimited, message).with("retryAfterMs", wait_ms));
        }
        for key in keys {
            let count = counts.entry(key.clone()).or_insert(Count { attempts: 0, until_ms: 0 });
            if count.until_ms <= now_ms {
                *count = Count { attempts: 0, until_ms: now_ms + WINDOW_MS };
            }
            count.attempts += 1;
        }
        Ok(())
    }

    /// The attempt was right: it does not count, and what came before it for this account does not either.
    pub fn succeeded(&self, keys: &[Key]) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            match key {
                Key::Pair(..) => drop(counts.remove(key)),
                _ => {
                    if let Some(count) = counts.get_mut(key) {
                        count.attempts = count.attempts.saturating_sub(1);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(account: &str, address: &str) -> [Key; 3] {
        [Key::Pair(account.into(), address.into()), Key::Account(account.into()), Key::Address(address.into())]
    }

    #[test]
    fn ia_02_one_address_has_five_attempts_at_an_account_and_then_waits() {
        let throttle = Throttle::default();
        for _ in 0..5 {
            throttle.attempt(1_000, &keys("ada", "1")).unwrap();
        }
        let refused = throttle.attempt(61_000, &keys("ada", "1")).unwrap_err();
        assert_eq!((refused.code, refused.data.unwrap()["retryAfterMs"].as_u64()), (Code::RateLimited, Some(240_000)));
        throttle.attempt(61_000, &keys("ada", "2")).unwrap();
        throttle.attempt(61_000, &keys("bob", "1")).unwrap();
        throttle.attempt(301_000, &keys("ada", "1")).unwrap();
    }

    #[test]
    fn ia_02_an_account_is_guarded_from_many_addresses_and_an_address_from_many_accounts() {
        let throttle = Throttle::default();
        for n in 0..50 {
            throttle.attempt(0, &keys("ada", &n.to_string())).unwrap();
        }
        assert!(throttle.attempt(0, &keys("ada", "new")).is_err());
        for n in 0..30 {
            throttle.attempt(0, &keys(&n.to_string(), "same")).unwrap();
        }
        assert!(throttle.attempt(0, &keys("new", "same")).is_err());
    }

    #[test]
    fn ia_02_who_gets_it_right_is_not_counted() {
        let throttle = Throttle::default();
        for _ in 0..200 {
            throttle.attempt(0, &keys("ada", "1")).unwrap();
            throttle.succeeded(&keys("ada", "1"));
        }
    }
}
