//! The scheduled audit, which repairs what it finds: the workers of the fleet make it together, a
//! page of events after the other, and whoever has the turn makes the next one.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{error, info};

use super::nightly::{Nightly, Runs};
use super::{ANOTHERS, DEADLINE};
use crate::audit::tally::{Line, Tally};
use crate::audit::{Auditor, PATIENCE, Page, sum};
use crate::flow::STATEMENT;
use crate::model::event::first_id_at;
use crate::store::audit::reopen;
use crate::store::audits::{
    self, audited_since, find_audit, finish_audit, first_unaudited, last_audit, save_audit,
    snapshot_and_cluster,
};
use crate::store::turn::take_turn;
use crate::store::{StoreError, Transaction, within};

/// The audit of the deliveries, and of which.
#[derive(Clone, Copy, Debug)]
pub struct Audit {
    /// How far back it looks at least; further, where the last one left something.
    pub window: Duration,
}

/// What became of a step.
enum Step {
    /// It was made.
    Made,
    /// Another worker is at one.
    Anothers,
    /// There is nothing left to do.
    Done,
}

/// What this worker has read for the audit that began at that time.
type Prepared<'a> = Option<(DateTime<Utc>, Auditor<'a>)>;

impl Runs for Nightly<Audit> {
    type Failed = StoreError;

    const NAME: &str = "the audit of the deliveries";

    async fn show(&self) {
        if let Ok(since) = within(STATEMENT, audited_since(&self.pool)).await {
            self.metrics.set_audit_finished(since);
        }
    }

    async fn run(&self, due: DateTime<Utc>) -> Result<(), StoreError> {
        let mut prepared = None;
        loop {
            match self.step(due, &mut prepared).await? {
                Step::Made => {}
                Step::Anothers => tokio::time::sleep(ANOTHERS).await,
                Step::Done => return Ok(()),
            }
        }
    }
}

impl Nightly<Audit> {
    /// Begins the audit that is due, or looks at the next events of the one that has begun.
    async fn step<'a>(
        &'a self,
        due: DateTime<Utc>,
        prepared: &mut Prepared<'a>,
    ) -> Result<Step, StoreError> {
        let Some(mut turn) = within(STATEMENT, take_turn(&self.pool, "posthorn.audit")).await?
        else {
            return Ok(Step::Anothers);
        };
        let Some(audit) = within(STATEMENT, find_audit(&mut turn)).await? else {
            return self.begin(due, turn).await;
        };
        let known = prepared.as_ref();
        let Some((_, with)) = known.filter(|known| known.0 == audit.started_at) else {
            // It may take a while: others go on.
            drop(turn);
            *prepared = Some((
                audit.started_at,
                Auditor::new(&self.pool, audit.since).await?,
            ));
            return Ok(Step::Made);
        };
        let until = first_id_at(audit.started_at);
        match with.read(audit.reached, until).await? {
            Some(page) => self.look_at(turn, audit, with, &page).await?,
            None => self.finish(turn, &audit).await?,
        }
        Ok(Step::Made)
    }

    async fn begin(&self, due: DateTime<Utc>, mut turn: Transaction) -> Result<Step, StoreError> {
        let last = within(STATEMENT, last_audit(&mut turn)).await?;
        if last.is_some_and(|started_at| started_at >= due) {
            return Ok(Step::Done);
        }
        let began = within(STATEMENT, snapshot_and_cluster(&mut turn)).await?;
        let now = self.clock.now();
        let window = TimeDelta::from_std(self.task.window).unwrap_or(TimeDelta::MAX);
        let window = now.checked_sub_signed(window).unwrap_or_default();
        let unaudited = within(DEADLINE, first_unaudited(&mut turn, window)).await?;
        let since = window.min(unaudited);
        let audit = audits::Audit {
            started_at: now,
            since,
            reached: first_id_at(since),
            events: 0,
            expected: 0,
            missing: 0,
            repaired: 0,
            settled_to: None,
            began,
        };
        within(STATEMENT, save_audit(&mut turn, &audit)).await?;
        within(STATEMENT, turn.commit()).await?;
        Ok(Step::Made)
    }

    /// Repairs a page and notes it as looked at, in one transaction: nothing is counted twice.
    async fn look_at(
        &self,
        mut turn: Transaction,
        mut audit: audits::Audit,
        with: &Auditor<'_>,
        page: &Page,
    ) -> Result<(), StoreError> {
        let repaired = within(PATIENCE, reopen(&mut turn, &with.missing(page))).await?;
        let mut tally = Tally::default();
        let mut lines = Vec::new();
        with.count(page, &repaired, &mut tally, &mut lines);
        tally.finish(&mut lines);
        let total = sum(&lines);
        audit.reached = page.last;
        audit.events += total.events;
        audit.expected += total.expected;
        audit.missing += total.missing;
        audit.repaired += total.repaired;
        audit.settled_to = audit.settled_to.or(with.settled_to(page));
        within(STATEMENT, save_audit(&mut turn, &audit)).await?;
        within(STATEMENT, turn.commit()).await?;
        self.metrics.audit_missing(total.missing);
        tell(&lines);
        Ok(())
    }

    async fn finish(&self, mut turn: Transaction, audit: &audits::Audit) -> Result<(), StoreError> {
        within(STATEMENT, finish_audit(&mut turn)).await?;
        within(STATEMENT, turn.commit()).await?;
        info!(
            events = audit.events,
            expected = audit.expected,
            missing = audit.missing,
            "audited the deliveries"
        );
        Ok(())
    }
}

fn tell(lines: &[Line]) {
    for line in lines.iter().filter(|line| line.counts.missing > 0) {
        error!(merchant = %line.merchant, day = %line.day, missing = line.counts.missing,
               repaired = line.counts.repaired,
               "deliveries had no row; report this, it is never to happen");
    }
}
