//! Single transactions: their events in order, and the addresses that they brought:
//! `store::transactions`.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use posthorn::flow::input::Endpoints;
use posthorn::model::event::StatusesBefore;
use posthorn::model::{Endpoint, Event};
use uuid::Uuid;

use super::{Commit, Database, Plan, Transaction};

/// A row of `posthorn.transaction_subscriptions`.
#[derive(Clone, Debug)]
pub struct Brought {
    pub id: Uuid,
    /// The transaction that wrote it.
    pub xid: u64,
    pub template_id: Uuid,
    pub merchant: Box<str>,
    pub transaction_id: Box<str>,
    pub url: Option<Box<str>>,
    pub created_at: DateTime<Utc>,
    pub ended: bool,
}

impl Brought {
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            template_id: self.template_id,
            url: self.url.clone(),
            method: None,
            success_body: None,
        }
    }
}

/// What there is of one transaction of a merchant.
#[derive(Debug, Default)]
pub struct Series {
    /// With the transaction of the database that wrote each.
    pub events: BTreeMap<Uuid, (u64, Box<str>)>,
    pub brought: Vec<Uuid>,
}

fn name(merchant: &str, transaction_id: &str) -> String {
    format!("{merchant} {transaction_id}")
}

impl Database {
    pub fn series_of(&self, event: &Event) -> &Series {
        &self.series[&name(&event.merchant, &event.transaction_id)]
    }

    pub(super) fn note_in_series(&mut self, xid: u64, event: &Event) {
        let name = name(&event.merchant, &event.transaction_id);
        let series = self.series.entry(name).or_default();
        series.events.insert(event.id, (xid, event.status.clone()));
    }

    /// Forgets what other transactions of the database wrote.
    pub(super) fn keep_series(&mut self, keeps: impl Fn(u64, &BTreeMap<u64, Commit>) -> bool) {
        let committed = &self.committed;
        self.brought.retain(|_, it| keeps(it.xid, committed));
        for series in self.series.values_mut() {
            series.events.retain(|_, (xid, _)| keeps(*xid, committed));
            series.brought.retain(|id| self.brought.contains_key(id));
        }
    }

    /// `posthorn.add_transaction_subscriptions`: an address that is there already is one.
    pub fn bring(&mut self, transaction: Transaction, brought: Brought) {
        let name = name(&brought.merchant, &brought.transaction_id);
        let series = self.series.entry(name).or_default();
        let is_there = series.brought.iter().any(|id| {
            let other = &self.brought[id];
            other.template_id == brought.template_id && other.url == brought.url
        });
        if !is_there && transaction.start_is(self.start) {
            series.brought.push(brought.id);
            self.brought.insert(brought.id, brought);
        }
    }

    pub fn find_endpoints(&self, events: &[impl Borrow<Event>]) -> Endpoints {
        let of_one = |event: &Event| {
            let all = self.series_of(event).brought.iter();
            let open = all.map(|id| &self.brought[id]).filter(|brought| {
                self.is_committed(brought.xid)
                    && brought.created_at <= event.created_at
                    && !brought.ended
            });
            open.map(|brought| (brought.id, brought.endpoint()))
                .collect::<Vec<_>>()
        };
        let events = events.iter().map(Borrow::borrow);
        let found = events.map(|event| (event.id, of_one(event)));
        found.filter(|(_, found)| !found.is_empty()).collect()
    }

    pub fn find_statuses_before(
        &mut self,
        plan: &Plan,
        events: &[impl Borrow<Event>],
    ) -> StatusesBefore {
        self.unplan(plan);
        let before = events.iter().map(Borrow::borrow).filter_map(|event| {
            let visible = self.events.iter().filter(|stored| {
                stored.event.id < event.id
                    && stored.event.transaction_id == event.transaction_id
                    && stored.event.merchant == event.merchant
                    && self.is_committed(stored.xid)
                    && plan.reaches(stored)
            });
            let last = visible.max_by_key(|stored| stored.event.id)?;
            Some((event.id, last.event.status.clone()))
        });
        before.collect()
    }

    /// Its endpoint is gone. False: it had ended before.
    pub fn end_transaction_subscription(&mut self, id: Uuid) -> bool {
        let now = self.now();
        for (key, open) in &mut self.pending {
            if key.subscription_id == id {
                open.due_at = open.due_at.min(now);
            }
        }
        self.end_by_hand(id)
    }

    /// People end it.
    pub fn end_by_hand(&mut self, id: Uuid) -> bool {
        self.write();
        let brought = self.brought.get_mut(&id);
        brought.is_some_and(|brought| !std::mem::replace(&mut brought.ended, true))
    }

    /// The row as others see it.
    pub(super) fn find_brought(&self, id: Uuid) -> Option<&Brought> {
        let brought = self.brought.get(&id);
        brought.filter(|brought| self.is_committed(brought.xid))
    }
}
