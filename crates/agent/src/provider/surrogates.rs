//! Joins characters that a provider cut in half.
//!
//! Servers written in UTF-16 languages cut text between the two halves of an emoji, and send each half
//! as an escape (`"\ud83d"`, then `"\ude00"`) that is no text by itself. A half at the end of a string
//! is kept and put in front of the next string that begins with its other half.

use std::borrow::Cow;

/// Remembers a half between two frames of one stream.
#[derive(Debug, Default)]
pub(super) struct Surrogates {
    /// A high surrogate's escape, six characters.
    pending: Option<String>,
}

impl Surrogates {
    /// The JSON text with every surrogate paired. A half that never meets its other becomes U+FFFD.
    pub fn mend<'a>(&mut self, json: &'a str) -> Cow<'a, str> {
        if !json.contains('\\') || (!json.contains("\\ud") && !json.contains("\\uD")) {
            return Cow::Borrowed(json);
        }
        let mut out = String::with_capacity(json.len() + 6);
        let mut rest = json;
        while let Some(at) = rest.find('\\') {
            let (plain, escape) = rest.split_at(at);
            out.push_str(plain);
            let length = if escape[1..].starts_with('u') { 6 } else { 2 };
            // Torn JSON is the parser's to refuse.
            let Some((escape, tail)) = escape.split_at_checked(length) else { return Cow::Borrowed(json) };
            rest = tail;
            match unit(escape) {
                Some(0xD800..=0xDBFF) => rest = self.high(escape, tail, &mut out),
                Some(0xDC00..=0xDFFF) => match self.pending.take().filter(|_| out.ends_with('"')) {
                    Some(high) => out.extend([high.as_str(), escape]),
                    None => out.push('\u{FFFD}'),
                },
                _ => out.push_str(escape),
            }
        }
        out.push_str(rest);
        Cow::Owned(out)
    }

    fn high<'a>(&mut self, high: &str, tail: &'a str, out: &mut String) -> &'a str {
        if let Some((low, rest)) =
            tail.split_at_checked(6).filter(|(low, _)| matches!(unit(low), Some(0xDC00..=0xDFFF)))
        {
            out.extend([high, low]);
            return rest;
        }
        if tail.starts_with('"') {
            self.pending = Some(high.to_owned());
        } else {
            out.push('\u{FFFD}');
        }
        tail
    }
}

/// The UTF-16 unit of a `\uXXXX` escape.
fn unit(escape: &str) -> Option<u16> {
    u16::from_str_radix(escape.strip_prefix("\\u")?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(frames: &[&str]) -> String {
        let mut surrogates = Surrogates::default();
        frames.iter().map(|frame| serde_json::from_str::<String>(&surrogates.mend(frame)).unwrap()).collect()
    }

    #[test]
    fn st_15_halves_in_two_frames_join() {
        assert_eq!(texts(&[r#""a\ud83d""#, r#""\ude00b""#]), "a😀b");
        assert_eq!(texts(&[r#""\uD83D""#, r#""\uDE80\ud83d""#, r#""\ude00""#]), "🚀😀");
    }

    #[test]
    fn whole_characters_and_other_escapes_stay_as_they_are() {
        assert_eq!(texts(&[r#""\ud83d\ude00 \n \\ud83d \" é \u00e9""#]), "😀 \n \\ud83d \" é é");
    }

    #[test]
    fn a_half_that_meets_nothing_is_replaced_and_breaks_nothing() {
        assert_eq!(texts(&[r#""\ude00a""#]), "\u{FFFD}a");
        assert_eq!(texts(&[r#""a\ud83db""#]), "a\u{FFFD}b");
        assert_eq!(texts(&[r#""a\ud83d""#, r#""b""#, r#""\n\ude00""#]), "ab\n\u{FFFD}");
    }
}
