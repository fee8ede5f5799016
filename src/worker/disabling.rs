//! Disables the subscriptions whose endpoint said that it is gone.

use tokio::sync::mpsc::UnboundedSender;
use tracing::{error, warn};

use crate::dispatch::errand::Gone;
use crate::flow::input::Input;
use crate::flow::{AWAY, STATEMENT};
use crate::http::metrics::Metrics;
use crate::store::subscriptions::disable_gone_subscription;
use crate::store::transactions::end_transaction_subscription;
use crate::store::{Pool, within};

/// Writes that an answer disabled a subscription. That takes effect as any change of
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
