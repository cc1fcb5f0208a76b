//! What was written for a reader, handed to its connection in portions, and whether it takes them.
//!
//! hyper copies what it is given into a buffer that never shrinks, so a page given whole would be held for as long
//! as the connection lasts. And only who sees each portion go sees whether the reader takes anything.

use std::time::Duration;

use axum::body::Bytes;
use tokio::time::Instant;

/// How long a reader may leave unread what was written for it while more is there.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// What is handed over at once. A connection asks for more as soon as it has room for it.
const PORTION: usize = 16 << 10;

pub struct Portions {
    rest: Bytes,
    handed_at: Instant,
    slow: bool,
}

impl Portions {
    pub fn new() -> Self {
        Self { rest: Bytes::new(), handed_at: Instant::now(), slow: false }
    }

    /// The first portion of `page`.
    pub fn begin(&mut self, page: Bytes) -> Bytes {
        self.rest = page;
        self.cut()
    }

    /// To be called when the connection asks for more: the next portion of the page, if there is one.
    pub fn next(&mut self) -> Option<Bytes> {
        self.slow |= self.handed_at.elapsed() > PATIENCE;
        (!self.rest.is_empty()).then(|| self.cut())
    }

    /// Whether the reader has left a portion for too long.
    pub fn is_slow(&self) -> bool {
        self.slow
    }

    fn cut(&mut self) -> Bytes {
        self.handed_at = Instant::now();
        self.rest.split_to(self.rest.len().min(PORTION))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn st_18_a_page_goes_out_in_portions_and_nothing_of_it_is_kept() {
        let page = Bytes::from("x".repeat(3 * PORTION + 1));
        let mut portions = Portions::new();
        let mut taken = vec![portions.begin(page.clone())];
        taken.extend(std::iter::from_fn(|| portions.next()));
        assert_eq!(taken.iter().map(Bytes::len).collect::<Vec<_>>(), [PORTION, PORTION, PORTION, 1]);
        assert_eq!(taken.concat(), page);
        drop(taken);
        assert!(page.is_unique(), "the portions hold no page");
    }

    #[test]
    fn st_18_a_reader_is_slow_that_leaves_one_portion_and_not_one_that_takes_long_for_a_page() {
        let mut portions = Portions::new();
        portions.begin(Bytes::from("x".repeat(4 * PORTION)));
        let pass = |portions: &mut Portions, time| portions.handed_at = portions.handed_at.checked_sub(time).unwrap();
        for _ in 0..2 {
            pass(&mut portions, PATIENCE / 2);
            assert!(portions.next().is_some() && !portions.is_slow());
        }
        pass(&mut portions, PATIENCE + Duration::from_secs(1));
        assert!(portions.next().is_some() && portions.is_slow());
        assert!(portions.next().is_none() && portions.is_slow(), "it stays known until the page is over");
    }
}
