//! Text as events: what a reader of events cannot be told in two parts waits for its rest. Pure.

/// What comes behind some bytes of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// What is held back is told as it is.
    Nothing,
    NothingYet,
    More,
}

/// What one connection holds back between two events.
#[derive(Debug, Default)]
pub struct Text {
    /// The beginning of a character, or of a line's end while its rest is there already.
    held: Vec<u8>,
    /// Whether a CR was told last. An LF behind it is the rest of the same line's end.
    after_cr: bool,
}

impl Text {
    /// Bytes that were taken and not told yet.
    pub fn held(&self) -> u64 {
        self.held.len() as u64
    }

    /// What can be told now: appends and pages may cut a character or a CR LF in two. Bytes that are no text cannot
    /// be said in an event; docs/durable-streams.md tells what becomes of them.
    pub fn take(&mut self, bytes: Vec<u8>, behind: Behind) -> String {
        let mut all = std::mem::take(&mut self.held);
        if all.is_empty() {
            all = bytes
        } else {
            all.extend_from_slice(&bytes)
        }
        if behind != Behind::Nothing {
            self.held = all.split_off(whole(&all, behind == Behind::More));
        }
        let Some(last) = all.last() else { return String::new() };
        let rest_of_line_end = self.after_cr && all.starts_with(b"\n");
        self.after_cr = *last == b'\r';
        String::from_utf8_lossy(&all[usize::from(rest_of_line_end)..]).into_owned()
    }
}

/// Up to where `bytes` can be told. A character has four bytes at most; one that cannot become any is whole.
fn whole(bytes: &[u8], more_follows: bool) -> usize {
    let tail = bytes.len().saturating_sub(4);
    let last = bytes[tail..].iter().rposition(|byte| byte & 0xC0 != 0x80).map_or(bytes.len(), |at| tail + at);
    let is_cut = std::str::from_utf8(&bytes[last..]).is_err_and(|error| error.error_len().is_none());
    if is_cut || (more_follows && bytes[last..] == *b"\r") { last } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of these pieces, one after the other, and then of the end.
    fn told(pieces: &[&[u8]], behind: Behind) -> Vec<String> {
        let mut text = Text::default();
        let mut told: Vec<String> = pieces.iter().map(|piece| text.take(piece.to_vec(), behind)).collect();
        told.push(text.take(Vec::new(), Behind::Nothing));
        assert_eq!(text.held(), 0);
        told
    }

    #[test]
    fn no_cut_loses_or_breaks_a_character() {
        let whole = "a\ré\r\n💥\r";
        let expected = whole.replace("\r\n", "\r");
        for behind in [Behind::NothingYet, Behind::More] {
            for first in 0..=whole.len() {
                for second in first..=whole.len() {
                    let bytes = whole.as_bytes();
                    let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                    // However a line's end is told, it is one.
                    let joined = told(&pieces, behind).concat().replace("\r\n", "\r");
                    assert_eq!(joined, expected, "{first} {second} {behind:?}");
                }
            }
        }
    }

    #[test]
    fn a_cut_character_behind_a_line_end_is_not_confused_with_it() {
        assert_eq!(told(&[b"a\r\xc3", b"\xa9"], Behind::More), ["a\r", "é", ""]);
    }

    #[test]
    fn what_never_gets_its_rest_is_told_at_the_end() {
        assert_eq!(told(&[b"a\xc3"], Behind::NothingYet), ["a", "\u{FFFD}"]);
        assert_eq!(told(&[b"a\r"], Behind::More), ["a", "\r"]);
        // What is no beginning of a character waits for nothing.
        assert_eq!(told(&[b"a\xff"], Behind::NothingYet), ["a\u{FFFD}", ""]);
    }

    #[test]
    fn a_line_end_that_is_told_in_two_parts_is_one() {
        assert_eq!(
            told(&[b"a\r", b"\n", b"\nb\r", b"\n", b"\n"], Behind::NothingYet),
            ["a\r", "", "\nb\r", "", "\n", ""]
        );
        assert_eq!(told(&[b"a\r", b"\nb"], Behind::More), ["a", "\r\nb", ""]);
    }
}
