//! Statements whose plans have to do for all that comes: what they read is counted.

use std::collections::BTreeSet;

use posthorn::flow::entry::{Change, Entry};
use posthorn::flow::subscriptions::{Changed, Place};
use posthorn::model::{DeliveryKey, Epoch, Shard, State};
use posthorn::store::ledger::write_batch;
use posthorn::store::replays::advance_replays;
use posthorn::store::subscriptions::{
    find_changed, find_merchants_of, find_of_merchants, find_of_shards, load_by_id,
};
use posthorn::store::{Pool, connect};
use sqlx::{AssertSqlSafe, Executor, Row};
use uuid::Uuid;

use crate::support::{Database, alone_among_the_heavy};

/// Open deliveries of one subscription.
const OPEN: usize = 10_000;

/// Of those, the ones that end.
const ENDED: usize = 100;

async fn finish(pool: &Pool, owner: Uuid, entries: &[(Uuid, Uuid, i16)]) {
    let entries: Vec<Entry> = entries
        .iter()
        .map(|(event, subscription, shard)| Entry {
            key: DeliveryKey::first(*event, *subscription),
            lane_id: *subscription,
            shard: Shard(*shard),
            epoch: Epoch(1),
            transaction_id: "t".into(),
            change: Change::Finish {
                state: State::Delivered,
                attempts: 1,
                reason: None,
                had_row: true,
            },
            attempt: None,
        })
        .collect();
    let written = write_batch(pool, owner, &entries, false).await.unwrap();
    assert!(written.lost.is_empty());
}

#[tokio::test]
async fn a_delivery_that_ends_is_found_by_its_key_among_very_many() {
    let _alone = alone_among_the_heavy().await;
    let database = Database::new().await;
    let subscription = database
        .subscribe(
            "acme",
            "orders",
            serde_json::json!({"url": "https://a.example/"}),
        )
        .await;
    let owner = Uuid::now_v7();
    database
        .execute(&format!(
            "INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
             SELECT 'acme', 'k', n::text, 's' FROM generate_series(1, {OPEN}) AS n;
             UPDATE posthorn.shards SET owner = '{owner}', epoch = 1, expires_at = now() + interval '1 hour'"
        ))
        .await;
    let events: Vec<(Uuid, Uuid, i16)> =
        sqlx::query("SELECT id, shard FROM posthorn.events ORDER BY id")
            .map(|row: sqlx::postgres::PgRow| (row.get(0), subscription, row.get(1)))
            .fetch_all(&database.pool)
            .await
            .unwrap();
    database
        .execute("VACUUM ANALYZE posthorn.pending_deliveries")
        .await;
    let planned = connect(&database.url.clone().into(), 1).unwrap();
    finish(&planned, owner, &events[..1]).await;
    let other = connect(&database.url.clone().into(), 1).unwrap();
    sqlx::query(
        "INSERT INTO posthorn.pending_deliveries
                (event_id, subscription_id, shard, transaction_id, state, due_at)
         SELECT e.id, s.id, e.shard, e.transaction_id, 'pending', now()
           FROM posthorn.events e JOIN posthorn.subscriptions s USING (merchant)",
    )
    .execute(&other)
    .await
    .unwrap();
    other.close().await;
    let before = blocks(&database, "pending_deliveries", 1).await;

    finish(&planned, owner, &events[1..=ENDED]).await;

    planned.close().await;
    let read = blocks(&database, "pending_deliveries", 0).await - before;
    let open: i64 = database
        .value("SELECT count(*) FROM posthorn.pending_deliveries")
        .await;
    assert_eq!(open, i64::try_from(OPEN - ENDED).unwrap());
    let most = i64::try_from(ENDED * 10).unwrap();
    assert!(read < most, "{read} blocks for {ENDED} deliveries");
}

#[tokio::test]
async fn a_step_of_a_replay_looks_at_its_own_deliveries_among_many_subscriptions() {
    let _alone = alone_among_the_heavy().await;
    let database = Database::new().await;
    // What a session read is counted for certain once it has ended.
    let provider = connect(&database.url.clone().into(), 1).unwrap();
    provider
        .execute(AssertSqlSafe(format!(
            "INSERT INTO posthorn.subscriptions (merchant, name, url)
             SELECT 'merchant-' || n, 'orders', 'https://a.example/' FROM generate_series(1, 50) AS n;
             WITH e AS (INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
                        SELECT 'merchant-1', 'k', n::text, 's' FROM generate_series(1, {OPEN}) AS n
                        RETURNING id)
             INSERT INTO posthorn.deliveries (event_id, subscription_id, attempts, state)
             SELECT e.id, s.id, 1, 'delivered' FROM e, posthorn.subscriptions s
              WHERE s.merchant = 'merchant-1';"
        )))
        .await
        .unwrap();
    provider.close().await;
    database.execute("VACUUM ANALYZE").await;
    database
        .execute(&format!(
            "SELECT posthorn.replay('merchant-1', rate => 20 * {ENDED})"
        ))
        .await;
    let before = blocks(&database, "deliveries_%", 0).await;

    let worker = connect(&database.url.clone().into(), 1).unwrap();
    let advanced = advance_replays(&worker).await.unwrap();
    worker.close().await;

    assert_eq!(advanced.opened, ENDED as u64, "a twentieth of the rate");
    let read = blocks(&database, "deliveries_%", 0).await - before;
    let most = i64::try_from(ENDED * 10).unwrap();
    assert!(read < most, "{read} blocks for {ENDED} deliveries");
}

/// Changes of the configuration, one after another, and whose subscriptions each concerns.
const CHANGES: &[(&str, Option<&[&str]>)] = &[
    (
        "UPDATE posthorn.subscriptions SET paused = true WHERE merchant = 'm-7'",
        Some(&["m-7"]),
    ),
    (
        "UPDATE posthorn.profiles SET timeout = '3 s' WHERE name = 'rare'",
        Some(&["m-1", "m-2"]),
    ),
    (
        "INSERT INTO posthorn.locks (name, merchant, timeout) VALUES ('l', 'm-9', '4 s')",
        Some(&["m-9"]),
    ),
    (
        "UPDATE posthorn.locks SET merchant = 'm-10'",
        Some(&["m-10", "m-9"]),
    ),
    (
        "UPDATE posthorn.locks SET merchant = 'm-11', name = 'k'",
        Some(&["m-10", "m-11"]),
    ),
    (
        "UPDATE posthorn.locks SET merchant = NULL, profile = 'rare'",
        Some(&["m-1", "m-11", "m-2"]),
    ),
    ("DELETE FROM posthorn.locks", Some(&["m-1", "m-2"])),
    (
        "INSERT INTO posthorn.locks (name, timeout) VALUES ('all', '4 s')",
        None,
    ),
    (
        "UPDATE posthorn.locks SET merchant = 'm-9' WHERE name = 'all'",
        None,
    ),
    (
        "UPDATE posthorn.profiles SET timeout = '3 s' WHERE name = 'common'",
        None,
    ),
];

#[tokio::test]
async fn what_a_change_concerns_is_found_without_a_walk_through_all_subscriptions() {
    let _alone = alone_among_the_heavy().await;
    let database = Database::new().await;
    database
        .execute(
            "INSERT INTO posthorn.profiles (name, url) VALUES
                ('rare', 'https://a.example/'), ('common', 'https://a.example/');
             INSERT INTO posthorn.subscriptions (merchant, name, profile)
             SELECT 'm-' || n, 'orders', CASE WHEN n < 3 THEN 'rare' ELSE 'common' END
               FROM generate_series(1, 20000) AS n",
        )
        .await;
    database.execute("VACUUM ANALYZE").await;
    for (change, expected) in CHANGES {
        let known: i64 = database
            .value("SELECT revision FROM posthorn.config_revision")
            .await;
        database.execute(change).await;
        let before = subscriptions_read(&database, 0).await;
        let worker = connect(&database.url.clone().into(), 1).unwrap();
        let changed = find_changed(&worker, known).await.unwrap();
        worker.close().await;
        let expected = expected.map_or(Changed::Any, |merchants| {
            Changed::Merchants(merchants.iter().map(|&merchant| merchant.into()).collect())
        });
        assert_eq!(changed, expected, "{change}");
        let read = subscriptions_read(&database, 0).await - before;
        let most = if changed == Changed::Any { 1001 } else { 10 };
        assert!(read <= most, "{read} rows for: {change}");
    }
}

#[tokio::test]
async fn the_subscriptions_of_a_merchant_are_found_by_the_plans_of_an_empty_table() {
    let _alone = alone_among_the_heavy().await;
    let database = Database::new().await;
    database.execute("VACUUM ANALYZE").await;
    let worker = connect(&database.url.clone().into(), 1).unwrap();
    let load = async || {
        let found = find_changed(&worker, i64::MAX - 1).await.unwrap();
        assert_eq!(found, Changed::Merchants(BTreeSet::new()));
        let ids = find_of_merchants(&worker, &["m-7".to_owned()]).await;
        let rows = load_by_id(&worker, &ids.unwrap()).await.unwrap();
        let ids: Vec<Uuid> = rows.iter().map(|row| row.identity.id).collect();
        let merchants = find_merchants_of(&worker, &ids).await.unwrap();
        let mut places = vec![Place::start(Shard(5))];
        let of_shard = find_of_shards(&worker, &mut places).await.unwrap();
        assert!(places.is_empty(), "it was less than a page");
        (merchants, of_shard.len())
    };
    load().await;
    load_by_id(&worker, &[Uuid::now_v7()]).await.unwrap();
    database
        .execute(
            "INSERT INTO posthorn.subscriptions (merchant, name, url)
             SELECT 'm-' || n, 'orders', 'https://a.example/' FROM generate_series(1, 20000) AS n",
        )
        .await;
    let of_shard: i64 = database
        .value("SELECT count(*) FROM posthorn.subscriptions WHERE posthorn.shard_of(merchant) = 5")
        .await;
    let before = subscriptions_read(&database, 1).await;

    let (merchants, found) = load().await;

    worker.close().await;
    assert_eq!(merchants, ["m-7"]);
    assert_eq!(i64::try_from(found).unwrap(), of_shard);
    let read = subscriptions_read(&database, 0).await - before;
    assert!(read <= of_shard + 10, "{read} rows");
}

/// Rows of subscriptions that were looked at, once no more than so many sessions of Posthorn's are
/// left.
async fn subscriptions_read(database: &Database, sessions: i64) -> i64 {
    no_more_sessions_than(database, sessions).await;
    database
        .value(
            "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables
              WHERE relid = 'posthorn.subscriptions'::regclass",
        )
        .await
}

/// Blocks of the tables' indexes that were looked at, once no more than so many sessions of
/// Posthorn's are left: a session's counts are all there when it has ended.
async fn blocks(database: &Database, tables: &str, sessions: i64) -> i64 {
    no_more_sessions_than(database, sessions).await;
    database
        .value(&format!(
            "SELECT sum(idx_blks_hit + idx_blks_read)::bigint FROM pg_statio_user_indexes
              WHERE relname LIKE '{tables}'",
        ))
        .await
}

async fn no_more_sessions_than(database: &Database, sessions: i64) {
    database
        .counts(
            "the session's end",
            "SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND application_name = 'posthorn'",
            |left| left == sessions,
        )
        .await;
}
