//! A drain to endpoints over HTTP, beside the bare client before and after the worker, since
//! the machine may not be idle.

use anyhow::Context;
use serde_json::json;

use super::drained::{Drained, drain};
use crate::support::client::{self, Floor};
use crate::support::data::Form;
use crate::support::figures::{Row, Target};
use crate::support::past::Past;
use crate::support::receiver::ReceiverProcess;
use crate::support::stand::Stand;
use crate::support::{committed, table};

/// What subscriptions get, and how their endpoints are.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub form: Form,
    /// Subscriptions, each of a merchant of its own.
    pub subscriptions: u32,
    pub max_in_flight: u16,
    /// How long each answer takes, in milliseconds.
    pub delay: u16,
    /// Of the bare client; the number with which it is fastest counts.
    pub connections: &'static [u32],
}

/// 20 endpoints that answer at once.
pub const AT_ONCE: Setting = Setting {
    form: Form::Json,
    subscriptions: 20,
    max_in_flight: 50,
    delay: 0,
    connections: &[64, 256, 1000],
};

pub struct Measured {
    pub drained: Drained,
    /// The bare client at its best.
    pub floor: Floor,
    /// Results that the worker wrote in a batch.
    pub batch: usize,
    events: usize,
    stand: Stand,
}

/// What the bare database used for one delivery, and its CPU for 1,000.
pub struct BareDatabase {
    pub cpu_ms: f64,
    pub wal_bytes: f64,
}

impl Setting {
    pub async fn receiver(&self) -> anyhow::Result<ReceiverProcess> {
        ReceiverProcess::start(&["--delay", &self.delay.to_string()]).await
    }

    /// Subscriptions to a receiver, and committed events for them.
    pub async fn publish(&self, stand: &Stand, url: &str, events: usize) -> anyhow::Result<()> {
        let mut settings = self.form.settings();
        settings["url"] = json!(format!("{url}{{n}}"));
        settings["max_in_flight"] = json!(self.max_in_flight);
        stand.subscribe(0, self.subscriptions, &settings).await?;
        committed::one_by_one(stand, events, self.subscriptions).await
    }

    pub async fn measure(&self, events: usize, past: Past) -> anyhow::Result<Measured> {
        let receiver = self.receiver().await?;
        let pid = receiver.process.pid()?;
        let url = format!("{}/hook/", receiver.url);
        let stand = Stand::set_up(past).await?;
        self.publish(&stand, &url, events).await?;
        let before = self.bare_clients(&url, events, pid).await?;
        let drained = drain(&stand, pid, events, 0.0).await?;
        let after = self.bare_clients(&url, events, pid).await?;
        receiver.stop().await?;
        let floors = before.into_iter().zip(after).map(|(one, two)| one.and(two));
        let best = floors.max_by(|one, other| one.per_s().total_cmp(&other.per_s()));
        Ok(Measured {
            drained,
            floor: best.context("no bare client")?,
            batch: events / drained.batches.max(1),
            events,
            stand,
        })
    }

    /// The bare client with each number of connections.
    async fn bare_clients(
        &self,
        url: &str,
        requests: usize,
        receiver: u32,
    ) -> anyhow::Result<Vec<Floor>> {
        let mut floors = vec![];
        for &connections in self.connections {
            let client = client::Args {
                url: url.to_owned(),
                requests,
                endpoints: self.subscriptions,
                connections,
                form: self.form,
            };
            floors.push(client.measure(receiver).await?);
        }
        Ok(floors)
    }
}

impl Measured {
    pub fn rate(&self, name: &str, at_least: f64) -> Row {
        Row::new(format!("{name}: rate"), self.drained.per_s, "/s")
            .beside(self.floor.per_s())
            .target(Target::RatioAtLeast(at_least))
    }

    pub fn cpu_of_worker(&self, name: &str) -> Row {
        let name = format!("{name}: CPU of the worker");
        Row::new(name, self.drained.worker_cpu_ms, "ms per 1,000")
            .beside(self.floor.cpu_ms_per_1000())
    }

    /// Beside the bare client's requests, of the same receiver.
    pub fn cpu_of_receiver(&self, name: &str) -> Row {
        let name = format!("{name}: CPU of the receiver");
        Row::new(name, self.drained.receiver_cpu_ms, "ms per 1,000")
            .beside(self.floor.receiver_cpu_ms_per_1000())
            .target(Target::AtMost(15.0))
    }

    pub fn cpu_of_postgres(&self, name: &str, bare: &BareDatabase, at_most: f64) -> Row {
        let name = format!("{name}: CPU of PostgreSQL");
        Row::new(name, self.drained.postgres_cpu_ms, "ms per 1,000")
            .beside(bare.cpu_ms)
            .target(Target::RatioAtMost(at_most))
    }

    /// What waited for so long that it was moved to the database; PostgreSQL pays for it.
    pub fn spilled(&self, name: &str) -> Row {
        Row::new(format!("{name}: spilled"), self.drained.spilled, "of 1,000")
    }

    /// Appends the worker's rows once more, in batches of its size.
    pub async fn bare_database(&self) -> anyhow::Result<BareDatabase> {
        let (began, events) = (self.drained.began, self.events);
        let used = table::append_again(&self.stand, began, events, self.batch).await?;
        Ok(BareDatabase {
            cpu_ms: used.cpu_ms as f64 * 1000.0 / events as f64,
            wal_bytes: used.wal_bytes as f64 / events as f64,
        })
    }
}
