//! A client certificate for each subscription, beside the same subscriptions without one.

use serde_json::json;

use super::drained::{Drained, drain};
use crate::support::figures::{Row, Target};
use crate::support::receiver::ReceiverProcess;
use crate::support::stand::Stand;
use crate::support::{Size, authority, committed};

/// The first deliveries make the connections; the rate counts after them.
const SETTLED: f64 = 0.5;

pub async fn measure(events: usize, size: Size) -> anyhow::Result<Vec<Row>> {
    let identities = size.of(10, 1000, 1000);
    let without = over_tls(events, identities, size, false).await?;
    let with = over_tls(events, identities, size, true).await?;
    let kb_each = (with.rss_mb - without.rss_mb) * 1000.0 / f64::from(identities);
    Ok(vec![
        Row::new("mTLS, 1,000 certificates: rate", with.per_s, "/s")
            .beside(without.per_s)
            .target(Target::RatioAtLeast(0.7)),
        Row::new(
            "mTLS: CPU of the worker",
            with.worker_cpu_ms,
            "ms per 1,000",
        )
        .beside(without.worker_cpu_ms),
        Row::new("mTLS: worker's memory", with.rss_mb, "MB").beside(without.rss_mb),
        Row::new("mTLS: memory of an identity", kb_each, "kB"),
    ])
}

async fn over_tls(
    events: usize,
    identities: u32,
    size: Size,
    certified: bool,
) -> anyhow::Result<Drained> {
    let stand = Stand::set_up(size.past()).await?;
    let files = stand.directory();
    authority::make(files, identities)?;
    let directory = files.display().to_string();
    let receiver = ReceiverProcess::start(&["--tls", &directory]).await?;
    let mut settings = json!({
        "url": format!("{}/hook/{{n}}", receiver.url),
        "ca_cert": format!("file:{directory}/ca.pem"),
        // A connection or two for each: more would be about handshakes.
        "max_in_flight": 2,
    });
    if certified {
        settings["client_cert"] = json!(format!("file:{directory}/{{n}}.pem"));
        settings["client_key"] = json!(format!("file:{directory}/{{n}}.key"));
    }
    stand.subscribe(0, identities, &settings).await?;
    committed::one_by_one(&stand, events, identities).await?;
    let drained = drain(&stand, receiver.process.pid()?, events, SETTLED).await?;
    receiver.stop().await?;
    Ok(drained)
}
