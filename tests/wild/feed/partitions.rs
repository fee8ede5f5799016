//! Days whose partitions are made late: the events lie in the default partition, and are moved
//! while somebody reads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use posthorn::flow::window::PageRequest;
use posthorn::model::{Shard, Snapshot};
use posthorn::store::audit::read_stretch;
use posthorn::store::known::find_known_deliveries;
use posthorn::store::log::{current_snapshot, read_by_id, read_page};
use posthorn::store::merchant_feed::{
    FeedRequest, Part, Slice, read_feeds, read_log, read_transactions,
};
use posthorn::store::{Pool, connect};
use serde_json::json;
use uuid::Uuid;

use crate::support::{Database, PATIENCE, Setup, Worker, alone_among_the_heavy, receiver, until};

/// As if the last worker had run more than a week ago.
async fn lose_the_days(database: &Database) {
    database
        .execute(
            r"DO $$
              DECLARE part text;
              BEGIN
                  FOR part IN SELECT relname FROM pg_class
                               WHERE relnamespace = 'posthorn'::regnamespace
                                 AND relname ~ '^(events|deliveries|attempts)_\d{8}$' LOOP
                      EXECUTE format('DROP TABLE posthorn.%I', part);
                  END LOOP;
              END $$",
        )
        .await;
}

async fn publish(database: &Database, count: i64) {
    database
        .execute(&format!(
            "SELECT posthorn.publish('acme', 'payment', 'T-' || n, 'approved', '{{}}'::json)
               FROM generate_series(1, {count}) AS n"
        ))
        .await;
}

async fn in_default(database: &Database) -> i64 {
    database
        .value("SELECT count(*) FROM posthorn.events_default")
        .await
}

/// Until a session of the database waits so.
async fn waits(database: &Database, how: &str) {
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {how}"
    );
    let what = format!("a session with {how}");
    database
        .counts(&what, &sessions, |waiting| waiting > 0)
        .await;
}

async fn somebody_waits(database: &Database) {
    waits(database, "wait_event_type = 'Lock'").await;
}

const EVENTS: i64 = 100;

/// How much of the hundred events, or of their hundred deliveries, a reader finds.
async fn read(reader: &str, pool: Pool, ids: Vec<Uuid>) -> usize {
    let shards: Vec<Shard> = (0..64).map(Shard).collect();
    let everything = || Part {
        since: Snapshot::before_everything(),
        until: None,
        after: Uuid::nil(),
    };
    match reader {
        "a worker's page" => {
            let request = PageRequest {
                until: None,
                late: vec![],
                after: (0, Uuid::nil()),
                limit: 1000,
            };
            let page = read_page(&pool, &request, &shards, Uuid::nil()).await;
            page.unwrap().events.len()
        }
        "a worker in another cluster" => {
            let until = current_snapshot(&pool).await.unwrap();
            let events = read_by_id(&pool, &shards, Uuid::nil(), &until, 1000).await;
            events.unwrap().len()
        }
        "a gateway" => {
            let page = read_log(&pool, &everything(), Uuid::nil(), 1000).await;
            page.unwrap().page.events.len()
        }
        "a client who is behind" => {
            let request = FeedRequest {
                merchant: "acme".into(),
                part: everything(),
                floor: Uuid::nil(),
            };
            let slice = Slice {
                rows: 1000,
                events: 1000,
                bytes: 1 << 20,
            };
            read_feeds(&pool, &[request], slice).await.unwrap()[0]
                .events
                .len()
        }
        "a client who asks for transactions" => {
            let asked: Vec<_> = (1..=EVENTS)
                .map(|n| ("acme".into(), format!("T-{n}").into()))
                .collect();
            let pages = read_transactions(&pool, &asked, 1).await.unwrap();
            pages.iter().map(|page| page.events.len()).sum()
        }
        "the audit" => {
            let stretch = read_stretch(&pool, Uuid::nil(), Uuid::max(), 1000).await;
            stretch.unwrap().len()
        }
        "what is recorded" => find_known_deliveries(&pool, &ids).await.unwrap().len(),
        other => panic!("{other}"),
    }
}

/// Whoever plans a statement while the days are made has the list of partitions from before,
/// and the rows from after: in 9 of 12 starts of a worker none of 1,000 events was delivered.
#[tokio::test]
async fn nobody_who_reads_while_the_days_are_made_misses_an_event() {
    for reader in [
        "a worker's page",
        "a worker in another cluster",
        "a gateway",
        "a client who is behind",
        "a client who asks for transactions",
        "the audit",
        "what is recorded",
    ] {
        let database = Database::new().await;
        let subscription = database
            .subscribe("acme", "orders", json!({"url": "http://127.0.0.1:1/"}))
            .await;
        lose_the_days(&database).await;
        publish(&database, EVENTS).await;
        database
            .execute(&format!(
                "INSERT INTO posthorn.deliveries (event_id, subscription_id, attempts, state)
                 SELECT id, '{subscription}', 1, 'delivered' FROM posthorn.events"
            ))
            .await;
        let ids: Vec<Uuid> = database
            .value("SELECT array_agg(id) FROM posthorn.events")
            .await;
        let pool = connect(&database.url.clone().into(), 1).unwrap();
        let mut maker = database.pool.begin().await.unwrap();
        sqlx::query("SELECT posthorn.make_partitions(7)")
            .execute(&mut *maker)
            .await
            .unwrap();
        let reading = tokio::spawn(async move { read(reader, pool, ids).await });
        somebody_waits(&database).await;
        maker.commit().await.unwrap();
        assert_eq!(reading.await.unwrap(), 100, "{reader}");
        assert_eq!(in_default(&database).await, 0);
    }
}

/// The same as it was seen: a worker that starts.
#[tokio::test]
async fn a_worker_that_starts_delivers_what_came_before_its_day_was_made() {
    let _alone = alone_among_the_heavy().await;
    for round in 1..=6 {
        let database = Database::new().await;
        let receiver = receiver().await;
        let settings = json!({"url": receiver.url("/"), "max_in_flight": 100});
        database.subscribe("acme", "orders", settings).await;
        lose_the_days(&database).await;
        publish(&database, 1000).await;
        let worker = Worker::start(&database, "").await;
        until(
            PATIENCE,
            &format!("1,000 deliveries in round {round}"),
            async || {
                let delivered: i64 = database
                    .value(
                        "SELECT count(*) FROM posthorn.delivery_status WHERE state = 'delivered'",
                    )
                    .await;
                (delivered == 1000).then_some(())
            },
        )
        .await;
        assert_eq!(in_default(&database).await, 0);
        assert_eq!(receiver.requests().len(), 1000);
        drop(worker);
    }
}

/// Publishes one event after another until `stop`; returns how many, and the longest that one
/// took.
async fn keep_publishing(database: &Database, stop: &AtomicBool) -> (i64, Duration) {
    let (mut count, mut longest) = (0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        publish(database, 1).await;
        longest = longest.max(began.elapsed());
        count += 1;
    }
    (count, longest)
}

/// Rows that came between the move and the new partition made it fail, for as long as somebody
/// published; and publishers waited for the building of its indexes.
#[tokio::test]
async fn a_day_is_made_while_the_application_publishes_and_it_hardly_waits() {
    let _alone = alone_among_the_heavy().await;
    let database = Database::new().await;
    lose_the_days(&database).await;
    publish(&database, 50_000).await;
    let stop = AtomicBool::new(false);
    let made = async {
        let worker = Setup::new(&database).start().await;
        worker.logs("made partitions").await;
        assert!(!worker.log().contains("cannot make"), "{}", worker.log());
        stop.store(true, Ordering::Relaxed);
    };
    let ((count, longest), ()) = tokio::join!(keep_publishing(&database, &stop), made);
    assert!(longest < Duration::from_secs(3), "one took {longest:?}");
    assert_eq!(in_default(&database).await, 0);
    let all: i64 = database.value("SELECT count(*) FROM posthorn.events").await;
    assert_eq!(all, 50_000 + count);
}

/// Such as a dump, which has a lock on every table while it runs.
#[tokio::test]
async fn a_reader_who_stays_delays_the_day_and_nobody_else() {
    let database = Database::new().await;
    lose_the_days(&database).await;
    publish(&database, 10).await;
    let mut dump = database.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE posthorn.events IN ACCESS SHARE MODE")
        .execute(&mut *dump)
        .await
        .unwrap();
    let stop = AtomicBool::new(false);
    let made = async {
        let worker = Worker::start(&database, "").await;
        // It tries again.
        waits(&database, "wait_event = 'PgSleep'").await;
        assert!(in_default(&database).await > 0);
        dump.rollback().await.unwrap();
        worker.logs("made partitions").await;
        stop.store(true, Ordering::Relaxed);
    };
    let ((_, longest), ()) = tokio::join!(keep_publishing(&database, &stop), made);
    assert!(longest < Duration::from_secs(3), "one took {longest:?}");
    assert_eq!(in_default(&database).await, 0);
}

/// Rows of days that passed while no worker ran had no partition to be dropped with.
#[tokio::test]
async fn a_day_that_passed_without_a_worker_is_made_too_and_goes_with_the_others() {
    let database = Database::new().await;
    database
        .execute(
            "INSERT INTO posthorn.events (id, xid, merchant, kind, transaction_id, status)
             SELECT posthorn.uuid_floor(now() - interval '1 day' * n), '3', 'acme', 'payment', 'T', 'approved'
               FROM generate_series(3, 5) AS n",
        )
        .await;
    let worker = Worker::start(
        &database,
        "maintenance.retention_days = 4\nmaintenance.schedule = '* * * * * *'",
    )
    .await;
    worker.logs("dropped partitions").await;
    let left: Vec<String> = database
        .value("SELECT array_agg(c.relname::text ORDER BY e.id) FROM posthorn.events e JOIN pg_class c ON c.oid = e.tableoid")
        .await;
    let days: Vec<String> = database
        .value("SELECT array_agg('events_' || to_char(current_date - n, 'YYYYMMDD')) FROM generate_series(3, 4) AS n")
        .await;
    let days: Vec<String> = days.into_iter().rev().collect();
    assert_eq!(left, days);
}

/// After a restore, transaction numbers of the other cluster are made old. A row that was
/// being moved kept its own, and would have been sent again when this cluster reached it.
#[tokio::test]
async fn an_event_of_another_cluster_is_made_old_although_it_is_being_moved() {
    let database = Database::new().await;
    lose_the_days(&database).await;
    database
        .execute(
            "INSERT INTO posthorn.events (xid, merchant, kind, transaction_id, status)
             VALUES ('4000000000', 'acme', 'payment', 'T', 'approved')",
        )
        .await;
    let mut maker = database.pool.begin().await.unwrap();
    sqlx::query("SELECT posthorn.make_next_partition(7)")
        .execute(&mut *maker)
        .await
        .unwrap();
    let pool = database.pool.clone();
    let settled = tokio::spawn(async move {
        sqlx::query_scalar::<_, i64>("SELECT posthorn.settle_foreign_events()")
            .fetch_one(&pool)
            .await
            .unwrap()
    });
    somebody_waits(&database).await;
    maker.commit().await.unwrap();
    assert_eq!(settled.await.unwrap(), 1);
}
