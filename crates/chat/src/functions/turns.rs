//! Turns: a user speaks, an assistant answers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, FinalStatus, Result};
use spool_store::{Id, Tx};

use super::messages::{check_version, empty, find_request, user_spoke};
use super::{uploads, workers};
use crate::context::{CallContext, WhenBusy};
use crate::limits::{self, check_bytes};
use crate::owned;
use crate::parts::{self, Part};
use crate::principal::Principal;
use crate::quota;
use crate::states::{MessageStatus, MessageStep};
use crate::tables::{Generation, Message, Origin, PageContext, Role, Thread, ToolChoice, Upload, message};
use crate::turn::{self, Begin, Wish};

/// What to do if an answer is being made in the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IfBusy {
    Refuse,
    Queue,
    /// The running answer reads it before its next step; if it has none, the message waits for its turn.
    Steer,
}

/// Who is to make an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The server itself.
    Hosted,
    /// The worker of the thread.
    Worker,
    /// A machine made for the answer.
    Sandbox,
}

impl Mode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Hosted => "hosted",
            Self::Worker => "worker",
            Self::Sandbox => "sandbox",
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Send {
    pub thread_id: Id<Thread>,
    /// May be empty if there are files, and in a thread without messages: then the assistant greets.
    pub text: String,
    /// Uploads of this thread that the message shows, before its text.
    pub files: Option<Vec<Id<Upload>>>,
    /// Repeating it in the same thread gives the same ids and changes nothing.
    pub request_id: Option<String>,
    /// The model of this answer, instead of the thread's.
    pub model: Option<String>,
    /// In which of the roles that the user has it is answered; one that the user lacks is not followed.
    pub role: Option<String>,
    /// Which of the server's assistants answers, instead of the thread's.
    pub agent: Option<String>,
    /// Whether the answer has to begin with a call of a tool.
    pub tool_choice: Option<ToolChoice>,
    /// The thread's `historyVersion` that the writer saw; `history_conflict` if it moved on.
    pub history_version: Option<u64>,
    /// Absent means the server's setting.
    pub if_busy: Option<IfBusy>,
    /// Who is to answer; `runner_unavailable` if it is not who answers in this thread. Absent takes whoever does.
    pub mode: Option<Mode>,
    /// What the writer is looking at; kept with the message.
    pub page: Option<PageContext>,
}

impl Send {
    /// The user says nothing yet.
    pub(super) fn opening(thread_id: Id<Thread>) -> Self {
        Self {
            thread_id,
            text: String::new(),
            files: None,
            request_id: None,
            model: None,
            role: None,
            history_version: None,
            if_busy: None,
            page: None,
            agent: None,
            tool_choice: None,
            mode: None,
        }
    }
}

/// The rows of a turn. A queued turn has no answer yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    pub user_message_id: Id<Message>,
    pub message_id: Option<Id<Message>>,
    pub generation_id: Option<Id<Generation>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<bool>,
}

/// `turns:send`: user message, empty answer and generation in one step.
pub fn send(tx: &mut Tx<'_>, ctx: &CallContext, args: Send) -> Result<Sent> {
    let mut thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    if let Some(earlier) = find_request(tx, &thread, args.request_id.as_deref())? {
        return sent_before(tx, earlier);
    }
    let mut said = uploads::parts_of(args.files.unwrap_or_default());
    let opening = args.text.trim().is_empty() && said.is_empty();
    if opening && thread.next_seq > 0 {
        return Err(empty());
    }
    check_page(args.page.as_ref())?;
    check_bytes("text", &args.text, limits::MESSAGE_BYTES)?;
    uploads::describe_parts(tx, &thread, &mut said)?;
    said.extend(Some(Part::Text { text: args.text }).filter(|part| !parts::are_blank(std::slice::from_ref(part))));
    check_bytes("model", args.model.as_deref().unwrap_or(""), limits::NAME_BYTES)?;
    check_version(&thread, args.history_version)?;
    check_bytes("role", args.role.as_deref().unwrap_or(""), limits::NAME_BYTES)?;
    ctx.settings.agents.check(args.agent.as_deref())?;
    check_mode(&thread, args.mode)?;
    workers::check_ready(tx, &thread)?;
    quota::check_tokens(tx, ctx)?;
    let waits = must_wait(tx, ctx, &thread, args.if_busy)?;
    quota::check_message(tx, ctx)?;

    let mut user_message = user_message(tx, ctx, &mut thread, said)?;
    user_message.request_id = args.request_id;
    user_message.model.clone_from(&args.model);
    user_message.role_hint.clone_from(&args.role);
    user_message.agent_id.clone_from(&args.agent);
    user_message.tool_choice.clone_from(&args.tool_choice);
    user_message.opening = opening;
    user_message.page = args.page;
    thread.history_version += 1;
    thread.touch(tx.now());
    if let Some(wait) = waits {
        user_message.steers = wait == Wait::ForStep;
        user_message.status = MessageStatus::Pending;
        user_message.completed_at = None;
        user_message.queued_in = Some(thread.id.clone());
        tx.put(&user_message)?;
        tx.put(&thread)?;
        return Ok(Sent {
            user_message_id: user_message.id,
            message_id: None,
            generation_id: None,
            queued: Some(true),
        });
    }
    let Send { model, role, agent, tool_choice, .. } = args;
    let choice = Begin::of(tx, ctx, &thread, Wish { model, role, agent, tool_choice })?;
    let (answer, generation) = turn::begin(tx, ctx, &mut thread, choice)?;
    user_message.answered_by = Some(generation.id.clone());
    tx.put(&user_message)?;
    tx.put(&thread)?;
    let user_message_id = user_message.id;
    Ok(Sent { user_message_id, message_id: Some(answer.id), generation_id: Some(generation.id), queued: None })
}

/// Refuses a mode in which nobody answers in this thread.
fn check_mode(thread: &Thread, wanted: Option<Mode>) -> Result<()> {
    let available = if thread.worker_id.is_some() { Mode::Worker } else { Mode::Hosted };
    match wanted {
        Some(mode) if mode != available => {
            let (mode, available) = (mode.as_str(), available.as_str());
            let message = format!("Nobody answers in this thread in the mode {mode}: it is {available}.");
            Err(Error::new(Code::RunnerUnavailable, message).with("mode", mode).with("available", available))
        }
        _ => Ok(()),
    }
}

fn check_page(page: Option<&PageContext>) -> Result<()> {
    let Some(page) = page else { return Ok(()) };
    let fields = [
        ("page.pageType", Some(&page.page_type)),
        ("page.entityType", page.entity_type.as_ref()),
        ("page.entityId", page.entity_id.as_ref()),
    ];
    for (path, text) in fields.into_iter().filter_map(|(path, text)| Some((path, text?))) {
        check_bytes(path, text, limits::NAME_BYTES)?;
        if text.trim().is_empty() {
            return Err(Error::bad_request(format!("{path}: must not be blank")).with("path", path));
        }
    }
    Ok(())
}

/// A user message at the end of the thread, with what it does to the thread. Neither is stored yet.
pub(super) fn user_message(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: &mut Thread, said: Vec<Part>,
) -> Result<Message> {
    let origin = if matches!(ctx.principal, Principal::Service { .. }) { Origin::Client } else { Origin::User };
    user_spoke(ctx, thread, &said)?;
    let seq = thread.take_seq();
    let mut message = Message::new(tx, &thread.id, seq, Role::User, origin);
    message.parts = said;
    Ok(message)
}

/// The answer to a request that was carried out before.
pub(super) fn sent_before(tx: &mut Tx<'_>, user_message: Message) -> Result<Sent> {
    if user_message.queued_in.is_some() {
        let queued = Some(true);
        return Ok(Sent { user_message_id: user_message.id, message_id: None, generation_id: None, queued });
    }
    let other = || Error::new(Code::AlreadyExists, "This requestId was used for a message that asked for no answer.");
    let generation_id = user_message.answered_by.ok_or_else(other)?;
    let message_id = tx.get(&generation_id)?.map(|generation| generation.message_id);
    Ok(Sent { user_message_id: user_message.id, message_id, generation_id: Some(generation_id), queued: None })
}

/// What a message waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The end of the running answer, and of those that wait before it.
    ForTurn,
    /// The next step of the running answer.
    ForStep,
}

/// Whether the turn has to wait; fails where waiting is not wanted or too many wait already.
fn must_wait(tx: &mut Tx<'_>, ctx: &CallContext, thread: &Thread, if_busy: Option<IfBusy>) -> Result<Option<Wait>> {
    let Some(running) = &thread.active_generation_id else { return Ok(None) };
    let wait = match (if_busy, ctx.settings.when_busy) {
        (Some(IfBusy::Queue), _) | (None, WhenBusy::Queue) => Some(Wait::ForTurn),
        (Some(IfBusy::Steer), _) | (None, WhenBusy::Steer) => Some(Wait::ForStep),
        (Some(IfBusy::Refuse), _) | (None, WhenBusy::Refuse) => None,
    };
    let refusal = turn::busy(running.as_str());
    let Some(wait) = wait else { return Err(refusal) };
    let waiting = tx.query::<Message>(message::BY_QUEUE).eq(&thread.id).take(limits::QUEUED_TURNS)?;
    if waiting.len() >= limits::QUEUED_TURNS {
        return Err(refusal.with("limit", limits::QUEUED_TURNS));
    }
    Ok(Some(wait))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retry {
    pub message_id: Id<Message>,
    /// Another model for the new attempt.
    pub model: Option<String>,
    /// In which of the roles that the user has it is answered now.
    pub role: Option<String>,
}

/// The rows of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retried {
    pub message_id: Id<Message>,
    pub generation_id: Id<Generation>,
}

/// `turns:retry`: the earlier generation and its log stay as they are.
pub fn retry(tx: &mut Tx<'_>, ctx: &CallContext, args: Retry) -> Result<Retried> {
    again(tx, ctx, args, MessageStep::Retry)
}

/// `turns:regenerate`: like a retry, and of a complete answer, too, if nothing came after it. Its text
/// stays in the log of its generation.
pub fn regenerate(tx: &mut Tx<'_>, ctx: &CallContext, args: Retry) -> Result<Retried> {
    let (thread, message) = owned::message(tx, &ctx.principal, &args.message_id)?;
    if message.role != Role::Assistant || message.status != MessageStatus::Complete {
        return again(tx, ctx, args, MessageStep::Retry);
    }
    if message.seq + 1 != thread.next_seq {
        let message = "The conversation went on after this answer: only the newest one can be made anew.";
        return Err(Error::new(Code::InvalidTransition, message).with("reason", "not_newest"));
    }
    again(tx, ctx, args, MessageStep::Regenerate)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Withdraw {
    pub message_id: Id<Message>,
}

/// `turns:withdraw`: a message that waits is not answered any more. It stays at its place as stopped, and no
/// model is told of it.
pub fn withdraw(tx: &mut Tx<'_>, ctx: &CallContext, args: Withdraw) -> Result<()> {
    let (mut thread, mut message) = owned::message(tx, &ctx.principal, &args.message_id)?;
    if message.queued_in.is_none() {
        let status = message.status.as_str();
        let refusal = Error::new(Code::InvalidTransition, "This message does not wait: it cannot be taken back.");
        return Err(refusal.with("status", status));
    }
    message.status = message.status.step(MessageStep::Finish(FinalStatus::Stopped))?;
    message.queued_in = None;
    message.steers = false;
    message.completed_at = Some(tx.now());
    tx.put(&message)?;
    thread.history_version += 1;
    thread.touch(tx.now());
    tx.put(&thread)
}

fn again(tx: &mut Tx<'_>, ctx: &CallContext, args: Retry, step: MessageStep) -> Result<Retried> {
    let (mut thread, mut message) = owned::message(tx, &ctx.principal, &args.message_id)?;
    check_bytes("model", args.model.as_deref().unwrap_or(""), limits::NAME_BYTES)?;
    if let Some(running) = &thread.active_generation_id {
        return Err(turn::busy(running.as_str()));
    }
    if message.role != Role::Assistant {
        return Err(Error::new(Code::InvalidTransition, "Only an answer can be retried."));
    }
    // Refuse before anything is chosen: the step says whether the answer failed.
    message.status.step(step)?;
    quota::check_message(tx, ctx)?;
    quota::check_tokens(tx, ctx)?;
    let model = args.model.or_else(|| message.model.clone());
    workers::check_ready(tx, &thread)?;
    // The assistant of the answer, unless it was taken out of the configuration since.
    let agent = message.agent_id.clone().filter(|id| ctx.settings.agents.check(Some(id)).is_ok());
    let wish = Wish { model, role: args.role, agent, tool_choice: None };
    let choice = Begin::of(tx, ctx, &thread, wish)?;
    let generation = turn::retry(tx, ctx, &mut thread, &mut message, step, choice)?;
    thread.history_version += 1;
    thread.touch(tx.now());
    tx.put(&thread)?;
    Ok(Retried { message_id: message.id, generation_id: generation.id })
}
