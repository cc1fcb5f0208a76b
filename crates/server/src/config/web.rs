//! `[cors]` and `[security]`: what browsers are told.

use anyhow::{Result, bail};
use serde::Deserialize;

/// Which sites may call from a browser.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    /// Origins like `https://app.example.com`. Those named may send cookies, too. `*` is every other one,
    /// without cookies: what it sends by itself is nobody's.
    pub origins: Vec<String>,
}

impl Default for Cors {
    fn default() -> Self {
        Self { origins: vec!["*".to_owned()] }
    }
}

impl Cors {
    /// Whether the origin is named.
    pub fn names(&self, origin: &str) -> bool {
        origin != "*" && self.origins.iter().any(|named| named == origin)
    }

    /// Whether the origin may call at all.
    pub fn admits(&self, origin: &str) -> bool {
        self.origins.iter().any(|named| named == "*" || named == origin)
    }

    pub fn check(&self) -> Result<()> {
        for (at, origin) in self.origins.iter().enumerate() {
            let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            let bare = rest.is_some_and(|host| {
                !host.is_empty() && !host.contains(['/', '?', '#', '*', '@']) && !host.contains(char::is_whitespace)
            });
            // Browsers write it so, and it is compared to the letter.
            if origin != "*" && !(bare && *origin == origin.to_ascii_lowercase()) {
                bail!(
                    "cors.origins[{at}]: must be an origin like https://app.example.com, in lower case and without a path, or *"
                );
            }
        }
        Ok(())
    }
}

/// Headers of all answers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// Seconds for which browsers shall come back by TLS alone, 0 to 63072000. Only behind a proxy that
    /// serves TLS: 0, the default, says nothing.
    pub hsts_seconds: u64,
    /// Whether the UI shows images of other sites. A model that was talked into it can put what it knows
    /// into the address of an image, so the default is not to.
    pub remote_images: bool,
}

impl Security {
    pub fn check(&self) -> Result<()> {
        if self.hsts_seconds > 63_072_000 {
            bail!("security.hsts_seconds: must be 0 to 63072000");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;

    #[test]
    fn ht_05_origins_are_origins_and_cookies_are_for_the_named() {
        for bad in ["app.example.com", "https://a/b", "https://*.example.com", "https://A.example", "https://", "null"]
        {
            let error = format!("{:#}", load(&format!("[cors]\norigins = [{bad:?}]"), &[]).unwrap_err());
            assert!(error.contains("cors.origins[0]"), "{bad}: {error}");
        }
        let cors = load("[cors]\norigins = [\"https://app.example\", \"*\"]", &[]).unwrap().cors;
        assert!(cors.names("https://app.example") && !cors.names("https://other.example") && !cors.names("*"));
        assert!(cors.admits("https://other.example"));
        let only = load("[cors]\norigins = [\"https://app.example\"]", &[]).unwrap().cors;
        assert!(!only.admits("https://other.example") && !only.admits("https://app.example.evil"));
        assert!(load("[security]\nhsts_seconds = 99999999", &[]).is_err());
    }
}
