//! Shards that were just taken: what the dispatcher must know of them, and which of their
//! deliveries their last owner has recorded.

use std::collections::HashSet;

use tracing::{info, warn};
use uuid::Uuid;

use super::progress::Start;
use super::reader::Reader;
use crate::crash::Point;
use crate::flow::STATEMENT;
use crate::flow::input::{Adoption, Input};
use crate::flow::shards::Taken;
use crate::model::{DeliveryKey, Event, Shard};
use crate::store::history::newest_change;
use crate::store::known::find_known_deliveries;
use crate::store::log::settle_foreign_events;
use crate::store::pending::count_waiting;
use crate::store::subscriptions::current_revision;
use crate::store::{StoreError, within};

impl Reader {
    /// Loads what the dispatcher needs to know of new shards, and begins to catch up.
    pub(super) async fn adopt(
        &mut self,
        taken: Vec<Taken>,
        cluster: &str,
    ) -> Result<(), StoreError> {
        let shards: Vec<Shard> = taken.iter().map(|taken| taken.shard).collect();
        if !shards.is_empty() {
            let pool = self.with.pool.clone();
            // Before the rows: a change in between is loaded again with the next page.
            let revision = within(STATEMENT, current_revision(&pool)).await?;
            let subscriptions = self.load(-1, &shards).await?;
            self.changed_at = within(STATEMENT, newest_change(&pool)).await?;
            let waiting = within(STATEMENT * 3, count_waiting(&pool, &shards)).await?;
            if taken.iter().any(|taken| taken.cluster != cluster) {
                within(STATEMENT * 60, settle_foreign_events(&pool)).await?;
            }
            self.revision.get_or_insert(revision);
            self.tell(Input::Adopt(Adoption {
                shards: taken
                    .into_iter()
                    .map(|taken| (taken.shard, taken.epoch))
                    .collect(),
                subscriptions,
                waiting,
            }));
            Point::Adopted.pass();
        }
        for (start, shards) in self.progress.adopted() {
            match start {
                Start::Checkpoint => {}
                Start::Restarted => info!(
                    shards,
                    "the server was restarted since the last checkpoint; comparing events with deliveries"
                ),
                Start::Restored => warn!(
                    shards,
                    "the last checkpoint is of another database, before a restore, a copy or an upgrade; comparing events with deliveries"
                ),
            }
        }
        Ok(())
    }

    /// Which deliveries of these events were recorded before the shard changed hands.
    pub(super) async fn known(&mut self, events: &[Event]) -> HashSet<DeliveryKey> {
        if events.is_empty() {
            return HashSet::new();
        }
        let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
        let pool = self.with.pool.clone();
        let known = self.insist(|| find_known_deliveries(&pool, &ids)).await;
        known.into_keys().collect()
    }
}
