//! Every metric of Posthorn, by name. `docs/METRICS.md` explains them to operators.
//!
//! A file of this room holds a family of them: what they are called, and what counts them. A
//! scrape shows them in the order in which [`Metrics::new`] makes the families.

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

mod batches;
mod deliveries;
mod gateway;
mod lanes;
mod names;
mod repairs;
mod shards;
mod sources;
mod subscriptions;

use batches::Batches;
use deliveries::{Deliveries, Outcomes};
use lanes::Lanes;
use names::Names;
use repairs::Repairs;
use shards::Shards;
use sources::Sources;
use subscriptions::Subscriptions;

pub use gateway::{Channel, Count, GatewayMetrics, Sent};

/// What the loops count, and `/metrics` shows. Each call is one or two atomic
/// operations: the label values are few, fixed and resolved once.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    outcomes: Outcomes,
    subscriptions: Subscriptions,
    deliveries: Deliveries,
    lanes: Lanes,
    batches: Batches,
    shards: Shards,
    gateway: GatewayMetrics,
    sources: Sources,
    repairs: Repairs,
}

impl Metrics {
    /// All metrics of a process, at 0.
    #[must_use]
    pub fn new() -> Self {
        let mut names = Names::default();
        // The fields are evaluated as they are written: a scrape has this order.
        Self(Arc::new(Inner {
            outcomes: Outcomes::new(&mut names),
            subscriptions: Subscriptions::new(&mut names),
            deliveries: Deliveries::new(&mut names),
            lanes: Lanes::new(&mut names),
            batches: Batches::new(&mut names),
            shards: Shards::new(&mut names),
            gateway: GatewayMetrics::new(&mut names),
            sources: Sources::new(&mut names),
            repairs: Repairs::new(&mut names),
            registry: names.into_registry(),
        }))
    }

    /// All metrics as they are now, in the `OpenMetrics` text format, version 1.0.0.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail, and no metric here refuses to be encoded.
        let _ = encode(&mut text, &self.0.registry);
        text
    }

    /// What the gateway counts.
    #[must_use]
    pub fn gateway(&self) -> &GatewayMetrics {
        &self.0.gateway
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
