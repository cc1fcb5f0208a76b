//! What operators and tools ask: alive, ready, counters, the function table.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::Refusal;
use crate::app::App;

/// The process runs.
pub async fn alive() -> &'static str {
    "ok"
}

/// Requests are served: the store answers a query.
pub async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, Refusal> {
    app.functions.query_as_system("server:info", json!({})).await.map_err(Refusal)?;
    Ok("ready")
}

pub async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    let text = app.functions.metrics().render(app.functions.store());
    ([("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}

pub async fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

pub async fn openapi() -> Json<Value> {
    Json(spool_chat::openapi::document())
}
