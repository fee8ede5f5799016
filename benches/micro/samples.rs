//! An event and subscriptions, as the database would give them.

use anyhow::bail;
use chrono::DateTime;
use posthorn::model::settings::resolve;
use posthorn::model::{Credential, Event, Identity, Settings, Shard, Subscription, TokenKey};
use posthorn::shape::Moment;
use secrecy::SecretSlice;
use serde_json::Value;
use uuid::Uuid;

use crate::support::data::{data, template};

pub fn event(n: u32) -> Event {
    Event {
        id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001),
        shard: Shard(7),
        merchant: format!("merchant-{n}").into(),
        kind: "payment.approved".into(),
        transaction_id: "8263a268-5388-492a-bca2-28e1ff4a69f0".into(),
        status: "approved".into(),
        data: data(&template(), 7).into(),
        created_at: DateTime::UNIX_EPOCH,
    }
}

/// The moment of the first attempt, which is made at once.
pub fn moment<'a>(
    event: &Event,
    subscription: &Subscription,
    token_key: &'a TokenKey,
) -> Moment<'a> {
    Moment {
        subscription_id: subscription.id,
        attempt: 1,
        now: event.created_at,
        nonce: [7; 16],
        token_key,
        credential: Credential::Current,
    }
}

/// Of `merchant-n`, with the settings of a row.
pub fn subscription(n: u32, settings: &Value) -> anyhow::Result<Subscription> {
    let mut row = settings.clone();
    row["url"] = format!("https://merchant.example/hook/{n}").into();
    let identity = Identity {
        id: Uuid::from_u128(u128::from(n)),
        shard: Shard(7),
        ..Identity::unwritten(&format!("merchant-{n}"), "bench")
    };
    let secret = |from: &posthorn::model::secret::SecretRef| {
        let secret = if from.to_string() == "env:SIGNING" {
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        } else {
            "bench:correct horse"
        };
        Ok(SecretSlice::from(secret.as_bytes().to_vec()))
    };
    match resolve(identity, &Settings::of_row(&row), &secret) {
        Ok(subscription) => Ok(subscription),
        Err(problems) => bail!("{problems:?}"),
    }
}
