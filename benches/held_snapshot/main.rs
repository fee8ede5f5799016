//! `cargo bench --bench held_snapshot`: what a report or a backup does, which holds an old
//! snapshot for minutes while events come.

#[path = "../support/mod.rs"]
mod support;

use serde_json::json;
use sqlx::PgPool;
use tokio::time::{Duration, Instant, sleep_until};

use support::data::Form;
use support::figures::{Row, Target};
use support::latency::{Latency, Load};
use support::receiver::ReceiverProcess;
use support::stand::Stand;
use support::worker::Worker;
use support::{NoOptions, Size};

const SUBSCRIPTIONS: u32 = 20;

/// Of the tables that a delivery's way touches, and of the two that say who owns what: those
/// are updated by the second, however much is delivered.
const DEAD_ROWS: &str = "
SELECT coalesce(sum(n_dead_tup) FILTER (WHERE relname NOT IN ('shards', 'workers')), 0)::float8,
       coalesce(sum(n_dead_tup) FILTER (WHERE relname IN ('shards', 'workers')), 0)::float8
  FROM pg_stat_user_tables WHERE schemaname = 'posthorn'";

fn main() -> anyhow::Result<()> {
    support::main("held_snapshot", measure)
}

#[expect(
    clippy::too_many_lines,
    reason = "it is one measurement, from the set-up to the table"
)]
async fn measure(_: NoOptions, size: Size) -> anyhow::Result<Vec<Row>> {
    let seconds = size.of(2, 60, 600);
    let receiver = ReceiverProcess::start(&["--keep"]).await?;
    let stand = Stand::as_installed(size.past()).await?;
    let mut settings = Form::Json.settings();
    settings["url"] = json!(format!("{}/hook/{{n}}", receiver.url));
    settings["max_in_flight"] = json!(50);
    stand.subscribe(0, SUBSCRIPTIONS, &settings).await?;
    let worker = Worker::start(&stand)?;
    let load = |seconds| Load {
        rate: size.of(100, 2000, 2000),
        warm_up: size.of(0, 5, 5),
        seconds,
        first_merchant: 0,
        merchants: SUBSCRIPTIONS,
    };
    let mut published = 0;
    let before = load(size.of(1, 30, 60))
        .run(&stand, &worker, &mut published)
        .await?;

    let pool = stand.connect(2).await?;
    let mut holder = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .execute(&mut *holder)
        .await?;
    sqlx::query("SELECT pg_current_xact_id()")
        .execute(&mut *holder)
        .await?;
    let (during, dead) = tokio::try_join!(
        load(seconds).run(&stand, &worker, &mut published),
        dead_rows(&pool, seconds),
    )?;
    holder.rollback().await?;
    pool.close().await;
    worker.process.stop().await?;
    let arrivals = receiver.stop().await?;

    let last = during.len() * 3 / 4;
    let before = Latency::of(&before, &arrivals)?;
    let late = Latency::of(&during[last..].to_vec(), &arrivals)?;
    let during = Latency::of(&during, &arrivals)?;
    let [half, end] = dead;
    let grown = |one: f64, other: f64| (other - one) / (f64::from(seconds) / 2.0);
    Ok(vec![
        Row::new(
            format!("p99 at 2000/s, a snapshot held for {seconds} s"),
            during.p99,
            "ms",
        )
        .beside(before.p99)
        .target(Target::RatioAtMost(1.25)),
        Row::new("p99 in its last quarter", late.p99, "ms").beside(before.p99),
        Row::new("p50", during.p50, "ms").beside(before.p50),
        Row::new(
            "dead rows a second, of a delivery's tables",
            grown(half.0, end.0),
            "/s",
        )
        .target(Target::AtMost(1.0)),
        Row::new(
            "dead rows a second, of shards and workers",
            grown(half.1, end.1),
            "/s",
        ),
    ])
}

/// Half way through and at the end.
async fn dead_rows(pool: &PgPool, seconds: u32) -> anyhow::Result<[(f64, f64); 2]> {
    let began = Instant::now();
    let mut dead = [(0.0, 0.0); 2];
    for (part, rows) in [1, 2].into_iter().zip(&mut dead) {
        sleep_until(began + Duration::from_secs(seconds.into()) * part / 2).await;
        *rows = sqlx::query_as(DEAD_ROWS).fetch_one(pool).await?;
    }
    Ok(dead)
}
