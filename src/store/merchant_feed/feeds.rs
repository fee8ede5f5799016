//! Merchants' feeds, from where each of them stopped.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use uuid::Uuid;

use super::pages::Pages;
use super::{FeedPage, Part, Reached};
use crate::store::rows::written;
use crate::store::{Pool, StoreError};

/// A part of one merchant's feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRequest {
    /// The merchant whose feed it is.
    pub merchant: Box<str>,
    /// The part of the log that is asked for.
    pub part: Part,
    /// The id below which nothing is read.
    pub floor: Uuid,
}

/// How much of the log one question goes through.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// The most rows that are gone through, whoever's they are.
    pub rows: u16,
    /// The most events of the merchant that asks.
    pub events: u16,
    /// The most bytes of their data that are kept; one event is kept at least.
    pub bytes: usize,
}

/// The next events of each request by `(xid, id)`; one page a request, in their order. One
/// statement for however many ask at the same time.
///
/// No index finds a merchant's events (docs/decisions/0030-feeds-read-the-log.md): the log is
/// gone through by its window index, a slice at a time, and the page says how far it came.
/// The rows of a slice are narrow; whole events are looked up by id for those that are found.
// Over 60 lines, as it is one statement.
#[expect(clippy::too_many_lines, reason = "it is one statement")]
pub async fn read_feeds(
    pool: &Pool,
    requests: &[FeedRequest],
    slice: Slice,
) -> Result<Vec<FeedPage>, StoreError> {
    let merchants: Vec<&str> = requests.iter().map(|r| &*r.merchant).collect();
    let since: Vec<String> = requests.iter().map(|r| r.part.since.to_string()).collect();
    let until: Vec<Option<String>> = requests
        .iter()
        .map(|r| r.part.until.as_ref().map(ToString::to_string))
        .collect();
    let after: Vec<Uuid> = requests.iter().map(|r| r.part.after).collect();
    let floor: Vec<Uuid> = requests.iter().map(|r| r.floor).collect();
    let mut rows = sqlx::query!(
        r#"
        WITH asked AS MATERIALIZED (
            SELECT a.n, a.merchant, a.since::pg_snapshot AS since,
                   coalesce(a.until::pg_snapshot, pg_current_snapshot()) AS until,
                   a.after, a.floor
              FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::uuid[])
                   WITH ORDINALITY AS a (merchant, since, until, after, floor, n)
        )
        SELECT asked.n AS "n!", asked.until::text AS "until!",
               page.first::text AS "first?", page.last::text AS "last?", page.last_id AS "last_id?",
               e.xid::text AS "xid?", e.id AS "id?", e.shard AS "shard?",
               e.merchant AS "merchant?", e.kind AS "kind?",
               e.transaction_id AS "transaction_id?", e.status AS "status?",
               coalesce(e.data::text, '') AS "data?", e.created_at AS "created_at?: DateTime<Utc>"
          FROM asked
         CROSS JOIN LATERAL (
            -- Arrays of an ordered sub-query have its order.
            SELECT CASE WHEN full_of_mine OR all_rows = $6 THEN first END AS first,
                   CASE WHEN full_of_mine THEN mine_xids[$7]
                        WHEN all_rows = $6 THEN last END AS last,
                   CASE WHEN full_of_mine THEN mine[$7]
                        WHEN all_rows = $6 THEN last_id END AS last_id,
                   mine[1:$7] AS mine
              FROM (
                SELECT count(*) AS all_rows,
                       (array_agg(s.xid))[1] AS first,
                       (array_agg(s.xid))[count(*)] AS last,
                       (array_agg(s.id))[count(*)] AS last_id,
                       array_agg(s.id) FILTER (WHERE s.is_mine) AS mine,
                       array_agg(s.xid) FILTER (WHERE s.is_mine) AS mine_xids,
                       count(*) FILTER (WHERE s.is_mine) >= $7 AS full_of_mine
                  FROM (
                    SELECT either.* FROM (
                        (SELECT one.*
                           FROM pg_snapshot_xip(asked.since) AS late (xid)
                          CROSS JOIN LATERAL (
                                SELECT v.xid, v.id, v.merchant = asked.merchant AS is_mine
                                  FROM posthorn.events v
                                 WHERE (v.xid, v.id) > (late.xid, asked.after)
                                   AND v.xid <= late.xid AND v.id >= asked.floor
                                   AND pg_visible_in_snapshot(v.xid, asked.until)
                                 ORDER BY v.xid, v.id LIMIT $6) AS one)
                        UNION ALL
                        (SELECT v.xid, v.id, v.merchant = asked.merchant AS is_mine
                           FROM posthorn.events v
                          WHERE v.xid >= pg_snapshot_xmax(asked.since)
                            AND v.id > asked.after AND v.id >= asked.floor
                            AND pg_visible_in_snapshot(v.xid, asked.until)
                          ORDER BY v.xid, v.id LIMIT $6)) AS either
                     ORDER BY either.xid, either.id LIMIT $6) AS s) AS gone_through) AS page
          LEFT JOIN LATERAL (
            SELECT v.*
              FROM unnest(page.mine) AS found (id)
             CROSS JOIN LATERAL (
                   SELECT o.* FROM posthorn.events o WHERE o.id = found.id OFFSET 0) AS v) AS e ON true
        "#,
        &merchants as &[&str],
        &since,
        &until as &[Option<String>],
        &after,
        &floor,
        i64::from(slice.rows),
        i64::from(slice.events),
    )
    .fetch(pool);
    let mut pages = Pages::of(requests.len(), slice.bytes);
    // Row by row, so that what is too much is nowhere.
    while let Some(row) = rows.try_next().await? {
        let ends = row.first.as_deref().zip(row.last.as_deref());
        let reached = reached(ends.zip(row.last_id));
        let event = written!(row);
        pages.add(row.n, &row.until, reached, event)?;
    }
    pages.all()
}

/// Where a slice ended: its first and last transaction, and its last event.
fn reached(ends: Option<((&str, &str), Uuid)>) -> Option<Reached> {
    let ((first, last), id) = ends?;
    Some(Reached {
        first: first.parse().ok()?,
        last: last.parse().ok()?,
        id,
    })
}
