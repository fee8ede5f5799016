//! Tells of sources whose changes make no events: a trigger was switched off or lost, the table
//! was swapped for another, a role's sessions fire no triggers.

use std::convert::Infallible;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::flow::STATEMENT;
use crate::http::metrics::Metrics;
use crate::store::sources::{list, silencing_settings};
use crate::store::{Pool, StoreError, within};

/// How often sources are looked at: a few look-ups in the catalog for each source and partition.
const LOOK: Duration = Duration::from_secs(15);

/// Looks for sources with problems, until `stop`.
pub async fn watch(pool: Pool, metrics: Metrics, stop: CancellationToken) {
    stop.run_until_cancelled(look_again_and_again(&pool, &metrics))
        .await;
}

/// Looks without end: the worker takes a room that ends before its stop for broken.
async fn look_again_and_again(pool: &Pool, metrics: &Metrics) -> Infallible {
    let mut known = vec![];
    loop {
        match within(STATEMENT, look(pool)).await {
            Ok((broken, problems)) => {
                for problem in problems.iter().filter(|problem| !known.contains(*problem)) {
                    warn!("{problem}");
                }
                if problems.is_empty() && !known.is_empty() {
                    info!("every source has its triggers again");
                }
                known = problems;
                metrics.set_sources_broken(broken);
            }
            // The look at the failures, which is more frequent, says so.
            Err(_) => metrics.database_error(),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Looks once: how many sources have problems, and what these are.
async fn look(pool: &Pool) -> Result<(u64, Vec<String>), StoreError> {
    let sources = list(pool).await?;
    if sources.is_empty() {
        return Ok((0, vec![]));
    }
    let mut broken = 0;
    let mut problems: Vec<String> = silencing_settings(pool)
        .await?
        .into_iter()
        .map(|statement| {
            format!("sessions that fire no triggers make no events of a source; run `{statement}`")
        })
        .collect();
    for listed in sources {
        let of_this = listed.problems();
        broken += u64::from(!of_this.is_empty());
        let name = &listed.source.name;
        problems.extend(
            of_this
                .iter()
                .map(|problem| format!("source {name}: {problem}")),
        );
    }
    Ok((broken, problems))
}
