//! Sealing the stored secrets anew, a batch in a transaction, while workers read them.

use uuid::Uuid;

use super::error::ensure_met;
use super::secrets::SecretRow;
use super::{Pool, StoreError};
use crate::vault::{Sealed, Stored};

/// Rows of a batch: their locks, for which only another `set` or `rekey` waits, are held
/// for milliseconds.
const BATCH: i64 = 100;

/// The next secrets, in the order of their ids, that another key than this has sealed.
pub async fn find_sealed_by_others(
    pool: &Pool,
    key_id: &str,
    after: Uuid,
) -> Result<Vec<Uuid>, StoreError> {
    let ids = sqlx::query_scalar!(
        "SELECT id FROM posthorn.secrets WHERE id > $2 AND key_id <> $1 ORDER BY id LIMIT $3",
        key_id,
        after,
        BATCH,
    )
    .fetch_all(pool)
    .await?;
    Ok(ids)
}

/// Replaces the sealed form of these secrets by what `reseal` makes of each; none leaves
/// one as it is. Rows that were set or rekeyed meanwhile are passed over. Returns how many
/// were replaced.
///
/// The rows are locked in the order of their ids, so that two of these at once wait for
/// each other and never in a circle.
pub async fn reseal_batch(
    pool: &Pool,
    key_id: &str,
    ids: &[Uuid],
    mut reseal: impl FnMut(&Stored) -> Option<Sealed>,
) -> Result<u64, StoreError> {
    let mut transaction = pool.begin().await?;
    let rows = sqlx::query_as!(
        SecretRow,
        "SELECT id, merchant, name, key_id, nonce, ciphertext FROM posthorn.secrets
          WHERE id = ANY ($1) AND key_id <> $2 ORDER BY id FOR UPDATE",
        ids,
        key_id,
    )
    .fetch_all(&mut transaction)
    .await?;
    let (mut ids, mut key_ids, mut nonces, mut ciphertexts) = (vec![], vec![], vec![], vec![]);
    for row in rows {
        let stored = Stored::from(row);
        if let Some(sealed) = reseal(&stored) {
            ids.push(stored.id);
            key_ids.push(sealed.key_id);
            nonces.push(sealed.nonce);
            ciphertexts.push(sealed.ciphertext);
        }
    }
    // All of them: their locks are held since they were read.
    let replaced = sqlx::query!(
        "UPDATE posthorn.secrets s
            SET key_id = n.key_id, nonce = n.nonce, ciphertext = n.ciphertext
           FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[])
                AS n (id, key_id, nonce, ciphertext)
          WHERE s.id = n.id",
        &ids,
        &key_ids,
        &nonces,
        &ciphertexts,
    )
    .execute(&mut transaction)
    .await?;
    ensure_met(&replaced, ids.len(), "secrets")?;
    transaction.commit().await?;
    Ok(replaced.rows_affected())
}
