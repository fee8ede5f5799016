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

/// The subscription that takes effect. One whose settings cannot be used (a secret that
/// this worker cannot read, a certificate that is none) is taken as paused: its
/// deliveries wait until it is mended, and nothing is lost. Returns whether it is usable.
#[must_use]
pub fn resolve_row(
    row: SubscriptionRow,
    read: &ReadSecret<'_>,
) -> (Option<Arc<Subscription>>, bool) {
    let SubscriptionRow { identity, settings } = row;
    let problems = match resolve(identity.clone(), &settings, read) {
        Ok(subscription) => return (Some(Arc::new(subscription)), true),
        Err(problems) => problems,
    };
    for problem in &problems {
        error!(merchant = %identity.merchant, subscription = %identity.name, %problem,
               "this subscription cannot be used; its deliveries wait until it is mended");
    }
    let waiting = Settings {
        url: Some("https://unusable.invalid/".to_owned()),
        kinds: settings.kinds,
        statuses: settings.statuses,
        ..Settings::default()
    };
    let subscription = resolve(
        Identity {
            paused: true,
            ..identity
        },
        &waiting,
        read,
    );
    (subscription.ok().map(Arc::new), false)
}

/// What a config file declares, as rows for SQL.
#[derive(Debug, Default)]
pub struct Declared {
    /// JSON objects whose keys are columns of `posthorn.profiles`.
    pub profiles: Vec<serde_json::Value>,
    /// The same of `posthorn.subscriptions`.
    pub subscriptions: Vec<serde_json::Value>,
}

#[derive(Debug, thiserror::Error)]
pub enum ApplyFailed {
    #[error(
        "{merchant}/{name} stands in the config file and, managed by hand, in posthorn.subscriptions; take it out of the file, or UPDATE … SET managed_by = 'file'"
    )]
    ManagedBySql { merchant: String, name: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for ApplyFailed {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Makes the file-managed subscriptions those of the file, in one transaction: new ones
/// are inserted, changed ones updated, missing ones disabled. Rows that people manage by
/// SQL are never touched; one of the same name is an error. Rows that are as declared are
/// left alone, so that starting a second worker changes nothing.
pub async fn apply_declared(pool: &PgPool, declared: &Declared) -> Result<(), ApplyFailed> {
    let mut transaction = pool.begin().await?;
    // One file at a time: two workers may start at once.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('posthorn.config'))::text AS locked")
        .fetch_one(&mut *transaction)
        .await?;
    let profiles = serde_json::Value::Array(declared.profiles.clone());
    let subscriptions = serde_json::Value::Array(declared.subscriptions.clone());
    sqlx::query!(
        r#"
        INSERT INTO posthorn.profiles AS p (name,
                url, method, encoding, fields, xml_root, kinds, statuses,
                success_statuses, success_body, give_up_statuses, auth,
                auth_secret, client_cert, client_key, ca_cert, retry,
                retry_interval, retry_factor, retry_cap, retry_jitter,
                retry_delays, max_attempts, max_age, retry_after, timeout,
                connect_timeout, max_in_flight, rate, "order", supersede)
        SELECT r.name,
                r.url, r.method, r.encoding, r.fields, r.xml_root, r.kinds, r.statuses,
                r.success_statuses, r.success_body, r.give_up_statuses,
                r.auth, r.auth_secret, r.client_cert, r.client_key, r.ca_cert,
                r.retry, r.retry_interval, r.retry_factor, r.retry_cap,
                r.retry_jitter, r.retry_delays, r.max_attempts, r.max_age,
                r.retry_after, r.timeout, r.connect_timeout, r.max_in_flight,
                r.rate, r."order", r.supersede
          FROM jsonb_populate_recordset(NULL::posthorn.profiles, $1) AS r
        ON CONFLICT (name) DO UPDATE SET (
                url, method, encoding, fields, xml_root, kinds, statuses,
                success_statuses, success_body, give_up_statuses, auth,
                auth_secret, client_cert, client_key, ca_cert, retry,
                retry_interval, retry_factor, retry_cap, retry_jitter,
                retry_delays, max_attempts, max_age, retry_after, timeout,
                connect_timeout, max_in_flight, rate, "order", supersede
            ) = (
                excluded.url, excluded.method, excluded.encoding, excluded.fields,
                excluded.xml_root, excluded.kinds, excluded.statuses,
                excluded.success_statuses, excluded.success_body,
                excluded.give_up_statuses, excluded.auth,
                excluded.auth_secret, excluded.client_cert,
                excluded.client_key, excluded.ca_cert, excluded.retry,
                excluded.retry_interval, excluded.retry_factor,
                excluded.retry_cap, excluded.retry_jitter,
                excluded.retry_delays, excluded.max_attempts,
                excluded.max_age, excluded.retry_after, excluded.timeout,
                excluded.connect_timeout, excluded.max_in_flight,
                excluded.rate, excluded."order", excluded.supersede)
         WHERE to_jsonb(p) - '{revision,created_at,updated_at}'::text[]
               IS DISTINCT FROM to_jsonb(excluded) - '{revision,created_at,updated_at}'::text[]
        "#,
        &profiles,
    )
    .execute(&mut *transaction)
    .await?;
    let theirs = sqlx::query!(
        "SELECT s.merchant, s.name
           FROM jsonb_populate_recordset(NULL::posthorn.subscriptions, $1) AS r
           JOIN posthorn.subscriptions s ON s.merchant = r.merchant AND s.name = r.name
          WHERE s.managed_by <> 'file' ORDER BY 1, 2 LIMIT 1",
        &subscriptions,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(row) = theirs {
        return Err(ApplyFailed::ManagedBySql {
            merchant: row.merchant,
            name: row.name,
        });
    }
    sqlx::query!(
        r#"
        INSERT INTO posthorn.subscriptions AS s (merchant, name, profile, enabled, paused, managed_by,
                url, method, encoding, fields, xml_root, kinds, statuses,
                success_statuses, success_body, give_up_statuses, auth,
                auth_secret, client_cert, client_key, ca_cert, retry,
                retry_interval, retry_factor, retry_cap, retry_jitter,
                retry_delays, max_attempts, max_age, retry_after, timeout,
                connect_timeout, max_in_flight, rate, "order", supersede)
        SELECT r.merchant, r.name, r.profile, r.enabled, r.paused, 'file',
                r.url, r.method, r.encoding, r.fields, r.xml_root, r.kinds, r.statuses,
                r.success_statuses, r.success_body, r.give_up_statuses,
                r.auth, r.auth_secret, r.client_cert, r.client_key, r.ca_cert,
                r.retry, r.retry_interval, r.retry_factor, r.retry_cap,
                r.retry_jitter, r.retry_delays, r.max_attempts, r.max_age,
                r.retry_after, r.timeout, r.connect_timeout, r.max_in_flight,
                r.rate, r."order", r.supersede
          FROM jsonb_populate_recordset(NULL::posthorn.subscriptions, $1) AS r
        ON CONFLICT (merchant, name) DO UPDATE SET (profile, enabled, paused,
                url, method, encoding, fields, xml_root, kinds, statuses,
                success_statuses, success_body, give_up_statuses, auth,
                auth_secret, client_cert, client_key, ca_cert, retry,
                retry_interval, retry_factor, retry_cap, retry_jitter,
                retry_delays, max_attempts, max_age, retry_after, timeout,
                connect_timeout, max_in_flight, rate, "order", supersede
            ) = (excluded.profile, excluded.enabled, excluded.paused,
                excluded.url, excluded.method, excluded.encoding, excluded.fields,
                excluded.xml_root, excluded.kinds, excluded.statuses,
                excluded.success_statuses, excluded.success_body,
                excluded.give_up_statuses, excluded.auth,
                excluded.auth_secret, excluded.client_cert,
                excluded.client_key, excluded.ca_cert, excluded.retry,
                excluded.retry_interval, excluded.retry_factor,
                excluded.retry_cap, excluded.retry_jitter,
                excluded.retry_delays, excluded.max_attempts,
                excluded.max_age, excluded.retry_after, excluded.timeout,
                excluded.connect_timeout, excluded.max_in_flight,
                excluded.rate, excluded."order", excluded.supersede)
         WHERE to_jsonb(s) - '{id,revision,created_at,updated_at}'::text[]
               IS DISTINCT FROM to_jsonb(excluded) - '{id,revision,created_at,updated_at}'::text[]
        "#,
        &subscriptions,
    )
    .execute(&mut *transaction)
    .await?;
    sqlx::query!(
        "UPDATE posthorn.subscriptions s SET enabled = false
          WHERE s.managed_by = 'file' AND s.enabled AND NOT EXISTS (
                SELECT FROM jsonb_populate_recordset(NULL::posthorn.subscriptions, $1) AS r
                 WHERE r.merchant = s.merchant AND r.name = s.name)",
        &subscriptions,
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}
