//! The cookie of a session, and which pages may send it. Pure.

use std::net::IpAddr;

use ::http::HeaderMap;
use ::http::header;
use spool_protocol::{Code, Error};

use crate::connections::Peer;

const NAME: &str = "spool_session";

/// Read by `/api/auth/…` alone, by no script, and sent along from no other site but with a link.
pub fn made(secret: &str, seconds: u64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{NAME}={secret}; Path=/api/auth; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

/// Tells the browser to forget it.
pub fn removed(secure: bool) -> String {
    made("", 0, secure)
}

/// The secret in the request's cookies.
pub fn read(headers: &HeaderMap) -> Option<String> {
    value(headers, NAME)
}

/// A cookie of the request that is not empty.
pub fn value(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, value)| *name == wanted && !value.is_empty()).map(|(_, value)| value.to_owned())
}

/// Refuses pages of other origins: with a person's cookie they would act in the person's name, and without
/// one they could sign a person in as somebody else. Whatever is no browser says nothing of a page.
pub fn check_origin(headers: &HeaderMap, public_url: Option<&str>) -> Result<(), Error> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let own = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin" || site == "none",
        // Browsers that do not say it send at least the origin.
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            public_url == Some(origin) || (host.is_some() && host == text("host"))
        }
        (None, None) => true,
    };
    if own {
        return Ok(());
    }
    let message = "Only pages of this server may use its sign-in; this request is of another site.";
    Err(Error::new(Code::Forbidden, message).with("reason", "cross_site"))
}

/// The network of an address: what one person is likely to have at their hands, and no more.
pub fn network(peer: Option<Peer>) -> String {
    match peer.map(|Peer(address)| address.to_canonical()) {
        Some(IpAddr::V4(address)) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        Some(IpAddr::V6(address)) => {
            let [a, b, c, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}::/48")
        }
        None => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn ia_02_the_cookie_is_found_among_others() {
        assert_eq!(read(&headers(&[("cookie", "a=b; spool_session=x-_1; c=d")])).as_deref(), Some("x-_1"));
        assert_eq!(read(&headers(&[("cookie", "my_spool_session=x")])), None);
        assert_eq!(read(&headers(&[("cookie", "spool_session=")])), None);
    }

    #[test]
    fn ia_02_pages_of_other_origins_are_refused() {
        let url = Some("https://spool.example");
        for good in [
            &[][..],
            &[("sec-fetch-site", "same-origin"), ("origin", "https://odd.example")],
            &[("sec-fetch-site", "none")],
            &[("origin", "http://127.0.0.1:3210"), ("host", "127.0.0.1:3210")],
            &[("origin", "https://spool.example"), ("host", "10.0.0.7:3210")],
        ] {
            assert!(check_origin(&headers(good), url).is_ok(), "{good:?}");
        }
        for bad in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "null"), ("host", "127.0.0.1:3210")],
            &[("origin", "https://evil.example"), ("host", "127.0.0.1:3210")],
            &[("origin", "http://127.0.0.1:9999"), ("host", "127.0.0.1:3210")],
            &[("origin", "https://spool.example.evil"), ("host", "10.0.0.7")],
        ] {
            assert!(check_origin(&headers(bad), url).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn op_06_an_address_is_kept_as_its_network() {
        let network = |text: &str| network(Some(Peer(text.parse().unwrap())));
        assert_eq!(network("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(network("::ffff:192.0.2.77"), "192.0.2.0/24");
        assert_eq!(network("2001:db8:1:2::3"), "2001:db8:1::/48");
    }
}
