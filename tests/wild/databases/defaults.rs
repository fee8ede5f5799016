//! What a DBA has set for a role or a database, for the application beside Posthorn.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use crate::support::rig::is_full;
use crate::support::{Database, PATIENCE, Setup, posthorn, receiver, until};

const DEFAULTS: &str = "
    default_transaction_isolation = serializable
    default_transaction_read_only = on
    default_transaction_deferrable = on
    statement_timeout = 200
    lock_timeout = 1
    idle_in_transaction_session_timeout = 1
    idle_session_timeout = 30
    jit = on
    jit_above_cost = 0
    search_path = public
    datestyle = 'SQL, DMY'
    intervalstyle = sql_standard
    timezone = 'Pacific/Chatham'
    bytea_output = escape
    standard_conforming_strings = off
    escape_string_warning = on
    row_security = off
    array_nulls = off
    quote_all_identifiers = on
    transform_null_equals = on
    enable_indexscan = off
    enable_nestloop = off
    enable_partition_pruning = off
    plan_cache_mode = force_custom_plan
    client_min_messages = debug1";

/// A database without the schema, whose owner has these defaults in it, as the test sees it: in
/// sessions that may write, and take their time.
async fn set_up(left_out: &[&str]) -> Database {
    let database = Database::empty().await;
    let set: Vec<String> = DEFAULTS
        .trim()
        .lines()
        .filter(|line| !left_out.iter().any(|name| line.contains(name)))
        .map(|line| {
            let name = &database.name;
            format!("ALTER ROLE posthorn IN DATABASE {name} SET {}", line.trim())
        })
        .collect();
    database.as_superuser(&set.join(";\n")).await;
    let own = [
        "default_transaction_read_only=off",
        "default_transaction_isolation=read\\ committed",
        "statement_timeout=0",
        "lock_timeout=0",
        "idle_in_transaction_session_timeout=0",
        "idle_session_timeout=0",
    ];
    let own = own.map(|setting| {
        let (name, value) = setting.split_once('=').unwrap();
        format!("options[{name}]={}", value.replace("\\ ", "%20"))
    });
    let url = format!("{}?{}", database.url, own.join("&"));
    Database {
        pool: Database::connect(&database.name, url).pool,
        ..database
    }
}

async fn works(way: &str, left_out: &[&str]) {
    let database = set_up(left_out).await;
    let (status, said) = posthorn(&["migrate", "--database-url", &database.url]).await;
    assert!(status.success(), "{said}");
    let receiver = receiver().await;
    receiver.on("/", "503,times=1,then=200".parse().unwrap());
    let worker = Setup::new(&database).toml(way).start().await;
    let retried = json!({ "url": receiver.url("/"), "retry": "fixed", "retry_interval": "1s" });
    database.subscribe("acme", "all", retried).await;
    let event = database
        .publish("acme", "t1", "approved", r#"{"a":1.50}"#)
        .await;
    database.reaches(event, "delivered").await;
    assert_eq!(database.deliveries(event).await[0].attempts, 2);
    for command in [
        &["status"][..],
        &["deliveries", "--merchant", "acme"],
        &["audit", "--since", "1h"],
    ] {
        let url = ["--database-url", &database.url];
        let (status, said) = posthorn(&[command, &url].concat()).await;
        assert!(status.success(), "{command:?}: {said}");
    }
    let url = &database.url;
    let (status, said) = posthorn(&["replay", "--merchant", "acme", "--database-url", url]).await;
    assert!(status.success(), "{said}");
    receiver.wait_for(3, PATIENCE).await.unwrap();
    let log = worker.log();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn none_of_it_changes_what_posthorn_does() {
    works("", &[]).await;
}

#[tokio::test]
async fn nor_through_a_pooler_that_keeps_no_settings() {
    // Which sessions rest, and for how long, is the pooler's business; and a transaction has to
    // begin before it can say anything.
    let left_out = ["idle_session_timeout", "statement_timeout"];
    works("database.transaction_pooler = true", &left_out).await;
}

/// Where backslashes escape in plain literals, a pattern such as `\d` meant `d`.
#[tokio::test]
async fn an_application_whose_strings_escape_calls_the_same_functions() {
    let database = Database::new().await;
    database.make_day(40).await;
    let template = json!({ "url": "https://template.test/", "scope": "transaction" });
    database.subscribe("acme", "own", template).await;
    let url = format!("{}?options[standard_conforming_strings]=off", database.url);
    let bent = Database::connect(&database.name, url);
    let dropped: i64 = bent
        .value("SELECT count(*) FROM posthorn.drop_partitions(30)")
        .await;
    assert!(dropped >= 1, "{dropped}");
    bent.execute(
        r#"SELECT posthorn.subscribe_transaction('acme', 't1',
                '{"url": "https://a.test/", "Data": "x=1; required-response-text = RECEIVED "}')"#,
    )
    .await;
    let text: String = bent
        .value("SELECT success_body FROM posthorn.transaction_subscriptions")
        .await;
    assert_eq!(text, "RECEIVED");
    let refused = bent
        .try_execute(
            r#"SELECT posthorn.subscribe_transaction('acme', 't2', '{"url": "https://me:hunter2@a.test/"}')"#,
        )
        .await;
    if let Err(error) = refused {
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    // No pattern and no replacement in a function means something else there.
    let literal: Vec<String> = sqlx::query_scalar(
        r"SELECT p.proname::text FROM pg_proc p
           WHERE p.pronamespace = 'posthorn'::regnamespace AND p.prosqlbody IS NULL
             AND regexp_replace(p.prosrc, '--[^\n]*|E''([^'']|'''')*''', '', 'g') ~ '\\'",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    assert!(literal.is_empty(), "a backslash outside E'': {literal:?}");
}

/// In one trial 314 of the application's transactions failed while a worker read beside them.
#[tokio::test(flavor = "multi_thread")]
async fn serializable_transactions_do_not_fail_for_a_worker_beside_them() {
    let (writers, each) = if is_full() { (64, 200) } else { (16, 25) };
    let database = Database::new().await;
    database
        .as_superuser(&format!(
            "ALTER DATABASE {} SET default_transaction_isolation = serializable",
            database.name
        ))
        .await;
    let receiver = receiver().await;
    let mut counts = Vec::new();
    for with_worker in [false, true] {
        let worker = if with_worker {
            for merchant in 0..writers {
                let url = receiver.url("/");
                database
                    .subscribe(&format!("m{merchant}"), "all", json!({ "url": url }))
                    .await;
            }
            Some(Setup::new(&database).start().await)
        } else {
            None
        };
        let failed = Arc::new(AtomicU32::new(0));
        let through = sqlx::postgres::PgPoolOptions::new()
            .max_connections(writers)
            .acquire_timeout(PATIENCE)
            .connect(&database.url)
            .await
            .unwrap();
        let tasks = (0..writers).map(|writer| {
            let (pool, failed) = (through.clone(), Arc::clone(&failed));
            tokio::spawn(async move {
                for number in 0..each {
                    let written =
                        sqlx::query("SELECT posthorn.publish($1, 'payment', $2, 'approved', '{}')")
                            .bind(format!("m{writer}"))
                            .bind(format!("t{number}"))
                            .execute(&pool)
                            .await;
                    let code = |error: &sqlx::Error| {
                        error.as_database_error()?.code().map(Cow::into_owned)
                    };
                    match written {
                        Ok(_) => {}
                        Err(error) if code(&error).as_deref() == Some("40001") => {
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => panic!("{error}"),
                    }
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        counts.push(failed.load(Ordering::Relaxed));
        if let Some(worker) = worker {
            let all = i64::from(writers * each);
            until(PATIENCE, "all deliveries", async || {
                let done: i64 = database
                    .value("SELECT count(*) FROM posthorn.deliveries")
                    .await;
                (done >= all).then_some(())
            })
            .await;
            drop(worker);
        }
    }
    println!(
        "serialization failures of {writers} writers: {} without a worker, {} with one",
        counts[0], counts[1]
    );
    assert_eq!(counts, [0, 0]);
}

/// On a stock server, where `jit` is on, the first of them took 4 to 8 s, all of it compiling.
#[tokio::test]
async fn what_people_paste_from_the_page_is_not_compiled() {
    const DAYS: i32 = 15;
    let database = Database::new().await;
    for day in 1..=DAYS {
        database.make_day(day).await;
    }
    for merchant in ["acme", "other"] {
        let settings = json!({ "url": "https://receiver.test/" });
        database.subscribe(merchant, "all", settings).await;
    }
    database
        .execute(&format!(
            "INSERT INTO posthorn.events (id, merchant, kind, transaction_id, status)
             SELECT overlay(posthorn.uuid_floor(now() - interval '1 minute' * {DAYS} * 1440 * n / 60000)::text
                            PLACING '7' FROM 15 FOR 1)::uuid,
                    CASE n % 2 WHEN 0 THEN 'acme' ELSE 'other' END, 'payment', 'T-' || n / 4, 'approved'
               FROM generate_series(1, 60000) AS n;
             INSERT INTO posthorn.deliveries (event_id, subscription_id, state, attempts)
             SELECT e.id, s.id, 'delivered', 1 FROM posthorn.events e JOIN posthorn.subscriptions s USING (merchant);
             INSERT INTO posthorn.attempts (event_id, subscription_id, started_at, number, duration_us, outcome, http_status, reason)
             SELECT event_id, subscription_id, finished_at, 1, 1000, 'ok', 200, 'OK' FROM posthorn.deliveries;
             UPDATE posthorn.shards SET checkpoint = pg_current_snapshot();
             ANALYZE"
        ))
        .await;
    let page = include_str!("../../../docs/SUPPORT.md");
    let blocks = page.split("```sql\n").skip(1);
    let queries = blocks.flat_map(|block| block.split("```").next().unwrap().split(';'));
    let mut asked = 0;
    for query in queries.filter(|query| query.trim_start().starts_with("SELECT")) {
        let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("EXPLAIN {query}")))
            .fetch_all(&database.pool)
            .await
            .unwrap();
        let plan = plan.join("\n");
        assert!(!plan.contains("JIT"), "{query}\n{plan}");
        asked += 1;
    }
    assert!(asked >= 8, "{asked}");
}
