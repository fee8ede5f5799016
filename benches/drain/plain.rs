//! Drains of several kinds, in a database as the default retention leaves it.

use super::measured::{AT_ONCE, Setting};
use crate::support::Size;
use crate::support::data::Form;
use crate::support::figures::{Row, Target};

pub async fn json(events: usize, size: Size) -> anyhow::Result<Vec<Row>> {
    let measured = AT_ONCE.measure(events, size.past()).await?;
    let bare = measured.bare_database().await?;
    let drained = measured.drained;
    Ok(vec![
        measured.rate("json", 0.6),
        measured
            .cpu_of_worker("json")
            .target(Target::RatioAtMost(1.25)),
        measured.cpu_of_postgres("json", &bare, 1.6),
        measured.cpu_of_receiver("json"),
        Row::new(
            "json: connections of the bare client at its best",
            measured.floor.connections.into(),
            "",
        ),
        Row::new("json: WAL", drained.wal_bytes, "bytes each")
            .beside(bare.wal_bytes)
            .target(Target::AtMost(700.0)),
        Row::new("json: commits", drained.commits, "each").target(Target::AtMost(0.02)),
        Row::new("json: results in a batch", measured.batch as f64, ""),
        measured.spilled("json"),
        Row::new("json: worker's memory, peak", drained.peak_rss_mb, "MB"),
    ])
}

pub async fn xml(events: usize, size: Size) -> anyhow::Result<Vec<Row>> {
    let setting = Setting {
        form: Form::Xml,
        ..AT_ONCE
    };
    let measured = setting.measure(events, size.past()).await?;
    Ok(vec![
        measured.rate("xml, signed", 0.28),
        measured.cpu_of_worker("xml, signed"),
    ])
}

/// One endpoint, which holds each request for 50 ms. The bare client has as many in the air.
pub async fn slow(events: usize, size: Size) -> anyhow::Result<Vec<Row>> {
    let setting = Setting {
        subscriptions: 1,
        max_in_flight: 500,
        delay: 50,
        connections: &[500],
        ..AT_ONCE
    };
    let measured = setting.measure(events, size.past()).await?;
    Ok(vec![measured.rate("50 ms, 500 in flight", 0.8)])
}
