//! `posthorn.secrets`: sealed credentials, which this room never opens.

use uuid::Uuid;

use super::{Pool, StoreError};
use crate::vault::{Sealed, Stored};

/// The stored secrets of these merchants and names, those that are there.
///
/// Read them after the rows that name them: where one changes in between, the rows get a
/// newer revision, which brings both again.
pub async fn load_secrets(
    pool: &Pool,
    wanted: &[(String, String)],
) -> Result<Vec<Stored>, StoreError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let (merchants, names): (Vec<_>, Vec<_>) = wanted.iter().cloned().unzip();
    let rows = sqlx::query_as!(
        SecretRow,
        r#"
        SELECT s.id AS "id!", s.merchant AS "merchant!", s.name AS "name!",
               s.key_id AS "key_id!", s.nonce AS "nonce!", s.ciphertext AS "ciphertext!"
          FROM unnest($1::text[], $2::text[]) AS w (merchant, name)
         CROSS JOIN LATERAL (
               SELECT * FROM posthorn.secrets s
                WHERE s.merchant = w.merchant AND s.name = w.name OFFSET 0) s
        "#,
        &merchants,
        &names,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Stored::from).collect())
}

/// A row of `posthorn.secrets`.
pub(super) struct SecretRow {
    pub id: Uuid,
    pub merchant: String,
    pub name: String,
    pub key_id: String,
    pub nonce: Vec<u8>,
    pub ciphertext: Vec<u8>,
}

impl From<SecretRow> for Stored {
    fn from(row: SecretRow) -> Self {
        Self {
            id: row.id,
            merchant: row.merchant,
            name: row.name,
            sealed: Sealed {
                key_id: row.key_id,
                nonce: row.nonce,
                ciphertext: row.ciphertext,
            },
        }
    }
}

/// How many secrets each key has sealed, by the key's id.
pub async fn count_by_key(pool: &Pool) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = sqlx::query!(
        r#"SELECT key_id, count(*) AS "secrets!" FROM posthorn.secrets GROUP BY key_id ORDER BY key_id"#
    )
    .fetch_all(pool)
    .await?;
    let counts = rows.into_iter().map(|row| (row.key_id, row.secrets));
    Ok(counts.collect())
}

/// The id under which a secret is to be sealed: that of its row, or a new one.
pub async fn id_for_secret(pool: &Pool, merchant: &str, name: &str) -> Result<Uuid, StoreError> {
    let id = sqlx::query_scalar!(
        r#"SELECT coalesce((SELECT id FROM posthorn.secrets WHERE merchant = $1 AND name = $2),
                           posthorn.uuid_v7()) AS "id!""#,
        merchant,
        name,
    )
    .fetch_one(pool)
    .await?;
    Ok(id)
}

/// Writes a secret, new or in the place of its old value. False: the row has another id by
/// now, and the secret must be sealed for that one.
pub async fn put_secret(pool: &Pool, secret: &Stored) -> Result<bool, StoreError> {
    let Stored {
        id,
        merchant,
        name,
        sealed,
    } = secret;
    let written = sqlx::query!(
        "INSERT INTO posthorn.secrets AS s (id, merchant, name, key_id, nonce, ciphertext)
         VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (merchant, name) DO UPDATE
            SET key_id = excluded.key_id, nonce = excluded.nonce, ciphertext = excluded.ciphertext,
                changed_at = excluded.changed_at
          WHERE s.id = excluded.id",
        id,
        merchant,
        name,
        sealed.key_id,
        sealed.nonce,
        sealed.ciphertext,
    )
    .execute(pool)
    .await?;
    Ok(written.rows_affected() == 1)
}

/// What can be told of a secret without opening it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Whose it is.
    pub merchant: String,
    /// What it is called.
    pub name: String,
    /// Which key has sealed it.
    pub key_id: String,
    /// When it was written last.
    pub changed_at: chrono::DateTime<chrono::Utc>,
}

/// The secrets of a merchant, or of all.
pub async fn list_secrets(pool: &Pool, merchant: Option<&str>) -> Result<Vec<Listed>, StoreError> {
    let rows = sqlx::query_as!(
        Listed,
        "SELECT merchant, name, key_id, changed_at FROM posthorn.secrets
          WHERE $1::text IS NULL OR merchant = $1 ORDER BY merchant, name",
        merchant,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows)
}

/// Why a secret was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveFailed {
    /// The database's own words, which name the subscriptions.
    #[error("{0}; take it out of their settings, their profile's and the locks' first")]
    Named(String),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Removes a secret that no subscription of its merchant names; false if there is none.
pub async fn remove_secret(pool: &Pool, merchant: &str, name: &str) -> Result<bool, RemoveFailed> {
    let removed = sqlx::query!(
        "DELETE FROM posthorn.secrets WHERE merchant = $1 AND name = $2",
        merchant,
        name,
    )
    .execute(pool)
    .await;
    match removed {
        Ok(removed) => Ok(removed.rows_affected() == 1),
        // restrict_violation
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("23001") => {
            Err(RemoveFailed::Named(error.message().to_owned()))
        }
        Err(error) => Err(StoreError::from(error).into()),
    }
}
