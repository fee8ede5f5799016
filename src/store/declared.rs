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
    // One file at a time: two workers may start at once. With the setting, rows that files
    // own may change.
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtext('posthorn.config'))::text AS locked,
                set_config('posthorn.applying', 'on', true) AS applying"
    )
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
        "SELECT posthorn.declare('posthorn.profiles', 'name', $1)",
        rows
    )
    .fetch_one(connection)
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
        "SELECT posthorn.declare('posthorn.subscriptions', 'merchant, name', $1)",
        rows
    )
    .fetch_one(connection)
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
