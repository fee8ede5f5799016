//! Writing what became of deliveries: one fenced statement per batch.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Pool, StoreError};
use crate::flow::entry::{Attempt, Change, Entry, Written};
use crate::model::{Epoch, Sent, Shard, TlsVersion};

/// Writes a batch in one statement, so in one transaction and one round trip.
///
/// - `fence` locks the shard rows FOR SHARE and looks at their owner and epoch. A take-over
///   (an UPDATE of the row) waits for this transaction; after one, the row no longer
///   matches and nothing of that shard is written. FOR KEY SHARE would not stop the
///   UPDATE. ORDER BY keeps two batches from locking in opposite orders.
/// - `= ANY (ARRAY(…))` collects the fence once. With IN, the plan would scan the whole
///   batch once for each shard.
/// - OFFSET 0 keeps the look-ups of rows as they are: as joins, the plan that suits a table
///   that was empty once reads all of it for each batch.
/// - No key may stand in the batch twice, as all parts of the statement see the same
///   snapshot: the recorder cuts batches so.
/// - `again`: an earlier try may have been committed, so rows that are there are left out.
///   The first try does not look: that would be a third of what appending costs. ON CONFLICT
///   DO NOTHING would look as well, and write a WAL record more for each row, because a
///   speculative insertion has to be confirmed. Where a row is there after all, there is a
///   unique violation, and a next try.
/// - A delivery that has ended is not opened again: a batch that nobody waits for any more
///   may arrive after the next ones.
/// - `due_at` is the database's clock plus the delay, never the worker's clock.
#[expect(clippy::too_many_lines, reason = "it is one statement")]
pub async fn write_batch(
    pool: &Pool,
    owner: Uuid,
    entries: &[Entry],
    again: bool,
) -> Result<Written, StoreError> {
    let rows = Columns::of(entries);
    let row = sqlx::query!(
        r#"
        WITH fence AS MATERIALIZED (
            SELECT s.shard
              FROM unnest($2::smallint[], $3::bigint[]) AS held (shard, epoch)
              JOIN posthorn.shards s ON s.shard = held.shard AND s.epoch = held.epoch
             WHERE s.owner = $1
             ORDER BY s.shard
               FOR SHARE OF s
        ), finish AS MATERIALIZED (
            SELECT f.* FROM unnest($4::uuid[], $5::uuid[], $6::int[], $7::smallint[], $8::text[],
                                   $9::int[], $10::text[], $11::boolean[])
                 AS f (event_id, subscription_id, generation, shard, state, attempts, reason, had_row)
             WHERE f.shard = ANY (ARRAY(SELECT shard FROM fence))
        ), finished AS (
            INSERT INTO posthorn.deliveries
                   (event_id, subscription_id, generation, state, attempts, reason)
            SELECT event_id, subscription_id, generation, state::posthorn.delivery_state,
                   attempts, reason
              FROM finish f
             WHERE NOT $44 OR NOT EXISTS (
                   SELECT FROM posthorn.deliveries d
                    WHERE d.event_id = f.event_id AND d.subscription_id = f.subscription_id
                      AND d.generation = f.generation
                   OFFSET 0)
            RETURNING 1
        ), closed AS (
            DELETE FROM posthorn.pending_deliveries p
             USING finish f CROSS JOIN LATERAL (
                   SELECT q.ctid FROM posthorn.pending_deliveries q
                    WHERE q.event_id = f.event_id AND q.subscription_id = f.subscription_id
                      AND q.generation = f.generation
                   OFFSET 0) AS at
             WHERE f.had_row AND p.ctid = at.ctid
        ), waiting AS (
            INSERT INTO posthorn.pending_deliveries AS p
                   (event_id, subscription_id, generation, template_id, shard, transaction_id, state,
                    attempts, turned_away, due_at, lane_waits_until, reason)
            SELECT event_id, subscription_id, generation, template_id, shard, transaction_id,
                   CASE attempts WHEN 0 THEN 'pending' ELSE 'pending_retry' END::posthorn.delivery_state,
                   attempts, turned_away, clock_timestamp() + make_interval(secs => delay),
                   CASE WHEN told THEN clock_timestamp() + make_interval(secs => delay) END, reason
              FROM unnest($12::uuid[], $13::uuid[], $14::int[], $15::smallint[], $16::text[],
                          $17::int[], $18::float8[], $19::text[], $36::uuid[], $45::int[],
                          $46::boolean[])
                AS w (event_id, subscription_id, generation, shard, transaction_id,
                      attempts, delay, reason, template_id, turned_away, told)
             WHERE w.shard = ANY (ARRAY(SELECT shard FROM fence))
               AND NOT EXISTS (
                   SELECT FROM posthorn.deliveries d
                    WHERE d.event_id = w.event_id AND d.subscription_id = w.subscription_id
                      AND d.generation = w.generation)
            ON CONFLICT (event_id, subscription_id, generation) DO UPDATE
               SET state = excluded.state, attempts = excluded.attempts,
                   turned_away = excluded.turned_away, due_at = excluded.due_at,
                   lane_waits_until = excluded.lane_waits_until, reason = excluded.reason
             WHERE excluded.attempts > p.attempts
        ), tried AS (
            INSERT INTO posthorn.attempts
                   (event_id, subscription_id, generation, number, started_at, duration_us,
                    outcome, http_status, reason, body, revision, tls, peer, proxy,
                    head_digest, payload_digest)
            SELECT event_id, subscription_id, generation, number, started_at, duration_us,
                   outcome::posthorn.outcome_class, http_status, reason, body, revision, tls,
                   peer::inet, proxy::inet, head_digest, payload_digest
              FROM unnest($20::uuid[], $21::uuid[], $22::int[], $23::smallint[], $24::int[],
                          $25::timestamptz[], $26::int[], $27::text[], $28::smallint[],
                          $29::text[], $30::text[], $37::bigint[], $38::smallint[],
                          $39::text[], $40::text[], $41::bytea[], $42::bytea[])
                AS a (event_id, subscription_id, generation, shard, number, started_at,
                      duration_us, outcome, http_status, reason, body, revision, tls, peer,
                      proxy, head_digest, payload_digest)
             WHERE a.shard = ANY (ARRAY(SELECT shard FROM fence))
               AND (NOT $44 OR NOT EXISTS (
                   SELECT FROM posthorn.attempts t
                    WHERE t.event_id = a.event_id AND t.subscription_id = a.subscription_id
                      AND t.generation = a.generation AND t.number = a.number
                   OFFSET 0))
        ), older AS (
            DELETE FROM posthorn.pending_deliveries p
             USING unnest($31::uuid[], $32::uuid[], $33::smallint[], $34::text[])
                AS n (event_id, subscription_id, shard, transaction_id)
             CROSS JOIN LATERAL (
                   SELECT q.ctid FROM posthorn.pending_deliveries q
                    WHERE q.subscription_id::text || q.transaction_id
                          = n.subscription_id::text || n.transaction_id
                      AND q.event_id < n.event_id AND q.generation = 0
                      AND (q.event_id, q.subscription_id) NOT IN
                          (SELECT * FROM unnest($35::uuid[], $43::uuid[]))
                   OFFSET 0) AS at
             WHERE n.shard = ANY (ARRAY(SELECT shard FROM fence)) AND p.ctid = at.ctid
            RETURNING p.event_id, p.subscription_id, p.generation, p.attempts
        ), superseded AS (
            INSERT INTO posthorn.deliveries
                   (event_id, subscription_id, generation, state, attempts, reason)
            SELECT event_id, subscription_id, generation, 'superseded', attempts,
                   'a newer event of the transaction took its place'
              FROM older
            ON CONFLICT DO NOTHING
        )
        SELECT ARRAY(SELECT shard FROM fence) AS "held!",
               (SELECT count(*) FROM finish) - (SELECT count(*) FROM finished) AS "conflicts!"
        "#,
        owner,
        &rows.held.keys().map(|shard| shard.0).collect::<Vec<_>>(),
        &rows.held.values().map(|epoch| epoch.0).collect::<Vec<_>>(),
        &rows.finish.events,
        &rows.finish.subscriptions,
        &rows.finish.generations,
        &rows.finish.shards,
        &rows.finish_states as &[&str],
        &rows.finish_attempts,
        &rows.finish_reasons as &[Option<&str>],
        &rows.finish_had_row,
        &rows.wait.events,
        &rows.wait.subscriptions,
        &rows.wait.generations,
        &rows.wait.shards,
        &rows.wait_transactions as &[&str],
        &rows.wait_attempts,
        &rows.wait_delays,
        &rows.wait_reasons as &[Option<&str>],
        &rows.tried.events,
        &rows.tried.subscriptions,
        &rows.tried.generations,
        &rows.tried.shards,
        &rows.tried_numbers,
        &rows.tried_started,
        &rows.tried_durations,
        &rows.tried_outcomes as &[&str],
        &rows.tried_statuses as &[Option<i16>],
        &rows.tried_reasons as &[&str],
        &rows.tried_bodies as &[Option<&str>],
        &rows.newer.events,
        &rows.newer.subscriptions,
        &rows.newer.shards,
        &rows.newer_transactions as &[&str],
        &rows.except_events,
        &rows.wait_templates as &[Option<Uuid>],
        &rows.tried_revisions,
        &rows.sent_tls as &[Option<i16>],
        &rows.sent_peers as &[Option<String>],
        &rows.sent_proxies as &[Option<String>],
        &rows.sent_heads as &[Option<&[u8]>],
        &rows.sent_payloads as &[Option<&[u8]>],
        &rows.except_subscriptions,
        again,
        &rows.wait_turned_away,
        &rows.wait_told,
    )
    .fetch_one(pool)
    .await?;
    let held: HashSet<Shard> = row.held.into_iter().map(Shard).collect();
    Ok(Written {
        lost: rows
            .held
            .into_keys()
            .filter(|shard| !held.contains(shard))
            .collect(),
        conflicts: u64::try_from(row.conflicts).unwrap_or(0),
    })
}

/// A batch turned on its side: PostgreSQL takes it as one array per column.
#[derive(Default)]
struct Columns<'a> {
    held: BTreeMap<Shard, Epoch>,
    finish: Keys,
    finish_states: Vec<&'static str>,
    finish_attempts: Vec<i32>,
    finish_reasons: Vec<Option<&'a str>>,
    finish_had_row: Vec<bool>,
    wait: Keys,
    wait_transactions: Vec<&'a str>,
    wait_attempts: Vec<i32>,
    wait_delays: Vec<f64>,
    wait_reasons: Vec<Option<&'a str>>,
    wait_templates: Vec<Option<Uuid>>,
    wait_turned_away: Vec<i32>,
    wait_told: Vec<bool>,
    tried: Keys,
    tried_numbers: Vec<i32>,
    tried_started: Vec<DateTime<Utc>>,
    tried_durations: Vec<i32>,
    tried_outcomes: Vec<&'static str>,
    tried_statuses: Vec<Option<i16>>,
    tried_reasons: Vec<&'a str>,
    tried_bodies: Vec<Option<&'a str>>,
    tried_revisions: Vec<i64>,
    sent_tls: Vec<Option<i16>>,
    sent_peers: Vec<Option<String>>,
    sent_proxies: Vec<Option<String>>,
    sent_heads: Vec<Option<&'a [u8]>>,
    sent_payloads: Vec<Option<&'a [u8]>>,
    newer: Keys,
    newer_transactions: Vec<&'a str>,
    except_events: Vec<Uuid>,
    except_subscriptions: Vec<Uuid>,
}

#[derive(Default)]
struct Keys {
    events: Vec<Uuid>,
    subscriptions: Vec<Uuid>,
    generations: Vec<i32>,
    shards: Vec<i16>,
}

impl Keys {
    fn push(&mut self, entry: &Entry) {
        self.events.push(entry.key.event_id);
        self.subscriptions.push(entry.key.subscription_id);
        self.generations.push(entry.key.generation);
        self.shards.push(entry.shard.0);
    }
}

impl<'a> Columns<'a> {
    fn of(entries: &'a [Entry]) -> Self {
        let mut columns = Self::default();
        for entry in entries {
            columns.held.insert(entry.shard, entry.epoch);
            columns.push_change(entry);
            if let Some(attempt) = &entry.attempt {
                columns.push_attempt(entry, attempt);
            }
        }
        columns
    }

    fn push_change(&mut self, entry: &'a Entry) {
        match &entry.change {
            Change::Finish {
                state,
                attempts,
                reason,
                had_row,
            } => {
                self.finish.push(entry);
                self.finish_states.push(state.as_str());
                self.finish_attempts.push(int(*attempts));
                self.finish_reasons.push(reason.as_deref());
                self.finish_had_row.push(*had_row);
            }
            Change::Retry {
                attempts,
                turned_away,
                told_to_wait,
                delay,
                reason,
            } => {
                self.push_wait(entry, *attempts, *delay, Some(reason));
                self.wait_turned_away.push(int(*turned_away));
                self.wait_told.push(*told_to_wait);
            }
            Change::Spill => {
                self.push_wait(entry, 0, Duration::ZERO, None);
                self.wait_turned_away.push(0);
                self.wait_told.push(false);
            }
            Change::SupersedeOlder { except } => {
                self.newer.push(entry);
                self.newer_transactions.push(&entry.transaction_id);
                for key in except {
                    self.except_events.push(key.event_id);
                    self.except_subscriptions.push(key.subscription_id);
                }
            }
        }
    }

    fn push_wait(
        &mut self,
        entry: &'a Entry,
        attempts: u32,
        delay: Duration,
        reason: Option<&'a str>,
    ) {
        self.wait.push(entry);
        self.wait_transactions.push(&entry.transaction_id);
        self.wait_attempts.push(int(attempts));
        self.wait_delays.push(delay.as_secs_f64());
        self.wait_reasons.push(reason);
        self.wait_templates.push(entry.template_id());
    }

    fn push_attempt(&mut self, entry: &Entry, attempt: &'a Attempt) {
        self.tried.push(entry);
        self.tried_numbers.push(int(attempt.number));
        self.tried_started.push(attempt.started_at);
        self.tried_durations
            .push(i32::try_from(attempt.duration.as_micros()).unwrap_or(i32::MAX));
        self.tried_outcomes.push(attempt.outcome.as_str());
        self.tried_statuses.push(
            attempt
                .http_status
                .and_then(|status| i16::try_from(status).ok()),
        );
        self.tried_reasons.push(&attempt.reason);
        self.tried_bodies.push(attempt.body.as_deref());
        self.tried_revisions.push(attempt.revision);
        self.push_sent(attempt.sent.as_ref());
    }

    fn push_sent(&mut self, sent: Option<&'a Sent>) {
        let peer = sent.map(|sent| sent.peer);
        let tls = peer.and_then(|peer| peer.tls);
        self.sent_tls.push(tls.map(|version| match version {
            TlsVersion::V1_2 => 12,
            TlsVersion::V1_3 => 13,
        }));
        self.sent_peers
            .push(peer.map(|peer| peer.address.to_string()));
        let proxy = peer.and_then(|peer| peer.proxy);
        self.sent_proxies.push(proxy.map(|proxy| proxy.to_string()));
        self.sent_heads.push(sent.map(|sent| &sent.head_digest[..]));
        self.sent_payloads
            .push(sent.map(|sent| &sent.payload_digest[..]));
    }
}

fn int(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
