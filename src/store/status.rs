//! How Posthorn is, for people: the `posthorn.status_…` views.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::looking::look;
use super::{Pool, StoreError, Transaction};

/// How Posthorn is, at one moment.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The database's time.
    pub at: DateTime<Utc>,
    /// Every worker that is known.
    pub workers: Vec<WorkerStatus>,
    /// How the shards are owned.
    pub shards: ShardStatus,
    /// What nobody has read yet.
    pub unread: Unread,
    /// What waits in the database.
    pub open: Open,
    /// The subscriptions: those with trouble first, then those with the oldest open deliveries.
    pub subscriptions: Vec<SubscriptionStatus>,
}

/// A worker that has said that it is alive.
#[derive(Debug, Serialize)]
pub struct WorkerStatus {
    /// Its name.
    pub worker: String,
    /// Its id, which it has for one run.
    pub worker_id: Uuid,
    /// The version that it runs.
    pub version: String,
    /// Whether it is alive.
    pub live: bool,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was heard of last.
    pub seen_at: DateTime<Utc>,
    /// How many shards it owns.
    pub shards: i64,
    /// Its requests in the air.
    pub in_flight: i32,
    /// Deliveries in its memory.
    pub queued: i32,
}

/// How the shards are owned, in numbers.
#[derive(Debug, Serialize)]
pub struct ShardStatus {
    /// Owned, and their lease holds.
    pub owned: i64,
    /// Owned by nobody.
    pub free: i64,
    /// Owned by a worker whose lease is over.
    pub expired: i64,
    /// Checkpoints of another cluster: of before a restore or a failover.
    pub of_other_clusters: i64,
    /// When the oldest checkpoint was written.
    pub oldest_checkpoint_at: Option<DateTime<Utc>>,
}

/// Events behind the checkpoints.
#[derive(Debug, Serialize)]
pub struct Unread {
    /// How many there are.
    pub events: i64,
    /// When the oldest of them was inserted.
    pub oldest_at: Option<DateTime<Utc>>,
}

/// Deliveries that wait in the database, of all subscriptions.
#[derive(Debug, Serialize)]
pub struct Open {
    /// How many there are.
    pub deliveries: i64,
    /// How many have not been tried.
    pub pending: i64,
    /// How many have been tried.
    pub retrying: i64,
    /// How many a replay has opened.
    pub replayed: i64,
    /// When the event of the oldest of them was inserted, replays left out.
    pub oldest_at: Option<DateTime<Utc>>,
    /// Subscriptions with any.
    pub subscriptions: i64,
    /// Subscriptions with trouble.
    pub in_trouble: i64,
}

/// A subscription, what it waits for, and what is amiss with it.
#[derive(Debug, Serialize)]
pub struct SubscriptionStatus {
    /// Whose it is.
    pub merchant: String,
    /// What it is called.
    pub subscription: String,
    /// Its id.
    pub subscription_id: Uuid,
    /// What is amiss, by its name; none: nothing.
    pub trouble: Option<String>,
    /// What is amiss in words, where the trouble's name does not tell.
    pub why: Option<String>,
    /// Its deliveries that wait in the database.
    pub open: i64,
    /// How many have not been tried.
    pub pending: i64,
    /// How many have been tried.
    pub retrying: i64,
    /// How many a replay has opened.
    pub replayed: i64,
    /// When the event of the oldest of them was inserted, replays left out.
    pub oldest_at: Option<DateTime<Utc>>,
    /// When the next of them is due.
    pub next_attempt_at: Option<DateTime<Utc>>,
}

/// All at one moment. At most `limit` subscriptions: those with trouble or something open,
/// or all of the merchant's.
pub async fn read_status(
    pool: &Pool,
    merchant: Option<&str>,
    limit: i64,
) -> Result<Status, StoreError> {
    let mut transaction = look(pool).await?;
    let status = Status {
        at: sqlx::query_scalar!(r#"SELECT now() AS "now!""#)
            .fetch_one(&mut transaction)
            .await?,
        workers: workers(&mut transaction).await?,
        shards: shards(&mut transaction).await?,
        unread: unread(&mut transaction).await?,
        open: open(&mut transaction, merchant).await?,
        subscriptions: subscriptions(&mut transaction, merchant, limit).await?,
    };
    transaction.commit().await?;
    Ok(status)
}

async fn workers(connection: &mut Transaction) -> Result<Vec<WorkerStatus>, StoreError> {
    Ok(sqlx::query_as!(
        WorkerStatus,
        r#"
        SELECT w.worker AS "worker!", w.worker_id AS "worker_id!", w.version AS "version!",
               w.live AS "live!", w.started_at AS "started_at!", w.seen_at AS "seen_at!",
               w.shards AS "shards!", w.in_flight AS "in_flight!", w.queued AS "queued!"
          FROM posthorn.status_workers w
         ORDER BY w.live DESC, w.worker, w.worker_id
        "#
    )
    .fetch_all(connection)
    .await?)
}

async fn shards(connection: &mut Transaction) -> Result<ShardStatus, StoreError> {
    Ok(sqlx::query_as!(
        ShardStatus,
        r#"
        SELECT count(*) FILTER (WHERE s.ownership = 'owned') AS "owned!",
               count(*) FILTER (WHERE s.ownership = 'free') AS "free!",
               count(*) FILTER (WHERE s.ownership = 'expired') AS "expired!",
               count(*) FILTER (WHERE NOT s.of_this_cluster) AS "of_other_clusters!",
               min(s.checkpoint_at) AS oldest_checkpoint_at
          FROM posthorn.status_shards s
        "#
    )
    .fetch_one(connection)
    .await?)
}

async fn unread(connection: &mut Transaction) -> Result<Unread, StoreError> {
    Ok(sqlx::query_as!(
        Unread,
        r#"SELECT u.events AS "events!", u.oldest_at FROM posthorn.status_unread u"#
    )
    .fetch_one(connection)
    .await?)
}

async fn open(connection: &mut Transaction, merchant: Option<&str>) -> Result<Open, StoreError> {
    Ok(sqlx::query_as!(
        Open,
        r#"
        SELECT coalesce(sum(s.open), 0)::bigint AS "deliveries!",
               coalesce(sum(s.pending), 0)::bigint AS "pending!",
               coalesce(sum(s.retrying), 0)::bigint AS "retrying!",
               coalesce(sum(s.replayed), 0)::bigint AS "replayed!",
               min(s.oldest_at) AS oldest_at,
               count(*) FILTER (WHERE s.open > 0) AS "subscriptions!",
               count(s.trouble) AS "in_trouble!"
          FROM posthorn.status_subscriptions s
         WHERE $1::text IS NULL OR s.merchant = $1
        "#,
        merchant
    )
    .fetch_one(connection)
    .await?)
}

async fn subscriptions(
    connection: &mut Transaction,
    merchant: Option<&str>,
    limit: i64,
) -> Result<Vec<SubscriptionStatus>, StoreError> {
    Ok(sqlx::query_as!(
        SubscriptionStatus,
        r#"
        SELECT s.merchant AS "merchant!", s.subscription AS "subscription!",
               s.subscription_id AS "subscription_id!", s.trouble, s.why, s.open AS "open!",
               s.pending AS "pending!", s.retrying AS "retrying!", s.replayed AS "replayed!",
               s.oldest_at, s.next_attempt_at
          FROM posthorn.status_subscriptions s
         WHERE CASE WHEN $1::text IS NULL THEN s.trouble IS NOT NULL OR s.open > 0
                    ELSE s.merchant = $1 END
         ORDER BY s.trouble IS NULL, s.oldest_at, s.merchant, s.subscription
         LIMIT $2
        "#,
        merchant,
        limit
    )
    .fetch_all(connection)
    .await?)
}
