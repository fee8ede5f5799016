//! What the dispatcher has others do; each answers with an [`Input`].
//!
//! The dispatcher itself does no I/O: a worker sends and asks the database, a simulation
//! plays both.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use futures::future::{AbortHandle, AbortRegistration, Abortable};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::air::Air;
use super::deliver::{Delivering, deliver};
use super::ended::disable;
use super::item::Item;
use super::refill::refill;
use crate::crash::Point;
use crate::flow::input::{Failed, Input, Landed};
use crate::flow::refill::RefillOrder;
use crate::http::metrics::Metrics;
use crate::model::{DeliveryKey, Subscription};
use crate::store::Pool;

#[derive(Debug)]
pub enum Errand {
    /// Make an attempt; answered by [`Input::Landed`], unless it is cut off.
    Send(Flight),
    /// Bring rows back; answered by [`Input::Refilled`], whatever the database does.
    Refill(RefillOrder),
    /// Disable a subscription; of a transaction's own the answer is [`Input::Ended`].
    Disable(Gone),
}

/// An attempt to be made.
#[derive(Debug)]
pub struct Flight {
    pub item: Item,
    pub lane_id: Uuid,
    pub subscription: Arc<Subscription>,
    /// Its other end cuts the attempt off.
    pub ends: AbortRegistration,
}

/// A subscription whose endpoint said that it is gone.
#[derive(Debug)]
pub struct Gone {
    pub merchant: Box<str>,
    pub subscription_id: Uuid,
    pub lane_id: Uuid,
    /// It is a single transaction's.
    pub of_transaction: bool,
}

/// What the attempts in the air can be cut off by.
pub(super) type Flights = HashMap<DeliveryKey, AbortHandle>;

/// A worker's own way of doing errands.
#[derive(Clone)]
pub struct Errands {
    pub delivering: Delivering,
    pub pool: Pool,
    /// To the dispatcher.
    pub inputs: UnboundedSender<Input>,
    pub metrics: Metrics,
    pub air: Air,
}

impl Errands {
    /// Begins an errand, and waits for nothing.
    pub fn run(&self, errand: Errand) {
        match errand {
            Errand::Send(flight) => self.send(flight),
            Errand::Refill(order) => {
                let (pool, inputs) = (self.pool.clone(), self.inputs.clone());
                tokio::spawn(refill(pool, order, inputs, self.metrics.clone()));
            }
            Errand::Disable(gone) => {
                let (pool, inputs) = (self.pool.clone(), self.inputs.clone());
                tokio::spawn(disable(pool, gone, inputs, self.metrics.clone()));
            }
        }
    }

    fn send(&self, flight: Flight) {
        let Flight {
            item,
            lane_id,
            subscription,
            ends,
        } = flight;
        let delivering = self.delivering.clone();
        let inputs = self.inputs.clone();
        let limit = subscription.max_in_flight;
        let place = self.air.enter(lane_id, limit, &self.metrics);
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
                took: began.elapsed(),
                result,
            }));
        };
        tokio::spawn(Abortable::new(attempt, ends));
    }
}
