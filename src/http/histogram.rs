//! A histogram of durations made of atomics. The one of prometheus-client takes a lock
//! for each observation, and all lanes would meet at it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// How often durations were observed, by how long they were. A clone counts into the same.
#[derive(Clone, Debug)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The inclusive upper bounds, ascending.
    bounds: &'static [Duration],
    /// The counts of what lies up to each bound, and one more for all that is longer.
    counts: Box<[AtomicU64]>,
    /// The sum of all durations in microseconds: the ages of a backlog's events add up to more
    /// centuries than nanoseconds could hold.
    sum: AtomicU64,
}

impl Histogram {
    /// Counts nothing yet. `bounds` ascend.
    #[must_use]
    pub fn new(bounds: &'static [Duration]) -> Self {
        Self(Arc::new(Inner {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }))
    }

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let at = self.0.bounds.partition_point(|bound| *bound < duration);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0.counts[at].fetch_add(1, Ordering::Relaxed);
        self.0.sum.fetch_add(micros, Ordering::Relaxed);
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        let bounds = self.0.bounds.iter().map(Duration::as_secs_f64);
        let counts = self.0.counts.iter().map(|n| n.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.chain([f64::INFINITY]).zip(counts).collect();
        // Counted from the buckets, so that it agrees with them while others observe.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_micros(self.0.sum.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
