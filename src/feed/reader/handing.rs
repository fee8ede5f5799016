//! A page on its way to the dispatcher, with what routing must know of its transactions.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use chrono::TimeDelta;

use super::{Answer, Doing, Errand, OfEvents, Question, Reader};
use crate::feed::progress::Found;
use crate::flow::input::{Endpoints, Input, PageToRoute};
use crate::model::event::StatusesBefore;
use crate::model::{DeliveryKey, Event, Shard, Snapshot};
use crate::route::versions::Versions;

/// An event's id is made a moment before its time is taken.
const MARGIN: TimeDelta = TimeDelta::minutes(1);

/// What was read, and what is known of it so far. It is not read again: what is asked about it is
/// asked until it is answered.
#[derive(Debug)]
pub(super) struct Handing {
    events: Vec<Arc<Event>>,
    /// Merchants whose subscriptions are being read.
    pub(super) unread: Vec<(String, Shard)>,
    /// Deliveries that were recorded before the shard changed hands.
    known: Option<HashSet<DeliveryKey>>,
    versions: Option<Versions>,
    endpoints: Option<Endpoints>,
    before: Option<StatusesBefore>,
    window_read: Option<(Vec<Shard>, Snapshot)>,
}

impl Handing {
    pub(super) fn of(found: Found) -> Self {
        Self {
            events: found.events.into_iter().map(Arc::new).collect(),
            unread: Vec::new(),
            known: (!found.compare).then(HashSet::new),
            versions: None,
            endpoints: None,
            before: None,
            window_read: found.window_read,
        }
    }

    pub(super) fn take(&mut self, answer: Answer) {
        match answer {
            Answer::Known(known) => self.known = Some(known),
            Answer::Versions(versions) => self.versions = Some(versions),
            Answer::Endpoints(endpoints) => self.endpoints = Some(endpoints),
            Answer::Before(before) => self.before = Some(before),
            answer => debug_assert!(false, "{answer:?} says nothing of events"),
        }
    }
}

impl Reader {
    /// Asks what is yet to be known of a page; once all is, hands it to the dispatcher, and
    /// waits until it is in the lanes: whether there is room for the next one shows only then.
    pub(super) fn hand_on(&mut self, mut handing: Handing, now: Instant) {
        if handing.events.is_empty() {
            return self.handed(handing, now);
        }
        handing.unread = self.merchants.to_read(&handing.events);
        if !handing.unread.is_empty() {
            let merchants = handing.unread.iter().map(|(merchant, _)| merchant.clone());
            let question = Question::OfMerchants(merchants.collect());
            return self.ask(Doing::Handing(handing), question);
        }
        if let Some(question) = self.question_of(&mut handing) {
            let question = Question::OfEvents(question);
            return self.ask(Doing::Handing(handing), question);
        }
        let page = PageToRoute {
            events: std::mem::take(&mut handing.events),
            known: handing.known.take().unwrap_or_default(),
            endpoints: handing.endpoints.take().unwrap_or_default(),
            before: handing.before.take().unwrap_or_default(),
            versions: handing.versions.take().unwrap_or_default(),
        };
        self.asked = true;
        self.reading.found = true;
        self.doing = Some(Doing::Handing(handing));
        self.errands.push(Errand::HandOver(page));
    }

    /// The page is in the lanes.
    pub(super) fn routed(&mut self, now: Instant) {
        self.asked = false;
        match self.doing.take() {
            Some(Doing::Handing(handing)) => self.handed(handing, now),
            doing => debug_assert!(false, "no page was handed on: {doing:?}"),
        }
    }

    fn handed(&mut self, handing: Handing, now: Instant) {
        if let Some((shards, end)) = handing.window_read {
            self.tell(Input::WindowRead { shards, end });
        }
        self.next_turn(now);
    }

    fn question_of(&self, handing: &mut Handing) -> Option<OfEvents> {
        let Handing {
            events,
            known,
            versions,
            endpoints,
            before,
            ..
        } = handing;
        if known.is_none() {
            let ids = events.iter().map(|event| event.id).collect();
            return Some(OfEvents::Known(ids));
        }
        if versions.is_none()
            && let Some(question) = self.question_of_versions(events)
        {
            return Some(question);
        }
        let versions = versions.get_or_insert_default();
        let those = |wanted: &dyn Fn(&Event) -> bool| -> Vec<Arc<Event>> {
            let wanted = events.iter().filter(|event| wanted(event));
            wanted.cloned().collect()
        };
        if endpoints.is_none() {
            let of_templates =
                those(&|event| self.look_ups.for_endpoints(event) || versions.has_template(event));
            if !of_templates.is_empty() {
                return Some(OfEvents::Endpoints(of_templates));
            }
            *endpoints = Some(Endpoints::new());
        }
        if before.is_none() {
            let of_changes =
                those(&|event| self.look_ups.for_statuses(event) || versions.wants_changes(event));
            if !of_changes.is_empty() {
                return Some(OfEvents::StatusesBefore(of_changes));
            }
        }
        None
    }

    /// The settings of the events' time, of merchants whose events may have met other ones than
    /// those of now. As a rule there is none, and nothing is asked.
    fn question_of_versions(&self, events: &[Arc<Event>]) -> Option<OfEvents> {
        let changed_at = self.changed_at?;
        let older = events.iter().filter(|event| event.created_at < changed_at);
        let oldest = older.clone().map(|event| event.created_at).min()?;
        let merchants: BTreeSet<&str> = older.map(|event| &*event.merchant).collect();
        Some(OfEvents::Versions {
            merchants: merchants.into_iter().map(str::to_owned).collect(),
            since: oldest - MARGIN,
        })
    }
}
