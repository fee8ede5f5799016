//! When, and how often, a failed delivery is tried again.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::problem::{choose, note, number_text};
use super::{Problem, Settings, defaults, duration_text, within};
use crate::model::{RetryPolicy, Schedule};

/// The longest delay and age. Events are kept for 30 days by default, and a delivery that is open
/// for longer would keep a partition from being dropped.
const LONGEST: Duration = Duration::from_hours(720);

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Fixed,
    Exponential,
    List,
}

pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) -> Option<RetryPolicy> {
    let kind = choose(
        "retry",
        settings.retry.as_deref(),
        &[
            ("fixed", Kind::Fixed),
            ("exponential", Kind::Exponential),
            ("list", Kind::List),
        ],
        Kind::Exponential,
        problems,
    );
    if settings.retry.is_none() && settings.retry_delays.is_some() {
        problems.push(Problem::new(
            "retry",
            "missing, and retry_delays is given; give retry = \"list\", or leave retry_delays out",
        ));
    }
    let schedule = kind.map(|kind| schedule(kind, settings, problems));
    let cap = cap(settings, schedule.as_ref(), problems);
    let max_attempts = max_attempts(settings, problems);
    let max_age = settings
        .max_age
        .and_then(|age| duration("max_age", age, Duration::from_millis(1), problems));
    let bounded = max_attempts.is_some() || kind == Some(Kind::List);
    Some(RetryPolicy {
        schedule: schedule?,
        max_attempts,
        max_age: max_age.or((!bounded).then_some(defaults::MAX_AGE)),
        cap,
        honour_retry_after: settings.retry_after.unwrap_or(defaults::RETRY_AFTER),
    })
}

/// Reads the schedule. Where a part of it is refused, its default stands in, and the caller drops
/// the whole.
fn schedule(kind: Kind, settings: &Settings, problems: &mut Vec<Problem>) -> Schedule {
    // Each value that is given is checked, also those that this schedule does not use:
    // a wrong value in a profile shows before a subscription comes to use it.
    let interval = settings
        .retry_interval
        .and_then(|interval| duration("retry_interval", interval, Duration::ZERO, problems));
    let factor = number(
        "retry_factor",
        settings.retry_factor.unwrap_or(defaults::RETRY_FACTOR),
        1.0..=100.0,
        problems,
    );
    let jitter = number(
        "retry_jitter",
        settings.retry_jitter.unwrap_or(defaults::RETRY_JITTER),
        0.0..=1.0,
        problems,
    );
    let delays = settings.retry_delays.clone().unwrap_or_default();
    for &delay in &delays {
        duration("retry_delays", delay, Duration::ZERO, problems);
    }
    match kind {
        Kind::Fixed => {
            if settings.retry_interval.is_none() {
                problems.push(Problem::new(
                    "retry_interval",
                    "missing, and retry is \"fixed\"; give the time between two attempts, such as 30 minutes",
                ));
            }
            Schedule::Fixed(interval.unwrap_or(defaults::RETRY_INTERVAL))
        }
        Kind::Exponential => Schedule::Exponential {
            interval: interval.unwrap_or(defaults::RETRY_INTERVAL),
            factor,
            jitter,
        },
        Kind::List => {
            if delays.is_empty() {
                problems.push(Problem::new(
                    "retry_delays",
                    "missing or empty, and retry is \"list\"; give the delay after each attempt, \
                     or max_attempts = 1 for no retry",
                ));
            }
            Schedule::List(delays)
        }
    }
}

/// Reads the cap. No delay is longer than it, so one below the schedule's own would make the
/// schedule say what does not happen.
fn cap(settings: &Settings, schedule: Option<&Schedule>, problems: &mut Vec<Problem>) -> Duration {
    let longest = match schedule {
        Some(Schedule::Fixed(interval) | Schedule::Exponential { interval, .. }) => *interval,
        Some(Schedule::List(delays)) => delays.iter().max().copied().unwrap_or_default(),
        None => Duration::ZERO,
    };
    let Some(cap) = settings.retry_cap else {
        return defaults::RETRY_CAP.max(longest);
    };
    if duration("retry_cap", cap, Duration::ZERO, problems).is_some() && cap < longest {
        problems.push(Problem::new(
            "retry_cap",
            format!(
                "{} is less than the schedule's own delay of {}; give at least that, or leave it out",
                duration_text(&cap),
                duration_text(&longest)
            ),
        ));
    }
    cap
}

fn max_attempts(settings: &Settings, problems: &mut Vec<Problem>) -> Option<u32> {
    // More than one attempt a second for ten days: a number that was not meant.
    const MOST: i32 = 1_000_000;
    let attempts = settings.max_attempts?;
    let attempts = within(attempts, &(1..=MOST), "a whole number", i32::to_string);
    note("max_attempts", attempts, problems).and_then(|attempts| u32::try_from(attempts).ok())
}

fn duration(
    key: &'static str,
    value: Duration,
    shortest: Duration,
    problems: &mut Vec<Problem>,
) -> Option<Duration> {
    let value = within(value, &(shortest..=LONGEST), "a duration", duration_text);
    note(key, value, problems)
}

fn number(
    key: &'static str,
    value: f64,
    range: RangeInclusive<f64>,
    problems: &mut Vec<Problem>,
) -> f64 {
    note(
        key,
        within(value, &range, "a number", |n| number_text(*n)),
        problems,
    );
    value
}
