//! Endpoints that said that they are gone: their subscription is disabled, and what waits
//! for it is withdrawn.

use std::time::Instant;

use uuid::Uuid;

use super::Dispatcher;
use super::errand::{Errand, Gone};
use super::item::Item;
use crate::flow::refill::Refilled;
use crate::model::State;

/// Why a delivery is withdrawn whose subscription, or address, has ended.
pub(super) const DISABLED: &str = "the subscription was disabled";

impl Dispatcher {
    /// An answer disabled the delivery's subscription.
    pub(super) fn disable(&mut self, item: &Item) {
        (self.out.errands)(Errand::Disable(Gone {
            merchant: item.event.merchant.clone(),
            subscription_id: item.key.subscription_id,
            lane_id: item.lane_id,
            of_transaction: item.endpoint.is_some(),
        }));
    }

    /// What waits for it in the database has come due.
    pub(super) fn ended(&mut self, lane_id: Uuid, subscription_id: Uuid, now: Instant) {
        self.withdraw(lane_id, subscription_id);
        self.lanes.with(lane_id, |lane| {
            if lane.shelf.all_rows() > 0 {
                lane.shelf.due_at(now);
            }
        });
        self.lanes.look_at(lane_id);
    }

    pub(super) fn withdraw(&mut self, lane_id: Uuid, subscription_id: Uuid) {
        let waiting = self
            .lanes
            .with(lane_id, |lane| lane.withdraw(subscription_id));
        for item in waiting.unwrap_or_default() {
            self.finish_withdrawn(&item, DISABLED);
        }
    }

    /// Withdraws the deliveries of a replay that was cancelled. What is in the air ends as it does.
    pub(super) fn withdraw_rows(&mut self, rows: Vec<Refilled>, now: Instant) {
        for row in rows {
            let id = row.lane_id;
            // The lane counts the entry. They are found again once its subscription is here.
            let Some(subscription) = self.routes.get(id).cloned() else {
                continue;
            };
            self.open_lane(&subscription, now);
            if self.lanes.with(id, |lane| lane.may_withdraw(row.key)) == Some(false) {
                continue;
            }
            self.finish_withdrawn(&Item::of_row(row, now), "the replay was cancelled");
        }
    }

    pub(super) fn finish_withdrawn(&mut self, item: &Item, why: &str) {
        let reason = Some(why.to_owned());
        self.finish(item, State::Cancelled, item.attempts, reason, None);
    }
}
