//! Where this server may connect to when somebody else named the address, or could have it named.
//!
//! An address is judged twice: as it is written, and again after its name was resolved, because a name can be
//! pointed elsewhere in between. Redirects are never followed: they would lead around both.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Url};

/// Which addresses may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The public internet.
    Internet,
    /// That, and this machine. For development.
    InternetAndLoopback,
    /// Whatever the operator named.
    Anywhere,
}

impl Reach {
    pub fn admits(self, ip: IpAddr) -> bool {
        match self {
            Self::Internet => is_public(ip),
            Self::InternetAndLoopback => is_public(ip) || ip.is_loopback(),
            Self::Anywhere => true,
        }
    }

    /// Whether the host of a URL may be, as far as one can tell before its name is resolved.
    pub fn admits_host(self, url: &Url) -> bool {
        match literal(url) {
            Some(ip) => self.admits(ip),
            None => self != Self::Internet || !is_local_name(url),
        }
    }
}

/// The address that a URL has for a host, if it has one and no name.
pub fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether the host is a name of this machine (RFC 6761, 6.3).
pub fn is_local_name(url: &Url) -> bool {
    // A final dot names the same host.
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    host == "localhost" || host.ends_with(".localhost")
}

/// A client that connects to what `reach` admits and follows no redirects.
pub fn client(reach: Reach) -> ClientBuilder {
    let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
    builder.dns_resolver(Arc::new(Guarded { reach }))
}

/// Whether an address is one of the public internet.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, ..] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b); // RFC 6598
    let benchmarks = a == 198 && (18..20).contains(&b); // RFC 2544
    let special = a == 0 || a >= 224 || (a == 192 && b == 0 && ip.octets()[2] == 0);
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || shared
        || benchmarks
        || special)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    // An IPv4 address in disguise is judged as what it is.
    if let Some(inner) = ip.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let segments = ip.segments();
    // Global unicast is 2000::/3; of it, 6to4 and Teredo carry IPv4 addresses, 2001:db8 is documentation.
    let global = segments[0] & 0xE000 == 0x2000;
    let tunnel = segments[0] == 0x2002 || (segments[0] == 0x2001 && segments[1] < 0x0200);
    global && !tunnel && !(segments[0] == 0x2001 && segments[1] == 0x0db8)
}

/// Why a name was not resolved.
#[derive(Debug)]
pub struct NotAdmitted;

impl fmt::Display for NotAdmitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name leads to no public address")
    }
}

impl std::error::Error for NotAdmitted {}

/// Resolves names to admitted addresses only.
struct Guarded {
    reach: Reach,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.reach;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Vec<SocketAddr> = found.filter(|address| reach.admits(address.ip())).collect();
            if addresses.is_empty() {
                return Err(NotAdmitted.into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_here_is_refused_when_it_is_resolved() {
        let resolve = |reach| Guarded { reach }.resolve("localhost".parse().unwrap());
        assert!(resolve(Reach::Internet).await.is_err());
        for reach in [Reach::InternetAndLoopback, Reach::Anywhere] {
            assert!(resolve(reach).await.unwrap().all(|address| address.ip().is_loopback()));
        }
        // A name that no look at the URL can know, through the client itself.
        let client = client(Reach::Internet).build().unwrap();
        let refused = client.post("http://localhost:9/").send().await.unwrap_err();
        assert!(format!("{refused:?}").contains("NotAdmitted"), "{refused:?}");
    }

    #[test]
    fn a_host_is_judged_as_it_is_written() {
        let admits = |reach: Reach, url: &str| reach.admits_host(&Url::parse(url).unwrap());
        for url in
            ["https://10.0.0.1/", "https://[::1]/", "https://localhost/", "https://a.localhost./", "http://0x7f.1/"]
        {
            assert!(!admits(Reach::Internet, url) && admits(Reach::Anywhere, url), "{url}");
        }
        assert!(admits(Reach::Internet, "https://example.com/"));
        assert!(admits(Reach::InternetAndLoopback, "http://127.0.0.1/"));
        assert!(!admits(Reach::InternetAndLoopback, "http://10.0.0.1/"));
    }
}
