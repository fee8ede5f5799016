//! The schema: made safely, explained, and strict with hand-run SQL.

use serde_json::json;
use uuid::Uuid;

use crate::support::{Database, PATIENCE, Setup, posthorn, until};

#[tokio::test]
async fn migrate_is_safe_from_two_processes_at_once_and_again() {
    let database = Database::empty().await;
    let arguments = ["migrate", "--database-url", &database.url, "--shards", "8"];
    let (one, two) = tokio::join!(posthorn(&arguments), posthorn(&arguments));
    assert!(one.0.success(), "{}", one.1);
    assert!(two.0.success(), "{}", two.1);
    // Another number of shards, later, changes nothing: merchants would move.
    let again = posthorn(&["migrate", "--database-url", &database.url]).await;
    assert!(again.0.success(), "{}", again.1);
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM posthorn.shards")
            .await,
        8
    );
    let outside: i64 = database
        .value("SELECT count(*) FROM generate_series(1, 1000) AS n WHERE posthorn.shard_of('m' || n) NOT BETWEEN 0 AND 7")
        .await;
    assert_eq!(outside, 0);
    let used: i64 = database
        .value(
            "SELECT count(DISTINCT posthorn.shard_of('m' || n)) FROM generate_series(1, 1000) AS n",
        )
        .await;
    assert_eq!(used, 8);
}

#[tokio::test]
async fn every_table_and_column_says_what_it_is() {
    let database = Database::new().await;
    // Partitions have their parent's columns, and migrations is the migrator's own.
    let silent: Vec<String> = database
        .value(
            "SELECT coalesce(array_agg(c.relname || '.' || a.attname ORDER BY 1), '{}')
               FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
              WHERE c.relnamespace = 'posthorn'::regnamespace AND c.relkind IN ('r', 'p')
                AND NOT c.relispartition AND c.relname <> 'migrations'
                AND a.attnum > 0 AND NOT a.attisdropped
                AND col_description(c.oid, a.attnum) IS NULL",
        )
        .await;
    assert_eq!(silent, Vec::<String>::new());
    let silent: Vec<String> = database
        .value(
            "SELECT coalesce(array_agg(c.relname::text ORDER BY 1), '{}') FROM pg_class c
              WHERE c.relnamespace = 'posthorn'::regnamespace AND c.relkind IN ('r', 'p', 'v')
                AND NOT c.relispartition AND c.relname <> 'migrations'
                AND obj_description(c.oid) IS NULL",
        )
        .await;
    assert_eq!(silent, Vec::<String>::new());
}

#[tokio::test]
async fn hand_run_sql_is_held_to_the_rules() {
    let database = Database::new().await;
    let subscription = database
        .subscribe("acme", "hook", json!({"url": "https://example.com/"}))
        .await;
    let delivery = |columns: &str, values: &str| {
        format!(
            "INSERT INTO posthorn.deliveries (event_id, subscription_id, {columns})
             VALUES (posthorn.uuid_v7(), '{subscription}', {values})"
        )
    };
    let pending = |state: &str, attempts: i32, reason: &str| {
        format!(
            "INSERT INTO posthorn.pending_deliveries
                 (event_id, subscription_id, state, attempts, reason, due_at, shard, transaction_id)
             VALUES (posthorn.uuid_v7(), '{subscription}', '{state}', {attempts}, {reason}, now(), 0, 't')"
        )
    };
    let set = |what: &str| format!("UPDATE posthorn.subscriptions SET {what}");
    let event = |merchant: &str, kind: &str, transaction: &str, status: &str, data: &str| {
        format!("SELECT posthorn.publish({merchant}, {kind}, {transaction}, {status}, {data})")
    };
    let good = [
        delivery("state, attempts", "'delivered', 1"),
        delivery("state, attempts, reason", "'cancelled', 0, 'by hand'"),
        pending("pending", 0, "NULL"),
        pending("pending_retry", 1, "'503'"),
        set("max_in_flight = 500"),
        event("'a'", "'k'", "'t'", "'s'", "'{}'"),
        // The limit to the byte, quotes included.
        event("'a'", "'k'", "'t'", "'s'", "to_json(repeat('x', 1048574))"),
    ];
    for sql in good {
        database.execute(&sql).await;
    }
    let bad = [
        delivery("state, attempts, reason", "'delivered', 1, 'but why'"),
        delivery("state, attempts", "'delivered', 0"),
        delivery("state, attempts", "'posting_error', 5"),
        delivery("state, attempts", "'pending', 0"),
        delivery("state, attempts, reason", "'pending_retry', 1, '503'"),
        pending("pending", 1, "NULL"),
        pending("pending", 0, "'why'"),
        pending("pending_retry", 0, "'503'"),
        pending("pending_retry", 1, "NULL"),
        pending("delivered", 1, "NULL"),
        set("max_in_flight = 501"),
        set("max_in_flight = 0"),
        set("method = 'GET', encoding = 'json'"),
        set("method = 'POST', encoding = 'query'"),
        set("method = 'PUT'"),
        set("url = 'ftp://example.com/'"),
        set("url = 'https://'"),
        set("timeout = '-1s'"),
        set("retry_interval = '-1s'"),
        set("max_attempts = 0"),
        set("auth_secret = 'hunter2'"),
        set("client_cert = 'file:/a'"),
        set("merchant = ''"),
        "UPDATE posthorn.shards SET owner = gen_random_uuid()".to_owned(),
        event("''", "'k'", "'t'", "'s'", "'{}'"),
        event("NULL", "'k'", "'t'", "'s'", "'{}'"),
        event("'a'", "''", "'t'", "'s'", "'{}'"),
        event("'a'", "'k'", "''", "'s'", "'{}'"),
        event("'a'", "'k'", "'t'", "''", "'{}'"),
        event("'a'", "'k'", "'t'", "'s'", "to_json(repeat('x', 1048575))"),
    ];
    for sql in bad {
        let refused = database.try_execute(&sql).await;
        let code = refused
            .as_ref()
            .err()
            .and_then(|error| error.as_database_error()?.code());
        // A CHECK, or a NOT NULL.
        assert!(
            matches!(code.as_deref(), Some("23514" | "23502")),
            "{sql}: {refused:?}"
        );
    }
    let deleted = database
        .try_execute("DELETE FROM posthorn.subscriptions")
        .await;
    assert!(deleted.unwrap_err().to_string().contains("kept"));
    let moved = database
        .try_execute("UPDATE posthorn.subscriptions SET merchant = 'another'")
        .await;
    let refused = moved.unwrap_err().to_string();
    assert!(refused.contains("stays with its merchant"), "{refused}");
    let malformed = database
        .try_execute(&event("'a'", "'k'", "'t'", "'s'", "'{\"a\": '"))
        .await;
    assert!(malformed.is_err());
}

#[tokio::test]
async fn partitions_are_there_a_week_ahead() {
    let database = Database::new().await;
    for parent in ["events", "deliveries", "attempts"] {
        let missing: Vec<String> = database
            .value(&format!(
                "SELECT coalesce(array_agg(day), '{{}}') FROM (
                     SELECT '{parent}_' || to_char(current_date + n, 'YYYYMMDD') AS day
                       FROM generate_series(0, 7) AS n) AS days
                  WHERE to_regclass('posthorn.' || day) IS NULL"
            ))
            .await;
        assert_eq!(missing, Vec::<String>::new());
    }
    let event = database.publish("acme", "t", "approved", "{}").await;
    assert_eq!(table_of(&database, event).await, "today");
}

#[tokio::test]
async fn an_event_of_a_day_without_a_partition_moves_when_the_day_is_made() {
    let database = Database::new().await;
    let event: Uuid = database
        .value(
            "INSERT INTO posthorn.events (id, merchant, kind, transaction_id, status, data)
             SELECT posthorn.uuid_floor(current_date + 10 + interval '1 hour'), 'acme', 'k', 't', 's', '{\"n\": 1.50}'
             RETURNING id",
        )
        .await;
    assert_eq!(table_of(&database, event).await, "events_default");
    let row = format!("SELECT events::text FROM posthorn.events WHERE id = '{event}'");
    let before: String = database.value(&row).await;
    // Three tables for each of the days 8 to 12.
    assert_eq!(
        database
            .value::<i32>("SELECT posthorn.make_partitions(12)")
            .await,
        15
    );
    assert_eq!(
        database
            .value::<i32>("SELECT posthorn.make_partitions(12)")
            .await,
        0
    );
    let day: String = database
        .value("SELECT 'events_' || to_char(current_date + 10, 'YYYYMMDD')")
        .await;
    assert_eq!(table_of(&database, event).await, day);
    assert_eq!(database.value::<String>(&row).await, before);
}

#[tokio::test]
async fn days_with_open_deliveries_or_unread_events_are_kept() {
    let database = Database::new().await;
    database
        .execute(
            "DO $$ BEGIN
                 FOR n IN 10..13 LOOP
                     EXECUTE format('CREATE TABLE posthorn.%I PARTITION OF posthorn.events FOR VALUES FROM (%L) TO (%L)',
                         'events_' || to_char(current_date - n, 'YYYYMMDD'),
                         posthorn.uuid_floor(current_date - n), posthorn.uuid_floor(current_date - n + 1));
                 END LOOP;
             END $$",
        )
        .await;
    let event = |days: i32| {
        format!(
            "INSERT INTO posthorn.events (id, merchant, kind, transaction_id, status)
             SELECT posthorn.uuid_floor(current_date - {days} + interval '1 hour'), 'acme', 'k', 't', 's'"
        )
    };
    // Day 10 is empty, 11 read, 12 read but with an open delivery, 13 unread.
    database.execute(&event(11)).await;
    database.execute(&event(12)).await;
    read_all(&database).await;
    database
        .execute(
            "INSERT INTO posthorn.pending_deliveries
                 (event_id, subscription_id, state, due_at, shard, transaction_id)
             SELECT id, gen_random_uuid(), 'pending', now(), shard, 't' FROM posthorn.events
              WHERE id < posthorn.uuid_floor(current_date - 11)",
        )
        .await;
    database.execute(&event(13)).await;

    let keep_more = dropped(&database, 20).await;
    assert_eq!(keep_more, Vec::<i32>::new());
    assert_eq!(dropped(&database, 5).await, [11, 10]);
    assert_eq!(dropped(&database, 5).await, Vec::<i32>::new());
    database
        .execute("DELETE FROM posthorn.pending_deliveries")
        .await;
    read_all(&database).await;
    assert_eq!(dropped(&database, 5).await, [13, 12]);
    assert!(
        database
            .try_execute("SELECT posthorn.drop_partitions(0)")
            .await
            .is_err()
    );
}

/// Moves the checkpoints past every event. Other tests' transactions may still run: a
/// snapshot counts those of the whole cluster.
async fn read_all(database: &Database) {
    until(PATIENCE, "checkpoints past every event", async || {
        database
            .execute("UPDATE posthorn.shards SET checkpoint = pg_current_snapshot()")
            .await;
        let past: bool = database
            .value(
                "SELECT (SELECT max(xid) FROM posthorn.events)
                      < (SELECT min(pg_snapshot_xmin(checkpoint)) FROM posthorn.shards)",
            )
            .await;
        past.then_some(())
    })
    .await;
}

/// How many days ago the days were that are dropped now, the oldest first.
async fn dropped(database: &Database, keep_days: i32) -> Vec<i32> {
    database
        .value(&format!(
            "SELECT coalesce(array_agg(current_date - to_date(right(name, 8), 'YYYYMMDD') ORDER BY name), '{{}}')
               FROM posthorn.drop_partitions({keep_days}) AS name"
        ))
        .await
}

/// The partition of an event; today's is called so.
async fn table_of(database: &Database, event: Uuid) -> String {
    database
        .value(&format!(
            "SELECT CASE relname WHEN 'events_' || to_char(current_date, 'YYYYMMDD') THEN 'today' ELSE relname END
               FROM posthorn.events e JOIN pg_class c ON c.oid = e.tableoid WHERE e.id = '{event}'"
        ))
        .await
}

#[tokio::test]
async fn a_worker_refuses_a_schema_that_it_does_not_know_and_says_what_to_do() {
    let empty = Database::empty().await;
    let (status, log) = Setup::new(&empty).refused().await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("run `posthorn migrate`"), "{log}");

    let newer = Database::from_the_future().await;
    let (status, log) = Setup::new(&newer).refused().await;
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("upgrade posthorn"), "{log}");
}
