//! The merchants whose subscriptions the dispatcher has: those with events or open deliveries, and
//! no others, however many there are. Without I/O.
//!
//! A merchant is *known* with all of its subscriptions or not at all. Before an event is routed its
//! merchant has to be known, and not *stale*: changed since it was read.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::flow::input::Forgotten;
use crate::flow::subscriptions::{Changed, Look, Place, Resolved};
use crate::model::{Event, Shard};

/// Merchants that are forgotten at a time.
const FORGOTTEN: usize = 1000;

/// Merchants that are read at a time beside the events.
const BATCH: usize = 200;

/// The merchants whose subscriptions the dispatcher knows, and those whose are to be read.
#[derive(Debug, Default)]
pub struct Merchants {
    /// The shards that the dispatcher has, and who is counted there: the last half of each
    /// subscription's id, which is its random one.
    counted: BTreeMap<Shard, HashSet<u64>>,
    known: HashMap<String, Known>,
    lanes: HashMap<Uuid, Shard>,
    /// The known ones that may have changed since.
    stale: BTreeSet<String>,
    /// Others that have changed: their settings may be of no use.
    others: BTreeSet<String>,
    /// Those that are being read beside the events, unless they have been read or changed since.
    looking: BTreeSet<String>,
    /// How far the shards have been gone through.
    places: Vec<Place>,
    /// Known ones that had no event for a while: they may be forgotten, unless they have had one
    /// since.
    idle: Vec<String>,
}

/// A merchant that the dispatcher knows.
#[derive(Clone, Copy, Debug)]
struct Known {
    shard: Shard,
    /// Whether there was an event of it, or a change, since this was last looked at.
    is_in_use: bool,
}

impl Merchants {
    /// The dispatcher has these shards from now on, and knows none of their merchants.
    pub fn adopt(&mut self, shards: impl IntoIterator<Item = Shard>) {
        for shard in shards {
            self.counted.insert(shard, HashSet::new());
            self.places.push(Place::start(shard));
        }
    }

    /// Shards that are left, or lost.
    pub fn forget(&mut self, shards: &[Shard]) {
        self.counted.retain(|shard, _| !shards.contains(shard));
        self.known.retain(|_, known| !shards.contains(&known.shard));
        self.lanes.retain(|_, shard| !shards.contains(shard));
        self.places.retain(|place| !shards.contains(&place.shard));
        let known = &self.known;
        self.stale.retain(|merchant| known.contains_key(merchant));
        // What is on its way is of a time before: the shards may come back.
        self.others.append(&mut self.looking);
    }

    /// Whether the dispatcher has to be told of this lane's merchant first.
    #[must_use]
    pub fn lacks_lane(&self, shard: Shard, lane: Uuid) -> bool {
        self.counted.contains_key(&shard) && !self.lanes.contains_key(&lane)
    }

    /// The merchants of these events whose subscriptions have to be read before.
    #[must_use]
    pub fn to_read(&mut self, events: &[Arc<Event>]) -> Vec<(String, Shard)> {
        let mut found = BTreeMap::new();
        for event in events {
            let merchant = &*event.merchant;
            if let Some(known) = self.known.get_mut(merchant) {
                known.is_in_use = true;
            }
            if self.counted.contains_key(&event.shard) && !self.is_fresh(merchant) {
                found.insert(merchant.to_owned(), event.shard);
            }
        }
        found.into_iter().collect()
    }

    fn is_fresh(&self, merchant: &str) -> bool {
        let is_being_read = !self.stale.is_empty() && self.stale.contains(merchant)
            || !self.looking.is_empty() && self.looking.contains(merchant);
        !is_being_read && self.known.contains_key(merchant)
    }

    /// The configuration has changed.
    pub fn changed(&mut self, changed: Changed) {
        match changed {
            Changed::Merchants(merchants) => {
                for merchant in merchants {
                    self.looking.remove(&merchant);
                    self.has_to_be_read(merchant);
                }
            }
            Changed::Any => {
                self.looking.clear();
                self.others.clear();
                self.stale = self.known.keys().cloned().collect();
                self.places = self.counted.keys().copied().map(Place::start).collect();
            }
        }
    }

    fn has_to_be_read(&mut self, merchant: String) {
        if self.known.contains_key(&merchant) {
            self.stale.insert(merchant);
        } else {
            self.others.insert(merchant);
        }
    }

    /// The stale ones, where they are so few that they need not be read beside the events.
    #[must_use]
    pub fn few_stale(&self) -> Vec<(String, Shard)> {
        if self.stale.len() > BATCH {
            return Vec::new();
        }
        let shard = |merchant: &String| Some((merchant.clone(), self.known.get(merchant)?.shard));
        self.stale.iter().filter_map(shard).collect()
    }

    /// What to read beside the events now.
    pub fn next_look(&mut self) -> Option<Look> {
        let waiting = if self.stale.is_empty() {
            &mut self.others
        } else {
            &mut self.stale
        };
        while let Some(merchant) = waiting.pop_first() {
            self.looking.insert(merchant);
            if self.looking.len() == BATCH {
                break;
            }
        }
        if !self.looking.is_empty() {
            return Some(Look::Merchants(self.looking.iter().cloned().collect()));
        }
        let places = std::mem::take(&mut self.places);
        (!places.is_empty()).then_some(Look::Shards(places))
    }

    /// A look came to nothing, and is to be had again.
    pub fn look_failed(&mut self, look: Look) {
        match look {
            Look::Merchants(_) => {
                for merchant in std::mem::take(&mut self.looking) {
                    self.has_to_be_read(merchant);
                }
            }
            Look::Shards(places) => self.go_on(places),
        }
    }

    /// A page of the shards has been gone through; others may have been adopted, forgotten or begun
    /// anew meanwhile.
    pub fn go_on(&mut self, places: Vec<Place>) {
        for place in places {
            let begins_anew = self.places.iter().any(|begun| begun.shard == place.shard);
            if self.counted.contains_key(&place.shard) && !begins_anew {
                self.places.push(place);
            }
        }
    }

    /// Counts rows, and has the merchants looked at whose subscriptions cannot be used, as long as
    /// there is room for them.
    pub fn survey(&mut self, rows: &[Resolved], room: usize) {
        self.count(rows);
        let unusable = rows.iter().filter(|row| row.unusable.is_some());
        let merchants = unusable.map(|row| &row.identity.merchant);
        for merchant in merchants.take(room) {
            if !self.known.contains_key(merchant) {
                self.others.insert(merchant.clone());
            }
        }
    }

    /// Takes what was read of merchants beside the events: returns the rows of those that are
    /// known, and of those with one that cannot be used. What was read or changed since is passed
    /// over.
    pub fn looked(&mut self, rows: Vec<Resolved>) -> Vec<Resolved> {
        self.count(&rows);
        let looking = std::mem::take(&mut self.looking);
        let unusable = rows.iter().filter(|row| row.unusable.is_some());
        let mut wanted: HashSet<String> =
            unusable.map(|row| row.identity.merchant.clone()).collect();
        wanted.extend(
            looking
                .iter()
                .filter(|it| self.known.contains_key(*it))
                .cloned(),
        );
        wanted.retain(|merchant| looking.contains(merchant));
        let rows = rows.into_iter();
        let rows = rows.filter(|row| wanted.contains(&row.identity.merchant));
        self.learn(&[], rows.collect())
    }

    /// These merchants were asked for, and these are all of their subscriptions, or of others as
    /// well. Returns the rows that the dispatcher is to be told of.
    pub fn learn(&mut self, asked: &[(String, Shard)], mut rows: Vec<Resolved>) -> Vec<Resolved> {
        self.count(&rows);
        rows.retain(|row| self.counted.contains_key(&row.identity.shard));
        let found = rows
            .iter()
            .map(|row| (&row.identity.merchant, row.identity.shard));
        let asked = asked.iter().map(|(merchant, shard)| (merchant, *shard));
        for (merchant, shard) in asked.chain(found) {
            if self.counted.contains_key(&shard) {
                let known = Known {
                    shard,
                    is_in_use: true,
                };
                self.known.insert(merchant.clone(), known);
            }
            self.stale.remove(merchant);
            self.others.remove(merchant);
            self.looking.remove(merchant);
        }
        for row in &rows {
            self.lanes.insert(row.identity.id, row.identity.shard);
        }
        rows
    }

    /// Some of the merchants that had no event for a while, where more than so many are known. `anew`
    /// begins another while.
    pub fn to_forget(&mut self, kept: usize, anew: bool) -> Vec<(String, Shard)> {
        if self.known.len() <= kept {
            self.idle.clear();
            return Vec::new();
        }
        if anew {
            let idle = self.known.iter().filter(|(_, known)| !known.is_in_use);
            self.idle = idle.map(|(merchant, _)| merchant.clone()).collect();
            for known in self.known.values_mut() {
                known.is_in_use = false;
            }
        }
        let most = FORGOTTEN.min(self.known.len() - kept);
        let batch = self.idle.split_off(self.idle.len().saturating_sub(most));
        let still_idle = batch.into_iter().filter_map(|merchant| {
            let known = self.known.get(&merchant)?;
            let is_idle = !known.is_in_use
                && !self.stale.contains(&merchant)
                && !self.looking.contains(&merchant);
            is_idle.then_some((merchant, known.shard))
        });
        still_idle.collect()
    }

    /// The dispatcher knows nothing of this merchant any more.
    pub fn forgotten(&mut self, forgotten: &Forgotten) {
        self.known.remove(&forgotten.merchant);
        for id in &forgotten.subscriptions {
            self.lanes.remove(id);
        }
    }

    fn count(&mut self, rows: &[Resolved]) {
        for row in rows {
            if let Some(counted) = self.counted.get_mut(&row.identity.shard) {
                counted.insert(row.identity.id.as_u64_pair().1);
            }
        }
    }

    /// How many subscriptions the shards have, as far as they have been gone through.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.counted.values().map(HashSet::len).sum()
    }
}

#[cfg(test)]
mod tests;
