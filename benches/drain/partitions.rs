//! The drain of JSON in databases that have few and many days behind them.

use super::locks;
use super::measured::AT_ONCE;
use crate::support::Size;
use crate::support::figures::{Row, Target};
use crate::support::past::Past;

/// Of each table beside those of the past: today, the seven days ahead, and the default.
const OTHERS: u16 = 9;

pub async fn measure(events: usize, size: Size) -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![];
    let counts: &[u16] = size.of(&[9, 12], &[9, 39, 99, 399], &[9, 39, 99, 399]);
    for &partitions in counts {
        let past = Past {
            days: partitions - OTHERS,
            rows: size.rows_of_a_day(),
        };
        let name = format!("{partitions} partitions");
        let measured = AT_ONCE.measure(events, past).await?;
        let bare = measured.bare_database().await?;
        rows.extend([
            measured.rate(&name, 0.6),
            measured
                .cpu_of_worker(&name)
                .target(Target::RatioAtMost(1.25)),
            measured.cpu_of_postgres(&name, &bare, if partitions > 39 { 1.7 } else { 1.6 }),
            measured.spilled(&name),
        ]);
        drop(measured);
        let locks = locks::measure(&AT_ONCE, size.of(400, 20_000, 20_000), past).await?;
        rows.push(Row::new(
            format!("{name}: locks outside the fast path, sampled"),
            locks,
            "per 1,000",
        ));
    }
    Ok(rows)
}
