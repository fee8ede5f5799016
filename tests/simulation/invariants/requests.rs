//! What must hold of each request: its order, whether and where it was asked for, and that what
//! was withdrawn stays so.

use posthorn::dispatch::item::Item;
use posthorn::flow::entry::{Change, Entry};
use posthorn::flow::refill::Refilled;
use posthorn::model::{DeliveryKey, Order, State, Subscription};
use posthorn::shape::Request;

use super::Books;
use crate::database::Database;
use crate::wanted::{Wanted, whether};
use crate::world::World;

impl Books {
    /// The order of a transaction's events, as their ids have it: where the clock steps back,
    /// they do not. Replays repeat what has its order behind it.
    pub(super) fn check_order(
        &mut self,
        world: &World,
        database: &Database,
        item: &Item,
        subscription: &Subscription,
        steps: bool,
    ) {
        let is_ordered = subscription.order == Order::Transaction && !subscription.supersede;
        // What was withdrawn meanwhile may not be recorded yet.
        let was_disabled = database.was_ever_disabled(subscription.id);
        if !is_ordered || steps || was_disabled || item.key.is_replay() {
            return;
        }
        let (key, series) = (item.key, database.series_of(&item.event));
        let open = series.events.range(..key.event_id).find(|(id, (xid, _))| {
            let earlier = DeliveryKey::first(**id, key.subscription_id);
            database.is_committed(*xid)
                && !self.resolved.contains(&earlier)
                && !database.ledger.contains_key(&earlier)
                && whether(database, (*xid, database.event(**id)), key.subscription_id)
                    == Wanted::Yes
        });
        if let Some((earlier, _)) = open {
            let what = format!("{key:?} overtakes {earlier} of its transaction");
            self.breaks(world, what);
        }
    }

    /// Invariant 8: nothing is sent that nobody asked for, or that somebody holds back; and no event meets
    /// settings that are older than itself.
    pub(super) fn check_wish(
        &mut self,
        world: &World,
        database: &Database,
        item: &Item,
        subscription: &Subscription,
    ) {
        let key = item.key;
        if subscription.is_held() || !subscription.enabled {
            self.breaks(world, format!("{key:?} is sent while that is paused"));
        }
        if key.is_replay() {
            return;
        }
        let (xid, _) = database.series_of(&item.event).events[&key.event_id];
        if whether(database, (xid, &item.event), key.subscription_id) == Wanted::No {
            self.breaks(world, format!("{key:?} is sent, and nobody wants it"));
        }
        let revisions = database.revisions.get(&item.lane_id);
        let met = database.commit_of(xid).map_or(0, |commit| commit.revision);
        let newest = revisions.and_then(|all| all.iter().rfind(|revision| **revision <= met));
        if let Some(newest) = newest.filter(|newest| **newest > subscription.revision) {
            let revision = subscription.revision;
            let what = format!("{key:?} meets revision {revision}, and is younger than {newest}");
            self.breaks(world, what);
        }
    }

    /// Invariant 9: what a transaction's address gets goes there and nowhere else; and of a delivery that
    /// was tried after its address had ended, nothing is tried again.
    pub(super) fn check_address(
        &mut self,
        world: &World,
        database: &Database,
        item: &Item,
        template: &Subscription,
        request: &Request,
        steps: bool,
    ) {
        let key = item.key;
        let brought = database.brought.get(&key.subscription_id);
        let its_own = brought.and_then(|brought| brought.url.as_deref());
        let url = its_own.or(template.form.url.as_ref().map(AsRef::as_ref));
        if url != Some(request.url.as_str()) {
            let what = format!("{key:?} goes to {}, not to {url:?}", request.url);
            self.breaks(world, what);
        }
        if brought.is_some_and(|it| it.ended) && !self.after_the_end.insert(key) && !steps {
            self.breaks(world, format!("{key:?} goes on after its address's end"));
        }
    }

    /// Invariant 10: once its owner knows that a replay was cancelled, nothing more of it is sent but what
    /// was on its way.
    pub(super) fn check_withdrawn(&mut self, world: &World, database: &Database, item: &Item) {
        let (key, epoch) = (item.key, database.shards[&item.event.shard].epoch);
        if self.withdrawn.get(&key) == Some(&epoch) {
            self.breaks(world, format!("{key:?} was withdrawn and is sent"));
        }
        self.untold.insert(key, epoch);
    }

    /// A worker learns of deliveries that are to be withdrawn.
    pub fn withdrawing(&mut self, database: &Database, rows: &[Refilled]) {
        for row in rows {
            let epoch = database.shards[&row.event.shard].epoch;
            if self.untold.get(&row.key) != Some(&epoch) {
                self.withdrawn.insert(row.key, epoch);
            }
        }
    }

    /// What is sent after a cancel is recorded as sent.
    pub(super) fn check_cancelled(&mut self, world: &World, entry: &Entry) {
        let key = entry.key;
        if entry.attempt.is_some() {
            self.untold.remove(&key);
            return;
        }
        let is_cancelled = matches!(
            entry.change,
            Change::Finish {
                state: State::Cancelled,
                ..
            }
        );
        if is_cancelled && self.untold.get(&key) == Some(&entry.epoch) {
            let what = format!("{key:?} was sent, and is recorded as cancelled");
            self.breaks(world, what);
        }
    }
}
