//! How a provider fails, in one type, with the provider's own words kept short and free of keys.
//!
//! Owns what is retryable and what of a provider's message may be shown. Must never let an API key or a
//! URL into a message: failures are stored, shown and logged.

use serde_json::Value;
use spool_protocol::{Code, event};

use super::ApiKey;

/// The most characters of a provider's own message that are kept.
const EXCERPT_CHARS: usize = 240;

/// What begins a secret with the providers that people use.
const KEY_PREFIXES: [&str; 6] = ["sk-", "sk_", "gsk_", "xai-", "AIza", "hf_"];

/// Error types and codes, as providers spell them, that come back however often one asks.
const LASTING: [&str; 13] = [
    "authentication_error",
    "billing_error",
    "content_filter",
    "context_length_exceeded",
    "exceed_context_size_error",
    "insufficient_quota",
    "invalid_api_key",
    "invalid_request_error",
    "model_not_found",
    "not_found_error",
    "permission_error",
    "request_too_large",
    "unsupported_parameter",
];

/// How they say that a prompt is longer than the model can read, by type or code…
const TOO_LONG: [&str; 3] = ["context_length_exceeded", "exceed_context_size_error", "request_too_large"];

/// …or only in their sentence, in lowercase: Anthropic, vLLM, llama.cpp, Gemini, Mistral.
const TOO_LONG_SAID: [&str; 6] = [
    "prompt is too long",
    "input is too long",
    "context length",
    "context size",
    "exceed context limit",
    "exceeds the maximum number of tokens",
];

/// Why an answer could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// [`Code::ProviderError`], or [`Code::ProviderCut`] when an answer had begun or was awaited and
    /// the stream ended without its end.
    pub code: Code,
    /// For people; says what to do where that is known.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Whether a shorter prompt may succeed.
    pub too_long: bool,
    /// The HTTP status, if the provider answered with one.
    pub status: Option<u16>,
}

impl Failure {
    /// A provider error that is no HTTP answer.
    pub fn error(message: impl Into<String>, retryable: bool) -> Self {
        Self { code: Code::ProviderError, message: message.into(), retryable, too_long: false, status: None }
    }

    /// The stream ended and the answer had not.
    pub fn cut() -> Self {
        Self::cut_because("The model provider's stream ended before the answer did.")
    }

    /// Nothing came for as long as is waited.
    pub(super) fn silent() -> Self {
        Self::cut_because(format!("The model provider sent nothing for {} seconds.", super::IDLE_TIMEOUT.as_secs()))
    }

    /// Nobody decided in time about what the answer asked for.
    pub(crate) fn expired() -> Self {
        let message = "Nobody decided in time about what the answer asked for. Nothing of it was carried out.";
        Self { code: Code::AwaitingApprovalExpired, ..Self::error(message, true) }
    }

    /// The model made more calls in one step than are carried out.
    pub(crate) fn too_many_calls(most: usize) -> Self {
        Self::error(format!("The model made more than {most} calls of tools at once. None of them was run."), true)
    }

    pub(super) fn cut_because(message: impl Into<String>) -> Self {
        Self { code: Code::ProviderCut, ..Self::error(message, true) }
    }

    /// An HTTP answer other than success. `body` is what came with it, as far as it was read.
    pub(super) fn answered(status: u16, body: &str, key: Option<&ApiKey>) -> Self {
        let json: Option<Value> = serde_json::from_str(body).ok();
        let lasting = json.as_ref().is_some_and(is_lasting);
        let what = match status {
            300..=399 => "The model provider has moved; correct its base URL",
            401 | 403 => "The model provider refused the credentials; check its API key",
            404 => "The model provider does not know this model or address",
            413 => "The prompt is too large for the model provider",
            408 | 429 if !lasting => "The model provider is limiting requests; try again later",
            402 | 429 => "The model provider's quota is used up",
            400..=499 => "The model provider refused the request",
            _ => "The model provider failed; try again later",
        };
        let said = match &json {
            Some(json) => message_of(json).map(|said| excerpt(said, key)),
            // A page of HTML from some proxy tells nobody anything.
            None => Some(excerpt(body, key)).filter(|said| !said.starts_with('<')),
        };
        let message = match said.filter(|said| !said.is_empty()) {
            Some(said) => format!("{what} (HTTP {status}): {said}"),
            None => format!("{what} (HTTP {status})."),
        };
        let retryable = matches!(status, 408 | 409 | 425 | 429 | 500..=599) && !lasting;
        let too_long = status == 413 || (status == 400 && json.as_ref().is_some_and(is_too_long));
        Self { status: Some(status), too_long, ..Self::error(message, retryable) }
    }

    /// An error that the provider reports inside its stream (or with status 200).
    pub(super) fn reported(json: &Value, key: Option<&ApiKey>) -> Self {
        let status = [&json["error"]["code"], &json["error"]["status"], &json["code"]]
            .into_iter()
            .find_map(Value::as_u64)
            .and_then(|status| u16::try_from(status).ok())
            .filter(|status| (300..=599).contains(status));
        let message = match message_of(json).map(|said| excerpt(said, key)).filter(|said| !said.is_empty()) {
            Some(said) => format!("The model provider reported an error: {said}"),
            None => "The model provider reported an error without a message.".to_owned(),
        };
        let passing = status.is_none_or(|status| matches!(status, 408 | 409 | 425 | 429 | 500..=599));
        let too_long = is_too_long(json);
        Self { status, too_long, ..Self::error(message, passing && !too_long && !is_lasting(json)) }
    }

    /// An error below HTTP. The text of such errors names URLs, so only their root cause is shown.
    pub(super) fn transport(error: &reqwest::Error, key: Option<&ApiKey>) -> Self {
        let cause = root_cause(error, key);
        if error.is_builder() {
            return Self::error(format!("The request to the model provider could not be built{cause}"), false);
        }
        if error.is_connect() {
            return Self::error(format!("The model provider cannot be reached{cause}"), true);
        }
        if error.is_timeout() {
            return Self::silent();
        }
        Self::cut_because(format!("The connection to the model provider broke{cause}"))
    }
}

impl From<Failure> for event::Failure {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code.as_str().to_owned(), message: failure.message, retryable: failure.retryable }
    }
}

/// The provider's own sentence, wherever this kind of server puts it.
fn message_of(json: &Value) -> Option<&str> {
    let error = &json["error"];
    [&error["message"], error, &json["message"], &json["detail"], &json[0]["error"]["message"]]
        .into_iter()
        .find_map(Value::as_str)
}

/// `: <cause>.`, or `.` where there is no cause but the error itself, which prints its URL.
fn root_cause(error: &reqwest::Error, key: Option<&ApiKey>) -> String {
    let Some(mut cause) = std::error::Error::source(error) else { return ".".to_owned() };
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!(": {}.", excerpt(&cause.to_string(), key).trim_end_matches('.'))
}

/// The words by which a server types its error, wherever it puts them.
fn types(json: &Value) -> impl Iterator<Item = &str> {
    [&json["error"]["type"], &json["error"]["code"], &json["type"], &json["code"]].into_iter().filter_map(Value::as_str)
}

fn is_lasting(json: &Value) -> bool {
    types(json).any(|word| LASTING.contains(&word))
}

fn is_too_long(json: &Value) -> bool {
    let said = message_of(json).unwrap_or_default().to_lowercase();
    types(json).any(|word| TOO_LONG.contains(&word)) || TOO_LONG_SAID.iter().any(|phrase| said.contains(phrase))
}

/// A provider's message on one line, at most [`EXCERPT_CHARS`] long, without anything that looks like
/// a key: some servers quote the key that they refuse.
fn excerpt(message: &str, key: Option<&ApiKey>) -> String {
    let message = match key {
        Some(key) => message.replace(key.expose(), "[key]"),
        None => message.to_owned(),
    };
    let mut line = String::new();
    for word in message.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(if holds_key(word) { "[key]" } else { word });
    }
    match line.char_indices().nth(EXCERPT_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn holds_key(word: &str) -> bool {
    word.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*')))
        .any(|part| KEY_PREFIXES.iter().any(|prefix| part.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_pass_is_retryable_and_what_lasts_is_not() {
        let cases = [
            (400, r#"{"error":{"message":"bad"}}"#, false),
            (401, r#"{"error":{"message":"bad key"}}"#, false),
            (404, "", false),
            (429, r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#, true),
            (429, r#"{"error":{"message":"no money","code":"insufficient_quota"}}"#, false),
            (500, "<html>oops</html>", true),
            (529, r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, true),
        ];
        for (status, body, retryable) in cases {
            let failure = Failure::answered(status, body, None);
            assert_eq!((failure.retryable, failure.status), (retryable, Some(status)), "{status} {body}");
            assert_eq!(failure.code, Code::ProviderError);
        }
    }

    #[test]
    fn ag_13_a_prompt_that_is_too_long_is_told_from_other_refusals() {
        let said = |message: &str| json!({"error": {"message": message, "type": "invalid_request_error"}}).to_string();
        let coded = json!({"error": {"message": "m", "code": "context_length_exceeded"}}).to_string();
        let cases = [
            (400, said("prompt is too long: 205000 tokens > 200000 maximum"), true),
            (400, said("input length and `max_tokens` exceed context limit: 190000 + 21333 > 200000"), true),
            (400, said("This model's maximum context length is 8192 tokens."), true),
            (400, said("the request exceeds the available context size, try increasing it"), true),
            (400, coded.clone(), true),
            (413, String::new(), true),
            (400, said("max_tokens is too large"), false),
            (500, said("no context length"), false),
        ];
        for (status, body, too_long) in cases {
            let failure = Failure::answered(status, &body, None);
            assert_eq!((failure.too_long, failure.retryable), (too_long, false), "{status} {body}");
        }
        let reported = Failure::reported(&serde_json::from_str(&coded).unwrap(), None);
        assert!(reported.too_long && !reported.retryable, "{reported:?}");
    }

    #[test]
    fn messages_never_carry_a_key_and_stay_short() {
        let key = ApiKey::new("topsecret");
        let body =
            json!({"error": {"message": "Incorrect key topsecret or sk-proj-ab**cd, \"key=gsk_1\" a task-force"}});
        let failure = Failure::answered(401, &body.to_string(), key.as_ref());
        assert!(failure.message.ends_with("Incorrect key [key] or [key] [key] a task-force"), "{failure}");

        let failure = Failure::answered(500, &"é".repeat(5000), None);
        assert!(failure.message.chars().count() < EXCERPT_CHARS + 100);
    }

    #[test]
    fn errors_inside_a_stream_are_typed_by_code_or_type() {
        let cases = [
            (json!({"error": {"message": "m", "code": 502}}), true, Some(502)),
            (json!({"error": {"message": "m", "code": 400}}), false, Some(400)),
            (json!({"error": {"message": "m", "type": "invalid_request_error"}}), false, None),
            (json!({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}), true, None),
            (json!({"error": "m"}), true, None),
        ];
        for (json, retryable, status) in cases {
            let failure = Failure::reported(&json, None);
            assert_eq!((failure.retryable, failure.status), (retryable, status), "{json}");
            assert!(failure.message.ends_with(": m"), "{failure}");
        }
    }
}
