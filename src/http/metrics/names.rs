//! The names of metrics, and their kinds.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry};

use crate::http::histogram::Histogram;

/// A number that goes up and down.
pub(super) type Level = Gauge<u64, AtomicU64>;

/// The one label that a metric has, and its value.
pub(super) type Label = [(&'static str, &'static str); 1];

/// Registers metrics under their names. The name of a counter is given without the
/// `_total` that it has on the wire: the encoder adds it.
#[derive(Default)]
pub(super) struct Names(Registry);

impl Names {
    /// The metrics that were registered.
    pub(super) fn into_registry(self) -> Registry {
        self.0
    }

    /// Registers a metric that is there already.
    pub(super) fn is<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: &M) -> M {
        self.0.register(name, help, metric.clone());
        metric.clone()
    }

    /// Registers a number that only grows.
    pub(super) fn counter(&mut self, name: &str, help: &str) -> Counter {
        self.is(name, help, &Counter::default())
    }

    /// Registers a number that goes up and down.
    pub(super) fn level(&mut self, name: &str, help: &str) -> Level {
        self.is(name, help, &Level::default())
    }

    /// Registers a metric for each value of a label.
    pub(super) fn family<M>(&mut self, name: &str, help: &str) -> Family<Label, M>
    where
        M: Metric + TypedMetric + Default,
    {
        self.is(name, help, &Family::default())
    }

    /// Registers durations that are counted up to each of the bounds.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        bounds: &'static [Duration],
    ) -> Histogram {
        self.is(name, help, &Histogram::new(bounds))
    }
}

/// Bounds that are given in milliseconds.
pub(super) const fn millis<const N: usize>(values: [u64; N]) -> [Duration; N] {
    let mut bounds = [Duration::ZERO; N];
    let mut at = 0;
    while at < N {
        bounds[at] = Duration::from_millis(values[at]);
        at += 1;
    }
    bounds
}
