//! Streamable HTTP to an MCP server: rmcp's own client, with our guard against private addresses, with the caller
//! of each call in a header, and with a count of what comes.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::{HeaderName, HeaderValue};
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage};
use rmcp::service::{ClientInitializeError, ServiceError};
use rmcp::transport::common::client_side_sse::ExponentialBackoff;
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpClientTransportConfig, StreamableHttpError,
    StreamableHttpPostResponse,
};
use rmcp::transport::{StreamableHttpClientTransport, WorkerTransport};
use sse_stream::Sse;

use super::flow::Flow;
use super::{CALL_META, CALLER_META};
use crate::config::tools::{self as config, McpServer};
use crate::tools::caller;
use crate::tools::http::client;

/// Attempts to take a broken stream up again, before the connection is made anew.
const RETRIES: usize = 5;
const LONGEST_RETRY: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Wire {
    client: reqwest::Client,
    flow: Arc<Flow>,
}

type Events = BoxStream<'static, Result<Sse, SseError>>;
type Answer<T> = Result<T, StreamableHttpError<reqwest::Error>>;
type Headers = HashMap<HeaderName, HeaderValue>;

pub fn open(
    server: &McpServer, flow: &Arc<Flow>,
) -> Result<impl rmcp::transport::Transport<rmcp::RoleClient> + 'static, String> {
    let url = server.url.as_ref().map(config_url).unwrap_or_default();
    let headers = config::headers(&server.headers).map_err(|error| error.to_string())?;
    let client = client(server.reach()).default_headers(headers).build().map_err(|error| innermost(&error))?;
    let mut settings = StreamableHttpClientTransportConfig::with_uri(url);
    let mut retries = ExponentialBackoff::default();
    (retries.max_times, retries.max_delay) = (Some(RETRIES), Some(LONGEST_RETRY));
    settings.retry_config = Arc::new(retries);
    let transport: WorkerTransport<_> =
        StreamableHttpClientTransport::with_client(Wire { client, flow: Arc::clone(flow) }, settings);
    Ok(transport)
}

fn config_url(url: &crate::config::auth::Secret) -> String {
    url.expose().to_owned()
}

impl Wire {
    fn count(&self, events: Events) -> Events {
        let flow = Arc::clone(&self.flow);
        let within = move |event: &Result<Sse, SseError>| {
            let bytes = event.as_ref().ok().and_then(|event| event.data.as_ref()).map_or(1, String::len);
            std::future::ready(flow.admit(bytes))
        };
        events.take_while(within).boxed()
    }
}

/// A call says in headers, too, what it says in its `_meta`.
fn name_caller(message: &ClientJsonRpcMessage, headers: &mut Headers) {
    let JsonRpcMessage::Request(request) = message else { return };
    let ClientRequest::CallToolRequest(call) = &request.request else { return };
    for (key, header) in [(CALLER_META, caller::HEADER), (CALL_META, caller::KEY_HEADER)] {
        let text = call.params.meta.as_ref().and_then(|meta| meta.0.0.get(key)?.as_str());
        if let Some(Ok(mut value)) = text.map(HeaderValue::from_str) {
            value.set_sensitive(true);
            headers.insert(header, value);
        }
    }
}

impl StreamableHttpClient for Wire {
    type Error = reqwest::Error;

    async fn post_message(
        &self, uri: Arc<str>, message: ClientJsonRpcMessage, session: Option<Arc<str>>, token: Option<String>,
        headers: Headers,
    ) -> Answer<StreamableHttpPostResponse> {
        let most = super::flow::MESSAGE_BYTES;
        self.post_message_with_max_sse_event_size(uri, message, session, token, headers, most).await
    }

    async fn post_message_with_max_sse_event_size(
        &self, uri: Arc<str>, message: ClientJsonRpcMessage, session: Option<Arc<str>>, token: Option<String>,
        mut headers: Headers, most: usize,
    ) -> Answer<StreamableHttpPostResponse> {
        name_caller(&message, &mut headers);
        let sent = self.client.post_message_with_max_sse_event_size(uri, message, session, token, headers, most);
        Ok(match sent.await? {
            StreamableHttpPostResponse::Sse(events, session) => {
                StreamableHttpPostResponse::Sse(self.count(events), session)
            }
            other => other,
        })
    }

    async fn delete_session(
        &self, uri: Arc<str>, session: Arc<str>, token: Option<String>, headers: Headers,
    ) -> Answer<()> {
        self.client.delete_session(uri, session, token, headers).await
    }

    async fn get_stream(
        &self, uri: Arc<str>, session: Option<Arc<str>>, last: Option<String>, token: Option<String>, headers: Headers,
    ) -> Answer<Events> {
        let most = super::flow::MESSAGE_BYTES;
        self.get_stream_with_max_sse_event_size(uri, session, last, token, headers, most).await
    }

    async fn get_stream_with_max_sse_event_size(
        &self, uri: Arc<str>, session: Option<Arc<str>>, last: Option<String>, token: Option<String>, headers: Headers,
        most: usize,
    ) -> Answer<Events> {
        let got = self.client.get_stream_with_max_sse_event_size(uri, session, last, token, headers, most);
        let got = got.await;
        // The server is gone, and its sessions with it. rmcp would try a few times and then listen no more.
        if let Err(StreamableHttpError::Client(error)) = &got
            && error.is_connect()
        {
            self.flow.end();
        }
        Ok(self.count(got?))
    }
}

/// What an error comes from. rmcp does not say it everywhere in the usual way.
fn cause_of<'error>(error: &'error (dyn Error + 'static)) -> Option<&'error (dyn Error + 'static)> {
    if let Some(ServiceError::TransportSend(inner)) = error.downcast_ref() {
        return Some(inner);
    }
    if let Some(ClientInitializeError::TransportError { error: inner, .. }) = error.downcast_ref() {
        return Some(inner);
    }
    if let Some(StreamableHttpError::<reqwest::Error>::Client(inner)) = error.downcast_ref() {
        return Some(inner);
    }
    error.source()
}

/// The innermost cause says what is wrong, the outer ones that something is. URLs may hold secrets and are left
/// out.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause_of(cause) {
        cause = inner;
    }
    let said = cause.to_string();
    let told = if cause.is::<reqwest::Error>() { said.split(" for url (").next() } else { None };
    told.unwrap_or(&said).to_owned()
}

/// What an error says of a call.
pub enum Fate {
    /// It did not get there.
    NotSent,
    /// Its answer was larger than is read.
    TooLarge,
    /// The other side refused it with a status, and goes on.
    Refused,
    Unknown,
}

pub fn fate(error: &(dyn Error + 'static)) -> Fate {
    let mut next = Some(error);
    while let Some(cause) = next {
        if cause.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect) {
            return Fate::NotSent;
        }
        match cause.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
            Some(StreamableHttpError::ResponseBodyTooLarge { .. }) => return Fate::TooLarge,
            Some(StreamableHttpError::HttpStatus(_)) => return Fate::Refused,
            _ => {}
        }
        next = cause_of(cause);
    }
    Fate::Unknown
}
