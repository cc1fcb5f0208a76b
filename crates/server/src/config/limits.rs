//! `[limits]` and `[quotas]`: how much one caller may ask for, and how much one user may have.

use anyhow::{Result, bail};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

/// Requests of one principal or address.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Queries and other reads of a user.
    pub reads: Rate,
    /// Mutations, actions and uploads of a user, over HTTP and over the sync socket.
    pub writes: Rate,
    /// Requests under `/api/auth/` and refused credentials, per address.
    pub sign_in: Rate,
    /// Streams that a user opens, and sockets per address.
    pub streams: Rate,
    /// Everything that one service key asks for.
    pub services: Rate,
    /// Everything that comes from one address.
    pub address: Rate,
    /// TCP connections that one address has open at the same time, 1 to 1000000.
    pub connections_per_address: usize,
    /// Networks of proxies whose `X-Forwarded-For` is believed.
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Whether callers on this machine are never limited.
    pub exempt_loopback: bool,
}

/// A bucket that holds `burst` requests and gets `per_second` new ones.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// 0.001 to 1000000.
    pub per_second: f64,
    /// 1 to 1000000.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let rate = |per_second, burst| Rate { per_second, burst };
        Self {
            reads: rate(100.0, 1000),
            writes: rate(50.0, 500),
            sign_in: rate(2.0, 60),
            streams: rate(20.0, 200),
            services: rate(5000.0, 20_000),
            address: rate(500.0, 5000),
            connections_per_address: 1000,
            trusted_proxies: Vec::new(),
            exempt_loopback: true,
        }
    }
}

/// A network, or a single address.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let parse = |text: &String| {
        let network = text.parse::<IpNet>().ok().or_else(|| Some(text.parse::<std::net::IpAddr>().ok()?.into()));
        network.ok_or_else(|| {
            serde::de::Error::custom(format!("limits.trusted_proxies: {text} is no network like 10.0.0.0/8"))
        })
    };
    texts.iter().map(parse).collect()
}

impl Limits {
    pub fn check(&self) -> Result<()> {
        for (key, rate) in [
            ("limits.reads", self.reads),
            ("limits.writes", self.writes),
            ("limits.sign_in", self.sign_in),
            ("limits.streams", self.streams),
            ("limits.services", self.services),
            ("limits.address", self.address),
        ] {
            if !(0.001..=1_000_000.0).contains(&rate.per_second) {
                bail!("{key}.per_second: must be 0.001 to 1000000");
            }
            if !(1..=1_000_000).contains(&rate.burst) {
                bail!("{key}.burst: must be 1 to 1000000");
            }
        }
        if !(1..=1_000_000).contains(&self.connections_per_address) {
            bail!("limits.connections_per_address: must be 1 to 1000000");
        }
        Ok(())
    }
}

/// What one user may have and use. 0 is without limit.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quotas {
    /// Tokens of models, in and out, in a calendar month (UTC).
    pub tokens_per_month: u64,
    /// Threads that are not removed.
    pub threads: u64,
    /// Bytes of files and artifacts.
    pub storage_bytes: u64,
}

impl Quotas {
    pub fn settings(&self) -> spool_chat::Quotas {
        let limit = |value: u64| Some(value).filter(|value| *value > 0);
        spool_chat::Quotas {
            tokens_per_month: limit(self.tokens_per_month),
            threads: limit(self.threads),
            storage_bytes: limit(self.storage_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    #[test]
    fn op_09_each_mistake_of_the_limits_is_named_with_its_key() {
        for (text, names) in [
            ("[limits]\nwrites = { per_second = 0, burst = 1 }", "limits.writes.per_second"),
            ("[limits]\nreads = { per_second = 1, burst = 0 }", "limits.reads.burst"),
            ("[limits]\nconnections_per_address = 0", "limits.connections_per_address"),
            ("[limits]\ntrusted_proxies = [\"nobody\"]", "limits.trusted_proxies"),
            ("[quotas]\ntokens = 5", "tokens"),
        ] {
            let error = format!("{:#}", load(text, &[]).unwrap_err());
            assert!(error.contains(names), "{error}");
        }
        let config = load("[limits]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]", &[]).unwrap();
        assert_eq!(config.limits.trusted_proxies.len(), 2);
    }
}
