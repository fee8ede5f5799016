//! Hostile input, from configuration, data and receivers: nothing panics, and no text ever
//! becomes a header, a second request or a way out of its field.
//!
//! `PROPTEST_CASES` sets how many inputs each target is given.

#![allow(clippy::too_many_lines, reason = "a test tells its whole story")]

mod answers;
mod injection;
mod panics;
mod parsing;
mod text;

use std::time::Duration;

use chrono::DateTime;
use posthorn::model::secret::SecretError;
use posthorn::model::settings::{Problem, resolve};
use posthorn::model::{Credential, Event, Identity, Settings, Shard, Subscription, TokenKey};
use posthorn::shape::{Moment, Request, Unsendable, shape};
use proptest::test_runner::Config;
use uuid::Uuid;

/// More where the environment asks for it.
fn cases(fewest: u32) -> Config {
    let asked = Config::default().cases;
    Config {
        cases: asked.max(fewest),
        failure_persistence: None,
        ..Config::default()
    }
}

/// The subscription of these settings; `secret` is what every reference points to.
fn resolved(settings: &Settings, secret: &str) -> Result<Subscription, Vec<Problem>> {
    resolve(
        Identity::unwritten("acme", "orders"),
        settings,
        &|from| match secret {
            "" => Err(SecretError::Empty(from.clone())),
            _ => Ok(secret.as_bytes().to_vec().into()),
        },
    )
}

/// The request of the event, shaped as a worker does.
fn shaped(event: &Event, subscription: &Subscription) -> Result<Request, Unsendable> {
    let moment = Moment {
        subscription_id: subscription.id,
        attempt: 1,
        now: event.created_at,
        nonce: [7; 16],
        token_key: &TokenKey::new(&[7; 32]),
        credential: Credential::Current,
    };
    shape(event, subscription, &moment)
}

fn event(status: &str, data: &str) -> Event {
    Event {
        id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001),
        shard: Shard(0),
        merchant: "acme".into(),
        kind: "payment".into(),
        transaction_id: status.into(),
        status: status.into(),
        data: data.into(),
        created_at: DateTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000),
    }
}
