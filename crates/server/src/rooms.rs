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

use axum::body::Bytes;
use futures_util::task::AtomicWaker;
use spool_store::{Chunk, Encoded, Published, Store, Tail};
use tokio::net::TcpStream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

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
    /// Whether the room may write.
    parked: bool,
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
    /// Starts the thread that writes. It ends with the store.
    pub fn start(store: &Store) -> io::Result<Arc<Self>> {
        let rooms = Arc::new(Self::default());
        let (writer, feed) = (Arc::clone(&rooms), store.log_feed());
        std::thread::Builder::new().name("spool-rooms".to_owned()).spawn(move || writer.run(feed))?;
        Ok(rooms)
    }

    fn run(&self, mut feed: Receiver<Arc<Published>>) {
        loop {
            match feed.blocking_recv() {
                Ok(published) => self.deliver(&published),
                // The bodies find in the log what was missed here.
                Err(RecvError::Lagged(_)) => self.all().iter().for_each(|room| room.each(|lane| lane.give_back())),
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn deliver(&self, published: &Published) {
        for (log, chunk) in &published.appended {
            let Some(room) = self.find(log) else { continue };
            let encoded = (room.encode)(chunk);
            if encoded.is_last {
                // Only hyper can end a response.
                room.each(|lane| lane.give_back());
            } else {
                room.each(|lane| lane.write(chunk, encoded));
            }
        }
        for log in &published.ended {
            if let Some(room) = self.find(log) {
                room.each(|lane| lane.give_back());
            }
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

impl Room {
    fn each(&self, mut visit: impl FnMut(&Lane)) {
        lock(&self.lanes).values().for_each(|lane| visit(lane));
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

    /// Writes a chunk that comes right after what the reader has.
    fn write(&self, chunk: &Chunk, encoded: &Encoded) {
        let mut state = lock(&self.state);
        if !state.parked || chunk.end <= state.at {
            return;
        }
        if chunk.start == state.at && self.flushed.load(Ordering::Acquire) {
            // Whatever else is wrong with the socket, hyper will find it, too.
            let written = self.tcp.try_write(&encoded.framed).unwrap_or(0);
            if written > 0 {
                state.at = chunk.end;
                state.owed = encoded.framed.slice(written..);
            }
            if written == encoded.framed.len() {
                return;
            }
        }
        state.parked = false;
        drop(state);
        self.body.wake();
    }

    fn give_back(&self) {
        if std::mem::take(&mut lock(&self.state).parked) {
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
            (state.parked, state.at) = (true, tail.offset());
        }
        // What was committed before the room knew of this reader will not come again.
        if !tail.is_waiting() {
            return;
        }
        std::future::poll_fn(|task| {
            self.lane.body.register(task.waker());
            if lock(&self.lane.state).parked { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    /// Ends the room's turn. Returns the offset after what it wrote, if it had one.
    pub fn take_back(&self) -> u64 {
        let mut state = lock(&self.lane.state);
        state.parked = false;
        state.at
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
