//! Files of a prompt: which of them a model is given, and in which form.
//!
//! Pure: the bytes are handed in by whoever keeps them. A file that is not given is named, so that the
//! model can say what it did not see.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::provider::{PromptMessage, Role};

/// Text of one file that a model is given; what is beyond it is cut off, and said to be.
pub const TEXT_BYTES: usize = 256 << 10;
/// The largest image as base64: Anthropic refuses the whole request for a larger one.
const IMAGE_BASE64_BYTES: u64 = 5 << 20;

/// A file that a message shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptFile {
    pub id: String,
    pub name: String,
    pub media_type: String,
    pub size: u64,
    /// Absent: the file is only named.
    #[serde(skip)]
    pub bytes: Option<Arc<[u8]>>,
}

/// How a file stands in a prompt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// An image, as base64.
    Image(String),
    /// A PDF, as base64.
    Pdf(String),
    /// The text of the file, or its name.
    Text(String),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Image,
    Pdf,
    Text,
    Other,
}

impl PromptFile {
    fn kind(&self) -> Kind {
        match self.media_type.as_str() {
            "image/png" | "image/jpeg" | "image/gif" | "image/webp" => Kind::Image,
            "application/pdf" => Kind::Pdf,
            "application/json" | "application/xml" => Kind::Text,
            other if other.starts_with("text/") || other.ends_with("+json") || other.ends_with("+xml") => Kind::Text,
            _ => Kind::Other,
        }
    }

    /// Bytes that giving this file costs; nothing if no model could read it.
    fn cost(&self) -> Option<u64> {
        match self.kind() {
            Kind::Image => Some(self.size).filter(|size| size.div_ceil(3) * 4 <= IMAGE_BASE64_BYTES),
            Kind::Pdf => Some(self.size),
            Kind::Text => Some(self.size.min(TEXT_BYTES as u64)),
            Kind::Other => None,
        }
    }

    pub(crate) fn form(&self) -> Form {
        let Some(bytes) = self.bytes.as_deref() else { return Form::Text(self.named()) };
        match self.kind() {
            Kind::Image => Form::Image(BASE64.encode(bytes)),
            Kind::Pdf => Form::Pdf(BASE64.encode(bytes)),
            Kind::Text => Form::Text(self.inlined(bytes)),
            Kind::Other => Form::Text(self.named()),
        }
    }

    /// A line that says what there is and was not given.
    pub(crate) fn named(&self) -> String {
        format!("[Attached file: {} ({}, {} bytes); its content is not shown.]", self.name, self.media_type, self.size)
    }

    fn inlined(&self, bytes: &[u8]) -> String {
        let text = String::from_utf8_lossy(bytes);
        let mut end = text.len().min(TEXT_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let cut = if end < text.len() { "\n[The rest of the file is cut off.]" } else { "" };
        format!(
            "[Attached file: {} ({})]\n{}{cut}\n[End of the file {}]",
            self.name,
            self.media_type,
            &text[..end],
            self.name
        )
    }
}

/// The places (message, file) of the files whose bytes go into the prompt, the newest first, `max_bytes`
/// together. A file that is shown twice counts twice. Only users show files to a model: no API takes them in
/// another's words.
pub fn wanted(messages: &[PromptMessage], max_bytes: u64) -> Vec<(usize, usize)> {
    let mut left = max_bytes;
    let mut wanted = Vec::new();
    for (at, message) in messages.iter().enumerate().rev().filter(|(_, message)| message.role == Role::User) {
        for (place, file) in message.files.iter().enumerate() {
            if let Some(cost) = file.cost().filter(|cost| *cost <= left) {
                left -= cost;
                wanted.push((at, place));
            }
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(id: &str, media_type: &str, size: u64) -> PromptFile {
        PromptFile { id: id.into(), name: format!("{id}.x"), media_type: media_type.into(), size, bytes: None }
    }

    fn says(role: Role, files: Vec<PromptFile>) -> PromptMessage {
        PromptMessage { files, ..PromptMessage::new(role, "x") }
    }

    #[test]
    fn the_newest_readable_files_are_wanted_within_the_limit() {
        let messages = [
            says(Role::User, vec![file("old", "image/png", 60)]),
            says(Role::Assistant, vec![file("made", "image/png", 1)]),
            says(Role::User, vec![file("zip", "application/zip", 1), file("pdf", "application/pdf", 50)]),
            says(Role::User, vec![file("huge", "image/png", 6 << 20), file("text", "text/csv", 1 << 30)]),
        ];
        let text = TEXT_BYTES as u64;
        assert_eq!(wanted(&messages, text + 100), [(3, 1), (2, 1)]);
        assert_eq!(wanted(&messages, text + 110), [(3, 1), (2, 1), (0, 0)]);
        assert_eq!(wanted(&messages, 0), []);
    }

    #[test]
    fn text_is_inlined_under_its_name_and_cut_between_characters() {
        let given = |media_type: &str, bytes: &[u8]| {
            PromptFile { bytes: Some(bytes.into()), ..file("f", media_type, bytes.len() as u64) }.form()
        };
        let Form::Text(text) = given("application/json", b"{}") else { panic!("not text") };
        assert_eq!(text, "[Attached file: f.x (application/json)]\n{}\n[End of the file f.x]");
        let Form::Text(long) = given("text/plain", "é".repeat(TEXT_BYTES).as_bytes()) else { panic!("not text") };
        assert!(long.contains("cut off") && long.len() < TEXT_BYTES + 200);
        assert_eq!(given("image/gif", b"abc"), Form::Image("YWJj".into()));
        assert_eq!(given("application/zip", b"abc"), Form::Text(file("f", "application/zip", 3).named()));
    }
}
