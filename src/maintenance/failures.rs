//! Tells of changes of the sources that became no event (`--on-failure record`).

use std::convert::Infallible;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::flow::STATEMENT;
use crate::http::metrics::Metrics;
use crate::store::sources::count_failures;
use crate::store::{Pool, within};

/// How often the table is looked at. It is empty as a rule, so looking costs next to nothing.
const LOOK: Duration = Duration::from_secs(5);

/// Counts what sources could not publish, until `stop`.
pub async fn watch(pool: Pool, metrics: Metrics, stop: CancellationToken) {
    stop.run_until_cancelled(look_again_and_again(&pool, &metrics))
        .await;
}

/// Looks without end: the worker takes a room that ends before its stop for broken.
async fn look_again_and_again(pool: &Pool, metrics: &Metrics) -> Infallible {
    let mut known = 0;
    let mut said = false;
    loop {
        match within(STATEMENT, count_failures(pool)).await {
            Ok(failures) => {
                if failures > known {
                    warn!(
                        failures,
                        "changes of source tables became no event; see posthorn.source_failures"
                    );
                }
                known = failures;
                said = false;
                metrics.set_source_failures(failures);
            }
            Err(error) => {
                metrics.database_error();
                if !said {
                    warn!(%error, "cannot count the failures of sources");
                }
                said = true;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
