//! A page goes to the dispatcher, with what routing must know of its transactions.

use std::collections::HashSet;

use chrono::TimeDelta;
use tokio::sync::oneshot;

use super::reader::Reader;
use crate::flow::input::{Endpoints, Input, PageToRoute};
use crate::flow::{AWAY, STATEMENT};
use crate::model::event::StatusesBefore;
use crate::model::{DeliveryKey, Event};
use crate::route::history::History;
use crate::route::versions::Versions;
use crate::store::history::read_changes_since;
use crate::store::transactions::{find_endpoints, find_statuses_before};
use crate::store::{StoreError, within};

/// An event's id is made a moment before its time is taken.
const MARGIN: TimeDelta = TimeDelta::minutes(1);

impl Reader {
    /// Waits until the dispatcher has put the page into the lanes: whether there is room
    /// for the next one shows only then.
    pub(super) async fn hand_over(&mut self, events: Vec<Event>, known: HashSet<DeliveryKey>) {
        if events.is_empty() {
            return;
        }
        let versions = self.versions_of(&events).await;
        let (endpoints, before) = self.look_up(&events, &versions).await;
        let (taken, is_taken) = oneshot::channel();
        self.tell(Input::Page(PageToRoute {
            events,
            known,
            endpoints,
            before,
            versions,
            taken,
        }));
        // An error means that the worker ends.
        let _ = is_taken.await;
    }

    /// The settings of the events' time, of merchants whose events may have met other ones than
    /// those of now. As a rule there is none, and nothing is asked.
    async fn versions_of(&mut self, events: &[Event]) -> Versions {
        let older = |event: &&Event| self.changed_at.is_some_and(|at| event.created_at < at);
        let older: Vec<&Event> = events.iter().filter(older).collect();
        let Some(oldest) = older.iter().map(|event| event.created_at).min() else {
            return Versions::default();
        };
        let since = oldest - MARGIN;
        let merchants: HashSet<&str> = older.iter().map(|event| &*event.merchant).collect();
        let merchants: Vec<&str> = merchants.into_iter().collect();
        let pool = self.with.pool.clone();
        let ask = async || {
            let mut history = History::default();
            read_changes_since(&pool, &merchants, since, |change| history.take(change)).await?;
            Ok(history.into_versions())
        };
        self.insist(ask).await
    }

    /// What routing must know of these events' transactions.
    async fn look_up(
        &mut self,
        events: &[Event],
        versions: &Versions,
    ) -> (Endpoints, StatusesBefore) {
        let look_ups = &self.look_ups;
        let with_endpoints: Vec<&Event> = events
            .iter()
            .filter(|event| look_ups.for_endpoints(event) || versions.has_template(event))
            .collect();
        let of_changes: Vec<&Event> = events
            .iter()
            .filter(|event| look_ups.for_statuses(event) || versions.wants_changes(event))
            .collect();
        let pool = self.with.pool.clone();
        let mut endpoints = Endpoints::new();
        if !with_endpoints.is_empty() {
            endpoints = self.insist(|| find_endpoints(&pool, &with_endpoints)).await;
        }
        let mut before = StatusesBefore::new();
        if !of_changes.is_empty() {
            before = self
                .insist(|| find_statuses_before(&pool, &of_changes))
                .await;
        }
        (endpoints, before)
    }

    /// Asks until it is answered: once a page is turned, nothing about it may fail.
    pub(super) async fn insist<T, F>(&mut self, ask: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        loop {
            match within(STATEMENT, ask()).await {
                Ok(answer) => return answer,
                Err(error) => {
                    self.failed(&error);
                    tokio::time::sleep(AWAY).await;
                }
            }
        }
    }
}
