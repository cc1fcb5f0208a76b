//! Runs one claimed turn: feeds the pure machine with what happens, performs what it asks for.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _, TryFutureExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use spool_agent::{
    Effect, EventStream, Failure, FlushPolicy, Input, MadeCall, Outcome, Piece, Provider, ProviderEvent, Request, Turn,
    WRITES,
};
use spool_chat::functions::driver::{CallState, Claim, Drafted, STOPPED, Standing, Steered, Told};
use spool_chat::states::Phase;
use spool_chat::tables::{CallError, Section};
use spool_protocol::{Code, Error, Event, FinalStatus, Usage};
use spool_store::Appending;
use spool_store::live::{Output, Subscription};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

use super::calls::{self, Offer};
use super::prompt;
use super::renewal::Renewal;
use crate::agents;
use crate::app::App;
use crate::config::agents::Agent;
use crate::tools::{Caller, Invocation, ToolFailure};

/// A model that can be asked.
struct Candidate {
    provider_name: String,
    provider: Arc<dyn Provider>,
    model: String,
}

/// A call that ran, by the id of its row, and what came of it.
type Ran = (String, Result<Value, ToolFailure>);

struct Run<'app> {
    app: &'app App,
    owner: &'app str,
    generation: &'app str,
    epoch: u64,
    agent: &'app Agent,
    caller: Caller,
    offer: Offer,
    /// What may be called instead once the plan is approved, which can be while this turn still holds the answer.
    after_plan: Option<Offer>,
    candidates: Vec<Candidate>,
    candidate: usize,
    stream: Option<EventStream>,
    /// The calls of the step as the rows last had them, and those that run.
    calls: Vec<CallState>,
    running: FuturesUnordered<BoxFuture<'app, Ran>>,
    /// Calls whose documents are not shown while they are written, because a piece was refused.
    unshown: HashSet<String>,
    /// What the model was told with the newest request, and whether the row says so, too.
    told: Told,
    told_is_kept: bool,
    /// Whether anything was written. From then on the turn is never silently run again.
    written: bool,
    /// Whether somebody has said something that the answer is to read.
    steering: bool,
    /// Where the log ends once `appending` is over.
    offset: u64,
    /// The append that was last sent on its way. Nobody waits for it while the model is silent: a wake-up for
    /// every token that is stored costs as much as the token.
    appending: Option<Appending>,
    outcome: Option<Outcome>,
    begun: Instant,
    tick: Option<Pin<Box<Sleep>>>,
}

pub async fn run(app: &App, owner: &str, generation: &str, claim: Claim) -> Result<(), Error> {
    let mut decisions = claim.decisions;
    let turns = &app.config.turns;
    let held = lease(owner, generation, claim.epoch);
    let mut renewal = Renewal::new(held, Duration::from_secs(turns.lease_seconds)); // the claim is fresh
    let (mut run, start) = {
        // Lists of tools, the page and files may take longer than a lease lasts.
        let prepared = Run::new(app, owner, generation, claim);
        tokio::pin!(prepared);
        loop {
            tokio::select! {
                prepared = &mut prepared => break prepared,
                () = renewal.due() => if !renewal.renew(app).await? { return Ok(()) },
            }
        }
    };
    let flush = FlushPolicy { interval_ms: turns.flush_ms, max_bytes: turns.flush_bytes };
    let mut turn = Turn::new(agents::policy(run.agent, flush));

    let wake = Arc::new(Notify::new());
    let system = Arc::new(spool_chat::Principal::System);
    let watch = app.functions.subscribe("driver:watch", &system, json!({ "generationId": generation }), None, &wake)?;
    let drained = async {
        app.shutdown.cancelled().await;
        tokio::time::sleep(Duration::from_millis(turns.shutdown_ms)).await;
    };
    tokio::pin!(drained);

    let mut watched = Box::pin(news(app, &watch, &wake, None, Duration::ZERO));
    let mut next = Ok(Input::Start(Box::new(start)));
    loop {
        let taken = match next {
            Ok(input) => run.take(&mut turn, input).await,
            Err(error) => Err(error),
        };
        match taken {
            Ok(()) if turn.is_over() => break,
            Ok(()) => {}
            // The rows say how it ended, or who goes on with it.
            Err(error) if is_lost(&error) => return Ok(()),
            Err(error) if may_pass(&error) => return Err(error),
            Err(error) => {
                run.refused(error);
                break;
            }
        }
        next = loop {
            break tokio::select! {
                event = next_event(&mut run.stream) => Ok(match event {
                    Some(Ok(event)) => Input::Provider(event),
                    Some(Err(failure)) => Input::ProviderFailed(failure),
                    None => Input::ProviderEnded,
                }),
                Some((row, result)) = run.running.next(), if !run.running.is_empty() => run.ended(&row, result).await,
                output = &mut watched => {
                    let (last, row) = match output.map(|output| (row_of(&output), output)) {
                        Ok((Ok(row), output)) => (Some(output), row),
                        Ok((Err(error), _)) | Err(error) => {
                            // The lease says who holds the answer, and its renewal notices when it is lost.
                            tracing::warn!(generation, %error, "a turn cannot see its row; it goes on");
                            watched.set(news(app, &watch, &wake, None, super::PAUSE));
                            continue;
                        }
                    };
                    watched.set(news(app, &watch, &wake, last, Duration::ZERO));
                    let held = row["leaseEpoch"].as_u64() == Some(run.epoch) && row["leaseOwner"] == owner;
                    if !held || row["status"].as_str().is_none_or(is_terminal) {
                        Ok(Input::LeaseLost)
                    } else if !row["stopRequestedAt"].is_null() {
                        Ok(Input::StopRequested)
                    } else if row["decisions"].as_u64().is_some_and(|made| made > u64::from(decisions)) {
                        decisions =
                            row["decisions"].as_u64().and_then(|made| u32::try_from(made).ok()).unwrap_or(u32::MAX);
                        Ok(Input::Decided)
                    } else {
                        continue;
                    }
                }
                () = tick(&mut run.tick) => { run.tick = None; Ok(Input::Tick) }
                () = renewal.due() => match renewal.renew(app).await {
                    Ok(true) => continue,
                    Ok(false) => Ok(Input::LeaseLost),
                    Err(error) => Err(error),
                },
                () = &mut drained => {
                    // Nothing was written yet: the next process takes it from the queue again.
                    if !run.written { return Ok(()) }
                    Ok(Input::Interrupted)
                }
            };
        };
    }
    run.finish().await
}

/// A call that is not begun because somebody wants the answer to stop.
fn stopped(error: Error) -> Result<Option<Input>, Error> {
    let stops = error.data.as_ref().is_some_and(|data| data["reason"] == STOPPED);
    if stops { Ok(Some(Input::StopRequested)) } else { Err(error) }
}

/// Whether somebody else holds the answer now, or nobody does any more, or somebody else ended it.
fn is_lost(error: &Error) -> bool {
    let reason = error.data.as_ref().map(|data| &data["reason"]);
    matches!(error.code, Code::LogSealed | Code::OffsetMismatch) || reason.is_some_and(|reason| reason == "lease_lost")
}

/// Whether the same may succeed later, or nobody can tell. Then the answer waits for the end of its lease.
fn may_pass(error: &Error) -> bool {
    matches!(error.code, Code::Internal | Code::Overloaded | Code::StorageFull)
}

fn lease(owner: &str, generation: &str, epoch: u64) -> Value {
    json!({ "generationId": generation, "owner": owner, "epoch": epoch })
}

/// The row of a turn as `driver:watch` has it next, after a pause.
async fn news(
    app: &App, watch: &Subscription, wake: &Notify, last: Option<Arc<Output>>, pause: Duration,
) -> Result<Arc<Output>, Error> {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    app.functions.store().changed(watch, wake, last).await
}

fn row_of(output: &Output) -> Result<Value, Error> {
    let text = output.value.as_deref().map_err(Error::clone)?;
    serde_json::from_str(text).map_err(|error| Error::internal(format!("driver:watch: {error}")))
}

async fn next_event(stream: &mut Option<EventStream>) -> Option<Result<ProviderEvent, Failure>> {
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

impl<'app> Run<'app> {
    async fn new(
        app: &'app App, owner: &'app str, generation: &'app str, claim: Claim,
    ) -> (Run<'app>, spool_agent::Start) {
        let (agent_id, agent) = app.agents.find(claim.agent_id.as_deref());
        let caller = Caller {
            user_id: claim.user_id.as_str().to_owned(),
            role: claim.effective_role.clone(),
            thread_id: claim.thread_id.as_str().to_owned(),
            generation_id: generation.to_owned(),
            agent_id: Some(agent_id.to_owned()),
        };
        let models = std::iter::once(claim.model.as_str()).chain(agent.fallback.iter().map(String::as_str));
        let candidates: Vec<Candidate> = models
            .map(|model| {
                let (provider_name, provider, model) = app.providers.find(model);
                Candidate { provider_name, provider, model }
            })
            .collect();
        let offer = Offer::of(app, agent, &claim, claim.phase).await;
        let after_plan = match claim.phase {
            None | Some(Phase::Executing) => None,
            Some(_) => Some(Offer::of(app, agent, &claim, Some(Phase::Executing)).await),
        };
        let (start, sections) = prompt::start(app, &claim, agent, &caller, offer.tools.clone()).await;
        let told = told(&candidates[0].model, sections, &start);
        let run = Run {
            app,
            owner,
            generation,
            epoch: claim.epoch,
            agent,
            caller,
            offer,
            after_plan,
            candidates,
            candidate: 0,
            stream: None,
            offset: claim.resumed.as_ref().map_or(0, |resumed| resumed.log_end),
            calls: claim.resumed.map(|resumed| resumed.calls).unwrap_or_default(),
            running: FuturesUnordered::new(),
            unshown: HashSet::new(),
            told,
            told_is_kept: true,
            written: false,
            steering: true,
            appending: None,
            outcome: None,
            begun: Instant::now(),
            tick: None,
        };
        (run, start)
    }

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
        let mut next = Some(input);
        while let Some(input) = next.take() {
            let now = self.now();
            for effect in turn.handle(input, now) {
                // An effect that is answered is the last of its list, or the only one that is.
                next = self.perform(effect).await?.or(next);
            }
        }
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

    /// Carries out one effect; returns its answer, if it has one.
    async fn perform(&mut self, effect: Effect) -> Result<Option<Input>, Error> {
        match effect {
            Effect::CallProvider { request, candidate } => self.ask(*request, candidate),
            Effect::CancelProvider => self.stream = None,
            Effect::Append(events) => self.append(&events).await?,
            Effect::Write(piece) => return self.write(piece).await.map(Some),
            Effect::Submit { events, calls, usage } => return self.submit(events, calls, usage).await.map(Some),
            Effect::Run { row, again } => return self.begin(&row, again).await.or_else(stopped),
            Effect::CancelCalls => self.running.clear(),
            Effect::Settle { park } => return self.settle(park).await.map(Some),
            Effect::Steer => return self.steer().await.map(Some),
            Effect::FallBack { candidate, failure, left_out } => self.fall_back(candidate, failure, left_out).await?,
            Effect::WakeAt(at) => {
                self.tick = Some(Box::pin(sleep_until(self.begun + Duration::from_millis(at))));
            }
            Effect::Finish(outcome) => self.outcome = Some(outcome),
        }
        Ok(None)
    }

    fn ask(&mut self, request: Request, candidate: usize) {
        self.candidate = candidate;
        let asked = &self.candidates[candidate];
        self.told.model.clone_from(&asked.model);
        self.told.messages = u32::try_from(request.messages.len()).unwrap_or(u32::MAX);
        self.told_is_kept = false;
        let tools = self.offer.tools.clone();
        let (model, stream_tool_input) = (asked.model.clone(), self.offer.shows_writing(self.agent));
        let request = Request { model, tools, stream_tool_input, ..request };
        if request.messages.iter().all(|message| message.files.is_empty()) {
            self.stream = Some(asked.provider.stream(request));
            return;
        }
        // Megabytes are encoded elsewhere: all turns share a thread.
        let provider = Arc::clone(&asked.provider);
        let encoded = tokio::task::spawn_blocking(move || provider.stream(request));
        let failed = |_| Failure::error("The request could not be made.", true);
        self.stream = Some(Box::pin(encoded.map_err(failed).try_flatten_stream()));
    }

    /// Durable before anybody sees it.
    async fn append(&mut self, events: &[Event]) -> Result<(), Error> {
        if !self.written {
            self.offset = self.tell("driver:append", json!({ "events": events })).await?;
            self.app.functions.metrics().tokens_appended.inc();
            return Ok(());
        }
        self.appended().await?;
        let units: u64 = events.iter().map(Event::units).sum();
        let data = serde_json::to_string(events).map_err(|e| Error::internal(format!("encoding events: {e}")))?;
        let store = self.app.functions.store();
        super::rounds::spoke();
        self.appending = Some(store.submit_append(self.generation, self.offset, units, data).await?);
        self.offset += units;
        Ok(())
    }

    /// Calls a function of the driver that writes. Whatever was appended is in the log by then; the first of these
    /// calls begins the answer.
    async fn tell<T: DeserializeOwned>(&mut self, function: &str, mut args: Value) -> Result<T, Error> {
        self.appended().await?;
        args["lease"] = self.lease();
        if !self.told_is_kept {
            args["lease"]["told"] = json!(self.told);
        }
        if !self.written {
            args["lease"]["logEnd"] = json!(self.offset);
        }
        let answer = self.app.functions.mutate_as_system(function, args).await?;
        (self.told_is_kept, self.written) = (true, true);
        serde_json::from_str(&answer).map_err(|e| Error::internal(format!("{function}: {e}")))
    }

    /// Shows a piece of a document. What is refused is only not shown: the call has the whole, and says why.
    async fn write(&mut self, piece: Piece) -> Result<Input, Error> {
        let Piece { call, kind, title, text } = piece;
        if !self.unshown.contains(&call) {
            let args = json!({ "toolCallId": call, "tool": WRITES, "kind": kind, "title": title, "text": text });
            match self.tell::<Drafted>("driver:draft", args).await {
                Ok(drafted) => self.offset = drafted.log_end,
                Err(error) if error.data.as_ref().is_some_and(|data| data["call"] == call.as_str()) => {
                    tracing::debug!(call, %error, "a document is not shown while it is written");
                    self.unshown.insert(call);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Input::Appended)
    }

    fn stand(&mut self, standing: Standing) -> Input {
        self.offset = standing.log_end;
        self.steering = standing.steering;
        self.calls = standing.calls;
        if calls::approves_plan(&self.calls)
            && let Some(offer) = self.after_plan.take()
        {
            self.offer = offer;
        }
        if standing.parked { Input::Parked } else { Input::Calls(self.calls.iter().map(calls::staged).collect()) }
    }

    async fn submit(&mut self, events: Vec<Event>, made: Vec<MadeCall>, usage: Option<Usage>) -> Result<Input, Error> {
        let calls: Vec<_> = made.into_iter().map(|call| self.offer.judge(self.agent, call)).collect();
        let args = json!({ "events": events, "calls": calls, "usage": usage });
        let standing = self.tell("driver:submit", args).await?;
        Ok(self.stand(standing))
    }

    async fn settle(&mut self, park: bool) -> Result<Input, Error> {
        let standing = self.tell("driver:settle", json!({ "park": park })).await?;
        Ok(self.stand(standing))
    }

    async fn steer(&mut self) -> Result<Input, Error> {
        if !std::mem::replace(&mut self.steering, true) {
            return Ok(Input::Steered(Vec::new()));
        }
        let steered: Steered = self.tell("driver:steer", json!({})).await?;
        self.offset = steered.log_end;
        Ok(Input::Steered(steered.texts))
    }

    async fn fall_back(&mut self, candidate: usize, failure: Failure, left_out: usize) -> Result<(), Error> {
        let failed = &self.candidates[candidate];
        tracing::warn!(model = failed.model, error = %failure, left_out, "a model failed; the answer falls back");
        let error = spool_protocol::Failure::from(failure);
        let args = json!({ "model": failed.model, "provider": failed.provider_name, "error": error,
            "leftOut": (left_out > 0).then_some(left_out), "lease": self.lease() });
        self.app.functions.mutate_as_system("driver:fallBack", args).await.map(drop)
    }

    /// Begins a call. One that somebody else began may have had its effect: only where a repetition is harmless
    /// it runs again.
    async fn begin(&mut self, row: &str, again: bool) -> Result<Option<Input>, Error> {
        let Some(call) = self.calls.iter().find(|call| call.id.as_str() == row).cloned() else { return Ok(None) };
        if !again && self.offer.withholds(&call.tool) {
            let error = format!("The tool {} may not be used here any more.", call.tool);
            return self.end(row, json!({ "error": error, "denied": true })).await.map(Some);
        }
        if spool_chat::builtin::find(&call.tool).is_some() {
            return match self.tell("driver:runBuiltIn", json!({ "callId": row })).await {
                Ok(standing) => Ok(Some(self.stand(standing))),
                Err(error) if error.data.as_ref().is_some_and(|data| data["call"] == row) => {
                    self.end(row, json!({ "error": error.message })).await.map(Some)
                }
                Err(error) => Err(error),
            };
        }
        let harmless = call.reads || self.offer.find(&call.tool).is_some_and(|tool| tool.idempotent || !tool.writes);
        if again && !harmless {
            let error = "The server was interrupted while this ran. Whether it had its effect is not known.";
            return self.end(row, json!({ "error": error, "errorCode": CallError::EffectUnknown })).await.map(Some);
        }
        if !again && !self.tell::<bool>("driver:runCall", json!({ "callId": row })).await? {
            return Ok(None);
        }
        let invocation =
            Invocation { call_id: row.to_owned(), tool: call.tool, input: call.input, caller: self.caller.clone() };
        let (app, time, row) = (self.app, Duration::from_secs(self.agent.tool_timeout_seconds), row.to_owned());
        let call = async move {
            let result = tokio::time::timeout(time, app.tools.call(invocation)).await;
            (row, result.unwrap_or_else(|_| Err(ToolFailure::timed_out(time))))
        };
        self.running.push(call.boxed());
        Ok(None)
    }

    /// A call ran: its row and the log say what came of it.
    async fn ended(&mut self, row: &str, result: Result<Value, ToolFailure>) -> Result<Input, Error> {
        let args = match result {
            Ok(output) => {
                let (output, whole) = calls::bounded(output, row, self.agent.max_result_bytes);
                json!({ "output": output, "whole": whole })
            }
            Err(failure) => json!({ "error": failure.message, "errorCode": calls::error_code(failure.kind) }),
        };
        self.end(row, args).await
    }

    async fn end(&mut self, row: &str, mut args: Value) -> Result<Input, Error> {
        args["callId"] = json!(row);
        let standing = self.tell("driver:endCall", args).await?;
        Ok(self.stand(standing))
    }

    fn lease(&self) -> Value {
        lease(self.owner, self.generation, self.epoch)
    }

    /// The rows refuse what the turn wants to write, and would refuse it again: the answer ends with that.
    fn refused(&mut self, error: Error) {
        tracing::warn!(generation = self.generation, %error, "an answer ends because a write was refused");
        let error = Some(spool_protocol::Failure {
            code: error.code.as_str().to_owned(),
            message: error.message,
            retryable: false,
        });
        self.outcome = Some(Outcome { status: FinalStatus::Error, error, usage: None, finish_reason: None });
    }

    /// Stores how the answer ended. One that was let go, or lost, has nothing to store.
    async fn finish(&mut self) -> Result<(), Error> {
        self.stream = None;
        let Some(outcome) = self.outcome.take() else { return Ok(()) };
        let answered = &self.candidates[self.candidate];
        let mut args = self.lease();
        args["status"] = json!(outcome.status);
        args["provider"] = json!(answered.provider_name);
        args["model"] = json!(answered.model);
        let optional = [
            ("told", (!self.told_is_kept).then(|| json!(self.told))),
            ("error", outcome.error.map(|error| json!(error))),
            ("usage", outcome.usage.map(|usage| json!(usage))),
            ("finishReason", outcome.finish_reason.map(|reason| json!(reason))),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                args[name] = value;
            }
        }
        match self.app.functions.mutate_as_system("driver:finish", args).await {
            Err(error) if is_lost(&error) => return Ok(()),
            finished => finished.map(drop)?,
        }
        self.app.functions.metrics().turns_finished.inc();
        Ok(())
    }
}

fn told(model: &str, sections: Vec<Section>, start: &spool_agent::Start) -> Told {
    let request = &start.request;
    Told {
        model: model.to_owned(),
        sections,
        tools: request.tools.iter().map(|tool| tool.name.clone()).collect(),
        messages: u32::try_from(request.messages.len()).unwrap_or(u32::MAX),
    }
}
