//! A subscription that a command works on.

use anyhow::anyhow;

use super::database::refusal;
use crate::model::OneLine;
use crate::store::Pool;
use crate::store::subscriptions::{SubscriptionRow, find_subscription, list_names};

#[derive(Debug, clap::Args)]
pub struct SubscriptionName {
    /// The subscription: its merchant, a slash, and its own name
    #[arg(value_name = "MERCHANT/SUBSCRIPTION", value_parser = parse)]
    pub subscription: (String, String),
}

/// Reads a merchant and a subscription. A merchant may have a slash in its name; a subscription's
/// name then has none.
fn parse(text: &str) -> Result<(String, String), String> {
    match text.rsplit_once('/') {
        Some((merchant, name)) if !merchant.is_empty() && !name.is_empty() => {
            Ok((merchant.to_owned(), name.to_owned()))
        }
        _ => Err(
            "give a merchant, a slash and the name of its subscription, such as acme/orders"
                .to_owned(),
        ),
    }
}

impl SubscriptionName {
    pub async fn find(&self, pool: &Pool) -> anyhow::Result<SubscriptionRow> {
        let (merchant, name) = &self.subscription;
        let found = find_subscription(pool, merchant, name).await;
        if let Some(row) = found.map_err(|error| refusal(&error))? {
            return Ok(row);
        }
        let others = list_names(pool, merchant)
            .await
            .map_err(|error| refusal(&error))?;
        Err(if others.is_empty() {
            anyhow!(
                "the merchant {merchant:?} has no subscription; look into posthorn.subscriptions"
            )
        } else {
            anyhow!(
                "{} has no subscription {name:?}; it has {}",
                OneLine(merchant),
                OneLine(&others.join(", "))
            )
        })
    }
}
