//! The newest events of all merchants, which a gateway keeps in memory.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{FeedPage, Part, Reached, snapshot};
use crate::model::{Event, Snapshot};
use crate::store::by_day::Stretch;
use crate::store::days::LogNames;
use crate::store::rows::written;
use crate::store::{Pool, StoreError};

/// New events of all merchants, with what a gateway has to know of the database beside them.
#[derive(Debug)]
pub struct LogPage {
    /// The events.
    pub page: FeedPage,
    /// The revision of the tokens.
    pub revision: i64,
    /// What the transaction ids belong to.
    pub cluster: String,
    /// The database's clock.
    pub now: DateTime<Utc>,
}

/// A snapshot of this database from which on about so many of its newest events are new, and
/// whatever has not been committed yet.
///
/// It lies below what any client has seen whose newest event is among them: what ran then
/// and has ended since, such a client has seen or is about to.
pub async fn snapshot_before(pool: &Pool, events: i64) -> Result<Snapshot, StoreError> {
    let row = sqlx::query!(
        r#"
        SELECT pg_current_snapshot()::text AS "now!",
               (SELECT v.xid::text FROM posthorn.events v
                 ORDER BY v.xid DESC, v.id DESC OFFSET $1 LIMIT 1) AS first
        "#,
        events,
    )
    .fetch_one(pool)
    .await?;
    let now = snapshot(&row.now)?;
    let first = row.first.and_then(|xid| xid.parse().ok());
    Ok(now.below(&Snapshot::before_everything(), first.unwrap_or(0)))
}

/// The first `limit` events of a part by `(xid, id)`, of all merchants.
///
/// The rules are those of [`read_page`](crate::store::log::read_page): one statement, so that its
/// own snapshot is the window's end; late transactions one by one; qualified ORDER BY.
/// `floor` leaves out the partitions of closed days, and those that have rows are named.
pub async fn read_log(
    pool: &Pool,
    part: &Part,
    floor: Uuid,
    limit: i64,
) -> Result<LogPage, StoreError> {
    let stretch = Stretch {
        floor,
        window: None,
    };
    pool.read_by_day(stretch, |log| read_log_of(pool, log, part, floor, limit))
        .await
}

/// None: there is more of the log than these days.
async fn read_log_of(
    pool: &Pool,
    log: LogNames,
    part: &Part,
    floor: Uuid,
    limit: i64,
) -> Result<Option<LogPage>, StoreError> {
    let rows = sqlx::query!(
        r#"
        WITH part AS MATERIALIZED (
            SELECT $1::text::pg_snapshot AS since,
                   coalesce($2::text::pg_snapshot, pg_current_snapshot()) AS until
        )
        SELECT (SELECT until::text FROM part) AS "until!",
               (SELECT revision FROM posthorn.gateway_revision) AS "revision!",
               (SELECT posthorn.cluster()) AS "cluster!", clock_timestamp() AS "now!",
               (SELECT posthorn.are_all_days($6, $7)) AS "is_whole!",
               e.xid::text AS "xid?", e.id AS "id?", e.shard AS "shard?",
               e.merchant AS "merchant?", e.kind AS "kind?",
               e.transaction_id AS "transaction_id?", e.status AS "status?",
               coalesce(e.data::text, '') AS "data?", e.created_at AS "created_at?: DateTime<Utc>"
          FROM part
          LEFT JOIN LATERAL (
            SELECT either.* FROM (
                (SELECT one.*
                   FROM pg_snapshot_xip(part.since) AS late (xid)
                  CROSS JOIN LATERAL (
                        SELECT v.* FROM posthorn.events /* by day */ v
                         WHERE (v.xid, v.id) > (late.xid, $3) AND v.xid <= late.xid AND v.id >= $4
                           AND pg_visible_in_snapshot(v.xid, part.until)
                         ORDER BY v.xid, v.id LIMIT $5) AS one)
                UNION ALL
                (SELECT v.* FROM posthorn.events /* by day */ v
                  WHERE v.xid >= pg_snapshot_xmax(part.since) AND v.id > $3 AND v.id >= $4
                    AND pg_visible_in_snapshot(v.xid, part.until)
                  ORDER BY v.xid, v.id LIMIT $5)) AS either
             ORDER BY either.xid, either.id LIMIT $5) AS e ON true
        "#,
        part.since.to_string(),
        part.until.as_ref().map(ToString::to_string),
        part.after,
        floor,
        limit,
        log.stamp.as_deref(),
        &log.empty,
    )
    .fetch_all(log.names.by(pool))
    .await?;

    // The left join gives a row even where there is no event.
    let first = rows.first().ok_or(StoreError::Unreadable("a page"))?;
    if !first.is_whole {
        return Ok(None);
    }
    let until = snapshot(&first.until)?;
    let (revision, cluster, now) = (first.revision, first.cluster.clone(), first.now);
    let events = rows.into_iter().filter_map(|row| written!(row)).collect();
    Ok(Some(LogPage {
        page: page(until, events, limit),
        revision,
        cluster,
        now,
    }))
}

/// A page of at most `limit` events, which come in any order.
fn page(until: Snapshot, mut events: Vec<(u64, Event)>, limit: i64) -> FeedPage {
    events.sort_by_key(|(xid, event)| (*xid, event.id));
    let is_cut = i64::try_from(events.len()).is_ok_and(|count| count >= limit);
    let ends = events.first().zip(events.last()).filter(|_| is_cut);
    let reached = ends.map(|((first, _), (last, event))| Reached {
        first: *first,
        last: *last,
        id: event.id,
    });
    FeedPage {
        until,
        events,
        reached,
    }
}
