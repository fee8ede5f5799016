//! The configuration that lives in SQL: reading it, and writing what a config file says.

mod found;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::Value;
use tracing::warn;
use uuid::Uuid;

pub use self::found::{PAGE, find_changed, find_merchants_of, find_of_merchants, find_of_shards};
use super::secrets::load_secrets;
use super::{Pool, StoreError};
pub use crate::flow::subscriptions::SubscriptionRow;
use crate::model::secret::ReadSecret;
use crate::model::settings::{Layers, LockReach, Origin, resolve, resolve_matching};
use crate::model::subscription::Locked;
use crate::model::{Identity, Settings, Shard, Subscription};
use crate::vault::{Keyring, Opener};

/// The subscriptions of these ids, with their profiles and the locks that hold for them.
///
/// Profiles and locks are read after the rows: where one changes in between, its revision is
/// newer than the rows' and brings them again. So it is with a row that changes between two calls.
pub async fn load_by_id(pool: &Pool, ids: &[Uuid]) -> Result<Vec<SubscriptionRow>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT s.id AS "id!", s.merchant AS "merchant!", s.name AS "name!",
               posthorn.shard_of(s.merchant) AS "shard!",
               greatest(s.revision, p.revision, c.locks_revision) AS "revision!",
               s.created_at AS "created_at!", s.enabled AND s.gone_at IS NULL AS "enabled!",
               s.gone_at IS NOT NULL AS "gone!", s.paused AS "paused!", s.profile AS "profile?",
               s.managed_by AS "managed_by!", s.own AS "own!"
          FROM posthorn.config_revision c
         CROSS JOIN unnest($1::uuid[]) AS wanted (id)
         -- One by one: planned on an empty table, a join walks through all of it.
         CROSS JOIN LATERAL (
            SELECT s.*, jsonb_strip_nulls(to_jsonb(s)) AS own
              FROM posthorn.subscriptions s WHERE s.id = wanted.id OFFSET 0) AS s
          LEFT JOIN LATERAL (
            SELECT p.revision FROM posthorn.profiles p WHERE p.name = s.profile OFFSET 0) AS p ON true
        "#,
        ids,
    )
    .fetch_all(pool)
    .await?;
    let profiles = load_profiles(pool, &rows).await?;
    let locks = load_locks(pool, &rows).await?;
    let rows = rows.into_iter().map(|row| row.with(&profiles, &locks));
    Ok(rows.collect())
}

/// One subscription by its merchant and its own name.
pub async fn find_subscription(
    pool: &Pool,
    merchant: &str,
    name: &str,
) -> Result<Option<SubscriptionRow>, StoreError> {
    let id = sqlx::query_scalar!(
        "SELECT id FROM posthorn.subscriptions WHERE merchant = $1 AND name = $2",
        merchant,
        name
    );
    let id = id.fetch_optional(pool).await?;
    let found = load_by_id(pool, id.as_slice()).await?;
    Ok(found.into_iter().next())
}

/// The names of a merchant's subscriptions.
pub async fn list_names(pool: &Pool, merchant: &str) -> Result<Vec<String>, StoreError> {
    let names = sqlx::query_scalar!(
        "SELECT name FROM posthorn.subscriptions WHERE merchant = $1 ORDER BY name LIMIT 20",
        merchant
    );
    Ok(names.fetch_all(pool).await?)
}

/// A row of `posthorn.subscriptions`, without its layers.
struct Row {
    id: Uuid,
    merchant: String,
    name: String,
    shard: i16,
    revision: i64,
    created_at: DateTime<Utc>,
    enabled: bool,
    gone: bool,
    paused: bool,
    profile: Option<String>,
    managed_by: String,
    own: Value,
}

impl Row {
    fn with(self, profiles: &HashMap<String, Arc<Settings>>, locks: &[Lock]) -> SubscriptionRow {
        let profile = self.profile.as_deref();
        let held = locks
            .iter()
            .filter(|lock| lock.reach.covers(&self.merchant, profile));
        let layers = Layers {
            locks: held
                .map(|lock| (lock.name.clone(), Arc::clone(&lock.settings)))
                .collect(),
            own: Settings::of_row(&self.own),
            profile: profile.and_then(|name| {
                let settings = profiles.get(name)?;
                Some((name.to_owned(), Arc::clone(settings)))
            }),
        };
        SubscriptionRow {
            identity: Identity {
                id: self.id,
                merchant: self.merchant,
                name: self.name,
                shard: Shard(self.shard),
                revision: self.revision,
                created_at: self.created_at,
                enabled: self.enabled,
                paused: self.paused,
            },
            settings: layers.merged(),
            layers,
            managed_by: self.managed_by,
            gone: self.gone,
        }
    }
}

/// The profiles that these rows name, by their names.
async fn load_profiles(
    pool: &Pool,
    rows: &[Row],
) -> Result<HashMap<String, Arc<Settings>>, StoreError> {
    let named: HashSet<&str> = rows
        .iter()
        .filter_map(|row| row.profile.as_deref())
        .collect();
    if named.is_empty() {
        return Ok(HashMap::new());
    }
    let named: Vec<&str> = named.into_iter().collect();
    let rows = sqlx::query!(
        r#"
        SELECT name, jsonb_strip_nulls(to_jsonb(p)) AS "given!" FROM posthorn.profiles p
         WHERE name = ANY ($1)
        "#,
        &named as &[&str]
    )
    .fetch_all(pool)
    .await?;
    let profiles = rows
        .into_iter()
        .map(|row| (row.name, Arc::new(Settings::of_row(&row.given))));
    Ok(profiles.collect())
}

/// A row of `posthorn.locks`.
struct Lock {
    name: String,
    reach: LockReach,
    settings: Arc<Settings>,
}

/// The locks that may hold for these rows, the one that wins first.
async fn load_locks(pool: &Pool, rows: &[Row]) -> Result<Vec<Lock>, StoreError> {
    let merchants: HashSet<&str> = rows.iter().map(|row| &*row.merchant).collect();
    let merchants: Vec<&str> = merchants.into_iter().collect();
    let rows = sqlx::query!(
        r#"
        SELECT name, merchant, profile, jsonb_strip_nulls(to_jsonb(l)) AS "given!"
          FROM posthorn.locks l WHERE merchant IS NULL OR merchant = ANY ($1) ORDER BY name
        "#,
        &merchants as &[&str]
    )
    .fetch_all(pool)
    .await?;
    let mut locks: Vec<Lock> = rows
        .into_iter()
        .map(|row| Lock {
            name: row.name,
            reach: LockReach {
                merchant: row.merchant,
                profile: row.profile,
            },
            settings: Arc::new(Settings::of_row(&row.given)),
        })
        .collect();
    locks.sort_by_key(|lock| lock.reach.breadth());
    Ok(locks)
}

/// The configuration's revision of this moment.
pub async fn current_revision(pool: &Pool) -> Result<i64, StoreError> {
    Ok(
        sqlx::query_scalar!("SELECT revision FROM posthorn.config_revision")
            .fetch_one(pool)
            .await?,
    )
}

/// What opens the stored secrets that these rows name.
pub async fn load_opener<'k>(
    pool: &Pool,
    keys: &'k Keyring,
    rows: &[SubscriptionRow],
) -> Result<Opener<'k>, StoreError> {
    let wanted: HashSet<(String, String)> = rows
        .iter()
        .flat_map(|row| {
            let names = row.settings.stored_secrets().into_iter();
            names.map(|(_, name)| (row.identity.merchant.clone(), name))
        })
        .collect();
    let wanted: Vec<_> = wanted.into_iter().collect();
    Ok(Opener::new(keys, load_secrets(pool, &wanted).await?))
}

/// Disables a subscription whose endpoint is gone. The new revision tells every worker. False:
/// it was disabled as gone already.
pub async fn disable_gone_subscription(pool: &Pool, id: Uuid) -> Result<bool, StoreError> {
    let disabled = sqlx::query!(
        "UPDATE posthorn.subscriptions SET gone_at = now() WHERE id = $1 AND gone_at IS NULL",
        id
    )
    .execute(pool)
    .await?;
    Ok(disabled.rows_affected() > 0)
}

/// The subscription that takes effect. One whose settings cannot be used gets its events
/// all the same, and keeps them as pending until it is mended: nothing is lost. `elsewhere`
/// fetches the secrets that are not stored; `proxy_pools` are those that this worker knows.
#[must_use]
pub fn resolve_row(
    row: &SubscriptionRow,
    opener: &Opener<'_>,
    elsewhere: &ReadSecret<'_>,
    proxy_pools: &[String],
) -> (Option<Arc<Subscription>>, Option<Arc<str>>) {
    let SubscriptionRow {
        identity,
        layers,
        settings,
        ..
    } = row;
    let is_locked = |key| matches!(layers.origin(key), Origin::Lock(_));
    let locked = Locked {
        url: is_locked("url"),
        method: is_locked("method"),
        success_body: is_locked("success_body"),
    };
    let read = |from: &_| opener.read(&identity.merchant, from, elsewhere);
    let resolved = resolve(identity.clone(), settings, &read).and_then(|subscription| {
        match subscription.exit.problem_with(proxy_pools) {
            None => Ok(subscription),
            Some(problem) => Err(vec![problem]),
        }
    });
    let problems = match resolved {
        Ok(subscription) => {
            if let Some(guess) = subscription.auth.guess() {
                warn!(merchant = %identity.merchant, subscription = %identity.name,
                      "auth_secret: {guess}");
            }
            let subscription = Subscription {
                locked,
                ..subscription
            };
            return (Some(Arc::new(subscription)), None);
        }
        Err(problems) => problems,
    };
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let why: String = problems.join("; ").chars().take(LONGEST_WHY).collect();
    let why: Arc<str> = why.into();
    let subscription = resolve_matching(identity.clone(), settings).map(|subscription| {
        Arc::new(Subscription {
            unusable: Some(Arc::clone(&why)),
            ..subscription
        })
    });
    (subscription, Some(why))
}

/// The most characters of why a subscription cannot be used: each heartbeat carries it.
const LONGEST_WHY: usize = 500;
