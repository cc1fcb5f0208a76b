//! Anthropic's messages API.
//!
//! Owns the request body and the meaning of its events. Must never read settings from anywhere but its
//! [`AnthropicOptions`], and never pass on a signature or an encrypted block: they mean nothing to a
//! reader.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Url;
use serde_json::{Value, json};
use spool_protocol::Usage;

use super::calls::{self, Ids, Writing, arguments};
use super::http::{self, Decode, unreadable};
use super::{ApiKey, EventStream, Failure, Piece, PromptMessage, Provider, ProviderEvent, Request, Role};
use crate::tools::ToolChoice;

/// Where Anthropic itself is.
pub const DEFAULT_BASE_URL: &str = "https://api.anthropic.com";
/// The version of the API whose events are read here.
const API_VERSION: &str = "2023-06-01";
/// The API demands a limit, and refuses one above the model's own. Every current model accepts this one.
const DEFAULT_MAX_TOKENS: u32 = 8192;

/// Which server, as whom.
#[derive(Debug, Clone)]
pub struct AnthropicOptions {
    /// The part before `/v1/messages`.
    pub base_url: String,
    /// `None` sends no `x-api-key`; a gateway may add its own.
    pub key: Option<ApiKey>,
}

impl Default for AnthropicOptions {
    fn default() -> Self {
        Self { base_url: DEFAULT_BASE_URL.to_owned(), key: None }
    }
}

/// A provider that speaks the messages API.
#[derive(Debug, Clone)]
pub struct Anthropic {
    client: reqwest::Client,
    endpoint: Url,
    key: Option<ApiKey>,
}

impl Anthropic {
    /// # Errors
    /// If the base URL is none. No connection is made.
    pub fn new(client: reqwest::Client, options: AnthropicOptions) -> Result<Self, Failure> {
        let base = options.base_url.trim().trim_end_matches('/').trim_end_matches("/v1");
        let endpoint = http::endpoint(base, "/v1/messages")?;
        Ok(Self { client, endpoint, key: options.key })
    }
}

impl Provider for Anthropic {
    fn stream(&self, request: Request) -> EventStream {
        let mut call =
            self.client.post(self.endpoint.clone()).header("anthropic-version", API_VERSION).json(&body(&request));
        if let Some(key) = &self.key {
            match key.header("") {
                Ok(header) => call = call.header("x-api-key", header),
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

fn body(request: &Request) -> Value {
    let (system, messages): (Vec<_>, Vec<_>) =
        request.messages.iter().filter(|message| !message.is_blank()).partition(|message| message.role == Role::System);
    let mut body = json!({
        "model": request.model,
        "messages": conversation(&messages),
        "max_tokens": request.max_output_tokens.unwrap_or(DEFAULT_MAX_TOKENS),
        "stream": true,
    });
    // The API has one place for instructions, and it is not among the messages.
    let system: Vec<&str> =
        request.system.as_deref().into_iter().chain(system.iter().map(|message| message.text.as_str())).collect();
    if !system.is_empty() {
        body["system"] = system.join("\n\n").into();
    }
    if let Some(temperature) = request.temperature {
        body["temperature"] = temperature.into();
    }
    let (tools, choice) = tools(request);
    if !tools.is_empty() {
        body["tools"] = tools.into();
        body["tool_choice"] = choice;
    }
    body
}

/// The messages as the API has them. It knows no tool messages: neighbouring results are one message of the
/// user, and what the user says next stands behind them in the same message.
fn conversation(messages: &[&PromptMessage]) -> Vec<Value> {
    let mut said: Vec<Value> = Vec::new();
    // The blocks of results that no message of the user was put behind yet.
    let mut results: Vec<Value> = Vec::new();
    for message in messages {
        if let Some(answered) = &message.answers {
            let mut block = json!({"type": "tool_result", "tool_use_id": calls::plain_id(&answered.call_id)});
            // An empty text is refused, no content is not.
            if !message.text.trim().is_empty() {
                block["content"] = message.text.clone().into();
            }
            if answered.failed {
                block["is_error"] = true.into();
            }
            results.push(block);
            continue;
        }
        if message.role == Role::User && !results.is_empty() {
            results.extend(blocks(message));
        }
        if !results.is_empty() {
            said.push(json!({"role": "user", "content": std::mem::take(&mut results)}));
            if message.role == Role::User {
                continue;
            }
        }
        let content = if message.calls.is_empty() {
            Piece::content(message, block)
        } else {
            let calls = message.calls.iter().map(|call| {
                let (id, name) = (calls::plain_id(&call.id), calls::name(&call.tool));
                json!({"type": "tool_use", "id": id, "name": name, "input": calls::object(&call.input)})
            });
            blocks(message).chain(calls).collect()
        };
        said.push(json!({"role": message.role.as_str(), "content": content}));
    }
    if !results.is_empty() {
        said.push(json!({"role": "user", "content": results}));
    }
    said
}

/// The content of a message without blank texts, which the API refuses.
fn blocks(message: &PromptMessage) -> impl Iterator<Item = Value> {
    message.pieces().into_iter().map(block)
}

/// The tools and the choice among them. The API refuses a conversation that shows calls while no tool is
/// declared; then those of the conversation are, and none may be chosen.
fn tools(request: &Request) -> (Vec<Value>, Value) {
    if request.tools.is_empty() {
        let called = request.messages.iter().flat_map(|message| &message.calls);
        let names: BTreeSet<_> = called.map(|call| calls::name(&call.tool)).collect();
        let tool = |name: &String| json!({"name": name, "input_schema": {"type": "object"}});
        return (names.iter().map(tool).collect(), json!({"type": "none"}));
    }
    let tools = request.tools.iter().map(|tool| {
        let mut json = json!({"name": tool.name, "input_schema": tool.input_schema});
        if !tool.description.is_empty() {
            json["description"] = tool.description.clone().into();
        }
        json
    });
    let choice = match &request.tool_choice {
        ToolChoice::Auto => json!({"type": "auto"}),
        ToolChoice::Required => json!({"type": "any"}),
        ToolChoice::None => json!({"type": "none"}),
        ToolChoice::Named(name) => json!({"type": "tool", "name": name}),
    };
    (tools.collect(), choice)
}

fn block(piece: Piece<'_>) -> Value {
    let source = |media_type: &str, base64| json!({"type": "base64", "media_type": media_type, "data": base64});
    match piece {
        Piece::Text(text) => json!({"type": "text", "text": text}),
        Piece::Image { file, base64 } => json!({"type": "image", "source": source(&file.media_type, base64)}),
        Piece::Pdf { file, base64 } => {
            json!({"type": "document", "title": file.name, "source": source(&file.media_type, base64)})
        }
    }
}

/// A tool call while its input arrives.
struct Call {
    writing: Writing,
    /// What the start of the block said.
    input: Value,
    by_provider: bool,
}

#[derive(Default)]
struct Decoder {
    key: Option<ApiKey>,
    ids: Ids,
    /// See [`Request::stream_tool_input`].
    tells_input: bool,
    /// Open calls by the index of their block.
    calls: BTreeMap<u64, Call>,
    tokens: Tokens,
    cited: Vec<String>,
    reason: Option<String>,
}

impl Decode for Decoder {
    fn frame(&mut self, data: &str, events: &mut Vec<ProviderEvent>) -> Result<(), Failure> {
        let event: Value = serde_json::from_str(data).map_err(|_| unreadable())?;
        let block = event["index"].as_u64().unwrap_or_default();
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => self.count(&event["message"]["usage"], events),
            "content_block_start" => self.start(block, &event["content_block"], events),
            "content_block_delta" => self.delta(block, &event["delta"], events),
            "content_block_stop" => self.stop(block, events),
            "message_delta" => {
                self.count(&event["usage"], events);
                if let Some(reason) = event["delta"]["stop_reason"].as_str() {
                    self.reason = Some(common_reason(reason).to_owned());
                }
            }
            "message_stop" => {
                self.reason.get_or_insert_with(|| "stop".to_owned());
                self.close(events);
            }
            "error" => return Err(Failure::reported(&event, self.key.as_ref())),
            // `ping`, and what the API may add: its versioning policy asks clients to ignore it.
            _ => {}
        }
        Ok(())
    }

    fn close(&mut self, events: &mut Vec<ProviderEvent>) {
        if let Some(reason) = self.reason.take() {
            events.push(ProviderEvent::Finish { reason });
        }
    }
}

impl Decoder {
    fn start(&mut self, index: u64, block: &Value, events: &mut Vec<ProviderEvent>) {
        let kind = block["type"].as_str().unwrap_or_default();
        if kind.ends_with("tool_use") {
            let text = |name: &str| block[name].as_str().unwrap_or_default();
            // `server_tool_use` and `mcp_tool_use` are run by the provider, whose results name their ids.
            let by_provider = kind != "tool_use";
            let id = if by_provider { text("id").to_owned() } else { self.ids.fresh(text("id")) };
            let writing = Writing::new(id, text("name").to_owned());
            self.calls.insert(index, Call { writing, input: block["input"].clone(), by_provider });
        } else if kind.ends_with("tool_result") {
            events.push(result(block));
        } else if let Some(text) = block["text"].as_str().filter(|text| !text.is_empty()) {
            events.push(ProviderEvent::Text(text.to_owned()));
        }
    }

    fn delta(&mut self, index: u64, delta: &Value, events: &mut Vec<ProviderEvent>) {
        let text = |name: &str| delta[name].as_str().unwrap_or_default().to_owned();
        match delta["type"].as_str().unwrap_or_default() {
            "text_delta" => events.push(ProviderEvent::Text(text("text"))),
            "thinking_delta" => events.push(ProviderEvent::Reasoning(text("thinking"))),
            "input_json_delta" => {
                if let Some(call) = self.calls.get_mut(&index) {
                    call.writing.json.push_str(&text("partial_json"));
                    if self.tells_input && !call.by_provider {
                        call.writing.tell(events);
                    }
                }
            }
            "citations_delta" => self.cite(&delta["citation"], events),
            _ => {}
        }
    }

    fn stop(&mut self, index: u64, events: &mut Vec<ProviderEvent>) {
        let Some(Call { writing, input, by_provider }) = self.calls.remove(&index) else { return };
        // Calls without arguments, and some gateways, put the whole input into the start of the block.
        let input = if writing.json.is_empty() && input.is_object() { input } else { arguments(writing.json) };
        events.push(ProviderEvent::ToolCall { id: writing.id, tool: writing.tool, input, by_provider });
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
            snippet: citation["cited_text"].as_str().map(str::to_owned),
        });
    }

    fn count(&mut self, usage: &Value, events: &mut Vec<ProviderEvent>) {
        if usage.is_object() {
            self.tokens.read(usage);
            events.push(ProviderEvent::Usage(self.tokens.usage()));
        }
    }
}

/// The running counts. Each event repeats only some of them, and a repeated one replaces the earlier.
#[derive(Default)]
struct Tokens {
    fresh: u64,
    cache_read: Option<u64>,
    cache_written: u64,
    output: u64,
}

impl Tokens {
    fn read(&mut self, usage: &Value) {
        let count = |name: &str| usage[name].as_u64();
        self.fresh = count("input_tokens").unwrap_or(self.fresh);
        self.cache_read = count("cache_read_input_tokens").or(self.cache_read);
        self.cache_written = count("cache_creation_input_tokens").unwrap_or(self.cache_written);
        self.output = count("output_tokens").unwrap_or(self.output);
    }

    /// Anthropic counts cached input apart; everywhere else it is a part of the input.
    fn usage(&self) -> Usage {
        Usage {
            input_tokens: self.fresh + self.cache_read.unwrap_or_default() + self.cache_written,
            output_tokens: self.output,
            reasoning_tokens: None,
            cached_tokens: self.cache_read,
        }
    }
}

/// The result of a tool that Anthropic ran.
fn result(block: &Value) -> ProviderEvent {
    let id = block["tool_use_id"].as_str().unwrap_or_default().to_owned();
    let content = &block["content"];
    let failed = content["type"].as_str().is_some_and(|kind| kind.ends_with("_error"));
    if failed || block["is_error"] == true {
        let error = content["error_code"].as_str().or(content[0]["text"].as_str()).unwrap_or("failed");
        return ProviderEvent::ToolResult { id, output: None, error: Some(error.to_owned()) };
    }
    let mut output = content.clone();
    for item in output.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        // Kilobytes per hit that only Anthropic can read.
        item.remove("encrypted_content");
    }
    ProviderEvent::ToolResult { id, output: Some(output), error: None }
}

/// One vocabulary of reasons for all providers; see [`ProviderEvent::Finish`].
fn common_reason(reason: &str) -> &str {
    match reason {
        "end_turn" | "stop_sequence" => "stop",
        "max_tokens" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        other => other,
    }
}
