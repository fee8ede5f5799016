//! A page goes to the dispatcher, with what routing must know of its transactions.

use std::collections::HashSet;

use tokio::sync::oneshot;

use super::reader::Reader;
use crate::dispatch::input::{Endpoints, Input, Page};
use crate::model::event::StatusesBefore;
use crate::model::{DeliveryKey, Event};
use crate::store::transactions::{find_endpoints, find_statuses_before};
use crate::store::{AWAY, STATEMENT, StoreError, within};

impl Reader {
    /// Waits until the dispatcher has put the page into the lanes: whether there is room
    /// for the next one shows only then.
    pub(super) async fn hand_over(&mut self, events: Vec<Event>, known: HashSet<DeliveryKey>) {
        if events.is_empty() {
            return;
        }
        let (endpoints, before) = self.look_up(&events).await;
        let (taken, is_taken) = oneshot::channel();
        self.tell(Input::Page(Page {
            events,
            known,
            endpoints,
            before,
            taken,
        }));
        // An error means that the worker ends.
        let _ = is_taken.await;
    }

    /// What routing must know of these events' transactions.
    async fn look_up(&mut self, events: &[Event]) -> (Endpoints, StatusesBefore) {
        let with_endpoints = self.look_ups.for_endpoints(events);
        let of_changes = self.look_ups.for_statuses(events);
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
