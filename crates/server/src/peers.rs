//! How many connections each address has, bounded where they are accepted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::key_of;
use crate::origin::Origins;

/// Said to a connection too many. Written before it is closed, and lost if the client does not read it.
pub const REFUSAL: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: application/json\r\naccess-control-allow-origin: *\r\ncontent-length: 79\r\n\r\n\
    {\"code\":\"rate_limited\",\"message\":\"Too many connections.\",\"retryAfterMs\":1000}\r\n";

/// The connections that are open now.
pub struct Peers {
    origins: Arc<Origins>,
    most: usize,
    open: Mutex<HashMap<String, usize>>,
}

/// A place among the connections of an address, as long as it lives.
pub struct Place(Option<(Arc<Peers>, String)>);

impl Place {
    /// One that nobody counts.
    pub fn unlimited() -> Self {
        Self(None)
    }
}

impl Peers {
    pub fn new(origins: Arc<Origins>, most: usize) -> Arc<Self> {
        Arc::new(Self { origins, most, open: Mutex::default() })
    }

    /// A place for one more connection from `address`; `None` if it has as many as it may.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        if !self.origins.limits_connections_of(address) {
            return Some(Place::unlimited());
        }
        let key = key_of(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(key.clone()).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Place(Some((Arc::clone(self), key))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((peers, key)) = &self.0 else { return };
        let mut open = peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                open.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{audit::Addresses, limits::Limits};

    #[test]
    fn op_11_an_address_has_so_many_connections_and_a_closed_one_makes_room() {
        let origins = Arc::new(Origins::new(&Limits::default(), Addresses::None, b"x"));
        let peers = Peers::new(origins, 2);
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = peers.enter(one).unwrap();
        let _second = peers.enter(one).unwrap();
        assert!(peers.enter(one).is_none());
        let _elsewhere = peers.enter(other).unwrap();
        drop(first);
        let _third = peers.enter(one).unwrap();
        for _ in 0..10 {
            std::mem::forget(peers.enter("127.0.0.1".parse().unwrap()).unwrap());
        }
    }

    #[test]
    fn the_refusal_is_a_whole_answer() {
        let text = std::str::from_utf8(REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let body: serde_json::Value = serde_json::from_str(body.trim()).unwrap();
        assert_eq!(body["code"], "rate_limited");
    }
}
