//! The scheduled comparison of the sources' tables with the events: one worker of the fleet makes
//! it, and tells what it finds.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use tracing::{info, warn};

use super::nightly::{Nightly, Runs};
use crate::compare::{CompareFailed, Haste, compare};
use crate::flow::STATEMENT;
use crate::model::source::word;
use crate::store::sources::{
    Comparable, Comparison, StrangerFailed, compared_since, find_comparable, last_comparisons,
    record_comparison, record_refusal,
};
use crate::store::turn::take_turn;
use crate::store::{StoreError, within};

/// The comparison of the sources, and by whom.
#[derive(Clone, Debug)]
pub struct Compare {
    /// A URL for each role that reads tables and has nothing of Posthorn's.
    pub urls: Vec<SecretString>,
}

impl Runs for Nightly<Compare> {
    type Failed = CompareFailed;

    const NAME: &str = "the comparison of the sources";

    async fn show(&self) {
        if let Ok((differing, since)) = within(STATEMENT, compared_since(&self.pool)).await {
            self.metrics.set_source_differences(differing, since);
        }
    }

    async fn run(&self, due: DateTime<Utc>) -> Result<(), CompareFailed> {
        let Some(turn) = within(STATEMENT, take_turn(&self.pool, "posthorn.comparison")).await?
        else {
            return Ok(());
        };
        let known = within(STATEMENT, last_comparisons(&self.pool)).await?;
        let mut worked = Ok(());
        for (name, source) in within(STATEMENT, find_comparable(&self.pool, None)).await? {
            let before = known.get(&name).cloned().unwrap_or_default();
            if before.started_at >= due {
                continue;
            }
            let compared = match source {
                Ok(source) => self.compare(&source, &before).await,
                Err(why) => Ok(self.refuse(&name, &before, &why).await?),
            };
            // The others do not wait for it.
            worked = worked.and(compared);
        }
        drop(turn);
        worked
    }
}

impl Nightly<Compare> {
    async fn compare(&self, source: &Comparable, before: &Comparison) -> Result<(), CompareFailed> {
        let name = &source.name;
        let started_at = self.clock.now();
        match compare(&self.pool, &self.task.urls, source, Haste::Half).await {
            Ok((comparison, differences)) => {
                let comparison = Comparison {
                    started_at,
                    ..comparison
                };
                let recorded = record_comparison(&self.pool, name, &comparison, &differences);
                within(STATEMENT, recorded).await?;
                tell(name, before, &comparison);
                Ok(())
            }
            Err(CompareFailed::Table(StrangerFailed::Refused(why))) => {
                Ok(self.refuse(name, before, &why).await?)
            }
            Err(error) => {
                warn!(%error, "cannot compare the source {name} now");
                Err(error)
            }
        }
    }

    async fn refuse(&self, name: &str, before: &Comparison, why: &str) -> Result<(), StoreError> {
        let recorded = record_refusal(&self.pool, name, self.clock.now(), why);
        within(STATEMENT, recorded).await?;
        if before.refused.as_deref() != Some(why) {
            warn!("the source {name} cannot be compared with its events: {why}");
        }
        Ok(())
    }
}

/// Logs when a difference between a source and the log begins, changes and ends.
fn tell(name: &str, before: &Comparison, now: &Comparison) {
    match now.differing {
        0 if before.differing > 0 => info!("every status of the source {name} has been told again"),
        0 => {}
        differing if differing == before.differing => {}
        differing => warn!(
            differing,
            "the source {name} has rows whose status was not told; `posthorn source compare {}` shows them, and posthorn.source_differences",
            word(name)
        ),
    }
}
