//! Deliveries that wait in the database: what is due, and when the next one is.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::days::Table;
use super::rows::event_of;
use super::{Pool, StoreError, Transaction};
use crate::flow::refill::{NextDue, RefillRequest, Refilled, Waiting};
use crate::model::{DeliveryKey, Endpoint, Event, Shard};

/// The earliest due deliveries of each lane (with `not_due_too` the later ones as well), up
/// to its room, in one query: a lane without room costs nothing. `held` are deliveries in
/// memory, or whose rows are about to change: their rows are passed over.
///
/// What is due is a matter of `now()`, the start of the transaction: unlike the clock, it
/// can bound the index, and in the same transaction [`find_next_due`] goes on from there.
///
/// Their events are read by a statement of its own, in the days that they are of: they never
/// change.
pub async fn refill_lanes(
    pool: &Pool,
    transaction: &mut Transaction,
    lanes: &[RefillRequest],
    held: &[DeliveryKey],
) -> Result<Vec<Refilled>, StoreError> {
    let due = find_due(transaction, lanes, held).await?;
    let ids: HashSet<Uuid> = due.iter().map(|row| row.event_id).collect();
    let events = find_events(pool, transaction, &ids.into_iter().collect::<Vec<_>>()).await?;
    let refilled = due.into_iter().filter_map(|row| {
        let event = events.get(&row.event_id)?;
        Some(row.refilled(Arc::clone(event)))
    });
    Ok(refilled.collect())
}

// Over 60 lines, as it is one statement.
#[expect(clippy::too_many_lines, reason = "it is one statement")]
async fn find_due(
    transaction: &mut Transaction,
    lanes: &[RefillRequest],
    held: &[DeliveryKey],
) -> Result<Vec<DueRow>, StoreError> {
    let lanes = LaneColumns::of(lanes);
    let held_events: Vec<Uuid> = held.iter().map(|key| key.event_id).collect();
    let held_subscriptions: Vec<Uuid> = held.iter().map(|key| key.subscription_id).collect();
    let held_generations: Vec<i32> = held.iter().map(|key| key.generation).collect();
    Ok(sqlx::query_as!(
        DueRow,
        r#"
        SELECT lane.id AS "lane_id!", due.event_id AS "event_id!",
               due.subscription_id AS "subscription_id!",
               due.generation AS "generation!", due.attempts AS "attempts!",
               due.turned_away AS "turned_away!",
               due.opened_at AS "opened_at!",
               due.template_id AS "template_id?", t.url AS "url?", t.method AS "method?",
               t.success_body AS "success_body?",
               due.template_id IS NOT NULL AND t.is_open IS NOT TRUE AS "ended!",
               -- Whoever takes a shard over may refill its lanes before it is told of these.
               due.replay_id IS NOT NULL AND EXISTS (
                   SELECT FROM posthorn.replays r
                    WHERE r.id = due.replay_id AND r.state = 'cancelling') AS "cancelled!"
          FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::boolean[], $6::boolean[])
            AS lane (shard, id, room, replay_room, heads_only, not_due_too)
         CROSS JOIN LATERAL (
           -- What events caused themselves.
           (SELECT p.event_id, p.subscription_id, p.generation, p.attempts, p.turned_away, p.due_at, p.template_id, p.opened_at, p.replay_id
              FROM posthorn.pending_deliveries p
             WHERE p.generation = 0 AND p.shard = lane.shard AND p.lane_id = lane.id
               AND p.due_at <= CASE WHEN lane.not_due_too THEN 'infinity' ELSE now() END
               AND (p.event_id, p.subscription_id, p.generation) NOT IN
                   (SELECT * FROM unnest($7::uuid[], $8::uuid[], $9::int[]))
               -- Not while an older one of its transaction is open. Replays are not waited for:
               -- they repeat what has its order behind it.
               AND NOT (lane.heads_only AND EXISTS (
                   SELECT FROM posthorn.pending_deliveries older
                    WHERE older.subscription_id::text || older.transaction_id
                          = p.subscription_id::text || p.transaction_id
                      AND older.event_id < p.event_id AND older.generation = 0))
             ORDER BY p.due_at, p.event_id
             LIMIT lane.room)
            UNION ALL
           -- Replays have an index and a room of their own, and come last: those that there is
           -- no room for stand in nobody's way.
           (SELECT p.event_id, p.subscription_id, p.generation, p.attempts, p.turned_away, p.due_at, p.template_id, p.opened_at, p.replay_id
              FROM posthorn.pending_deliveries p
             WHERE p.generation > 0 AND p.shard = lane.shard AND p.lane_id = lane.id
               AND p.due_at <= CASE WHEN lane.not_due_too THEN 'infinity' ELSE now() END
               AND (p.event_id, p.subscription_id, p.generation) NOT IN
                   (SELECT * FROM unnest($7::uuid[], $8::uuid[], $9::int[]))
               AND NOT (lane.heads_only AND EXISTS (
                   SELECT FROM posthorn.pending_deliveries older
                    WHERE older.subscription_id::text || older.transaction_id
                          = p.subscription_id::text || p.transaction_id
                      AND older.event_id < p.event_id))
             ORDER BY p.due_at, p.event_id
             LIMIT lane.replay_room)) AS due
          LEFT JOIN LATERAL (
            -- The endpoint, of a transaction's subscription alone: of others it costs nothing, as
            -- the condition is seen before the index is.
            SELECT s.url, s.method, s.success_body, s.ended_at IS NULL AS is_open
              FROM posthorn.transaction_subscriptions s
             WHERE due.template_id IS NOT NULL AND s.id = due.subscription_id
            OFFSET 0) AS t ON true
         ORDER BY due.due_at, due.event_id
        "#,
        // lane
        &lanes.shards,
        &lanes.ids,
        &lanes.rooms,
        &lanes.replay_rooms,
        &lanes.heads_only,
        &lanes.not_due_too,
        // what is held
        &held_events,
        &held_subscriptions,
        &held_generations,
    )
    .fetch_all(transaction)
    .await?)
}

async fn find_events(
    pool: &Pool,
    transaction: &mut Transaction,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Arc<Event>>, StoreError> {
    let days = pool.days_of(&[Table::Events], ids.iter().copied()).await?;
    let rows = sqlx::query!(
        r#"
        SELECT e.id AS "id!", e.shard AS "shard!", e.merchant AS "merchant!", e.kind AS "kind!",
               e.transaction_id AS "transaction_id!", e.status AS "status!",
               coalesce(e.data::text, '') AS "data!", e.created_at AS "created_at!"
          FROM unnest($1::uuid[]) AS due (id)
         CROSS JOIN LATERAL (
            -- OFFSET 0 keeps it a look-up: as a join, the plan that suits a table that was
            -- empty once reads all events for each refill.
            SELECT v.* FROM posthorn.events /* by day */ v WHERE v.id = due.id OFFSET 0) AS e
        "#,
        ids
    )
    .fetch_all(days.by(transaction))
    .await
    .map_err(StoreError::from)
    .inspect_err(|error| {
        // The transaction has failed; the next refill knows that the day is gone.
        if error.is_of_a_missing_table() {
            pool.forget_days();
        }
    })?;
    let events = rows
        .into_iter()
        .map(|row| (row.id, Arc::new(event_of!(row, row.id, row.data))));
    Ok(events.collect())
}

/// What lanes ask for: PostgreSQL takes it as one array per column.
struct LaneColumns {
    shards: Vec<i16>,
    ids: Vec<Uuid>,
    rooms: Vec<i64>,
    replay_rooms: Vec<i64>,
    heads_only: Vec<bool>,
    not_due_too: Vec<bool>,
}

impl LaneColumns {
    fn of(lanes: &[RefillRequest]) -> Self {
        Self {
            shards: lanes.iter().map(|lane| lane.shard.0).collect(),
            ids: lanes.iter().map(|lane| lane.lane_id).collect(),
            rooms: lanes.iter().map(|lane| lane.room).collect(),
            replay_rooms: lanes.iter().map(|lane| lane.replay_room).collect(),
            heads_only: lanes.iter().map(|lane| lane.heads_only).collect(),
            not_due_too: lanes.iter().map(|lane| lane.not_due_too).collect(),
        }
    }
}

/// An open delivery and, if a transaction brought it, its endpoint.
struct DueRow {
    lane_id: Uuid,
    event_id: Uuid,
    subscription_id: Uuid,
    generation: i32,
    attempts: i32,
    turned_away: i32,
    opened_at: DateTime<Utc>,
    template_id: Option<Uuid>,
    url: Option<String>,
    method: Option<String>,
    success_body: Option<String>,
    ended: bool,
    cancelled: bool,
}

impl DueRow {
    fn refilled(self, event: Arc<Event>) -> Refilled {
        Refilled {
            lane_id: self.lane_id,
            endpoint: self.template_id.map(|template_id| Endpoint {
                template_id,
                url: self.url.map(Into::into),
                method: self.method.map(Into::into),
                success_body: self.success_body.map(Into::into),
            }),
            ended: self.ended,
            cancelled: self.cancelled,
            key: DeliveryKey {
                event_id: self.event_id,
                subscription_id: self.subscription_id,
                generation: self.generation,
            },
            attempts: u32::try_from(self.attempts).unwrap_or(0),
            turned_away: u32::try_from(self.turned_away).unwrap_or(0),
            opened_at: self.opened_at,
            event,
        }
    }
}

/// How many rows of a lane are counted. A lane's own count is right beyond that: it knows what it
/// has shelved itself, and takes the larger of the two.
const COUNTED: i32 = 100_000;

/// What waits in these shards, per lane, and the replays among it apart: of each up to
/// [`COUNTED`], along its own index.
pub async fn count_waiting(pool: &Pool, shards: &[Shard]) -> Result<Vec<Waiting>, StoreError> {
    let shards: Vec<i16> = shards.iter().map(|shard| shard.0).collect();
    let rows = sqlx::query!(
        r#"
        SELECT w.shard AS "shard!", w.lane_id AS "lane_id!", w.replays AS "replays!", w.row_count AS "rows!",
               greatest(0, extract(epoch FROM w.due_at - clock_timestamp()))::float8 AS "due_in!",
               extract(epoch FROM (
                   SELECT p.lane_waits_until FROM posthorn.pending_deliveries p
                    WHERE p.shard = w.shard AND p.lane_id = w.lane_id AND p.lane_waits_until > now()
                    ORDER BY p.lane_waits_until DESC LIMIT 1) - clock_timestamp())::float8 AS wait
          FROM posthorn.count_waiting($1, $2) AS w
        "#,
        &shards,
        COUNTED
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Waiting {
            told_to_wait: row
                .wait
                .and_then(|wait| Duration::try_from_secs_f64(wait).ok()),
            ..waiting(row.shard, row.lane_id, row.replays, row.rows, row.due_in)
        })
        .collect())
}

/// What waits for a lane that was not told to wait; the first of it is due in so many seconds.
pub(super) fn waiting(shard: i16, lane: Uuid, replays: bool, rows: i64, due_in: f64) -> Waiting {
    Waiting {
        shard: Shard(shard),
        lane_id: lane,
        replays,
        rows: u64::try_from(rows).unwrap_or(0),
        due_in: Duration::try_from_secs_f64(due_in).unwrap_or(Duration::MAX),
        told_to_wait: None,
    }
}

/// When the next delivery of each lane that is not due yet will be; in the
/// transaction of the refill, so that none falls between the two. Nobody drops tables that a
/// transaction has read, so what it says of them holds for the refill as well.
pub async fn find_next_due(
    connection: &mut Transaction,
    lanes: &[(Shard, Uuid)],
) -> Result<Vec<(Uuid, NextDue)>, StoreError> {
    let (shards, ids): (Vec<i16>, Vec<Uuid>) =
        lanes.iter().map(|(shard, id)| (shard.0, *id)).unzip();
    let rows = sqlx::query!(
        r#"
        SELECT lane.id AS "lane_id!",
               extract(epoch FROM (
                   SELECT p.due_at FROM posthorn.pending_deliveries p
                    WHERE p.generation = 0 AND p.shard = lane.shard AND p.lane_id = lane.id
                      AND p.due_at > now()
                    ORDER BY p.due_at LIMIT 1) - clock_timestamp())::float8 AS due_in,
               extract(epoch FROM (
                   SELECT p.due_at FROM posthorn.pending_deliveries p
                    WHERE p.generation > 0 AND p.shard = lane.shard AND p.lane_id = lane.id
                      AND p.due_at > now()
                    ORDER BY p.due_at LIMIT 1) - clock_timestamp())::float8 AS replay_due_in,
               (SELECT posthorn.tables()) AS "tables!"
          FROM unnest($1::smallint[], $2::uuid[]) AS lane (shard, id)
        "#,
        &shards,
        &ids
    )
    .fetch_all(&mut *connection)
    .await?;
    if let Some(row) = rows.first() {
        connection.keeps(&row.tables)?;
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let span = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
            let next = NextDue {
                deliveries: row.due_in.map(span),
                replays: row.replay_due_in.map(span),
            };
            (row.lane_id, next)
        })
        .collect())
}
