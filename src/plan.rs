//! Plan: what becomes of a delivery after an attempt. Pure; time and chance are
//! arguments.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};

use crate::model::settings::defaults::MAX_AGE;
use crate::model::{Judgement, RetryPolicy, Schedule, Verdict};

/// Where the delivery stands after the attempt that was judged.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// The number of the attempt just made, from 1.
    pub attempt: u32,
    /// How many attempts before it the receiver turned away ([`told_to_wait`]): these do not count.
    pub turned_away: u32,
    /// The status of the attempt's answer; none where no answer came.
    pub status: Option<u16>,
    /// How long ago the event was inserted.
    pub age: Duration,
    /// How long the receiver asks to wait, see [`parse_retry_after`]; none where it did not ask.
    pub retry_after: Option<Duration>,
    /// Whether the credential was refused, and another one is left for this delivery to try.
    pub other_credential: bool,
    /// A random number from 0 to 1, which spreads the retries.
    pub chance: f64,
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The delivery is done.
    Delivered,
    /// Another attempt follows after this long.
    RetryIn(Duration),
    /// No attempt follows, for this reason.
    PostingError(Ending),
}

/// Why no further attempt is made. Its text is for support.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The answer is one that ends the delivery.
    AtOnce {
        /// The answer in words, such as `404 Not Found`.
        answer: String,
    },
    /// The answer says that the endpoint is gone, which ends the subscription too.
    Gone {
        /// The answer in words, such as `410 Gone`.
        answer: String,
    },
    /// The policy's attempts are all made.
    AttemptsUsed {
        /// How many attempts were made.
        used: u32,
        /// How many attempts the policy allows.
        allowed: u32,
    },
    /// The list of delays is at its end: it has one after each attempt but the last.
    DelaysUsed {
        /// How many attempts were made.
        attempts: u32,
    },
    /// The next attempt would come after the policy's greatest age.
    TooOld {
        /// How long after the event's insertion attempts may be made.
        max_age: Duration,
    },
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtOnce { answer } => write!(f, "status {answer} ends it at once"),
            Self::Gone { answer } => {
                write!(f, "status {answer} ends it and disables the subscription")
            }
            Self::AttemptsUsed { used, allowed } => {
                write!(f, "{used} of {allowed} attempts used")
            }
            Self::DelaysUsed { attempts } => {
                write!(f, "{attempts} attempts used, the list has no further delay")
            }
            Self::TooOld { max_age } => {
                write!(f, "older than {} by the next attempt", in_words(*max_age))
            }
        }
    }
}

/// Gives the next state, and for a retry the wait before it. The wait is never longer than the
/// policy's cap, and a retry that would come after `max_age` is not planned. With another
/// credential it comes at once, and counts as an attempt all the same; where the receiver turned
/// the attempt away it comes when that said, and the attempt does not count.
#[must_use]
pub fn plan(judgement: &Judgement, now: Circumstances, policy: &RetryPolicy) -> Next {
    match judgement.verdict {
        Verdict::Delivered => Next::Delivered,
        Verdict::GiveUp => Next::PostingError(Ending::AtOnce {
            answer: judgement.reason.clone(),
        }),
        Verdict::Disable => Next::PostingError(Ending::Gone {
            answer: judgement.reason.clone(),
        }),
        Verdict::Retry => {
            let delay = match told_to_wait(judgement, now, policy) {
                // It uses up no attempt, so something else has to end it.
                Some(wait) => within(policy.max_age.or(Some(MAX_AGE)), now, wait),
                None => retry_in(now, policy),
            };
            match delay {
                Ok(delay) => Next::RetryIn(delay),
                Err(ending) => Next::PostingError(ending),
            }
        }
    }
}

/// How long the receiver takes nothing from this sender, whichever the delivery: it answered 429
/// (RFC 6585, section 4) or 503 (RFC 9110, section 15.6.4) with a Retry-After, and that is
/// honoured. The wait is within the policy's cap; none for any other answer.
#[must_use]
pub fn told_to_wait(
    judgement: &Judgement,
    now: Circumstances,
    policy: &RetryPolicy,
) -> Option<Duration> {
    let says_so = judgement.verdict == Verdict::Retry && matches!(now.status, Some(429 | 503));
    let wait = now.retry_after.filter(|wait| !wait.is_zero())?;
    (says_so && policy.honour_retry_after).then(|| wait.min(policy.cap))
}

fn within(
    max_age: Option<Duration>,
    now: Circumstances,
    delay: Duration,
) -> Result<Duration, Ending> {
    match max_age {
        Some(max_age) if now.age.saturating_add(delay) > max_age => Err(Ending::TooOld { max_age }),
        _ => Ok(delay),
    }
}

fn retry_in(mut now: Circumstances, policy: &RetryPolicy) -> Result<Duration, Ending> {
    now.attempt = now.attempt.saturating_sub(now.turned_away).max(1);
    if let Some(allowed) = policy.max_attempts
        && now.attempt >= allowed
    {
        return Err(Ending::AttemptsUsed {
            used: now.attempt,
            allowed,
        });
    }
    let Some(mut delay) = scheduled(&policy.schedule, now, policy.cap) else {
        return Err(Ending::DelaysUsed {
            attempts: now.attempt,
        });
    };
    if now.other_credential {
        delay = Duration::ZERO;
    } else if policy.honour_retry_after {
        // A receiver may ask for more time, never for a retry sooner than planned.
        delay = delay.max(now.retry_after.unwrap_or_default());
    }
    within(policy.max_age, now, delay.min(policy.cap))
}

/// The delay after the attempt that was made; none after the end of a list.
fn scheduled(schedule: &Schedule, now: Circumstances, cap: Duration) -> Option<Duration> {
    let failures_before = now.attempt.saturating_sub(1);
    match schedule {
        Schedule::Fixed(interval) => Some(*interval),
        Schedule::Exponential {
            interval,
            factor,
            jitter,
        } => {
            let grown = interval.as_secs_f64() * factor.powf(f64::from(failures_before));
            // Capped before the spread too, so that retries at the cap do not march in
            // step; `min` also turns a growth out of all bounds into the cap.
            let capped = grown.min(cap.as_secs_f64());
            let spread = 1.0 + jitter.clamp(0.0, 1.0) * (2.0 * now.chance.clamp(0.0, 1.0) - 1.0);
            Some(Duration::try_from_secs_f64(capped * spread).unwrap_or(cap))
        }
        Schedule::List(delays) => {
            let position = usize::try_from(failures_before).ok()?;
            delays.get(position).copied()
        }
    }
}

/// Reads a `Retry-After` (RFC 9110, section 10.2.3): seconds, or an HTTP date, of which a past one
/// means now. None for anything else.
#[must_use]
pub fn parse_retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for a number are still a very long time.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let wait = date.duration_since(SystemTime::from(now));
    Some(wait.unwrap_or_default())
}

/// Writes a duration in the largest unit that fits without a rest: `3 days`, `90 minutes`.
fn in_words(duration: Duration) -> String {
    const UNITS: [(u128, &str); 5] = [
        (86_400_000, "day"),
        (3_600_000, "hour"),
        (60_000, "minute"),
        (1_000, "second"),
        (1, "millisecond"),
    ];
    let milliseconds = duration.as_millis();
    let fitting = UNITS
        .iter()
        .find(|(length, _)| milliseconds >= *length && milliseconds.is_multiple_of(*length));
    let (length, unit) = fitting.unwrap_or(&(1, "millisecond"));
    let count = milliseconds / length;
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}
