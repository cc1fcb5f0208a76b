//! When a conversation of an application begins anew, as the configuration says. Values only.

use std::collections::BTreeMap;

/// The application of a caller that names none.
pub const DEFAULT_APP: &str = "assistant";
/// Inactivity after which the default application begins anew: a day.
const DAY_MS: u64 = 24 * 3_600_000;

/// What happens when a user comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowPolicy {
    /// Milliseconds without activity after which the next conversation is a new one; `None` is never.
    pub timeout_ms: Option<u64>,
    /// Whether front ends are to show the present window alone.
    pub hide_earlier: bool,
    /// Whether the next window is told what the one before was about.
    pub carry_summary: bool,
}

impl WindowPolicy {
    pub(crate) fn is_over(&self, last_activity_at: u64, now: u64) -> bool {
        self.timeout_ms.is_some_and(|timeout| now.saturating_sub(last_activity_at) >= timeout)
    }
}

/// The policies of the applications. One that is not named never begins anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows(pub BTreeMap<String, WindowPolicy>);

impl Default for Windows {
    fn default() -> Self {
        let policy = WindowPolicy { timeout_ms: Some(DAY_MS), hide_earlier: false, carry_summary: true };
        Self(BTreeMap::from([(DEFAULT_APP.to_owned(), policy)]))
    }
}

impl Windows {
    pub(crate) fn of(&self, app: &str) -> WindowPolicy {
        let forever = WindowPolicy { timeout_ms: None, hide_earlier: false, carry_summary: true };
        self.0.get(app).copied().unwrap_or(forever)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn se_04_a_window_is_over_at_its_time_out_and_one_without_never_is() {
        let windows = Windows::default();
        assert!(!windows.of(DEFAULT_APP).is_over(1_000, 1_000 + DAY_MS - 1));
        assert!(windows.of(DEFAULT_APP).is_over(1_000, 1_000 + DAY_MS));
        assert!(!windows.of("notes").is_over(0, u64::MAX));
        assert!(!windows.of(DEFAULT_APP).is_over(5_000, 1_000), "a clock that went back ends nothing");
    }
}
