//! Secrets that must not come back in what a tool says: one that echoes its request would hand them to a model.

use crate::config::auth::Secret;

/// What a failure may say in the words of the other side, in bytes.
const EXCERPT_BYTES: usize = 500;
/// Shorter words are no secrets: they would black out every text.
const LEAST_BYTES: usize = 6;

/// Texts that are never shown.
#[derive(Default, Clone)]
pub struct Hidden(Vec<String>);

impl Hidden {
    /// Whole values and the words in them: of `Bearer abc…`, the second alone may come back.
    pub fn of<'a>(secrets: impl Iterator<Item = &'a Secret>) -> Self {
        let words = secrets.flat_map(|secret| secret.expose().split_whitespace());
        let mut words: Vec<String> = words.filter(|word| word.len() >= LEAST_BYTES).map(str::to_owned).collect();
        // The longest first, or a part of it would hide the rest.
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        Self(words)
    }

    pub fn and(mut self, text: &str) -> Self {
        if text.len() >= LEAST_BYTES {
            self.0.insert(0, text.to_owned());
        }
        self
    }

    /// The beginning of a text on one line, without any of the secrets.
    pub fn excerpt(&self, text: &str) -> String {
        // More than is shown, so that a secret on the edge is found whole.
        let longest = self.0.iter().map(String::len).max().unwrap_or(0);
        let mut text = text[..text.floor_char_boundary(EXCERPT_BYTES + longest)].to_owned();
        for secret in &self.0 {
            text = text.replace(secret, "…");
        }
        let text = text.replace(char::is_control, " ");
        let text = text.trim();
        let cut = text.floor_char_boundary(EXCERPT_BYTES);
        if cut < text.len() { format!("{}…", &text[..cut]) } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op_06_secrets_are_taken_out_whole_and_in_parts() {
        let secrets = ["Bearer planted-1", "planted-1-longer", "short"].map(|text| Secret::new(text.to_owned()));
        let hidden = Hidden::of(secrets.iter()).and("token.of.caller");
        let said = hidden.excerpt("no planted-1,\nno planted-1-longer, no token.of.caller, but short");
        assert_eq!(said, "no …, no …, no …, but short");
        let edge = format!("{}planted-1", "é".repeat(248));
        assert!(!hidden.excerpt(&edge).contains("plan"));
        assert!(hidden.excerpt(&"x".repeat(10_000)).len() < 600);
    }
}
