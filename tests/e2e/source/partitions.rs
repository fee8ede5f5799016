//! A partitioned table as a source.

use super::Shop;

/// The second partition has its columns in another order, and one that was dropped.
const PARTITIONED: &str = "
CREATE TABLE shop.payments (id bigint, merchant_id text, status text, region text, PRIMARY KEY (id, region))
    PARTITION BY LIST (region);
CREATE TABLE shop.payments_eu PARTITION OF shop.payments FOR VALUES IN ('eu');
CREATE TABLE shop.payments_us (old int, status text, region text NOT NULL, id bigint NOT NULL, merchant_id text);
ALTER TABLE shop.payments_us DROP COLUMN old;
ALTER TABLE shop.payments ATTACH PARTITION shop.payments_us FOR VALUES IN ('us');
CREATE TABLE shop.payments_asia PARTITION OF shop.payments FOR VALUES IN ('in', 'jp') PARTITION BY LIST (region);
CREATE TABLE shop.payments_jp PARTITION OF shop.payments_asia FOR VALUES IN ('jp');
";

#[tokio::test]
async fn each_change_makes_one_event_whichever_table_the_statement_names() {
    for on_failure in ["block", "record"] {
        let shop = Shop::with(PARTITIONED).await;
        let said = shop
            .attach("shop.payments", &["--on-failure", on_failure])
            .await;
        assert!(
            said.contains("shop.payments and its partitions (4)"),
            "{said}"
        );
        let cases: [(&str, &[&str]); 10] = [
            (
                "INSERT INTO shop.payments VALUES (1, 'm', 'new', 'eu'), (2, 'm', 'new', 'us'), (3, 'm', 'new', 'jp')",
                &["1 new", "2 new", "3 new"],
            ),
            (
                "INSERT INTO shop.payments_us (id, merchant_id, status, region) VALUES (4, 'm', 'new', 'us')",
                &["4 new"],
            ),
            (
                "UPDATE shop.payments SET status = 'paid' WHERE id < 4",
                &["1 paid", "2 paid", "3 paid"],
            ),
            ("UPDATE shop.payments_us SET status = 'paid'", &["4 paid"]),
            ("UPDATE shop.payments_asia SET status = 'sent'", &["3 sent"]),
            ("UPDATE shop.payments_jp SET status = 'back'", &["3 back"]),
            // A row that moves to another partition gets another key with the region.
            ("UPDATE shop.payments SET region = 'eu' WHERE id = 4", &[]),
            (
                "UPDATE shop.payments SET region = 'us', status = 'moved' WHERE id = 4",
                &["4 moved"],
            ),
            ("UPDATE shop.payments SET status = status", &[]),
            (
                "INSERT INTO shop.payments VALUES (1, 'm', 'again', 'eu') ON CONFLICT (id, region) DO UPDATE SET status = EXCLUDED.status",
                &["1 again"],
            ),
        ];
        for (sql, expected) in cases {
            shop.run(sql).await;
            let mut told: Vec<String> = shop
                .told()
                .await
                .iter()
                .map(|told| told.replacen("m payments ", "", 1))
                .collect();
            told.sort();
            assert_eq!(told, expected, "{on_failure}: {sql}");
        }
        // Names, not places: the partition's columns stand in another order.
        shop.run("UPDATE shop.payments_us SET status = 'x'; UPDATE shop.payments SET status = 'y' WHERE region = 'us'")
            .await;
        for data in shop.data().await {
            let data: serde_json::Value = serde_json::from_str(&data).unwrap();
            assert!(data["id"] == 2 || data["id"] == 4, "{data}");
            assert_eq!(
                (&data["merchant_id"], &data["region"]),
                (&"m".into(), &"us".into())
            );
        }
    }
}

#[tokio::test]
async fn a_bad_row_of_a_partition_is_recorded_and_the_others_go_on() {
    let shop = Shop::with(PARTITIONED).await;
    shop.attach("shop.payments", &["--on-failure", "record"])
        .await;
    shop.run("INSERT INTO shop.payments_us (id, merchant_id, status, region) VALUES (1, NULL, 'new', 'us'), (2, 'm', 'new', 'us')")
        .await;
    assert_eq!(shop.told().await, ["m payments 2 new"]);
    let failed: String = shop
        .database
        .value("SELECT table_name || key::text FROM posthorn.source_failures")
        .await;
    assert_eq!(failed, r#"shop.payments_us{ "region" : "us", "id" : 1 }"#);
}

#[tokio::test]
async fn a_new_partition_is_reported_until_it_is_attached_too() {
    let shop = Shop::with(PARTITIONED).await;
    shop.attach("shop.payments", &[]).await;
    assert!(!shop.list().await.contains('!'));
    shop.run("CREATE TABLE shop.payments_in PARTITION OF shop.payments_asia FOR VALUES IN ('in')")
        .await;
    // By the parent it works at once.
    shop.run("INSERT INTO shop.payments VALUES (1, 'm', 'new', 'in')")
        .await;
    assert_eq!(shop.told().await, ["m payments 1 new"]);
    let list = shop.list().await;
    assert!(
        list.contains("! shop.payments_in lacks a trigger"),
        "{list}"
    );
    shop.attach("shop.payments", &[]).await;
    assert!(!shop.list().await.contains('!'));
    shop.run("UPDATE shop.payments_in SET status = 'paid'")
        .await;
    assert_eq!(shop.told().await, ["m payments 1 paid"]);

    shop.run("ALTER TABLE shop.payments_eu DISABLE TRIGGER posthorn_payments_update")
        .await;
    let list = shop.list().await;
    assert!(
        list.contains("! shop.payments_eu lacks a trigger, or it is switched off"),
        "{list}"
    );
    let (status, said) = shop.source("detach shop.payments").await;
    assert!(status.success(), "{said}");
    let left: i64 = shop
        .database
        .value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'posthorn%' AND tgrelid::regclass::text LIKE 'shop.%'")
        .await;
    assert_eq!(left, 0);
}
