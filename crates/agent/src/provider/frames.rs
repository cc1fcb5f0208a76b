//! Server-sent events out of bytes as they arrive (WHATWG HTML, 9.2.6).
//!
//! Owns the cutting into lines and events. Providers say everything in the data of an event, so that is all
//! that is kept of one. Must never know what the data means.

use std::ops::Range;
use std::str::Utf8Error;

const MARK: &[u8] = "\u{FEFF}".as_bytes();

/// What was received of one stream and not yet read. Its memory is used again for each event.
#[derive(Debug, Default)]
pub(super) struct Frames {
    received: Vec<u8>,
    /// Where the next line begins.
    at: usize,
    /// Up to here there is no end of that line.
    searched: usize,
    /// The last line ended in a carriage return; a line feed behind it belongs to it.
    returned: bool,
    /// Whether the place of a byte order mark is passed.
    begun: bool,
    /// The data of the event that is being read, a line feed after each of its lines.
    data: Vec<u8>,
    /// Whether that event was handed out.
    told: bool,
}

impl Frames {
    pub fn push(&mut self, bytes: &[u8]) {
        self.received.drain(..self.at);
        self.searched -= self.at;
        self.at = 0;
        self.received.extend_from_slice(bytes);
    }

    /// Bytes that wait for the end of their event.
    pub fn held(&self) -> usize {
        self.received.len() - self.at + self.data.len()
    }

    /// The data of the next event; `None` until more of it is received.
    pub fn next(&mut self) -> Option<Result<&str, Utf8Error>> {
        if std::mem::take(&mut self.told) {
            self.data.clear();
        }
        while let Some(line) = self.line() {
            let line = &self.received[line];
            if let Some(value) = data(line) {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
            } else if line.is_empty() && self.data.pop().is_some() {
                self.told = true;
                return Some(std::str::from_utf8(&self.data));
            }
        }
        None
    }

    /// The next line, without its end.
    fn line(&mut self) -> Option<Range<usize>> {
        if !self.begun {
            let start = &self.received[..self.received.len().min(MARK.len())];
            if start == MARK {
                (self.at, self.searched) = (MARK.len(), MARK.len());
            } else if MARK.starts_with(start) {
                return None;
            }
            self.begun = true;
        }
        if self.returned && self.at < self.received.len() {
            self.returned = false;
            self.at += usize::from(self.received[self.at] == b'\n');
            self.searched = self.at;
        }
        let Some(length) = memchr::memchr2(b'\n', b'\r', &self.received[self.searched..]) else {
            self.searched = self.received.len();
            return None;
        };
        let line = self.at..self.searched + length;
        self.returned = self.received[line.end] == b'\r';
        self.at = line.end + 1;
        self.searched = self.at;
        Some(line)
    }
}

/// The value of a line that is a field named `data`.
fn data(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of `text`, received in pieces of `size` bytes.
    fn events(text: &str, size: usize) -> Vec<String> {
        let (mut frames, mut events) = (Frames::default(), Vec::new());
        for piece in text.as_bytes().chunks(size) {
            frames.push(piece);
            while let Some(event) = frames.next() {
                events.push(event.unwrap().to_owned());
            }
        }
        events
    }

    #[test]
    fn events_are_the_same_however_their_bytes_arrive() {
        let text = "\u{FEFF}data: one\n\ndata:two\r\n\r\ndata: é\rdata\rdata:  4\r\r\
                    : comment\nevent: x\nid: 7\ndata: last\n\n";
        for size in 1..=text.len() {
            assert_eq!(events(text, size), ["one", "two", "é\n\n 4", "last"], "pieces of {size}");
        }
    }

    #[test]
    fn what_has_no_data_or_no_end_is_no_event() {
        assert_eq!(events("\n\n: nothing\n\nevent: ping\n\ndatabase: 1\n\ndata: torn\n", 5), [""; 0]);
        assert_eq!(events("data:\n\n", 3), [""]);
    }

    #[test]
    fn events_that_were_read_are_not_held() {
        let mut frames = Frames::default();
        frames.push(b"data: a\n\ndata: b");
        assert_eq!(frames.next(), Some(Ok("a")));
        assert_eq!(frames.next(), None);
        assert_eq!(frames.held(), "data: b".len());
        frames.push(b"\xFF\n\n");
        assert!(frames.next().unwrap().is_err());
        assert_eq!(frames.next(), None);
        assert_eq!(frames.held(), 0);
    }
}
