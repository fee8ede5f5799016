//! The database's key for security tokens.

use super::{Pool, StoreError};
use crate::model::TokenKey;

/// The one that the migration made; it never changes (docs/decisions/0011).
pub async fn load_token_key(pool: &Pool) -> Result<TokenKey, StoreError> {
    let key = sqlx::query_scalar!("SELECT key FROM posthorn.token_key")
        .fetch_one(pool)
        .await?;
    Ok(TokenKey::new(&key))
}
