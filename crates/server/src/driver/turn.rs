//! Runs one claimed turn: feeds the pure machine with what happens, performs what it asks for.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use spool_agent::{
    Effect, EventStream, FlushPolicy, Input, Outcome, PromptLimits, PromptMessage, Provider, Request, Role, Turn,
    assemble, wanted,
};
use spool_protocol::{Code, Error, Event};
use spool_store::{Appending, Id};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Claim, HistoryMessage};
use crate::app::App;

struct Run<'app> {
    app: &'app App,
    owner: &'app str,
    generation: &'app str,
    epoch: u64,
    provider: Arc<dyn Provider>,
    provider_name: String,
    model: String,
    stream: Option<EventStream>,
    /// Where the log ends once `appending` is over.
    offset: u64,
    /// The append that was last sent on its way. Nobody waits for it while the model is silent: a wake-up for
    /// every token that is stored costs as much as the token.
    appending: Option<Appending>,
    started: bool,
    outcome: Option<Outcome>,
    begun: Instant,
    tick: Option<Pin<Box<Sleep>>>,
}

pub async fn run(app: &App, owner: &str, generation: &str, claim: Claim) -> Result<(), Error> {
    let (provider_name, provider, model) = app.providers.find(&claim.model);
    let turns = &app.config.turns;
    let limits = PromptLimits { max_messages: turns.history_messages, max_bytes: turns.history_bytes };
    let history: Vec<_> = claim.history.into_iter().filter_map(HistoryMessage::into_prompt).collect();
    let instructions =
        app.config.roles.instructions(app.config.instructions.as_deref(), claim.effective_role.as_deref());
    let sections: Vec<&str> =
        instructions.as_deref().into_iter().chain(claim.recalled.iter().map(String::as_str)).collect();
    let (system, mut messages) = assemble(Some(&sections.join("\n\n")), &history, limits);
    // The user opened the conversation without a word, and providers refuse a prompt without one.
    if messages.is_empty() {
        messages.push(PromptMessage::new(Role::User, spool_chat::recall::OPENING));
    }
    hand_in_files(app, &mut messages).await;
    let request = Request { model: model.clone(), system, messages, ..Request::default() };
    let mut turn = Turn::new(FlushPolicy { interval_ms: turns.flush_ms, max_bytes: turns.flush_bytes });
    let mut run = Run {
        app,
        owner,
        generation,
        epoch: claim.epoch,
        provider,
        provider_name,
        model,
        stream: None,
        offset: 0,
        appending: None,
        started: false,
        outcome: None,
        begun: Instant::now(),
        tick: None,
    };
    run.perform(turn.handle(Input::Start { request }, 0)).await?;

    let wake = Arc::new(Notify::new());
    let system = Arc::new(spool_chat::Principal::System);
    let watch = app.functions.subscribe("driver:watch", &system, json!({ "generationId": generation }), None, &wake)?;
    let mut renew = tokio::time::interval(Duration::from_secs(turns.lease_seconds) / 3);
    renew.tick().await; // the first is immediate, and the claim is fresh
    let drained = async {
        app.shutdown.cancelled().await;
        tokio::time::sleep(Duration::from_millis(turns.shutdown_ms)).await;
    };
    tokio::pin!(drained);

    let mut watched = Box::pin(app.functions.store().changed(&watch, &wake, None));
    while run.outcome.is_none() {
        let input = tokio::select! {
            event = next_event(&mut run.stream) => match event {
                Some(Ok(event)) => Input::Provider(event),
                Some(Err(failure)) => Input::ProviderFailed(failure),
                None => Input::ProviderEnded,
            },
            output = &mut watched => {
                let output = output?;
                let row: Value = serde_json::from_str(output.value.as_deref().unwrap_or("null")).unwrap_or_default();
                watched.set(app.functions.store().changed(&watch, &wake, Some(output)));
                if row["leaseEpoch"].as_u64() != Some(run.epoch) || row["status"].as_str().is_none_or(is_terminal) {
                    Input::LeaseLost
                } else if !row["stopRequestedAt"].is_null() {
                    Input::StopRequested
                } else {
                    continue;
                }
            }
            () = tick(&mut run.tick) => { run.tick = None; Input::Tick }
            _ = renew.tick() => {
                if run.renew().await? { continue }
                Input::LeaseLost
            }
            () = &mut drained => {
                // Nothing was shown yet: the next process takes it from the queue again.
                if !run.started { return Ok(()) }
                Input::Interrupted
            }
        };
        if matches!(input, Input::LeaseLost) {
            turn.handle(input, run.now());
            return Ok(());
        }
        match run.take(&mut turn, input).await {
            Ok(()) => {}
            // The log was sealed by somebody else (a stop, an expiry): the rows say how it ended.
            Err(error) if matches!(error.code, Code::LogSealed | Code::OffsetMismatch) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    run.finish().await
}

/// Reads the files that the model is to see. One that was removed meanwhile is named and nothing more.
async fn hand_in_files(app: &App, messages: &mut [PromptMessage]) {
    for (message, place) in wanted(messages, app.config.turns.file_bytes) {
        let file = &mut messages[message].files[place];
        let Ok(id) = Id::parse(&file.id) else { continue };
        match app.files.read(&id).await {
            Ok(bytes) => file.bytes = Some(bytes.into()),
            Err(error) => tracing::warn!(upload = file.id, %error, "a file is missing from a prompt"),
        }
    }
}

async fn next_event(
    stream: &mut Option<EventStream>,
) -> Option<Result<spool_agent::ProviderEvent, spool_agent::Failure>> {
    match stream {
        Some(stream) => stream.next().await,
        None => std::future::pending().await,
    }
}

async fn tick(sleep: &mut Option<Pin<Box<Sleep>>>) {
    match sleep {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}

fn is_terminal(status: &str) -> bool {
    matches!(status, "complete" | "error" | "stopped" | "interrupted")
}

impl Run<'_> {
    /// Milliseconds since the turn began: the machine's only clock.
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// One input, and what follows from it. A store that was slow with the last append is waited for, and the
    /// machine is told how late it was.
    async fn take(&mut self, turn: &mut Turn, input: Input) -> Result<(), Error> {
        if self.appending.as_ref().is_some_and(|appending| !appending.is_over()) {
            self.appended().await?;
            turn.handle(Input::Appended, self.now());
        }
        let now = self.now();
        self.perform(turn.handle(input, now)).await?;
        if self.outcome.is_some() { self.appended().await } else { Ok(()) }
    }

    /// Everything that was appended is durable.
    async fn appended(&mut self) -> Result<(), Error> {
        if let Some(appending) = self.appending.take() {
            appending.await?;
            self.app.functions.metrics().tokens_appended.inc();
        }
        Ok(())
    }

    async fn perform(&mut self, effects: Vec<Effect>) -> Result<(), Error> {
        for effect in effects {
            match effect {
                Effect::CallProvider(request) => self.stream = Some(self.provider.stream(request)),
                Effect::CancelProvider => self.stream = None,
                Effect::Append(events) => self.append(&events).await?,
                Effect::WakeAt(at) => {
                    self.tick = Some(Box::pin(sleep_until(self.begun + Duration::from_millis(at))));
                }
                Effect::Finish(outcome) => self.outcome = Some(outcome),
            }
        }
        Ok(())
    }

    /// Durable before anybody sees it. The first append is preceded by the mark that work has begun:
    /// from then on the turn is never silently run again.
    async fn append(&mut self, events: &[Event]) -> Result<(), Error> {
        self.appended().await?;
        if !self.started {
            self.app.functions.mutate_as_system("driver:started", self.lease()).await?;
            self.started = true;
        }
        let units: u64 = events.iter().map(Event::units).sum();
        let data = serde_json::to_string(events).map_err(|e| Error::internal(format!("encoding events: {e}")))?;
        let store = self.app.functions.store();
        self.appending = Some(store.submit_append(self.generation, self.offset, units, data).await?);
        self.offset += units;
        Ok(())
    }

    fn lease(&self) -> Value {
        json!({ "generationId": self.generation, "owner": self.owner, "epoch": self.epoch })
    }

    async fn renew(&mut self) -> Result<bool, Error> {
        Ok(self.app.functions.mutate_as_system("driver:renew", self.lease()).await? == "true")
    }

    async fn finish(&mut self) -> Result<(), Error> {
        self.stream = None;
        let Some(outcome) = self.outcome.take() else { return Ok(()) };
        let mut args = self.lease();
        args["status"] = json!(outcome.status);
        args["provider"] = json!(self.provider_name);
        args["model"] = json!(self.model);
        let optional = [
            ("error", outcome.error.map(|error| json!(error))),
            ("usage", outcome.usage.map(|usage| json!(usage))),
            ("finishReason", outcome.finish_reason.map(|reason| json!(reason))),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                args[name] = value;
            }
        }
        self.app.functions.mutate_as_system("driver:finish", args).await?;
        self.app.functions.metrics().turns_finished.inc();
        Ok(())
    }
}
