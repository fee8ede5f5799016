//! One statement that changes 100,000 rows.

use std::time::{Duration, Instant};

use super::Shop;
use crate::support::alone_among_the_heavy;

const ROWS: i64 = 100_000;

/// How long a statement takes in the session; shown by `--nocapture`.
async fn timed(session: &mut sqlx::PgConnection, what: &str, sql: &'static str) -> Duration {
    let started = Instant::now();
    sqlx::query(sql).execute(session).await.unwrap();
    let took = started.elapsed();
    println!("{what}: {took:?}");
    took
}

/// The session has changed a single row before: a plan for one row that is kept would take
/// hours for so many. Measured against the same UPDATE without a source and an INSERT of
/// the same events, the least that any way of publishing costs.
#[tokio::test]
async fn an_update_of_100_000_rows_costs_little_more_than_its_events() {
    let _alone = alone_among_the_heavy().await;
    let shop = Shop::new().await;
    shop.run(&format!(
        "INSERT INTO shop.payments SELECT n, 'm' || n % 100, 'new', n / 100.0, repeat('x', 50)
           FROM generate_series(1, {ROWS}) AS n;
         CREATE TABLE shop.plain (LIKE shop.payments INCLUDING ALL);
         INSERT INTO shop.plain TABLE shop.payments"
    ))
    .await;
    for on_failure in ["block", "record"] {
        shop.attach("shop.payments", &["--on-failure", on_failure])
            .await;
        let mut session = shop.database.pool.acquire().await.unwrap();
        for sql in [
            "SET statement_timeout = '1min'",
            "UPDATE shop.payments SET status = 'one' WHERE id = 1",
            "TRUNCATE posthorn.events",
        ] {
            sqlx::query(sql).execute(&mut *session).await.unwrap();
        }
        let plain = timed(
            &mut session,
            "without a source",
            "UPDATE shop.plain SET status = status || '!'",
        )
        .await;
        let events = timed(
            &mut session,
            "the events alone",
            "INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data)
             SELECT merchant_id, 'payments', id::text, status, row_to_json(p) FROM shop.plain p",
        )
        .await;
        sqlx::query("TRUNCATE posthorn.events")
            .execute(&mut *session)
            .await
            .unwrap();
        let with = timed(
            &mut session,
            &format!("with a source, {on_failure}"),
            "UPDATE shop.payments SET status = status || '!'",
        )
        .await;
        assert_eq!(shop.told().await.len(), 100_000);
        let untouched = timed(
            &mut session,
            "of another column",
            "UPDATE shop.payments SET note = note || '!'",
        )
        .await;
        assert_eq!(shop.told().await.len(), 0);
        let least = plain + events;
        assert!(with < least * 4, "{with:?} for {plain:?} and {events:?}");
        assert!(untouched < plain * 6, "{untouched:?} for {plain:?}");
    }
}

#[tokio::test]
async fn one_bad_row_among_100_000_costs_the_others_nothing_but_time() {
    let _alone = alone_among_the_heavy().await;
    let shop = Shop::new().await;
    shop.attach("shop.payments", &["--on-failure", "record"])
        .await;
    let mut session = shop.database.pool.acquire().await.unwrap();
    timed(
        &mut session,
        "one bad row",
        "INSERT INTO shop.payments SELECT n, CASE WHEN n <> 70000 THEN 'm' END, 'new' FROM generate_series(1, 100000) AS n",
    )
    .await;
    assert_eq!(shop.told().await.len(), 99_999);
    // All rows fail for one reason: they are written down without being tried one by one.
    shop.run("ALTER TABLE shop.payments RENAME status TO state")
        .await;
    timed(
        &mut session,
        "a column that is gone",
        "UPDATE shop.payments SET state = 'paid'",
    )
    .await;
    let failed: i64 = shop
        .database
        .value("SELECT count(DISTINCT key ->> 'id') FROM posthorn.source_failures")
        .await;
    assert_eq!(failed, ROWS);
    assert!(
        shop.list()
            .await
            .contains("changes that became no event: 100000")
    );
}
