//! Whose notices are on their way, and whose wait.
//!
//! A receiver who is slow keeps only their own notices waiting: a person has one on its way at a time, and the
//! webhook has room that no person can take. Must never be the only place that knows of a notice: what finds no
//! place here is due again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;

/// Browsers that are told at the same time, all people together.
const BROWSERS: usize = 64;
/// Calls of the webhook at the same time.
const WEBHOOKS: usize = 16;
/// Notices of one receiver that wait here.
const WAITING: usize = 256;

/// The id of a user, or none for the webhook.
pub type Receiver = Option<String>;

pub struct Lanes {
    /// A permit for each browser that is being told.
    pub browsers: Semaphore,
    lanes: Mutex<HashMap<Receiver, Lane>>,
}

#[derive(Default)]
struct Lane {
    waiting: VecDeque<String>,
    /// Tasks that send what waits.
    running: usize,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { browsers: Semaphore::new(BROWSERS), lanes: Mutex::default() }
    }
}

impl Lanes {
    /// Puts a notice behind the others of its receiver. True if the caller is to start a task that sends them, until
    /// [`Lanes::next`] has none.
    pub fn put(&self, receiver: &Receiver, notice: String) -> bool {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(receiver.clone()).or_default();
        if lane.waiting.len() < WAITING && !lane.waiting.contains(&notice) {
            lane.waiting.push_back(notice);
        }
        let most = if receiver.is_some() { 1 } else { WEBHOOKS };
        let starts = lane.running < most;
        lane.running += usize::from(starts);
        starts
    }

    /// The next notice of a receiver. Without one the task that asks is over.
    pub fn next(&self, receiver: &Receiver) -> Option<String> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.get_mut(receiver)?;
        let next = lane.waiting.pop_front();
        if next.is_none() {
            lane.running = lane.running.saturating_sub(1);
            if lane.running == 0 {
                lanes.remove(receiver);
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> String {
        format!("ntc_{number}")
    }

    #[test]
    fn ap_01_a_person_has_one_notice_on_its_way_and_the_webhook_room_of_its_own() {
        let lanes = Lanes::default();
        let (slow, other) = (Some("usr_slow".to_owned()), Some("usr_other".to_owned()));
        let started = (0..1_000).filter(|number| lanes.put(&slow, id(*number))).count();
        assert_eq!(started, 1, "one after another");
        assert!(lanes.put(&other, id(0)), "nobody waits behind somebody else");
        let hooks = (0..1_000).filter(|number| lanes.put(&None, id(*number))).count();
        assert_eq!(hooks, WEBHOOKS);
        let mut sent = Vec::new();
        while let Some(next) = lanes.next(&slow) {
            sent.push(next);
        }
        assert_eq!(sent, (0..WAITING).map(id).collect::<Vec<_>>(), "in their order; the others are due again");
        assert!(lanes.put(&slow, id(1)), "the task was over");
        assert!(!lanes.put(&slow, id(1)));
        assert_eq!((lanes.next(&slow), lanes.next(&slow)), (Some(id(1)), None), "what waits already waits once");
    }
}
