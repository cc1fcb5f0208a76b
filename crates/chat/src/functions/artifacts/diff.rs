//! What changed between two versions, by lines.
//!
//! Bounded whatever the texts are, and without a clock, so that the same texts always give the same result: of
//! two texts that differ in very many lines, everything between the lines that they share at both ends counts as
//! changed; and what is told of it is cut.

use std::fmt;

use imara_diff::{Algorithm, BasicLineDiffPrinter, InternedInput, UnifiedDiffConfig, UnifiedDiffPrinter as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::Result;
use spool_store::{Id, Tx};

use super::{content_of, version_of};
use crate::context::CallContext;
use crate::limits;
use crate::owned;
use crate::tables::Artifact;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Diff {
    pub artifact_id: Id<Artifact>,
    pub from: u64,
    pub to: u64,
}

/// The difference between two versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    pub from: u64,
    pub to: u64,
    /// Lines that only `to` has, and lines that only `from` has.
    pub added: u64,
    pub removed: u64,
    /// Hunks as `diff -u` writes them, without the names of files. Empty if the texts are the same.
    pub unified: String,
    /// Whether `unified` was cut, because it is too long.
    pub truncated: bool,
}

/// `artifacts:diff`
pub fn diff(tx: &mut Tx<'_>, ctx: &CallContext, args: Diff) -> Result<Difference> {
    let (_, artifact) = owned::artifact(tx, &ctx.principal, &args.artifact_id)?;
    let from = version_of(tx, &artifact, args.from)?;
    let to = version_of(tx, &artifact, args.to)?;
    if from.content_hash == to.content_hash {
        let (from, to) = (from.version, to.version);
        return Ok(Difference { from, to, added: 0, removed: 0, unified: String::new(), truncated: false });
    }
    let (before, after) = (content_of(tx, &from)?, content_of(tx, &to)?);
    Ok(Difference { from: from.version, to: to.version, ..compare(&before, &after, limits::DIFF_BYTES) })
}

fn compare(before: &str, after: &str, most: usize) -> Difference {
    let input = InternedInput::new(before, after);
    let printer = BasicLineDiffPrinter(&input.interner);
    let mut cut = Cut { text: String::new(), most, truncated: false };
    let (old, new) = (&input.before[..], &input.after[..]);
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let end = old[start..].iter().rev().zip(new[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (gone, come) = (&old[start..old.len() - end], &new[start..new.len() - end]);
    // In both branches the only error is that of the cut itself.
    let (added, removed) = if !gone.is_empty() && !come.is_empty() && gone.len() + come.len() > limits::DIFF_LINES {
        let (removed, added) = (count(gone.len()), count(come.len()));
        let at = count(start);
        let _ = printer
            .display_header(&mut cut, at, at, removed, added)
            .and_then(|()| printer.display_hunk(&mut cut, gone, come));
        (added, removed)
    } else {
        let mut changes = imara_diff::Diff::compute(Algorithm::Histogram, &input);
        changes.postprocess_lines(&input);
        let shown = changes.unified_diff(&printer, UnifiedDiffConfig::default(), &input);
        let _ = fmt::Write::write_fmt(&mut cut, format_args!("{shown}"));
        (changes.count_additions(), changes.count_removals())
    };
    let (added, removed) = (u64::from(added), u64::from(removed));
    Difference { from: 0, to: 0, added, removed, unified: cut.text, truncated: cut.truncated }
}

/// Texts have fewer lines than bytes, and those are bounded far below.
fn count(lines: usize) -> u32 {
    u32::try_from(lines).unwrap_or(u32::MAX)
}

/// Takes text up to a number of bytes, and then ends the writing.
struct Cut {
    text: String,
    most: usize,
    truncated: bool,
}

impl fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = text.floor_char_boundary(self.most - self.text.len());
        self.text.push_str(&text[..room]);
        self.truncated = room < text.len();
        if self.truncated { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ar_02_a_difference_reads_as_everywhere() {
        let before = "one\ntwo\nthree\nfour\nfive\n";
        let found = compare(before, "one\ntwo\n3\nfour\nfive\nsix\n", 1_000);
        assert_eq!((found.added, found.removed, found.truncated), (2, 1, false));
        assert_eq!(found.unified, "@@ -1,5 +1,6 @@\n one\n two\n-three\n+3\n four\n five\n+six\n");
    }

    #[test]
    fn ar_02_a_long_difference_is_cut_between_characters() {
        let found = compare("", &"ä".repeat(1_000), 101);
        assert!(found.truncated && found.unified.len() <= 101 && found.unified.ends_with('ä'), "{}", found.unified);
    }

    /// Each far beyond what an algorithm with a square in it could do in a test: lines with little in common,
    /// lines that are nearly all the same, and a single one.
    #[test]
    fn ar_07_large_texts_are_compared_in_bounded_time() {
        let lines = |step: u64| (0..100_000_u64).map(|at| format!("{}\n", at * step)).collect::<String>();
        for (before, after) in [
            (lines(3), lines(7)),
            ("a\nb\n".repeat(1 << 17), "b\na\nb\n".repeat(1 << 17)),
            ("a\nb\n".repeat(4_000), "b\na\nb\n".repeat(3_000)),
            ("x".repeat(4 << 20), "y".repeat(4 << 20)),
            (String::new(), lines(3)),
        ] {
            let found = compare(&before, &after, limits::DIFF_BYTES);
            assert_eq!(before.lines().count() as u64 + found.added, after.lines().count() as u64 + found.removed);
            assert!(found.unified.len() <= limits::DIFF_BYTES && found.unified.starts_with("@@ -"));
        }
    }

    proptest! {
        /// What the counts say fits the number of lines of both texts.
        #[test]
        fn ar_02_counts_fit_the_lines(before in "([ab]\n){0,20}", after in "([ab]\n){0,20}") {
            let found = compare(&before, &after, 10_000);
            let lines = |text: &str| text.lines().count() as u64;
            prop_assert_eq!(lines(&before) + found.added, lines(&after) + found.removed);
            prop_assert_eq!(found.unified.is_empty(), before == after);
        }
    }
}
