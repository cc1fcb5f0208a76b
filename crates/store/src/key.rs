//! Index keys as bytes whose `memcmp` order is the order of their values, on every backend.
//!
//! Order of values: null < numbers < false < true < strings (UTF-8 bytes). Each part is a tag and a
//! body; strings escape NUL as `00 FF` and end in `00`, so that no key is a prefix of another by
//! accident (the tuple layer of FoundationDB does the same).

use serde_json::Value;

const NULL: u8 = 0x01;
const NUMBER: u8 = 0x02;
const FALSE: u8 = 0x03;
const TRUE: u8 = 0x04;
const STRING: u8 = 0x05;
/// Above every tag: `prefix ++ END` is the end of all keys that begin with `prefix`.
pub const END: u8 = 0xFF;

/// One value of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Null,
    Number(f64),
    Bool(bool),
    Text(String),
}

impl Part {
    /// Arrays and objects cannot be indexed; they sort as null.
    pub fn of(value: Option<&Value>) -> Part {
        match value {
            Some(Value::Bool(value)) => Part::Bool(*value),
            Some(Value::Number(value)) => Part::Number(value.as_f64().unwrap_or(0.0)),
            Some(Value::String(value)) => Part::Text(value.clone()),
            None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => Part::Null,
        }
    }
}

/// Appends one part to a key.
pub fn push(key: &mut Vec<u8>, part: &Part) {
    match part {
        Part::Null => key.push(NULL),
        Part::Bool(false) => key.push(FALSE),
        Part::Bool(true) => key.push(TRUE),
        Part::Number(number) => {
            key.push(NUMBER);
            let bits = (number + 0.0).to_bits(); // -0.0 becomes 0.0
            // Flip so that the unsigned big-endian bytes sort like the numbers (IEEE 754 total order).
            let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
            key.extend_from_slice(&ordered.to_be_bytes());
        }
        Part::Text(text) => {
            key.push(STRING);
            for &byte in text.as_bytes() {
                key.push(byte);
                if byte == 0 {
                    key.push(0xFF);
                }
            }
            key.push(0);
        }
    }
}

impl From<&str> for Part {
    fn from(value: &str) -> Self {
        Part::Text(value.to_owned())
    }
}
impl<T: ?Sized> From<&crate::Id<T>> for Part {
    fn from(value: &crate::Id<T>) -> Self {
        Part::Text(value.as_str().to_owned())
    }
}
impl From<bool> for Part {
    fn from(value: bool) -> Self {
        Part::Bool(value)
    }
}
impl From<f64> for Part {
    fn from(value: f64) -> Self {
        Part::Number(value)
    }
}
impl From<u64> for Part {
    fn from(value: u64) -> Self {
        Part::Number(value as f64)
    }
}
impl<T: Into<Part>> From<Option<T>> for Part {
    fn from(value: Option<T>) -> Self {
        value.map_or(Part::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part() -> impl Strategy<Value = Part> {
        prop_oneof![
            Just(Part::Null),
            any::<bool>().prop_map(Part::Bool),
            prop_oneof![(-1e12..1e12f64).boxed(), (-5i32..5).prop_map(f64::from).boxed()].prop_map(Part::Number),
            "[\\x00a-c]{0,4}".prop_map(Part::Text),
        ]
    }

    fn rank(part: &Part) -> (u8, f64, &str) {
        match part {
            Part::Null => (0, 0.0, ""),
            Part::Number(number) => (1, *number, ""),
            Part::Bool(false) => (2, 0.0, ""),
            Part::Bool(true) => (3, 0.0, ""),
            Part::Text(text) => (4, 0.0, text),
        }
    }

    fn encode(parts: &[Part]) -> Vec<u8> {
        let mut key = Vec::new();
        for part in parts {
            push(&mut key, part);
        }
        key
    }

    proptest! {
        #[test]
        fn byte_order_is_value_order(a in prop::collection::vec(part(), 2), b in prop::collection::vec(part(), 2)) {
            let by_value = a.iter().map(rank).partial_cmp(b.iter().map(rank)).unwrap();
            prop_assert_eq!(encode(&a).cmp(&encode(&b)), by_value);
        }

        #[test]
        fn a_prefix_range_holds_exactly_the_keys_under_it(a in part(), b in part(), c in part()) {
            let prefix = encode(std::slice::from_ref(&a));
            let mut end = prefix.clone();
            end.push(END);
            let key = encode(&[b.clone(), c]);
            let inside = key >= prefix && key < end;
            prop_assert_eq!(inside, encode(&[b]) == prefix);
        }
    }
}
