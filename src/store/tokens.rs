//! The tokens of the gateway. Only hashes are kept; each function that returns a token's text
//! returns it this one time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Serialize;
use sqlx::postgres::types::PgInterval;

use super::{Pool, StoreError};

/// The SHA-256 of a token (`posthorn.token_hash`).
pub type TokenHash = [u8; 32];

/// A row of `posthorn.api_tokens`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiTokenRow {
    /// The hash of the token.
    pub hash: TokenHash,
    /// Whose it is.
    pub merchant: Box<str>,
    /// When it ends; none: when it is revoked.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A row of `posthorn.sessions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The hash of the token.
    pub hash: TokenHash,
    /// Whose session it is.
    pub merchant: Box<str>,
    /// What it reads.
    pub subject: Subject,
    /// Patterns of the statuses that complete it; none: any does.
    pub complete_on: Option<Vec<String>>,
    /// What the client is told once the transaction is complete.
    pub complete_as: Box<str>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
}

/// What a session token reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One transaction, by its id.
    Transaction(Box<str>),
    /// The events of one device.
    Device(Box<str>),
}

/// The API tokens with these hashes that are not revoked; in no order.
pub async fn find_api_tokens(
    pool: &Pool,
    hashes: &[TokenHash],
) -> Result<Vec<ApiTokenRow>, StoreError> {
    let hashes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.to_vec()).collect();
    let rows = sqlx::query!(
        r#"
        SELECT t.token_hash AS "token_hash!", t.merchant AS "merchant!", t.expires_at
          FROM unnest($1::bytea[]) AS asked (token_hash)
         CROSS JOIN LATERAL (
               SELECT * FROM posthorn.api_tokens a
                WHERE a.token_hash = asked.token_hash AND a.revoked_at IS NULL
               OFFSET 0) AS t
        "#,
        &hashes,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(ApiTokenRow {
                hash: hash(&row.token_hash)?,
                merchant: row.merchant.into(),
                expires_at: row.expires_at,
            })
        })
        .collect()
}

/// The sessions with these hashes, ended ones included; in no order.
pub async fn find_sessions(
    pool: &Pool,
    hashes: &[TokenHash],
) -> Result<Vec<SessionRow>, StoreError> {
    let hashes: Vec<Vec<u8>> = hashes.iter().map(|hash| hash.to_vec()).collect();
    let rows = sqlx::query!(
        r#"
        SELECT t.token_hash AS "token_hash!", t.merchant AS "merchant!", t.transaction_id, t.device,
               t.complete_on, t.complete_as AS "complete_as!", t.expires_at AS "expires_at!"
          FROM unnest($1::bytea[]) AS asked (token_hash)
         CROSS JOIN LATERAL (
               SELECT * FROM posthorn.sessions s WHERE s.token_hash = asked.token_hash
               OFFSET 0) AS t
        "#,
        &hashes,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            let subject = match (row.transaction_id, row.device) {
                (Some(transaction), None) => Subject::Transaction(transaction.into()),
                (None, Some(device)) => Subject::Device(device.into()),
                _ => return Err(StoreError::Unreadable("a session")),
            };
            Ok(SessionRow {
                hash: hash(&row.token_hash)?,
                merchant: row.merchant.into(),
                subject,
                complete_on: row.complete_on,
                complete_as: row.complete_as.into(),
                expires_at: row.expires_at,
            })
        })
        .collect()
}

fn hash(bytes: &[u8]) -> Result<TokenHash, StoreError> {
    let hash = bytes.try_into();
    hash.map_err(|_| StoreError::Unreadable("a token's hash"))
}

/// What a new session is to be; what is absent has the function's default.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Whose session it is to be.
    pub merchant: Box<str>,
    /// What it is to read.
    pub subject: Subject,
    /// How long it is to last.
    pub lifetime: Option<Duration>,
    /// Patterns of the statuses that complete it.
    pub complete_on: Option<Vec<String>>,
    /// What the client is told once the transaction is complete.
    pub complete_as: Option<String>,
}

/// The token of a new session.
pub async fn issue_session(pool: &Pool, new: &NewSession) -> Result<SecretString, StoreError> {
    let lifetime = new.lifetime.map(interval);
    let token = match &new.subject {
        Subject::Transaction(transaction) => {
            sqlx::query_scalar!(
                r#"SELECT posthorn.issue_session($1, $2, $3, $4, $5) AS "token!""#,
                &*new.merchant,
                &**transaction,
                lifetime,
                new.complete_on.as_deref(),
                new.complete_as.as_deref(),
            )
            .fetch_one(pool)
            .await?
        }
        Subject::Device(device) => {
            sqlx::query_scalar!(
                r#"SELECT posthorn.issue_device_session($1, $2, $3) AS "token!""#,
                &*new.merchant,
                &**device,
                lifetime,
            )
            .fetch_one(pool)
            .await?
        }
    };
    Ok(token.into())
}

/// A new API token of a merchant; without a lifetime it lives until it is revoked.
pub async fn issue_api_token(
    pool: &Pool,
    merchant: &str,
    name: &str,
    lifetime: Option<Duration>,
) -> Result<SecretString, StoreError> {
    let token = sqlx::query_scalar!(
        r#"SELECT posthorn.issue_token($1, $2, $3) AS "token!""#,
        merchant,
        name,
        lifetime.map(interval),
    )
    .fetch_one(pool)
    .await?;
    Ok(token.into())
}

/// An API token as people know it: neither its text nor its hash.
#[derive(Debug, Serialize)]
pub struct Listed {
    /// Whose it is.
    pub merchant: String,
    /// What it is called.
    pub name: String,
    /// `valid`, `expired` or `revoked`.
    pub state: String,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
    /// When it ends; none: when it is revoked.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// The API tokens of one merchant or of all, by merchant and name.
pub async fn list_api_tokens(
    pool: &Pool,
    merchant: Option<&str>,
) -> Result<Vec<Listed>, StoreError> {
    Ok(sqlx::query_as!(
        Listed,
        r#"
        SELECT t.merchant, t.name, t.created_at, t.expires_at, t.revoked_at,
               CASE WHEN t.revoked_at IS NOT NULL THEN 'revoked'
                    WHEN t.expires_at <= now() THEN 'expired' ELSE 'valid' END AS "state!"
          FROM posthorn.api_tokens t
         WHERE $1::text IS NULL OR t.merchant = $1
         ORDER BY t.merchant, t.name
        "#,
        merchant
    )
    .fetch_all(pool)
    .await?)
}

/// Revokes an API token. False: the merchant has none of this name that is not revoked.
pub async fn revoke_api_token(pool: &Pool, merchant: &str, name: &str) -> Result<bool, StoreError> {
    let revoked = sqlx::query_scalar!(
        r#"SELECT posthorn.revoke_token($1, $2) AS "revoked!""#,
        merchant,
        name,
    );
    Ok(revoked.fetch_one(pool).await?)
}

/// Forgets the sessions that ended over an hour ago; returns how many.
pub async fn drop_sessions(pool: &Pool) -> Result<i64, StoreError> {
    let dropped = sqlx::query_scalar!(r#"SELECT posthorn.drop_sessions() AS "dropped!""#);
    Ok(dropped.fetch_one(pool).await?)
}

fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
    }
}
