//! `cargo bench --bench audit`: what memory and time an audit of many events takes, beside one
//! of a tenth of them.

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use support::figures::{Row, Target};
use support::history;
use support::process::Process;
use support::stand::Stand;
use support::usage::peak_rss_mb;
use support::{NoOptions, Size};

const MERCHANTS: u32 = 1000;

fn main() -> anyhow::Result<()> {
    support::main("audit", async |_: NoOptions, size: Size| {
        let events = size.of(1000, 1_000_000, 10_000_000);
        let few = audit(events / 10, size).await?;
        let many = audit(events, size).await?;
        let millions = f64::from(events) / 1e6;
        Ok(vec![
            Row::new(
                format!("peak memory of an audit of {millions} M events"),
                many.peak_mb,
                "MB",
            )
            .beside(few.peak_mb)
            .target(Target::RatioAtMost(1.1)),
            Row::new("events audited", f64::from(events) / many.seconds, "/s")
                .beside(f64::from(events / 10) / few.seconds),
        ])
    })
}

struct Audit {
    peak_mb: f64,
    seconds: f64,
}

async fn audit(events: u32, size: Size) -> anyhow::Result<Audit> {
    let stand = Stand::set_up(size.past()).await?;
    let settings = json!({"url": "https://shop.example/hook"});
    stand.subscribe(0, MERCHANTS, &settings).await?;
    history::deliver(&stand, events, MERCHANTS, "{}").await?;
    let mut command = Process::posthorn();
    command.args(["audit", "--since", "1 day", "--database-url", &stand.url()]);
    let began = Instant::now();
    let mut process = Process::start(&mut command)?;
    let pid = process.pid()?;
    let mut peak_mb: f64 = 0.0;
    loop {
        tokio::select! {
            line = process.next_line() => if line?.is_none() { break },
            // At its very end there is nothing to read any more.
            () = sleep(Duration::from_millis(20)) => peak_mb = peak_mb.max(peak_rss_mb(pid).unwrap_or(0.0)),
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    // Fails where something is missing.
    process.ended().await?;
    Ok(Audit { peak_mb, seconds })
}
