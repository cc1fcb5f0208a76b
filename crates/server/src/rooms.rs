//! Readers that keep up, by log: what is committed is written to their sockets at once, by one thread.
//!
//! A wake-up of a task and a pass through hyper cost as much as the write itself. So a response body that has
//! handed out everything parks its [`Lane`], and until it is needed again the thread here writes whole chunks
//! to the socket under it. A reader that does not take a chunk at once gets its body back, which goes on at
//! its offset, from memory or storage. Must never wait for anybody.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use futures_util::task::AtomicWaker;
use spool_store::{Chunk, Encoded, Published, Store, Tail, threads};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// A round that takes so long is followed by a rest of its room of the same length, in which more gathers for the
/// next: each reader then gets it in one write, and other rooms have their turn.
const LONG: Duration = Duration::from_millis(1);
const LONGEST_REST: Duration = Duration::from_millis(8);

/// A chunk as all readers of a room get it.
pub type Encode = fn(&Chunk) -> &Encoded;

/// The rooms that somebody is in.
#[derive(Default)]
pub struct Rooms {
    rooms: Mutex<HashMap<String, Arc<Room>>>,
    seats: AtomicU64,
}

/// The readers of one log.
struct Room {
    encode: Encode,
    lanes: Mutex<HashMap<u64, Arc<Lane>>>,
}

/// The way to one reader: a socket that hyper and a room take turns to write to.
pub struct Lane {
    tcp: Arc<TcpStream>,
    /// Whether hyper has written everything that it was given.
    flushed: AtomicBool,
    state: Mutex<State>,
    body: AtomicWaker,
}

#[derive(Default)]
struct State {
    /// For which seat a room may write. A connection outlives its responses, and a round may come when the next one
    /// has begun, from another log.
    parked: Option<u64>,
    /// The offset after the last chunk that was written or begun.
    at: u64,
    /// The rest of a chunk that the socket did not take. Nothing else may be written before it.
    owed: Bytes,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data is updated in single steps, so a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rooms {
    /// Starts the thread that writes. It ends with the store. To be called inside the runtime of the readers.
    pub fn start(store: &Store) -> io::Result<Arc<Self>> {
        let rooms = Arc::new(Self::default());
        let (writer, feed, runtime) = (Arc::clone(&rooms), store.log_feed(), Handle::current());
        threads::spawn("spool-rooms", move || writer.run(feed, &runtime))?;
        Ok(rooms)
    }

    fn run(&self, mut feed: Receiver<Arc<Published>>, runtime: &Handle) {
        let mut resting = Resting::default();
        loop {
            match runtime.block_on(next(&mut feed, resting.first())) {
                Ok(Some(published)) => self.deliver(&published, &mut resting),
                Ok(None) => {
                    for (log, chunks) in resting.rested(Instant::now()) {
                        self.write(log, &chunks, &mut resting);
                    }
                }
                // The bodies find in the log what was missed here.
                Err(RecvError::Lagged(_)) => {
                    resting = Resting::default();
                    self.all().iter().for_each(|room| room.give_back());
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn deliver(&self, published: &Published, resting: &mut Resting) {
        for (log, chunk) in &published.appended {
            if !resting.gathers(log, chunk) {
                self.write(Arc::clone(log), std::slice::from_ref(chunk), resting);
            }
        }
        for log in &published.ended {
            if let Some(room) = self.find(log) {
                room.give_back();
            }
        }
    }

    /// Writes chunks that follow one another to everybody in the room of their log.
    fn write(&self, log: Arc<str>, chunks: &[Chunk], resting: &mut Resting) {
        let Some(room) = self.find(&log) else { return };
        let begun = Instant::now();
        match Stretch::of(chunks, room.encode) {
            Some(stretch) => room.each(|seat, lane| lane.write(seat, &stretch)),
            // Only hyper can end a response.
            None => room.give_back(),
        }
        let end = Instant::now();
        if end - begun >= LONG {
            resting.rest(log, end + (end - begun).min(LONGEST_REST));
        }
    }

    fn find(&self, log: &str) -> Option<Arc<Room>> {
        lock(&self.rooms).get(log).cloned()
    }

    fn all(&self) -> Vec<Arc<Room>> {
        lock(&self.rooms).values().cloned().collect()
    }

    /// A place among the readers of `log`, to be held as long as the response lasts.
    pub fn join(self: &Arc<Self>, log: &str, lane: Arc<Lane>, encode: Encode) -> Seat {
        let id = self.seats.fetch_add(1, Ordering::Relaxed);
        let mut rooms = lock(&self.rooms);
        let room = rooms.entry(log.to_owned()).or_insert_with(|| Arc::new(Room { encode, lanes: Mutex::default() }));
        lock(&room.lanes).insert(id, Arc::clone(&lane));
        lane.flushed.store(false, Ordering::Relaxed);
        Seat { rooms: Arc::clone(self), log: log.to_owned(), id, lane }
    }
}

/// What comes next, or nothing if it is `until` before, however much waits to come next.
async fn next(
    feed: &mut Receiver<Arc<Published>>, until: Option<Instant>,
) -> Result<Option<Arc<Published>>, RecvError> {
    match until {
        None => feed.recv().await.map(Some),
        Some(until) if until <= Instant::now() => Ok(None),
        Some(until) => match tokio::time::timeout_at(until.into(), feed.recv()).await {
            Ok(received) => received.map(Some),
            Err(_) => Ok(None),
        },
    }
}

/// Rooms whose last round took long, and what has come for them since.
#[derive(Default)]
struct Resting(HashMap<Arc<str>, (Instant, Vec<Chunk>)>);

impl Resting {
    fn rest(&mut self, log: Arc<str>, until: Instant) {
        self.0.insert(log, (until, Vec::new()));
    }

    /// Keeps the chunk for later if its room rests.
    fn gathers(&mut self, log: &str, chunk: &Chunk) -> bool {
        self.0.get_mut(log).map(|(_, chunks)| chunks.push(chunk.clone())).is_some()
    }

    /// When the first rest is over.
    fn first(&self) -> Option<Instant> {
        self.0.values().map(|(until, _)| *until).min()
    }

    /// The rooms whose rest is over, and what came for them.
    fn rested(&mut self, now: Instant) -> Vec<(Arc<str>, Vec<Chunk>)> {
        let over = self.0.extract_if(|_, (until, _)| *until <= now);
        over.map(|(log, (_, chunks))| (log, chunks)).filter(|(_, chunks)| !chunks.is_empty()).collect()
    }
}

impl Room {
    /// Nobody who comes or goes waits for a round: who has left takes no more.
    fn each(&self, visit: impl Fn(u64, &Lane)) {
        let lanes: Vec<(u64, Arc<Lane>)> = lock(&self.lanes).iter().map(|(seat, lane)| (*seat, lane.clone())).collect();
        lanes.iter().for_each(|(seat, lane)| visit(*seat, lane));
    }

    fn give_back(&self) {
        self.each(|seat, lane| lane.give_back(seat));
    }
}

/// Chunks that follow one another, as the bytes of one write.
struct Stretch {
    framed: Bytes,
    /// Where each chunk begins, as an offset of the log and as a place in the bytes.
    starts: Vec<(u64, usize)>,
    /// The offset after the last of them.
    end: u64,
}

impl Stretch {
    /// `None` if the log ends with them.
    fn of(chunks: &[Chunk], encode: Encode) -> Option<Self> {
        if let [only] = chunks {
            let Encoded { framed, is_last, .. } = encode(only);
            let starts = vec![(only.start, 0)];
            return (!is_last).then(|| Self { framed: framed.clone(), starts, end: only.end });
        }
        let (mut framed, mut starts, mut end) = (Vec::new(), Vec::with_capacity(chunks.len()), 0);
        for chunk in chunks {
            let encoded = encode(chunk);
            if encoded.is_last {
                return None;
            }
            starts.push((chunk.start, framed.len()));
            framed.extend_from_slice(&encoded.framed);
            end = chunk.end;
        }
        Some(Self { framed: framed.into(), starts, end })
    }

    /// Where a reader that has everything before `offset` goes on, if a chunk begins there.
    fn from(&self, offset: u64) -> Option<Bytes> {
        let (_, place) = self.starts.iter().find(|(start, _)| *start == offset)?;
        Some(self.framed.slice(place..))
    }
}

impl Lane {
    pub fn new(tcp: Arc<TcpStream>) -> Self {
        Self { tcp, flushed: AtomicBool::new(false), state: Mutex::default(), body: AtomicWaker::new() }
    }

    /// hyper has something to write.
    pub fn fill(&self) {
        self.flushed.store(false, Ordering::Release);
    }

    /// hyper has written everything.
    pub fn flush(&self) {
        self.flushed.store(true, Ordering::Release);
    }

    /// Writes what comes right after what the reader in the seat has.
    fn write(&self, seat: u64, stretch: &Stretch) {
        let mut state = lock(&self.state);
        if state.parked != Some(seat) || stretch.end <= state.at {
            return;
        }
        let free = state.owed.is_empty() && self.flushed.load(Ordering::Acquire);
        if let Some(bytes) = stretch.from(state.at).filter(|_| free) {
            // Whatever else is wrong with the socket, hyper will find it, too.
            let written = self.tcp.try_write(&bytes).unwrap_or(0);
            if written == bytes.len() {
                state.at = stretch.end;
                return;
            }
            if written > 0 {
                state.at = stretch.end;
                state.owed = bytes.slice(written..);
            }
        }
        state.parked = None;
        drop(state);
        self.body.wake();
    }

    fn give_back(&self, seat: u64) {
        if lock(&self.state).parked.take_if(|parked| *parked == seat).is_some() {
            self.body.wake();
        }
    }

    fn poll_owed(&self, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.state);
        while !state.owed.is_empty() {
            ready!(self.tcp.poll_write_ready(task))?;
            match self.tcp.try_write(&state.owed) {
                Ok(written) => drop(state.owed.split_to(written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// One reader's place in a room.
pub struct Seat {
    rooms: Arc<Rooms>,
    log: String,
    id: u64,
    lane: Arc<Lane>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.take_back();
        let Some(room) = self.rooms.find(&self.log) else { return };
        let mut lanes = lock(&room.lanes);
        lanes.remove(&self.id);
        if lanes.is_empty() {
            drop(lanes);
            // Somebody may have come in between.
            let mut rooms = lock(&self.rooms.rooms);
            if rooms.get(&self.log).is_some_and(|room| lock(&room.lanes).is_empty()) {
                rooms.remove(&self.log);
            }
        }
    }
}

impl Seat {
    /// Lets the room write what comes after `tail`, until it cannot, or this future is dropped. Then
    /// [`Seat::take_back`] says where the reader is.
    pub async fn park(&self, tail: &Tail) {
        {
            let mut state = lock(&self.lane.state);
            (state.parked, state.at) = (Some(self.id), tail.offset());
        }
        // What was committed before the room knew of this reader will not come again.
        if !tail.is_waiting() {
            return;
        }
        std::future::poll_fn(|task| {
            self.lane.body.register(task.waker());
            if lock(&self.lane.state).parked == Some(self.id) { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Ends the room's turn. Returns the offset after what it wrote, if it had one.
    pub fn take_back(&self) -> u64 {
        let mut state = lock(&self.lane.state);
        state.parked.take_if(|parked| *parked == self.id);
        state.at
    }

    /// Whether there is a rest of what the room began.
    pub fn owes(&self) -> bool {
        !lock(&self.lane.state).owed.is_empty()
    }

    /// Writes the rest of what the room began.
    pub async fn settle(&self) -> io::Result<()> {
        std::future::poll_fn(|task| self.lane.poll_owed(task)).await
    }

    /// To be called with everything that the body hands to hyper.
    pub fn fill(&self) {
        self.lane.fill();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;

    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    fn chunk(start: u64, text: &str) -> Chunk {
        let encoded = OnceLock::new();
        let bytes = Bytes::from(text.to_owned());
        encoded.set(Encoded { framed: bytes.clone(), bytes, is_last: text == "end" }).unwrap();
        Chunk { start, end: start + 10, data: text.into(), encoded: Arc::new(encoded) }
    }

    fn encoded(chunk: &Chunk) -> &Encoded {
        chunk.encoded.get().unwrap()
    }

    #[test]
    fn what_gathered_is_one_write_that_begins_where_each_reader_is() {
        let chunks = [chunk(0, "one "), chunk(10, "two "), chunk(20, "three")];
        let stretch = Stretch::of(&chunks, encoded).unwrap();
        assert_eq!((stretch.from(0).unwrap(), stretch.end), (Bytes::from("one two three"), 30));
        assert_eq!(stretch.from(20).unwrap(), "three");
        assert_eq!(stretch.from(15), None, "in the middle of a chunk its body goes on");
        assert!(Stretch::of(&[chunk(0, "one "), chunk(10, "end")], encoded).is_none());
    }

    #[test]
    fn a_room_that_rests_gathers_until_its_rest_is_over() {
        let (now, mut resting) = (Instant::now(), Resting::default());
        assert!(!resting.gathers("a", &chunk(0, "one")));
        resting.rest("a".into(), now + LONG);
        resting.rest("b".into(), now + LONGEST_REST);
        assert!(resting.gathers("a", &chunk(10, "two")) && resting.gathers("a", &chunk(20, "three")));
        assert_eq!((resting.first(), resting.rested(now).len()), (Some(now + LONG), 0));
        let rested = resting.rested(now + LONG);
        assert_eq!(rested.iter().map(|(log, chunks)| (&**log, chunks.len())).collect::<Vec<_>>(), [("a", 2)]);
        assert!(resting.rested(now + LONGEST_REST).is_empty(), "nothing came for b");
        assert_eq!(resting.first(), None);
    }

    #[tokio::test]
    async fn a_rest_that_is_over_comes_before_all_that_waits() {
        let (sender, mut feed) = tokio::sync::broadcast::channel(8);
        let published = |n: u64| Published { appended: vec![("b".into(), chunk(n, "x"))], ended: Vec::new() };
        for n in 0..8 {
            sender.send(Arc::new(published(n))).unwrap();
        }
        assert!(next(&mut feed, Some(Instant::now())).await.unwrap().is_none());
        assert!(next(&mut feed, Some(Instant::now() + LONGEST_REST)).await.unwrap().is_some());
        assert!(next(&mut feed, None).await.unwrap().is_some());
    }

    /// A lane to a reader that has nothing to read yet, and the reader.
    async fn lane() -> (Lane, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), async {
            listener.accept().await.unwrap().0
        });
        let lane = Lane::new(Arc::new(ours.unwrap()));
        lane.tcp.writable().await.unwrap();
        lane.flush();
        (lane, theirs)
    }

    #[tokio::test]
    async fn a_round_writes_nothing_into_the_response_that_came_after() {
        let (lane, mut reader) = lane().await;
        let (old, new) = (1, 2);
        let seen = || {
            let state = lock(&lane.state);
            (state.parked, state.at)
        };
        lock(&lane.state).parked = Some(new);
        lane.write(old, &Stretch::of(&[chunk(0, "of another log")], encoded).unwrap());
        lane.give_back(old);
        assert_eq!(seen(), (Some(new), 0));
        lane.write(new, &Stretch::of(&[chunk(0, "mine")], encoded).unwrap());
        lane.give_back(new);
        assert_eq!(seen(), (None, 10));
        drop(lane);
        let mut seen = String::new();
        reader.read_to_string(&mut seen).await.unwrap();
        assert_eq!(seen, "mine");
    }

    #[tokio::test]
    async fn nothing_is_written_before_the_rest_of_what_was_begun() {
        let (lane, mut reader) = lane().await;
        let park = |at| {
            let mut state = lock(&lane.state);
            (state.parked, state.at) = (Some(0), at);
        };
        let seen = || {
            let state = lock(&lane.state);
            (state.parked.is_some(), state.at, state.owed.is_empty())
        };
        let large = "x".repeat(16 << 20);
        park(0);
        lane.write(0, &Stretch::of(&[chunk(0, &large)], encoded).unwrap());
        assert_eq!(seen(), (false, 10, false), "more than the socket takes");
        park(10);
        lane.write(0, &Stretch::of(&[chunk(10, "after")], encoded).unwrap());
        assert_eq!(seen(), (false, 10, false), "given back, and nothing written");
        let drained = tokio::spawn(async move {
            let mut seen = Vec::new();
            reader.read_to_end(&mut seen).await.unwrap();
            seen
        });
        std::future::poll_fn(|task| lane.poll_owed(task)).await.unwrap();
        park(10);
        lane.tcp.writable().await.unwrap();
        lane.write(0, &Stretch::of(&[chunk(10, "after")], encoded).unwrap());
        assert_eq!(seen(), (true, 20, true));
        drop(lane);
        assert_eq!(drained.await.unwrap(), format!("{large}after").into_bytes());
    }
}
