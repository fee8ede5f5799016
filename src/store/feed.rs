//! Reading the log for those who fetch their events: everybody's newest events, merchants'
//! feeds from where they stopped, and the events of single transactions.

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use uuid::Uuid;

use super::{Pool, StoreError};
use crate::model::{Event, Shard, Snapshot};

/// Events with the transactions that wrote them, as they were at `until`.
#[derive(Debug)]
pub struct FeedPage {
    pub until: Snapshot,
    pub events: Vec<(u64, Event)>,
    /// How far the reading came; none: through all of the part.
    pub reached: Option<Reached>,
}

/// A reading by `(xid, id)` that stopped before the end of its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The transaction of the first row that was gone through.
    pub first: u64,
    /// That of the last.
    pub last: u64,
    /// The last row's id.
    pub id: Uuid,
}

/// The same for all merchants, with what a gateway has to know of the database beside it.
#[derive(Debug)]
pub struct LogPage {
    pub page: FeedPage,
    /// Of the tokens.
    pub revision: i64,
    /// What the transaction ids belong to.
    pub cluster: String,
    pub now: DateTime<Utc>,
}

/// The event of a row with its transaction; none where the left join found no event. A macro,
/// because each checked statement has a row type of its own.
macro_rules! written {
    ($row:ident) => {
        (|| {
            let event = Event {
                id: $row.id?,
                shard: Shard($row.shard?),
                merchant: $row.merchant?.into(),
                kind: $row.kind?.into(),
                transaction_id: $row.transaction_id?.into(),
                status: $row.status?.into(),
                data: $row.data?.into(),
                created_at: $row.created_at?,
            };
            Some(($row.xid?.parse().ok()?, event))
        })()
    };
}

/// Which part of the log to read: what was written by transactions that `since` does not
/// include and `until` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub since: Snapshot,
    /// None: this very moment, which the answer then names.
    pub until: Option<Snapshot>,
    /// Only events with a greater id.
    pub after: Uuid,
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
/// The rules are those of [`read_page`](super::events::read_page): one statement, so that its
/// own snapshot is the window's end; late transactions one by one; qualified ORDER BY.
/// `floor` leaves out the partitions of closed days.
pub async fn read_log(
    pool: &Pool,
    part: &Part,
    floor: Uuid,
    limit: i64,
) -> Result<LogPage, StoreError> {
    let rows = sqlx::query!(
        r#"
        WITH part AS MATERIALIZED (
            SELECT $1::text::pg_snapshot AS since,
                   coalesce($2::text::pg_snapshot, pg_current_snapshot()) AS until
        )
        SELECT part.until::text AS "until!",
               (SELECT revision FROM posthorn.gateway_revision) AS "revision!",
               posthorn.cluster() AS "cluster!", clock_timestamp() AS "now!",
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
                        SELECT v.* FROM posthorn.events v
                         WHERE (v.xid, v.id) > (late.xid, $3) AND v.xid <= late.xid AND v.id >= $4
                           AND pg_visible_in_snapshot(v.xid, part.until)
                         ORDER BY v.xid, v.id LIMIT $5) AS one)
                UNION ALL
                (SELECT v.* FROM posthorn.events v
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
    )
    .fetch_all(pool)
    .await?;

    // The left join gives a row even where there is no event.
    let first = rows.first().ok_or(StoreError::Unreadable("a page"))?;
    let until = snapshot(&first.until)?;
    let (revision, cluster, now) = (first.revision, first.cluster.clone(), first.now);
    let events = rows.into_iter().filter_map(|row| written!(row));
    let mut events: Vec<(u64, Event)> = events.collect();
    events.sort_by_key(|(xid, event)| (*xid, event.id));
    let is_cut = i64::try_from(events.len()).is_ok_and(|count| count >= limit);
    let ends = events.first().zip(events.last()).filter(|_| is_cut);
    let reached = ends.map(|((first, _), (last, event))| Reached {
        first: *first,
        last: *last,
        id: event.id,
    });
    Ok(LogPage {
        page: FeedPage {
            until,
            events,
            reached,
        },
        revision,
        cluster,
        now,
    })
}

/// A part of one merchant's feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedRequest {
    pub merchant: Box<str>,
    pub part: Part,
    /// Nothing below this id.
    pub floor: Uuid,
}

/// How much of the log one question goes through.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// Rows, whoever's they are.
    pub rows: u16,
    /// Events of the merchant that asks.
    pub events: u16,
    /// Bytes of their data that are kept; one event at least.
    pub bytes: usize,
}

/// The next events of each request by `(xid, id)`; one page a request, in their order. One
/// statement for however many ask at the same time.
///
/// No index finds a merchant's events (docs/decisions/0030-feeds-read-the-log.md): the log is
/// gone through by its window index, a slice at a time, and the page says how far it came.
/// The rows of a slice are narrow; whole events are looked up by id for those that are found.
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
        let ends = row.first.zip(row.last).zip(row.last_id);
        let reached = ends.and_then(|((first, last), id)| {
            Some(Reached {
                first: first.parse().ok()?,
                last: last.parse().ok()?,
                id,
            })
        });
        let event = written!(row);
        pages.add(row.n, &row.until, reached, event)?;
    }
    pages.all()
}

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

/// The pages of one statement, by the numbers of what was asked.
struct Pages {
    pages: Vec<Option<Page>>,
    /// Of the data that each of them keeps.
    most: usize,
}

struct Page {
    page: FeedPage,
    bytes: usize,
}

impl Pages {
    fn of(count: usize, most: usize) -> Self {
        Self {
            pages: (0..count).map(|_| None).collect(),
            most,
        }
    }

    /// Numbers count from 1, as WITH ORDINALITY does.
    fn add(
        &mut self,
        n: i64,
        until: &str,
        reached: Option<Reached>,
        event: Option<(u64, Event)>,
    ) -> Result<(), StoreError> {
        let at = usize::try_from(n - 1).unwrap_or(usize::MAX);
        let page = self.pages.get_mut(at);
        let page = match page.ok_or(StoreError::Unreadable("a page"))? {
            Some(page) => page,
            none => none.insert(Page {
                page: FeedPage {
                    until: snapshot(until)?,
                    events: Vec::new(),
                    reached,
                },
                bytes: 0,
            }),
        };
        if let Some(event) = event {
            page.add(event, self.most);
        }
        Ok(())
    }

    fn all(self) -> Result<Vec<FeedPage>, StoreError> {
        let pages = self.pages.into_iter();
        let pages: Option<Vec<FeedPage>> = pages.map(|page| Some(page?.page)).collect();
        pages.ok_or(StoreError::Unreadable("a page"))
    }
}

impl Page {
    /// Keeps the first events by `(xid, id)`, as many as there is room for and one at least;
    /// with the others it reaches no further than the last of those.
    fn add(&mut self, event: (u64, Event), most: usize) {
        let Self { page, bytes } = self;
        let is_beyond = |reached: Reached| (event.0, event.1.id) > (reached.last, reached.id);
        if page.reached.is_some_and(is_beyond) {
            return;
        }
        *bytes += event.1.data.len();
        page.events.push(event);
        while *bytes > most && page.events.len() > 1 {
            let key = |&at: &usize| (page.events[at].0, page.events[at].1.id);
            let Some(last) = (0..page.events.len()).max_by_key(key) else {
                return;
            };
            *bytes -= page.events.swap_remove(last).1.data.len();
            let keys = page.events.iter().map(|(xid, event)| (*xid, event.id));
            let (Some((first, _)), Some((last, id))) = (keys.clone().min(), keys.max()) else {
                return;
            };
            let first = page.reached.map_or(first, |reached| reached.first);
            page.reached = Some(Reached { first, last, id });
        }
    }
}

fn snapshot(text: &str) -> Result<Snapshot, StoreError> {
    text.parse()
        .map_err(|_| StoreError::Unreadable("a snapshot"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use crate::model::samples;

    #[test]
    fn a_page_keeps_its_first_events_and_reaches_no_further() {
        let rows = [(9, 1, 40), (9, 2, 40), (10, 3, 40), (11, 4, 1), (9, 5, 1)];
        // In whichever order the rows come.
        for turn in 0..rows.len() {
            let mut pages = Pages::of(1, 90);
            for (xid, id, bytes) in rows.iter().cycle().skip(turn).take(rows.len()) {
                let event = Event {
                    id: Uuid::from_u128(*id),
                    data: "x".repeat(*bytes).into(),
                    ..samples::event()
                };
                pages.add(1, "20:20:", None, Some((*xid, event))).unwrap();
            }
            let page = pages.all().unwrap().remove(0);
            let reached = page.reached.unwrap();
            assert_eq!((reached.first, reached.last), (9, 9));
            let mut ids: Vec<u128> = page.events.iter().map(|e| e.1.id.as_u128()).collect();
            ids.sort_unstable();
            // Which of the two depends on the order; what is reached is all there.
            let last = reached.id.as_u128();
            assert!(
                ids == [1, 2] && last == 2 || ids == [1, 2, 5] && last == 5,
                "{ids:?}"
            );
        }
    }
}
