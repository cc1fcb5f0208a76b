//! Where a request comes from: its address behind trusted proxies, its id, and what it counts as.
//!
//! Worked out once, at the boundary, and carried with the task that serves the request, so that limits and
//! the audit trail speak of the same caller. Must never be used to decide who somebody is.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::http::{HeaderMap, Method, Uri};
use spool_chat::CallFacts;

use crate::config::audit::Addresses;
use crate::config::limits as config;
use crate::limits::{Class, key_of};
use crate::peers::Place;

tokio::task_local! {
    static ORIGIN: Arc<Origin>;
}

/// Bytes of the hash of an address that are kept: enough to tell callers apart, for the eye to compare.
const HASH_BYTES: usize = 8;

/// The other end of a connection, as the kernel says.
#[derive(Clone)]
pub struct Peer {
    pub address: IpAddr,
    /// Its place among the connections of the address. A socket that outlives its request keeps it.
    pub place: Arc<Place>,
}

/// One request.
#[derive(Clone)]
pub struct Origin {
    /// The name under which its address is limited.
    pub key: String,
    /// The client's, behind the proxies that are trusted.
    pub address: IpAddr,
    /// It is not limited: this machine itself, if the configuration says so.
    pub exempt: bool,
    pub class: Option<Class>,
    /// What functions may know of it.
    pub facts: CallFacts,
    _place: Option<Arc<Place>>,
}

impl Origin {
    /// No request at all: work of the server itself.
    pub fn unknown() -> Self {
        Self {
            key: String::new(),
            address: Ipv4Addr::UNSPECIFIED.into(),
            exempt: true,
            class: None,
            facts: CallFacts::default(),
            _place: None,
        }
    }
}

/// The request that this task serves.
pub fn current() -> Arc<Origin> {
    ORIGIN.try_with(Arc::clone).unwrap_or_else(|_| Arc::new(Origin::unknown()))
}

/// Whether this task serves a request, so that somebody outside waits for it.
pub fn is_request() -> bool {
    ORIGIN.try_with(|_| ()).is_ok()
}

/// Runs a task as one that serves `origin`.
pub async fn scope<F: Future>(origin: Arc<Origin>, task: F) -> F::Output {
    ORIGIN.scope(origin, task).await
}

/// Works out origins.
pub struct Origins {
    trusted: Vec<ipnet::IpNet>,
    exempt_loopback: bool,
    addresses: Addresses,
    secret: hmac::Key,
}

impl Origins {
    /// `secret` is the server's signing key; hashes of addresses are keyed with what is derived from it.
    pub fn new(limits: &config::Limits, addresses: Addresses, secret: &[u8]) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&root, b"spool audit: addresses");
        Self {
            trusted: limits.trusted_proxies.clone(),
            exempt_loopback: limits.exempt_loopback,
            addresses,
            secret: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()),
        }
    }

    pub fn of(&self, peer: Option<&Peer>, headers: &HeaderMap, method: &Method, uri: &Uri) -> Origin {
        let place = peer.map(|peer| Arc::clone(&peer.place));
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.to_canonical());
        let address = self.client(peer, headers);
        let own = headers.get("convex-request-id").and_then(|id| id.to_str().ok()).filter(|id| id.len() <= 64);
        let request_id = own.map_or_else(crate::functions::request_id, str::to_owned);
        Origin {
            key: key_of(address),
            address,
            exempt: self.is_exempt(address) && !self.is_forwarded_by_a_stranger(peer, headers),
            class: Class::of(method, uri),
            facts: CallFacts { address: self.shown(address), request_id: Some(request_id.into()) },
            _place: place,
        }
    }

    /// Whether connections from here are limited at all. A trusted proxy speaks for many.
    pub fn limits_connections_of(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        !self.is_exempt(peer) && !self.is_trusted(peer)
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        self.exempt_loopback && address.is_loopback()
    }

    /// A proxy on this machine that nobody told us of: then everybody would be exempt, so nobody is.
    fn is_forwarded_by_a_stranger(&self, peer: IpAddr, headers: &HeaderMap) -> bool {
        let forwarded = headers.contains_key("x-forwarded-for") || headers.contains_key("forwarded");
        forwarded && !self.is_trusted(peer)
    }

    /// The last address of `X-Forwarded-For` that no trusted proxy has. What stands before it, the client
    /// may have written itself.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
        for hop in hops.into_iter().rev() {
            if !self.is_trusted(client) {
                break;
            }
            let bare = hop.trim_start_matches('[').split(']').next().unwrap_or(hop);
            let parsed = bare.parse().ok().or_else(|| hop.parse::<SocketAddr>().ok().map(|address| address.ip()));
            let Some(address) = parsed else { break };
            client = IpAddr::to_canonical(&address);
        }
        client
    }

    fn shown(&self, address: IpAddr) -> Option<Arc<str>> {
        match self.addresses {
            Addresses::None => None,
            Addresses::Full => Some(address.to_string().into()),
            Addresses::Hash => {
                let tag = hmac::sign(&self.secret, key_of(address).as_bytes());
                let hex: String = tag.as_ref()[..HASH_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
                Some(hex.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(trusted: &[&str], addresses: Addresses) -> Origins {
        let trusted_proxies = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let limits = config::Limits { trusted_proxies, ..config::Limits::default() };
        Origins::new(&limits, addresses, b"secret")
    }

    fn of(origins: &Origins, peer: &str, forwarded: &[&str]) -> Origin {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let peer = Peer { address: peer.parse().unwrap(), place: Arc::new(Place::unlimited()) };
        origins.of(Some(&peer), &headers, &Method::GET, &Uri::from_static("/api/query"))
    }

    #[test]
    fn op_11_a_forwarded_address_counts_only_as_far_as_proxies_are_trusted() {
        let none = origins(&[], Addresses::Full);
        assert_eq!(of(&none, "192.0.2.1", &["198.51.100.9"]).key, "192.0.2.1");
        let some = origins(&["10.0.0.0/8", "127.0.0.1/32"], Addresses::Full);
        for (peer, forwarded, key) in [
            ("10.1.1.1", &["198.51.100.9"][..], "198.51.100.9"),
            ("10.1.1.1", &["1.1.1.1, 198.51.100.9, 10.2.2.2"], "198.51.100.9"),
            ("10.1.1.1", &["1.1.1.1", "198.51.100.9"], "198.51.100.9"),
            ("10.1.1.1", &["[2001:db8::1]:443"], "2001:db8::/64"),
            ("10.1.1.1", &["198.51.100.9:81"], "198.51.100.9"),
            ("10.1.1.1", &["rubbish"], "10.1.1.1"),
            ("10.1.1.1", &[], "10.1.1.1"),
            ("192.0.2.1", &["198.51.100.9"], "192.0.2.1"),
            ("127.0.0.1", &["198.51.100.9"], "198.51.100.9"),
        ] {
            assert_eq!(of(&some, peer, forwarded).key, key, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn op_11_this_machine_is_exempt_unless_it_speaks_for_others() {
        let none = origins(&[], Addresses::Hash);
        assert!(of(&none, "127.0.0.1", &[]).exempt && of(&none, "::1", &[]).exempt);
        assert!(!of(&none, "127.0.0.1", &["198.51.100.9"]).exempt);
        assert!(!of(&none, "192.0.2.1", &[]).exempt);
        let some = origins(&["127.0.0.1/32"], Addresses::Hash);
        assert!(!of(&some, "127.0.0.1", &["198.51.100.9"]).exempt);
        assert!(!some.limits_connections_of("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn op_06_an_address_is_hashed_with_a_key_unless_configured() {
        let hashed = of(&origins(&[], Addresses::Hash), "192.0.2.1", &[]).facts.address.unwrap();
        assert!(hashed.len() == 16 && !hashed.contains("192"));
        assert_eq!(of(&origins(&[], Addresses::Full), "192.0.2.1", &[]).facts.address.unwrap().as_ref(), "192.0.2.1");
        assert!(of(&origins(&[], Addresses::None), "192.0.2.1", &[]).facts.address.is_none());
    }
}
