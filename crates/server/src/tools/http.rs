//! Tools that are one HTTP request.
//!
//! The request says whose it is and which call it is, and follows no redirect. The answer is read up to a bound, as
//! JSON or as text.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::{Client, Response, Url};
use serde_json::Value;
use spool_agent::ToolSpec;

use super::caller::{self, Signer};
use super::hidden::Hidden;
use super::{ANSWER_BYTES, FailureKind, Invocation, ToolFailure};
use crate::config::tools as config;
use crate::egress::{self, NotAdmitted, Reach};

/// How long a connection may take to be made.
pub const CONNECT: Duration = Duration::from_secs(10);

/// A tool behind a URL.
pub struct HttpTool {
    spec: ToolSpec,
    client: Client,
    url: Url,
    method: Method,
    headers: HeaderMap,
    timeout: Duration,
    hidden: Hidden,
    signer: Arc<Signer>,
}

/// A client that is known as ours.
pub fn client(reach: Reach) -> reqwest::ClientBuilder {
    egress::client(reach).connect_timeout(CONNECT).user_agent(concat!("spool/", env!("CARGO_PKG_VERSION")))
}

pub fn open(named: &BTreeMap<String, config::HttpTool>, signer: &Arc<Signer>) -> Result<Vec<HttpTool>> {
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let (public, anywhere) = (client(Reach::Internet).build()?, client(Reach::Anywhere).build()?);
    let open = |(name, tool): (&String, &config::HttpTool)| {
        let client = if tool.reach() == Reach::Anywhere { &anywhere } else { &public };
        HttpTool::open(name, tool, client.clone(), Arc::clone(signer)).with_context(|| format!("tools.http.{name}"))
    };
    named.iter().map(open).collect()
}

impl HttpTool {
    fn open(name: &str, tool: &config::HttpTool, client: Client, signer: Arc<Signer>) -> Result<Self> {
        let spec = ToolSpec {
            name: name.to_owned(),
            title: tool.title.clone(),
            description: tool.description.clone(),
            input_schema: tool.input.clone(),
            writes: tool.writes(),
            idempotent: tool.idempotent.unwrap_or(!tool.writes()),
            approvers: tool.approvers,
        };
        Ok(Self {
            spec,
            client,
            url: Url::parse(tool.url.expose()).ok().context("url: must be a URL")?,
            method: tool.method.method(),
            headers: config::headers(&tool.headers)?,
            timeout: tool.timeout(),
            hidden: Hidden::of(tool.headers.values().chain([&tool.url])),
            signer,
        })
    }

    pub fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    pub async fn call(&self, invocation: &Invocation) -> Result<Value, ToolFailure> {
        let token = self.signer.sign(&self.spec.name, invocation)?;
        let hidden = self.hidden.clone().and(&token);
        let called = tokio::time::timeout(self.timeout, self.send(invocation, &token, &hidden)).await;
        called.unwrap_or_else(|_| {
            let message = format!("{} gave no answer within {} s", self.spec.name, self.timeout.as_secs());
            Err(ToolFailure::new(FailureKind::TimedOut, message))
        })
    }

    async fn send(&self, invocation: &Invocation, token: &str, hidden: &Hidden) -> Result<Value, ToolFailure> {
        let name = &self.spec.name;
        let mut url = self.url.clone();
        let mut headers = self.headers.clone();
        for (header, value) in [(caller::HEADER, token), (caller::KEY_HEADER, invocation.call_id.as_str())] {
            let value = HeaderValue::from_str(value)
                .map_err(|_| ToolFailure::new(FailureKind::Refused, "the id of the call is no value of a header"))?;
            headers.insert(header, value);
        }
        let in_query = self.method == Method::GET || self.method == Method::DELETE;
        if in_query {
            if let Some(input) = said_already(&url, &invocation.input) {
                let message = format!("{name}: the input must not say {input}, which its address says already");
                return Err(ToolFailure::new(FailureKind::Refused, message));
            }
            put_into_query(&mut url, &invocation.input);
        }
        let mut request = self.client.request(self.method.clone(), url).headers(headers);
        request = request.header(header::ACCEPT, "application/json, text/*;q=0.9");
        if !in_query {
            request = request.json(&invocation.input);
        }
        let answer = request.send().await.map_err(|error| unreachable(name, &error, hidden))?;
        let status = answer.status();
        let media_type = media_type(&answer);
        let body = read(name, answer, hidden).await?;
        if !status.is_success() {
            return Err(refusal(name, status, &body, hidden));
        }
        parse(name, &media_type, body)
    }
}

/// A name in the input that the address has in its query: what is fixed there is not for the model to say again.
/// Some servers take `a`, `A` and `a[]` for the same.
fn said_already<'input>(url: &Url, input: &'input Value) -> Option<&'input str> {
    let plain = |name: &str| name.split('[').next().unwrap_or_default().to_lowercase();
    let fixed: Vec<String> = url.query_pairs().map(|(name, _)| plain(&name)).collect();
    let names = input.as_object().into_iter().flat_map(|input| input.keys());
    names.map(String::as_str).find(|name| fixed.contains(&plain(name)))
}

/// Texts as they are, anything else as JSON; what is null is left out.
fn put_into_query(url: &mut Url, input: &Value) {
    let mut query = url.query_pairs_mut();
    for (name, value) in input.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::String(text) => {
                query.append_pair(name, text);
            }
            other => {
                query.append_pair(name, &other.to_string());
            }
        }
    }
    drop(query);
    if url.query() == Some("") {
        url.set_query(None);
    }
}

/// Why a request failed before there was an answer. The innermost cause says it best (`connection refused`).
fn unreachable(name: &str, error: &reqwest::Error, hidden: &Hidden) -> ToolFailure {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if cause.is::<NotAdmitted>() {
        return ToolFailure::new(FailureKind::Refused, format!("{name} may not be called: {cause}"));
    }
    let said = hidden.excerpt(&cause.to_string());
    if error.is_connect() {
        return ToolFailure::new(FailureKind::Unavailable, format!("{name} cannot be reached: {said}"));
    }
    ToolFailure::new(FailureKind::Failed, format!("{name} gave no answer: {said}"))
}

/// `application/json` of `application/json; charset=utf-8`.
fn media_type(answer: &Response) -> String {
    let said = answer.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

async fn read(name: &str, mut answer: Response, hidden: &Hidden) -> Result<Vec<u8>, ToolFailure> {
    let too_large = || {
        let message = format!("{name} answered with more than {} MiB", ANSWER_BYTES >> 20);
        ToolFailure::new(FailureKind::TooLarge, message)
    };
    if answer.content_length().is_some_and(|length| length > ANSWER_BYTES as u64) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > ANSWER_BYTES => return Err(too_large()),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body),
            Err(error) => {
                let said = hidden.excerpt(&error.without_url().to_string());
                return Err(ToolFailure::new(FailureKind::Failed, format!("the answer of {name} broke off: {said}")));
            }
        }
    }
}

fn refusal(name: &str, status: StatusCode, body: &[u8], hidden: &Hidden) -> ToolFailure {
    let said = match status.is_redirection() {
        true => "redirects are not followed".to_owned(),
        false => hidden.excerpt(&String::from_utf8_lossy(body)),
    };
    let said = if said.is_empty() { String::new() } else { format!(": {said}") };
    ToolFailure::new(FailureKind::Failed, format!("{name} answered {}{said}", status.as_u16()))
}

/// JSON as what it is, text as text. What does not say what it is, is JSON if it can be read so.
fn parse(name: &str, media_type: &str, body: Vec<u8>) -> Result<Value, ToolFailure> {
    let failed = |what: &str| ToolFailure::new(FailureKind::Failed, format!("{name} answered with {what}"));
    if body.is_empty() {
        return Ok(Value::Null);
    }
    if media_type == "application/json" || media_type.ends_with("+json") {
        return serde_json::from_slice(&body).map_err(|_| failed("what it says is JSON, and is not"));
    }
    if media_type.is_empty()
        && let Ok(value) = serde_json::from_slice(&body)
    {
        return Ok(value);
    }
    if media_type.is_empty() || media_type.starts_with("text/") {
        return String::from_utf8(body).map(Value::String).map_err(|_| failed("bytes that are no text"));
    }
    Err(failed(&format!("{media_type}, and neither JSON nor text")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use spool_store::SystemClock;

    use super::*;
    use crate::auth::tokens::{Tokens, generate_key};
    use crate::tools::Caller;

    /// A name that no look at the configuration can know, and that leads to this machine.
    #[tokio::test]
    async fn tc_10_a_name_that_leads_here_is_refused_when_it_is_called() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = format!(
            "description = \"d\"\nurl = \"http://localhost:{port}/\"\ninput = {{ type = \"object\" }}\nmethod = \"GET\""
        );
        let tool: config::HttpTool = toml::from_str(&text).unwrap();
        let tokens = Tokens::new(&generate_key().unwrap(), Arc::new(SystemClock)).unwrap();
        let tools = open(&BTreeMap::from([("a".to_owned(), tool)]), &Arc::new(Signer::new(tokens))).unwrap();
        let caller = Caller {
            user_id: "usr_1".into(),
            role: None,
            thread_id: "thr_1".into(),
            generation_id: "gen_1".into(),
            agent_id: None,
        };
        let invocation = Invocation { call_id: "tc_1".into(), tool: "a".into(), input: json!({}), caller };
        let failure = tools[0].call(&invocation).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused, "{failure:?}");
        assert!(failure.message.contains("no public address"), "{failure:?}");
    }
}
