//! How many requests of each subscription are in the air, counted where they leave and come
//! back, and apart from the lanes, whose limits it checks.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::error;
use uuid::Uuid;

use crate::http::metrics::Metrics;

/// All requests of a worker.
#[derive(Clone, Debug, Default)]
pub struct Air(Arc<Mutex<HashMap<Uuid, usize>>>);

/// A request in the air, until it is dropped.
#[derive(Debug)]
pub struct Place {
    air: Air,
    subscription_id: Uuid,
}

impl Air {
    /// A request leaves. More than `limit` of its subscription are a bug of this program: that
    /// is logged and counted, and the request goes out nevertheless.
    pub fn enter(&self, subscription_id: Uuid, limit: u16, metrics: &Metrics) -> Place {
        let in_flight = self.change(subscription_id, |count| count + 1);
        if in_flight > usize::from(limit) {
            error!(%subscription_id, in_flight, limit, "more requests in the air than max_in_flight");
            metrics.over_limit();
        }
        Place {
            air: self.clone(),
            subscription_id,
        }
    }

    /// Changes the count of a subscription, and returns the new one.
    fn change(&self, subscription_id: Uuid, to: impl FnOnce(usize) -> usize) -> usize {
        // Nothing panics under this lock.
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.entry(subscription_id) {
            Entry::Occupied(mut count) => {
                let now = to(*count.get());
                if now == 0 {
                    count.remove();
                } else {
                    count.insert(now);
                }
                now
            }
            Entry::Vacant(place) => *place.insert(to(0)),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.air
            .change(self.subscription_id, |count| count.saturating_sub(1));
    }
}
