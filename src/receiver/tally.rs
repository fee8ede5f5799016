//! A counter that can be waited for, and costs two atomic operations a count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::Notify;

#[derive(Debug)]
pub struct Tally {
    count: AtomicU64,
    /// The lowest count that somebody waits for; `u64::MAX` when nobody does. Without it
    /// each of 60,000 requests a second would wake the waiting task.
    wake_at: AtomicU64,
    reached: Notify,
}

/// That fewer requests arrived than somebody waited for: the deadline came first.
#[derive(Debug, Error, PartialEq)]
#[error("{arrived} of {expected} requests arrived in time")]
pub struct TooFew {
    /// How many requests had arrived by then.
    pub arrived: u64,
    /// How many were waited for.
    pub expected: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            wake_at: AtomicU64::new(u64::MAX),
            reached: Notify::new(),
        }
    }
}

impl Tally {
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    pub fn add_one(&self) {
        let count = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        if count >= self.wake_at.load(Ordering::SeqCst) {
            // Whoever waits for more sets it again.
            self.wake_at.store(u64::MAX, Ordering::SeqCst);
            self.reached.notify_waiters();
        }
    }

    pub async fn wait_for(&self, expected: u64, within: Duration) -> Result<(), TooFew> {
        let reached = tokio::time::timeout(within, self.reach(expected)).await;
        reached.map_err(|_| TooFew {
            arrived: self.count(),
            expected,
        })
    }

    async fn reach(&self, expected: u64) {
        loop {
            let mut reached = std::pin::pin!(self.reached.notified());
            // First listen, then say what for, then look: in this order a count between
            // any two of the steps is either seen or wakes us.
            reached.as_mut().enable();
            self.wake_at.fetch_min(expected, Ordering::SeqCst);
            if self.count() >= expected {
                return;
            }
            reached.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn waiters_of_different_counts_are_all_woken() {
        let tally = Arc::new(Tally::default());
        let waiters = [1, 500, 500, 1000].map(|expected| {
            let tally = Arc::clone(&tally);
            tokio::spawn(async move { tally.wait_for(expected, PATIENCE).await })
        });
        for _ in 0..1000 {
            tally.add_one();
            tokio::task::yield_now().await;
        }
        for waiter in waiters {
            assert_eq!(waiter.await.ok(), Some(Ok(())));
        }
    }

    #[tokio::test]
    async fn a_missed_deadline_tells_how_many_came() {
        let tally = Tally::default();
        tally.add_one();
        let missed = tally.wait_for(2, Duration::from_millis(1)).await;
        let expected = 2;
        assert_eq!(
            missed,
            Err(TooFew {
                arrived: 1,
                expected
            })
        );
    }
}
