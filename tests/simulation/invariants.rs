//! What must hold, whatever goes wrong: DESIGN's invariants, as far as they can be seen
//! from outside the workers.

mod end;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use posthorn::dispatch::Sums;
use posthorn::dispatch::item::Item;
use posthorn::flow::entry::{Change, Entry, Written};
use posthorn::flow::input::Tried;
use posthorn::model::{DeliveryKey, Epoch, Shard, Subscription};
use posthorn::plan::Next;
use posthorn::shape::Request;
use uuid::Uuid;

pub use self::end::{PATIENCE, check_patience, missing};
use crate::database::Database;
use crate::faults::Doomed;
use crate::wanted::wanted;
use crate::world::World;

/// What the run's observer has seen.
#[derive(Default)]
pub struct Books {
    /// The first invariant that did not hold.
    pub broken: Option<String>,
    pub requests: usize,
    /// Attempts that were made again.
    pub repeats: usize,
    pub faults: usize,
    pub doomed: Doomed,
    attempts: BTreeSet<(DeliveryKey, u32)>,
    /// What each delivery's first request was, a replay's too: its id and its body.
    messages: BTreeMap<DeliveryKey, (Option<Bytes>, Bytes)>,
    /// Deliveries after which the next one of their transaction may go out.
    resolved: BTreeSet<DeliveryKey>,
    /// Until when an endpoint has said that it takes nothing, and for how long.
    told_to_wait: BTreeMap<Uuid, (Duration, Duration)>,
    /// Deliveries that were tried after their address had ended.
    after_the_end: BTreeSet<DeliveryKey>,
    /// Deliveries that went out, under which epoch, and of which nothing is recorded since.
    untold: BTreeMap<DeliveryKey, Epoch>,
    /// Deliveries of cancelled replays that their owner was told of while nothing of them was
    /// untold, and under which epoch.
    withdrawn: BTreeMap<DeliveryKey, Epoch>,
}

impl Books {
    fn breaks(&mut self, world: &World, what: String) {
        world.note(format_args!("BROKEN: {what}"));
        self.broken.get_or_insert(what);
    }

    /// A request leaves; its endpoint has so many then.
    pub fn sent(
        &mut self,
        world: &World,
        item: &Item,
        subscription: &Subscription,
        request: &Request,
        at_once: usize,
    ) {
        let database = world.database.borrow();
        let (key, number) = (item.key, item.attempts + 1);
        self.requests += 1;
        // 4. A step of the database's clock ends leases that their owners believe in.
        let steps = world.scenario.faults.clock_steps.is_some();
        if at_once > usize::from(subscription.max_in_flight) && !steps {
            let limit = subscription.max_in_flight;
            self.breaks(world, format!("{at_once} at once where {limit} may be"));
        }
        // 7. Whoever has the shard knows what is in the row of what was turned away.
        let recorded = database.pending.iter().any(|(other, open)| {
            open.template_id.unwrap_or(other.subscription_id) == item.lane_id
                && open
                    .lane_waits_until
                    .is_some_and(|until| until > database.now())
        });
        if let Some((until, wait)) = self.told_to_wait.get(&item.lane_id)
            && recorded
            && !steps
        {
            let now = world.executor.now();
            let early = until.saturating_sub(now);
            if early > wait.mul_f64(2.0 * world.scenario.faults.drift) {
                self.breaks(world, format!("{key:?} goes out {early:?} too early"));
            }
        }
        // 5.
        let id = request.headers.get("webhook-id");
        let id = id.map(|id| Bytes::copy_from_slice(id.as_bytes()));
        let message = (id, request.body.clone());
        let first = DeliveryKey::first(key.event_id, key.subscription_id);
        let first = self
            .messages
            .entry(first)
            .or_insert_with(|| message.clone());
        if *first != message {
            self.breaks(world, format!("{key:?} is another message now"));
        }
        // Repeats are of what was not recorded, and of nothing else.
        self.repeats += usize::from(!self.attempts.insert((key, number)));
        let is_recorded =
            database.attempts.contains(&(key, number)) || database.ledger.contains_key(&key);
        if is_recorded && !steps {
            self.breaks(
                world,
                format!("{key:?}, attempt {number}, was recorded and is sent again"),
            );
        }
        self.check_order(world, &database, item, subscription, steps);
        self.check_wish(world, &database, item, subscription);
        self.check_address(world, &database, item, subscription, request, steps);
        self.check_withdrawn(world, &database, item);
    }

    /// An answer was judged.
    pub fn landed(&mut self, world: &World, item: &Item, tried: &Tried) {
        let key = item.key;
        if let Some(wait) = tried.told_to_wait {
            let until = world.executor.now() + wait;
            self.told_to_wait.insert(item.lane_id, (until, wait));
        }
        if !matches!(tried.next, Next::RetryIn(_)) {
            self.resolved.insert(key);
        }
    }

    /// A batch was executed.
    pub fn written(
        &mut self,
        world: &World,
        entries: &[Entry],
        written: &Written,
        database: &Database,
    ) {
        for entry in entries {
            let key = entry.key;
            world.note(format_args!(
                "  {}/{} {:?} {:?}",
                key.event_id,
                key.subscription_id,
                entry.change,
                written.lost.contains(&entry.shard)
            ));
            if written.lost.contains(&entry.shard) {
                continue;
            }
            // 2.
            if database.shards[&entry.shard].epoch != entry.epoch {
                self.breaks(world, format!("{key:?} was written by a stale owner"));
            }
            if let Change::Finish { state, .. } = &entry.change
                && database.ledger[&key].state != *state
            {
                let first = database.ledger[&key].state;
                self.breaks(world, format!("{key:?} ended as {first}, then as {state}"));
            }
            self.check_cancelled(world, entry);
            if database.ledger.contains_key(&key) && database.pending.contains_key(&key) {
                self.breaks(world, format!("{key:?} has ended and is open"));
            }
        }
    }

    /// 3. A checkpoint was written.
    pub fn check_checkpoint(&mut self, world: &World, shard: Shard, database: &Database) {
        let checkpoint = &database.shards[&shard].checkpoint;
        let undurable = database.events.iter().find_map(|stored| {
            let passed = stored.event.shard == shard
                && database.is_committed(stored.xid)
                && checkpoint.includes(stored.xid);
            passed
                .then(|| {
                    wanted(database, stored).into_iter().find(|key| {
                        !database.ledger.contains_key(key) && !database.pending.contains_key(key)
                    })
                })
                .flatten()
        });
        if let Some(key) = undurable {
            self.breaks(
                world,
                format!("the checkpoint of {shard} passes {key:?}, which has no row"),
            );
        }
    }

    /// 6. What a worker's lanes hold.
    pub fn memory(&mut self, world: &World, sums: Sums) {
        let scenario = &world.scenario;
        let in_the_air = scenario.max_in_flight_total;
        if sums.in_flight > in_the_air {
            let count = sums.in_flight;
            self.breaks(world, format!("{count} in the air, {in_the_air} may be"));
        }
    }
}
