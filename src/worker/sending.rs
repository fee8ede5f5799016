//! One attempt: shape, send, judge, plan. First tries, retries and replays all come through
//! here.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt;
use futures::future::Abortable;

use super::errands::Errands;
use crate::crash::Point;
use crate::dispatch::attempt::{conclude, prepare};
use crate::dispatch::errand::Flight;
use crate::dispatch::item::Item;
use crate::flow::DbClock;
use crate::flow::input::{Failed, Input, Landed, Tried};
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

/// Begins an attempt, and tells the dispatcher what came of it.
pub(super) fn send(by: &Errands, flight: Flight) {
    let Flight {
        item,
        lane_id,
        subscription,
        epoch,
        ends,
    } = flight;
    let delivering = by.delivering.clone();
    let inputs = by.inputs.clone();
    let limit = subscription.max_in_flight;
    let place = by.air.enter(lane_id, limit, &by.metrics);
    let attempt = async move {
        let began = Instant::now();
        Point::BeforeSend.pass();
        // The lane keeps the delivery's place until it lands: it must, come what may.
        let result = AssertUnwindSafe(deliver(&delivering, &item, &subscription))
            .catch_unwind()
            .await
            .map_or(Err(Failed::Panicked), |tried| tried.map_err(Failed::from));
        Point::AfterAnswer.pass();
        // Before the lane gives the slot to another one.
        drop(place);
        // The dispatcher is gone only when the worker ends.
        let _ = inputs.send(Input::Landed(Landed {
            key: item.key,
            lane_id,
            shard: subscription.shard,
            epoch,
            took: began.elapsed(),
            result,
        }));
    };
    tokio::spawn(Abortable::new(attempt, ends));
}
