//! The text of a summary: how long it is, where it is cut, and what stands for one where no model is asked.
//! Pure.

/// What begins a summary that no model made.
const EXCERPTS: &str = "Excerpts, made without a model:";
/// Longest excerpt of one message, in characters.
const EXCERPT_CHARS: usize = 160;

/// How many tokens a text has, about: the larger of its words and a quarter of its bytes. Every model counts
/// differently; this is never far below any of them for text that people write.
pub fn tokens(text: &str) -> u64 {
    (text.split_whitespace().count() as u64).max(text.len().div_ceil(4) as u64)
}

/// The beginning of `text` that has at most `max` tokens by [`tokens`], without white space around it.
pub fn cap(text: &str, max: u64) -> &str {
    let text = text.trim();
    if tokens(text) <= max {
        return text;
    }
    let most = usize::try_from(max).unwrap_or(usize::MAX);
    let mut end = text.floor_char_boundary(most.saturating_mul(4).min(text.len()));
    // The word behind the last one that is counted begins where the text has to end.
    let mut words = text.char_indices().scan(false, |inside, (at, c)| {
        let begins = !*inside && !c.is_whitespace();
        *inside = !c.is_whitespace();
        Some(begins.then_some(at))
    });
    if let Some(at) = words.by_ref().flatten().nth(most) {
        end = end.min(at);
    }
    text[..end].trim_end()
}

/// The first sentences of messages (who said it, what), behind what was said before them. What does not fit
/// into `max` tokens goes from its beginning.
pub fn excerpts<'a>(before: Option<&str>, said: impl Iterator<Item = (&'a str, &'a str)>, max: u64) -> String {
    let before = before.unwrap_or_default();
    let kept = before.strip_prefix(EXCERPTS).unwrap_or(before).lines().filter(|line| !line.trim().is_empty());
    let mut lines: Vec<String> = kept.map(str::to_owned).collect();
    lines.extend(said.map(|(who, text)| format!("- {who}: {}", first_sentence(text))));
    let mut first = 0;
    loop {
        let text = format!("{EXCERPTS}\n{}", lines[first..].join("\n"));
        if tokens(&text) <= max || first + 1 >= lines.len() {
            return cap(&text, max).to_owned();
        }
        first += 1;
    }
}

fn first_sentence(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let end = line.char_indices().find(|(at, c)| {
        let next = line[at + c.len_utf8()..].chars().next();
        matches!(c, '.' | '!' | '?') && next.is_none_or(char::is_whitespace)
    });
    let sentence = end.map_or(line, |(at, c)| &line[..at + c.len_utf8()]);
    if sentence.chars().count() <= EXCERPT_CHARS {
        return sentence.to_owned();
    }
    let cut: String = sentence.chars().take(EXCERPT_CHARS).collect();
    format!("{cut}…")
}

/// At most `limit` bytes of a text; what is left out is marked.
pub fn shortened(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    format!("{} […]", &text[..text.floor_char_boundary(limit)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn se_07_a_summary_is_cut_at_its_cap_whatever_it_is_made_of() {
        let words = "word ".repeat(4_000);
        let letters = "a b ".repeat(4_000);
        let (one_word, umlauts) = ("x".repeat(9_000), "äöü ".repeat(3_000));
        for text in [words, letters, one_word, umlauts, "日本語".repeat(2_000)] {
            for max in [0, 1, 7, 500] {
                let cut = cap(&text, max);
                assert!(tokens(cut) <= max, "{} of {max}", tokens(cut));
                assert!(text.starts_with(cut));
            }
            assert!(tokens(cap(&text, 500)) > 300);
        }
        assert_eq!(cap("  short \n", 500), "short");
    }

    #[test]
    fn se_07_excerpts_say_what_they_are_and_the_newest_stay() {
        let said = [("User", "I look for a house. It must be large."), ("Assistant", "Where?\nTell me.")];
        let first = excerpts(None, said.into_iter(), 500);
        assert_eq!(first, "Excerpts, made without a model:\n- User: I look for a house.\n- Assistant: Where?");
        let second = excerpts(Some(&first), [("User", "In 3.5 weeks, in Rome!")].into_iter(), 500);
        assert_eq!(second, format!("{first}\n- User: In 3.5 weeks, in Rome!"));
        let tight = excerpts(Some(&second), std::iter::empty(), 17);
        assert_eq!(tight, "Excerpts, made without a model:\n- User: In 3.5 weeks, in Rome!");
        assert!(tokens(&excerpts(Some(&"x".repeat(10_000)), said.into_iter(), 50)) <= 50);
    }
}
