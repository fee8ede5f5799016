//! Which subscriptions are to be read: `store::subscriptions`.

use std::sync::Arc;

use posthorn::flow::subscriptions::{Changed, Place};
use posthorn::model::{Shard, Subscription};
use uuid::Uuid;

use super::Database;

/// Few, so that going through them takes several pages, and so that changes are many.
const PAGE: usize = 3;

impl Database {
    pub fn find_changed(&self, revision: i64) -> Changed {
        let changed = self.subscriptions.values();
        let changed: Vec<_> = changed.filter(|it| it.revision > revision).collect();
        if changed.len() > PAGE {
            return Changed::Any;
        }
        Changed::Merchants(changed.iter().map(|it| it.merchant.clone()).collect())
    }

    pub fn of_merchants(&self, merchants: &[String]) -> Vec<Arc<Subscription>> {
        self.those(|it| merchants.contains(&it.merchant))
    }

    /// All subscriptions of the merchants whose lanes these are.
    pub fn of_lanes(&self, lanes: &[Uuid]) -> Vec<Arc<Subscription>> {
        let lanes = lanes.iter().filter_map(|id| self.subscriptions.get(id));
        let merchants: Vec<String> = lanes.map(|it| it.merchant.clone()).collect();
        self.of_merchants(&merchants)
    }

    /// The next page of each shard, and where to go on.
    pub fn of_shards(&self, places: &[Place]) -> (Vec<Arc<Subscription>>, Vec<Place>) {
        let mut rows = Vec::new();
        let mut next = Vec::new();
        for Place { shard, after } in places {
            let mut page = self.those(|it| it.shard == *shard && it.id > *after);
            page.truncate(PAGE);
            if page.len() == PAGE {
                next.push(place_after(*shard, &page));
            }
            rows.extend(page);
        }
        (rows, next)
    }

    fn those(&self, wanted: impl Fn(&Subscription) -> bool) -> Vec<Arc<Subscription>> {
        let all = self.subscriptions.values();
        all.filter(|it| wanted(it)).cloned().collect()
    }
}

fn place_after(shard: Shard, page: &[Arc<Subscription>]) -> Place {
    let after = page.last().map(|it| it.id).unwrap_or_default();
    Place { shard, after }
}
