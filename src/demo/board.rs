//! What the demo itself knows: which deliveries there have to be, and which requests
//! arrived. Without I/O.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::publish::Published;
use super::script::{Endpoint, Merchant};
use crate::model::DeliveryKey;

/// How many of the newest deliveries percentiles are of.
const NEWEST: usize = 1000;

/// An endpoint of the script, as the database knows it.
#[derive(Clone, Copy)]
pub struct Role {
    pub merchant: &'static Merchant,
    pub endpoint: &'static Endpoint,
    pub subscription: Uuid,
}

impl Role {
    #[must_use]
    pub fn path(&self) -> String {
        self.endpoint.path(self.merchant)
    }

    fn wants(&self, published: &Published) -> bool {
        self.merchant.name == published.merchant && published.kind.starts_with(self.endpoint.kinds)
    }
}

pub struct Board {
    pub roles: Vec<Role>,
    pub events: usize,
    pub expected: HashMap<DeliveryKey, Instant>,
    /// When the first request of each delivery arrived.
    pub arrived: HashMap<DeliveryKey, Instant>,
    delays: HashMap<Uuid, VecDeque<Duration>>,
    published: HashMap<Uuid, usize>,
}

impl Board {
    #[must_use]
    pub fn new(roles: Vec<Role>) -> Self {
        Self {
            roles,
            events: 0,
            expected: HashMap::new(),
            arrived: HashMap::new(),
            delays: HashMap::new(),
            published: HashMap::new(),
        }
    }

    /// Notes that an event was committed: every endpoint that wants it has to get it.
    pub fn published(&mut self, published: &Published) {
        self.events += 1;
        let wanting = self.roles.iter().filter(|role| role.wants(published));
        let subscriptions: Vec<Uuid> = wanting.map(|role| role.subscription).collect();
        for subscription in subscriptions {
            let key = first(published.event, subscription);
            self.expected.insert(key, published.committed);
            *self.published.entry(subscription).or_default() += 1;
            self.note_delay(key);
        }
    }

    /// Notes that a request for the path arrived. It may come before the news of its commit.
    pub fn arrived(&mut self, path: &str, event: Uuid, at: Instant) {
        let Some(role) = self.roles.iter().find(|role| role.path() == path) else {
            return;
        };
        let key = first(event, role.subscription);
        if let Entry::Vacant(first) = self.arrived.entry(key) {
            first.insert(at);
            self.note_delay(key);
        }
    }

    fn note_delay(&mut self, key: DeliveryKey) {
        let (Some(from), Some(to)) = (self.expected.get(&key), self.arrived.get(&key)) else {
            return;
        };
        let delays = self.delays.entry(key.subscription_id).or_default();
        if delays.len() == NEWEST {
            delays.pop_front();
        }
        delays.push_back(to.saturating_duration_since(*from));
    }

    /// How many deliveries an endpoint has to get.
    #[must_use]
    pub fn published_to(&self, subscription: Uuid) -> usize {
        self.published.get(&subscription).copied().unwrap_or(0)
    }

    /// The time from commit to first arrival: the median and the 99th percentile.
    #[must_use]
    pub fn percentiles(&self, subscription: Uuid) -> Option<(Duration, Duration)> {
        let mut delays: Vec<Duration> = self.delays.get(&subscription)?.iter().copied().collect();
        delays.sort_unstable();
        Some((at_share(&delays, 50)?, at_share(&delays, 99)?))
    }
}

fn first(event_id: Uuid, subscription_id: Uuid) -> DeliveryKey {
    DeliveryKey {
        event_id,
        subscription_id,
        generation: 0,
    }
}

/// The value of a percentile by the nearest rank: the least that at least so many in a hundred do
/// not exceed.
fn at_share(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::super::script::MERCHANTS;
    use super::*;

    fn board(merchant: &'static str) -> Board {
        let merchant = MERCHANTS.iter().find(|it| it.name == merchant).unwrap();
        let role = |(number, endpoint): (usize, &'static Endpoint)| Role {
            merchant,
            endpoint,
            subscription: Uuid::from_u128(number as u128 + 1),
        };
        Board::new(merchant.endpoints.iter().enumerate().map(role).collect())
    }

    fn event(number: u128, merchant: &'static str, kind: &'static str, at: Instant) -> Published {
        Published {
            event: Uuid::from_u128(number),
            merchant,
            kind,
            committed: at,
        }
    }

    #[test]
    fn an_event_is_expected_where_it_is_wanted() {
        let now = Instant::now();
        let mut arcade = board("arcade");
        arcade.published(&event(1, "arcade", "transaction.status", now));
        arcade.published(&event(2, "clinic", "payment.approved", now));
        assert_eq!((arcade.events, arcade.expected.len()), (2, 2));

        let mut clinic = board("clinic");
        clinic.published(&event(1, "clinic", "payment.approved", now));
        clinic.published(&event(2, "clinic", "plan.created", now));
        assert_eq!(clinic.published_to(Uuid::from_u128(1)), 1);
    }

    #[test]
    fn delays_are_of_the_first_arrival_whichever_news_comes_first() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut board = board("clinic");
        for number in 1..=100_u64 {
            let published = event(number.into(), "clinic", "payment.approved", start);
            if number % 2 == 0 {
                board.published(&published);
            }
            board.arrived("/clinic/payments", published.event, after(number));
            board.arrived("/clinic/payments", published.event, after(9_000));
            if number % 2 == 1 {
                board.published(&published);
            }
        }
        board.arrived("/elsewhere", Uuid::from_u128(7), after(9_000));
        assert_eq!(
            board.percentiles(Uuid::from_u128(1)),
            Some((Duration::from_millis(50), Duration::from_millis(99)))
        );
        assert_eq!(board.percentiles(Uuid::from_u128(2)), None);
    }
}
