//! The Convex HTTP function API.
//!
//! A function's own failure is a normal answer (200, `status: "error"`), because the official clients
//! take a `ConvexError` from nowhere else. What concerns the caller's credentials is 401 or 403.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use spool_chat::Kind;
use spool_chat::Principal;
use spool_protocol::convex::value::{args_of, decode_args};
use spool_protocol::convex::{decode_ts, encode_ts};
use spool_protocol::{Code, Error};

use super::{Body, Caller, Parameters, Refusal};
use crate::app::App;
use crate::functions::find;
use crate::limits::Class;
use crate::origin;

/// Queries in one `query_batch`.
const BATCH_QUERIES: usize = 100;

#[derive(Deserialize)]
struct Call {
    path: String,
    args: Box<RawValue>,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    ts: Option<String>,
}

impl Call {
    fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let call: Self = serde_json::from_slice(body).map_err(|e| bad(format!("body: {e}")))?;
        check_format(call.format.as_deref())?;
        Ok(call)
    }
}

/// Plain values look the same in every format, so each is accepted.
fn check_format(format: Option<&str>) -> Result<(), Refusal> {
    match format {
        None | Some("convex_encoded_json" | "convex_json" | "json" | "convex_clean_json") => Ok(()),
        Some(other) => Err(bad(format!("format: \"{other}\" is unknown; use json or convex_encoded_json"))),
    }
}

fn bad(message: String) -> Refusal {
    Refusal(Error::bad_request(message))
}

type Reply = Result<Response, Refusal>;

/// A success, or a failure of the function itself.
fn reply(result: Result<&str, Error>) -> Reply {
    Ok(([("content-type", "application/json")], entry(result)?).into_response())
}

fn entry(result: Result<&str, Error>) -> Result<String, Refusal> {
    match result {
        Ok(value) => Ok(format!(r#"{{"status":"success","value":{value},"logLines":[]}}"#)),
        Err(error) => match error.code {
            Code::Unauthenticated | Code::InvalidToken | Code::Forbidden | Code::Overloaded | Code::StorageFull => {
                Err(Refusal(error))
            }
            _ => {
                let error = error.clone().with("requestId", request_id_of(&error));
                let body = json!({ "status": "error", "errorMessage": error.message, "errorData": error.to_data(), "logLines": [] });
                Ok(body.to_string())
            }
        },
    }
}

fn request_id_of(error: &Error) -> String {
    let known = error.data.as_ref().and_then(|data| data.get("requestId")?.as_str());
    known.map_or_else(crate::functions::request_id, str::to_owned)
}

async fn run_query(
    app: &App, principal: &Arc<Principal>, path: &str, args: Result<Value, Error>,
) -> Result<String, Error> {
    app.functions.query(path, principal, args?).await.map(|(_, value)| value)
}

pub async fn query(State(app): State<Arc<App>>, Caller(caller): Caller, Body(body): Body) -> Reply {
    let call = Call::parse(&body)?;
    let result = run_query(&app, &caller.principal, &call.path, decode_args(&call.args)).await;
    reply(result.as_deref().map_err(Clone::clone))
}

#[derive(Deserialize)]
pub struct UrlCall {
    path: String,
    #[serde(default)]
    args: Option<String>,
    #[serde(default)]
    format: Option<String>,
}

/// `GET /api/query?path=…&args=<json>`
pub async fn query_by_url(
    State(app): State<Arc<App>>, Caller(caller): Caller, Parameters(call): Parameters<UrlCall>,
) -> Reply {
    check_format(call.format.as_deref())?;
    let args: Value =
        serde_json::from_str(call.args.as_deref().unwrap_or("{}")).map_err(|e| bad(format!("args: {e}")))?;
    let result = run_query(&app, &caller.principal, &call.path, args_of(args)).await;
    reply(result.as_deref().map_err(Clone::clone))
}

pub async fn mutation(State(app): State<Arc<App>>, Caller(caller): Caller, Body(body): Body) -> Reply {
    let call = Call::parse(&body)?;
    let result = match decode_args(&call.args) {
        Ok(args) => app.functions.mutate(&call.path, &caller.principal, args, None).await,
        Err(error) => Err(error),
    };
    reply(result.as_ref().map(|done| &*done.value).map_err(Clone::clone))
}

pub async fn action(State(app): State<Arc<App>>, Caller(caller): Caller, Body(body): Body) -> Reply {
    let call = Call::parse(&body)?;
    let result = match decode_args(&call.args) {
        Ok(args) => app.actions.run(&call.path, &caller.principal, args).await,
        Err(error) => Err(error),
    };
    reply(result.as_deref().map_err(Clone::clone))
}

/// `POST /api/run/module/function`: any public function, by its path in the URL.
pub async fn run(
    State(app): State<Arc<App>>, Caller(caller): Caller, Path(path): Path<String>, Body(body): Body,
) -> Reply {
    #[derive(Deserialize)]
    struct Arguments {
        args: Box<RawValue>,
    }
    let body: Arguments = serde_json::from_slice(&body).map_err(|e| bad(format!("body: {e}")))?;
    let path = path.rsplit_once('/').map_or_else(|| path.clone(), |(module, function)| format!("{module}:{function}"));
    let principal = &caller.principal;
    let result = async {
        let args = decode_args(&body.args)?;
        match find(&path, principal)?.kind {
            Kind::Query => run_query(&app, principal, &path, Ok(args)).await,
            Kind::Mutation => {
                app.functions.mutate(&path, principal, args, None).await.map(|done| done.value.to_string())
            }
            Kind::Action => app.actions.run(&path, principal, args).await,
        }
    };
    reply(result.await.as_deref().map_err(Clone::clone))
}

/// Several queries as of one timestamp.
pub async fn query_batch(State(app): State<Arc<App>>, Caller(caller): Caller, Body(body): Body) -> Reply {
    #[derive(Deserialize)]
    struct Batch {
        queries: Vec<Call>,
    }
    let batch: Batch = serde_json::from_slice(&body).map_err(|e| bad(format!("body: {e}")))?;
    if batch.queries.len() > BATCH_QUERIES {
        return Err(bad(format!("queries: at most {BATCH_QUERIES}")));
    }
    let ts = app.functions.store().pin().await.map_err(Refusal)?;
    let mut results = Vec::with_capacity(batch.queries.len());
    for (at, call) in batch.queries.iter().enumerate() {
        if at > 0 {
            // The request itself has counted as one.
            app.limits.charge(Class::Read, &caller.principal, &origin::current()).map_err(Refusal)?;
        }
        let result = match decode_args(&call.args) {
            Ok(args) => app.functions.query_at(ts, &call.path, &caller.principal, args).await,
            Err(error) => Err(error),
        };
        results.push(entry(result.as_deref().map_err(Clone::clone))?);
    }
    let body = format!(r#"{{"results":[{}]}}"#, results.join(","));
    Ok(([("content-type", "application/json")], body).into_response())
}

/// A timestamp for `query_at_ts`, good for half a minute.
pub async fn query_ts(State(app): State<Arc<App>>) -> Result<Json<Value>, Refusal> {
    let ts = app.functions.store().pin().await.map_err(Refusal)?;
    Ok(Json(json!({ "ts": encode_ts(ts) })))
}

pub async fn query_at_ts(State(app): State<Arc<App>>, Caller(caller): Caller, Body(body): Body) -> Reply {
    let call = Call::parse(&body)?;
    let ts = call
        .ts
        .as_deref()
        .and_then(decode_ts)
        .ok_or_else(|| bad("ts: expected the value that query_ts gave".into()))?;
    let result = match decode_args(&call.args) {
        Ok(args) => app.functions.query_at(ts, &call.path, &caller.principal, args).await,
        Err(error) => Err(error),
    };
    reply(result.as_deref().map_err(Clone::clone))
}
