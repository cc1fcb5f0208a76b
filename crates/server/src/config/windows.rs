//! `[windows.<app>]` and `[summaries]`: when conversations begin anew, and what is kept of them in short.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::Deserialize;
use spool_chat::summary::SummaryPolicy;
use spool_chat::windows::{DEFAULT_APP, WindowPolicy, Windows};

/// How the conversations of one application begin anew.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Window {
    /// Minutes without activity after which the next conversation is a new one, 0.01 to 525600; 0 is never.
    pub timeout_minutes: f64,
    /// Front ends show the present conversation alone; earlier ones stay in `windows:page`.
    pub hide_earlier: bool,
    /// The new conversation is told what the one before was about.
    pub carry_summary: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self { timeout_minutes: 1440.0, hide_earlier: false, carry_summary: true }
    }
}

/// Summaries of the older messages of a conversation.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Summaries {
    /// More complete messages than this that are in no summary make one due, 0 to 100; 0 makes none at all.
    pub after: usize,
    /// The newest complete messages, which stay as they are, 0 to `after`.
    pub keep: usize,
    /// Longest summary in tokens, estimated, 50 to 4000.
    pub max_tokens: u64,
    /// The model that makes them. Default: the one of the conversation.
    pub model: Option<String>,
    /// Seconds that the first answer of a new window waits for the summary of the one before, 0 to 120.
    pub wait_seconds: u64,
}

impl Default for Summaries {
    fn default() -> Self {
        let SummaryPolicy { after, keep, max_tokens, model, wait_ms } = SummaryPolicy::default();
        Self { after, keep, max_tokens, model, wait_seconds: wait_ms / 1000 }
    }
}

impl Summaries {
    pub fn check(&self) -> Result<()> {
        let checks = [
            ("summaries.after", self.after <= 100, "0 to 100"),
            ("summaries.keep", self.keep <= self.after, "0 to summaries.after"),
            ("summaries.max_tokens", (50..=4000).contains(&self.max_tokens), "50 to 4000"),
            ("summaries.wait_seconds", self.wait_seconds <= 120, "0 to 120"),
        ];
        for (key, valid, range) in checks {
            if !valid {
                bail!("{key}: must be {range}");
            }
        }
        Ok(())
    }

    pub fn settings(&self) -> SummaryPolicy {
        SummaryPolicy {
            after: self.after,
            keep: self.keep,
            max_tokens: self.max_tokens,
            model: self.model.clone(),
            wait_ms: self.wait_seconds * 1000,
        }
    }
}

/// Checks what is given of each application.
pub fn check(windows: &BTreeMap<String, Window>) -> Result<()> {
    for (app, window) in windows {
        let minutes = window.timeout_minutes;
        if minutes != 0.0 && !(0.01..=525_600.0).contains(&minutes) {
            bail!("windows.{app}.timeout_minutes: must be 0, or 0.01 to 525600");
        }
    }
    Ok(())
}

/// What functions know of it. The application of callers that name none has windows even if nobody says so.
pub fn settings(windows: &BTreeMap<String, Window>) -> Windows {
    let mut windows = windows.clone();
    windows.entry(DEFAULT_APP.to_owned()).or_default();
    let policy = |window: Window| WindowPolicy {
        timeout_ms: Some((window.timeout_minutes * 60_000.0).round() as u64).filter(|ms| *ms > 0),
        hide_earlier: window.hide_earlier,
        carry_summary: window.carry_summary,
    };
    Windows(windows.into_iter().map(|(app, window)| (app, policy(window))).collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;
    use super::*;

    #[test]
    fn se_04_each_application_has_its_own_time_out_and_the_default_one_a_day() {
        let text =
            "[windows.desk]\ntimeout_minutes = 60\nhide_earlier = true\n[windows.assistant]\ncarry_summary = false";
        let windows = settings(&load(text, &[]).unwrap().windows);
        assert_eq!(windows.0["desk"].timeout_ms, Some(3_600_000));
        assert!(windows.0["desk"].hide_earlier && windows.0["desk"].carry_summary);
        assert_eq!(windows.0["assistant"].timeout_ms, Some(86_400_000));
        assert!(!windows.0["assistant"].carry_summary);
        assert_eq!(settings(&BTreeMap::new()), Windows::default());
        let never = settings(&load("[windows.assistant]\ntimeout_minutes = 0", &[]).unwrap().windows);
        assert_eq!(never.0["assistant"].timeout_ms, None);
    }

    #[test]
    fn op_09_a_mistake_in_windows_and_summaries_is_named_with_its_key() {
        for (text, names) in [
            ("[windows.desk]\ntimeout_minutes = -1", "windows.desk.timeout_minutes"),
            ("[windows.desk]\ntimeout = 1", "timeout"),
            ("[summaries]\nafter = 5\nkeep = 6", "summaries.keep"),
            ("[summaries]\nafter = 101", "summaries.after"),
            ("[summaries]\nmax_tokens = 5", "summaries.max_tokens"),
            ("[summaries]\nwait_seconds = 121", "summaries.wait_seconds"),
        ] {
            let error = format!("{:#}", load(text, &[]).unwrap_err());
            assert!(error.contains(names), "{error}");
        }
    }
}
