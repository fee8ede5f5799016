//! A report or a backup that holds an old snapshot open slows nothing and hides nothing.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use crate::rig::{CALM, Rig, is_full};

const MERCHANTS: usize = 20;
const INSERT: &str = "INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
                      VALUES ('m0', 'payment', 'late', 'approved')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pickup_is_as_soon_beside_an_old_snapshot() {
    let rig = Rig::set_up().await;
    for merchant in 0..MERCHANTS {
        rig.subscribe(&format!("m{merchant}"), "all", json!({}))
            .await;
    }
    let _worker = rig.worker("one", CALM).await;
    let alone = pickup(&rig).await;

    let mut report = PgConnection::connect(&rig.database.url).await.unwrap();
    let began = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM posthorn.events";
    report.execute(sqlx::raw_sql(began)).await.unwrap();
    let mut writer = PgConnection::connect(&rig.database.url).await.unwrap();
    let mut late = writer.begin().await.unwrap();
    late.execute(INSERT).await.unwrap();
    let beside = pickup(&rig).await;
    late.execute(INSERT).await.unwrap();
    late.commit().await.unwrap();

    rig.until_all_have_ended().await;
    rig.assert_ledger_is_exact().await;
    assert_eq!(rig.seen.repeats(), 0);
    println!("p50 and p99 in ms: alone {alone:?}, beside an old snapshot {beside:?}");
    assert!(beside.0 < alone.0 * 2.0 + 10.0, "p50");
    assert!(beside.1 < alone.1 * 3.0 + 50.0, "p99");
    drop(report);
}

/// The load lasts a minute.
async fn pickup(rig: &Rig) -> (f64, f64) {
    let span = if is_full() { 60 } else { 10 };
    rig.publish(MERCHANTS, 200.0, Duration::from_secs(2)).await;
    let since = rig.mark().await;
    rig.publish(MERCHANTS, 200.0, Duration::from_secs(span))
        .await;
    let p50 = rig.pickup_ms(0.5, since, "all").await;
    (p50, rig.pickup_ms(0.99, since, "all").await)
}
