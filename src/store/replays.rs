//! Replays: asked for by people, carried out by workers.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::pending::waiting;
use super::rows::event_of;
use super::{Pool, StoreError};
use crate::flow::refill::{Refilled, Waiting};
use crate::model::DeliveryKey;

/// Which deliveries; what is not given does not narrow it. The database says what makes no
/// sense.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The merchant whose deliveries are opened again.
    pub merchant: Option<String>,
    /// Its id, or its name beside the merchant.
    pub subscription: Option<String>,
    /// The transaction whose deliveries are opened again.
    pub transaction_id: Option<String>,
    /// The event whose deliveries are opened again.
    pub event_id: Option<Uuid>,
    /// States by their own names, and `missing`; none: as `posthorn.replay` says.
    pub states: Option<Vec<String>>,
    /// The moment since which the events were inserted.
    pub since: Option<DateTime<Utc>>,
    /// The moment before which the events were inserted.
    pub until: Option<DateTime<Utc>>,
}

/// Asks for a replay; returns its id.
pub async fn ask_for_replay(pool: &Pool, filter: &Filter, rate: f64) -> Result<Uuid, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"SELECT posthorn.replay($1, $2, $3, $4, $5, $6, $7, $8) AS "id!""#,
        filter.merchant,
        filter.subscription,
        filter.transaction_id,
        filter.event_id,
        filter.states.as_deref(),
        filter.since,
        filter.until,
        rate
    )
    .fetch_one(pool)
    .await?)
}

/// What a replay would open, or would pass over with a hindrance.
#[derive(Debug, Serialize)]
pub struct Preview {
    /// The merchant of the deliveries.
    pub merchant: String,
    /// The subscription of the deliveries.
    pub subscription: String,
    /// How the last generation ended, or `missing`.
    pub state: String,
    /// `open`, `purged` or `disabled`.
    pub hindrance: Option<String>,
    /// How many there are.
    pub deliveries: i64,
}

/// What a replay would do, by merchant, subscription and state; opens nothing.
pub async fn preview_replay(pool: &Pool, filter: &Filter) -> Result<Vec<Preview>, StoreError> {
    Ok(sqlx::query_as!(
        Preview,
        r#"SELECT of_merchant AS "merchant!", to_subscription AS "subscription!",
                  state AS "state!", hindrance, deliveries AS "deliveries!"
             FROM posthorn.preview_replay($1, $2, $3, $4, $5, $6, $7)"#,
        filter.merchant,
        filter.subscription,
        filter.transaction_id,
        filter.event_id,
        filter.states.as_deref(),
        filter.since,
        filter.until
    )
    .fetch_all(pool)
    .await?)
}

/// A row of `posthorn.replays`, for people.
#[derive(Debug, Serialize)]
pub struct Replay {
    /// Its id.
    pub id: Uuid,
    /// How far it is, by the name of its state.
    pub state: String,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// Which role asked for it.
    pub created_by: String,
    /// When its state was changed last.
    pub changed_at: DateTime<Utc>,
    /// The merchant whose deliveries it opens; none: everybody's.
    pub merchant: Option<String>,
    /// The subscription whose deliveries it opens; none: all.
    pub subscription: Option<String>,
    /// The transaction whose deliveries it opens; none: all.
    pub transaction_id: Option<String>,
    /// The event whose deliveries it opens; none: all.
    pub event_id: Option<Uuid>,
    /// The states of the deliveries that it opens; `missing` for those that have no row.
    pub states: Vec<String>,
    /// The moment since which the events were inserted.
    pub since: DateTime<Utc>,
    /// The moment before which the events were inserted.
    pub until: DateTime<Utc>,
    /// Deliveries a second.
    pub rate: f64,
    /// Events up to then are dealt with.
    pub reached: DateTime<Utc>,
    /// How many deliveries it has opened.
    pub opened: i64,
    /// How many of the opened are open now.
    pub open: i64,
    /// How many it passed over because they were open.
    pub already_open: i64,
    /// How many it passed over because their payload is no longer kept.
    pub purged: i64,
    /// How many it passed over because their subscription is disabled.
    pub disabled: i64,
}

/// One replay, or all of them, the newest first.
pub async fn list_replays(
    pool: &Pool,
    id: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Replay>, StoreError> {
    Ok(sqlx::query_as!(
        Replay,
        r#"
        SELECT r.id, r.state, r.created_at, r.created_by, r.changed_at, r.merchant,
               (SELECT s.name FROM posthorn.subscriptions s WHERE s.id = r.subscription_id) AS subscription,
               r.transaction_id, r.event_id,
               r.states::text[] || CASE WHEN r.missing THEN '{missing}'::text[] ELSE '{}' END AS "states!",
               r.since, r.until, r.rate,
               greatest(r.since, posthorn.uuid_time(r.after_event)) AS "reached!",
               r.opened,
               (SELECT count(*) FROM posthorn.pending_deliveries p WHERE p.replay_id = r.id) AS "open!",
               r.already_open, r.purged, r.disabled
          FROM posthorn.replays r
         WHERE $1::uuid IS NULL OR r.id = $1
         ORDER BY r.id DESC LIMIT $2
        "#,
        id,
        limit
    )
    .fetch_all(pool)
    .await?)
}

/// Changes the state of a replay that has not ended. False: there is none of that id.
pub async fn steer_replay(pool: &Pool, id: Uuid, state: &str) -> Result<bool, StoreError> {
    let steered = sqlx::query!(
        "UPDATE posthorn.replays SET state = $2 WHERE id = $1",
        id,
        state
    )
    .execute(pool)
    .await?;
    Ok(steered.rows_affected() > 0)
}

/// What a step of the replays came to.
#[derive(Clone, Copy, Debug)]
pub struct Advanced {
    /// How many deliveries it opened.
    pub opened: u64,
    /// Replays under way.
    pub running: u64,
    /// Until the next batch; none: nothing runs.
    pub wait: Option<Duration>,
}

/// Opens the next batch of each replay that is due.
pub async fn advance_replays(pool: &Pool) -> Result<Advanced, StoreError> {
    let row = sqlx::query!(
        r#"SELECT opened AS "opened!", running AS "running!", wait FROM posthorn.advance_replays()"#
    )
    .fetch_one(pool)
    .await?;
    Ok(Advanced {
        opened: u64::try_from(row.opened).unwrap_or(0),
        running: u64::try_from(row.running).unwrap_or(0),
        wait: row
            .wait
            .map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()),
    })
}

/// The replays that wait in this worker's shards, per lane.
pub async fn count_replays(pool: &Pool, worker: Uuid) -> Result<Vec<Waiting>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT p.shard, p.lane_id AS "lane_id!", count(*) AS "rows!",
               greatest(0, extract(epoch FROM min(p.due_at) - clock_timestamp()))::float8 AS "due_in!"
          FROM posthorn.pending_deliveries p
         WHERE p.generation > 0
           AND p.shard = ANY (ARRAY(SELECT s.shard FROM posthorn.shards s WHERE s.owner = $1))
         GROUP BY p.shard, p.lane_id
        "#,
        worker
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| waiting(row.shard, row.lane_id, true, row.rows, row.due_in))
        .collect())
}

/// Open deliveries of cancelled replays in this worker's shards. Their payloads are left
/// out: they are not sent.
pub async fn find_withdrawn(
    pool: &Pool,
    worker: Uuid,
    limit: i64,
) -> Result<Vec<Refilled>, StoreError> {
    let rows = sqlx::query!(
        r#"
        SELECT p.lane_id AS "lane_id!", p.event_id, p.subscription_id, p.generation, p.attempts,
               p.opened_at, e.shard AS "shard!", e.merchant, e.kind, e.transaction_id, e.status,
               e.created_at
          FROM posthorn.replays r
         CROSS JOIN LATERAL (
               SELECT v.* FROM posthorn.pending_deliveries v
                WHERE v.replay_id = r.id
                  AND v.shard = ANY (ARRAY(SELECT s.shard FROM posthorn.shards s WHERE s.owner = $1))
                LIMIT $2) AS p
         CROSS JOIN LATERAL (
               SELECT v.* FROM posthorn.events v WHERE v.id = p.event_id OFFSET 0) AS e
         WHERE r.state = 'cancelling'
        "#,
        worker,
        limit
    )
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Refilled {
            lane_id: row.lane_id,
            key: DeliveryKey {
                event_id: row.event_id,
                subscription_id: row.subscription_id,
                generation: row.generation,
            },
            endpoint: None,
            ended: false,
            cancelled: true,
            attempts: u32::try_from(row.attempts).unwrap_or(0),
            turned_away: 0,
            opened_at: row.opened_at,
            event: Arc::new(event_of!(row, row.event_id, "")),
        })
        .collect())
}
