//! The events of single transactions.

use chrono::{DateTime, Utc};

use super::FeedPage;
use super::pages::Pages;
use crate::store::rows::written;
use crate::store::{Pool, StoreError};

/// The newest `limit` events of each transaction, given as merchant and transaction id; one
/// page each, in their order.
///
/// A foreign transaction's page is as empty as that of one that is not there, and the look-up
/// by the merchant too takes the same way through the index.
pub async fn read_transactions(
    pool: &Pool,
    transactions: &[(Box<str>, Box<str>)],
    limit: i64,
) -> Result<Vec<FeedPage>, StoreError> {
    let (merchants, ids): (Vec<&str>, Vec<&str>) = transactions
        .iter()
        .map(|(merchant, id)| (&**merchant, &**id))
        .unzip();
    let rows = sqlx::query!(
        r#"
        SELECT asked.n AS "n!", pg_current_snapshot()::text AS "until!",
               e.xid::text AS "xid?", e.id AS "id?", e.shard AS "shard?",
               e.merchant AS "merchant?", e.kind AS "kind?",
               e.transaction_id AS "transaction_id?", e.status AS "status?",
               coalesce(e.data::text, '') AS "data?", e.created_at AS "created_at?: DateTime<Utc>"
          FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS asked (merchant, transaction_id, n)
          LEFT JOIN LATERAL (
               SELECT v.* FROM posthorn.events v
                WHERE v.transaction_id = asked.transaction_id AND v.merchant = asked.merchant
                ORDER BY v.id DESC LIMIT $3) AS e ON true
        "#,
        &merchants as &[&str],
        &ids as &[&str],
        limit,
    )
    .fetch_all(pool)
    .await?;
    let mut pages = Pages::of(transactions.len(), usize::MAX);
    for row in rows {
        let event = written!(row);
        pages.add(row.n, &row.until, None, event)?;
    }
    pages.all()
}
