//! How long a request may take, how many there may be, and in which order.

use std::time::Duration;

use super::problem::{choose, note, number_text};
use super::{Problem, Settings, defaults, duration_text, within};
use crate::model::Order;

/// The longest timeout: a request that takes longer holds its place in the lane for no one's good.
const LONGEST: Duration = Duration::from_mins(10);

/// The most requests in the air that a subscription may have (WIRE.md 4.3).
const MOST_IN_FLIGHT: i32 = 500;

/// The lowest rate in sends a second, about one request in three hours.
const LOWEST_RATE: f64 = 0.0001;
const HIGHEST_RATE: f64 = 1_000_000.0;

pub(super) struct Limits {
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub max_in_flight: u16,
    pub rate: Option<f64>,
    pub order: Order,
    pub supersede: bool,
}

pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) -> Option<Limits> {
    let timeout = timeout("timeout", settings.timeout, defaults::TIMEOUT, problems);
    let connect_timeout = self::timeout(
        "connect_timeout",
        settings.connect_timeout,
        defaults::CONNECT_TIMEOUT,
        problems,
    );
    let max_in_flight = max_in_flight(settings, problems);
    if let Some(rate) = settings.rate {
        let range = LOWEST_RATE..=HIGHEST_RATE;
        let rate = within(rate, &range, "requests per second", |n| number_text(*n));
        note("rate", rate, problems);
    }
    let order = choose(
        "order",
        settings.order.as_deref(),
        &[("none", Order::None), ("transaction", Order::Transaction)],
        defaults::ORDER,
        problems,
    );
    Some(Limits {
        timeout: timeout?,
        connect_timeout: connect_timeout?,
        max_in_flight: max_in_flight?,
        rate: settings.rate,
        order: order?,
        supersede: settings.supersede.unwrap_or(defaults::SUPERSEDE),
    })
}

fn timeout(
    key: &'static str,
    given: Option<Duration>,
    default: Duration,
    problems: &mut Vec<Problem>,
) -> Option<Duration> {
    let range = Duration::from_millis(1)..=LONGEST;
    let given = given.unwrap_or(default);
    note(
        key,
        within(given, &range, "a duration", duration_text),
        problems,
    )
}

fn max_in_flight(settings: &Settings, problems: &mut Vec<Problem>) -> Option<u16> {
    let Some(given) = settings.max_in_flight else {
        return Some(defaults::MAX_IN_FLIGHT);
    };
    let given = within(
        given,
        &(1..=MOST_IN_FLIGHT),
        "a whole number",
        i32::to_string,
    );
    note("max_in_flight", given, problems).and_then(|given| u16::try_from(given).ok())
}
