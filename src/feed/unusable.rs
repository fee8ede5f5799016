//! Subscriptions whose settings cannot be used: they are tried again, and what is wrong is said
//! when it is found and when it changes, and otherwise now and then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info};
use uuid::Uuid;

use crate::flow::subscriptions::{Resolved, SubscriptionRow};
use crate::model::Shard;

/// Somebody who reads the log of the last hours finds it.
const SAY_AGAIN: Duration = Duration::from_hours(1);

#[derive(Debug, Default)]
pub(super) struct Unusable {
    kept: HashMap<Uuid, Kept>,
}

#[derive(Debug)]
struct Kept {
    row: SubscriptionRow,
    why: Arc<str>,
    said_at: Instant,
}

impl Unusable {
    /// Those to be tried again: a secret may be there by now.
    pub fn rows(&self) -> Vec<SubscriptionRow> {
        self.kept.values().map(|kept| kept.row.clone()).collect()
    }

    /// Shards that are others' to speak of.
    pub fn forget(&mut self, shards: &[Shard]) {
        self.kept
            .retain(|_, kept| !shards.contains(&kept.row.identity.shard));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Takes note of what became of a row: of why it cannot be used, if it cannot.
    pub fn note(&mut self, resolved: &Resolved, now: Instant) {
        let identity = &resolved.identity;
        let before = self.kept.remove(&identity.id);
        let Some((row, why)) = resolved.unusable.as_deref() else {
            if before.is_some() {
                info!(merchant = %identity.merchant, subscription = %identity.name,
                      "this subscription can be used again");
            }
            return;
        };
        let said_at = match before {
            Some(kept) if kept.why == *why && now < kept.said_at + SAY_AGAIN => kept.said_at,
            _ => {
                error!(merchant = %identity.merchant, subscription = %identity.name, problem = %why,
                       "this subscription cannot be used; its deliveries wait until it is mended");
                now
            }
        };
        let kept = Kept {
            row: row.clone(),
            why: Arc::clone(why),
            said_at,
        };
        self.kept.insert(identity.id, kept);
    }
}
