//! Does what the dispatcher asks for. Nothing here is waited for: each answers with an [`Input`].

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt;
use futures::future::Abortable;
use tokio::sync::mpsc::UnboundedSender;

use super::air::Air;
use super::disabling::disable;
use super::refilling::refill;
use super::sending::{Delivering, deliver};
use crate::crash::Point;
use crate::dispatch::errand::{Errand, Flight};
use crate::flow::input::{Failed, Input, Landed};
use crate::http::metrics::Metrics;
use crate::store::Pool;

/// A worker's own way of doing the dispatcher's errands.
#[derive(Clone)]
pub(super) struct Errands {
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

    /// Begins an attempt, and tells the dispatcher what came of it.
    fn send(&self, flight: Flight) {
        let Flight {
            item,
            lane_id,
            subscription,
            epoch,
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
                shard: subscription.shard,
                epoch,
                took: began.elapsed(),
                result,
            }));
        };
        tokio::spawn(Abortable::new(attempt, ends));
    }
}
