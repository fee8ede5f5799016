//! `cargo bench --bench publish`: what an event costs the application that inserts it, beside
//! a plain INSERT into an equal table.

#![allow(
    clippy::cast_precision_loss,
    reason = "counts of a run are far below 2^52"
)]

#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::{AssertSqlSafe, PgPool};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

use support::data::{data, template};
use support::figures::{Row, Target};
use support::stand::Stand;
use support::{NoOptions, Size};

const WRITERS: u32 = 64;

/// Turns in which the ways follow one another, since the machine may not be idle.
const TURNS: u32 = 3;

/// The same columns, indexes and rules, as an application would have them in a table of its
/// own; and one of plain columns with a key.
const TABLES: &str = "
CREATE TABLE public.equal (LIKE posthorn.events INCLUDING ALL);
CREATE TABLE public.bare (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), merchant text, kind text,
                          transaction_id text, status text, data json)";

const COLUMNS: &str = "(merchant, kind, transaction_id, status, data)
    VALUES ($1, 'payment.approved', $2, 'approved', $3::text::json)";

fn main() -> anyhow::Result<()> {
    support::main("publish", async |_: NoOptions, size: Size| {
        let stand = Stand::set_up(size.past()).await?;
        stand.execute(TABLES).await?;
        let pool = stand.connect(WRITERS).await?;
        let seconds = size.of(1_u32, 8, 20);
        let ways = [
            format!("INSERT INTO public.equal {COLUMNS}"),
            format!("INSERT INTO posthorn.events {COLUMNS}"),
            "SELECT posthorn.publish($1, 'payment.approved', $2, 'approved', $3::text::json)"
                .to_owned(),
            format!("INSERT INTO public.bare {COLUMNS}"),
        ];
        let mut per_s = [0.0; 4];
        let mut cpu_ms = [0.0; 4];
        for _ in 0..TURNS {
            for (nth, way) in ways.iter().enumerate() {
                stand.checkpoint().await?;
                let before = stand.used().await?;
                let rate = write(&pool, way, Duration::from_secs(seconds.into())).await?;
                let used = stand.used().await?.cpu_ms - before.cpu_ms;
                per_s[nth] += rate / f64::from(TURNS);
                cpu_ms[nth] += used as f64 / f64::from(seconds) / rate * 1000.0 / f64::from(TURNS);
            }
        }
        pool.close().await;
        let [equal, inserted, called, bare] = per_s;
        Ok(vec![
            Row::new("64 writers: INSERT INTO posthorn.events", inserted, "/s")
                .beside(equal)
                .target(Target::RatioAtLeast(0.95)),
            Row::new("64 writers: posthorn.publish()", called, "/s").beside(equal),
            Row::new(
                "64 writers: INSERT, beside a table with a key alone",
                inserted,
                "/s",
            )
            .beside(bare),
            Row::new("CPU of PostgreSQL: INSERT", cpu_ms[1], "ms per 1,000").beside(cpu_ms[0]),
            Row::new(
                "CPU of PostgreSQL: posthorn.publish()",
                cpu_ms[2],
                "ms per 1,000",
            )
            .beside(cpu_ms[0]),
        ])
    })
}

/// Commits a second of all writers together, each row a transaction.
async fn write(pool: &PgPool, way: &str, how_long: Duration) -> anyhow::Result<f64> {
    let template: Arc<str> = template().into();
    let number = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut writers = JoinSet::new();
    for _ in 0..WRITERS {
        let mut session = pool.acquire().await?;
        let (way, template, number) = (way.to_owned(), Arc::clone(&template), Arc::clone(&number));
        writers.spawn(async move {
            while began.elapsed() < how_long {
                let n = number.fetch_add(1, Ordering::Relaxed);
                sqlx::query(AssertSqlSafe(way.clone()))
                    .bind(format!("merchant-{}", n % 20))
                    .bind(format!("transaction-{n}"))
                    .bind(data(&template, n))
                    .execute(&mut *session)
                    .await?;
            }
            Ok::<_, sqlx::Error>(())
        });
    }
    while let Some(writer) = writers.join_next().await {
        writer??;
    }
    Ok(number.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}
