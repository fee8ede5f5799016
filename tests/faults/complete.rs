//! Nothing that was committed is lost, and nothing else is sent, whatever the commit order.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::rig::{CALM, Rig, is_full};

const WRITERS: usize = 8;
const MERCHANTS: usize = 20;

/// The first is the issue's.
fn events() -> usize {
    if is_full() { 100_000 } else { 20_000 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_committed_event_has_one_ledger_row_per_matching_subscription() {
    let rig = Rig::set_up().await;
    for merchant in 0..MERCHANTS {
        let merchant = format!("m{merchant}");
        rig.subscribe(&merchant, "all", json!({ "max_in_flight": 50 }))
            .await;
        let approved = json!({ "statuses": ["approved"], "max_in_flight": 50 });
        rig.subscribe(&merchant, "approved", approved).await;
        rig.subscribe(&merchant, "off", json!({ "enabled": false }))
            .await;
        rig.subscribe(&merchant, "else", json!({ "kinds": ["refund"] }))
            .await;
    }
    let _one = rig.worker("one", CALM).await;
    let _two = rig.worker("two", CALM).await;
    let share = events() / WRITERS;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(rig.database.url.clone(), writer as u64, share));
    }
    let mut held = tokio::task::JoinSet::new();
    for seconds in [4, 8, 12, 12] {
        held.spawn(hold_open(rig.database.url.clone(), seconds, seconds != 4));
    }
    let committed: usize = writers.join_all().await.into_iter().sum();
    let late: usize = held.join_all().await.into_iter().sum();
    let known = rig.number("SELECT count(*) FROM posthorn.events").await;
    assert_eq!(usize::try_from(known).unwrap(), committed + late);

    rig.until_all_have_ended().await;
    rig.assert_ledger_is_exact().await;
    let wanted = rig.wanted().await;
    let seen = rig.seen.counts();
    assert_eq!(seen.len(), wanted.len(), "the receiver saw just those");
    assert!(wanted.iter().all(|pair| seen.contains_key(pair)));
    // Nothing fails here but the hand-over from the first worker to the second, and that
    // one waits for what is in the air.
    assert_eq!(rig.seen.repeats(), 0, "seen twice");
    println!("{known} events, {} deliveries", wanted.len());
}

/// Commits so many events in transactions of all kinds; returns how many.
async fn write(url: String, seed: u64, events: usize) -> usize {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let mut committed = 0;
    while committed < events {
        let mut transaction = connection.begin().await.unwrap();
        let mut written = 0;
        for _ in 0..random.random_range(1..4) {
            written += insert(&mut transaction, random.random_range(1..40)).await;
        }
        if random.random_bool(0.2) {
            let mut savepoint = transaction.begin().await.unwrap();
            let inside = insert(&mut savepoint, 5).await;
            if random.random_bool(0.5) {
                savepoint.rollback().await.unwrap();
            } else {
                savepoint.commit().await.unwrap();
                written += inside;
            }
        }
        // Commits come in another order than the inserts.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
        if random.random_bool(0.1) {
            transaction.rollback().await.unwrap();
        } else {
            transaction.commit().await.unwrap();
            committed += written;
        }
    }
    committed
}

/// Writes a little at once and at the end of so many seconds; returns what it committed.
async fn hold_open(url: String, seconds: u64, commits: bool) -> usize {
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let mut written = 0;
    for _ in 0..2 {
        written += insert(&mut transaction, 30).await;
        tokio::time::sleep(Duration::from_secs(seconds) / 2).await;
    }
    if !commits {
        transaction.rollback().await.unwrap();
        return 0;
    }
    transaction.commit().await.unwrap();
    written
}

async fn insert(connection: &mut PgConnection, rows: usize) -> usize {
    sqlx::query(
        "INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
         SELECT 'm' || (random() * 1000)::int % $1::int, 'payment', gen_random_uuid()::text,
                (ARRAY['approved', 'declined'])[1 + (random() * 1000)::int % 2]
           FROM generate_series(1, $2)",
    )
    .bind(i32::try_from(MERCHANTS).unwrap())
    .bind(i32::try_from(rows).unwrap())
    .execute(connection)
    .await
    .unwrap();
    rows
}
