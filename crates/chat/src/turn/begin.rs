//! The beginning of an answer: its empty message and its generation.

use spool_protocol::{Code, Error, Result};
use spool_store::{Id, Order, Tx};

use super::role::role_of;

use crate::context::CallContext;
use crate::limits;
use crate::states::{GenerationStatus, MessageStatus, MessageStep};
use crate::tables::{Generation, Message, Origin, Role, Runner, Thread, ToolChoice, Worker, message};

/// What the sender of a message asks for. Everything may be left to the thread and the server.
#[derive(Default)]
pub(crate) struct Wish {
    pub model: Option<String>,
    pub role: Option<String>,
    pub agent: Option<String>,
    pub tool_choice: Option<ToolChoice>,
}

/// Who is to answer.
pub(crate) struct Begin {
    pub model: String,
    pub provider: Option<String>,
    /// The name of the outside runner that holds the lease from the start; `None` queues for the driver.
    pub external: Option<String>,
    /// The worker that waits for it, if nobody holds it from the start; `None` is the server's own driver.
    pub worker: Option<Id<Worker>>,
    pub role: Option<String>,
    pub agent: Option<String>,
    pub tool_choice: Option<ToolChoice>,
}

impl Begin {
    /// The model that was asked for, else the thread's, else the assistant's, else the server's; run by the
    /// thread's worker, else by the server; in the role that the hint selects, if the user has it.
    pub fn of(tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, wish: Wish) -> Result<Self> {
        let agent = ctx.settings.agents.find(wish.agent.as_deref().or(thread.agent_id.as_deref()));
        let model = wish
            .model
            .or_else(|| thread.model.clone())
            .or_else(|| agent?.model.clone())
            .unwrap_or_else(|| ctx.settings.default_model.clone());
        let worker = thread.worker_id.clone();
        // What a worker asks for its answers, only the worker knows.
        let provider = if worker.is_some() { None } else { ctx.settings.provider_of(&model) };
        let role = role_of(tx, ctx, thread, wish.role.as_deref())?;
        let agent = agent.map(|agent| agent.id.clone());
        Ok(Self { provider, model, external: None, worker, role, agent, tool_choice: wish.tool_choice })
    }

    fn runner(&self) -> Runner {
        match (&self.external, &self.worker) {
            (Some(_), _) => Runner::External,
            (None, Some(_)) => Runner::Worker,
            (None, None) => Runner::Hosted,
        }
    }
}

/// Stores an empty answer at the end of the thread, and its generation. The caller stores the thread.
pub(crate) fn begin(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &mut Thread, begin: Begin,
) -> Result<(Message, Generation)> {
    let seq = thread.take_seq();
    begin_at(tx, ctx, thread, begin, seq)
}

fn begin_at(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &mut Thread, begin: Begin, seq: u64,
) -> Result<(Message, Generation)> {
    let origin = if begin.runner() == Runner::Worker { Origin::Worker } else { Origin::Agent };
    let mut message = Message::new(tx, &thread.id, seq, Role::Assistant, origin);
    message.status = MessageStatus::Pending;
    message.completed_at = None;
    message.model = Some(begin.model.clone());
    message.provider = begin.provider.clone();
    message.attempt = Some(1);
    message.agent_id.clone_from(&begin.agent);
    let generation = occupy(tx, ctx, thread, &mut message, begin)?;
    Ok((message, generation))
}

/// Stores `message` with a new generation that occupies the thread.
fn occupy(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &mut Thread, message: &mut Message, begin: Begin,
) -> Result<Generation> {
    if let Some(running) = &thread.active_generation_id {
        return Err(busy(running.as_str()));
    }
    let now = tx.now();
    let runner = begin.runner();
    let (status, lease_expires_at) = match runner {
        Runner::Hosted | Runner::Worker => (GenerationStatus::Queued, None),
        Runner::External => (GenerationStatus::Claimed, Some(now + ctx.settings.external_lease_ms)),
    };
    let generation = Generation {
        id: tx.new_id(),
        creation_time: now as f64,
        thread_id: thread.id.clone(),
        message_id: message.id.clone(),
        user_id: thread.user_id.clone(),
        model: begin.model,
        provider: begin.provider,
        runner,
        worker_id: begin.worker.filter(|_| runner == Runner::Worker),
        effective_role: begin.role,
        agent_id: begin.agent,
        tool_choice: begin.tool_choice,
        steps: 0,
        boundary: 0,
        losses: 0,
        decisions: 0,
        fallbacks: Vec::new(),
        status,
        attempt: message.attempt.unwrap_or(1),
        active_thread_id: Some(thread.id.clone()),
        lease_epoch: u64::from(begin.external.is_some()),
        lease_owner: begin.external,
        lease_expires_at,
        started_mark: false,
        stop_requested_at: None,
        log_end: None,
        log_state: None,
        text_differs: false,
        usage: None,
        error: None,
        finish_reason: None,
        created_at: now,
        started_at: None,
        ended_at: None,
    };
    message.generation_id = Some(generation.id.clone());
    tx.put(&*message)?;
    tx.put(&generation)?;
    thread.active_generation_id = Some(generation.id.clone());
    thread.last_role.clone_from(&generation.effective_role);
    Ok(generation)
}

/// The refusal while another answer is being made.
pub fn busy(generation: &str) -> Error {
    Error::new(Code::ThreadBusy, "An answer is being made in this thread: wait for it or stop it.")
        .with("generationId", generation)
}

/// Begins an answer again, on the same message, by the step that the caller allows. The caller stores the
/// thread.
pub(crate) fn retry(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &mut Thread, message: &mut Message, step: MessageStep, begin: Begin,
) -> Result<Generation> {
    message.status = message.status.step(step)?;
    message.attempt = Some(message.attempt.unwrap_or(1) + 1);
    message.parts.clear();
    message.model = Some(begin.model.clone());
    message.agent_id.clone_from(&begin.agent);
    message.provider = begin.provider.clone();
    message.completed_at = None;
    message.error = None;
    message.usage = None;
    message.finish_reason = None;
    occupy(tx, ctx, thread, message, begin)
}

/// Begins the turn that has waited longest, if one waits. The caller stores the thread.
pub(super) fn begin_next(tx: &mut Tx<'_>, ctx: &CallContext, thread: &mut Thread) -> Result<Option<Generation>> {
    let waiting = tx.query::<Message>(message::BY_QUEUE).eq(&thread.id).first()?;
    let Some(mut user_message) = waiting else { return Ok(None) };
    user_message.status = user_message.status.step(MessageStep::Finish(spool_protocol::FinalStatus::Complete))?;
    user_message.queued_in = None;
    user_message.steers = false;
    user_message.completed_at = Some(tx.now());
    let seq = make_room_behind(tx, thread, user_message.seq)?;
    let wish = Wish {
        model: user_message.model.clone(),
        role: user_message.role_hint.clone(),
        agent: user_message.agent_id.clone(),
        tool_choice: user_message.tool_choice.clone(),
    };
    let choice = Begin::of(tx, ctx, thread, wish)?;
    let (_, generation) = begin_at(tx, ctx, thread, choice, seq)?;
    user_message.answered_by = Some(generation.id.clone());
    tx.put(&user_message)?;
    Ok(Some(generation))
}

/// The place right behind `seq`: an answer stands behind its question, not behind the questions that
/// wait. Whatever came while the last answer ran moves up by one, which keeps the places dense.
fn make_room_behind(tx: &mut Tx<'_>, thread: &mut Thread, seq: u64) -> Result<u64> {
    let behind = tx
        .query::<Message>(message::BY_THREAD)
        .eq(&thread.id)
        .gt(seq)
        .order(Order::Desc)
        .take(limits::MOVED_MESSAGES + 1)?;
    let end = thread.take_seq();
    if behind.len() > limits::MOVED_MESSAGES {
        return Ok(end);
    }
    // From the end, so that no two messages ever have one place.
    for mut message in behind {
        message.seq += 1;
        tx.put(&message)?;
    }
    Ok(seq + 1)
}
