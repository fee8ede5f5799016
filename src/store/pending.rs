//! Deliveries that wait in the database: what is due, and when the next one is.

use std::sync::Arc;
use std::time::Duration;

use super::Transaction;
use crate::flow::refill::{NextDue, RefillRequest, Refilled, Waiting};
use uuid::Uuid;

use super::{Pool, StoreError};
use crate::model::{DeliveryKey, Endpoint, Event, Shard};

/// The earliest due deliveries of each lane (with `not_due_too` the later ones as well), up
/// to its room, in one query: a lane without room costs nothing. `held` are deliveries in memory, or whose rows are about
/// to change: their rows are passed over.
///
/// OFFSET 0 keeps the look-up of the events as it is: as a join, the plan that suits a
/// table that was empty once reads all events for each refill.
///
/// What is due is a matter of `now()`, the start of the transaction: unlike the clock, it
/// can bound the index, and in the same transaction [`find_next_due`] goes on from there.
///
/// `heads_only` passes over a delivery while an older one of its transaction is open. What an
/// event caused itself does not wait for replays: they repeat what has its order behind it.
///
/// Replays have an index and a room of their own, and come last: those that there is no room
/// for stand in nobody's way.
///
/// Of a transaction's subscription the endpoint is looked up as well; of others `t` costs
/// nothing, as its condition is seen before its index is.
#[expect(clippy::too_many_lines, reason = "it is one statement")]
pub async fn refill_lanes(
    connection: &mut Transaction,
    lanes: &[RefillRequest],
    held: &[DeliveryKey],
) -> Result<Vec<Refilled>, StoreError> {
    let shards: Vec<i16> = lanes.iter().map(|lane| lane.shard.0).collect();
    let ids: Vec<Uuid> = lanes.iter().map(|lane| lane.lane_id).collect();
    let rooms: Vec<i64> = lanes.iter().map(|lane| lane.room).collect();
    let replay_rooms: Vec<i64> = lanes.iter().map(|lane| lane.replay_room).collect();
    let heads: Vec<bool> = lanes.iter().map(|lane| lane.heads_only).collect();
    let not_due_too: Vec<bool> = lanes.iter().map(|lane| lane.not_due_too).collect();
    let held_events: Vec<Uuid> = held.iter().map(|key| key.event_id).collect();
    let held_subscriptions: Vec<Uuid> = held.iter().map(|key| key.subscription_id).collect();
    let held_generations: Vec<i32> = held.iter().map(|key| key.generation).collect();
    let rows = sqlx::query!(
        r#"
        SELECT lane.id AS "lane_id!", due.event_id AS "event_id!",
               due.subscription_id AS "subscription_id!",
               due.generation AS "generation!", due.attempts AS "attempts!",
               due.turned_away AS "turned_away!",
               due.opened_at AS "opened_at!",
               due.template_id AS "template_id?", t.url AS "url?", t.method AS "method?",
               t.success_body AS "success_body?",
               due.template_id IS NOT NULL AND t.is_open IS NOT TRUE AS "ended!",
               e.shard AS "shard!", e.merchant AS "merchant!", e.kind AS "kind!",
               e.transaction_id AS "transaction_id!", e.status AS "status!",
               coalesce(e.data::text, '') AS "data!", e.created_at AS "created_at!"
          FROM unnest($1::smallint[], $2::uuid[], $3::bigint[], $4::boolean[], $8::boolean[], $9::bigint[])
            AS lane (shard, id, room, heads_only, not_due_too, replay_room)
         CROSS JOIN LATERAL (
           (SELECT p.event_id, p.subscription_id, p.generation, p.attempts, p.turned_away, p.due_at, p.template_id, p.opened_at
              FROM posthorn.pending_deliveries p
             WHERE p.generation = 0 AND p.shard = lane.shard AND p.lane_id = lane.id
               AND p.due_at <= CASE WHEN lane.not_due_too THEN 'infinity' ELSE now() END
               AND (p.event_id, p.subscription_id, p.generation) NOT IN
                   (SELECT * FROM unnest($5::uuid[], $6::uuid[], $7::int[]))
               AND NOT (lane.heads_only AND EXISTS (
                   SELECT FROM posthorn.pending_deliveries older
                    WHERE older.subscription_id::text || older.transaction_id
                          = p.subscription_id::text || p.transaction_id
                      AND older.event_id < p.event_id AND older.generation = 0))
             ORDER BY p.due_at, p.event_id
             LIMIT lane.room)
            UNION ALL
           (SELECT p.event_id, p.subscription_id, p.generation, p.attempts, p.turned_away, p.due_at, p.template_id, p.opened_at
              FROM posthorn.pending_deliveries p
             WHERE p.generation > 0 AND p.shard = lane.shard AND p.lane_id = lane.id
               AND p.due_at <= CASE WHEN lane.not_due_too THEN 'infinity' ELSE now() END
               AND (p.event_id, p.subscription_id, p.generation) NOT IN
                   (SELECT * FROM unnest($5::uuid[], $6::uuid[], $7::int[]))
               AND NOT (lane.heads_only AND EXISTS (
                   SELECT FROM posthorn.pending_deliveries older
                    WHERE older.subscription_id::text || older.transaction_id
                          = p.subscription_id::text || p.transaction_id
                      AND older.event_id < p.event_id))
             ORDER BY p.due_at, p.event_id
             LIMIT lane.replay_room)) AS due
         CROSS JOIN LATERAL (
            SELECT v.* FROM posthorn.events v WHERE v.id = due.event_id OFFSET 0) AS e
          LEFT JOIN LATERAL (
            SELECT s.url, s.method, s.success_body, s.ended_at IS NULL AS is_open
              FROM posthorn.transaction_subscriptions s
             WHERE due.template_id IS NOT NULL AND s.id = due.subscription_id
            OFFSET 0) AS t ON true
         ORDER BY due.due_at, due.event_id
        "#,
        &shards,
        &ids,
        &rooms,
        &heads,
        &held_events,
        &held_subscriptions,
        &held_generations,
        &not_due_too,
        &replay_rooms,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Refilled {
            lane_id: row.lane_id,
            endpoint: row.template_id.map(|template_id| Endpoint {
                template_id,
                url: row.url.map(Into::into),
                method: row.method.map(Into::into),
                success_body: row.success_body.map(Into::into),
            }),
            ended: row.ended,
            key: DeliveryKey {
                event_id: row.event_id,
                subscription_id: row.subscription_id,
                generation: row.generation,
            },
            attempts: u32::try_from(row.attempts).unwrap_or(0),
            turned_away: u32::try_from(row.turned_away).unwrap_or(0),
            opened_at: row.opened_at,
            event: Arc::new(Event {
                id: row.event_id,
                shard: Shard(row.shard),
                merchant: row.merchant.into(),
                kind: row.kind.into(),
                transaction_id: row.transaction_id.into(),
                status: row.status.into(),
                data: row.data.into(),
                created_at: row.created_at,
            }),
        })
        .collect())
}

/// All that waits in these shards, per lane, and the replays among it apart: each half is a
/// walk along its own index, and so is what a lane was told to wait.
pub async fn count_waiting(pool: &Pool, shards: &[Shard]) -> Result<Vec<Waiting>, StoreError> {
    let shards: Vec<i16> = shards.iter().map(|shard| shard.0).collect();
    let rows = sqlx::query!(
        r#"
        SELECT w.shard AS "shard!", w.lane_id AS "lane_id!", w.replays AS "replays!", w.rows AS "rows!",
               greatest(0, extract(epoch FROM w.due_at - clock_timestamp()))::float8 AS "due_in!",
               extract(epoch FROM (
                   SELECT p.lane_waits_until FROM posthorn.pending_deliveries p
                    WHERE p.shard = w.shard AND p.lane_id = w.lane_id AND p.lane_waits_until > now()
                    ORDER BY p.lane_waits_until DESC LIMIT 1) - clock_timestamp())::float8 AS wait
          FROM (SELECT shard, lane_id, false AS replays, count(*) AS rows, min(due_at) AS due_at
                  FROM posthorn.pending_deliveries
                 WHERE generation = 0 AND shard = ANY ($1)
                 GROUP BY shard, lane_id
                 UNION ALL
                SELECT shard, lane_id, true, count(*), min(due_at)
                  FROM posthorn.pending_deliveries
                 WHERE generation > 0 AND shard = ANY ($1)
                 GROUP BY shard, lane_id) AS w
        "#,
        &shards
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Waiting {
            shard: Shard(row.shard),
            lane_id: row.lane_id,
            replays: row.replays,
            rows: u64::try_from(row.rows).unwrap_or(0),
            due_in: Duration::try_from_secs_f64(row.due_in).unwrap_or(Duration::MAX),
            told_to_wait: row
                .wait
                .and_then(|wait| Duration::try_from_secs_f64(wait).ok()),
        })
        .collect())
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
               posthorn.tables() AS "tables!"
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
