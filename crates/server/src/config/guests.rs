//! People without an account, as `[guests]` says: whether there are any, and what they may use.

use std::collections::BTreeMap;

use serde::Deserialize;
use spool_chat::{GuestLimits, GuestPolicy};

/// Where strangers reach the server, limits are on unless they are turned off; on loopback the guest is the
/// person at the machine.
const PUBLIC: Limits = Limits { threads: 20, messages: 100, retention_days: 30, per_hour: 20 };
const LOOPBACK: Limits = Limits { threads: 0, messages: 0, retention_days: 0, per_hour: 0 };
/// A token lives no longer than this, whatever the retention is.
const TOKEN_DAYS: u64 = 30;
const DAY_MS: u64 = 86_400_000;

struct Limits {
    threads: u64,
    messages: u64,
    retention_days: u64,
    per_hour: u64,
}

/// People without an account. 0 is no limit. The defaults are of a server on loopback, and of any other.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guests {
    /// `server`: anyone gets an anonymous user. `local`: visitors write drafts that stay in their browser.
    /// `off`: nobody does anything. Default: `server`, else `off`.
    pub policy: Option<GuestPolicy>,
    /// Threads that a guest may have at the same time, up to 1000000. Default: 0, else 20.
    pub max_threads: Option<u64>,
    /// Messages that a guest may send between two midnights UTC, up to 1000000. Default: 0, else 100.
    pub max_messages_per_day: Option<u64>,
    /// Days without activity after which a guest is removed with all it has, up to 3650. Default: 0, else 30.
    pub retention_days: Option<u64>,
    /// Guests that one address may become within an hour, up to 1000000. Default: 0, else 20.
    pub new_per_hour: Option<u64>,
}

/// The settings with their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InForce {
    pub policy: GuestPolicy,
    pub limits: GuestLimits,
    pub new_per_hour: Option<u64>,
    /// Milliseconds that a guest's token lives: never longer than a guest is kept after its last token.
    pub token_ms: u64,
}

impl Guests {
    pub fn in_force(&self, loopback: bool) -> InForce {
        let (policy, default) = if loopback { (GuestPolicy::Server, LOOPBACK) } else { (GuestPolicy::Off, PUBLIC) };
        let limit = |set: Option<u64>, default: u64| Some(set.unwrap_or(default)).filter(|limit| *limit > 0);
        let retention_days = limit(self.retention_days, default.retention_days);
        InForce {
            policy: self.policy.unwrap_or(policy),
            limits: GuestLimits {
                max_threads: limit(self.max_threads, default.threads),
                max_messages_per_day: limit(self.max_messages_per_day, default.messages),
                retention_ms: retention_days.map(|days| days * DAY_MS),
            },
            new_per_hour: limit(self.new_per_hour, default.per_hour),
            token_ms: retention_days.unwrap_or(TOKEN_DAYS).min(TOKEN_DAYS) * DAY_MS,
        }
    }

    /// The keys whose values are out of range, with the largest that is in it.
    pub fn out_of_range(&self) -> BTreeMap<&'static str, u64> {
        let checks = [
            ("guests.max_threads", self.max_threads, 1_000_000),
            ("guests.max_messages_per_day", self.max_messages_per_day, 1_000_000),
            ("guests.retention_days", self.retention_days, 3650),
            ("guests.new_per_hour", self.new_per_hour, 1_000_000),
        ];
        checks.into_iter().filter(|(_, set, most)| set.is_some_and(|set| set > *most)).map(|(k, _, m)| (k, m)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gu_01_guests_are_for_loopback_unless_configured() {
        let default = Guests::default();
        assert_eq!(default.in_force(true).policy, GuestPolicy::Server);
        assert_eq!(default.in_force(false).policy, GuestPolicy::Off);
        let local: Guests = toml::from_str("policy = \"local\"").unwrap();
        assert_eq!(local.in_force(true).policy, GuestPolicy::Local);
        assert!(toml::from_str::<Guests>("policy = \"everybody\"").is_err());
    }

    #[test]
    fn gu_02_limits_are_on_where_strangers_come_and_0_is_none() {
        let default = Guests::default();
        assert_eq!(default.in_force(true).limits, GuestLimits::default());
        assert_eq!(default.in_force(true).token_ms, TOKEN_DAYS * DAY_MS);
        let public = default.in_force(false);
        assert_eq!((public.limits.max_threads, public.new_per_hour), (Some(20), Some(20)));
        let set: Guests = toml::from_str("max_threads = 0\nretention_days = 7\nmax_messages_per_day = 5").unwrap();
        let set = set.in_force(false);
        assert_eq!((set.limits.max_threads, set.limits.max_messages_per_day), (None, Some(5)));
        assert_eq!((set.limits.retention_ms, set.token_ms), (Some(7 * DAY_MS), 7 * DAY_MS));
        let long = Guests { retention_days: Some(365), ..Guests::default() };
        assert_eq!(long.in_force(false).token_ms, TOKEN_DAYS * DAY_MS);
        assert_eq!(Guests { retention_days: Some(3651), ..long }.out_of_range().len(), 1);
    }
}
