//! A future beside a busy one: looked at only when it asks for it.
//!
//! A stream wakes its task with every token. What else it waits for (its reader's leave, the next heartbeat,
//! the end of the server) would be asked each time, thousands of times for nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

pub struct Aside<T> {
    future: Pin<Box<dyn Future<Output = T> + Send>>,
    signal: Arc<Signal>,
}

struct Signal {
    /// Whether the future wants to be polled.
    due: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.due.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl<T> Aside<T> {
    pub fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
        let signal = Signal { due: AtomicBool::new(true), task: AtomicWaker::new() };
        Self { future: Box::pin(future), signal: Arc::new(signal) }
    }
}

impl<T> Future for Aside<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<T> {
        // First the waker, then the look: a signal in between wakes the task again.
        self.signal.task.register(task.waker());
        if !self.signal.due.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(&self.signal));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_asks_and_not_when_its_neighbour_does() {
        let (send, receive) = oneshot::channel();
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        let mut receive = Box::pin(receive);
        let mut aside = Aside::new(std::future::poll_fn(move |task| {
            counted.fetch_add(1, Ordering::Relaxed);
            receive.as_mut().poll(task)
        }));
        for _ in 0..100 {
            tokio::select! {
                biased;
                _ = &mut aside => panic!("nothing was sent"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        send.send(7).unwrap();
        assert_eq!(aside.await, Ok(7));
    }
}
