//! A backfill makes no events, and leaves a trace; everybody else's changes go on making them.

use posthorn::demo::postgres::OWNER;
use sqlx::{Connection, PgConnection};

use crate::support::shop::{NOTHING, Shop};

#[tokio::test]
async fn a_transaction_that_says_so_is_muted_and_no_other() {
    for on_failure in ["block", "record"] {
        let shop = Shop::new().await;
        shop.attach("shop.payments", &["--on-failure", on_failure])
            .await;
        shop.run(
            "INSERT INTO shop.payments SELECT n, 'm', 'old' FROM generate_series(1, 6000) AS n",
        )
        .await;
        shop.told().await;
        let mut backfill = PgConnection::connect(&shop.database.url).await.unwrap();
        let mut transaction = backfill.begin().await.unwrap();
        sqlx::raw_sql(
            "UPDATE shop.payments SET status = 'told' WHERE id = 6000;
             SELECT posthorn.mute_source('payments', 'statuses of 2019');
             UPDATE shop.payments SET status = 'new' WHERE id < 6000;
             INSERT INTO shop.payments VALUES (7000, NULL, 'new')",
        )
        .execute(&mut *transaction)
        .await
        .unwrap();
        // Nobody waits, and nobody else is muted.
        shop.run("INSERT INTO shop.payments VALUES (8000, 'm', 'new')")
            .await;
        assert_eq!(shop.told().await, ["m payments 8000 new"]);
        transaction.commit().await.unwrap();
        assert_eq!(shop.told().await, ["m payments 6000 told"]);
        sqlx::raw_sql("UPDATE shop.payments SET status = 'again' WHERE id = 1")
            .execute(&mut backfill)
            .await
            .unwrap();
        assert_eq!(shop.told().await, ["m payments 1 again"]);
        let trace: Vec<String> = shop
            .database
            .value(
                "SELECT array_agg(concat_ws(' ', source, muted_by, changes, reason) || (now() - muted_at < interval '1 hour'))
                   FROM posthorn.source_mutes",
            )
            .await;
        assert_eq!(
            trace,
            [format!("payments {OWNER} 6000 statuses of 2019true")]
        );
        assert!(
            shop.database
                .value::<bool>("SELECT NOT EXISTS (SELECT FROM posthorn.source_failures)")
                .await
        );
    }
}

#[tokio::test]
async fn a_savepoint_takes_a_mute_back_and_a_forged_setting_is_none() {
    let shop = Shop::new().await;
    shop.attach("shop.payments", &[]).await;
    shop.run(
        "BEGIN; SAVEPOINT s; SELECT posthorn.mute_source('payments', 'x'); INSERT INTO shop.payments VALUES (1, 'm', 'a');
         ROLLBACK TO s; INSERT INTO shop.payments VALUES (1, 'm', 'b'); COMMIT;
         BEGIN; SET LOCAL search_path = pg_catalog; SELECT set_config(format('posthorn.source_%s_muted', md5('payments')), 'on', false);
         INSERT INTO shop.payments VALUES (2, 'm', 'c'); COMMIT",
    )
    .await;
    assert_eq!(shop.told().await, ["m payments 1 b", "m payments 2 c"]);
    let refused = shop
        .refused("SELECT posthorn.mute_source('nothing', 'x')")
        .await;
    assert_eq!(refused, "there is no source 'nothing'");
    assert_eq!(shop.told().await, NOTHING);
}

#[tokio::test]
async fn only_who_was_given_the_right_mutes() {
    let shop = Shop::new().await;
    shop.attach("shop.payments", &[]).await;
    let (role, application) = shop.application("ALL").await;
    let mute = "SELECT posthorn.mute_source('payments', 'x'); INSERT INTO shop.payments VALUES (1, 'm', 'new')";
    let refused = application.try_execute(mute).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("permission denied for function mute_source"),
        "{refused}"
    );
    shop.run(&format!(
        "GRANT EXECUTE ON FUNCTION posthorn.mute_source TO {role}"
    ))
    .await;
    application.execute(mute).await;
    assert_eq!(shop.told().await, NOTHING);
    let by: String = shop
        .database
        .value("SELECT muted_by FROM posthorn.source_mutes")
        .await;
    assert_eq!(by, role);
}
