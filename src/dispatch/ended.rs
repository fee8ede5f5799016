//! Endpoints that said that they are gone: their subscription is disabled, and what waits
//! for it is withdrawn.

use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;
use tracing::{error, warn};
use uuid::Uuid;

use super::Dispatcher;
use super::errand::{Errand, Gone};
use super::item::Item;
use crate::flow::input::Input;
use crate::flow::refill::Refilled;
use crate::flow::{AWAY, STATEMENT};
use crate::http::metrics::Metrics;
use crate::model::State;
use crate::store::subscriptions::disable_gone_subscription;
use crate::store::transactions::end_transaction_subscription;
use crate::store::{Pool, within};

/// An answer disabled the subscription. It is written, and takes effect as any change of
/// the configuration does; a transaction's own is ended alone, which no other worker needs
/// to hear.
pub(super) async fn disable(
    pool: Pool,
    gone: Gone,
    dispatcher: UnboundedSender<Input>,
    metrics: Metrics,
) {
    let Gone {
        merchant,
        subscription_id: id,
        lane_id,
        of_transaction,
    } = gone;
    let mut said = false;
    let disabled = loop {
        let answer = if of_transaction {
            within(STATEMENT, end_transaction_subscription(&pool, id)).await
        } else {
            within(STATEMENT, disable_gone_subscription(&pool, id)).await
        };
        match answer {
            Ok(disabled) => break disabled,
            // The subscription stays as it is; its endpoint's next answer tries again.
            Err(error) if error.is_final() => {
                error!(%merchant, subscription = %id, %error,
                       "the database refuses to disable a subscription whose endpoint answered with one of disable_statuses");
                break false;
            }
            Err(error) => {
                metrics.database_error();
                if !said {
                    warn!(%merchant, subscription = %id, %error,
                          "cannot disable a subscription whose endpoint is gone; trying until the database is back");
                    said = true;
                }
            }
        }
        tokio::time::sleep(AWAY).await;
    };
    if disabled {
        warn!(%merchant, subscription = %id, of_transaction,
              "disabled: its endpoint answered with one of disable_statuses");
    }
    if of_transaction {
        // The dispatcher is gone only when the worker ends.
        let _ = dispatcher.send(Input::Ended {
            lane_id,
            subscription_id: id,
        });
    }
}

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
            self.cancel(&item);
        }
    }

    /// Of a replay that was cancelled. What is in the air ends as it does.
    pub(super) fn withdraw_rows(&mut self, rows: Vec<Refilled>, now: Instant) {
        for row in rows {
            let id = row.lane_id;
            if self.lanes.with(id, |lane| lane.may_withdraw(row.key)) == Some(false) {
                continue;
            }
            let item = Item::of_row(row, now);
            let reason = "the replay was cancelled".to_owned();
            self.finish(&item, State::Cancelled, item.attempts, Some(reason), None);
        }
    }

    pub(super) fn cancel(&mut self, item: &Item) {
        let reason = "the subscription was disabled".to_owned();
        self.finish(item, State::Cancelled, item.attempts, Some(reason), None);
    }
}
