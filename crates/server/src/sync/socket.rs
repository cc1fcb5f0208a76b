//! The loop of one connection: frames in, frames out, time.
//!
//! One task does it all, so a slow socket simply stops the loop: meanwhile changes only set a flag, and
//! nothing is queued. Mutations of a client run in their order of arrival; several may be on their way,
//! but no Transition is built until all answers are out, because a client must hear its mutation's
//! answer before it sees the effects.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use sha2::{Digest as _, Sha256};
use spool_chat::Principal;
use spool_chat::functions::account::departed;
use spool_chat::tables::departure::hash_of_user;
use spool_protocol::convex::client::{Authenticate, Call, ClientMessage, Connect, TokenType};
use spool_protocol::convex::value::decode_args;
use spool_protocol::convex::{Text, decode_ts, server};
use spool_protocol::{Code, Error};
use spool_store::{Committed, LedgerKey};
use tokio::sync::{oneshot, watch};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, Frame};
use tokio_tungstenite::tungstenite::{Bytes, Error as WsError, Message};

use super::Client;
use super::session::{OutOfStep, Session};
use crate::app::App;
use crate::auth::Identity;
use crate::auth::revocation::Guard;
use crate::limits::Class;
use crate::origin;

/// Silence after which the client is pinged; npm gives up after 60 s, the Rust client after 30 s.
const PING_EVERY: Duration = Duration::from_secs(10);
/// Silence after which a client counts as gone; its pongs count.
const CLIENT_SILENCE: Duration = Duration::from_secs(120);
/// A client that does not take a frame for so long is sent away: it can resume at any time.
const SEND_PATIENCE: Duration = Duration::from_secs(30);
/// How long such a client gets to take what is on its way, and the close behind it: as long as the kernel keeps
/// the connection of one that acknowledges nothing.
const LAST_WORD: Duration = Duration::from_secs(30);
/// How long the closing handshake of any other may take.
const CLOSING: Duration = Duration::from_secs(2);
/// Mutations on their way to the store at the same time, for one client.
const IN_FLIGHT: usize = 32;
/// Mutations waiting behind them. The protocol's own limit.
const WAITING: usize = 1_000;
/// What the requests without an answer may have, together, before no more is read of this client: a frame of the
/// largest size. It is the network then that holds what the client goes on to say.
const UNANSWERED_BYTES: usize = super::INBOUND_BYTES;
/// Actions running at the same time, for one client.
const ACTIONS: usize = 100;
/// How long a reconnecting client may be silent between the frames of its first burst. It repeats its
/// mutations behind its queries, and must hear their stored answers before it is told anything new.
const BURST_PAUSE: Duration = Duration::from_millis(5);
/// Frames read before anything is answered: what a client sends in one burst belongs together.
const BURST: usize = 256;
/// Senseless frames after which a client is sent away.
const SENSELESS: u32 = 16;
/// Requests refused for their number, one after another, after which a client is sent away.
const REFUSED: u32 = 100;
/// A Transition above the first size goes to npm clients in chunks of the second: each of them tells the client that
/// the connection lives.
const CHUNKED_BYTES: usize = 4 << 20;
const CHUNK_BYTES: usize = 256 << 10;
/// What is written at once; a longer message goes in fragments. The socket's buffer keeps the size that it once had,
/// and a client that takes nothing keeps it full.
const FRAME_BYTES: usize = 64 << 10;

type Socket = WebSocketStream<TokioIo<Upgraded>>;
type Answer = Result<Committed, Error>;
type ActionDone = (Asked, Result<String, Error>);

/// Why the connection ends.
enum End {
    /// The client went away, or its network did.
    Gone,
    /// The client takes nothing.
    Slow,
    Close(CloseCode, String),
}

impl From<OutOfStep> for End {
    fn from(OutOfStep(reason): OutOfStep) -> Self {
        End::Close(CloseCode::Policy, reason)
    }
}

/// A request of the client, and the bytes of its frame.
#[derive(Clone, Copy)]
struct Asked {
    request: u32,
    bytes: usize,
}

struct Waiting {
    asked: Asked,
    /// What is to run, or why it may not.
    call: Result<Call, Error>,
    principal: Arc<Principal>,
}

struct Connection<'app> {
    app: &'app App,
    client: Client,
    socket: Socket,
    session: Session,
    /// Ends the connection with its identity. The clients renew ten seconds before their token expires.
    guard: Guard,
    session_id: Option<String>,
    waiting: VecDeque<Waiting>,
    in_flight: VecDeque<(Asked, oneshot::Receiver<Answer>)>,
    actions: FuturesUnordered<futures_util::future::BoxFuture<'static, ActionDone>>,
    /// Bytes of the requests that wait, are in flight or run.
    unanswered_bytes: usize,
    /// Failures that must not be the first thing a client hears on a new connection.
    held: Vec<String>,
    /// An answer is out, and its Transition is not.
    answered: bool,
    stale: bool,
    /// The client has had another connection before.
    reconnected: bool,
    senseless: u32,
    /// Requests refused one after another because there were too many.
    refused: u32,
    heard_at: Instant,
    spoke_at: Instant,
}

pub async fn serve(app: &App, socket: Socket, client: Client) {
    let now = Instant::now();
    let mut connection = Connection {
        app,
        client,
        socket,
        session: Session::new(app.functions.clone()),
        guard: app.auth.revocations().guard(&Identity::anonymous()),
        session_id: None,
        waiting: VecDeque::new(),
        in_flight: VecDeque::new(),
        actions: FuturesUnordered::new(),
        unanswered_bytes: 0,
        held: Vec::new(),
        answered: false,
        stale: false,
        reconnected: false,
        senseless: 0,
        refused: 0,
        heard_at: now,
        spoke_at: now,
    };
    let (code, reason, patience) = match connection.run().await {
        Ok(()) | Err(End::Gone) => return,
        Err(End::Slow) => (CloseCode::Again, "Overloaded: the client takes too little".to_owned(), LAST_WORD),
        Err(End::Close(code, reason)) => (code, reason, CLOSING),
    };
    let reason: String = reason.chars().filter(char::is_ascii).take(120).collect();
    let frame = CloseFrame { code, reason: reason.into() };
    // The close handshake is completed for the client's sake; it waits for it before it renews a token.
    let _ = timeout(patience, async {
        connection.socket.close(Some(frame)).await?;
        while let Some(Ok(_)) = connection.socket.next().await {}
        Ok::<(), WsError>(())
    })
    .await;
}

impl Connection<'_> {
    async fn run(&mut self) -> Result<(), End> {
        let wake = Arc::clone(&self.session.wake);
        let mut departures = self.app.auth.departures();
        loop {
            self.end_if_departed(&mut departures).await?;
            let ping_at = self.spoke_at + PING_EVERY;
            tokio::select! {
                frame = self.socket.next(), if self.unanswered_bytes < UNANSWERED_BYTES => {
                    self.take(frame).await?;
                    self.take_burst().await?;
                }
                () = wake.notified() => self.stale = true,
                (asked, answer) = first_answer(&mut self.in_flight) => {
                    self.unanswered_bytes -= asked.bytes;
                    self.answer_mutation(asked.request, answer).await?;
                }
                Some((asked, result)) = self.actions.next(), if !self.actions.is_empty() => {
                    self.unanswered_bytes -= asked.bytes;
                    self.note_told(&result);
                    self.answer_action(asked.request, result).await?;
                    self.check_flood()?;
                }
                Ok(()) = departures.changed() => {}
                () = sleep_until(ping_at) => self.ping().await?,
                why = self.guard.ended() => return self.expire(why).await,
                () = self.app.shutdown.cancelled() => {
                    return Err(End::Close(CloseCode::Restart, "ServerShutdown".into()));
                }
            }
            self.progress().await?;
        }
    }

    /// Only this connection ends. What it began goes on: a running generation belongs to its thread.
    /// The client is told as of a refused token, so it asks for a new one.
    async fn expire(&mut self, why: Error) -> Result<(), End> {
        let version = self.session.identity_version();
        let told = Error::new(why.code, format!("{}: {}", why.code, why.message));
        self.send(server::auth_error(&told, version, false)).await?;
        let reason = if why.code == Code::Revoked { "AuthRevoked" } else { "AuthExpired" };
        Err(End::Close(CloseCode::Normal, reason.into()))
    }

    /// Ends once the user's account is deleted, but not before an action has said so.
    async fn end_if_departed(&mut self, departures: &mut watch::Receiver<HashSet<String>>) -> Result<(), End> {
        let Principal::User { user } = &*self.session.identity.principal else { return Ok(()) };
        if !self.actions.is_empty() || !departures.borrow().contains(&hash_of_user(user)) {
            return Ok(());
        }
        let version = self.session.identity_version();
        self.send(server::auth_error(&departed(), version, false)).await?;
        Err(End::Close(CloseCode::Normal, "AuthRevoked".into()))
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.heard_at.elapsed() > CLIENT_SILENCE {
            return Err(End::Gone);
        }
        self.feed(Message::Ping(Bytes::new())).await?;
        self.send(server::PING.to_owned()).await
    }

    /// Reads what has already arrived, so that a reconnecting client's requests are known before it is
    /// told anything.
    async fn take_burst(&mut self) -> Result<(), End> {
        let returning = self.reconnected && !self.session.has_begun();
        for _ in 0..BURST {
            if self.unanswered_bytes >= UNANSWERED_BYTES {
                break;
            }
            let next = self.socket.next();
            let frame = if returning { timeout(BURST_PAUSE, next).await.ok() } else { next.now_or_never() };
            match frame {
                Some(frame) => self.take(frame).await?,
                None => break,
            }
        }
        Ok(())
    }

    async fn take(&mut self, frame: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> Result<(), End> {
        self.heard_at = Instant::now();
        match frame {
            Some(Ok(Message::Text(text))) => self.take_text(&text).await,
            Some(Ok(Message::Binary(_))) => self.senseless("binary frames are not part of the protocol").await,
            Some(Ok(Message::Close(_))) | None | Some(Err(WsError::ConnectionClosed | WsError::Io(_))) => {
                Err(End::Gone)
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(()),
            Some(Err(WsError::Capacity(error))) => Err(End::Close(CloseCode::Size, format!("TooLarge: {error}"))),
            Some(Err(error)) => Err(End::Close(CloseCode::Protocol, format!("BadFrame: {error}"))),
        }
    }

    async fn take_text(&mut self, text: &str) -> Result<(), End> {
        let message = match ClientMessage::parse(text) {
            Ok(message) => message,
            // A broken query set or identity cannot be skipped: every later version would be wrong.
            Err(error)
                if ["ModifyQuerySet", "Authenticate", "Connect"].iter().any(|kind| error.message.starts_with(kind)) =>
            {
                return Err(End::Close(CloseCode::Policy, format!("BadMessage: {}", error.message)));
            }
            Err(error) => return self.answer_unreadable(text, error).await,
        };
        match message {
            ClientMessage::Connect(connect) => self.connect(connect).await,
            ClientMessage::ModifyQuerySet(change) => {
                // A query set cannot be refused in part, so this is the end of the connection.
                for _ in &change.modifications {
                    self.charge(Class::Read).map_err(|_| flooded())?;
                }
                Ok(self.session.modify(change)?)
            }
            ClientMessage::Mutation(call) => self.queue_mutation(call, text.len()),
            ClientMessage::Action(call) => self.start_action(call, text.len()).await,
            ClientMessage::Authenticate(message) => self.authenticate(message).await,
            ClientMessage::Event => Ok(()),
        }
    }

    async fn connect(&mut self, connect: Connect) -> Result<(), End> {
        if self.session_id.is_some() {
            return Err(End::Close(CloseCode::Policy, "AlreadyConnected".into()));
        }
        let observed = connect.max_observed_timestamp.as_deref().and_then(decode_ts).unwrap_or(0);
        if observed > self.app.functions.store().timestamp() {
            // The client has seen a future of ours: this data is older than what it was shown.
            return Err(End::Close(CloseCode::Error, "InternalServerError: timestamps went backwards".into()));
        }
        if let Some(client_ms) = connect.client_ts.filter(|_| self.client == Client::Npm) {
            self.session.note_client_clock(client_ms, self.app.clock.now_ms());
        }
        self.reconnected = connect.connection_count > 0;
        self.session_id = Some(connect.session_id);
        // Wakes the Rust client out of Nagle and delayed acknowledgement; others ignore it.
        self.send(server::PING.to_owned()).await
    }

    fn queue_mutation(&mut self, call: Call, bytes: usize) -> Result<(), End> {
        if self.session_id.is_none() {
            return Err(End::Close(CloseCode::Policy, "NotConnected: the first message must be Connect".into()));
        }
        if self.waiting.len() >= WAITING {
            return Err(End::Close(CloseCode::Again, "TooManyConcurrentMutations".into()));
        }
        let charged = self.charge(Class::Write);
        let request = call.request_id;
        // What is refused keeps its turn, and none of its bytes.
        let bytes = if charged.is_ok() { bytes } else { 0 };
        let call = charged.and_then(|()| no_component(&call)).map(|()| call);
        self.unanswered_bytes += bytes;
        let principal = Arc::clone(&self.session.identity.principal);
        self.waiting.push_back(Waiting { asked: Asked { request, bytes }, call, principal });
        Ok(())
    }

    async fn start_action(&mut self, call: Call, bytes: usize) -> Result<(), End> {
        let request = call.request_id;
        if self.actions.len() >= ACTIONS {
            let error = Error::new(Code::Overloaded, format!("one client may run {ACTIONS} actions at a time"));
            return self.answer_action(request, Err(error)).await;
        }
        let charged = self.charge(Class::Write);
        let args = charged.and_then(|()| no_component(&call)).and_then(|()| decode_args(&call.args));
        let principal = Arc::clone(&self.session.identity.principal);
        let actions = self.app.actions.clone();
        let asked = Asked { request, bytes };
        self.unanswered_bytes += bytes;
        self.actions.push(Box::pin(async move {
            let result = match args {
                Ok(args) => actions.run(&call.udf_path, &principal, args).await,
                Err(error) => Err(error),
            };
            (asked, result)
        }));
        Ok(())
    }

    async fn authenticate(&mut self, message: Authenticate) -> Result<(), End> {
        let value = message.value.as_deref().unwrap_or_default();
        let identity = match message.token_type {
            TokenType::None => Ok(Identity::anonymous()),
            TokenType::User => self.app.auth.from_token(value).await,
            TokenType::Admin => self.app.auth.from_key(value).await,
        };
        match identity {
            Ok(identity) => {
                self.guard = self.app.auth.revocations().guard(&identity);
                let facts = &origin::current().facts;
                self.app.functions.denials().note_key(&identity.principal, facts, self.app.clock.now_ms());
                Ok(self.session.authenticate(message.base_version, identity)?)
            }
            // The token may be good, so the client must not drop it, as it does after an AuthError: it comes
            // back with the same.
            Err(error) if error.code == Code::IssuerUnavailable => {
                Err(End::Close(CloseCode::Again, "IssuerUnavailable".into()))
            }
            Err(error) => {
                let origin = origin::current();
                self.app.functions.denials().note_refused(&origin.facts, self.app.clock.now_ms(), &error);
                self.app.limits.refuse(&origin).map_err(|_| flooded())?;
                // Nothing behind it in the burst may run, least of all as anonymous: stop reading.
                self.waiting.clear();
                self.send(server::auth_error(&error, message.base_version, true)).await?;
                Err(End::Close(CloseCode::Normal, "AuthError".into()))
            }
        }
    }

    /// A frame that is no message. If it at least names a request, that request fails; the socket goes on.
    async fn answer_unreadable(&mut self, text: &str, error: Error) -> Result<(), End> {
        let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let request = value["requestId"].as_u64().and_then(|id| u32::try_from(id).ok());
        match (value["type"].as_str(), request) {
            (Some("Mutation"), Some(request)) => self.answer_mutation(request, Err(error)).await,
            (Some("Action"), Some(request)) => self.answer_action(request, Err(error)).await,
            _ => self.senseless(&error.message).await,
        }
    }

    async fn senseless(&mut self, what: &str) -> Result<(), End> {
        self.senseless += 1;
        if self.senseless > SENSELESS {
            return Err(End::Close(CloseCode::Policy, format!("BadMessage: {what}")));
        }
        let error = serde_json::Value::from(format!("bad_request: {what}"));
        self.send(format!(r#"{{"type":"FatalError","error":{error}}}"#)).await
    }

    /// Moves everything on that can move: submits mutations, brings the client up to date.
    async fn progress(&mut self) -> Result<(), End> {
        loop {
            while self.in_flight.len() < IN_FLIGHT && !self.answered {
                let Some(next) = self.waiting.pop_front() else { break };
                let asked = next.asked;
                let answer = self.submit(next).await;
                self.in_flight.push_back((asked, answer));
            }
            while let Some((asked, answer)) = first_answer(&mut self.in_flight).now_or_never() {
                self.unanswered_bytes -= asked.bytes;
                self.note_told(&answer);
                self.answer_mutation(asked.request, answer).await?;
                self.check_flood()?;
            }
            let due = self.stale || self.session.owes_transition();
            let may_begin = self.client == Client::Other || self.session.has_query_set();
            if !self.in_flight.is_empty() || !due || !may_begin {
                return self.flush().await;
            }
            self.stale = false;
            match self.session.transition().await {
                Ok(Some(text)) => self.send_transition(text).await?,
                Ok(None) => {}
                Err(error) => return Err(End::Close(CloseCode::Error, format!("InternalServerError: {}", error.code))),
            }
            self.answered = false;
            for held in std::mem::take(&mut self.held) {
                self.session.owe_transition();
                self.feed_text(&held.into()).await?;
            }
        }
    }

    async fn submit(&mut self, Waiting { asked, call, principal }: Waiting) -> oneshot::Receiver<Answer> {
        let submitted = match call.and_then(|call| Ok((decode_args(&call.args)?, call.udf_path))) {
            Ok((args, path)) => {
                let ledger = LedgerKey {
                    session: self.session_id.clone().unwrap_or_default(),
                    request: asked.request.to_string(),
                    principal: principal.key(),
                };
                self.app.functions.submit(&path, &principal, args, Some(ledger)).await
            }
            Err(error) => Err(error),
        };
        submitted.unwrap_or_else(|error| {
            let (reply, answer) = oneshot::channel();
            let _ = reply.send(Err(error));
            answer
        })
    }

    /// Counts a request of this client for whom it is.
    fn charge(&mut self, class: Class) -> Result<(), Error> {
        let origin = origin::current();
        self.app.limits.charge(class, &self.session.identity.principal, &origin)
    }

    /// A client that goes on although it was told that it asks too much is sent away. Counted when it is told.
    fn note_told<T>(&mut self, answer: &Result<T, Error>) {
        let refused = answer.as_ref().is_err_and(|error| error.code == Code::RateLimited);
        self.refused = if refused { self.refused + 1 } else { 0 };
    }

    fn check_flood(&self) -> Result<(), End> {
        if self.refused > REFUSED { Err(flooded()) } else { Ok(()) }
    }

    async fn answer_mutation(&mut self, request: u32, answer: Answer) -> Result<(), End> {
        self.answered = true;
        self.session.owe_transition();
        match answer {
            Ok(done) => self.feed_text(&server::mutation_response(request, Ok((&done.value, done.ts))).into()).await,
            Err(error) => {
                let text = server::mutation_response(request, Err(&self.with_request_id(request, error)));
                if self.session.has_begun() {
                    self.feed_text(&text.into()).await
                } else {
                    self.held.push(text);
                    Ok(())
                }
            }
        }
    }

    async fn answer_action(&mut self, request: u32, result: Result<String, Error>) -> Result<(), End> {
        let result = result.map_err(|error| self.with_request_id(request, error));
        self.feed_text(&server::action_response(request, result.as_deref()).into()).await?;
        self.flush().await
    }

    /// The id that Convex clients derive themselves: a digest of session and request.
    fn with_request_id(&self, request: u32, error: Error) -> Error {
        if error.data.as_ref().is_some_and(|data| data.get("requestId").is_some()) {
            return error;
        }
        let session = self.session_id.as_deref().unwrap_or_default();
        let digest = Sha256::digest(format!("{session}|{request}"));
        error.with("requestId", digest[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }

    async fn send_transition(&mut self, text: Text) -> Result<(), End> {
        if self.client == Client::Other || text.len() <= CHUNKED_BYTES {
            return self.feed_text(&text).await;
        }
        for chunk in server::chunks(&text, CHUNK_BYTES) {
            self.feed_text(&chunk.into()).await?;
        }
        Ok(())
    }

    /// Writes a message frame by frame, each when the one before has left the socket's buffer.
    async fn feed_text(&mut self, text: &Text) -> Result<(), End> {
        let mut kind = Data::Text;
        let mut frames = text.cuts(FRAME_BYTES).peekable();
        while let Some(frame) = frames.next() {
            let is_last = frames.peek().is_none();
            self.feed(Message::Frame(Frame::message(frame, OpCode::Data(kind), is_last))).await?;
            kind = Data::Continue;
        }
        Ok(())
    }

    /// Writes a message; the socket may still hold it back until `flush`.
    async fn feed(&mut self, message: Message) -> Result<(), End> {
        self.spoke_at = Instant::now();
        taken(timeout(SEND_PATIENCE, self.socket.feed(message)).await)
    }

    async fn flush(&mut self) -> Result<(), End> {
        taken(timeout(SEND_PATIENCE, self.socket.flush()).await)
    }

    async fn send(&mut self, text: String) -> Result<(), End> {
        self.feed_text(&text.into()).await?;
        self.flush().await
    }
}

fn taken(written: Result<Result<(), WsError>, Elapsed>) -> Result<(), End> {
    match written {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(End::Gone),
        Err(_) => Err(End::Slow),
    }
}

/// The oldest mutation's answer. Safe to cancel: the queue is only popped when the answer is there.
async fn first_answer(in_flight: &mut VecDeque<(Asked, oneshot::Receiver<Answer>)>) -> (Asked, Answer) {
    let Some((asked, answer)) = in_flight.front_mut() else { return std::future::pending().await };
    let asked = *asked;
    let answer = answer.await.unwrap_or_else(|_| Err(Error::new(Code::Overloaded, "the server is shutting down")));
    in_flight.pop_front();
    (asked, answer)
}

/// The first word is one that official clients know, and come back after a while.
fn flooded() -> End {
    End::Close(CloseCode::Again, "TooManyConcurrentRequests: rate_limited".into())
}

fn no_component(call: &Call) -> Result<(), Error> {
    if call.component_path.as_deref().is_none_or(str::is_empty) {
        Ok(())
    } else {
        Err(Error::new(Code::FunctionNotFound, "there are no components here"))
    }
}
