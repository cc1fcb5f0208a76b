//! What others may be shown of a thread: the section `[sharing]`.

use serde::Deserialize;

use super::Config;

/// Shares of threads.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sharing {
    /// Whether threads can be shared by link. With `off` links that exist open nothing, until it is `on` again.
    /// Default: `on` on loopback, where nobody else can open one, else `off`.
    pub links: Option<Links>,
    /// The longest life of a share in days, 0 to 3650; 0 is for ever.
    pub max_days: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Links {
    Off,
    On,
}

impl Config {
    /// Whether links are made and opened.
    pub fn share_links(&self) -> bool {
        let default = if self.listen.ip().is_loopback() { Links::On } else { Links::Off };
        self.sharing.links.unwrap_or(default) == Links::On
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::load;

    #[test]
    fn sh_01_links_are_off_where_others_could_open_them_unless_configured() {
        let links = |text: &str| load(text, &[]).unwrap().share_links();
        assert!(links("listen = \"127.0.0.1:1\""));
        assert!(!links("listen = \"0.0.0.0:1\""));
        assert!(links("listen = \"0.0.0.0:1\"\n[sharing]\nlinks = \"on\""));
        assert!(!links("[sharing]\nlinks = \"off\""));
        let mistake = format!("{:#}", load("[sharing]\nmax_days = 4000", &[]).unwrap_err());
        assert!(mistake.contains("sharing.max_days"), "{mistake}");
    }
}
