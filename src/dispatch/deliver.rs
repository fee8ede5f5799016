//! One attempt, from the request to what becomes of the delivery. First tries, retries
//! and replays all come through here.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::item::{Item, Trial};
use crate::judge::{judge, refuses_credential, with_another_left};
use crate::model::{Outcome, Subscription, TokenKey, Verdict, Wire};
use crate::plan::{Circumstances, Next, parse_retry_after, plan};
use crate::send::Sender;
use crate::shape::{Moment, Unsendable, endpoint, shape};
use crate::store::DbClock;
use crate::store::ledger::Attempt;

/// How much of an answer's body is kept with the attempt, bytes.
const BODY_KEPT: usize = 2048;

/// What an attempt needs of the worker.
#[derive(Clone)]
pub struct Delivering {
    pub sender: Sender,
    pub clock: DbClock,
    pub token_key: TokenKey,
}

/// An attempt that was made, judged and planned.
#[derive(Debug)]
pub struct Tried {
    pub attempt: Attempt,
    pub verdict: Verdict,
    /// Whether it was the credential that was refused.
    pub refused: bool,
    pub next: Next,
}

/// Shape, send, judge, plan. Whatever happens on the wire is an outcome; only a delivery
/// that can never be sent is an error.
pub async fn deliver(
    with: &Delivering,
    item: &Item,
    subscription: &Subscription,
) -> Result<Tried, Unsendable> {
    let number = item.attempts + 1;
    let Trial {
        credential,
        other_left,
    } = item.trial;
    let its_own = item
        .endpoint
        .as_ref()
        .map(|endpoint| endpoint::over(endpoint, subscription))
        .transpose()?;
    let subscription = its_own.as_ref().unwrap_or(subscription);
    let started_at = with.clock.now();
    let moment = Moment {
        subscription_id: item.key.subscription_id,
        attempt: number,
        now: started_at,
        nonce: rand::random(),
        token_key: &with.token_key,
        credential,
    };
    let request = shape(&item.event, subscription, &moment)?;
    let outcome = with
        .sender
        .send(request, subscription, credential, started_at)
        .await;
    let mut judgement = judge(&outcome.wire, &subscription.success);
    let refused = refuses_credential(&outcome.wire);
    let other_credential = refused && other_left;
    if other_credential {
        judgement = with_another_left(judgement);
    }
    let now = with.clock.now();
    let circumstances = Circumstances {
        attempt: number,
        age: age(item.event.created_at, now),
        retry_after: retry_after(&outcome.wire, now),
        other_credential,
        chance: rand::random(),
    };
    let next = plan(&judgement, circumstances, &subscription.retry);
    let (http_status, body) = match &outcome.wire {
        Wire::Answer(answer) => (Some(answer.status), excerpt(&answer.body)),
        Wire::Failed { .. } => (None, None),
    };
    let Outcome {
        started_at,
        duration,
        ..
    } = outcome;
    let attempt = Attempt {
        number,
        started_at,
        duration,
        outcome: judgement.class,
        http_status,
        reason: judgement.reason,
        body,
    };
    Ok(Tried {
        attempt,
        verdict: judgement.verdict,
        refused,
        next,
    })
}

/// Zero for an event that the clock takes to be from the future.
#[must_use]
pub fn age(created_at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (now - created_at).to_std().unwrap_or_default()
}

fn retry_after(wire: &Wire, now: DateTime<Utc>) -> Option<Duration> {
    match wire {
        Wire::Answer(answer) => parse_retry_after(answer.retry_after.as_deref()?, now),
        Wire::Failed { .. } => None,
    }
}

/// The beginning of a body as text that PostgreSQL takes: UTF-8 without NUL, cut between
/// characters. None for an empty one.
fn excerpt(body: &Bytes) -> Option<String> {
    let mut text =
        String::from_utf8_lossy(&body[..body.len().min(BODY_KEPT)]).replace('\0', "\u{fffd}");
    text.truncate(text.floor_char_boundary(BODY_KEPT));
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_text_that_the_database_takes() {
        for (body, expected) in [
            (&b""[..], None),
            (b"RECEIVED", Some("RECEIVED".to_owned())),
            (b"a\0b", Some("a\u{fffd}b".to_owned())),
            (b"\xff", Some("\u{fffd}".to_owned())),
        ] {
            assert_eq!(excerpt(&Bytes::from_static(body)), expected);
        }
        let long = Bytes::from("ä".repeat(5000) + "\u{0}");
        assert_eq!(excerpt(&long).map(|text| text.len()), Some(2048));
        let worst = Bytes::from(vec![0xff; 5000]);
        assert!(excerpt(&worst).is_some_and(|text| text.len() <= BODY_KEPT));
    }
}
