//! What must hold, whatever goes wrong: DESIGN's invariants, as far as they can be seen
//! from outside the workers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use posthorn::dispatch::Sums;
use posthorn::dispatch::item::Item;
use posthorn::flow::entry::{Change, Entry, Written};
use posthorn::flow::input::Tried;
use posthorn::model::{DeliveryKey, Event, Order, Shard, State, Subscription};
use posthorn::plan::Next;
use posthorn::shape::Request;
use uuid::Uuid;

use crate::database::Database;
use crate::faults::Doomed;
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
    /// What each delivery's first request was: its id and its body.
    messages: BTreeMap<DeliveryKey, (Option<Bytes>, Bytes)>,
    /// Deliveries after which the next one of their transaction may go out.
    resolved: BTreeSet<DeliveryKey>,
    /// Until when an endpoint has said that it takes nothing, and for how long.
    told_to_wait: BTreeMap<Uuid, (Duration, Duration)>,
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
            other.subscription_id == key.subscription_id
                && open
                    .lane_waits_until
                    .is_some_and(|until| until > database.now())
        });
        if let Some((until, wait)) = self.told_to_wait.get(&key.subscription_id)
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
        let first = self.messages.entry(key).or_insert_with(|| message.clone());
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
        // The order of a transaction's events, as their ids have it: where the clock steps
        // back, they do not.
        if subscription.order == Order::Transaction && !subscription.supersede && !steps {
            let earlier = database.events.iter().filter(|stored| {
                let event = &stored.event;
                database.is_committed(stored.xid)
                    && event.merchant == item.event.merchant
                    && event.transaction_id == item.event.transaction_id
                    && event.id < key.event_id
            });
            let open = earlier
                .map(|stored| DeliveryKey::first(stored.event.id, subscription.id))
                .find(|key| !self.resolved.contains(key) && !database.ledger.contains_key(key));
            if let Some(earlier) = open {
                self.breaks(
                    world,
                    format!("{key:?} overtakes {earlier:?} of its transaction"),
                );
            }
        }
    }

    /// An answer was judged.
    pub fn landed(&mut self, world: &World, key: DeliveryKey, tried: &Tried) {
        if let Some(wait) = tried.told_to_wait {
            let until = world.executor.now() + wait;
            self.told_to_wait.insert(key.subscription_id, (until, wait));
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
            let deliveries = wanted(database, &stored.event);
            passed
                .then(|| {
                    deliveries.into_iter().find(|key| {
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

    /// Everything has ended: as it should have?
    pub fn check_the_end(&self, database: &Database) -> Result<(), String> {
        let committed = database
            .events
            .iter()
            .filter(|stored| database.is_committed(stored.xid));
        let committed: BTreeMap<_, &Event> = committed
            .map(|stored| (stored.event.id, &stored.event))
            .collect();
        for (key, ended) in &database.ledger {
            let Some(event) = committed.get(&key.event_id) else {
                return Err(format!("{key:?} is of an event that nobody committed"));
            };
            let newer = committed.values().any(|other| {
                other.merchant == event.merchant
                    && other.transaction_id == event.transaction_id
                    && other.id > event.id
            });
            match ended.state {
                State::Superseded if !newer => {
                    return Err(format!("{key:?} was superseded by nothing"));
                }
                State::Delivered if !self.attempts.contains(&(*key, ended.attempts)) => {
                    return Err(format!("{key:?} was delivered by no request"));
                }
                State::Cancelled => return Err(format!("{key:?} was cancelled by nobody")),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The deliveries that an event asks for.
fn wanted(database: &Database, event: &Event) -> Vec<DeliveryKey> {
    let of_merchant = database.subscriptions.values();
    let of_merchant = of_merchant.filter(|it| *it.merchant == *event.merchant);
    of_merchant
        .map(|it| DeliveryKey::first(event.id, it.id))
        .collect()
}

/// 1. Deliveries of committed events that have not ended.
pub fn missing(database: &Database) -> Vec<DeliveryKey> {
    let committed = database
        .events
        .iter()
        .filter(|stored| database.is_committed(stored.xid));
    committed
        .flat_map(|stored| wanted(database, &stored.event))
        .filter(|key| !database.ledger.contains_key(key))
        .collect()
}

/// How long after the last fault everything has to have ended.
pub const PATIENCE: Duration = Duration::from_mins(5);

pub fn check_patience(database: &Database) -> String {
    let missing = missing(database);
    let without_row = missing
        .iter()
        .filter(|key| !database.pending.contains_key(key));
    format!(
        "{} deliveries have not ended {PATIENCE:?} after the last fault, {} of them have no row; \
         the first: {:?}",
        missing.len(),
        without_row.count(),
        missing.first()
    )
}
