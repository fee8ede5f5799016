//! Which changes make events.

use posthorn::demo::postgres::OWNER;
use serde_json::{Value, json};

use super::{NOTHING, Shop};
use crate::support::{Worker, receiver};

#[tokio::test]
async fn an_update_of_the_application_reaches_the_merchant_and_a_rollback_does_not() {
    let shop = Shop::new().await;
    let receiver = receiver().await;
    let settings = json!({"url": receiver.url("/hook"), "kinds": ["payment"]});
    shop.database.subscribe("acme", "hook", settings).await;
    shop.run("INSERT INTO shop.payments VALUES (7, 'acme', 'pending', 12.50, 'before')")
        .await;
    shop.attach("shop.payments", &["--kind", "payment"]).await;
    let _worker = Worker::start(&shop.database, "").await;

    // A role that knows nothing of Posthorn.
    let role = format!("app_{}", shop.database.name);
    shop.database
        .as_superuser(&format!("CREATE ROLE {role} ROLE {OWNER}"))
        .await;
    shop.run(&format!(
        "GRANT USAGE ON SCHEMA shop TO {role}; GRANT SELECT, UPDATE ON shop.payments TO {role}"
    ))
    .await;
    shop.run(&format!(
        "BEGIN; SET LOCAL ROLE {role};
         UPDATE shop.payments SET status = 'declined' WHERE id = 7; ROLLBACK;
         BEGIN; SET LOCAL ROLE {role};
         UPDATE shop.payments SET note = 'only this' WHERE id = 7; COMMIT;
         BEGIN; SET LOCAL ROLE {role};
         UPDATE shop.payments SET status = 'approved' WHERE id = 7; COMMIT;"
    ))
    .await;
    shop.database.count_reaches("delivered", 1).await;
    let requests = receiver.requests();
    let bodies: Vec<Value> = requests
        .iter()
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect();
    assert_eq!(bodies.len(), 1);
    let text = String::from_utf8(requests[0].body.to_vec()).unwrap();
    let row =
        r#"{"id":7,"merchant_id":"acme","status":"approved","amount":12.50,"note":"only this"}"#;
    assert!(text.contains(row), "{text}");
}

#[tokio::test]
async fn only_a_real_change_of_the_status_makes_an_event() {
    let shop = Shop::new().await;
    shop.attach("shop.payments", &[]).await;
    let cases: [(&str, &[&str]); 18] = [
        (
            "INSERT INTO shop.payments VALUES (1, 'm', 'new', 1), (2, 'm', 'new', 2), (3, 'n', 'new', 3)",
            &["m payments 1 new", "m payments 2 new", "n payments 3 new"],
        ),
        // Not begun yet: there is no status to tell of.
        ("INSERT INTO shop.payments VALUES (4, 'm', NULL)", &[]),
        (
            "UPDATE shop.payments SET status = 'paid' WHERE id = 4",
            &["m payments 4 paid"],
        ),
        (
            "UPDATE shop.payments SET status = 'paid' WHERE id = 1",
            &["m payments 1 paid"],
        ),
        (
            "UPDATE shop.payments SET status = 'paid'",
            &["m payments 2 paid", "n payments 3 paid"],
        ),
        ("UPDATE shop.payments SET status = status, note = 'x'", &[]),
        (
            "UPDATE shop.payments SET status = 'lost' WHERE id = 99",
            &[],
        ),
        (
            "INSERT INTO shop.payments VALUES (1, 'm', 'again', 1), (5, 'm', 'new', 1)
             ON CONFLICT (id) DO UPDATE SET status = EXCLUDED.status",
            &["m payments 1 again", "m payments 5 new"],
        ),
        (
            "INSERT INTO shop.payments VALUES (1, 'm', 'again', 7)
             ON CONFLICT (id) DO UPDATE SET status = EXCLUDED.status, amount = EXCLUDED.amount",
            &[],
        ),
        (
            "INSERT INTO shop.payments VALUES (1, 'm', 'no') ON CONFLICT DO NOTHING",
            &[],
        ),
        (
            "WITH gone AS (DELETE FROM shop.payments WHERE id = 5 RETURNING *)
             UPDATE shop.payments p SET status = 'heir' FROM gone WHERE p.id = 4",
            &["m payments 4 heir"],
        ),
        // A status is what people see of it, so a new key has a new status…
        (
            "UPDATE shop.payments SET id = 40 WHERE id = 4",
            &["m payments 40 heir"],
        ),
        // …and keys that change places have each other's: 2 was paid, and is heir.
        (
            "UPDATE shop.payments SET id = CASE id WHEN 40 THEN 2 ELSE 41 END WHERE id IN (2, 40)",
            &["m payments 2 heir", "m payments 41 paid"],
        ),
        (
            "SAVEPOINT s; UPDATE shop.payments SET status = 'undone'; ROLLBACK TO s",
            &[],
        ),
        (
            "SAVEPOINT s; UPDATE shop.payments SET status = 'kept' WHERE id = 1; RELEASE s",
            &["m payments 1 kept"],
        ),
        (
            "UPDATE shop.payments SET status = 'a' WHERE id = 1; UPDATE shop.payments SET status = 'b' WHERE id = 1",
            &["m payments 1 a", "m payments 1 b"],
        ),
        ("DELETE FROM shop.payments", &[]),
        ("TRUNCATE shop.payments", &[]),
    ];
    for (sql, expected) in cases {
        shop.run(&format!("BEGIN; {sql}; COMMIT")).await;
        let mut told = shop.told().await;
        if sql.contains("CONFLICT") || sql.contains("CASE") {
            told.sort();
        }
        assert_eq!(told, expected, "{sql}");
    }
}

#[tokio::test]
async fn merge_and_copy_make_events_too() {
    let shop = Shop::new().await;
    shop.attach("shop.payments", &[]).await;
    let mut connection = shop.database.pool.acquire().await.unwrap();
    let mut copy = connection
        .copy_in_raw("COPY shop.payments (id, merchant_id, status) FROM STDIN")
        .await
        .unwrap();
    copy.send(b"1\tm\tnew\n2\tm\tnew\n".as_slice())
        .await
        .unwrap();
    copy.finish().await.unwrap();
    assert_eq!(shop.told().await, ["m payments 1 new", "m payments 2 new"]);

    let version: i32 = shop
        .database
        .value("SELECT current_setting('server_version_num')::int")
        .await;
    if version >= 150_000 {
        shop.run(
            "MERGE INTO shop.payments p
             USING (VALUES (1, 'new'), (2, 'paid'), (3, 'new')) AS v (id, status) ON p.id = v.id
             WHEN MATCHED THEN UPDATE SET status = v.status
             WHEN NOT MATCHED THEN INSERT (id, merchant_id, status) VALUES (v.id, 'm', v.status)",
        )
        .await;
        let mut told = shop.told().await;
        told.sort();
        assert_eq!(told, ["m payments 2 paid", "m payments 3 new"]);
    }
}

#[tokio::test]
async fn an_event_belongs_to_the_transaction_that_made_the_change() {
    for on_failure in ["block", "record"] {
        let shop = Shop::new().await;
        shop.attach("shop.payments", &["--on-failure", on_failure])
            .await;
        let mut transaction = shop.database.pool.begin().await.unwrap();
        sqlx::query("INSERT INTO shop.payments VALUES (1, 'm', 'new')")
            .execute(&mut *transaction)
            .await
            .unwrap();
        let same: bool =
            sqlx::query_scalar("SELECT xid = pg_current_xact_id() FROM posthorn.events")
                .fetch_one(&mut *transaction)
                .await
                .unwrap();
        assert!(same);
        assert_eq!(shop.told().await, NOTHING);
        transaction.commit().await.unwrap();
        assert_eq!(shop.told().await, ["m payments 1 new"]);
    }
}
