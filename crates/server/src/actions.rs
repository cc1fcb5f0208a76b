//! Actions: functions that take time. They change documents only by calling mutations.

mod workers;

use std::sync::Arc;

use serde_json::{Value, json};
use spool_chat::Principal;
use spool_chat::registry::Kind;
use spool_protocol::{Code, Error};
use tokio::sync::Notify;

use crate::account;
use crate::functions::Functions;

#[derive(Clone)]
pub struct Actions {
    functions: Functions,
    /// Wakes the jobs before their time.
    hurry: Arc<Notify>,
}

impl Actions {
    pub fn new(functions: Functions, hurry: Arc<Notify>) -> Self {
        Self { functions, hurry }
    }

    /// Runs an action to its end and returns the result as JSON text.
    pub async fn run(&self, path: &str, principal: &Arc<Principal>, args: Value) -> Result<String, Error> {
        let function = self.functions.find(path, Kind::Action, principal)?;
        function.authorize(principal)?;
        match function.path {
            "turns:sendAndWait" => self.send_and_wait(principal, args).await,
            "workers:create" => workers::with_secret(&self.functions, "workers:insert", principal, args).await,
            "workers:rotate" => workers::with_secret(&self.functions, "workers:renew", principal, args).await,
            "account:deleteMyAccount" => account::delete(&self.functions, &self.hurry, principal, args).await,
            other => Err(Error::internal(format!("the action {other} has no implementation"))),
        }
    }

    /// ST-19: the blocking call is the streaming one, awaited. Ends when the message is terminal.
    async fn send_and_wait(&self, principal: &Arc<Principal>, args: Value) -> Result<String, Error> {
        let sent = self.functions.mutate("turns:send", principal, args, None).await?;
        let sent: Value = serde_json::from_str(&sent.value).map_err(|e| Error::internal(format!("turns:send: {e}")))?;
        let Some(message_id) = sent["messageId"].as_str() else {
            return Err(Error::new(
                Code::ThreadBusy,
                "the message is queued behind a running answer: there is nothing to wait for yet",
            ));
        };
        let wake = Arc::new(Notify::new());
        let args = json!({ "messageId": message_id });
        let subscription = self.functions.subscribe("messages:get", principal, args, None, &wake)?;
        let mut last = None;
        loop {
            let output = self.functions.store().changed(&subscription, &wake, last.clone()).await?;
            let text = output.value.clone()?;
            let message: Value =
                serde_json::from_str(&text).map_err(|e| Error::internal(format!("messages:get: {e}")))?;
            match message["status"].as_str() {
                Some("pending" | "streaming") => last = Some(output),
                Some(_) => return Ok(text.to_string()),
                None => return Err(Error::not_found("message")),
            }
        }
    }
}
