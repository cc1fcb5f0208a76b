//! Generations made outside, by a backend with a service key or by a worker: open, append, finish.
//!
//! The key that opened one, or the worker that claimed one, holds its lease and renews it with every
//! append. A late append is answered with a reason, never with an error: the runner has nothing to repair.

pub(crate) mod arrivals;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::{Code, Error, Event, Failure, FinalStatus, Result, Usage};
use spool_store::{Id, Tx};

use self::arrivals::Arrival;
use super::messages::{check_version, empty, find_request};
use super::streams::append::{self, ProducerArgs};
use super::turns::{sent_before, user_message};
use super::uploads;
use super::workers::work;
use crate::context::CallContext;
use crate::limits::{self, check_bytes};
use crate::owned;
use crate::parts::{self, Part};
use crate::states::GenerationStatus;
use crate::tables::{Generation, Message, Runner, Thread};
use crate::turn::{self, Begin, Ending, Wish};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Open {
    pub thread_id: Id<Thread>,
    /// What the user said, if that is not stored yet.
    pub text: Option<String>,
    /// With `text`: repeating it in the same thread gives the same ids and changes nothing.
    pub request_id: Option<String>,
    pub history_version: Option<u64>,
    pub model: Option<String>,
    pub provider: Option<String>,
    pub agent_id: Option<String>,
}

/// The rows of an answer made outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Opened {
    pub user_message_id: Option<Id<Message>>,
    pub message_id: Id<Message>,
    pub generation_id: Id<Generation>,
}

/// `generations:open`
pub fn open(tx: &mut Tx<'_>, ctx: &CallContext, args: Open) -> Result<Opened> {
    let mut thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    if let Some(earlier) = find_request(tx, &thread, args.request_id.as_deref())? {
        let sent = sent_before(tx, earlier)?;
        let (Some(message_id), Some(generation_id)) = (sent.message_id, sent.generation_id) else {
            return Err(Error::new(Code::AlreadyExists, "This requestId belongs to a turn that waits."));
        };
        return Ok(Opened { user_message_id: Some(sent.user_message_id), message_id, generation_id });
    }
    if args.text.is_none() && args.request_id.is_some() {
        return Err(
            Error::bad_request("requestId: it names a user message, so it needs text").with("path", "requestId")
        );
    }
    if args.text.as_ref().is_some_and(|text| text.trim().is_empty()) {
        return Err(empty());
    }
    check_bytes("text", args.text.as_deref().unwrap_or(""), limits::MESSAGE_BYTES)?;
    for (field, name) in [("model", &args.model), ("provider", &args.provider), ("agentId", &args.agent_id)] {
        check_bytes(field, name.as_deref().unwrap_or(""), limits::NAME_BYTES)?;
    }
    check_version(&thread, args.history_version)?;
    if let Some(running) = &thread.active_generation_id {
        return Err(turn::busy(running.as_str()));
    }
    let mut question =
        args.text.map(|text| user_message(tx, ctx, &mut thread, vec![Part::Text { text }])).transpose()?;
    let mut choice = Begin::of(tx, ctx, &thread, Wish { model: args.model, ..Wish::default() })?;
    choice.provider = args.provider.or(choice.provider);
    choice.external = Some(ctx.principal.key());
    let (mut answer, generation) = turn::begin(tx, ctx, &mut thread, choice)?;
    if args.agent_id.is_some() {
        answer.agent_id = args.agent_id;
        tx.put(&answer)?;
    }
    if let Some(question) = &mut question {
        question.request_id = args.request_id;
        question.answered_by = Some(generation.id.clone());
        tx.put(&*question)?;
    }
    thread.history_version += 1;
    thread.touch(tx.now());
    tx.put(&thread)?;
    let user_message_id = question.map(|question| question.id);
    Ok(Opened { user_message_id, message_id: answer.id, generation_id: generation.id })
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Append {
    pub generation_id: Id<Generation>,
    /// Of a worker: what `workers:connect` gave it.
    pub epoch: Option<u64>,
    /// Where the caller believes that the log ends; what does not fit is not appended.
    pub offset: Option<u64>,
    /// Makes repetitions harmless: the same number of the same writer is appended once.
    pub producer: Option<ProducerArgs>,
    /// The chunk's number, from 0: chunks go into the log in the order of their numbers, each once. One that comes
    /// early waits for those before it. In place of `offset` and `producer`.
    pub sequence: Option<u64>,
    /// Text, reasoning, tools, sources, files and activities. The status comes with `generations:finish`.
    pub events: Vec<Event>,
}

/// What became of an append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Appended {
    pub appended: bool,
    /// Where the log ends now.
    pub cursor: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// With `producer`: the highest number taken from it, and whether this one had been taken before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub producer_seq: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// With `sequence`: this chunk waits for those before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    /// With `sequence`: numbers before the highest that came which have not come.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<u64>,
    /// Names of calls that ended here and had not begun, or were over: nothing shows their ends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unpaired: Vec<String>,
}

impl Appended {
    /// Nothing was appended to a log that ends here.
    fn at(cursor: u64) -> Self {
        Self {
            appended: false,
            cursor,
            reason: None,
            producer_seq: None,
            duplicate: false,
            held: false,
            missing: Vec::new(),
            unpaired: Vec::new(),
        }
    }
}

/// `generations:append`: calls of tools that begin and end in it are rows from here on.
pub fn append_events(tx: &mut Tx<'_>, ctx: &CallContext, mut args: Append) -> Result<Appended> {
    let (thread, mut generation) = held(tx, ctx, &args.generation_id, args.epoch)?;
    parts::check_events(&args.events)?;
    if let Some(reserved) = args.events.iter().find_map(reserved) {
        return Err(Error::bad_request(format!("events: {reserved}")).with("path", "events"));
    }
    if args.sequence.is_some() && (args.offset.is_some() || args.producer.is_some()) {
        let message = "sequence: it says the order of the chunks; leave out offset and producer";
        return Err(Error::bad_request(message).with("path", "sequence"));
    }
    let end = turn::log_end(tx, &generation)?;
    let known = args.producer.as_ref().map(|producer| append::state(tx, generation.id.as_str(), producer));
    let known = known.transpose()?.flatten();
    if let Some(seq) = append::repeated(args.producer.as_ref(), known.as_ref())? {
        let appended = Appended { appended: true, producer_seq: Some(seq), duplicate: true, ..Appended::at(end) };
        return Ok(appended);
    }
    let refused = |reason: String| Ok(Appended { reason: Some(reason), ..Appended::at(end) });
    if generation.status.is_terminal() {
        return refused(format!("The answer is over: {}.", generation.status.as_str()));
    }
    if args.offset.is_some_and(|offset| offset != end) {
        return refused(format!("The log ends at {end}."));
    }
    if let Some(producer) = &args.producer {
        append::step(tx, generation.id.as_str(), producer, known)?;
    }
    if generation.status == GenerationStatus::Claimed {
        turn::start(tx, &mut generation)?;
    }
    renew(tx, ctx, &mut generation)?;
    uploads::describe_events(tx, &thread, &mut args.events)?;
    let mut missing = Vec::new();
    if let Some(sequence) = args.sequence {
        let (arrival, gaps) = arrivals::arrive(tx, &generation.id, sequence, args.events)?;
        missing = gaps;
        args.events = match arrival {
            Arrival::Due(events) => events,
            Arrival::Known => return Ok(Appended { appended: true, duplicate: true, missing, ..Appended::at(end) }),
            Arrival::Early { again } => {
                return Ok(Appended { held: true, duplicate: again, missing, ..Appended::at(end) });
            }
        };
    }
    let mut events = Vec::new();
    args.events.into_iter().for_each(|event| Event::push_coalesced(&mut events, event));
    let unpaired = turn::follow(tx, &generation, &events)?;
    let cursor = if events.is_empty() { end } else { turn::append(tx, &generation, &events)? };
    let producer_seq = args.producer.map(|producer| producer.seq);
    Ok(Appended { appended: true, producer_seq, missing, unpaired, ..Appended::at(cursor) })
}

/// The runner of an answer that is not over has said something: it is missed later.
pub(super) fn renew(tx: &mut Tx<'_>, ctx: &CallContext, generation: &mut Generation) -> Result<()> {
    let lease_ms = match generation.runner {
        Runner::Worker => ctx.settings.worker_lease_ms,
        Runner::Hosted | Runner::External => ctx.settings.external_lease_ms,
    };
    let expiry = tx.now() + lease_ms;
    // Not with every append: a row that changes makes live queries run, tokens must not.
    if generation.lease_expires_at.is_none_or(|old| old < expiry - lease_ms / 2) {
        generation.lease_expires_at = Some(expiry);
        tx.put(&*generation)?;
    }
    Ok(())
}

/// Why an event is not a runner's to append: it tells of a row, or of what somebody else said, and comes with
/// the change of that row.
fn reserved(event: &Event) -> Option<&'static str> {
    match event {
        Event::Status { .. } => Some("the status is set by generations:finish"),
        Event::Artifact { .. } => Some("an artifact is told by artifacts:create and artifacts:update"),
        Event::Approval { .. } => Some("an approval is told by approvals:request and approvals:decide"),
        Event::Steered { .. } => Some("what the user said is told by turns:send"),
        _ => None,
    }
}

/// The generation, if this caller runs it.
pub(super) fn held(
    tx: &mut Tx<'_>, ctx: &CallContext, id: &Id<Generation>, epoch: Option<u64>,
) -> Result<(Thread, Generation)> {
    let owner = work::lease_owner(tx, ctx, epoch)?;
    let (thread, generation) = owned::generation(tx, &ctx.principal, id)?;
    let holds = generation.runner.is_outside() && generation.lease_owner == Some(owner);
    if holds {
        return Ok((thread, generation));
    }
    Err(Error::new(Code::Forbidden, "Another runner makes this answer.").with("reason", "lease_lost"))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Finish {
    pub generation_id: Id<Generation>,
    /// Of a worker: what `workers:connect` gave it.
    pub epoch: Option<u64>,
    pub status: FinalStatus,
    /// The whole text of the answer. It wins over what was appended.
    pub text: Option<String>,
    pub error: Option<Failure>,
    pub usage: Option<Usage>,
    pub finish_reason: Option<String>,
    pub model: Option<String>,
    pub provider: Option<String>,
}

/// How a generation has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Finished {
    pub status: GenerationStatus,
    /// Where the log ended.
    pub cursor: u64,
    /// The whole text that ended the answer is not the one that was streamed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub text_differs: bool,
}

/// `generations:finish`: the first one counts, later ones get its result.
pub fn finish(tx: &mut Tx<'_>, ctx: &CallContext, args: Finish) -> Result<Finished> {
    let (thread, generation) = held(tx, ctx, &args.generation_id, args.epoch)?;
    if let Some(code) = args.error.as_ref().map(|error| &error.code)
        && !Code::ALL.iter().any(|known| known.as_str() == code)
    {
        return Err(Error::bad_request("error.code: not one of the error codes").with("path", "error.code"));
    }
    check_bytes("text", args.text.as_deref().unwrap_or(""), limits::PARTS_BYTES)?;
    if args.status == FinalStatus::Complete && args.text.is_none() {
        arrivals::check_whole(tx, &generation.id)?;
    }
    let Finish { status, text, error, usage, finish_reason, model, provider, .. } = args;
    finish_once(tx, ctx, thread, generation, Ending { status, text, error, usage, finish_reason, model, provider })
}

/// Ends a generation, or says how it ended before.
pub(super) fn finish_once(
    tx: &mut Tx<'_>, ctx: &CallContext, thread: Thread, generation: Generation, ending: Ending,
) -> Result<Finished> {
    if generation.status.is_terminal() {
        let cursor = turn::log_end(tx, &generation)?;
        return Ok(Finished { status: generation.status, cursor, text_differs: generation.text_differs });
    }
    let id = generation.id.clone();
    let cursor = turn::end(tx, ctx, thread, generation, ending)?;
    let ended = tx.get(&id)?.ok_or_else(|| Error::not_found("generation"))?;
    Ok(Finished { status: ended.status, cursor, text_differs: ended.text_differs })
}
