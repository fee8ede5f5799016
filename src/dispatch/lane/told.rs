//! What an endpoint says of the pace at which it takes deliveries. Without I/O.

use std::time::{Duration, Instant};

use super::Lane;
use crate::dispatch::throttle::Throttle;
use crate::model::Verdict;

impl Lane {
    /// What the answer says of the pace.
    pub(super) fn heed(&mut self, told_to_wait: Option<Duration>, verdict: Verdict, now: Instant) {
        let well = verdict == Verdict::Delivered;
        if well {
            self.service.took_one(now);
        }
        if let Some(wait) = told_to_wait {
            let taken = self.service.taken(now);
            let throttle = self.throttle.get_or_insert_default();
            throttle.told_to_wait(wait, taken, now);
        } else if let Some(throttle) = &mut self.throttle {
            throttle.answered(well, self.subscription.max_in_flight, now);
        }
    }

    /// The endpoint told this lane's last owner that it takes nothing before then.
    pub fn wait_until(&mut self, until: Instant) {
        if self.subscription.retry.honour_retry_after {
            self.throttle.get_or_insert_default().wait_until(until);
        }
    }

    /// Whether the lane's endpoint has said that it takes nothing now.
    #[must_use]
    pub fn is_told_to_wait(&self) -> bool {
        self.throttle.as_deref().is_some_and(Throttle::is_waiting)
    }
}
