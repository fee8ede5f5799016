//! Writing what became of deliveries: one fenced statement per batch.

mod columns;

use std::collections::HashSet;

use uuid::Uuid;

use self::columns::Columns;
use super::days::{Names, Table};
use super::{Pool, StoreError};
use crate::flow::entry::{Entry, Written};
use crate::model::Shard;

/// Writes a batch in one statement, so in one transaction and one round trip.
///
/// - No key may stand in the batch twice, as all parts of the statement see the same
///   snapshot: the recorder cuts batches so.
/// - `again`: an earlier try may have been committed, so rows that are there are left out.
///   The first try does not look: that would be a third of what appending costs. ON CONFLICT
///   DO NOTHING would look as well, and write a WAL record more for each row, because a
///   speculative insertion has to be confirmed. Where a row is there after all, there is a
///   unique violation, and a next try.
///
/// Rows that a part does not meet are told by what is returned: the shards that are lost, and
/// the finals that were there. All others may be gone, and a comment says why.
pub async fn write_batch(
    pool: &Pool,
    owner: Uuid,
    entries: &[Entry],
    again: bool,
) -> Result<Written, StoreError> {
    let events = entries.iter().map(|entry| entry.key.event_id);
    pool.in_days_of(&[Table::Deliveries, Table::Attempts], events, |days| {
        write_to(pool, days, owner, entries, again)
    })
    .await
}

/// Rows are looked up in these days alone.
#[expect(clippy::too_many_lines, reason = "it is one statement")]
async fn write_to(
    pool: &Pool,
    days: Names,
    owner: Uuid,
    entries: &[Entry],
    again: bool,
) -> Result<Written, StoreError> {
    let Columns {
        held,
        finishes,
        waits,
        attempts,
        newer,
    } = Columns::of(entries);
    let row = sqlx::query!(
        r#"
        WITH fence AS MATERIALIZED (
            -- The shards that are still this owner's, by the epoch that their entries have. A
            -- take-over (an UPDATE of the row) waits for this transaction; after one, the row no
            -- longer matches, and nothing of that shard is written. FOR KEY SHARE would not stop
            -- the UPDATE. ORDER BY keeps two batches from locking in opposite orders.
            SELECT s.shard
              FROM unnest($1::smallint[], $2::bigint[]) AS held (shard, epoch)
              JOIN posthorn.shards s ON s.shard = held.shard AND s.epoch = held.epoch
             WHERE s.owner = $3
             ORDER BY s.shard
               FOR SHARE OF s
        ), finishes AS MATERIALIZED (
            -- = ANY (ARRAY(…)) collects the fence once. With IN, the plan would scan the whole
            -- batch once for each shard.
            -- Here and below unnest() stands where columns do, and not behind FROM: there each of
            -- the arrays would be written into a store of its own, which takes three times as long.
            SELECT f.*
              FROM (SELECT unnest($4::uuid[]) AS event_id, unnest($5::uuid[]) AS subscription_id,
                    unnest($6::int[]) AS generation, unnest($7::smallint[]) AS shard,
                    unnest($8::text[]) AS state, unnest($9::int[]) AS attempts,
                    unnest($10::text[]) AS reason, unnest($11::boolean[]) AS had_row) AS f
             WHERE f.shard = ANY (ARRAY(SELECT shard FROM fence))
        ), entered_in_ledger AS (
            INSERT INTO posthorn.deliveries
                   (event_id, subscription_id, generation, state, attempts, reason)
            SELECT event_id, subscription_id, generation, state::posthorn.delivery_state,
                   attempts, reason
              FROM finishes f
             -- What is there already is counted as a conflict. OFFSET 0 keeps the look-ups of
             -- rows as they are, here and below: as joins, the plan that suits a table that was
             -- empty once reads all of it for each batch.
             WHERE NOT $12 OR NOT EXISTS (
                   SELECT FROM posthorn.deliveries /* by day */ d
                    WHERE d.event_id = f.event_id AND d.subscription_id = f.subscription_id
                      AND d.generation = f.generation
                   OFFSET 0)
            RETURNING 1
        ), no_longer_open AS (
            -- A row may be gone: an earlier try was committed, or a newer event superseded it.
            DELETE FROM posthorn.pending_deliveries p
             USING finishes f CROSS JOIN LATERAL (
                   SELECT q.ctid FROM posthorn.pending_deliveries q
                    WHERE q.event_id = f.event_id AND q.subscription_id = f.subscription_id
                      AND q.generation = f.generation
                   OFFSET 0) AS at
             WHERE f.had_row AND p.ctid = at.ctid
        ), open_again AS (
            INSERT INTO posthorn.pending_deliveries AS p
                   (event_id, subscription_id, generation, template_id, shard, transaction_id, state,
                    attempts, turned_away, due_at, lane_waits_until, reason)
            -- Due by the database's clock and the delay, never by the worker's clock.
            SELECT event_id, subscription_id, generation, template_id, shard, transaction_id,
                   CASE attempts WHEN 0 THEN 'pending' ELSE 'pending_retry' END::posthorn.delivery_state,
                   attempts, turned_away, clock_timestamp() + make_interval(secs => delay),
                   CASE WHEN told THEN clock_timestamp() + make_interval(secs => delay) END, reason
              FROM (SELECT unnest($13::uuid[]) AS event_id, unnest($14::uuid[]) AS subscription_id,
                    unnest($15::int[]) AS generation, unnest($16::smallint[]) AS shard,
                    unnest($17::text[]) AS transaction_id, unnest($18::uuid[]) AS template_id,
                    unnest($19::int[]) AS attempts, unnest($20::int[]) AS turned_away,
                    unnest($21::float8[]) AS delay, unnest($22::boolean[]) AS told,
                    unnest($23::text[]) AS reason) AS w
             WHERE w.shard = ANY (ARRAY(SELECT shard FROM fence))
               -- A delivery that has ended is not opened again: a batch that nobody waits for
               -- any more may arrive after the next ones.
               AND NOT EXISTS (
                   SELECT FROM posthorn.deliveries /* by day */ d
                    WHERE d.event_id = w.event_id AND d.subscription_id = w.subscription_id
                      AND d.generation = w.generation)
            ON CONFLICT (event_id, subscription_id, generation) DO UPDATE
               SET state = excluded.state, attempts = excluded.attempts,
                   turned_away = excluded.turned_away, due_at = excluded.due_at,
                   lane_waits_until = excluded.lane_waits_until, reason = excluded.reason
             -- Such a batch does not take an attempt back either.
             WHERE excluded.attempts > p.attempts
        ), attempted AS (
            INSERT INTO posthorn.attempts
                   (event_id, subscription_id, generation, number, started_at, duration_us,
                    outcome, http_status, reason, body, revision, tls, peer, proxy,
                    head_digest, payload_digest)
            SELECT event_id, subscription_id, generation, number, started_at, duration_us,
                   outcome::posthorn.outcome_class, http_status, reason, body, revision, tls,
                   peer::inet, proxy::inet, head_digest, payload_digest
              FROM (SELECT unnest($24::uuid[]) AS event_id, unnest($25::uuid[]) AS subscription_id,
                    unnest($26::int[]) AS generation, unnest($27::smallint[]) AS shard,
                    unnest($28::int[]) AS number, unnest($29::timestamptz[]) AS started_at,
                    unnest($30::int[]) AS duration_us, unnest($31::text[]) AS outcome,
                    unnest($32::smallint[]) AS http_status, unnest($33::text[]) AS reason,
                    unnest($34::text[]) AS body, unnest($35::bigint[]) AS revision,
                    unnest($36::smallint[]) AS tls, unnest($37::text[]) AS peer,
                    unnest($38::text[]) AS proxy, unnest($39::bytea[]) AS head_digest,
                    unnest($40::bytea[]) AS payload_digest) AS a
             WHERE a.shard = ANY (ARRAY(SELECT shard FROM fence))
               AND (NOT $12 OR NOT EXISTS (
                   SELECT FROM posthorn.attempts /* by day */ t
                    WHERE t.event_id = a.event_id AND t.subscription_id = a.subscription_id
                      AND t.generation = a.generation AND t.number = a.number
                   OFFSET 0))
        ), gave_way AS (
            -- However many older events of the transaction wait, but for replays and for those
            -- that are in the air.
            DELETE FROM posthorn.pending_deliveries p
             USING unnest($41::uuid[], $42::uuid[], $43::smallint[], $44::text[])
                AS n (event_id, subscription_id, shard, transaction_id)
             CROSS JOIN LATERAL (
                   SELECT q.ctid FROM posthorn.pending_deliveries q
                    WHERE q.subscription_id::text || q.transaction_id
                          = n.subscription_id::text || n.transaction_id
                      AND q.event_id < n.event_id AND q.generation = 0
                      AND (q.event_id, q.subscription_id) NOT IN
                          (SELECT * FROM unnest($45::uuid[], $46::uuid[]))
                   OFFSET 0) AS at
             WHERE n.shard = ANY (ARRAY(SELECT shard FROM fence)) AND p.ctid = at.ctid
            RETURNING p.event_id, p.subscription_id, p.generation, p.attempts
        ), superseded AS (
            INSERT INTO posthorn.deliveries
                   (event_id, subscription_id, generation, state, attempts, reason)
            SELECT event_id, subscription_id, generation, 'superseded', attempts,
                   'a newer event of the transaction took its place'
              FROM gave_way
            ON CONFLICT DO NOTHING
        )
        SELECT ARRAY(SELECT shard FROM fence) AS "held!",
               (SELECT count(*) FROM finishes) - (SELECT count(*) FROM entered_in_ledger) AS "conflicts!"
        "#,
        // fence
        &held.keys().map(|shard| shard.0).collect::<Vec<_>>(),
        &held.values().map(|epoch| epoch.0).collect::<Vec<_>>(),
        owner,
        // finishes
        &finishes.keys.events,
        &finishes.keys.subscriptions,
        &finishes.keys.generations,
        &finishes.keys.shards,
        &finishes.states as &[&str],
        &finishes.attempts,
        &finishes.reasons as &[Option<&str>],
        &finishes.had_row,
        // entered_in_ledger, attempted
        again,
        // open_again
        &waits.keys.events,
        &waits.keys.subscriptions,
        &waits.keys.generations,
        &waits.keys.shards,
        &waits.transactions as &[&str],
        &waits.templates as &[Option<Uuid>],
        &waits.attempts,
        &waits.turned_away,
        &waits.delays,
        &waits.told,
        &waits.reasons as &[Option<&str>],
        // attempted
        &attempts.keys.events,
        &attempts.keys.subscriptions,
        &attempts.keys.generations,
        &attempts.keys.shards,
        &attempts.numbers,
        &attempts.started,
        &attempts.durations,
        &attempts.outcomes as &[&str],
        &attempts.statuses as &[Option<i16>],
        &attempts.reasons as &[&str],
        &attempts.bodies as &[Option<&str>],
        &attempts.revisions,
        &attempts.sent.tls as &[Option<i16>],
        &attempts.sent.peers as &[Option<String>],
        &attempts.sent.proxies as &[Option<String>],
        &attempts.sent.heads as &[Option<&[u8]>],
        &attempts.sent.payloads as &[Option<&[u8]>],
        // gave_way
        &newer.keys.events,
        &newer.keys.subscriptions,
        &newer.keys.shards,
        &newer.transactions as &[&str],
        &newer.except_events,
        &newer.except_subscriptions,
    )
    .fetch_one(days.by(pool))
    .await?;
    let still_held: HashSet<Shard> = row.held.into_iter().map(Shard).collect();
    let lost = held.into_keys().filter(|shard| !still_held.contains(shard));
    Ok(Written {
        lost: lost.collect(),
        conflicts: u64::try_from(row.conflicts).unwrap_or(0),
    })
}
