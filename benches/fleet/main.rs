//! `cargo bench --bench fleet`: what several workers deliver together on the same machine,
//! and what one costs the database that has nothing to do.

#![allow(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^52"
)]

#[path = "../support/mod.rs"]
mod support;

use serde_json::json;
use tokio::time::{Duration, Instant, sleep};

use support::data::Form;
use support::figures::{Row, Target};
use support::receiver::ReceiverProcess;
use support::stand::Stand;
use support::worker::{Worker, wait_until_recorded};
use support::{NoOptions, Size, committed};

const SUBSCRIPTIONS: u32 = 40;
const SHARDS: usize = 64;

struct Measured {
    per_s: f64,
    idle_statements_per_s: f64,
}

fn main() -> anyhow::Result<()> {
    support::main("fleet", async |_: NoOptions, size: Size| {
        let one = measure(1, size).await?;
        let mut rows = vec![
            Row::new("1 worker: rate", one.per_s, "/s"),
            Row::new(
                "1 worker, idle: statements",
                one.idle_statements_per_s,
                "/s each",
            )
            .target(Target::AtMost(250.0)),
        ];
        for workers in [2, 4] {
            let Measured {
                per_s,
                idle_statements_per_s,
            } = measure(workers, size).await?;
            let name = |what: &str| format!("{workers} workers{what}");
            rows.push(
                Row::new(name(" together: rate"), per_s, "/s")
                    .beside(one.per_s)
                    .target(Target::RatioAtLeast(0.9)),
            );
            rows.push(
                Row::new(name(", idle: statements"), idle_statements_per_s, "/s each")
                    .target(Target::AtMost(250.0)),
            );
        }
        Ok(rows)
    })
}

async fn measure(count: usize, size: Size) -> anyhow::Result<Measured> {
    let receiver = ReceiverProcess::start(&[]).await?;
    let stand = Stand::set_up(size.past()).await?;
    let mut settings = Form::Json.settings();
    settings["url"] = json!(format!("{}/hook/{{n}}", receiver.url));
    settings["max_in_flight"] = json!(50);
    stand.subscribe(0, SUBSCRIPTIONS, &settings).await?;
    let workers = (0..count)
        .map(|_| Worker::start(&stand))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for worker in &workers {
        let share = SHARDS / count;
        worker
            .wait_for("posthorn_shards_held", |held| held == share)
            .await?;
    }
    // The first connections, and the last reader's page.
    let warm_up = size.of(40, 4000, 4000);
    committed::at_once(&stand, 0, warm_up, SUBSCRIPTIONS).await?;
    let all: Vec<&Worker> = workers.iter().collect();
    wait_until_recorded(&all, warm_up).await?;

    let events = size.of(400, 60_000, 100_000);
    let began = stand.now().await?;
    committed::at_once(&stand, warm_up, events, SUBSCRIPTIONS).await?;
    wait_until_recorded(&all, warm_up + events).await?;
    let (rows, seconds) = stand.drained(began, 0.0).await?;

    sleep(Duration::from_secs(2)).await;
    let idle = Instant::now();
    let before = stand.transactions().await?;
    sleep(Duration::from_secs(size.of(2, 15, 30))).await;
    let statements = stand.transactions().await? - before;
    let per_s = statements as f64 / idle.elapsed().as_secs_f64();
    for worker in workers {
        worker.process.stop().await?;
    }
    receiver.stop().await?;
    Ok(Measured {
        per_s: rows as f64 / seconds,
        idle_statements_per_s: per_s / count as f64,
    })
}
