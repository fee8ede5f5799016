//! Very many subscriptions, of which nearly all are idle.

use crate::support::{Database, PATIENCE, Setup, alone_among_the_heavy, receiver, until};

const MANY: usize = 20_000;

#[tokio::test]
async fn a_change_holds_for_the_next_event_among_very_many_subscriptions() {
    let _alone = alone_among_the_heavy().await;
    let database = Database::new().await;
    let receiver = receiver().await;
    database
        .execute(&format!(
            "INSERT INTO posthorn.profiles (name, url) VALUES ('many', '{}');
             INSERT INTO posthorn.subscriptions (merchant, name, profile)
             SELECT 'm-' || n, 'orders', 'many' FROM generate_series(1, {MANY}) AS n",
            receiver.url("/first"),
        ))
        .await;
    database.execute("VACUUM ANALYZE").await;
    let worker = Setup::new(&database).start().await;
    until(PATIENCE, "all are counted", async || {
        let counted = worker
            .metric("posthorn_subscriptions{settings=\"valid\"}")
            .await;
        ((counted - 20_000.0).abs() < 0.5).then_some(())
    })
    .await;
    let delivered = async |merchant: &str| {
        let event = database.publish(merchant, "t1", "approved", "{}").await;
        database.reaches(event, "delivered").await;
    };
    delivered("m-7").await;
    let change = async |sql: String| {
        database.execute(&sql).await;
    };

    let second = receiver.url("/second");
    change(format!(
        "UPDATE posthorn.profiles SET url = '{second}' WHERE name = 'many'"
    ))
    .await;
    delivered("m-7").await;
    delivered("m-8").await;
    let third = receiver.url("/third");
    change(format!(
        "INSERT INTO posthorn.locks (name, url) VALUES ('all', '{third}')"
    ))
    .await;
    delivered("m-8").await;
    change("DELETE FROM posthorn.locks".to_owned()).await;
    change(
        "UPDATE posthorn.subscriptions SET paused = true WHERE merchant IN ('m-8', 'm-9')"
            .to_owned(),
    )
    .await;
    for merchant in ["m-8", "m-9"] {
        let event = database.publish(merchant, "t2", "approved", "{}").await;
        database.reaches(event, "pending").await;
    }
    delivered("m-7").await;
    let own = receiver.url("/own");
    change(format!(
        "UPDATE posthorn.subscriptions SET paused = false, url = '{own}' WHERE merchant = 'm-9'"
    ))
    .await;
    until(PATIENCE, "what waited goes out", async || {
        (receiver.received() == 6).then_some(())
    })
    .await;
    let paths: Vec<String> = receiver
        .requests()
        .iter()
        .map(|request| request.path_and_query.clone())
        .collect();
    assert_eq!(
        paths,
        ["/first", "/second", "/second", "/third", "/second", "/own"]
    );
}
