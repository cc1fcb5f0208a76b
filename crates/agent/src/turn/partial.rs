//! The arguments of a call that writes a document, read while they arrive.
//!
//! Owns one pass over the JSON text of an object: the string field `content` as it grows, and `kind` and `title`
//! once they are whole. Must never say what the whole JSON would not say: at a character that JSON does not have
//! there, or a value of another type than text, it says nothing more.

/// What has been read of the arguments.
#[derive(Debug, Default)]
pub(super) struct Partial {
    place: Place,
    /// The name of the field whose value is read.
    field: String,
    pub kind: Option<String>,
    pub title: Option<String>,
    /// Whether `content` was there: the first is read, a second is not.
    content: bool,
    /// The value that is read, where it is `kind` or `title`.
    value: String,
}

/// Where in the text the next character stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Start,
    /// Before the name of a field, or the end of the object.
    Name,
    InName(Escape),
    Colon,
    Value,
    InText(Escape),
    /// In a number, `true`, `false` or `null`.
    Plain,
    /// In an array or object: how deep, and whether in a text there, behind a backslash there.
    Nested {
        depth: u32,
        text: bool,
        escaped: bool,
    },
    AfterValue,
    Over,
}

/// Where in a text the next character stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Escape {
    #[default]
    No,
    /// Behind a backslash, and behind the first half of a character, if there was one.
    Begun { first: Option<u16> },
    /// In the digits behind `\u`.
    Digits { first: Option<u16>, seen: u8, code: u16 },
    /// Behind the first half of a character: only its second half can follow.
    Half(u16),
}

/// What one character of a text means.
enum Step {
    Goes(Escape, Option<char>),
    Ends,
    Wrong,
}

impl Partial {
    /// Takes the next piece of the arguments. Returns what it adds to `content`.
    pub fn push(&mut self, json: &str) -> String {
        let mut added = String::new();
        for c in json.chars() {
            if self.place == Place::Over {
                break;
            }
            self.place = self.next(c, &mut added);
        }
        added
    }

    fn next(&mut self, c: char, added: &mut String) -> Place {
        let blank = matches!(c, ' ' | '\t' | '\n' | '\r');
        match (self.place, c) {
            (Place::Start | Place::Name | Place::Colon | Place::Value | Place::AfterValue, _) if blank => self.place,
            (Place::Start, '{') | (Place::AfterValue | Place::Plain, ',') => Place::Name,
            (Place::Name, '"') => {
                self.field.clear();
                Place::InName(Escape::No)
            }
            (Place::InName(escape), c) => match step(escape, c) {
                Step::Goes(escape, said) => {
                    self.field.extend(said);
                    Place::InName(escape)
                }
                Step::Ends => Place::Colon,
                Step::Wrong => Place::Over,
            },
            (Place::Colon, ':') => Place::Value,
            (Place::Value, '"') if !(self.field == "content" && self.content) => {
                self.value.clear();
                Place::InText(Escape::No)
            }
            // Arguments in which one of these is no text are refused later: nobody is to see a document of them.
            (Place::Value, _) if matches!(self.field.as_str(), "content" | "kind" | "title") => Place::Over,
            (Place::Value, '{' | '[') => Place::Nested { depth: 1, text: false, escaped: false },
            (Place::Value, '-' | '0'..='9' | 't' | 'f' | 'n') => Place::Plain,
            (Place::InText(escape), c) => match step(escape, c) {
                Step::Goes(escape, said) => {
                    match self.field.as_str() {
                        "content" => added.extend(said),
                        "kind" | "title" => self.value.extend(said),
                        _ => {}
                    }
                    Place::InText(escape)
                }
                Step::Ends => {
                    self.ends();
                    Place::AfterValue
                }
                Step::Wrong => Place::Over,
            },
            (Place::Plain, '}') => Place::Over,
            (Place::Plain, _) => Place::Plain,
            (Place::Nested { depth, text: true, escaped }, c) => {
                Place::Nested { depth, text: escaped || c != '"', escaped: !escaped && c == '\\' }
            }
            (Place::Nested { depth, .. }, '"') => Place::Nested { depth, text: true, escaped: false },
            (Place::Nested { depth, .. }, '{' | '[') => Place::Nested { depth: depth + 1, text: false, escaped: false },
            (Place::Nested { depth: 1, .. }, '}' | ']') => Place::AfterValue,
            (Place::Nested { depth, .. }, '}' | ']') => Place::Nested { depth: depth - 1, text: false, escaped: false },
            (nested @ Place::Nested { .. }, _) => nested,
            _ => Place::Over,
        }
    }

    fn ends(&mut self) {
        match self.field.as_str() {
            "content" => self.content = true,
            "kind" => self.kind = Some(std::mem::take(&mut self.value)),
            "title" => self.title = Some(std::mem::take(&mut self.value)),
            _ => {}
        }
    }
}

fn step(escape: Escape, c: char) -> Step {
    let plain = |said| Step::Goes(Escape::No, Some(said));
    match (escape, c) {
        (Escape::No, '"') => Step::Ends,
        (Escape::No, '\\') => Step::Goes(Escape::Begun { first: None }, None),
        (Escape::No, '\0'..='\x1f') => Step::Wrong,
        (Escape::No, c) => plain(c),
        (Escape::Half(first), '\\') => Step::Goes(Escape::Begun { first: Some(first) }, None),
        (Escape::Begun { first }, 'u') => Step::Goes(Escape::Digits { first, seen: 0, code: 0 }, None),
        (Escape::Begun { first: None }, c) => match c {
            '"' | '\\' | '/' => plain(c),
            'b' => plain('\u{8}'),
            'f' => plain('\u{c}'),
            'n' => plain('\n'),
            'r' => plain('\r'),
            't' => plain('\t'),
            _ => Step::Wrong,
        },
        (Escape::Digits { first, seen, code }, c) => {
            let Some(digit) = c.to_digit(16).and_then(|digit| u16::try_from(digit).ok()) else { return Step::Wrong };
            let code = (code << 4) | digit;
            if seen < 3 {
                return Step::Goes(Escape::Digits { first, seen: seen + 1, code }, None);
            }
            match (first, code) {
                (None, 0xD800..=0xDBFF) => Step::Goes(Escape::Half(code), None),
                _ => match char::decode_utf16(first.into_iter().chain([code])).next() {
                    Some(Ok(said)) => plain(said),
                    _ => Step::Wrong,
                },
            }
        }
        (Escape::Half(_) | Escape::Begun { .. }, _) => Step::Wrong,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// The text of `value` with every character beyond ASCII as `\u` escapes.
    fn escaped(json: &str) -> String {
        let mut out = String::new();
        for c in json.chars() {
            if c.is_ascii() {
                out.push(c);
            } else {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04X}")));
            }
        }
        out
    }

    fn any_text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[a-zA-Z {}\\[\\]:,]{0,6}".prop_map(|text| text),
            2 => prop::sample::select(vec!["\"", "\\", "\\u", "\n", "\t", "\u{0}", "\u{8}", "/", "ü", "中", "😀", "\u{fffd}"])
                .prop_map(str::to_owned),
            1 => any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any_text().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::vec((any_text(), inner), 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// An object as text, its fields in any order, with blanks or without, escaped or not; and what it says.
    fn any_object() -> impl Strategy<Value = (String, Value)> {
        let fields = (any_text(), any_text(), any_text(), prop::collection::vec((any_text(), any_value()), 0..3));
        let fields = fields.prop_flat_map(|(kind, title, content, others)| {
            let known = [("kind", kind), ("title", title), ("content", content)];
            let mut all: Vec<(String, Value)> =
                known.into_iter().map(|(name, text)| (name.to_owned(), json!(text))).collect();
            let known = |name: &String| matches!(name.as_str(), "kind" | "title" | "content");
            all.extend(others.into_iter().filter(|(name, _)| !known(name)));
            Just(all).prop_shuffle()
        });
        (fields, any::<bool>(), any::<bool>()).prop_map(|(fields, blanks, escape)| {
            let (between, after) = if blanks { ("\n ", " ") } else { ("", "") };
            let field = |(name, value): &(String, Value)| {
                let value = if blanks { format!("{value:#}") } else { value.to_string() };
                format!("{between}{}{after}:{after}{value}", Value::from(name.as_str()))
            };
            let inside: Vec<String> = fields.iter().map(field).collect();
            let text = format!("{after}{{{}{between}}}{after}", inside.join(","));
            let text = if escape { escaped(&text) } else { text };
            let said = serde_json::from_str(&text).unwrap();
            (text, said)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn ar_08_every_split_of_every_object_says_what_the_whole_says((text, said) in any_object()) {
            for at in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let mut reader = Partial::default();
                let first = reader.push(&text[..at]);
                let content = said["content"].as_str().unwrap();
                prop_assert!(content.starts_with(&first), "{first:?} is no beginning of {content:?}");
                let whole = first + &reader.push(&text[at..]);
                prop_assert_eq!(&whole, content);
                prop_assert_eq!((reader.kind.as_deref(), reader.title.as_deref()), (said["kind"].as_str(), said["title"].as_str()));
            }
            let mut reader = Partial::default();
            let whole: String = text.chars().map(|c| reader.push(c.encode_utf8(&mut [0; 4]))).collect();
            prop_assert_eq!(Some(whole.as_str()), said["content"].as_str());
        }

        #[test]
        fn ar_08_what_is_no_json_is_read_without_a_panic(pieces in prop::collection::vec(any_text(), 0..6)) {
            let mut reader = Partial::default();
            reader.push("{\"content\":\"");
            pieces.iter().for_each(|piece| drop(reader.push(piece)));
        }
    }

    #[test]
    fn ar_08_nothing_is_said_of_arguments_that_will_be_refused() {
        for (text, says) in [
            (r#"{"kind": 7, "content": "x"}"#, ""),
            (r#"{"content": ["x"], "title": "t"}"#, ""),
            (r#"[{"content": "x"}]"#, ""),
            (r#"{"other": {"content": "x"}}"#, ""),
            (r#"{"content": "a\ud83d!"}"#, "a"),
            (r#"{"content": "a\ud83d\n"}"#, "a"),
            (r#"{"content": "a\ude00"}"#, "a"),
            (r#"{"content": "a\x"}"#, "a"),
            (r#"{"content": "a", "content": "b"}"#, "a"),
        ] {
            assert_eq!(Partial::default().push(text), says, "{text}");
        }
    }
}
