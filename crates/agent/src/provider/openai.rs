//! Any server that speaks OpenAI's chat completions: OpenAI, OpenRouter, vLLM, Ollama, LM Studio, …
//!
//! Owns the request body and the meaning of its chunks, with the habits of the servers that people
//! really use. Must never read settings from anywhere but its [`OpenAiOptions`].

use reqwest::Url;
use reqwest::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use spool_protocol::Usage;

use super::calls::{self, Ids, Writing, arguments};
use super::http::{self, Decode, unreadable};
use super::{ApiKey, EventStream, Failure, Piece, PromptMessage, Provider, ProviderEvent, Request};
use crate::tools::ToolChoice;

/// Where OpenAI itself is.
pub const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";

/// Which server, as whom.
#[derive(Debug, Clone)]
pub struct OpenAiOptions {
    /// The part before `/chat/completions`.
    pub base_url: String,
    /// `None` sends no `Authorization`; local servers need none.
    pub key: Option<ApiKey>,
}

impl Default for OpenAiOptions {
    fn default() -> Self {
        Self { base_url: DEFAULT_BASE_URL.to_owned(), key: None }
    }
}

/// A provider that speaks chat completions.
#[derive(Debug, Clone)]
pub struct OpenAi {
    client: reqwest::Client,
    endpoint: Url,
    key: Option<ApiKey>,
}

impl OpenAi {
    /// # Errors
    /// If the base URL is none. No connection is made.
    pub fn new(client: reqwest::Client, options: OpenAiOptions) -> Result<Self, Failure> {
        let base = options.base_url.trim().trim_end_matches('/').trim_end_matches("/chat/completions");
        let endpoint = http::endpoint(base, "/chat/completions")?;
        Ok(Self { client, endpoint, key: options.key })
    }

    fn body(&self, request: &Request) -> Value {
        let system = request.system.iter().map(|text| json!({"role": "system", "content": text}));
        let messages = request.messages.iter().filter(|message| !message.is_blank()).map(message);
        let mut body = json!({
            "model": request.model,
            "messages": system.chain(messages).collect::<Vec<_>>(),
            "stream": true,
            "stream_options": {"include_usage": true},
        });
        if let Some(limit) = request.max_output_tokens {
            // OpenAI's reasoning models refuse the old name; most other servers know only the old one.
            let openai = self.endpoint.host_str() == Some("api.openai.com");
            body[if openai { "max_completion_tokens" } else { "max_tokens" }] = limit.into();
        }
        if let Some(temperature) = request.temperature {
            body["temperature"] = temperature.into();
        }
        // Servers refuse an empty list, and a choice without a list.
        if !request.tools.is_empty() {
            let tools = request.tools.iter().map(|tool| {
                let mut function = json!({"name": tool.name, "parameters": tool.input_schema});
                // OpenAI refuses a tool without arguments that does not say so.
                if function["parameters"].is_object() && function["parameters"]["properties"].is_null() {
                    function["parameters"]["properties"] = json!({});
                }
                if !tool.description.is_empty() {
                    function["description"] = tool.description.clone().into();
                }
                json!({"type": "function", "function": function})
            });
            body["tools"] = tools.collect();
            // `auto` is what it is without a word, and some small servers know no other way to say it.
            match &request.tool_choice {
                ToolChoice::Auto => {}
                ToolChoice::Required => body["tool_choice"] = "required".into(),
                ToolChoice::None => body["tool_choice"] = "none".into(),
                ToolChoice::Named(name) => {
                    body["tool_choice"] = json!({"type": "function", "function": {"name": name}});
                }
            }
        }
        body
    }
}

fn message(message: &PromptMessage) -> Value {
    let mut json = json!({"role": message.role.as_str(), "content": Piece::content(message, block)});
    if let Some(answered) = &message.answers {
        json["tool_call_id"] = answered.call_id.clone().into();
    }
    if !message.calls.is_empty() {
        let calls = message.calls.iter().map(|call| {
            let arguments = calls::object(&call.input).to_string();
            json!({"id": call.id, "type": "function",
                "function": {"name": calls::name(&call.tool), "arguments": arguments}})
        });
        json["tool_calls"] = calls.collect();
        // An answer of calls alone has no content; an empty text is refused by some servers.
        if json["content"].as_str().is_some_and(|text| text.trim().is_empty()) {
            json["content"] = Value::Null;
        }
    }
    json
}

fn block(piece: Piece<'_>) -> Value {
    let data = |media_type: &str, base64: &str| format!("data:{media_type};base64,{base64}");
    match piece {
        Piece::Text(text) => json!({"type": "text", "text": text}),
        Piece::Image { file, base64 } => {
            json!({"type": "image_url", "image_url": {"url": data(&file.media_type, &base64)}})
        }
        Piece::Pdf { file, base64 } => {
            json!({"type": "file", "file": {"filename": file.name, "file_data": data(&file.media_type, &base64)}})
        }
    }
}

impl Provider for OpenAi {
    fn stream(&self, request: Request) -> EventStream {
        let mut call = self.client.post(self.endpoint.clone()).json(&self.body(&request));
        if let Some(key) = &self.key {
            match key.header("Bearer ") {
                Ok(header) => call = call.header(AUTHORIZATION, header),
                Err(failure) => return super::checked(futures_util::stream::iter([Err(failure)])),
            }
        }
        let decoder = Decoder {
            key: self.key.clone(),
            ids: Ids::of(&request),
            tells_input: request.stream_tool_input,
            ..Decoder::default()
        };
        http::stream(call, decoder, self.key.clone())
    }
}

/// A tool call while its arguments arrive.
struct Call {
    index: Option<u64>,
    /// As the server names it.
    server_id: String,
    writing: Writing,
}

#[derive(Default)]
struct Decoder {
    key: Option<ApiKey>,
    ids: Ids,
    /// See [`Request::stream_tool_input`].
    tells_input: bool,
    calls: Vec<Call>,
    usage: Usage,
    cited: Vec<String>,
    reason: Option<String>,
}

/// A chunk, as far as nearly all of them go: a tree of all that it says would cost more than what it brings.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Choice<'a> {
    #[serde(borrow)]
    delta: Option<Delta<'a>>,
    #[serde(borrow)]
    finish_reason: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Delta<'a> {
    #[serde(borrow)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    #[serde(borrow)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_calls: Option<&'a RawValue>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
}

impl Decode for Decoder {
    fn frame(&mut self, data: &str, events: &mut Vec<ProviderEvent>) -> Result<(), Failure> {
        if data.trim() == "[DONE]" {
            self.close(events);
            // An end without a reason is no end: proxies send it when their upstream died.
            return if events.is_empty() { Err(Failure::cut()) } else { Ok(()) };
        }
        let chunk: Chunk<'_> = serde_json::from_str(data).map_err(|_| unreadable())?;
        if chunk.error.is_some() || chunk.object.is_some_and(|object| object.get() == "\"error\"") {
            return Err(Failure::reported(&parsed(data), self.key.as_ref()));
        }
        let choice = chunk.choices.into_iter().flatten().next().unwrap_or_default();
        self.delta(choice.delta.unwrap_or_default(), events);
        if let Some(usage) = usage(&value(chunk.usage)).filter(|usage| *usage != self.usage) {
            self.usage = usage;
            events.push(ProviderEvent::Usage(usage));
        }
        if let Some(reason) = text(choice.finish_reason) {
            if reason == "error" {
                return Err(Failure::reported(&parsed(data)["choices"][0], self.key.as_ref()));
            }
            self.reason = Some(reason);
        }
        Ok(())
    }

    /// The usage comes after the reason, so the end is told here and not with the reason.
    fn close(&mut self, events: &mut Vec<ProviderEvent>) {
        let Some(reason) = self.reason.take() else { return };
        // Some servers say `stop` behind calls, old ones `function_call`.
        let called = !self.calls.is_empty() && matches!(reason.as_str(), "stop" | "function_call");
        for Call { writing, .. } in std::mem::take(&mut self.calls) {
            let input = arguments(writing.json);
            events.push(ProviderEvent::ToolCall { id: writing.id, tool: writing.tool, input, by_provider: false });
        }
        events.push(ProviderEvent::Finish { reason: if called { "tool_calls".to_owned() } else { reason } });
    }
}

impl Decoder {
    fn delta(&mut self, delta: Delta<'_>, events: &mut Vec<ProviderEvent>) {
        // Servers that know both spellings send the same text twice.
        if let Some(reasoning) = text(delta.reasoning_content.or(delta.reasoning)) {
            events.push(ProviderEvent::Reasoning(reasoning));
        }
        events.extend([delta.content, delta.refusal].into_iter().filter_map(text).map(ProviderEvent::Text));
        for call in value(delta.tool_calls).as_array().into_iter().flatten() {
            self.call(call, events);
        }
        for annotation in value(delta.annotations).as_array().into_iter().flatten() {
            self.cite(&annotation["url_citation"], events);
        }
    }

    /// Adds a piece of a tool call to its call. Pieces belong together by index; a new id at the same
    /// index is a new call, because some servers number every call 0 and some number none.
    fn call(&mut self, piece: &Value, events: &mut Vec<ProviderEvent>) {
        let index = piece["index"].as_u64();
        let id = piece["id"].as_str().filter(|id| !id.is_empty());
        let known = self.calls.iter().rposition(|call| match (index, id) {
            (Some(_), Some(id)) => call.index == index && call.server_id == id,
            (Some(_), None) => call.index == index,
            (None, Some(id)) => call.server_id == id,
            (None, None) => true,
        });
        let at = known.unwrap_or_else(|| {
            let server_id = id.unwrap_or_default().to_owned();
            let writing = Writing::new(self.ids.fresh(&server_id), String::new());
            self.calls.push(Call { index, server_id, writing });
            self.calls.len() - 1
        });
        let Some(Call { writing: call, .. }) = self.calls.get_mut(at) else { return };
        // The name comes whole, and from some servers with every piece.
        if let Some(name) = piece["function"]["name"].as_str().filter(|_| call.tool.is_empty()) {
            call.tool = name.to_owned();
        }
        match &piece["function"]["arguments"] {
            Value::String(text) => call.json.push_str(text),
            Value::Null => {}
            whole => call.json = whole.to_string(),
        }
        if self.tells_input {
            call.tell(events);
        }
    }

    fn cite(&mut self, citation: &Value, events: &mut Vec<ProviderEvent>) {
        let Some(url) = citation["url"].as_str() else { return };
        if self.cited.iter().any(|cited| cited == url) {
            return;
        }
        self.cited.push(url.to_owned());
        events.push(ProviderEvent::Source {
            title: citation["title"].as_str().unwrap_or(url).to_owned(),
            url: url.to_owned(),
            snippet: citation["content"].as_str().map(str::to_owned),
        });
    }
}

/// A text that is one and not empty: servers send null and worse in its place.
fn text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok().filter(|text: &String| !text.is_empty())
}

fn value(raw: Option<&RawValue>) -> Value {
    raw.map(|raw| parsed(raw.get())).unwrap_or_default()
}

/// JSON that is known to be JSON.
fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

fn usage(usage: &Value) -> Option<Usage> {
    usage.as_object()?;
    Some(Usage {
        input_tokens: usage["prompt_tokens"].as_u64().unwrap_or_default(),
        output_tokens: usage["completion_tokens"].as_u64().unwrap_or_default(),
        reasoning_tokens: usage["completion_tokens_details"]["reasoning_tokens"].as_u64(),
        cached_tokens: usage["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .or_else(|| usage["prompt_cache_hit_tokens"].as_u64()),
    })
}
