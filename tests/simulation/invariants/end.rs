//! What must hold once everything has ended, and until when it has to.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use posthorn::model::{DeliveryKey, State};
use uuid::Uuid;

use super::Books;
use crate::database::{Database, Stored};
use crate::wanted::{Wanted, wanted, whether};

/// How long after the last fault everything has to have ended.
pub const PATIENCE: Duration = Duration::from_mins(5);

impl Books {
    /// Everything has ended: as it should have?
    pub fn check_the_end(&self, database: &Database) -> Result<(), String> {
        let committed = database
            .events
            .iter()
            .filter(|stored| database.is_committed(stored.xid));
        let committed: BTreeMap<Uuid, &Stored> =
            committed.map(|stored| (stored.event.id, stored)).collect();
        for (key, ended) in &database.ledger {
            let Some(Stored { xid, event, .. }) = committed.get(&key.event_id) else {
                return Err(format!("{key:?} is of an event that nobody committed"));
            };
            if whether(database, (*xid, event), key.subscription_id) == Wanted::No {
                return Err(format!("{key:?} was made, and nobody wants it"));
            }
            let series = database.series_of(event);
            let mut newer = series.events.range((Excluded(event.id), Unbounded));
            let is_newest = !newer.any(|(_, (xid, _))| database.is_committed(*xid));
            let tried = database.attempts.range((*key, 0)..=(*key, u32::MAX));
            let tried = tried.last().map_or(0, |(_, number)| *number);
            if tried > ended.attempts {
                let counted = ended.attempts;
                return Err(format!(
                    "{key:?} had {tried} attempts, and ended with {counted}"
                ));
            }
            match ended.state {
                State::Superseded if is_newest || key.is_replay() => {
                    return Err(format!("{key:?} was superseded by nothing"));
                }
                State::Delivered if !self.attempts.contains(&(*key, ended.attempts)) => {
                    return Err(format!("{key:?} was delivered by no request"));
                }
                State::PostingError if ended.attempts == 0 && !database.rules.are_against(*key) => {
                    return Err(format!("{key:?} was given up before it was tried"));
                }
                State::Cancelled if !may_be_cancelled(database, key) => {
                    return Err(format!("{key:?} was cancelled by nobody"));
                }
                _ => {}
            }
        }
        let unfinished = |key: &&DeliveryKey| !database.ledger.contains_key(key);
        match database.opened.keys().find(unfinished) {
            Some(key) => Err(format!("{key:?} was opened by a replay and has not ended")),
            None => Ok(()),
        }
    }
}

/// A replay that was cancelled withdraws what it opened, an address that has ended and a
/// subscription that was disabled what was meant for it.
fn may_be_cancelled(database: &Database, key: &DeliveryKey) -> bool {
    let brought = database.brought.get(&key.subscription_id);
    let of_replay = database.opened.get(key);
    let subscription = brought.map_or(key.subscription_id, |brought| brought.template_id);
    database.was_ever_disabled(subscription)
        || brought.is_some_and(|brought| brought.ended)
        || of_replay.is_some_and(|id| database.is_cancelled(*id))
}

/// 1. Deliveries of committed events that have not ended.
pub fn missing(database: &Database) -> Vec<DeliveryKey> {
    let committed = database
        .events
        .iter()
        .filter(|stored| database.is_committed(stored.xid));
    committed
        .flat_map(|stored| wanted(database, stored))
        .filter(|key| !database.ledger.contains_key(key))
        .collect()
}

pub fn check_patience(database: &Database) -> String {
    let missing = missing(database);
    let without_row = missing
        .iter()
        .filter(|key| !database.pending.contains_key(key));
    let replays = database.replays.iter().filter(|it| !it.state.is_over());
    format!(
        "{} deliveries have not ended {PATIENCE:?} after the last fault, {} of them have no row; \
         the first: {:?}; {} are open, and {} replays",
        missing.len(),
        without_row.count(),
        missing.first(),
        database.pending.len(),
        replays.count()
    )
}
