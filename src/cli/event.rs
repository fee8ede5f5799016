//! The event that a command makes a request of: one of the table, or a sample.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::database::refusal;
use crate::model::{Event, Subscription};
use crate::store::Pool;
use crate::store::log::find_event;

#[derive(Debug, clap::Args)]
pub struct EventArgs {
    /// The id of an event of posthorn.events; without it, a sample is made of the following
    #[arg(long, value_name = "UUID",
          conflicts_with_all = ["kind", "status", "transaction", "data", "data_file"])]
    pub event: Option<Uuid>,

    /// The sample's kind
    #[arg(long, default_value = "test")]
    pub kind: String,

    /// The sample's status
    #[arg(long, default_value = "test")]
    pub status: String,

    /// The sample's transaction id
    #[arg(long, value_name = "ID", default_value = "test")]
    pub transaction: String,

    /// The sample's data
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub data: String,

    /// A file with the sample's data, byte for byte
    #[arg(long, value_name = "FILE", conflicts_with = "data")]
    pub data_file: Option<PathBuf>,
}

impl EventArgs {
    /// Finds or makes the event for the subscription's merchant. `now` is the database's time.
    pub async fn find(
        self,
        pool: &Pool,
        subscription: &Subscription,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Event> {
        if let Some(id) = self.event {
            let found = find_event(pool, id)
                .await
                .map_err(|error| refusal(&error))?;
            let event = found.ok_or_else(|| anyhow!("there is no event {id}"))?;
            if *event.merchant != subscription.merchant {
                bail!(
                    "the event {id} is of another merchant than {}",
                    subscription.merchant
                );
            }
            return Ok(event);
        }
        let data = match &self.data_file {
            Some(path) => std::fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?,
            None => self.data,
        };
        serde_json::from_str::<&serde_json::value::RawValue>(&data)
            .map_err(|error| anyhow!("the data is not JSON (line {}, column {}); give an object such as {{\"amount\": 12.50}}", error.line(), error.column()))?;
        Ok(Event {
            id: Uuid::now_v7(),
            shard: subscription.shard,
            merchant: subscription.merchant.clone().into(),
            kind: self.kind.into(),
            transaction_id: self.transaction.into(),
            status: self.status.into(),
            data: data.into(),
            created_at: now,
        })
    }
}
