//! The text of one message to a client: what is its own, and results that it shares with all who are told of
//! them. Whoever takes it slowly holds a place in it and no copy.

use std::sync::Arc;

/// Results below this size are copied: a piece of their own would cost more.
const COPIED_BYTES: usize = 4 << 10;

#[derive(Debug, Clone, Default)]
pub struct Text {
    pieces: Vec<Piece>,
    len: usize,
}

#[derive(Debug, Clone)]
enum Piece {
    Own(String),
    Shared(Arc<str>),
}

impl Piece {
    fn as_str(&self) -> &str {
        match self {
            Piece::Own(text) => text,
            Piece::Shared(text) => text,
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { len: text.len(), pieces: vec![Piece::Own(text)] }
    }
}

impl Text {
    /// Its bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn push(&mut self, text: &str) {
        self.len += text.len();
        match self.pieces.last_mut() {
            Some(Piece::Own(own)) => own.push_str(text),
            _ => self.pieces.push(Piece::Own(text.to_owned())),
        }
    }

    pub fn share(&mut self, text: &Arc<str>) {
        if text.len() < COPIED_BYTES {
            return self.push(text);
        }
        self.len += text.len();
        self.pieces.push(Piece::Shared(Arc::clone(text)));
    }

    /// The text in strings of at most `max_bytes`, at least 4, cut between characters.
    pub fn cuts(&self, max_bytes: usize) -> Cuts<'_> {
        Cuts { pieces: &self.pieces, at: 0, max_bytes }
    }
}

/// See [`Text::cuts`].
#[derive(Debug)]
pub struct Cuts<'a> {
    pieces: &'a [Piece],
    /// How much of the first piece is cut off already.
    at: usize,
    max_bytes: usize,
}

impl Iterator for Cuts<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut cut = String::new();
        while let Some((piece, rest)) = self.pieces.split_first() {
            let unread = piece.as_str().get(self.at..).unwrap_or_default();
            let end = floor(unread, self.max_bytes - cut.len());
            cut.push_str(unread.get(..end).unwrap_or_default());
            if end < unread.len() {
                self.at += end;
                break;
            }
            (self.pieces, self.at) = (rest, 0);
        }
        (!cut.is_empty()).then_some(cut)
    }
}

/// The last place between two characters of `text` that is not beyond `max`.
fn floor(text: &str, max: usize) -> usize {
    let max = max.min(text.len());
    (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_join_to_the_text_are_small_and_respect_characters() {
        let large: Arc<str> = "aé€😀".repeat(COPIED_BYTES).into();
        let mut text = Text::from("own ".to_owned());
        text.share(&"small ".into());
        text.share(&large);
        text.share(&large);
        text.push(" end");
        assert_eq!(text.pieces.len(), 4);
        let whole = format!("own small {large}{large} end");
        for max in [4, 7, 1_000, usize::MAX] {
            let cuts: Vec<String> = text.cuts(max).collect();
            assert!(cuts.iter().all(|cut| cut.len() <= max));
            assert_eq!((cuts.concat().as_str(), text.len()), (whole.as_str(), whole.len()));
        }
        assert_eq!(Text::default().cuts(9).count(), 0);
    }
}
