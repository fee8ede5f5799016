//! The scheduled audit: one worker of the fleet makes it, and repairs what it finds.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{error, info};

use super::DEADLINE;
use super::nightly::{Nightly, Runs};
use crate::audit::{Audited, Span, audit};
use crate::flow::STATEMENT;
use crate::store::audit::{
    AuditRow, audited_since, first_unaudited, last_audit, record_audit, snapshot_and_cluster,
};
use crate::store::turn::take_turn;
use crate::store::{StoreError, within};

/// The audit of the deliveries, and of which.
#[derive(Clone, Copy, Debug)]
pub struct Audit {
    /// How far back it looks at least; further, where the last one left something.
    pub window: Duration,
}

impl Runs for Nightly<Audit> {
    type Failed = StoreError;

    const NAME: &str = "the audit of the deliveries";

    async fn show(&self) {
        if let Ok(since) = within(STATEMENT, audited_since(&self.pool)).await {
            self.metrics.set_audit_finished(since);
        }
    }

    async fn run(&self, due: DateTime<Utc>) -> Result<(), StoreError> {
        let Some(turn) = within(STATEMENT, take_turn(&self.pool, "posthorn.audit")).await? else {
            return Ok(());
        };
        let last = within(STATEMENT, last_audit(&self.pool)).await?;
        if last.is_some_and(|(started, _)| started >= due) {
            return Ok(());
        }
        let began = within(STATEMENT, snapshot_and_cluster(&self.pool)).await?;
        let now = self.clock.now();
        let window = TimeDelta::from_std(self.task.window).unwrap_or(TimeDelta::MAX);
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
