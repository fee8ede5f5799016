//! The configuration that lives in SQL: reading it, and writing what a config file says.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tracing::error;

use super::StoreError;
use crate::model::secret::ReadSecret;
use crate::model::settings::resolve;
use crate::model::{Identity, Settings, Shard, Subscription};

/// A row of `posthorn.subscriptions`, its profile's settings merged in.
#[derive(Clone, Debug)]
pub struct SubscriptionRow {
    pub identity: Identity,
    pub settings: Settings,
}

/// The subscriptions that changed after `revision`, themselves or by their profile, of all
/// shards or of some.
pub async fn load_subscriptions(
    pool: &PgPool,
    after_revision: i64,
    shards: Option<&[Shard]>,
) -> Result<Vec<SubscriptionRow>, StoreError> {
    let shards: Option<Vec<i16>> =
        shards.map(|shards| shards.iter().map(|shard| shard.0).collect());
    let rows = sqlx::query!(
        r#"
        SELECT s.id AS "id!", s.merchant AS "merchant!", s.name AS "name!", posthorn.shard_of(s.merchant) AS "shard!",
               greatest(s.revision, p.revision) AS "revision!", s.created_at AS "created_at!",
               s.enabled AS "enabled!", s.paused AS "paused!",
               coalesce(s.url, p.url) AS "url",
               coalesce(s.method, p.method) AS "method",
               coalesce(s.encoding, p.encoding) AS "encoding",
               coalesce(s.fields, p.fields) AS "fields: serde_json::Value",
               coalesce(s.xml_root, p.xml_root) AS "xml_root",
               coalesce(s.kinds, p.kinds) AS "kinds",
               coalesce(s.statuses, p.statuses) AS "statuses",
               coalesce(s.success_statuses, p.success_statuses) AS "success_statuses",
               coalesce(s.success_body, p.success_body) AS "success_body",
               coalesce(s.give_up_statuses, p.give_up_statuses) AS "give_up_statuses",
               coalesce(s.auth, p.auth) AS "auth",
               coalesce(s.auth_secret, p.auth_secret) AS "auth_secret",
               coalesce(s.client_cert, p.client_cert) AS "client_cert",
               coalesce(s.client_key, p.client_key) AS "client_key",
               coalesce(s.ca_cert, p.ca_cert) AS "ca_cert",
               coalesce(s.retry, p.retry) AS "retry",
               extract(epoch FROM coalesce(s.retry_interval, p.retry_interval))::float8 AS "retry_interval: f64",
               coalesce(s.retry_factor, p.retry_factor) AS "retry_factor",
               extract(epoch FROM coalesce(s.retry_cap, p.retry_cap))::float8 AS "retry_cap: f64",
               coalesce(s.retry_jitter, p.retry_jitter) AS "retry_jitter",
               (SELECT array_agg(extract(epoch FROM delay)::float8 ORDER BY at)
                  FROM unnest(coalesce(s.retry_delays, p.retry_delays)) WITH ORDINALITY AS d (delay, at)) AS "retry_delays: Vec<f64>",
               coalesce(s.max_attempts, p.max_attempts) AS "max_attempts",
               extract(epoch FROM coalesce(s.max_age, p.max_age))::float8 AS "max_age: f64",
               coalesce(s.retry_after, p.retry_after) AS "retry_after",
               extract(epoch FROM coalesce(s.timeout, p.timeout))::float8 AS "timeout: f64",
               extract(epoch FROM coalesce(s.connect_timeout, p.connect_timeout))::float8 AS "connect_timeout: f64",
               coalesce(s.max_in_flight, p.max_in_flight) AS "max_in_flight",
               coalesce(s.rate, p.rate) AS "rate",
               coalesce(s."order", p."order") AS "order",
               coalesce(s.supersede, p.supersede) AS "supersede"
          FROM posthorn.subscriptions s
          LEFT JOIN posthorn.profiles p ON p.name = s.profile
         WHERE (s.revision > $1 OR p.revision > $1)
           AND ($2::smallint[] IS NULL OR posthorn.shard_of(s.merchant) = ANY ($2))
        "#,
        after_revision,
        shards.as_deref(),
    )
    .fetch_all(pool)
    .await?;
    let rows = rows.into_iter().map(|row| SubscriptionRow {
        identity: Identity {
            id: row.id,
            merchant: row.merchant,
            name: row.name,
            shard: Shard(row.shard),
            revision: row.revision,
            created_at: row.created_at,
            enabled: row.enabled,
            paused: row.paused,
        },
        settings: Settings {
            url: row.url,
            method: row.method,
            encoding: row.encoding,
            fields: row.fields,
            xml_root: row.xml_root,
            kinds: row.kinds,
            statuses: row.statuses,
            success_statuses: row.success_statuses,
            success_body: row.success_body,
            give_up_statuses: row.give_up_statuses,
            auth: row.auth,
            auth_secret: row.auth_secret,
            client_cert: row.client_cert,
            client_key: row.client_key,
            ca_cert: row.ca_cert,
            retry: row.retry,
            retry_interval: row.retry_interval.map(seconds),
            retry_factor: row.retry_factor,
            retry_cap: row.retry_cap.map(seconds),
            retry_jitter: row.retry_jitter,
            retry_delays: row
                .retry_delays
                .map(|delays| delays.into_iter().map(seconds).collect()),
            max_attempts: row.max_attempts,
            max_age: row.max_age.map(seconds),
            retry_after: row.retry_after,
            timeout: row.timeout.map(seconds),
            connect_timeout: row.connect_timeout.map(seconds),
            max_in_flight: row.max_in_flight,
            rate: row.rate,
            order: row.order,
            supersede: row.supersede,
        },
    });
    Ok(rows.collect())
}

/// The configuration's revision of this moment.
pub async fn current_revision(pool: &PgPool) -> Result<i64, StoreError> {
    Ok(
        sqlx::query_scalar!("SELECT revision FROM posthorn.config_revision")
            .fetch_one(pool)
            .await?,
    )
}

/// CHECK constraints keep intervals positive and below months.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// The subscription that takes effect. One whose settings cannot be used gets its events
/// all the same, and keeps them as pending until it is mended: nothing is lost.
#[must_use]
pub fn resolve_row(row: &SubscriptionRow, read: &ReadSecret<'_>) -> Option<Arc<Subscription>> {
    let SubscriptionRow { identity, settings } = row;
    let problems = match resolve(identity.clone(), settings, read) {
        Ok(subscription) => return Some(Arc::new(subscription)),
        Err(problems) => problems,
    };
    for problem in &problems {
        error!(merchant = %identity.merchant, subscription = %identity.name, %problem,
               "this subscription cannot be used; its deliveries wait until it is mended");
    }
    let matching = Settings {
        url: Some("https://unusable.invalid/".to_owned()),
        kinds: settings.kinds.clone(),
        statuses: settings.statuses.clone(),
        ..Settings::default()
    };
    let subscription = resolve(identity.clone(), &matching, read).ok()?;
    Some(Arc::new(Subscription {
        usable: false,
        ..subscription
    }))
}
