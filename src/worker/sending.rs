//! One attempt, as it is made: shape, send, judge, plan. First tries, retries and replays all come through
//! here.

use crate::dispatch::attempt::{conclude, prepare};
use crate::dispatch::item::Item;
use crate::flow::DbClock;
use crate::flow::input::Tried;
use crate::model::{Subscription, TokenKey};
use crate::send::Sender;
use crate::shape::{Unsendable, endpoint, within_bounds};

/// What an attempt needs of the worker.
#[derive(Clone)]
pub struct Delivering {
    /// Sends requests.
    pub sender: Sender,
    /// The database's time.
    pub clock: DbClock,
    /// What security tokens are made with.
    pub token_key: TokenKey,
    /// The largest data that is sent, bytes: replays of events that were once allowed to be
    /// larger are held to it too.
    pub max_data_bytes: usize,
}

/// Makes one attempt, from the request to what becomes of the delivery. Whatever happens on the
/// wire is an outcome; only a delivery that can never be sent is an error.
pub async fn deliver(
    with: &Delivering,
    item: &Item,
    subscription: &Subscription,
) -> Result<Tried, Unsendable> {
    within_bounds(&item.event, with.max_data_bytes)?;
    let its_own = item
        .endpoint
        .as_ref()
        .map(|endpoint| endpoint::over(endpoint, subscription))
        .transpose()?;
    let subscription = its_own.as_ref().unwrap_or(subscription);
    let started_at = with.clock.now();
    let mut request = prepare(
        item,
        subscription,
        started_at,
        rand::random(),
        &with.token_key,
    )?;
    let outcome = with
        .sender
        .send(
            &mut request,
            subscription,
            item.trial.credential,
            started_at,
        )
        .await;
    Ok(conclude(
        item,
        subscription,
        &request,
        outcome,
        with.clock.now(),
        rand::random(),
    ))
}
