//! Merchants without events leave memory, if nothing of theirs is there.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::Dispatcher;
use crate::flow::input::Forgotten;
use crate::model::Shard;

impl Dispatcher {
    /// Closes the lanes of these merchants and forgets their subscriptions, unless something is at
    /// hand that only a lane knows, or people are to be told that a subscription cannot be used.
    pub(super) fn forget_idle(&mut self, merchants: Vec<(String, Shard)>) -> Vec<Forgotten> {
        let mut forgotten = Vec::new();
        let mut closed: BTreeMap<Shard, HashSet<Uuid>> = BTreeMap::new();
        for (merchant, shard) in merchants {
            let subscriptions = self.routes.of_merchant(shard, &merchant);
            let is_idle = subscriptions.iter().all(|subscription| {
                subscription.unusable.is_none() && self.lanes.is_idle(subscription.id)
            });
            if !is_idle || !self.rowless.is_empty() {
                continue;
            }
            let ids: Vec<Uuid> = subscriptions.iter().map(|it| it.id).collect();
            for id in &ids {
                self.routes.remove(*id);
            }
            closed.entry(shard).or_default().extend(&ids);
            forgotten.push(Forgotten {
                merchant,
                subscriptions: ids,
            });
        }
        for (shard, ids) in closed {
            self.lanes.close(shard, &ids);
        }
        forgotten
    }
}
