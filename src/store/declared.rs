//! Writing the profiles and subscriptions that a config file declares.

use serde_json::Value;
use sqlx::{PgConnection, PgPool};

use super::StoreError;

/// What a config file declares, as rows for SQL.
#[derive(Debug, Default)]
pub struct Declared {
    /// JSON objects whose keys are columns of `posthorn.profiles`.
    pub profiles: Vec<Value>,
    /// The same of `posthorn.subscriptions`.
    pub subscriptions: Vec<Value>,
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
    let profiles = Value::Array(declared.profiles.clone());
    let subscriptions = Value::Array(declared.subscriptions.clone());
    declare_profiles(&mut transaction, &profiles).await?;
    refuse_rows_of_others(&mut transaction, &subscriptions).await?;
    declare_subscriptions(&mut transaction, &subscriptions).await?;
    disable_missing(&mut transaction, &subscriptions).await?;
    transaction.commit().await?;
    Ok(())
}

async fn declare_profiles(connection: &mut PgConnection, rows: &Value) -> Result<(), ApplyFailed> {
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
        rows,
    )
    .execute(&mut *connection)
    .await?;
    Ok(())
}

async fn refuse_rows_of_others(
    connection: &mut PgConnection,
    rows: &Value,
) -> Result<(), ApplyFailed> {
    let theirs = sqlx::query!(
        "SELECT s.merchant, s.name
           FROM jsonb_populate_recordset(NULL::posthorn.subscriptions, $1) AS r
           JOIN posthorn.subscriptions s ON s.merchant = r.merchant AND s.name = r.name
          WHERE s.managed_by <> 'file' ORDER BY 1, 2 LIMIT 1",
        rows,
    )
    .fetch_optional(connection)
    .await?;
    if let Some(row) = theirs {
        return Err(ApplyFailed::ManagedBySql {
            merchant: row.merchant,
            name: row.name,
        });
    }
    Ok(())
}

async fn declare_subscriptions(
    connection: &mut PgConnection,
    rows: &Value,
) -> Result<(), ApplyFailed> {
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
        rows,
    )
    .execute(&mut *connection)
    .await?;
    Ok(())
}

async fn disable_missing(connection: &mut PgConnection, rows: &Value) -> Result<(), ApplyFailed> {
    sqlx::query!(
        "UPDATE posthorn.subscriptions s SET enabled = false
          WHERE s.managed_by = 'file' AND s.enabled AND NOT EXISTS (
                SELECT FROM jsonb_populate_recordset(NULL::posthorn.subscriptions, $1) AS r
                 WHERE r.merchant = s.merchant AND r.name = s.name)",
        rows,
    )
    .execute(&mut *connection)
    .await?;
    Ok(())
}
