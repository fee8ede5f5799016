//! What an event of a source is made of.

use super::{NOTHING, Shop};

#[tokio::test]
async fn kind_data_and_condition_are_columns_or_sql() {
    let shop = Shop::with(
        "CREATE TABLE shop.payments (
             id bigint PRIMARY KEY, merchant_id text, status text, amount numeric, data json, new int)",
    )
    .await;
    let row = |id: u32, status: &str, amount: &str| {
        format!(
            r#"INSERT INTO shop.payments VALUES ({id}, 'm', '{status}', {amount}, '{{"b": 1.50, "a": 1e400}}')"#
        )
    };
    shop.attach(
        "shop.payments",
        &[
            "--kind-sql",
            "'payment.' || new.status",
            "--data",
            "data,amount,id",
        ],
    )
    .await;
    shop.run(&row(1, "approved", "12.50")).await;
    assert_eq!(
        shop.database
            .value::<String>("SELECT kind FROM posthorn.events")
            .await,
        "payment.approved"
    );
    // The order asked for, and the text that was published.
    assert_eq!(
        shop.data().await,
        [r#"{"data":{"b": 1.50, "a": 1e400},"amount":12.50,"id":1}"#]
    );

    shop.attach(
        "shop.payments",
        &[
            "--kind",
            "it's \\ a {kind} $posthorn$",
            "--data-sql",
            "json_build_object('was', old.status, 'is', new.status) -- both",
            "--when",
            "new.amount > 0 AND old.status IS DISTINCT FROM 'new' -- 100% $posthorn$",
        ],
    )
    .await;
    shop.run(&row(2, "free", "0")).await;
    shop.run(&row(3, "new", "1")).await;
    shop.run("UPDATE shop.payments SET status = 'paid' WHERE id IN (1, 2, 3)")
        .await;
    assert_eq!(
        shop.database
            .value::<Vec<String>>("SELECT array_agg(DISTINCT kind) FROM posthorn.events")
            .await,
        ["it's \\ a {kind} $posthorn$"]
    );
    assert_eq!(
        shop.data().await,
        [
            r#"{"was" : null, "is" : "new"}"#,
            r#"{"was" : "approved", "is" : "paid"}"#
        ]
    );
    let given: String = shop
        .database
        .value("SELECT condition FROM posthorn.sources")
        .await;
    assert!(given.ends_with("100% $posthorn$"), "{given}");

    // By default the whole row, and with a column that is added while sessions go on.
    shop.attach("shop.payments", &[]).await;
    let mut session = shop.database.pool.acquire().await.unwrap();
    for sql in [
        "UPDATE shop.payments SET status = 'one' WHERE id = 3",
        "ALTER TABLE shop.payments ADD COLUMN fee int DEFAULT 4",
        "UPDATE shop.payments SET status = 'two' WHERE id = 3",
    ] {
        sqlx::query(sql).execute(&mut *session).await.unwrap();
    }
    let row = r#"{"id":3,"merchant_id":"m","status":"one","amount":1,"data":{"b": 1.50, "a": 1e400},"new":null}"#;
    let with_fee = row
        .replace("one", "two")
        .replace("\"new\":null", "\"new\":null,\"fee\":4");
    assert_eq!(shop.data().await, [row, &with_fee]);
}

#[tokio::test]
async fn columns_of_any_type_and_name_will_do() {
    let shop = Shop::with(
        r#"CREATE TYPE shop.state AS ENUM ('open', 'done');
           CREATE SCHEMA "My ""Shop";
           CREATE TABLE "My ""Shop"."Order Items" (
               "order" uuid, "Line No" int, "who's" int, "the ""state""" shop.state, "select" timestamptz DEFAULT now(),
               PRIMARY KEY ("order", "Line No"))"#,
    )
    .await;
    let table = r#""My ""Shop"."Order Items""#;
    let order = "00000000-0000-7000-8000-00000000000a";
    for on_failure in ["block", "record"] {
        let (status, said) = shop
            .source_with(
                "attach",
                &[
                    table,
                    "--merchant=who's",
                    "--id=order",
                    "--status=the \"state\"",
                    "--kind-sql=new.\"Line No\"::text",
                    "--data=the \"state\",Line No",
                    "--on-failure",
                    on_failure,
                ],
            )
            .await;
        assert!(status.success(), "{said}");
        assert!(said.contains("as Order Items"), "{said}");
        shop.run(&format!(
            r#"INSERT INTO {table} ("order", "Line No", "who's", "the ""state""") VALUES ('{order}', 1, 5, 'open'), ('{order}', 2, 5, 'open');
               UPDATE {table} SET "the ""state""" = 'done' WHERE "Line No" = 2;
               UPDATE {table} SET "the ""state""" = 'done', "who's" = CASE "Line No" WHEN 1 THEN 6 END WHERE '{on_failure}' = 'record';
               DELETE FROM {table}"#
        ))
        .await;
        let mut expected = vec![
            format!("5 1 {order} open"),
            format!("5 2 {order} open"),
            format!("5 2 {order} done"),
        ];
        if on_failure == "record" {
            expected.push(format!("6 1 {order} done"));
        }
        assert_eq!(shop.told().await, expected);
    }
    let (status, said) = shop.source_with("detach", &["Order Items"]).await;
    assert!(status.success(), "{said}");
}

#[tokio::test]
async fn attaching_again_replaces_the_settings() {
    let shop = Shop::new().await;
    shop.attach("shop.payments", &[]).await;
    shop.attach("shop.payments", &["--on", "update", "--kind", "payment"])
        .await;
    shop.run(
        "INSERT INTO shop.payments VALUES (1, 'm', 'new');
         UPDATE shop.payments SET status = 'paid'",
    )
    .await;
    assert_eq!(shop.told().await, ["m payment 1 paid"]);
    shop.attach("shop.payments", &["--on", "insert"]).await;
    shop.run(
        "INSERT INTO shop.payments VALUES (2, 'm', 'new');
         UPDATE shop.payments SET status = 'again'",
    )
    .await;
    assert_eq!(shop.told().await, ["m payments 2 new"]);
}

#[tokio::test]
async fn a_table_with_two_statuses_is_two_sources() {
    let shop = Shop::with(
        "CREATE TABLE shop.payments (id int PRIMARY KEY, merchant_id text, status text, settlement text)",
    )
    .await;
    shop.attach("shop.payments", &[]).await;
    let (status, said) = shop
        .source("attach shop.payments --merchant merchant_id --id id --status settlement --name settlements")
        .await;
    assert!(status.success(), "{said}");
    shop.run("INSERT INTO shop.payments VALUES (1, 'm', 'approved', 'open')")
        .await;
    let mut told = shop.told().await;
    told.sort();
    assert_eq!(told, ["m payments 1 approved", "m settlements 1 open"]);
    shop.run("UPDATE shop.payments SET settlement = 'done'")
        .await;
    assert_eq!(shop.told().await, ["m settlements 1 done"]);

    // By its name one, by the table both.
    let (status, said) = shop.source("detach settlements").await;
    assert!(status.success(), "{said}");
    shop.run("UPDATE shop.payments SET settlement = 'undone', status = 'voided'")
        .await;
    assert_eq!(shop.told().await, ["m payments 1 voided"]);
    let (status, said) = shop.source("detach shop.payments").await;
    assert!(status.success(), "{said}");
    shop.run("UPDATE shop.payments SET status = 'silent'").await;
    assert_eq!(shop.told().await, NOTHING);
}
