//! Leases, epochs and checkpoints.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::types::PgInterval;
use uuid::Uuid;

use super::{Pool, StoreError};
use crate::flow::shards::{Condition, FleetView, Renewed, Taken};
use crate::model::{Epoch, Shard, Snapshot};

/// The cluster this connection talks to, and its clock.
pub async fn cluster_and_time(pool: &Pool) -> Result<(String, DateTime<Utc>), StoreError> {
    let row =
        sqlx::query!(r#"SELECT posthorn.cluster() AS "cluster!", clock_timestamp() AS "time!""#)
            .fetch_one(pool)
            .await?;
    Ok((row.cluster, row.time))
}

/// Says that this worker is alive and how it is, and forgets workers that have not been for
/// a day. Returns the database's time.
pub async fn heartbeat(
    pool: &Pool,
    worker: Uuid,
    name: &str,
    lease: Duration,
    condition: &Condition,
) -> Result<DateTime<Utc>, StoreError> {
    let (unusable, why): (Vec<Uuid>, Vec<String>) = condition.unusable.iter().cloned().unzip();
    let int = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let time = sqlx::query_scalar!(
        // However many are gone, mostly none.
        r#"WITH gone AS (DELETE FROM posthorn.workers WHERE seen_at < now() - interval '1 day')
         INSERT INTO posthorn.workers
                (id, name, version, lease, in_flight, queued, breakers_open, unusable, unusable_why)
         VALUES ($1, $2, $3, $4::interval, $5, $6, $7, $8, $9)
         ON CONFLICT (id) DO UPDATE
            SET seen_at = now(), lease = excluded.lease, in_flight = excluded.in_flight,
                queued = excluded.queued, breakers_open = excluded.breakers_open,
                unusable = excluded.unusable, unusable_why = excluded.unusable_why
         RETURNING clock_timestamp() AS "time!""#,
        worker,
        name,
        env!("CARGO_PKG_VERSION"),
        interval(lease),
        int(condition.in_flight),
        int(condition.queued),
        &condition.breakers_open,
        &unusable,
        &why,
    )
    .fetch_one(pool)
    .await?;
    Ok(time)
}

/// Takes a worker that stops off the list of those that are alive.
pub async fn forget_worker(pool: &Pool, worker: Uuid) -> Result<(), StoreError> {
    // None where it was never heard of, or not for a day: it is off the list either way.
    sqlx::query!("DELETE FROM posthorn.workers WHERE id = $1", worker)
        .execute(pool)
        .await?;
    Ok(())
}

/// How many workers live, and which shards this one could take.
pub async fn look_at_fleet(
    pool: &Pool,
    worker: Uuid,
    lease: Duration,
) -> Result<FleetView, StoreError> {
    let row = sqlx::query!(
        r#"
        SELECT (SELECT count(*) FROM posthorn.workers WHERE seen_at > now() - $1::interval) AS "live!",
               count(*) AS "shards!",
               coalesce(array_agg(shard ORDER BY shard)
                        FILTER (WHERE owner IS NULL OR owner = $2 OR expires_at < now()), '{}') AS "takeable!"
          FROM posthorn.shards
        "#,
        interval(lease),
        worker
    )
    .fetch_one(pool)
    .await?;
    Ok(FleetView {
        live_workers: usize::try_from(row.live).unwrap_or(0),
        shards: usize::try_from(row.shards).unwrap_or(0),
        takeable: row.takeable.into_iter().map(Shard).collect(),
    })
}

/// Takes shards that are still free or expired, under a new epoch, and only in the cluster
/// named: how their events are read depends on it. A row that another
/// worker is taking at this moment is looked at again once it has. A batch of the last
/// owner that is being committed holds a share lock on the row: it is waited for, so
/// what the new owner reads next includes it.
pub async fn take_shards(
    pool: &Pool,
    worker: Uuid,
    lease: Duration,
    cluster: &str,
    shards: &[Shard],
) -> Result<Vec<Taken>, StoreError> {
    let shards: Vec<i16> = shards.iter().map(|shard| shard.0).collect();
    let rows = sqlx::query!(
        r#"
        UPDATE posthorn.shards s
           SET owner = $1, epoch = s.epoch + 1, expires_at = now() + $2::interval
         WHERE s.shard = ANY ($3) AND (s.owner IS NULL OR s.owner = $1 OR s.expires_at < now())
           AND posthorn.cluster() = $4
        RETURNING s.shard, s.epoch, s.checkpoint::text AS "checkpoint!", s.checkpoint_at, s.cluster
        "#,
        worker,
        interval(lease),
        &shards,
        cluster
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Taken {
                shard: Shard(row.shard),
                epoch: Epoch(row.epoch),
                checkpoint: row
                    .checkpoint
                    .parse()
                    .map_err(|_| StoreError::Unreadable("a checkpoint"))?,
                checkpoint_at: row.checkpoint_at,
                cluster: row.cluster,
            })
        })
        .collect()
}

/// Renews leases, and says in which cluster: after a failover this is the first that a
/// worker hears of it. There it does no harm: the rows name this worker and its epoch, so
/// nobody else acts for them, and the worker takes them anew.
///
/// It locks the shards' rows and no others, so it waits for no other worker's heartbeat.
/// Of two renewals that wait for one another the later counts from when it goes on
/// (`clock_timestamp()`, evaluated again for the new version of the row): whichever it is,
/// the lease never ends earlier than the other's.
pub async fn renew_leases(
    pool: &Pool,
    worker: Uuid,
    lease: Duration,
    held: &[(Shard, Epoch)],
) -> Result<Renewed, StoreError> {
    let (shards, epochs) = columns(held);
    let row = sqlx::query!(
        r#"
        WITH renewed AS (
            UPDATE posthorn.shards s SET expires_at = clock_timestamp() + $2::interval
              FROM unnest($3::smallint[], $4::bigint[]) AS held (shard, epoch)
             WHERE s.shard = held.shard AND s.epoch = held.epoch AND s.owner = $1
            RETURNING s.shard)
        SELECT posthorn.cluster() AS "cluster!", coalesce(array_agg(shard), '{}') AS "ours!"
          FROM renewed
        "#,
        worker,
        interval(lease),
        &shards,
        &epochs
    )
    .fetch_one(pool)
    .await?;
    Ok(Renewed {
        cluster: row.cluster,
        ours: row.ours.into_iter().map(Shard).collect(),
    })
}

/// Writes checkpoints, fenced by epoch, and only in the cluster whose transaction ids
/// they are made of: after a failover they would mean something else.
pub async fn write_checkpoints(
    pool: &Pool,
    worker: Uuid,
    cluster: &str,
    checkpoints: &[(Shard, Epoch, Snapshot)],
) -> Result<(), StoreError> {
    let (shards, epochs, texts) = checkpoint_columns(checkpoints);
    // Fewer where shards are another worker's by now, whose checkpoint counts, and none in
    // another cluster. The next renewal of the leases tells the worker of both.
    sqlx::query!(
        "UPDATE posthorn.shards s
            SET checkpoint = c.checkpoint::pg_snapshot, checkpoint_at = now(), cluster = $2
           FROM unnest($3::smallint[], $4::bigint[], $5::text[]) AS c (shard, epoch, checkpoint)
          WHERE s.shard = c.shard AND s.epoch = c.epoch AND s.owner = $1
            AND posthorn.cluster() = $2",
        worker,
        cluster,
        &shards,
        &epochs,
        &texts
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Gives shards up; their last checkpoints are written before.
pub async fn release_shards(
    pool: &Pool,
    worker: Uuid,
    held: &[(Shard, Epoch)],
) -> Result<(), StoreError> {
    let (shards, epochs) = columns(held);
    // Fewer where shards are another worker's by now: they are given up already.
    sqlx::query!(
        "UPDATE posthorn.shards s SET owner = NULL, expires_at = NULL
           FROM unnest($2::smallint[], $3::bigint[]) AS held (shard, epoch)
          WHERE s.shard = held.shard AND s.epoch = held.epoch AND s.owner = $1",
        worker,
        &shards,
        &epochs
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Shards and epochs in the order of the shards: statements lock their rows in the order that they
/// are given, and two
/// that each have some of the other's wait for one another.
fn columns(held: &[(Shard, Epoch)]) -> (Vec<i16>, Vec<i64>) {
    let mut held: Vec<(i16, i64)> = held
        .iter()
        .map(|(shard, epoch)| (shard.0, epoch.0))
        .collect();
    held.sort_unstable();
    held.into_iter().unzip()
}

fn checkpoint_columns(
    checkpoints: &[(Shard, Epoch, Snapshot)],
) -> (Vec<i16>, Vec<i64>, Vec<String>) {
    let mut in_order: Vec<&(Shard, Epoch, Snapshot)> = checkpoints.iter().collect();
    in_order.sort_unstable_by_key(|(shard, ..)| shard.0);
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for (shard, epoch, snapshot) in in_order {
        columns.0.push(shard.0);
        columns.1.push(epoch.0);
        columns.2.push(snapshot.to_string());
    }
    columns
}

/// A lease or a delay as an SQL interval; whole microseconds, at most 30 days here.
pub(super) fn interval(span: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(span.as_micros()).unwrap_or(i64::MAX),
    }
}
