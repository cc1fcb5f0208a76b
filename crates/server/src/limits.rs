//! How much one caller may ask for in a time: token buckets per principal and per address.
//!
//! A request counts for whoever makes it: the principal of its credentials, or its address as long as there
//! is none. Besides, all requests of an address count together. In memory and of this process alone: a
//! restart forgets, and forgetting is harmless. Must never look at what a request says.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::extract::Query;
use axum::http::{Method, Uri};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use spool_chat::Principal;
use spool_protocol::{Code, Error};

use crate::config::limits as config;
use crate::origin::Origin;

/// What a request costs the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Pages of the UI, keys, descriptions: they count for the address alone.
    Asset,
    Read,
    Write,
    /// Everything under `/api/auth/`, and credentials that are refused. Always counts for the address.
    SignIn,
    /// A stream or socket that is opened.
    Stream,
}

impl Class {
    /// The class of an HTTP request; `None` for what operators and browsers must always be told.
    pub fn of(method: &Method, uri: &Uri) -> Option<Self> {
        let path = uri.path();
        if method == Method::OPTIONS || matches!(path, "/healthz" | "/readyz" | "/metrics") {
            return None;
        }
        let reads = method == Method::GET || method == Method::HEAD;
        Some(if path.starts_with("/api/auth/") {
            Self::SignIn
        } else if path.starts_with("/api/stream/")
            || (path.starts_with("/api/") && (path.ends_with("/sync") || (reads && path.ends_with("/stream"))))
            || (reads && path.starts_with("/v1/stream/") && follows(uri))
        {
            Self::Stream
        } else if path.starts_with("/api/query") || (reads && (path.starts_with("/api/") || path.starts_with("/v1/"))) {
            Self::Read
        } else if path.starts_with("/api/") || path.starts_with("/v1/") {
            Self::Write
        } else {
            Self::Asset
        })
    }
}

/// Whether a durable stream is read as an event stream. (A long poll is a read: a stream that is written fast is
/// asked for as fast, and what waits is bounded by the connections.)
fn follows(uri: &Uri) -> bool {
    let params = Query::<Vec<(String, String)>>::try_from_uri(uri);
    params.is_ok_and(|Query(params)| params.iter().any(|(name, value)| name == "live" && value == "sse"))
}

/// One bucket per key.
struct Buckets {
    limiter: DefaultKeyedRateLimiter<String>,
    clock: DefaultClock,
}

impl Buckets {
    fn new(rate: config::Rate) -> Self {
        let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
        let period = Duration::from_secs_f64(1.0 / rate.per_second);
        // Only a period of nothing is no quota, and the configuration admits none.
        let quota = Quota::with_period(period).unwrap_or_else(|| Quota::per_second(burst)).allow_burst(burst);
        Self { limiter: RateLimiter::keyed(quota), clock: DefaultClock::default() }
    }

    fn take(&self, key: &String) -> Result<(), Error> {
        self.limiter.check_key(key).map_err(|until| rate_limited(until.wait_time_from(self.clock.now())))
    }
}

pub struct Limits {
    reads: Buckets,
    writes: Buckets,
    sign_in: Buckets,
    streams: Buckets,
    services: Buckets,
    addresses: Buckets,
}

impl Limits {
    pub fn new(config: &config::Limits) -> Self {
        Self {
            reads: Buckets::new(config.reads),
            writes: Buckets::new(config.writes),
            sign_in: Buckets::new(config.sign_in),
            streams: Buckets::new(config.streams),
            services: Buckets::new(config.services),
            addresses: Buckets::new(config.address),
        }
    }

    /// Counts a request for its address, before anything else is done for it.
    pub fn arrive(&self, origin: &Origin) -> Result<(), Error> {
        let Some(class) = origin.class.filter(|_| !origin.exempt) else { return Ok(()) };
        self.addresses.take(&origin.key)?;
        if class == Class::SignIn { self.sign_in.take(&origin.key) } else { Ok(()) }
    }

    /// Counts one more thing of `class` for `principal`; an anonymous one counts for the address.
    pub fn charge(&self, class: Class, principal: &Principal, origin: &Origin) -> Result<(), Error> {
        if origin.exempt || *principal == Principal::System {
            return Ok(());
        }
        let buckets = match (class, principal) {
            (Class::Asset | Class::SignIn, _) => return Ok(()),
            (_, Principal::Service { .. }) => &self.services,
            (Class::Read, _) => &self.reads,
            (Class::Write, _) => &self.writes,
            (Class::Stream, _) => &self.streams,
        };
        match principal {
            Principal::Anonymous => buckets.take(&origin.key),
            _ => buckets.take(&principal.key()),
        }
    }

    /// Counts a credential that was refused, so that nobody can try them without end.
    pub fn refuse(&self, origin: &Origin) -> Result<(), Error> {
        if origin.exempt { Ok(()) } else { self.sign_in.take(&origin.key) }
    }

    /// Forgets callers whose buckets are full again. To be called once a minute: nothing else does.
    pub fn forget_idle(&self) {
        for buckets in [&self.reads, &self.writes, &self.sign_in, &self.streams, &self.services, &self.addresses] {
            buckets.limiter.retain_recent();
            buckets.limiter.shrink_to_fit();
        }
    }
}

/// The refusal, with the time after which it is worth trying again.
fn rate_limited(wait: Duration) -> Error {
    let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    let message = format!("Too many requests. Try again in {} s.", ms.div_ceil(1000));
    Error::new(Code::RateLimited, message).with("retryAfterMs", ms)
}

/// Addresses that one person can take at will are one key: a host has a whole /64 of IPv6.
pub fn key_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            format!("{}/64", std::net::Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::limits::Rate;
    use spool_store::Id;

    fn origin(address: &str) -> Origin {
        let mut origin = Origin::unknown();
        (origin.key, origin.exempt, origin.class) = (address.to_owned(), false, Some(Class::Write));
        origin
    }

    fn limits() -> Limits {
        let few = Rate { per_second: 0.01, burst: 2 };
        let many = Rate { per_second: 1000.0, burst: 1000 };
        let config = config::Limits { writes: few, sign_in: few, address: many, ..config::Limits::default() };
        Limits::new(&config)
    }

    #[test]
    fn op_11_a_principal_is_limited_wherever_it_calls_from_and_others_are_not() {
        let limits = limits();
        let user = |n: u64| Principal::User { user: Id::fresh(n) };
        let (one, two) = (user(1), user(2));
        for address in ["a", "b"] {
            limits.charge(Class::Write, &one, &origin(address)).unwrap();
        }
        let refused = limits.charge(Class::Write, &one, &origin("c")).unwrap_err();
        assert_eq!(refused.code, Code::RateLimited);
        assert!(refused.data.unwrap()["retryAfterMs"].as_u64().unwrap() > 50_000);
        limits.charge(Class::Write, &two, &origin("a")).unwrap();
        limits.charge(Class::Read, &one, &origin("a")).unwrap();
        limits.charge(Class::Write, &Principal::System, &origin("a")).unwrap();
    }

    #[test]
    fn op_11_without_a_principal_the_address_counts_and_the_exempt_never_do() {
        let limits = limits();
        for _ in 0..2 {
            limits.charge(Class::Write, &Principal::Anonymous, &origin("a")).unwrap();
            limits.refuse(&origin("a")).unwrap();
        }
        assert!(limits.charge(Class::Write, &Principal::Anonymous, &origin("a")).is_err());
        assert!(limits.refuse(&origin("a")).is_err());
        limits.refuse(&origin("b")).unwrap();
        for _ in 0..10 {
            limits.refuse(&Origin::unknown()).unwrap();
        }
        limits.forget_idle();
        assert!(limits.refuse(&origin("a")).is_err(), "a bucket that is not full is kept");
    }

    #[test]
    fn op_11_requests_are_told_apart_by_what_they_cost() {
        for (method, path, class) in [
            (Method::POST, "/api/query", Some(Class::Read)),
            (Method::POST, "/api/mutation", Some(Class::Write)),
            (Method::GET, "/api/1.48.0/sync", Some(Class::Stream)),
            (Method::GET, "/api/sync", Some(Class::Stream)),
            (Method::GET, "/api/stream/gen_x", Some(Class::Stream)),
            (Method::GET, "/api/chat/x/stream", Some(Class::Stream)),
            (Method::POST, "/api/chat", Some(Class::Write)),
            (Method::POST, "/api/auth/guest", Some(Class::SignIn)),
            (Method::PUT, "/v1/stream/x", Some(Class::Write)),
            (Method::GET, "/v1/stream/x", Some(Class::Read)),
            (Method::GET, "/v1/stream/x?live=long-poll&offset=-1", Some(Class::Read)),
            (Method::GET, "/v1/stream/x?offset=-1&live=sse", Some(Class::Stream)),
            (Method::GET, "/v1/stream/x?l%69ve=%73se", Some(Class::Stream)),
            (Method::POST, "/v1/stream/x?live=sse", Some(Class::Write)),
            (Method::GET, "/assets/x.js", Some(Class::Asset)),
            (Method::OPTIONS, "/api/mutation", None),
            (Method::GET, "/readyz", None),
        ] {
            assert_eq!(Class::of(&method, &Uri::from_static(path)), class, "{method} {path}");
        }
    }

    #[test]
    fn op_11_a_network_of_ipv6_is_one_caller() {
        let key = |text: &str| key_of(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
