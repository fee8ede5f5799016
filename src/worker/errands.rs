//! Does what the dispatcher asks for. Nothing here is waited for: each answers with an [`Input`].

use tokio::sync::mpsc::UnboundedSender;

use super::air::Air;
use super::disabling::disable;
use super::refilling::refill;
use super::sending::{Delivering, send};
use crate::dispatch::errand::Errand;
use crate::flow::input::Input;
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
            Errand::Send(flight) => send(self, flight),
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
}
