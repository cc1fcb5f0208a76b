//! `[audit]`: how long the trail is kept, and what it says of addresses.

use anyhow::{Result, bail};
use serde::Deserialize;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Days that entries are kept, 1 to 3650.
    pub retention_days: u64,
    /// How callers' addresses are noted.
    pub addresses: Addresses,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Addresses {
    /// As they are.
    Full,
    /// As a hash with a key of this installation: the same caller can be told, not where it is.
    #[default]
    Hash,
    None,
}

impl Default for Audit {
    fn default() -> Self {
        Self { retention_days: 365, addresses: Addresses::Hash }
    }
}

impl Audit {
    pub fn check(&self) -> Result<()> {
        if !(1..=3650).contains(&self.retention_days) {
            bail!("audit.retention_days: must be 1 to 3650");
        }
        Ok(())
    }
}
