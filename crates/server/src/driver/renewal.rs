//! When the lease of a turn is renewed, and how long a turn may go on while that fails.

use std::time::Duration;

use serde_json::Value;
use spool_protocol::Error;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::app::App;

/// Before a renewal is tried again that failed: often enough to have several tries within the shortest lease.
const AGAIN: Duration = Duration::from_millis(500);

/// The lease of one turn, renewed three times in its life.
pub struct Renewal {
    lease: Value,
    life: Duration,
    due: Interval,
    until: Instant,
}

impl Renewal {
    /// Of a lease that was taken just now.
    pub fn new(lease: Value, life: Duration) -> Self {
        let now = Instant::now();
        let mut due = interval_at(now + life / 3, life / 3);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { lease, life, due, until: now + life }
    }

    /// When [`Self::renew`] is due. Safe to cancel.
    pub async fn due(&mut self) {
        self.due.tick().await;
    }

    /// False if the lease is lost. A failure that may pass is none as long as the lease lasts: nobody else can hold
    /// it until then.
    pub async fn renew(&mut self, app: &App) -> Result<bool, Error> {
        let asked = Instant::now();
        let renewed = app.functions.mutate_as_system("driver:renew", self.lease.clone()).await;
        self.judge(asked, Instant::now(), renewed.map(|answer| answer == "true"))
    }

    fn judge(&mut self, asked: Instant, now: Instant, renewed: Result<bool, Error>) -> Result<bool, Error> {
        match renewed {
            Ok(true) => {
                self.until = asked + self.life;
                Ok(true)
            }
            Err(error) if now < self.until => {
                tracing::warn!(%error, "a lease could not be renewed; it is tried again while it lasts");
                self.due.reset_after(AGAIN);
                Ok(true)
            }
            over => over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn st_11_a_turn_goes_on_while_its_lease_lasts_though_it_cannot_be_renewed() {
        let (life, begun) = (Duration::from_secs(30), Instant::now());
        let mut renewal = Renewal::new(Value::Null, life);
        let at = |seconds| begun + Duration::from_secs(seconds);
        let failed = || Err(Error::internal("database is locked"));
        assert!(renewal.judge(at(10), at(20), failed()).unwrap());
        // Renewed: the life is counted from when that was asked for.
        assert!(renewal.judge(at(21), at(25), Ok(true)).unwrap());
        assert!(renewal.judge(at(31), at(50), failed()).unwrap());
        assert!(renewal.judge(at(51), at(52), failed()).is_err(), "the lease is over");
        assert!(!renewal.judge(at(22), at(23), Ok(false)).unwrap(), "somebody else has it");
    }
}
