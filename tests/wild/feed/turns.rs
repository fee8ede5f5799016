//! A transaction that is larger than many pages: everybody else's events are read in turns
//! with it, and those of its own payments stay in their order.

use std::collections::HashSet;

use posthorn::receiver::Receiver;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::support::{
    Database, PATIENCE, SHORT_LEASE, Worker, alone_among_the_heavy, receiver, until,
};

const EVENTS: usize = 20_000;

/// One of so many is of a kind that somebody is told of.
const EACH: usize = 100;

const PAGES: &str = "worker.page_rows = 50";

/// What arrived, by payment and id, in the order of arrival.
fn arrived(receiver: &Receiver) -> Vec<(String, Uuid)> {
    let requests = receiver.requests();
    let bodies = requests.iter().map(|request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let id = body["id"].as_str().unwrap().parse().unwrap();
        (body["payment"].as_str().unwrap().to_owned(), id)
    });
    bodies.collect()
}

async fn set_up() -> (Database, Receiver) {
    let database = Database::new().await;
    let receiver = receiver().await;
    for merchant in ["large", "small"] {
        let settings = json!({
            "url": receiver.url("/"),
            "order": "transaction",
            "kinds": ["payment"],
            "fields": [
                { "name": "id", "source": "event_id" },
                { "name": "payment", "source": "transaction_id" },
            ],
        });
        database.subscribe(merchant, "orders", settings).await;
    }
    (database, receiver)
}

/// A transaction of many events that a worker has seen running, about to be committed.
async fn begin(database: &Database) -> PgConnection {
    let mut session = PgConnection::connect(&database.url).await.unwrap();
    let sql = format!(
        "BEGIN;
         INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
         SELECT 'large', CASE WHEN n % {EACH} = 0 THEN 'payment' ELSE 'other' END, 'P-' || n,
                'approved'
           FROM generate_series(1, {EVENTS}) AS n"
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut session)
        .await
        .unwrap();
    for _ in 0..2 {
        let seen = database.publish("small", "before", "approved", "{}").await;
        database.reaches(seen, "delivered").await;
    }
    session
}

#[tokio::test]
async fn a_large_transaction_holds_nobody_else_back_and_keeps_its_payments_order() {
    let _turn = alone_among_the_heavy().await;
    let (database, receiver) = set_up().await;
    let _worker = Worker::start(&database, PAGES).await;
    let mut session = begin(&database).await;
    // In one message, so that a slow test does not let the worker finish before it: of the large
    // one's payments the last first, as it is read last.
    let sql = format!(
        "COMMIT; BEGIN;
         INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
         SELECT 'large', 'payment', 'P-' || {EVENTS} * part / 5, 'settled'
           FROM generate_series(5, 1, -1) AS part;
         COMMIT; BEGIN;
         INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
         SELECT 'small', 'payment', 'other-' || n, 'settled' FROM generate_series(1, 10) AS n;
         COMMIT"
    );
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut session)
        .await
        .unwrap();
    let all = EVENTS / EACH + 5 + 10 + 2;
    database
        .count_reaches("delivered", i64::try_from(all).unwrap())
        .await;

    let arrived = arrived(&receiver);
    assert_eq!(arrived.len(), all, "nothing comes twice");
    for (at, (payment, id)) in arrived.iter().enumerate() {
        let overtaken = arrived[at..]
            .iter()
            .find(|(other, later)| other == payment && later < id);
        assert_eq!(overtaken, None, "{payment} has its order");
    }
    let last = format!("P-{EVENTS}");
    let end = arrived.iter().position(|(payment, _)| *payment == last);
    let end = end.expect("the large one's last event comes");
    let meanwhile = arrived[..end]
        .iter()
        .filter(|(payment, _)| payment.starts_with("other-"));
    assert_eq!(meanwhile.count(), 10, "others come while it is being read");
}

#[tokio::test]
async fn a_worker_that_dies_within_a_large_transaction_loses_nothing_of_it() {
    let _turn = alone_among_the_heavy().await;
    let (database, receiver) = set_up().await;
    let mut first = Worker::start(&database, &format!("{PAGES}\n{SHORT_LEASE}")).await;
    let mut session = begin(&database).await;
    sqlx::raw_sql("COMMIT").execute(&mut session).await.unwrap();
    let meanwhile = database
        .publish("small", "meanwhile", "settled", "{}")
        .await;
    database.reaches(meanwhile, "delivered").await;
    until(PATIENCE, "some of the large one's events", async || {
        let count = arrived(&receiver).len();
        (count > 20).then_some(())
    })
    .await;
    first.kill9().await;
    let last = format!("P-{EVENTS}");
    let is_all = arrived(&receiver)
        .iter()
        .any(|(payment, _)| *payment == last);
    assert!(!is_all, "it died too late to show anything");

    let _second = Worker::start(&database, PAGES).await;
    let all = EVENTS / EACH + 1 + 2;
    database
        .count_reaches("delivered", i64::try_from(all).unwrap())
        .await;
    let ids: HashSet<Uuid> = arrived(&receiver).into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids.len(), all);
}
