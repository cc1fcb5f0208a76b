//! Seeded randomness, and what it does to bytes, texts and JSON. Knows nothing of what they mean.

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use serde_json::{Map, Value, json};

/// Texts that parsers stumble over.
const TEXTS: &[&str] = &[
    "",
    " ",
    "\0",
    "\u{7f}",
    "\u{202e}",
    "💥",
    "é\u{301}",
    "null",
    "true",
    "-1",
    "0",
    "00",
    "+1",
    "1e3",
    "0x10",
    "١",
    "now",
    "9007199254740991",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
    "0000000000000000_0000000000000000",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
    "2026-02-30T25:61:61+99:99",
    "..",
    "../../etc/passwd",
    "%00",
    "%ff%fe",
    "%",
    "%2e%2e%2f",
    "a,b;c=\"d",
    "W/\"x\"",
    "*",
    "text/plain",
    "application/json",
    "http://[::1",
    "https://hook.invalid/",
    "data:;base64,",
    "data:text/plain;base64,YQ==",
    "constructor",
    "__proto__",
    "$undefined",
    "_id",
];

/// Pieces of JSON that no [`Value`] can hold, or that mean something to this server.
const PIECES: &[&str] = &[
    "\\ud800",
    "\\u0000",
    "\\",
    "\"",
    "1e999",
    "-0",
    "1.0000000000000000000000001",
    "{\"$integer\":\"AAAAAAAAAAA=\"}",
    "{\"$float\":\"AAAAAAAA+H8=\"}",
    "{\"$bytes\":\"!\"}",
    "{\"$x\":1}",
    "{\"a\":1,\"a\":2}",
    "[[[[[[[[[[[[[[[[",
    "{\"type\":",
    ",",
    "}",
    "]",
    "\u{feff}",
    "\r\n\r\n",
    "\n",
];

pub struct Dice {
    random: StdRng,
    /// Texts of the server under test that are worth trying elsewhere: ids, names, tokens.
    pub known: Vec<String>,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), known: Vec::new() }
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.random.random_range(0..end)
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    pub fn text(&mut self) -> String {
        match self.below(10) {
            0 => "x".repeat(1 << self.below(14)),
            1 => self.random.next_u64().to_string(),
            2..5 if !self.known.is_empty() => self.known(),
            5 if !self.known.is_empty() => {
                let mut id = self.known().into_bytes();
                self.bytes(&mut id);
                String::from_utf8_lossy(&id).into_owned()
            }
            _ => self.pick(TEXTS).to_owned(),
        }
    }

    fn known(&mut self) -> String {
        let at = self.below(self.known.len());
        self.known[at].clone()
    }

    /// Changes bytes in one place.
    pub fn bytes(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        let to = (at + self.below(16)).min(bytes.len());
        match self.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            1 if at < bytes.len() => bytes[at] = self.random.random(),
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..to)),
            4 => {
                let again = bytes[at..to].to_vec();
                bytes.splice(at..at, again);
            }
            5 => drop(bytes.splice(at..at, self.pick(PIECES).bytes())),
            _ => {
                let text = self.text();
                bytes.splice(at..at, text.into_bytes());
            }
        }
    }

    /// Any value, mostly small ones that are out of place.
    pub fn value(&mut self) -> Value {
        match self.below(16) {
            0 => Value::Null,
            1 => json!(self.one_in(2)),
            2 => json!(-1),
            3 => json!(self.below(3)),
            4 => json!(9_007_199_254_740_993_u64),
            5 => json!(u64::MAX),
            6 => json!(i64::MIN),
            7 => json!(1e308),
            8 => json!(0.5),
            9 => json!([]),
            10 => json!({}),
            11 => (0..self.below(200)).fold(Value::Null, |inner, _| json!([inner])),
            12 => json!({ "$integer": "AAAAAAAAAAA=" }),
            _ => json!(self.text()),
        }
    }

    /// Changes a value in one place.
    pub fn json(&mut self, value: &mut Value) {
        let inside = match value {
            Value::Array(items) => items.len(),
            Value::Object(fields) => fields.len(),
            _ => 0,
        };
        // Deeper values are the more interesting ones.
        if inside > 0 && !self.one_in(4) {
            let at = self.below(inside);
            match value {
                Value::Array(items) => return self.json(&mut items[at]),
                Value::Object(fields) => {
                    if let Some(field) = fields.values_mut().nth(at) {
                        return self.json(field);
                    }
                }
                _ => {}
            }
        }
        match value {
            Value::Array(items) if self.one_in(2) => match items.first().cloned() {
                Some(first) => (0..=self.below(40)).for_each(|_| items.push(first.clone())),
                None => items.push(self.value()),
            },
            Value::Object(fields) if self.one_in(2) => self.fields(fields),
            Value::String(text) if self.one_in(2) => {
                let mut bytes = std::mem::take(text).into_bytes();
                self.bytes(&mut bytes);
                *text = String::from_utf8_lossy(&bytes).into_owned();
            }
            _ => *value = self.value(),
        }
    }

    fn fields(&mut self, fields: &mut Map<String, Value>) {
        let name = if fields.is_empty() { None } else { fields.keys().nth(self.below(fields.len())).cloned() };
        match name {
            Some(name) if self.one_in(2) => drop(fields.remove(&name)),
            Some(name) if self.one_in(2) => drop(fields.insert(name, Value::Null)),
            _ => drop(fields.insert(self.text(), self.value())),
        }
    }
}
