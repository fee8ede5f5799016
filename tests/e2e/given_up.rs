//! Transactions that are given up, as by a deadline while the database hangs.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use posthorn::store::Pool;
use sqlx::postgres::PgPoolOptions;

use crate::support::Database;

/// Gives the work up when it has to wait for the n-th time. Whether it has ended before.
async fn given_up(work: impl Future, nth: u32) -> bool {
    let mut work = pin!(work);
    let mut waits = 0;
    poll_fn(|context| {
        if work.as_mut().poll(context).is_ready() {
            return Poll::Ready(true);
        }
        waits += 1;
        if waits == nth {
            Poll::Ready(false)
        } else {
            Poll::Pending
        }
    })
    .await
}

#[tokio::test]
async fn what_is_written_after_a_transaction_was_given_up_is_committed() {
    let database = Database::new().await;
    let one = PgPoolOptions::new().max_connections(1);
    let pool = Pool::from(one.connect(&database.url).await.unwrap());
    database.execute("CREATE TABLE written (number int)").await;
    let mut nth = 0;
    let mut ended = false;
    while !ended {
        nth += 1;
        ended = given_up(pool.begin(), nth).await;
        sqlx::query("INSERT INTO written VALUES (1)")
            .execute(&pool)
            .await
            .unwrap();
        let written: i64 = database.value("SELECT count(*) FROM written").await;
        assert_eq!(written, i64::from(nth), "given up at wait {nth}");
    }
    assert!(nth > 1);
}
