//! Refusals on this wire: the product's errors, with the headers that the protocol adds.

use ::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use spool_protocol::{Code, Error};

use super::super::Refusal;
use super::{headers, offset};

/// A request that failed.
pub struct Refused(pub Error);

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let facts = |name: &str| self.0.data.as_ref().and_then(|data| data.get(name)).and_then(Value::as_u64);
        let mut extra: Vec<(HeaderName, String)> = Vec::new();
        match self.0.code {
            Code::LogSealed => {
                extra.push((headers::CLOSED, "true".to_owned()));
                extra.extend(facts("end").map(|end| (headers::NEXT_OFFSET, offset::format(end))));
            }
            Code::Forbidden => extra.extend(facts("epoch").map(|epoch| (headers::PRODUCER_EPOCH, epoch.to_string()))),
            Code::StreamConflict => {
                extra.extend(facts("expected").map(|seq| (headers::EXPECTED_SEQ, seq.to_string())));
                extra.extend(facts("received").map(|seq| (headers::RECEIVED_SEQ, seq.to_string())));
            }
            _ => {}
        }
        let mut response = Refusal(self.0).into_response();
        for (name, value) in extra {
            response.headers_mut().extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
        }
        // An edge must not keep "missing" of a stream that is created a moment later.
        response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
        response
    }
}
