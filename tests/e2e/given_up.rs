//! Transactions that are given up, as by a deadline while the database hangs.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use posthorn::store::Pool;
use sqlx::postgres::PgPoolOptions;

use crate::support::Database;

/// Gives the work up when it has to wait for the n-th time; whether it has ended before.
async fn ends_before_wait(work: impl Future, nth: u32) -> bool {
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
    // A server that answers at once leaves nothing to give up, as it may where the processors
    // are busy with others: so again, until enough were given up at each wait that there is.
    let (mut nth, mut times) = (0, 0);
    for written in 1..=10_000 {
        nth += 1;
        let ended = ends_before_wait(pool.begin(), nth).await;
        sqlx::query("INSERT INTO written VALUES (1)")
            .execute(&pool)
            .await
            .unwrap();
        let committed: i64 = database.value("SELECT count(*) FROM written").await;
        assert_eq!(committed, written, "given up at wait {nth}");
        if ended {
            nth = 0;
        } else {
            times += 1;
        }
        if times == 10 {
            return;
        }
    }
    panic!("10,000 transactions began, and fewer than ten had to wait");
}
