//! From the file's profiles and subscriptions to rows for SQL.

use chrono::DateTime;
use uuid::Uuid;

use super::{Config, FileSubscription, secrets};
use crate::model::settings::resolve;
use crate::model::{Identity, Shard};
use crate::store::declared::Declared;

/// What shows only when the secrets are read.
#[derive(Debug, thiserror::Error)]
#[error("the config file's subscriptions cannot be used:\n  {}", .0.join("\n  "))]
pub struct Unusable(Vec<String>);

impl Config {
    /// The rows that the file declares. Every subscription is resolved first, secrets
    /// included, so that all that is wrong with the file shows at once. A secret that stands
    /// in the database is no part of the file: where it is missing, the subscription's
    /// deliveries wait.
    pub fn declare(&self) -> Result<Declared, Unusable> {
        let problems: Vec<String> = self
            .subscriptions
            .iter()
            .flat_map(|subscription| self.problems_of(subscription))
            .collect();
        if !problems.is_empty() {
            return Err(Unusable(problems));
        }
        let profiles = self.profiles.iter().map(|profile| {
            let mut row = profile.settings.to_row();
            row.insert("name".into(), profile.name.clone().into());
            row.insert("managed_by".into(), "file".into());
            row.into()
        });
        Ok(Declared {
            profiles: profiles.collect(),
            subscriptions: self.subscriptions.iter().map(row_of).collect(),
        })
    }

    fn problems_of(&self, subscription: &FileSubscription) -> Vec<String> {
        let FileSubscription {
            merchant,
            name,
            line,
            ..
        } = subscription;
        // What SQL gives a row does not matter to whether its settings can be used.
        let identity = Identity {
            id: Uuid::nil(),
            merchant: merchant.clone(),
            name: name.clone(),
            shard: Shard(0),
            revision: 0,
            created_at: DateTime::UNIX_EPOCH,
            enabled: subscription.enabled,
            paused: subscription.paused,
        };
        let settings = self.settings_of(subscription);
        let stored = settings.stored_secrets();
        let found = resolve(identity, &settings, &secrets::read).err();
        let told = found
            .into_iter()
            .flatten()
            .filter(|problem| stored.iter().all(|(key, _)| *key != problem.key))
            .map(|problem| format!("line {line}, subscription {merchant}/{name}: {problem}"));
        told.collect()
    }
}

fn row_of(subscription: &FileSubscription) -> serde_json::Value {
    let mut row = subscription.settings.to_row();
    row.insert("merchant".into(), subscription.merchant.clone().into());
    row.insert("name".into(), subscription.name.clone().into());
    row.insert("profile".into(), subscription.profile.clone().into());
    row.insert("enabled".into(), subscription.enabled.into());
    row.insert("paused".into(), subscription.paused.into());
    row.insert("managed_by".into(), "file".into());
    row.into()
}
