//! How metrics get their names.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use chrono::{DateTime, Utc};
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Metric, Registry};

use crate::http::histogram::Histogram;

/// A number of things that are there now.
pub(super) type Level = Gauge<u64, AtomicU64>;

/// An age or a moment, in seconds.
pub(super) type Seconds = Gauge<f64, AtomicU64>;

/// The one label of a family, and its value.
pub(super) type Label = [(&'static str, &'static str); 1];

/// Registers metrics under their names. The name of a counter is given without the
/// `_total` that it has on the wire: the encoder adds it.
#[derive(Default)]
pub(super) struct Names(Registry);

impl Names {
    pub(super) fn into_registry(self) -> Registry {
        self.0
    }

    fn is<M: Metric + Clone>(&mut self, name: &str, help: &str, metric: &M) -> M {
        self.0.register(name, help, metric.clone());
        metric.clone()
    }

    pub(super) fn counter(&mut self, name: &str, help: &str) -> Counter {
        self.is(name, help, &Counter::default())
    }

    pub(super) fn level(&mut self, name: &str, help: &str) -> Level {
        self.is(name, help, &Level::default())
    }

    pub(super) fn seconds(&mut self, name: &str, help: &str) -> Seconds {
        self.is(name, help, &Seconds::default())
    }

    pub(super) fn family<M>(&mut self, name: &str, help: &str) -> Family<Label, M>
    where
        M: Metric + TypedMetric + Default,
    {
        self.is(name, help, &Family::default())
    }

    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        bounds: &'static [Duration],
    ) -> Histogram {
        self.is(name, help, &Histogram::new(bounds))
    }
}

/// The bounds of a histogram, given in milliseconds.
pub(super) const fn millis<const N: usize>(values: [u64; N]) -> [Duration; N] {
    let mut bounds = [Duration::ZERO; N];
    let mut at = 0;
    while at < N {
        bounds[at] = Duration::from_millis(values[at]);
        at += 1;
    }
    bounds
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds since 1970 are exact for a long time"
)]
pub(super) fn unix_time(at: DateTime<Utc>) -> f64 {
    at.timestamp() as f64
}
