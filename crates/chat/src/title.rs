//! Titles of threads made from what people write. Pure.

use unicode_segmentation::UnicodeSegmentation;

/// A title has at most this many characters (as people count them).
const LONGEST: usize = 45;
/// A long title is cut at the last blank after this many; if there is none, in the middle of a word.
const SHORTEST_CUT: usize = 20;

/// Openings that say nothing about the subject, longest first where one begins another.
const OPENINGS: [&str; 12] =
    ["i'd like to", "could you", "can you", "please", "i need", "i want", "hello", "hey", "hi", "so", "um", "uh"];

/// Titles that mean "no title yet", in lower case.
const PLACEHOLDERS: [&str; 8] = [
    "",
    "new conversation",
    "new chat",
    "default chat",
    "research",
    "untitled",
    "untitled conversation",
    "the betabase",
];

/// Whether `title` only stands for a missing one. Case and blanks around it do not matter.
pub fn is_placeholder(title: &str, default_title: &str) -> bool {
    let title = title.trim().to_lowercase();
    PLACEHOLDERS.contains(&title.as_str()) || title == default_title.trim().to_lowercase()
}

/// A title for a thread whose first user message is `text`; `None` if it has no words.
pub fn from_message(text: &str) -> Option<String> {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // "Hi!" is nothing but an opening, and "???" nothing but a closing; then they are the subject.
    let subject = or_else(without_openings(&line), &line);
    let subject = or_else(without_closing(subject), subject);
    let cut = shorten(subject);
    let mut characters = or_else(without_closing(cut), cut).chars();
    let first = characters.next()?;
    Some(first.to_uppercase().chain(characters).collect())
}

/// A title for a thread that begins with a file and no words: the name as it is.
pub fn from_file(name: &str) -> Option<String> {
    Some(shorten(name).to_owned()).filter(|title| !title.is_empty())
}

fn or_else<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

fn without_openings(line: &str) -> &str {
    let mut rest = line;
    while let Some(shorter) = OPENINGS.iter().find_map(|opening| strip_opening(rest, opening)) {
        rest = shorter;
    }
    rest
}

fn strip_opening<'a>(text: &'a str, opening: &str) -> Option<&'a str> {
    let mut rest = text.chars();
    for expected in opening.chars() {
        let found = rest.next()?;
        let same = found.to_lowercase().eq([expected]) || (expected == '\'' && found == '’');
        if !same {
            return None;
        }
    }
    let rest = rest.as_str();
    let word_ends =
        rest.chars().next().is_none_or(|next| !next.is_alphanumeric() && next != '\'' && next != '’' && next != '-');
    word_ends.then(|| rest.trim_start_matches([' ', ',', '.', '!', '?', ':', ';']))
}

fn without_closing(text: &str) -> &str {
    text.trim_end_matches([' ', ',', '.', '!', '?', ':', ';'])
}

fn shorten(text: &str) -> &str {
    let mut blank = None;
    for (count, (at, character)) in text.grapheme_indices(true).enumerate() {
        // A blank right behind the last character that fits is a place to cut, too.
        if character == " " && count > SHORTEST_CUT {
            blank = Some(at);
        }
        if count == LONGEST {
            return &text[..blank.unwrap_or(at)];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn title(text: &str) -> String {
        from_message(text).unwrap()
    }

    #[test]
    fn th_07_openings_and_blanks_go_and_the_first_letter_is_large() {
        assert_eq!(title("Hey can you explain   escrow?"), "Explain escrow");
        assert_eq!(title("Hello, I’d like to\nbuy a house"), "Buy a house");
        assert_eq!(title("um so, please sort my list"), "Sort my list");
        assert_eq!(title("sort my list"), "Sort my list");
        assert_eq!(title("Hi-fi systems"), "Hi-fi systems");
        assert_eq!(title("Hi!"), "Hi");
        assert_eq!(title("???"), "???");
        assert_eq!(from_message(" \n"), None);
    }

    #[test]
    fn th_07_a_long_title_is_cut_at_a_blank_after_twenty_characters() {
        let long = "explain the difference between escrow accounts and trust accounts";
        assert_eq!(title(long), "Explain the difference between escrow");
        assert_eq!(title(&"x".repeat(60)), format!("X{}", "x".repeat(44)));
        let early_blank = format!("one {}", "y".repeat(60));
        assert_eq!(title(&early_blank).chars().count(), 45);
        let exact = "a".repeat(45);
        assert_eq!(title(&format!("{exact} tail")).chars().count(), 45);
    }

    #[test]
    fn th_07_a_cut_never_splits_a_character() {
        let family = "👨‍👩‍👧";
        let cut = title(&family.repeat(50));
        assert_eq!(cut, family.repeat(45));
        let hebrew = "שָׁלוֹם".repeat(20);
        assert!(title(&hebrew).graphemes(true).count() <= 45);
        assert!(hebrew.starts_with(&title(&hebrew)));
    }

    #[test]
    fn th_07_placeholders_are_one_set() {
        for text in ["", "New Conversation", "new chat", " Default Chat ", "Research", "UNTITLED", "Neu"] {
            assert!(is_placeholder(text, "Neu"), "{text}");
        }
        assert!(!is_placeholder("Research plan", "Neu"));
    }
}
