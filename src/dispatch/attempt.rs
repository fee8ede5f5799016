//! The two ends of an attempt: the request that goes out, and what its outcome makes of the
//! delivery. First tries, retries and replays all come through here.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::item::Item;
use crate::flow::entry::Attempt;
use crate::flow::input::Tried;
use crate::judge::{judge, refuses_credential, with_another_left};
use crate::mask::Mask;
use crate::model::{Outcome, Subscription, TokenKey, Wire};
use crate::plan::{Circumstances, parse_retry_after, plan, told_to_wait};
use crate::shape::{Moment, Request, Unsendable, shape};

/// Behind the reason of an attempt whose request went out twice.
const SENT_AGAIN: &str =
    " (sent twice: the kept connection was closed before an answer, and a new one was opened)";

/// Makes the request of a delivery's next attempt; `nonce` is what the message is signed with.
pub fn prepare(
    item: &Item,
    subscription: &Subscription,
    now: DateTime<Utc>,
    nonce: [u8; 16],
    token_key: &TokenKey,
) -> Result<Request, Unsendable> {
    let moment = Moment {
        subscription_id: item.key.subscription_id,
        attempt: item.attempts + 1,
        now,
        nonce,
        token_key,
        credential: item.trial.credential,
    };
    shape(&item.event, subscription, &moment)
}

/// Says what an attempt's outcome means for its delivery; `chance` spreads the retries, 0 to 1.
/// `request` is the one that was sent: what it had does not come back in what is recorded.
pub fn conclude(
    item: &Item,
    subscription: &Subscription,
    request: &Request,
    outcome: Outcome,
    now: DateTime<Utc>,
    chance: f64,
) -> Tried {
    let Outcome {
        wire,
        started_at,
        duration,
        sent,
        again,
    } = outcome;
    let number = item.attempts + 1;
    let mut judgement = judge(&wire, &subscription.success);
    let mask = Mask::of(&item.event, subscription, request, &wire);
    judgement.reason = mask.line(&judgement.reason);
    if again {
        judgement.reason.push_str(SENT_AGAIN);
    }
    let refused = refuses_credential(&wire);
    let other_credential = refused && item.trial.other_left;
    if other_credential {
        judgement = with_another_left(judgement);
    }
    let circumstances = Circumstances {
        attempt: number,
        turned_away: item.turned_away,
        status: status_of(&wire),
        age: age(item.opened_at, now),
        retry_after: retry_after(&wire, now),
        other_credential,
        chance,
    };
    let next = plan(&judgement, circumstances, &subscription.retry);
    let told_to_wait = told_to_wait(&judgement, circumstances, &subscription.retry);
    let attempt = Attempt {
        number,
        started_at,
        duration,
        outcome: judgement.class,
        http_status: status_of(&wire),
        reason: judgement.reason,
        body: mask.body(body_of(&wire)),
        revision: subscription.revision,
        sent,
    };
    Tried {
        attempt,
        verdict: judgement.verdict,
        refused,
        again,
        told_to_wait,
        next,
    }
}

/// How old something is; zero for what the clock takes to be from the future.
#[must_use]
pub fn age(created_at: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (now - created_at).to_std().unwrap_or_default()
}

const fn status_of(wire: &Wire) -> Option<u16> {
    match wire {
        Wire::Answer(answer) => Some(answer.status),
        Wire::Failed { .. } => None,
    }
}

fn body_of(wire: &Wire) -> &[u8] {
    match wire {
        Wire::Answer(answer) => &answer.body,
        Wire::Failed { .. } => &[],
    }
}

fn retry_after(wire: &Wire, now: DateTime<Utc>) -> Option<Duration> {
    match wire {
        Wire::Answer(answer) => parse_retry_after(answer.retry_after.as_deref()?, now),
        Wire::Failed { .. } => None,
    }
}
