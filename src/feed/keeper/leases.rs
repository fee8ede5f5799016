//! The keeper's leases: renewing them, and what is lost with them.

use std::time::Instant;

use tracing::{info, warn};

use super::words::{Errand, Renewal};
use super::{AGAIN, Ended, Keeper};
use crate::flow::shards::{Renewed, ShardOrder};
use crate::flow::{Away, input};
use crate::model::Shard;
use crate::model::cluster::tables_of;

impl Keeper {
    /// Sends a renewal if one is due. A lease may end while one is in the air: nothing is
    /// sent for its shards then ([`Lease`]), and the answer may still say that nobody has
    /// taken them. Without such an answer they are lost.
    pub(super) fn keep_leases(&mut self, now: Instant) {
        if self.renewals == 0 {
            let expired = self.ownership.expire(now);
            if !expired.is_empty() {
                warn!(
                    shards = expired.len(),
                    "the leases could not be renewed in time"
                );
                self.lose(expired);
            }
        }
        if now < self.renew_at {
            return;
        }
        self.renew_at = now + self.ownership.renew_every();
        if self.ownership.next_expiry().is_none_or(|end| now < end) {
            let renewal = Renewal {
                asked: now,
                cluster: self.cluster.clone(),
                named: self.ownership.held(),
            };
            self.renewals += 1;
            let lasts = self.ownership.lasts();
            self.errands.push(Errand::Renew(renewal, lasts));
        }
    }

    pub(super) fn renewed(
        &mut self,
        renewal: Renewal,
        answer: Result<Renewed, Away>,
        now: Instant,
    ) {
        assert!(
            self.renewals > 0,
            "an answer to a renewal that was asked for"
        );
        self.renewals -= 1;
        let renewed = match answer {
            Ok(renewed) => renewed,
            Err(error) => return self.could_not_renew(&error, now),
        };
        self.renewing_fails = false;
        // What came later has said that this is another cluster.
        if renewal.cluster != self.cluster {
            return;
        }
        if renewed.cluster != self.cluster {
            return self.is_elsewhere(renewed.cluster);
        }
        let Renewal { named, asked, .. } = renewal;
        let lost = self.ownership.renewed(&named, &renewed.ours, asked);
        if !lost.is_empty() {
            warn!(
                shards = lost.len(),
                "another worker has taken shards of this one"
            );
            self.lose(lost);
        }
        self.changed();
    }

    /// The next one is sent soon if it failed early, and has been sent if it hung.
    fn could_not_renew(&mut self, error: &Away, now: Instant) {
        if !self.renewing_fails {
            warn!(%error, "cannot renew the leases; trying until the database is back");
        }
        self.renewing_fails = true;
        self.renew_at = self.renew_at.min(now + AGAIN);
    }

    /// A renewal has reached another cluster than the last one.
    fn is_elsewhere(&mut self, cluster: String) {
        if tables_of(&cluster) == tables_of(&self.cluster) {
            info!("the server was restarted, or a standby took over; taking the shards anew");
        } else {
            warn!("another database is where this worker's was; starting over with that one");
            self.ended = Some(Ended::AnotherDatabase);
        }
        self.cluster = cluster;
        self.lose(self.ownership.shards());
    }

    /// Nothing may be sent for these from now on.
    fn lose(&mut self, shards: Vec<Shard>) {
        for shard in &shards {
            self.ownership.forget(*shard);
        }
        self.settle_first = true;
        self.lease.lost();
        let lost = input::Input::Lost(shards.clone());
        self.errands.push(Errand::Tell(Box::new(lost)));
        self.errands.push(Errand::Order(ShardOrder::Lose(shards)));
        self.changed();
    }

    pub(super) fn changed(&mut self) {
        let held = self.ownership.shards();
        self.checkpointed.retain(|shard, _| held.contains(shard));
        self.lease.set(self.ownership.next_expiry());
    }
}
