//! The scheduled audit: one worker of the fleet makes it, and repairs what it finds.

use std::convert::Infallible;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use cron::Schedule;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::DEADLINE;
use super::nightly::nightly;
use crate::audit::{Audited, Span, audit};
use crate::flow::{DbClock, STATEMENT};
use crate::http::metrics::Metrics;
use crate::store::audit::{
    AuditRow, audited_since, first_unaudited, last_audit, record_audit, snapshot_and_cluster,
};
use crate::store::turn::take_turn;
use crate::store::{Pool, StoreError, within};

/// When the audit runs, and of what.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The times at which it runs, in UTC.
    pub schedule: Schedule,
    /// How far back it looks at least; further, where the last one left something.
    pub window: Duration,
}

/// Audits on the schedule until `stop`. A run that fails is repeated each minute until one worked.
pub async fn run(
    pool: Pool,
    clock: DbClock,
    settings: Settings,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let auditing = Auditing {
        pool,
        clock,
        settings,
        metrics,
    };
    stop.run_until_cancelled(Box::pin(auditing.rounds())).await;
}

struct Auditing {
    pool: Pool,
    clock: DbClock,
    settings: Settings,
    metrics: Metrics,
}

impl Auditing {
    async fn rounds(&self) -> Infallible {
        nightly(
            "the audit of the deliveries",
            &self.settings.schedule,
            &self.clock,
            &self.metrics,
            || self.show(),
            |due| self.audit(due),
        )
        .await
    }

    /// Shows what this worker and others found last.
    async fn show(&self) {
        if let Ok(since) = within(STATEMENT, audited_since(&self.pool)).await {
            self.metrics.set_audit_finished(since);
        }
    }

    /// Audits, unless another worker is at it, or has made the audit that is due.
    async fn audit(&self, due: DateTime<Utc>) -> Result<(), StoreError> {
        let Some(turn) = within(STATEMENT, take_turn(&self.pool, "posthorn.audit")).await? else {
            return Ok(());
        };
        let last = within(STATEMENT, last_audit(&self.pool)).await?;
        if last.is_some_and(|(started, _)| started >= due) {
            return Ok(());
        }
        let began = within(STATEMENT, snapshot_and_cluster(&self.pool)).await?;
        let now = self.clock.now();
        let window = TimeDelta::from_std(self.settings.window).unwrap_or(TimeDelta::MAX);
        let window = now.checked_sub_signed(window).unwrap_or_default();
        let unaudited = within(DEADLINE, first_unaudited(&self.pool, window)).await?;
        let span = Span {
            since: window.min(unaudited),
            until: now,
        };
        let Audited { total, settled_to } = audit(&self.pool, span, true, |lines| {
            for line in lines.iter().filter(|line| line.counts.missing > 0) {
                error!(merchant = %line.merchant, day = %line.day, missing = line.counts.missing,
                       repaired = line.counts.repaired,
                       "deliveries had no row; report this, it is never to happen");
            }
        })
        .await?;
        self.metrics.audit_missing(total.missing);
        let row = AuditRow {
            started_at: now,
            since: span.since,
            events: total.events,
            expected: total.expected,
            missing: total.missing,
            repaired: total.repaired,
            settled_to: settled_to.unwrap_or(now),
            began,
        };
        within(STATEMENT, record_audit(&self.pool, &row)).await?;
        info!(
            events = total.events,
            expected = total.expected,
            missing = total.missing,
            "audited the deliveries"
        );
        drop(turn);
        Ok(())
    }
}
