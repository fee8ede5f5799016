//! The nightly jobs are made of short transactions, and one that a worker left is finished by
//! another.

use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use crate::support::{
    Database, PATIENCE, Worker, alone_among_the_heavy, posthorn, receiver, until,
};

/// How many days ago the records were written.
const DAYS: i32 = 2;

/// The merchant's subscription, or one that is no more.
const SUBSCRIPTION: &str =
    "coalesce((SELECT id FROM posthorn.subscriptions WHERE merchant = 'acme'), md5('gone')::uuid)";

/// A run each second, as soon as the worker is there.
const EACH_SECOND: &str = "[maintenance]\nschedule = '* * * * * *'\n";

/// Fills the hours from 06:00 to 18:00 of a day with events that were delivered when they came, to
/// the merchant's subscription if it has one.
async fn live_through(database: &Database, rows: u32) {
    database
        .execute(&format!(
            "INSERT INTO posthorn.events (id, created_at, merchant, kind, transaction_id, status, data)
             SELECT (left(posthorn.uuid_floor(m.at)::text, 14) || '7' || right(gen_random_uuid()::text, 21))::uuid,
                    m.at, 'acme', 'payment.approved', 't-' || n, 'approved', json_build_object('number', n)
               FROM generate_series(1, {rows}) AS n,
                    LATERAL (SELECT (current_date - {DAYS})::timestamptz + interval '6 hours'
                                    + interval '12 hours' * (n - 1) / {rows} AS at) AS m;
             INSERT INTO posthorn.deliveries (event_id, subscription_id, finished_at, attempts, state)
             SELECT e.id, {SUBSCRIPTION}, e.created_at + interval '10 ms', 1, 'delivered'
               FROM posthorn.events e;
             INSERT INTO posthorn.attempts (event_id, subscription_id, started_at, number, duration_us, outcome,
                                            http_status, reason, body, recorded_at)
             SELECT e.id, {SUBSCRIPTION}, e.created_at, 1, 1000, 'ok', 200, '200 OK', 'thank you',
                    e.created_at + interval '10 ms'
               FROM posthorn.events e"
        ))
        .await;
    database
        .execute("UPDATE posthorn.shards SET checkpoint = pg_current_snapshot()")
        .await;
}

/// The seal of that day, as anybody can compute it from the rows at once.
async fn seal_in_one_go(database: &Database) -> String {
    database
        .value(&format!(
            "WITH line AS (
                 SELECT r.records, s.event_day, s.minute, s.row_count,
                        format(E'%s %s %s %s\\n', to_char(s.event_day, 'YYYY-MM-DD'),
                               to_char(s.minute AT TIME ZONE 'UTC', 'HH24:MI'), s.row_count, encode(s.digest, 'hex')) AS text
                   FROM (VALUES ('deliveries'), ('attempts')) AS r (records),
                        LATERAL posthorn.slices(r.records, r.records, (current_date - {DAYS})::timestamptz,
                                                (current_date - {DAYS} + 1)::timestamptz) AS s),
             of AS (SELECT r.records, coalesce(sum(l.row_count), 0)::bigint AS row_count,
                           sha256(convert_to(coalesce(string_agg(l.text, '' ORDER BY l.event_day, l.minute), ''), 'UTF8')) AS digest
                      FROM (VALUES ('deliveries'), ('attempts')) AS r (records) LEFT JOIN line l USING (records)
                     GROUP BY r.records)
             SELECT encode(posthorn.seal_of(s.previous, s.day, d.row_count, d.digest, a.row_count, a.digest), 'hex')
               FROM posthorn.seals s, of d, of a
              WHERE s.day = current_date - {DAYS} AND d.records = 'deliveries' AND a.records = 'attempts'"
        ))
        .await
}

async fn seal(database: &Database) -> Option<String> {
    database
        .value(&format!(
            "SELECT (SELECT encode(seal, 'hex') FROM posthorn.seals WHERE day = current_date - {DAYS})"
        ))
        .await
}

async fn until_sealed(database: &Database) -> String {
    until(PATIENCE, "a sealed day", async || seal(database).await).await
}

/// What `posthorn audit --seals` says of a day of so many deliveries, all of them as sealed.
async fn assert_as_sealed(database: &Database, rows: u32) {
    let (status, said) = posthorn(&["audit", "--seals", "--database-url", &database.url]).await;
    assert!(status.success(), "{said}");
    let expected = format!("{rows} deliveries, {rows} attempts: as sealed");
    assert!(said.contains(&expected), "{said}");
}

/// How long each step of the sealing took, until all days that are closed have a seal. Another
/// test's transaction may keep a day open for a while.
async fn seal_all(database: &Database) -> Vec<Duration> {
    let mut took = Vec::new();
    until(10 * PATIENCE, "all seals", async || {
        let began = Instant::now();
        if database.value::<Option<bool>>(SEAL_STEP).await.is_some() {
            took.push(began.elapsed());
        }
        let done: bool = database
            .value("SELECT coalesce(max(day) + 1 = (now() AT TIME ZONE 'UTC' - interval '1 hour')::date, false) FROM posthorn.seals")
            .await;
        done.then_some(())
    })
    .await;
    took
}

const SEAL_STEP: &str = "SELECT day IS NOT NULL OR NULL FROM posthorn.seal_step()";

/// No step is more than a small part of the whole.
fn assert_bounded(took: &[Duration]) {
    let longest = took.iter().max().unwrap();
    let all: Duration = took.iter().sum();
    assert!(*longest * 5 < all, "{longest:?} of {all:?}: {took:?}");
}

#[tokio::test]
async fn a_sealing_that_a_killed_worker_left_is_finished_by_another() {
    let rows = 100_000;
    let database = Database::new().await;
    database.make_day(DAYS).await;
    live_through(&database, rows).await;
    let mut killed = Worker::start(&database, EACH_SECOND).await;
    until(PATIENCE, "slices of the attempts", async || {
        let sliced: i64 = database
            .value("SELECT coalesce(sum(row_count), 0) FROM posthorn.seal_slices")
            .await;
        (sliced > 0).then_some(())
    })
    .await;
    killed.kill9().await;
    // What is there of the day is no seal, and nobody takes it for one.
    assert_eq!(seal(&database).await, None);
    let (status, said) = posthorn(&["audit", "--seals", "--database-url", &database.url]).await;
    assert!(status.success(), "{said}");
    assert!(said.contains("no day is sealed yet"), "{said}");

    let _other = Worker::start(&database, EACH_SECOND).await;
    assert_eq!(
        until_sealed(&database).await,
        seal_in_one_go(&database).await
    );
    assert_as_sealed(&database, rows).await;
}

/// Rows that came while their day had no partition are moved to it, also in the midst of a sealing.
#[tokio::test]
async fn rows_that_are_moved_while_their_day_is_sealed_are_sealed_once() {
    let rows = 100_000;
    let database = Database::new().await;
    live_through(&database, rows).await;
    // The days from then on are sealed.
    database
        .execute(&format!(
            "INSERT INTO posthorn.seals (day, deliveries, deliveries_digest, attempts, attempts_digest, previous, seal)
             SELECT current_date - {DAYS} - 1, 0, d.zeros, 0, d.zeros, d.zeros, d.zeros
               FROM (SELECT decode(repeat('00', 32), 'hex') AS zeros) AS d"
        ))
        .await;
    until(PATIENCE, "half a sealing", async || {
        database.value::<Option<bool>>(SEAL_STEP).await;
        let is_midst: bool = database
            .value(
                "SELECT EXISTS (SELECT FROM posthorn.sealing
                                 WHERE part = 'deliveries_default' AND reached > day::timestamptz
                                   AND reached < (day + 1)::timestamptz)",
            )
            .await;
        is_midst.then_some(())
    })
    .await;
    let moved: i32 = database.value("SELECT posthorn.make_partitions(0)").await;
    assert!(moved >= 3, "{moved}");
    seal_all(&database).await;
    assert_eq!(seal(&database).await, Some(seal_in_one_go(&database).await));
    let sealed: i64 = database
        .value(&format!(
            "SELECT deliveries FROM posthorn.seals WHERE day = current_date - {DAYS}"
        ))
        .await;
    assert_eq!(sealed, i64::from(rows));
}

#[tokio::test]
async fn a_day_on_which_nothing_was_written_is_sealed_by_a_few_calls() {
    let database = Database::new().await;
    for days in DAYS..DAYS + 30 {
        database.make_day(days).await;
    }
    live_through(&database, 1000).await;
    // 31 days: 29 of before, the one that has rows, and yesterday.
    let took = seal_all(&database).await;
    let sealed: i64 = database.value("SELECT count(*) FROM posthorn.seals").await;
    assert!(sealed >= 30, "{sealed}");
    assert!(took.len() < 100, "{}", took.len());
}

#[tokio::test]
async fn a_day_of_300_000_deliveries_is_done_in_short_transactions() {
    let _turn = alone_among_the_heavy().await;
    let rows = 300_000;
    let database = Database::new().await;
    database.make_day(DAYS).await;
    live_through(&database, rows).await;
    // A fifth of them came in one minute.
    database
        .as_superuser(&format!(
            "SET LOCAL session_replication_role = replica;
             UPDATE posthorn.attempts
                SET recorded_at = (current_date - {DAYS})::timestamptz + interval '9 hours' + random() * interval '59 s'
              WHERE recorded_at >= (current_date - {DAYS})::timestamptz + interval '9 hours'
                AND recorded_at < (current_date - {DAYS})::timestamptz + interval '11 hours 24 minutes'"
        ))
        .await;
    assert_bounded(&seal_all(&database).await);
    assert_eq!(seal(&database).await, Some(seal_in_one_go(&database).await));
    // As many steps as it takes for a tenth of its payloads: it would go on like that.
    let mut took = Vec::new();
    until(4 * PATIENCE, "purged payloads", async || {
        let began = Instant::now();
        let purged: i64 = database
            .value("SELECT coalesce(purged, 0) FROM posthorn.purge_step(1, now())")
            .await;
        took.push(began.elapsed());
        (purged > 30_000).then_some(())
    })
    .await;
    assert_bounded(&took);
}

/// How many payloads there are of a day, and answers that were given to them.
async fn payloads(database: &Database) -> i64 {
    database
        .value(
            "SELECT (SELECT count(*) FROM posthorn.events WHERE data IS NOT NULL)
                  + (SELECT count(*) FROM posthorn.attempts WHERE body IS NOT NULL)",
        )
        .await
}

#[tokio::test]
async fn a_purge_that_a_killed_worker_left_is_finished_by_another() {
    const PURGES: &str = "[maintenance]\nschedule = '* * * * * *'\npayload_days = 1";
    let rows = 10_000;
    let database = Database::new().await;
    database.make_day(DAYS).await;
    live_through(&database, rows).await;
    // Of a subscription that is no more, so no worker sends it.
    database
        .execute(
            "INSERT INTO posthorn.pending_deliveries
                    (event_id, subscription_id, state, due_at, shard, transaction_id)
             SELECT id, md5('gone')::uuid, 'pending', now() + interval '1 day', shard, transaction_id
               FROM posthorn.events ORDER BY id LIMIT 1",
        )
        .await;
    let mut killed = Worker::start(&database, PURGES).await;
    until(PATIENCE, "some payloads purged", async || {
        let left = payloads(&database).await;
        (left < 2 * i64::from(rows)).then_some(())
    })
    .await;
    killed.kill9().await;
    let done: i64 = database
        .value("SELECT count(*) FROM posthorn.purged_days")
        .await;
    assert_eq!(done, 0, "it was killed in the midst");
    let other = Worker::start(&database, PURGES).await;
    let open = until(PATIENCE, "a day that is gone through", async || {
        let open: Option<i64> = database
            .value("SELECT (SELECT open_events FROM posthorn.purged_days)")
            .await;
        open
    })
    .await;
    // The day is done but for the event that is open, whose answer stays as well.
    assert_eq!((payloads(&database).await, open), (2, 1));
    other.logs(&format!("events={}", rows - 1)).await;
}

#[tokio::test]
async fn an_audit_that_a_killed_worker_left_is_finished_by_another() {
    const AUDITS: &str = "[maintenance]\naudit_schedule = '* * * * * *'\naudit_window = '4 days'";
    let rows = 60_000;
    let database = Database::new().await;
    let receiver = receiver().await;
    database
        .subscribe_long_ago("acme", "orders", json!({ "url": receiver.url("/") }))
        .await;
    database.make_day(DAYS).await;
    live_through(&database, rows).await;
    let mut lost: Vec<Uuid> = Vec::new();
    for offset in [0, rows / 2, rows - 1] {
        let event = format!("SELECT id FROM posthorn.events ORDER BY id OFFSET {offset} LIMIT 1");
        let event = database.value(&event).await;
        database.forget(event).await;
        lost.push(event);
    }
    let mut killed = Worker::start(&database, AUDITS).await;
    until(PATIENCE, "an audit in its midst", async || {
        let looked_at: i64 = database
            .value("SELECT coalesce((SELECT events FROM posthorn.auditing), 0)")
            .await;
        (looked_at > 0).then_some(())
    })
    .await;
    killed.kill9().await;
    let midst: i64 = database
        .value("SELECT coalesce((SELECT events FROM posthorn.auditing), 0)")
        .await;
    let through: i64 = database.value("SELECT count(*) FROM posthorn.audits").await;
    assert_eq!(through, 0, "it was killed in the midst, at {midst}");

    let _other = Worker::start(&database, AUDITS).await;
    let found = until(PATIENCE, "an audit that is through", async || {
        let found: Option<Vec<i64>> = database
            .value(
                "SELECT (SELECT ARRAY[events, expected, missing, repaired]
                           FROM posthorn.audits ORDER BY started_at LIMIT 1)",
            )
            .await;
        found
    })
    .await;
    // Each event was looked at once, whoever did.
    assert_eq!(found, [i64::from(rows), i64::from(rows), 3, 3]);
    for event in lost {
        database.reaches(event, "delivered").await;
    }
    assert_eq!(receiver.requests().len(), 3);
}
