//! A database that refuses, or does not get on with, what a worker writes.

use serde_json::json;

use crate::support::{Database, PATIENCE, Worker, receiver, until};

const SAID: &str = "refuses to disable a subscription";
const AGE: &str = "posthorn_checkpoint_age_seconds";

/// It was tried for ever, four times a second, and nobody was told.
#[tokio::test]
async fn a_subscription_that_cannot_be_disabled_is_told_once_for_each_answer() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/", "410".parse().unwrap());
    database
        .execute(
            "ALTER TABLE posthorn.subscriptions ADD CONSTRAINT never_gone CHECK (gone_at IS NULL)",
        )
        .await;
    let worker = Worker::start(&database, "").await;
    let gone = json!({ "url": receiver.url("/"), "disable_statuses": ["410"] });
    database.subscribe("acme", "all", gone).await;
    for number in 1..=2 {
        let event = database
            .publish("acme", &format!("t{number}"), "approved", "{}")
            .await;
        database.reaches(event, "posting_error").await;
        until(PATIENCE, "a line for each answer", async || {
            (worker.log().matches(SAID).count() == number).then_some(())
        })
        .await;
    }
}

/// One stuck shard never showed: the age counted from when any checkpoint moved.
#[tokio::test]
async fn the_age_of_checkpoints_is_that_of_the_one_that_stands_still() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let worker = Worker::start(&database, "").await;
    database.delivers_to(&receiver.url("/")).await;
    until(PATIENCE, "checkpoints that move", async || {
        (worker.metric(AGE).await < 2.5).then_some(())
    })
    .await;
    // Nothing of the shard of this merchant can be written; those of all others move on.
    database
        .execute(
            "CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'later' USING ERRCODE = '57014'; END $$;
             CREATE TRIGGER later BEFORE INSERT ON posthorn.deliveries
                 FOR EACH ROW EXECUTE FUNCTION later()",
        )
        .await;
    database.publish("acme", "t2", "approved", "{}").await;
    until(PATIENCE, "an age that grows", async || {
        (worker.metric(AGE).await > 6.0).then_some(())
    })
    .await;
    let moving: i64 = database
        .value("SELECT count(*) FROM posthorn.shards WHERE checkpoint_at > now() - interval '5 seconds'")
        .await;
    assert!(moving > 50, "{moving}");
    database
        .execute("DROP TRIGGER later ON posthorn.deliveries")
        .await;
    until(PATIENCE, "a checkpoint that moves again", async || {
        (worker.metric(AGE).await < 2.5).then_some(())
    })
    .await;
}
