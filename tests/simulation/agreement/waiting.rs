//! What waits, and what is known of deliveries.

use std::collections::BTreeSet;

use posthorn::flow::refill::{RefillRequest, Refilled, Waiting};
use posthorn::model::{DeliveryKey, Epoch, Shard};
use posthorn::store::known::find_known_deliveries;
use posthorn::store::pending::{count_waiting, refill_lanes};
use uuid::Uuid;

use super::{Both, same};

impl Both {
    pub(super) async fn refill(&mut self) -> Result<(), String> {
        let pending: Vec<DeliveryKey> = self.model.pending.keys().copied().collect();
        let held: Vec<DeliveryKey> = pending
            .into_iter()
            .filter(|_| self.chance.happens(0.2))
            .collect();
        let heads_only = self.chance.happens(0.5);
        let lanes: Vec<RefillRequest> = self
            .lanes
            .iter()
            .map(|(id, shard, _)| RefillRequest {
                shard: *shard,
                epoch: Epoch(1),
                lane_id: *id,
                room: 1000,
                replay_room: 1000,
                heads_only,
                not_due_too: self.chance.happens(0.1),
            })
            .collect();
        let ours = self.model.refill_lanes(&lanes, &held, self.model.now());
        let mut transaction = self.pool.begin().await.unwrap();
        let theirs = refill_lanes(&self.pool, &mut transaction, &lanes, &held)
            .await
            .unwrap();
        let keys = |rows: &[Refilled]| {
            let keys = rows.iter().map(|row| {
                let endpoint = row.endpoint.as_ref();
                let endpoint = endpoint.map(|it| (it.template_id, it.url.clone()));
                (row.key, row.attempts, endpoint, row.ended, row.cancelled)
            });
            keys.collect::<BTreeSet<_>>()
        };
        same("a refill", keys(&ours), keys(&theirs))
    }

    pub(super) async fn look(&mut self) -> Result<(), String> {
        let shards: Vec<Shard> = self.lanes.iter().map(|(_, shard, _)| *shard).collect();
        let counts = |waiting: &[Waiting]| {
            let rows = waiting.iter().map(|it| (it.lane_id, it.replays, it.rows));
            rows.collect::<BTreeSet<_>>()
        };
        let ours = self.model.count_waiting(&shards);
        let theirs = count_waiting(&self.pool, &shards).await.unwrap();
        same("what waits, counted", counts(&ours), counts(&theirs))?;
        let ids: Vec<Uuid> = self
            .events
            .iter()
            .filter(|_| self.chance.happens(0.3))
            .map(|event| event.id)
            .collect();
        // The server may add others' that lie between them.
        let of_these = |keys: &mut dyn Iterator<Item = DeliveryKey>| {
            let keys = keys.filter(|key| ids.contains(&key.event_id));
            keys.collect::<BTreeSet<_>>()
        };
        let ours = self.model.find_known_deliveries(&ids);
        let theirs = find_known_deliveries(&self.pool, &ids).await.unwrap();
        same(
            "known deliveries",
            of_these(&mut ours.into_iter()),
            of_these(&mut theirs.into_keys()),
        )
    }
}
