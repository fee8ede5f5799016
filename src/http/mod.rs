//! What a worker answers over HTTP: metrics for Prometheus, health for orchestrators.

pub mod accept;
mod exposition;
pub mod health;
pub mod histogram;
pub mod metrics;
pub mod seats;
pub mod server;

pub use health::Health;
pub use metrics::Metrics;
