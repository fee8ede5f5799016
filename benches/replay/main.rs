//! `cargo bench --bench replay`: what the replay of a merchant's whole history costs the live
//! traffic, its own included.

#[path = "../support/mod.rs"]
mod support;

use serde_json::json;

use support::data::{NUMBER, template};
use support::figures::{Row, Target};
use support::history;
use support::latency::{Latency, Load};
use support::receiver::ReceiverProcess;
use support::stand::Stand;
use support::worker::Worker;
use support::{NoOptions, Size};

const MERCHANTS: u32 = 50;

/// Live events a second.
const LIVE: u32 = 500;

/// Replayed deliveries a second.
const REPLAYED: u32 = 1000;

fn main() -> anyhow::Result<()> {
    support::main("replay", async |_: NoOptions, size: Size| {
        let figures = measure(size).await?;
        let [before, beside, after] = figures.live;
        Ok(vec![
            Row::new(
                format!("p99 of {LIVE}/s while {} are replayed", figures.replayed),
                beside.p99,
                "ms",
            )
            .beside(f64::midpoint(before.p99, after.p99))
            .target(Target::RatioAtMost(1.1)),
            Row::new("p50 of the same", beside.p50, "ms")
                .beside(f64::midpoint(before.p50, after.p50)),
            Row::new("p99 without, before", before.p99, "ms"),
            Row::new("p99 without, after", after.p99, "ms"),
            Row::new("replayed meanwhile", figures.rate, "/s"),
        ])
    })
}

struct Figures {
    /// Before the replay, beside it, and after it.
    live: [Latency; 3],
    replayed: usize,
    /// Deliveries a second.
    rate: f64,
}

/// One worker and one database with the history in it, so that the replay is all that differs:
/// the live traffic alone, while the history of the first merchant is replayed, and alone again.
async fn measure(size: Size) -> anyhow::Result<Figures> {
    let alone = size.of(1, 60, 250);
    let seconds = size.of(1, 100, 1000);
    let history = REPLAYED * seconds;
    let replayed = history as usize;

    let receiver = ReceiverProcess::start(&["--keep"]).await?;
    // With autovacuum: what is opened and delivered leaves dead rows for as long as it lasts.
    let stand = Stand::as_installed(size.past()).await?;
    let settings = json!({"url": format!("{}/hook/{{n}}", receiver.url), "max_in_flight": 50});
    stand.subscribe(0, MERCHANTS, &settings).await?;
    // A number that is nobody's.
    let data = template().replace(NUMBER, &"9".repeat(NUMBER.len()));
    history::deliver(&stand, history, 1, &data).await?;
    let worker = Worker::start(&stand)?;

    let warm_up = size.of(0, 5, 5);
    let live = |seconds| Load {
        rate: size.of(100, LIVE, LIVE),
        warm_up,
        seconds,
        first_merchant: 0,
        merchants: MERCHANTS,
    };
    let mut published = 0;
    let before = live(alone).run(&stand, &worker, &mut published).await?;
    // The history, without what the merchant has had since.
    let replay = format!(
        "SELECT posthorn.replay('merchant-0', rate => {REPLAYED}, until => w.started_at)
           FROM posthorn.workers w"
    );
    stand.execute(&replay).await?;
    let beside = live(seconds - warm_up)
        .run(&stand, &worker, &mut published)
        .await?;
    let opened = worker.metric("posthorn_deliveries_replayed_total").await?;
    worker.wait_until_recorded(published + replayed).await?;
    let after = live(alone).run(&stand, &worker, &mut published).await?;
    worker.wait_until_recorded(published + replayed).await?;
    drop(worker);
    let arrivals = receiver.stop().await?;
    Ok(Figures {
        live: [
            Latency::of(&before, &arrivals)?,
            Latency::of(&beside, &arrivals)?,
            Latency::of(&after, &arrivals)?,
        ],
        replayed,
        rate: f64::from(u32::try_from(opened)?) / f64::from(seconds),
    })
}
