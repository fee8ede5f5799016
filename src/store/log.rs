//! Reading the log as a worker does, by snapshot windows.
//!
//! How gateways read it for merchants is [`merchant_feed`](super::merchant_feed)'s matter.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::by_day::Stretch;
use super::days::LogNames;
use super::rows::{event_of, written};
use super::{Pool, StoreError};
use crate::flow::window::{PageRequest, WindowPage};
use crate::model::{Event, Shard, Snapshot};

/// Reads up to `limit` events of each late transaction and `limit` of the younger ones.
///
/// - One statement: its own snapshot is the window's end, so what it sees is exactly
///   what is visible there, without a second round trip.
/// - `floor` leaves out the partitions of closed days (`feed::floor`); of the others it names
///   those that have rows, and looks whether it is still so.
/// - ORDER BY columns are qualified: an output alias of the same name would win, and
///   every page would sort the whole window.
pub async fn read_page(
    pool: &Pool,
    request: &PageRequest,
    shards: &[Shard],
    floor: Uuid,
) -> Result<WindowPage, StoreError> {
    let late = request.late.iter().map(|late| late.xid);
    let since = late.fold(request.after.0, u64::min);
    let window = request.until.as_ref().map(|until| (until, since));
    let stretch = Stretch { floor, window };
    pool.read_by_day(stretch, |log| {
        read_page_of(pool, log, request, shards, floor)
    })
    .await
}

/// None: there is more of the log than these days.
// Over 60 lines, as it is one statement.
#[expect(clippy::too_many_lines, reason = "it is one statement")]
async fn read_page_of(
    pool: &Pool,
    log: LogNames,
    request: &PageRequest,
    shards: &[Shard],
    floor: Uuid,
) -> Result<Option<WindowPage>, StoreError> {
    let shards: Vec<i16> = shards.iter().map(|shard| shard.0).collect();
    let late = &request.late;
    let late_xids: Vec<String> = late.iter().map(|late| late.xid.to_string()).collect();
    let late_after: Vec<Uuid> = late.iter().map(|late| late.after).collect();
    let are_left: Vec<bool> = late.iter().map(|late| late.left).collect();
    let left = late.iter().filter(|late| late.left);
    let unread_from = left.map(|late| late.after).min().unwrap_or_default();
    let rows = sqlx::query_as!(
        WindowRow,
        r#"
        WITH upto AS MATERIALIZED (
            SELECT coalesce($1::text::pg_snapshot, pg_current_snapshot()) AS snapshot
        ), is_left AS MATERIALIZED (
            SELECT late.xid::xid8 AS xid, late.after
              FROM unnest($2::text[], $3::uuid[], $4::boolean[]) AS late (xid, after, is_left)
             WHERE late.is_left
        )
        SELECT (SELECT snapshot::text FROM upto) AS "until!",
               -- From the same snapshot: whoever commits a subscription and then an event can
               -- rely on the one for the other.
               (SELECT revision FROM posthorn.config_revision) AS "revision!",
               -- A session may outlive the schema that it was opened for. As a sub-query it is
               -- asked once, and not for each row.
               (SELECT posthorn.tables()) AS "tables!",
               (SELECT posthorn.are_all_days($11, $12)) AS "is_whole!",
               e.xid::text AS "xid?", e.id AS "id?", e.shard AS "shard?",
               e.merchant AS "merchant?", e.kind AS "kind?",
               e.transaction_id AS "transaction_id?", e.status AS "status?",
               coalesce(e.data::text, '') AS "data?", e.created_at AS "created_at?: DateTime<Utc>",
               -- Whether the event would overtake an unread one is looked up by payment, in the
               -- index events_transaction, and only while another transaction than its own is
               -- left. OFFSET 0 keeps the planner from going through all that is left for each
               -- event instead.
               CASE WHEN EXISTS (SELECT FROM is_left WHERE is_left.xid <> e.xid) THEN EXISTS (
                    SELECT FROM (
                        SELECT v.xid, v.id FROM posthorn.events /* by day */ v
                         WHERE v.transaction_id = e.transaction_id AND v.merchant = e.merchant
                           AND v.id >= $5 AND v.id < e.id
                        OFFSET 0) AS older
                      JOIN is_left ON is_left.xid = older.xid AND is_left.after < older.id
                     WHERE older.xid <> e.xid)
                    ELSE false END AS "is_overtaking!"
          FROM upto
          -- A row even where there is no event.
          LEFT JOIN LATERAL (
            -- Late transactions are looked up one by one: with xid = ANY (…) PostgreSQL 16 and
            -- older lose the index's order and sort the whole window. As a range, too: with
            -- xid = … the order is that of the ids alone, and where large transactions have
            -- shaped the statistics, each look-up goes through the whole partition by its
            -- primary key.
            (SELECT one.*
               FROM unnest($2::text[], $3::uuid[]) AS late (xid, after)
              CROSS JOIN LATERAL (
                    SELECT v.* FROM posthorn.events /* by day */ v
                     WHERE (v.xid, v.id) > (late.xid::xid8, late.after) AND v.xid <= late.xid::xid8
                       AND v.id >= $6 AND v.shard = ANY ($7)
                       AND pg_visible_in_snapshot(v.xid, upto.snapshot)
                     ORDER BY v.xid, v.id LIMIT $8) AS one)
            UNION ALL
            (SELECT v.* FROM posthorn.events /* by day */ v
              WHERE (v.xid, v.id) > ($9::text::xid8, $10::uuid)
                AND v.id >= $6 AND v.shard = ANY ($7)
                AND pg_visible_in_snapshot(v.xid, upto.snapshot)
              ORDER BY v.xid, v.id LIMIT $8)
          ) AS e ON true
        "#,
        request.until.as_ref().map(ToString::to_string),
        // what is late, and of that what is left
        &late_xids,
        &late_after,
        &are_left,
        floor.max(unread_from),
        // of all
        floor,
        &shards,
        request.limit,
        // what is younger
        request.after.0.to_string(),
        request.after.1,
        // the days
        log.stamp.as_deref(),
        &log.empty,
    )
    .fetch_all(log.names.by(pool))
    .await?;
    let first = rows.first().ok_or(StoreError::Unreadable("a page"))?;
    pool.keeps(&first.tables)?;
    if !first.is_whole {
        return Ok(None);
    }
    let until = first.until.parse();
    Ok(Some(WindowPage {
        until: until.map_err(|_| StoreError::Unreadable("a snapshot"))?,
        revision: first.revision,
        overtaking: rows
            .iter()
            .filter(|row| row.is_overtaking)
            .filter_map(|row| row.id)
            .collect(),
        events: rows.into_iter().filter_map(WindowRow::event).collect(),
    }))
}

/// A row of a window's page, with what is the same in all of them.
struct WindowRow {
    until: String,
    revision: i64,
    tables: String,
    is_whole: bool,
    xid: Option<String>,
    id: Option<Uuid>,
    shard: Option<i16>,
    merchant: Option<String>,
    kind: Option<String>,
    transaction_id: Option<String>,
    status: Option<String>,
    data: Option<String>,
    created_at: Option<DateTime<Utc>>,
    is_overtaking: bool,
}

impl WindowRow {
    /// The row's event behind its transaction; none where there is no event.
    fn event(self) -> Option<(u64, Event)> {
        written!(self)
    }
}

/// The database's snapshot of this moment.
pub async fn current_snapshot(pool: &Pool) -> Result<Snapshot, StoreError> {
    sqlx::query_scalar!(r#"SELECT pg_current_snapshot()::text AS "snapshot!""#)
        .fetch_one(pool)
        .await?
        .parse()
        .map_err(|_| StoreError::Unreadable("a snapshot"))
}

/// Events of some shards by id, whichever transaction wrote them, that are visible in a
/// snapshot: what is left when the ids of earlier transactions mean nothing.
pub async fn read_by_id(
    pool: &Pool,
    shards: &[Shard],
    after: Uuid,
    until: &Snapshot,
    limit: i64,
) -> Result<Vec<Event>, StoreError> {
    let shards: Vec<i16> = shards.iter().map(|shard| shard.0).collect();
    let rows = sqlx::query!(
        r#"
        SELECT v.id, v.shard AS "shard!", v.merchant, v.kind, v.transaction_id, v.status,
               coalesce(v.data::text, '') AS "data!", v.created_at
          FROM posthorn.events v
         WHERE v.id > $1 AND v.shard = ANY ($2)
           AND pg_visible_in_snapshot(v.xid, $3::text::pg_snapshot)
         ORDER BY v.id LIMIT $4
        "#,
        after,
        &shards,
        until.to_string(),
        limit
    )
    .fetch_all(pool)
    .await?;
    // Asked afterwards: tables that are still the same now were the same when they were read.
    let tables = sqlx::query_scalar!(r#"SELECT posthorn.tables() AS "tables!""#);
    pool.keeps(&tables.fetch_one(pool).await?)?;
    let events = rows.into_iter();
    Ok(events.map(|row| event_of!(row, row.id, row.data)).collect())
}

/// One event, whichever shard it is of.
pub async fn find_event(pool: &Pool, id: Uuid) -> Result<Option<Event>, StoreError> {
    let row = sqlx::query!(
        r#"
        SELECT v.id, v.shard AS "shard!", v.merchant, v.kind, v.transaction_id, v.status,
               v.data::text AS "data!", v.created_at
          FROM posthorn.events v
         WHERE v.id = $1
        "#,
        id
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| event_of!(row, row.id, row.data)))
}

/// Makes events of another cluster old in this one; returns how many there were.
pub async fn settle_foreign_events(pool: &Pool) -> Result<i64, StoreError> {
    Ok(
        sqlx::query_scalar!(r#"SELECT posthorn.settle_foreign_events() AS "count!""#)
            .fetch_one(pool)
            .await?,
    )
}
