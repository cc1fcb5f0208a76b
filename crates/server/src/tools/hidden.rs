//! Secrets that must not come back in what a tool says: one that echoes its request would hand them to a model.

use reqwest::Url;

use crate::config::auth::Secret;

/// What a failure may say in the words of the other side, in bytes.
const EXCERPT_BYTES: usize = 500;
/// Shorter words are no secrets: they would black out every text.
const LEAST_BYTES: usize = 6;

/// Texts that are never shown.
#[derive(Default, Clone)]
pub struct Hidden(Vec<String>);

impl Hidden {
    /// Whole values and the words in them: of `Bearer abc…`, the second alone may come back; and of a URL the values
    /// of its query. None of them has a space in it.
    pub fn of<'a>(secrets: impl Iterator<Item = &'a Secret>) -> Self {
        let words = secrets.flat_map(|secret| secret.expose().split_whitespace());
        let mut words: Vec<String> =
            words.flat_map(|word| in_query(word).into_iter().chain([word.to_owned()])).collect();
        words.retain(|word| word.len() >= LEAST_BYTES);
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

    /// The text without any of the secrets.
    pub fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
    }

    /// The beginning of a text on one line, without any of the secrets.
    pub fn excerpt(&self, text: &str) -> String {
        // The whole of it first: a secret that is cut in two is not found any more.
        let text = self.hide(text).replace(char::is_control, " ");
        let text = text.trim();
        let cut = text.floor_char_boundary(EXCERPT_BYTES);
        if cut < text.len() { format!("{}…", &text[..cut]) } else { text.to_owned() }
    }
}

/// The values in the query of a URL, as they are sent and as they are meant.
fn in_query(word: &str) -> Vec<String> {
    let Ok(url) = Url::parse(word) else { return Vec::new() };
    let sent = url.query().unwrap_or_default().split('&');
    let mut values: Vec<String> =
        sent.map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value).to_owned()).collect();
    for (_, meant) in url.query_pairs() {
        values.extend(meant.split_whitespace().map(str::to_owned));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn op_06_the_query_of_a_url_is_taken_out_as_it_is_sent_and_as_it_is_meant() {
        let url = Secret::new("https://tools.example/find?key=planted%2Fkey%2B1&page=1&planted-alone".to_owned());
        let hidden = Hidden::of(std::iter::once(&url));
        let said = hidden.excerpt("planted%2Fkey%2B1, planted/key+1 and planted-alone are no keys of /find, page 1");
        assert_eq!(said, "…, … and … are no keys of /find, page 1");
    }

    #[test]
    fn op_06_what_is_cut_was_hidden_before() {
        let secret = Secret::new("planted-secret-0123456789".to_owned());
        let hidden = Hidden::of(std::iter::once(&secret));
        let said = hidden.excerpt(&format!("x{}", secret.expose().repeat(30)));
        assert_eq!(said, format!("x{}", "…".repeat(30)));
    }

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
