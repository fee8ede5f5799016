//! Drains to endpoints over HTTP, beside the bare client before and after the worker, since
//! the machine may not be idle.

use serde_json::json;

use super::drained::{Drained, drain};
use crate::support::client::{self, Floor};
use crate::support::data::Form;
use crate::support::figures::{Row, Target};
use crate::support::receiver::ReceiverProcess;
use crate::support::stand::Stand;
use crate::support::{committed, table};

/// How the endpoints are and what they get.
struct Setting {
    form: Form,
    /// Subscriptions, each of a merchant of its own.
    subscriptions: u32,
    max_in_flight: u16,
    /// How the receiver answers, and where.
    rule: &'static str,
    path: &'static str,
}

/// 20 endpoints that answer at once.
const AT_ONCE: Setting = Setting {
    form: Form::Json,
    subscriptions: 20,
    max_in_flight: 50,
    rule: "/hook=200",
    path: "/hook/",
};

struct Measured {
    drained: Drained,
    floor: Floor,
    stand: Stand,
}

pub async fn json(events: usize) -> anyhow::Result<Vec<Row>> {
    let Measured {
        drained,
        floor,
        stand,
    } = measure(&AT_ONCE, events).await?;
    let batch = events / drained.batches.max(1);
    let bare = table::append_again(&stand, events, batch).await?;
    let bare_cpu_ms = bare.cpu_ms as f64 * 1000.0 / events as f64;
    let bare_wal = bare.wal_bytes as f64 / events as f64;
    Ok(vec![
        Row::new("json: rate", drained.per_s, "/s")
            .beside(floor.per_s())
            .target(Target::RatioAtLeast(0.35)),
        Row::new(
            "json: CPU of the worker",
            drained.worker_cpu_ms,
            "ms per 1,000",
        )
        .beside(floor.cpu_ms_per_1000())
        .target(Target::RatioAtMost(2.0)),
        Row::new(
            "json: CPU of PostgreSQL",
            drained.postgres_cpu_ms,
            "ms per 1,000",
        )
        .beside(bare_cpu_ms)
        .target(Target::AtMost(15.0)),
        Row::new(
            "json: CPU of the receiver",
            drained.receiver_cpu_ms,
            "ms per 1,000",
        ),
        Row::new("json: WAL", drained.wal_bytes, "bytes each")
            .beside(bare_wal)
            .target(Target::AtMost(700.0)),
        Row::new("json: commits", drained.commits, "each").target(Target::AtMost(0.02)),
        Row::new("json: results in a batch", batch as f64, ""),
        Row::new("json: spilled", drained.spilled, "of 1,000"),
        Row::new("json: worker's memory, peak", drained.peak_rss_mb, "MB"),
    ])
}

pub async fn xml(events: usize) -> anyhow::Result<Vec<Row>> {
    let setting = Setting {
        form: Form::Xml,
        ..AT_ONCE
    };
    let Measured { drained, floor, .. } = measure(&setting, events).await?;
    Ok(vec![
        Row::new("xml, signed: rate", drained.per_s, "/s")
            .beside(floor.per_s())
            .target(Target::RatioAtLeast(0.28)),
        Row::new(
            "xml, signed: CPU of the worker",
            drained.worker_cpu_ms,
            "ms per 1,000",
        )
        .beside(floor.cpu_ms_per_1000()),
    ])
}

/// One endpoint, which holds each request for 50 ms.
pub async fn slow(events: usize) -> anyhow::Result<Vec<Row>> {
    let setting = Setting {
        subscriptions: 1,
        max_in_flight: 500,
        rule: "/slow=200,delay=50ms",
        path: "/slow/",
        ..AT_ONCE
    };
    let Measured { drained, floor, .. } = measure(&setting, events).await?;
    Ok(vec![
        Row::new("50 ms, 500 in flight: rate", drained.per_s, "/s")
            .beside(floor.per_s())
            .target(Target::RatioAtLeast(0.8)),
    ])
}

async fn measure(setting: &Setting, events: usize) -> anyhow::Result<Measured> {
    let receiver = ReceiverProcess::start(&["--on", setting.rule]).await?;
    let url = format!("{}{}", receiver.url, setting.path);
    let stand = Stand::set_up().await?;
    let mut settings = setting.form.settings();
    settings["url"] = json!(format!("{url}{{n}}"));
    settings["max_in_flight"] = json!(setting.max_in_flight);
    stand.subscribe(0, setting.subscriptions, &settings).await?;
    committed::one_by_one(&stand, events, setting.subscriptions).await?;
    let client = client::Args {
        url,
        requests: events,
        endpoints: setting.subscriptions,
        max_in_flight: setting.max_in_flight,
        form: setting.form,
    };
    let before = client.measure().await?;
    let drained = drain(&stand, receiver.process.pid()?, events, 0.0).await?;
    let floor = before.and(client.measure().await?);
    receiver.stop().await?;
    Ok(Measured {
        drained,
        floor,
        stand,
    })
}
