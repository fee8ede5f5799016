//! How many requests of each subscription are in the air, counted where they leave and come
//! back, and apart from the lanes, whose limits it checks.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::error;
use uuid::Uuid;

use crate::http::metrics::Metrics;

/// How many requests of each subscription a worker has in the air.
#[derive(Clone, Debug, Default)]
pub(super) struct Air(Arc<Mutex<HashMap<Uuid, usize>>>);

/// A request in the air, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    air: Air,
    subscription_id: Uuid,
}

impl Air {
    /// A request leaves. More than `limit` of its subscription are a bug of this program: that
    /// is logged and counted, and the request goes out nevertheless.
    pub fn enter(&self, subscription_id: Uuid, limit: u16, metrics: &Metrics) -> Place {
        let in_flight = {
            let mut counts = self.counts();
            let count = counts.entry(subscription_id).or_default();
            *count += 1;
            *count
        };
        if in_flight > usize::from(limit) {
            error!(%subscription_id, in_flight, limit, "more requests in the air than max_in_flight");
            metrics.over_limit();
        }
        Place {
            air: self.clone(),
            subscription_id,
        }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        // Nothing panics under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.air.counts().entry(self.subscription_id) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}
