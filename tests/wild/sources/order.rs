//! A table's own triggers change the row again: b, then c. What is told is in the order of the
//! changes, whatever the triggers' names and kinds, and whoever forges what can be forged.

use serde_json::{Value, json};

use crate::support::shop::{NOTHING, Shop};
use crate::support::{PATIENCE, Worker, receiver, until};

/// Each changes a row to its next letter until it is at the last.
const NEXT: &str = "CREATE FUNCTION shop.next() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM shop.payments WHERE status BETWEEN 'b' AND TG_ARGV[0]) THEN
            UPDATE shop.payments SET status = chr(ascii(status) + 1) WHERE status BETWEEN 'b' AND TG_ARGV[0];
        END IF;
        RETURN NULL;
    END $$";

async fn told_after(shop: &Shop, sql: &str) -> Vec<String> {
    shop.run(
        "DELETE FROM shop.payments; INSERT INTO shop.payments VALUES (1, 'm', 'a'), (2, 'm', 'a')",
    )
    .await;
    shop.told().await;
    shop.run(sql).await;
    let mut told = shop.told().await;
    told.sort_by_key(|line| line.split(' ').nth(2).map(str::to_owned)); // Stable.
    told.iter()
        .map(|line| line.replace("m payments ", ""))
        .collect()
}

#[tokio::test]
async fn the_last_change_of_a_row_is_told_last_whatever_the_triggers_are() {
    for trigger in [
        "TRIGGER a AFTER UPDATE ON shop.payments FOR EACH ROW",
        "TRIGGER z AFTER UPDATE ON shop.payments FOR EACH ROW",
        "TRIGGER a AFTER UPDATE ON shop.payments FOR EACH STATEMENT",
        "TRIGGER z AFTER UPDATE ON shop.payments FOR EACH STATEMENT",
        "TRIGGER a AFTER UPDATE OR INSERT ON shop.payments FOR EACH STATEMENT;\
         TRIGGER z AFTER UPDATE ON shop.payments FOR EACH ROW",
        "CONSTRAINT TRIGGER a AFTER UPDATE ON shop.payments DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
        "CONSTRAINT TRIGGER a AFTER UPDATE ON shop.payments DEFERRABLE INITIALLY DEFERRED FOR EACH ROW;\
         TRIGGER z AFTER UPDATE ON shop.payments FOR EACH ROW",
    ] {
        let shop = Shop::new().await;
        shop.run(NEXT).await;
        for timing in trigger.split(';') {
            shop.run(&format!("CREATE {timing} EXECUTE FUNCTION shop.next('d')"))
                .await;
        }
        shop.attach("shop.payments", &[]).await;
        for sql in [
            "UPDATE shop.payments SET status = 'b' WHERE id = 1",
            "BEGIN; SAVEPOINT s; UPDATE shop.payments SET status = 'b' WHERE id = 1; RELEASE s; COMMIT",
            "BEGIN; SAVEPOINT s; UPDATE shop.payments SET status = 'b'; ROLLBACK TO s;
             UPDATE shop.payments SET status = 'b' WHERE id = 1; COMMIT",
            "INSERT INTO shop.payments VALUES (1, 'm', 'b')
             ON CONFLICT (id) DO UPDATE SET status = EXCLUDED.status",
            "DO $$ BEGIN UPDATE shop.payments SET status = 'b' WHERE id = 1; END $$",
        ] {
            assert_eq!(
                told_after(&shop, sql).await,
                ["1 b", "1 c", "1 d", "1 e"],
                "{trigger}: {sql}"
            );
        }
        assert_eq!(
            told_after(&shop, "UPDATE shop.payments SET status = 'b'").await,
            ["1 b", "1 c", "1 d", "1 e", "2 b", "2 c", "2 d", "2 e"],
            "{trigger}"
        );
    }
}

#[tokio::test]
async fn the_merchant_ends_where_the_row_does() {
    let shop = Shop::new().await;
    let receiver = receiver().await;
    for (name, more) in [
        ("in_order", json!({"order": "transaction"})),
        ("superseding", json!({"supersede": true})),
    ] {
        let mut settings = json!({"url": receiver.url(&format!("/{name}"))});
        settings
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        shop.database.subscribe("m", name, settings).await;
    }
    shop.run(&format!(
        "{NEXT}; CREATE TRIGGER a AFTER UPDATE ON shop.payments FOR EACH ROW EXECUTE FUNCTION shop.next('b');
         INSERT INTO shop.payments VALUES (1, 'm', 'a')"
    ))
    .await;
    shop.attach("shop.payments", &[]).await;
    shop.run("UPDATE shop.payments SET status = 'b'").await;
    let _worker = Worker::start(&shop.database, "").await;
    for name in ["in_order", "superseding"] {
        let path = format!("/{name}");
        let sent = until(PATIENCE, "c is sent", async || {
            let sent: Vec<String> = receiver
                .requests()
                .iter()
                .filter(|request| request.path_and_query == path)
                .map(|request| {
                    let body: Value = serde_json::from_slice(&request.body).unwrap();
                    body["status"].as_str().unwrap().to_owned()
                })
                .collect();
            sent.contains(&"c".to_owned()).then_some(sent)
        })
        .await;
        assert_eq!(sent.last().unwrap(), "c", "{name}: {sent:?}");
    }
}

/// What a trigger does before the row is there comes before it: of a payment with versions the
/// old one is replaced before the new one is.
#[tokio::test]
async fn what_a_before_trigger_changes_is_told_before() {
    for (partitions, key) in [
        ("", "PRIMARY KEY (id, version)"),
        ("PARTITION BY LIST (version)", "PRIMARY KEY (id, version)"),
    ] {
        let shop = Shop::with(&format!(
            "CREATE TABLE shop.versions (id int, version int, merchant_id text, status text, {key}) {partitions};
             CREATE FUNCTION shop.replace() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN
                 UPDATE shop.versions SET status = 'replaced' WHERE id = NEW.id AND version < NEW.version;
                 RETURN NEW;
             END $$;"
        ))
        .await;
        if !partitions.is_empty() {
            shop.run("CREATE TABLE shop.versions_0 PARTITION OF shop.versions DEFAULT")
                .await;
        }
        shop.run("CREATE TRIGGER b BEFORE INSERT ON shop.versions FOR EACH ROW EXECUTE FUNCTION shop.replace();
                  CREATE FUNCTION shop.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
                  CREATE TRIGGER a AFTER INSERT ON shop.versions FOR EACH ROW EXECUTE FUNCTION shop.nothing()")
            .await;
        shop.attach("shop.versions", &[]).await;
        shop.run(
            "INSERT INTO shop.versions VALUES (1, 1, 'm', 'new');
             BEGIN;
             INSERT INTO shop.versions VALUES (2, 1, 'm', 'new');
             INSERT INTO shop.versions VALUES (1, 2, 'm', 'paid') ON CONFLICT (id, version) DO UPDATE SET status = 'twice';
             COMMIT",
        )
        .await;
        assert_eq!(
            shop.told().await,
            [
                "m versions 1 new",
                "m versions 2 new",
                "m versions 1 replaced",
                "m versions 1 paid"
            ],
            "{partitions}"
        );
    }
}

#[tokio::test]
async fn a_function_in_a_statement_and_one_that_fails_leave_the_order_alone() {
    let shop = Shop::new().await;
    shop.run(
        "CREATE FUNCTION shop.settle(of bigint) RETURNS text LANGUAGE plpgsql AS $$
         BEGIN
             UPDATE shop.payments SET status = 'settled' WHERE id = of;
             RETURN 'closed';
         END $$;
         CREATE FUNCTION shop.fails() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN
             IF NEW.status <> 'closed' THEN RETURN NULL; END IF;
             BEGIN
                 UPDATE shop.payments SET status = 'never' WHERE id = 1;
                 RAISE 'no';
             EXCEPTION WHEN raise_exception THEN
                 UPDATE shop.payments SET note = 'x' WHERE note IS NULL;
             END;
             UPDATE shop.payments SET status = 'checked' WHERE status = 'closed';
             RETURN NULL;
         END $$;
         CREATE TRIGGER a AFTER UPDATE ON shop.payments FOR EACH ROW EXECUTE FUNCTION shop.fails();
         INSERT INTO shop.payments VALUES (1, 'm', 'new'), (2, 'm', 'new')",
    )
    .await;
    shop.attach("shop.payments", &[]).await;
    shop.run("UPDATE shop.payments SET status = shop.settle(2) WHERE id = 1")
        .await;
    assert_eq!(
        shop.told().await,
        [
            "m payments 2 settled",
            "m payments 1 closed",
            "m payments 1 checked"
        ]
    );
}

#[tokio::test]
async fn nobody_chooses_an_events_time_or_keeps_it_back() {
    let shop = Shop::new().await;
    shop.attach("shop.payments", &[]).await;
    for forged in ["0 0 0 0", "4102444800 0 0 0", "NaN 0 0 0", "Infinity 0 0 0"] {
        shop.run(&format!(
            "CREATE OR REPLACE FUNCTION shop.forge() RETURNS text LANGUAGE sql AS
             $$ SELECT set_config(format('posthorn.source_%s_open', md5('payments')), '{forged}', true); SELECT 'forged' $$;
             DELETE FROM shop.payments;
             INSERT INTO shop.payments VALUES (1, 'm', shop.forge())"
        ))
        .await;
        let near: Vec<bool> = shop
            .database
            .value(
                "SELECT array_agg(posthorn.uuid_time(id) BETWEEN created_at - interval '1 minute' AND created_at + interval '1 ms')
                   FROM posthorn.events",
            )
            .await;
        assert_eq!(near, [true], "{forged}");
        assert_eq!(shop.told().await, ["m payments 1 forged"]);
    }
    assert_eq!(shop.told().await, NOTHING);
}

#[tokio::test]
async fn the_rows_of_one_statement_keep_their_order() {
    let shop = Shop::new().await;
    shop.attach("shop.payments", &[]).await;
    shop.run("INSERT INTO shop.payments SELECT n, 'm', 'new' FROM generate_series(1, 12000) AS n")
        .await;
    let told = shop.told().await;
    let expected: Vec<String> = (1..=12000).map(|n| format!("m payments {n} new")).collect();
    assert_eq!(told, expected);
}
