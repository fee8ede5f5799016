//! Changes that cannot be made into events: they fail, or go on and are told of.

use super::{NOTHING, Shop};
use crate::support::{PATIENCE, Worker, until};

const CANARY: &str = "canary-payload-77aa";

impl Shop {
    /// What stands in `posthorn.source_failures`, the keys as text.
    async fn failures(&self) -> Vec<String> {
        self.database
            .value(
                "SELECT coalesce(array_agg(concat_ws(' ', operation, table_name, key::text, sqlstate) ORDER BY id), '{}')
                   FROM posthorn.source_failures",
            )
            .await
    }
}

#[tokio::test]
async fn a_renamed_column_blocks_the_change_with_a_clear_error_until_it_is_attached_again() {
    let shop = Shop::new().await;
    shop.run("INSERT INTO shop.payments VALUES (1, 'm', 'new')")
        .await;
    for (column, options) in [
        ("status", &[] as &[&str]),
        ("merchant_id", &[]),
        ("id", &[]),
        ("amount", &["--data", "amount"]),
        ("amount", &["--when", "new.amount IS NULL"]),
        ("note", &["--data-sql", "to_json(old.note)"]),
        ("note", &["--kind-sql", "coalesce(new.note, 'k')"]),
    ] {
        shop.attach("shop.payments", options).await;
        shop.run(&format!(
            "ALTER TABLE shop.payments RENAME {column} TO renamed"
        ))
        .await;
        let sql = match column {
            "status" => "UPDATE shop.payments SET renamed = 'paid'",
            _ => "UPDATE shop.payments SET status = 'paid'",
        };
        let error = shop.refused(sql).await;
        assert_eq!(
            error,
            format!(
                "posthorn source payments: shop.payments has no column {column} any more; run `posthorn source attach` again"
            )
        );
        let list = shop.list().await;
        assert!(
            list.contains(&format!(
                "shop.payments has no column {column} any more: its changes fail"
            )),
            "{list}"
        );
        shop.run(&format!(
            "ALTER TABLE shop.payments RENAME renamed TO {column}"
        ))
        .await;
    }
    shop.run("ALTER TABLE shop.payments RENAME status TO state")
        .await;
    let (status, said) = shop
        .source("attach shop.payments --merchant merchant_id --id id --status state")
        .await;
    assert!(status.success(), "{said}");
    shop.run("UPDATE shop.payments SET state = 'paid'").await;
    assert_eq!(shop.told().await, ["m payments 1 paid"]);
}

#[tokio::test]
async fn a_retyped_column_goes_on_or_fails_with_the_source_in_the_context() {
    let shop = Shop::new().await;
    shop.attach("shop.payments", &["--when", "new.amount >= 0"])
        .await;
    let mut session = shop.database.pool.acquire().await.unwrap();
    for sql in [
        "INSERT INTO shop.payments VALUES (1, 'm', '1', 5)",
        "ALTER TABLE shop.payments ALTER status TYPE int USING status::int, ALTER id TYPE text",
        "UPDATE shop.payments SET status = 2",
        "ALTER TABLE shop.payments ALTER amount TYPE text",
    ] {
        sqlx::query(sql).execute(&mut *session).await.unwrap();
    }
    assert_eq!(shop.told().await, ["m payments 1 1", "m payments 1 2"]);
    let error = sqlx::query("UPDATE shop.payments SET status = 3")
        .execute(&mut *session)
        .await
        .unwrap_err();
    let error = format!("{:?}", error.as_database_error().unwrap());
    assert!(
        error.contains("operator does not exist: text >="),
        "{error}"
    );
    assert!(error.contains("source_payments"), "{error}");
}

#[tokio::test]
async fn a_renamed_column_lets_recorded_changes_go_on_and_is_reported() {
    let shop = Shop::new().await;
    shop.run("INSERT INTO shop.payments VALUES (1, 'm', 'new'), (2, 'm', 'new'), (3, 'm', 'new')")
        .await;
    shop.attach("shop.payments", &["--on-failure", "record"])
        .await;
    let worker = Worker::start(&shop.database, "").await;
    assert!(worker.metric("posthorn_source_failures").await < 1.0);
    shop.run(
        "ALTER TABLE shop.payments RENAME status TO state;
         UPDATE shop.payments SET state = 'paid' WHERE id < 3;
         INSERT INTO shop.payments VALUES (4, 'm', 'new')",
    )
    .await;
    let paid: i64 = shop
        .database
        .value("SELECT count(*) FROM shop.payments WHERE state = 'paid'")
        .await;
    assert_eq!(paid, 2);
    assert_eq!(
        shop.failures().await,
        [
            r#"UPDATE shop.payments { "id" : 1 } 42703"#,
            r#"UPDATE shop.payments { "id" : 2 } 42703"#,
            r#"INSERT shop.payments { "id" : 4 } 42703"#,
        ]
    );
    assert_eq!(shop.told().await, NOTHING);
    let list = shop.list().await;
    for part in [
        "shop.payments has no column status any more: its changes make no events",
        "changes that became no event: 3, the last at 20",
        "run `posthorn source attach` again",
    ] {
        assert!(list.contains(part), "{list}");
    }
    until(PATIENCE, "the metric", async || {
        (worker.metric("posthorn_source_failures").await > 2.0).then_some(())
    })
    .await;
    worker
        .logs("changes of source tables became no event")
        .await;

    // What the documentation says to do then.
    let (status, said) = shop
        .source("attach shop.payments --merchant merchant_id --id id --status state --on-failure record")
        .await;
    assert!(status.success(), "{said}");
    shop.run(
        "WITH failed AS (DELETE FROM posthorn.source_failures WHERE source = 'payments' RETURNING key)
         SELECT posthorn.publish(p.merchant_id, 'payments', p.id::text, p.state, row_to_json(p))
           FROM (SELECT DISTINCT (key ->> 'id')::bigint AS id FROM failed) AS f JOIN shop.payments p USING (id)",
    )
    .await;
    let mut told = shop.told().await;
    told.sort();
    assert_eq!(
        told,
        ["m payments 1 paid", "m payments 2 paid", "m payments 4 new"]
    );
    assert!(!shop.list().await.contains('!'));
}

#[tokio::test]
async fn a_row_that_cannot_be_an_event_blocks_or_is_recorded_beside_the_others() {
    let shop = Shop::new().await;
    let long = "x".repeat(1001);
    let bad = [
        (
            "NULL, 'new', 1",
            "column merchant_id of a row of shop.payments is NULL; an event needs 1 to 1000 bytes",
        ),
        (
            "'', 'new', 1",
            "column merchant_id of a row of shop.payments is 0 bytes long",
        ),
        (
            &format!("'{long}', 'new', 1"),
            "column merchant_id of a row of shop.payments is 1001 bytes long",
        ),
        (
            "'m', '', 1",
            "column status of a row of shop.payments is 0 bytes long",
        ),
        (
            "'m', 'empty', NULL",
            "the data of a row of shop.payments is NULL",
        ),
        ("'m', 'zero', 0", "division by zero"),
    ];
    let data = "CASE WHEN new.amount IS NOT NULL THEN json_build_object('share', 1 / new.amount, 'note', new.note) END";
    shop.attach("shop.payments", &["--data-sql", data]).await;
    for (values, message) in bad {
        let error = shop
            .refused(&format!("INSERT INTO shop.payments VALUES (1, {values})"))
            .await;
        assert!(error.contains(message), "{error}");
    }
    assert_eq!(shop.told().await, NOTHING);

    shop.attach(
        "shop.payments",
        &["--data-sql", data, "--on-failure", "record"],
    )
    .await;
    shop.run(
        "INSERT INTO shop.payments SELECT n, 'm', 'new', 1 FROM generate_series(100, 104) AS n",
    )
    .await;
    assert_eq!(shop.told().await.len(), 5);
    // Good ones before, between and after; 104 does not change, 103 gets another key.
    shop.run(
        "UPDATE shop.payments
            SET status = CASE id WHEN 104 THEN 'new' ELSE 'paid' END,
                merchant_id = CASE id WHEN 101 THEN NULL ELSE 'm' END,
                amount = CASE id WHEN 102 THEN 0 ELSE 4 END,
                id = CASE id WHEN 103 THEN 203 ELSE id END",
    )
    .await;
    assert_eq!(
        shop.told().await,
        ["m payments 100 paid", "m payments 203 paid"]
    );
    assert_eq!(
        shop.failures().await,
        [
            r#"UPDATE shop.payments { "id" : 101 } 23514"#,
            r#"UPDATE shop.payments { "id" : 102 } 22012"#,
        ]
    );
    let (xids, reason): (bool, String) = sqlx::query_as(
        "SELECT bool_and(f.xid = p.xmin::text::xid8), min(f.reason)
           FROM posthorn.source_failures f JOIN shop.payments p ON p.id = (f.key ->> 'id')::bigint",
    )
    .fetch_one(&shop.database.pool)
    .await
    .unwrap();
    // The rows were written by the transaction, the failures in a part of it.
    assert!(xids);
    assert!(reason.contains("column merchant_id"), "{reason}");
}

#[tokio::test]
async fn no_value_of_a_row_reaches_the_record_of_its_failure() {
    let shop = Shop::new().await;
    shop.attach(
        "shop.payments",
        &["--data-sql", "new.note::json", "--on-failure", "record"],
    )
    .await;
    shop.run(&format!(
        "INSERT INTO shop.payments VALUES (1, 'm', 'new', 1, '{CANARY}')"
    ))
    .await;
    assert_eq!(
        shop.failures().await,
        [r#"INSERT shop.payments { "id" : 1 } 22P02"#]
    );
    let record: String = shop
        .database
        .value("SELECT string_agg(f::text, ' ') FROM posthorn.source_failures f")
        .await;
    assert!(record.contains("left out"), "{record}");
    assert!(!record.contains(CANARY), "{record}");
    assert!(!shop.list().await.contains(CANARY));
}

#[tokio::test]
async fn a_conflict_between_transactions_is_the_applications_to_repeat() {
    let shop = Shop::new().await;
    shop.run(
        "CREATE FUNCTION shop.conflict(amount numeric) RETURNS text LANGUAGE plpgsql AS
         $$ BEGIN RAISE 'try again' USING ERRCODE = 'serialization_failure'; END $$",
    )
    .await;
    shop.attach(
        "shop.payments",
        &[
            "--kind-sql",
            "shop.conflict(new.amount)",
            "--on-failure",
            "record",
        ],
    )
    .await;
    let error = shop
        .refused("INSERT INTO shop.payments VALUES (1, 'm', 'new')")
        .await;
    assert_eq!(error, "try again");
    assert_eq!(shop.failures().await, NOTHING);
}
