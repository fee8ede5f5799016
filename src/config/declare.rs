//! From the file's profiles, locks and subscriptions to the entries that are declared.

use serde_json::{Map, Value};

use super::{Config, FileLock, FileProfile, FileSubscription, secrets};
use crate::model::Identity;
use crate::model::declaration::{Declaration, Entry, Kind};
use crate::model::settings::{Layers, resolve};

/// What is wrong with the subscriptions of a file, as far as it shows only when the secrets are
/// read.
#[derive(Debug, thiserror::Error)]
#[error("the config file's subscriptions cannot be used:\n  {}", .0.join("\n  "))]
pub struct Unusable(Vec<String>);

impl Config {
    /// What the file declares.
    #[must_use]
    pub fn declare(&self) -> Declaration {
        let profiles = self.profiles.iter().map(Entry::from);
        let locks = self.locks.iter().map(Entry::from);
        let subscriptions = self.subscriptions.iter().map(Entry::from);
        Declaration {
            owner: self.owner.clone(),
            entries: profiles.chain(locks).chain(subscriptions).collect(),
        }
    }

    /// Resolves every subscription, secrets included, so that all that is wrong with the file shows
    /// at once. A secret that stands in the database is no part of the file: where it is missing,
    /// the subscription's deliveries wait.
    ///
    /// What was read in one of two ways is returned where nothing is wrong.
    pub fn check_secrets(&self) -> Result<Vec<String>, Unusable> {
        let bases = self.bases();
        let (mut problems, mut guesses) = (Vec::new(), Vec::new());
        for subscription in &self.subscriptions {
            match self.guesses_of(subscription, &bases.layers(subscription)) {
                Ok(found) => guesses.extend(found),
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() {
            return Ok(guesses);
        }
        Err(Unusable(problems))
    }

    fn guesses_of(
        &self,
        subscription: &FileSubscription,
        layers: &Layers,
    ) -> Result<Option<String>, Vec<String>> {
        let FileSubscription {
            merchant,
            name,
            line,
            ..
        } = subscription;
        let identity = Identity {
            enabled: subscription.enabled,
            paused: subscription.paused,
            ..Identity::unwritten(merchant, name)
        };
        let settings = layers.merged();
        let stored = settings.stored_secrets();
        let place = format!("line {line}, subscription {merchant}/{name}");
        let (guess, found) = match resolve(identity, &settings, &secrets::read) {
            Ok(resolved) => {
                let problem = resolved.exit.problem_with(&self.egress.proxy_pool_names());
                (resolved.auth.guess(), problem.into_iter().collect())
            }
            Err(problems) => (None, problems),
        };
        let told: Vec<_> = found
            .into_iter()
            .filter(|problem| stored.iter().all(|(key, _)| *key != problem.key))
            .map(|problem| format!("{place}: {problem}"))
            .collect();
        if told.is_empty() {
            return Ok(guess.map(|guess| format!("{place}: auth_secret: {guess}")));
        }
        Err(told)
    }
}

impl From<&FileProfile> for Entry {
    fn from(profile: &FileProfile) -> Self {
        Self {
            kind: Kind::Profile,
            head: head([("name", Some(profile.name.clone().into()))]),
            settings: profile.settings.clone(),
        }
    }
}

impl From<&FileLock> for Entry {
    fn from(lock: &FileLock) -> Self {
        Self {
            kind: Kind::Lock,
            head: head([
                ("name", Some(lock.name.clone().into())),
                ("merchant", lock.reach.merchant.clone().map(Value::from)),
                ("profile", lock.reach.profile.clone().map(Value::from)),
            ]),
            settings: lock.settings.clone(),
        }
    }
}

impl From<&FileSubscription> for Entry {
    fn from(subscription: &FileSubscription) -> Self {
        Self {
            kind: Kind::Subscription,
            head: head([
                ("merchant", Some(subscription.merchant.clone().into())),
                ("name", Some(subscription.name.clone().into())),
                ("profile", subscription.profile.clone().map(Value::from)),
                ("enabled", Some(subscription.enabled.into())),
                ("paused", Some(subscription.paused.into())),
            ]),
            settings: subscription.settings.clone(),
        }
    }
}

fn head<const N: usize>(columns: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let given = columns.into_iter();
    given
        .filter_map(|(column, value)| Some((column.to_owned(), value?)))
        .collect()
}
