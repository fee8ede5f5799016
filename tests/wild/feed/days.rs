//! Statements name the days that they are about. So a day that they are not about is nobody's
//! matter, and one that nobody expects must not be passed over.

use serde_json::{Value, json};
use sqlx::Executor;

use crate::support::http::{ask, http};
use crate::support::{Database, PATIENCE, Setup, receiver, until};

#[tokio::test]
async fn an_old_day_that_somebody_has_to_himself_holds_up_nobody() {
    let database = Database::new().await;
    database.make_day(5).await;
    let receiver = receiver().await;
    receiver.on("/", "503,times=1,then=200".parse().unwrap());
    let settings = json!({ "url": receiver.url("/"), "retry": "fixed", "retry_interval": "50ms" });
    database.subscribe("acme", "orders", settings).await;
    let token: String = database
        .value("SELECT posthorn.issue_token('acme', 'api')")
        .await;
    let worker = Setup::new(&database).switch("--gateway").start().await;
    let events = async |after: &str| -> Value {
        let url = format!("{}/v1/events?wait=5s&after={after}", worker.gateway());
        let (_, text) = ask(http().get(url).bearer_auth(&token)).await;
        serde_json::from_str(&text).unwrap()
    };
    // Once they have read on from a moment after their start, the days before are over for worker
    // and gateway.
    let mut here = "start".to_owned();
    for n in 1..=3 {
        let event = database
            .publish("acme", &format!("T-{n}"), "approved", "{}")
            .await;
        database.reaches(event, "delivered").await;
        let page = events(&here).await;
        page["cursor"].as_str().unwrap().clone_into(&mut here);
    }
    let asked = receiver.requests().len();

    // As VACUUM FULL has it.
    let mut somebody = database.pool.begin().await.unwrap();
    somebody
        .execute(
            "DO $$ BEGIN EXECUTE format(
                 'LOCK TABLE posthorn.%I, posthorn.%I, posthorn.%I IN ACCESS EXCLUSIVE MODE',
                 'events' || to_char(current_date - 5, '_YYYYMMDD'),
                 'deliveries' || to_char(current_date - 5, '_YYYYMMDD'),
                 'attempts' || to_char(current_date - 5, '_YYYYMMDD')); END $$",
        )
        .await
        .unwrap();
    receiver.on("/", "503,times=1,then=200".parse().unwrap());
    let event = database.publish("acme", "T-4", "approved", "{}").await;
    let page = events(&here).await;
    assert_eq!(page["events"][0]["id"], event.to_string(), "{page}");
    // The view would look into all days.
    until(PATIENCE, "the retry", async || {
        (receiver.requests().len() == asked + 2).then_some(())
    })
    .await;
    let recorded = "SELECT count(*) FROM posthorn.pending_deliveries";
    until(PATIENCE, "its end", async || {
        (database.value::<i64>(recorded).await == 0).then_some(())
    })
    .await;
    somebody.rollback().await.unwrap();
    assert_eq!(database.reaches(event, "delivered").await.attempts, 2);
}

#[tokio::test]
async fn an_event_of_a_day_that_nobody_expects_is_delivered_all_the_same() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let url = json!({ "url": receiver.url("/") });
    database.subscribe("acme", "orders", url).await;
    let _worker = Setup::new(&database).start().await;
    let first = database.publish("acme", "T-1", "approved", "{}").await;
    database.reaches(first, "delivered").await;

    // In this order: of a day that is there and empty, of no day, and of one that somebody makes
    // by hand, by a name of their own.
    let hand = "CREATE TABLE posthorn.far_away PARTITION OF posthorn.events
        FOR VALUES FROM ('f0000000-0000-0000-0000-000000000000') TO ('f1000000-0000-0000-0000-000000000000')";
    let tomorrow = "overlay(gen_random_uuid()::text PLACING left(posthorn.uuid_floor(now() + interval '1 day')::text, 13) FROM 1)";
    for (makes, id) in [
        (None, tomorrow),
        (None, "'e0000000-0000-4000-8000-000000000001'"),
        (Some(hand), "'f0000000-0000-4000-8000-000000000001'"),
        (None, "'e0000000-0000-4000-8000-000000000002'"),
    ] {
        if let Some(makes) = makes {
            database.execute(makes).await;
        }
        let event = database
            .value(&format!(
                "INSERT INTO posthorn.events (id, merchant, kind, transaction_id, status)
                 VALUES (({id})::uuid, 'acme', 'payment', 'T-2', 'approved') RETURNING id"
            ))
            .await;
        database.reaches(event, "delivered").await;
    }
    let today = database.publish("acme", "T-3", "approved", "{}").await;
    database.reaches(today, "delivered").await;
}

#[tokio::test]
async fn a_role_that_may_read_the_tables_alone_works_by_them() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/", "503,times=1,then=200".parse().unwrap());
    let settings = json!({ "url": receiver.url("/"), "retry": "fixed", "retry_interval": "50ms" });
    database.subscribe("acme", "orders", settings).await;
    let role = database.login("worker").await;
    database.grant("--worker", &role).await;
    // As a restore of some of the rights, or a careful administrator, leaves it.
    database
        .execute(&format!(
            r"DO $$ DECLARE day text; BEGIN
                 FOR day IN SELECT relname FROM pg_class WHERE relnamespace = 'posthorn'::regnamespace
                             AND relname ~ '^(events|deliveries|attempts)_(\d{{8}}|default)$' LOOP
                     EXECUTE format('REVOKE ALL ON posthorn.%I FROM {role}', day);
                 END LOOP; END $$"
        ))
        .await;
    let _worker = Setup::with_url(&database.url_of(&role)).start().await;
    let event = database.publish("acme", "T-1", "approved", "{}").await;
    assert_eq!(database.reaches(event, "delivered").await.attempts, 2);
}
