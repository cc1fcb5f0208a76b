//! The thread that turns run on, in rounds.
//!
//! A token of a model wakes whoever reads it, and to wake up costs more than to read a token. While tokens come
//! thick, from however many models, the thread therefore looks for them once in a while and reads all that came
//! meanwhile. Must never make one wait that comes alone.

use std::cell::Cell;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// How long tokens gather while they come closer together than twice this. A turn that has the server for itself
/// waits for nothing unless its model is faster than that.
const ROUND: Duration = Duration::from_millis(3);

thread_local! {
    /// Whether a token was read in this round, and when the last round ended that had one.
    static SPOKE: Cell<bool> = const { Cell::new(false) };
    static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs `turns`, with what it spawns, on a thread of its own. What is returned ends with the thread.
pub fn run(turns: impl Future<Output = ()> + Send + 'static) -> io::Result<impl Future<Output = ()>> {
    let runtime = Builder::new_current_thread().enable_all().on_thread_park(rest).build()?;
    let (running, over) = oneshot::channel::<()>();
    thread::Builder::new().name("spool-turns".to_owned()).spawn(move || {
        runtime.block_on(turns);
        drop(running);
    })?;
    Ok(over.map(drop))
}

/// To be called with every token.
pub fn spoke() {
    SPOKE.set(true);
}

/// The thread has nothing to do.
fn rest() {
    if !SPOKE.take() {
        return;
    }
    let last = LAST.replace(Some(Instant::now()));
    if last.is_some_and(|last| last.elapsed() < 2 * ROUND) {
        thread::sleep(ROUND);
    }
}
