//! Threads without which the process is of no use.
//!
//! One that panics takes along what it held, and whoever waits for it waits for ever. So the process stops: what was
//! acknowledged is on disk, and a restart reads the truth.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

/// EX_SOFTWARE: the fault is ours, and a supervisor should start us again.
pub const FAULT: i32 = 70;

/// Starts a thread that runs until `run` returns; if it panics, the process ends.
pub fn spawn(name: &'static str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let guarded = move || {
        // Nothing is used afterwards that the panic may have left half done.
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            tracing::error!(thread = name, "a thread of the server panicked: stopping, a restart reads the truth");
            std::process::exit(FAULT);
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(guarded).map(drop)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// In a process of its own: this test again, which the variable tells to be the one that ends.
    #[test]
    fn a_panic_of_a_thread_ends_the_process() {
        const INSIDE: &str = "SPOOL_TEST_PANICS";
        if std::env::var_os(INSIDE).is_some() {
            spawn("doomed", || panic!("on purpose")).unwrap();
            thread::sleep(std::time::Duration::from_secs(30));
            return;
        }
        let name = "threads::tests::a_panic_of_a_thread_ends_the_process";
        let mut again = Command::new(std::env::current_exe().unwrap());
        let ended = again.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").output().unwrap();
        assert_eq!(ended.status.code(), Some(FAULT), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}
