//! What lanes hold, send and leave to the database.

use prometheus_client::metrics::counter::Counter;

use super::Metrics;
use super::names::{Level, Names};

/// Deliveries in memory, in the air and in the table of what waits.
#[derive(Debug)]
pub(super) struct Lanes {
    queued: Level,
    queued_bytes: Level,
    in_flight: Level,
    over_limit: Counter,
    waiting: Level,
    spilled: Counter,
    refilled: Counter,
    breakers_open: Level,
    told_to_wait: Level,
}

impl Lanes {
    pub(super) fn new(names: &mut Names) -> Self {
        Self {
            queued: names.level(
                "posthorn_deliveries_queued",
                "Deliveries that wait in this worker's memory",
            ),
            queued_bytes: names.level(
                "posthorn_queued_bytes",
                "Event data that this worker holds in memory, in bytes",
            ),
            in_flight: names.level("posthorn_deliveries_in_flight", "Requests in the air"),
            over_limit: names.counter(
                "posthorn_in_flight_over_limit",
                "Requests that went out although max_in_flight of their subscription were in the air",
            ),
            waiting: names.level(
                "posthorn_deliveries_waiting",
                "Rows of posthorn.pending_deliveries in the held shards",
            ),
            spilled: names.counter(
                "posthorn_deliveries_spilled",
                "Deliveries that got their first row in posthorn.pending_deliveries, untried",
            ),
            refilled: names.counter(
                "posthorn_deliveries_refilled",
                "Deliveries that came back from posthorn.pending_deliveries into memory",
            ),
            breakers_open: names.level(
                "posthorn_breakers_open",
                "Subscriptions that get only probes after repeated failures",
            ),
            told_to_wait: names.level(
                "posthorn_endpoints_told_to_wait",
                "Subscriptions whose endpoint has said, with 429 or 503 and Retry-After, that it takes nothing now",
            ),
        }
    }
}

impl Metrics {
    /// So many deliveries wait in memory, and their events' data has so many bytes.
    pub fn set_queued(&self, deliveries: usize, bytes: usize) {
        self.0.lanes.queued.set(deliveries as u64);
        self.0.lanes.queued_bytes.set(bytes as u64);
    }

    /// So many requests are in the air.
    pub fn set_in_flight(&self, n: usize) {
        self.0.lanes.in_flight.set(n as u64);
    }

    /// A request left although as many as its subscription allows were in the air.
    pub fn over_limit(&self) {
        self.0.lanes.over_limit.inc();
    }

    /// The shards that this worker owns have so many rows of `posthorn.pending_deliveries`.
    pub fn set_waiting(&self, rows: u64) {
        self.0.lanes.waiting.set(rows);
    }

    /// So many deliveries went from memory to the database.
    pub fn spilled(&self, n: u64) {
        self.0.lanes.spilled.inc_by(n);
    }

    /// So many deliveries were refilled.
    pub fn refilled(&self, n: u64) {
        self.0.lanes.refilled.inc_by(n);
    }

    /// The endpoints of so many subscriptions have said that they take nothing now.
    pub fn set_told_to_wait(&self, n: usize) {
        self.0.lanes.told_to_wait.set(n as u64);
    }

    /// So many subscriptions get only probes.
    pub fn set_breakers_open(&self, n: usize) {
        self.0.lanes.breakers_open.set(n as u64);
    }
}
