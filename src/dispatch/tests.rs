use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;

use super::errand::Flight;
use super::*;
use crate::flow::entry::Entry;
use crate::flow::input::{Adoption, Failed, Landed, PageToRoute, Recorded, RecordedKind};
use crate::flow::refill::Refilled;
use crate::model::{Event, State, Subscription, samples};
use crate::route::versions::Versions;

const SHARD: Shard = Shard(7);

/// A dispatcher, and what comes out of it.
struct Rig {
    dispatcher: Dispatcher,
    lease: Lease,
    errands: UnboundedReceiver<Errand>,
    entries: UnboundedReceiver<ToRecord>,
    drained: UnboundedReceiver<Drained>,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let now = Instant::now();
        let lease = Lease::new(now);
        let (errand, errands) = unbounded_channel();
        let (recorder, entries) = unbounded_channel();
        let (drained, drained_rx) = unbounded_channel();
        let settings = DispatchSettings {
            lane: LaneSettings {
                spill_after: Duration::from_secs(2),
                breaker: BreakerSettings {
                    failures: 3,
                    probe_min: Duration::from_millis(100),
                    probe_max: Duration::from_secs(1),
                },
            },
            memory_deliveries: 1000,
            memory_bytes: 1 << 20,
            max_in_flight_total: 100,
            max_data_bytes: 1 << 18,
            grace: Duration::from_secs(5),
        };
        let outlets = Outlets {
            errands: Box::new(move |it| drop(errand.send(it))),
            recorder,
            backlog: Backlog::default(),
            drained,
            room: watch::Sender::new(true),
            condition: watch::Sender::default(),
            lease: lease.clone(),
            clock: DbClock::anchored(now, samples::event().created_at),
            metrics: Metrics::new(),
        };
        Self {
            dispatcher: Dispatcher::new(settings, outlets, now),
            lease,
            errands,
            entries,
            drained: drained_rx,
            now,
        }
    }

    fn step(&mut self, input: Input) {
        let now = self.now;
        self.dispatcher.step([input].into_iter(), &|| now);
    }

    fn adopt(&mut self, epoch: i64) {
        self.lease.set(Some(self.now + Duration::from_secs(10)));
        self.step(Input::Adopt(Adoption {
            shards: vec![(SHARD, Epoch(epoch))],
            subscriptions: vec![Arc::new(Subscription {
                max_in_flight: 1,
                ..samples::subscription()
            })],
            waiting: Vec::new(),
        }));
    }

    /// The shard is lost: the keeper says so, and then the reader.
    fn lose(&mut self) {
        self.lease.lost();
        self.step(Input::Lost(vec![SHARD]));
        self.step(Input::Lost(vec![SHARD]));
    }

    /// Of this event, which is in the log.
    fn sent(&mut self, event: Event) -> Option<Flight> {
        self.step(Input::Page(
            PageToRoute {
                events: vec![Arc::new(event)],
                known: HashSet::new(),
                endpoints: HashMap::new(),
                before: HashMap::new(),
                versions: Versions::default(),
            },
            oneshot::channel().0,
        ));
        match self.errands.try_recv().ok()? {
            Errand::Send(flight) => Some(flight),
            other => panic!("{other:?}"),
        }
    }

    /// Of a replay that was cancelled.
    fn withdrawn(&mut self) -> Entry {
        let event = Arc::new(samples::event());
        let lane_id = samples::subscription().id;
        self.step(Input::Withdrawn(vec![Refilled {
            lane_id,
            key: DeliveryKey {
                generation: 1,
                ..DeliveryKey::first(event.id, lane_id)
            },
            endpoint: None,
            ended: false,
            cancelled: true,
            opened_at: event.created_at,
            event,
            attempts: 0,
            turned_away: 0,
        }]));
        self.entries.try_recv().unwrap().entry
    }

    fn recorded(&mut self, entry: &Entry) {
        self.step(Input::Recorded(vec![Recorded {
            key: entry.key,
            lane_id: entry.lane_id,
            shard: entry.shard,
            epoch: entry.epoch,
            page: None,
            kind: RecordedKind::Finished(State::Cancelled),
        }]));
    }

    /// Whether nothing is known of the merchant any more, once the feed has said that it is idle.
    fn forgets(&mut self) -> bool {
        let (answer, mut answered) = oneshot::channel();
        self.step(Input::Forget(vec![("acme".to_owned(), SHARD)], answer));
        !answered.try_recv().unwrap().is_empty()
    }

    fn landed(&mut self, flight: &Flight) {
        self.step(Input::Landed(Landed {
            key: flight.item.key,
            lane_id: flight.lane_id,
            shard: flight.subscription.shard,
            epoch: flight.epoch,
            took: Duration::from_millis(1),
            result: Err(Failed::Panicked),
        }));
    }
}

#[test]
fn what_was_recorded_for_an_earlier_ownership_hands_nothing_over() {
    let mut rig = Rig::new();
    rig.adopt(1);
    let before = rig.withdrawn();
    rig.lose();
    rig.adopt(2);
    let since = rig.withdrawn();
    rig.step(Input::Drain(vec![(SHARD, Epoch(2))]));
    rig.recorded(&before);
    assert!(
        rig.drained.try_recv().is_err(),
        "the next owner would send what is on its way to the database"
    );
    rig.recorded(&since);
    assert_eq!(rig.drained.try_recv().unwrap().epoch, Epoch(2));
}

#[test]
fn what_landed_for_an_earlier_ownership_ends_nothing_that_is_in_the_air() {
    let mut rig = Rig::new();
    rig.adopt(1);
    let before = rig.sent(samples::event()).unwrap();
    rig.lose();
    rig.adopt(2);
    let since = rig.sent(samples::event()).unwrap();
    rig.landed(&before);
    assert_eq!(rig.dispatcher.sums().in_flight, 1);
    assert!(rig.entries.try_recv().is_err());
    rig.landed(&since);
    let entry = rig.entries.try_recv().unwrap().entry;
    assert_eq!((entry.key, entry.epoch), (since.item.key, Epoch(2)));
}

#[test]
fn a_merchant_is_forgotten_once_nothing_of_it_is_at_hand() {
    let mut rig = Rig::new();
    rig.adopt(1);
    let entry = rig.withdrawn();
    assert!(!rig.forgets(), "an entry is on its way to the database");
    rig.recorded(&entry);
    let flight = rig.sent(samples::event()).unwrap();
    assert!(!rig.forgets(), "a request is in the air");
    rig.landed(&flight);
    let entry = rig.entries.try_recv().unwrap().entry;
    assert!(!rig.forgets(), "what came of it is not recorded");
    rig.recorded(&entry);
    assert!(rig.forgets());
    assert!(
        rig.sent(samples::event()).is_none(),
        "its subscription is gone"
    );
    rig.step(Input::Subscriptions(vec![
        Arc::new(samples::subscription()),
    ]));
    assert!(rig.sent(samples::event()).is_some());
}
