//! Random inputs for all that strangers can send: every route, credentials, and messages on the sync socket.
//!
//! A run is one input. The same seed makes the same inputs but for new ids and keys; one that fails is printed.
//! Must never reach beyond this process: the router is called directly, sync sessions are its own, and nothing
//! calls out.
//!
//! `SPOOL_FUZZ_RUNS` and `SPOOL_FUZZ_SEED` make it longer and different, `SPOOL_FUZZ_SECONDS` ends each target
//! by time; `make fuzz` sets them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "a test that says what it found")]

use std::collections::BTreeMap;
use std::panic;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use spool_protocol::convex::client::ClientMessage;
use spool_protocol::convex::value::decode_args;

mod dice;
mod place;
mod requests;
mod socket;
mod tokens;

use dice::Dice;
use place::Place;

/// Runs after which a server is examined and replaced, so that its rows stay few.
const LIFE: u64 = 2_000;
/// Requests that are under way at the same time.
const AT_ONCE: usize = 32;
/// How often a long run says how far it is.
const PROGRESS: Duration = Duration::from_secs(10);

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Panics anywhere in the process, also those that a layer turns into an answer.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let known = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            PANICS.lock().unwrap().push(panic.to_string());
            known(panic);
        }));
        // The cause of a fault is only in the log.
        tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR).with_writer(std::io::stderr).init();
    });
}

/// How far a target is to go and has come, and how often which outcome was.
struct Tally {
    target: &'static str,
    seed: u64,
    wanted: u64,
    limit: Duration,
    runs: u64,
    outcomes: BTreeMap<u16, u64>,
    begun: Instant,
    said: Instant,
}

impl Tally {
    /// `short` is how many runs are made where nobody asked for more.
    fn new(target: &'static str, short: u64) -> Self {
        watch_panics();
        let (seed, now) = (setting("SPOOL_FUZZ_SEED", 1), Instant::now());
        eprintln!("fuzz {target}: seed {seed}");
        let wanted = setting("SPOOL_FUZZ_RUNS", short);
        let limit = Duration::from_secs(setting("SPOOL_FUZZ_SECONDS", 86_400));
        Self { target, seed, wanted, limit, runs: 0, outcomes: BTreeMap::new(), begun: now, said: now }
    }

    fn goes_on(&self) -> bool {
        self.runs < self.wanted && self.begun.elapsed() < self.limit
    }

    /// Counts an outcome; fails with the `inputs` if it is a fault or something panicked meanwhile.
    fn count(&mut self, outcome: Result<u16, String>, inputs: &dyn Fn() -> String) {
        self.runs += 1;
        let panics = PANICS.lock().unwrap().clone();
        match outcome {
            Ok(outcome) if panics.is_empty() => *self.outcomes.entry(outcome).or_default() += 1,
            outcome => panic!("seed {}, run {}: {outcome:?} {panics:?}\n{}", self.seed, self.runs, inputs()),
        }
        if self.said.elapsed() > PROGRESS {
            self.said = Instant::now();
            self.say();
        }
    }

    fn say(&self) {
        let seconds = self.begun.elapsed().as_secs_f64();
        eprintln!("fuzz {}: {} runs in {seconds:.0} s, by outcome {:?}", self.target, self.runs, self.outcomes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_answers_whatever_it_is_sent() {
    let mut tally = Tally::new("http", 6_000);
    let mut dice = Dice::new(tally.seed);
    while tally.goes_on() {
        let place = Place::open().await;
        dice.known = place.names.values().cloned().collect();
        let seeds = requests::seeds(&place.names);
        let made = (0..LIFE.min(tally.wanted - tally.runs)).map(|_| requests::request(&mut dice, &seeds));
        let mut answers = stream::iter(made).map(|request| place.send(request)).buffer_unordered(AT_ONCE);
        while let Some((request, outcome)) = answers.next().await {
            tally.count(outcome, &|| request.text());
        }
        drop(answers);
        place.close().await.unwrap();
    }
    tally.say();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ia_02_no_credential_is_believed_that_was_changed() {
    let mut tally = Tally::new("tokens", 10_000);
    let mut dice = Dice::new(tally.seed);
    let place = Place::open().await;
    dice.known = place.names.values().cloned().collect();
    while tally.goes_on() {
        let (header, own) = tokens::header(&mut dice, &place.names);
        let outcome = tokens::check(&place, &header, own).await;
        tally.count(outcome, &|| header.clone());
    }
    place.close().await.unwrap();
    tally.say();
}

/// A run is a session of several messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_session_of_a_socket_is_answered_or_closed() {
    let mut tally = Tally::new("sync sessions", 500);
    let mut dice = Dice::new(tally.seed);
    while tally.goes_on() {
        let place = Place::open().await;
        dice.known = place.names.values().cloned().collect();
        let made = (0..LIFE.min(tally.wanted - tally.runs)).map(|_| socket::session(&mut dice, &place));
        let mut talks = stream::iter(made).map(|said| socket::talk(&place, said)).buffer_unordered(AT_ONCE);
        while let Some((said, outcome)) = talks.next().await {
            tally.count(outcome, &|| format!("{said:#?}"));
        }
        drop(talks);
        place.close().await.unwrap();
    }
    tally.say();
}

/// What clients send on a sync socket.
const MESSAGES: &[&str] = &[
    r#"{"type":"Connect","sessionId":"s","connectionCount":0,"lastCloseReason":"InitialConnect","clientTs":1.5,"maxObservedTimestamp":"AAAAAAAAAAA="}"#,
    r#"{"type":"ModifyQuerySet","baseVersion":0,"newVersion":1,"modifications":[{"type":"Add","queryId":0,"udfPath":"threads:page","args":[{"paginationOpts":{"numItems":1,"cursor":null}}],"journal":null},{"type":"Remove","queryId":1}]}"#,
    r#"{"type":"Mutation","requestId":0,"udfPath":"threads:create","args":[{"title":"x","n":{"$integer":"AAAAAAAAAAA="}}],"componentPath":""}"#,
    r#"{"type":"Action","requestId":4294967295,"udfPath":"turns:sendAndWait","args":[{"threadId":"thr_1","text":"\ud83d\ude00"}]}"#,
    r#"{"type":"Authenticate","baseVersion":0,"tokenType":"User","value":"a.b.c","impersonating":null}"#,
    r#"{"type":"Event","eventType":"ClientConnect","event":{}}"#,
];

#[test]
fn every_message_of_a_socket_is_read_or_refused() {
    let mut tally = Tally::new("sync messages", 30_000);
    let mut dice = Dice::new(tally.seed);
    while tally.goes_on() {
        let mut message = dice.pick(MESSAGES).as_bytes().to_vec();
        for _ in 0..dice.below(4) {
            match serde_json::from_slice::<serde_json::Value>(&message) {
                Ok(mut value) if dice.one_in(2) => {
                    dice.json(&mut value);
                    message = value.to_string().into_bytes();
                }
                _ => dice.bytes(&mut message),
            }
        }
        let message = String::from_utf8_lossy(&message).into_owned();
        let outcome = match ClientMessage::parse(&message) {
            Ok(ClientMessage::Mutation(call) | ClientMessage::Action(call)) => {
                decode_args(&call.args).map_or(400, |_| 200)
            }
            Ok(_) => 200,
            Err(_) => 400,
        };
        tally.count(Ok(outcome), &|| message.clone());
    }
    tally.say();
}
