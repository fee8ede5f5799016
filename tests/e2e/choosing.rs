//! Which events a subscription gets, what its states are called, and answers that disable it.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Database, PATIENCE, SHORT_LEASE, Setup, Worker, receiver, until};

/// Events of transactions, in the order of publishing: transaction and status.
async fn publish_all(database: &Database, merchant: &str, events: &[(&str, &str)]) -> Vec<Uuid> {
    let mut ids = vec![];
    for (transaction, status) in events {
        ids.push(database.publish(merchant, transaction, status, "{}").await);
    }
    ids
}

/// Of each event how many deliveries it has to a subscription.
async fn counts(database: &Database, events: &[Uuid], subscription: &str) -> Vec<usize> {
    let mut counts = vec![];
    for event in events {
        let deliveries = database.deliveries(*event).await;
        counts.push(
            deliveries
                .iter()
                .filter(|delivery| delivery.subscription == subscription)
                .count(),
        );
    }
    counts
}

#[tokio::test]
async fn only_a_change_of_status_is_sent_where_that_is_wanted() {
    let database = Database::new().await;
    let receiver = receiver().await;
    for (merchant, name, emit) in [
        ("acme", "changes", "change"),
        ("acme", "every", "every"),
        ("other", "every", "every"),
    ] {
        let settings = json!({"url": receiver.url("/hook"), "emit": emit});
        database.subscribe(merchant, name, settings).await;
    }
    let story = [
        ("t1", "2"),
        ("t1", "2"),
        ("t2", "2"),
        ("t1", "8"),
        ("t1", "2"),
        ("t2", "2"),
        ("t1", "2"),
    ];
    let sent = [1, 0, 1, 1, 1, 0, 0];
    // All in one page, while nobody reads, and with another merchant's of the same names.
    let batch = publish_all(&database, "acme", &story).await;
    publish_all(&database, "other", &story).await;
    let mut worker = Worker::start(&database, SHORT_LEASE).await;
    // One by one, and after a worker has died, against what came before.
    let mut events = batch;
    let mut expected = sent.to_vec();
    let one_by_one = [
        ("t1", "2", 0),
        ("t1", "4", 1),
        ("t2", "2", 0),
        ("t3", "4", 1),
    ];
    for (transaction, status, is_sent) in one_by_one {
        // Another merchant's transaction of the same name says nothing of this one.
        database.publish("other", transaction, "9", "{}").await;
        let event = database.publish("acme", transaction, status, "{}").await;
        until(PATIENCE, "the one that gets every event", async || {
            let seen = database.deliveries(event).await;
            seen.iter()
                .any(|delivery| delivery.subscription == "every" && delivery.state == "delivered")
                .then_some(())
        })
        .await;
        events.push(event);
        expected.push(is_sent);
    }
    worker.kill9().await;
    let rest = publish_all(
        &database,
        "acme",
        &[("t1", "4"), ("t3", "5"), ("t4", "1"), ("t4", "1")],
    )
    .await;
    events.extend(rest);
    expected.extend([0, 1, 1, 0]);
    let _second = Worker::start(&database, "[worker]\npage_rows = 1").await;
    let every: usize = events.len() + story.len() + one_by_one.len();
    let total = i64::try_from(every + expected.iter().sum::<usize>()).unwrap();
    database.count_reaches("delivered", total).await;
    assert_eq!(counts(&database, &events, "changes").await, expected);
    assert_eq!(
        counts(&database, &events, "every").await,
        vec![1; events.len()]
    );
}

#[tokio::test]
async fn a_list_without_patterns_is_none_and_no_list_is_all() {
    let database = Database::new().await;
    let receiver = receiver().await;
    for (name, kinds, statuses) in [
        ("all", Value::Null, Value::Null),
        ("no-kind", json!([]), Value::Null),
        ("no-status", Value::Null, json!([])),
    ] {
        let settings = json!({"url": receiver.url("/hook"), "kinds": kinds, "statuses": statuses});
        database.subscribe("acme", name, settings).await;
    }
    let file = format!(
        "[[subscription]]\nmerchant = 'acme'\nname = 'file'\nurl = '{}'\nkinds = []",
        receiver.url("/hook")
    );
    let _worker = Worker::start(&database, &file).await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    // Switched on, it gets what comes from then on.
    database
        .execute("UPDATE posthorn.subscriptions SET kinds = NULL WHERE name = 'no-kind'")
        .await;
    until(PATIENCE, "an event for it too", async || {
        let event = database.publish("acme", "t1", "approved", "{}").await;
        database.reaches(event, "delivered").await;
        (database.deliveries(event).await.len() == 2).then_some(())
    })
    .await;
    let names: Vec<String> = database
        .value("SELECT array_agg(DISTINCT subscription ORDER BY subscription) FROM posthorn.delivery_status")
        .await;
    assert_eq!(names, ["all", "no-kind"]);
}

#[tokio::test]
async fn a_delivery_has_the_vendors_words_for_its_state() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/down", "503".parse().unwrap());
    database
        .execute(
            r#"INSERT INTO posthorn.profiles (name, labels) VALUES
                   ('vendor', '{"pending_retry": "pending posting retry", "delivered": "posted"}');
               INSERT INTO posthorn.locks (name, merchant, labels) VALUES
                   ('a', 'locked', '{"delivered": "ours"}');
               INSERT INTO posthorn.locks (name, labels) VALUES ('wide', NULL)"#,
        )
        .await;
    for (merchant, name, path, more) in [
        ("acme", "plain", "/up", json!({})),
        ("acme", "profile", "/up", json!({"profile": "vendor"})),
        (
            "acme",
            "retry",
            "/down",
            json!({"profile": "vendor", "retry": "fixed", "retry_interval": "30min"}),
        ),
        (
            "acme",
            "own",
            "/up",
            json!({"profile": "vendor", "labels": {"posting_error": "lost"}}),
        ),
        (
            "locked",
            "own",
            "/up",
            json!({"profile": "vendor", "labels": {"delivered": "mine"}}),
        ),
    ] {
        let mut settings = more;
        settings["url"] = receiver.url(path).into();
        database.subscribe(merchant, name, settings).await;
    }
    let _worker = Worker::start(&database, "").await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    let locked = database.publish("locked", "t1", "approved", "{}").await;
    database.count_reaches("delivered", 4).await;
    database.count_reaches("pending_retry", 1).await;
    let labels: Vec<String> = database
        .value(&format!(
            "SELECT array_agg(subscription || ': ' || label ORDER BY event_id <> '{event}', subscription)
               FROM posthorn.delivery_status WHERE event_id IN ('{event}', '{locked}')"
        ))
        .await;
    assert_eq!(
        labels,
        [
            "own: delivered",
            "plain: delivered",
            "profile: posted",
            "retry: pending posting retry",
            "own: ours"
        ]
    );
    // Queries of people count on the columns' order: new ones come at the end.
    let label: i64 = database
        .value(
            "SELECT ordinal_position::bigint FROM information_schema.columns
              WHERE table_schema = 'posthorn' AND table_name = 'delivery_status' AND column_name = 'label'",
        )
        .await;
    assert_eq!(label, 15);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_disables_its_subscription_until_people_say_otherwise() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let gone = receiver.on("/gone", "503,times=1,then=410".parse().unwrap());
    let role = database.login("worker").await;
    database.grant("--worker", &role).await;
    let file = format!(
        "[[subscription]]\nmerchant = 'acme'\nname = 'hook'\nurl = '{}'\ndisable_statuses = ['410']\n\
         retry = 'fixed'\nretry_interval = '30min'\nmax_in_flight = 1",
        receiver.url("/gone")
    );
    let worker = Setup::with_url(&database.url_of(&role))
        .toml(&file)
        .start()
        .await;
    // One waits for its retry when the next is told that the endpoint is gone.
    let waiting = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(waiting, "pending_retry").await;
    let told = database.publish("acme", "t2", "approved", "{}").await;
    let ended = database.reaches(told, "posting_error").await;
    assert_eq!(ended.attempts, 1);
    let reason = ended.reason.unwrap();
    assert!(
        reason.contains("status 410 Gone ends it and disables the subscription"),
        "{reason}"
    );
    let cancelled = database.reaches(waiting, "cancelled").await;
    assert_eq!(cancelled.reason.unwrap(), "the subscription was disabled");
    let since: bool = database
        .value(
            "SELECT gone_at > now() - interval '1 minute' AND enabled FROM posthorn.subscriptions",
        )
        .await;
    assert!(since);
    let log = worker.log();
    assert_eq!(
        log.matches("answered with one of disable_statuses").count(),
        1,
        "{log}"
    );
    let unseen = database.publish("acme", "t3", "approved", "{}").await;
    // Until it has been read it would count by the settings of then.
    until(PATIENCE, "the event's reading", async || {
        let unread: i64 = database
            .value("SELECT events FROM posthorn.status_unread")
            .await;
        (unread == 0).then_some(())
    })
    .await;

    // Whoever manages the row, and only that column of it.
    gone.behave("200".parse().unwrap());
    let url = database
        .try_execute("UPDATE posthorn.subscriptions SET url = 'https://h/'")
        .await;
    assert!(
        url.unwrap_err()
            .to_string()
            .contains("managed by a config file")
    );
    let sneaked = database
        .try_execute("UPDATE posthorn.subscriptions SET gone_at = NULL, paused = true")
        .await;
    assert!(sneaked.is_err());
    database
        .execute("UPDATE posthorn.subscriptions SET gone_at = NULL")
        .await;
    let event = database.publish("acme", "t4", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    assert_eq!(database.deliveries(unseen).await.len(), 0, "for a replay");

    // A file with another address enables it as well; one without a change does not.
    gone.behave("410".parse().unwrap());
    let event = database.publish("acme", "t5", "approved", "{}").await;
    database.reaches(event, "posting_error").await;
    let is_gone = "SELECT gone_at IS NOT NULL FROM posthorn.subscriptions";
    until(PATIENCE, "disabled again", async || {
        database.value::<bool>(is_gone).await.then_some(())
    })
    .await;
    worker.rewrite(&file.replace("max_in_flight = 1", "max_in_flight = 2"));
    worker.sighup();
    until(PATIENCE, "the file's change", async || {
        let changed: bool = database
            .value("SELECT max_in_flight = 2 FROM posthorn.subscriptions")
            .await;
        changed.then_some(())
    })
    .await;
    assert!(database.value::<bool>(is_gone).await);
    worker.rewrite(&file.replace("/gone", "/new"));
    worker.sighup();
    until(PATIENCE, "enabled by its new address", async || {
        (!database.value::<bool>(is_gone).await).then_some(())
    })
    .await;
    let event = database.publish("acme", "t6", "approved", "{}").await;
    database.reaches(event, "delivered").await;
}

#[tokio::test]
async fn a_transactions_endpoint_that_is_gone_ends_alone() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/gone", "503,times=1,then=410".parse().unwrap());
    let settings = json!({
        "scope": "transaction", "disable_statuses": ["410"], "retry": "fixed", "retry_interval": "30min",
    });
    database.subscribe("acme", "template", settings).await;
    let worker = Worker::start(&database, "").await;
    for (transaction, path) in [("t1", "/gone"), ("t2", "/well")] {
        let brought = json!({"url": receiver.url(path)});
        database
            .execute(&format!(
                "SELECT posthorn.subscribe_transaction('acme', '{transaction}', '{brought}')"
            ))
            .await;
    }
    let waiting = database.publish("acme", "t1", "open", "{}").await;
    database.reaches(waiting, "pending_retry").await;
    let told = database.publish("acme", "t1", "done", "{}").await;
    database.reaches(told, "posting_error").await;
    database.reaches(waiting, "cancelled").await;
    let well = database.publish("acme", "t2", "open", "{}").await;
    database.reaches(well, "delivered").await;
    let ended: Vec<String> = database
        .value("SELECT array_agg(transaction_id) FROM posthorn.transaction_subscriptions WHERE ended_at IS NOT NULL")
        .await;
    assert_eq!(ended, ["t1"]);
    let templates: i64 = database
        .value("SELECT count(*) FROM posthorn.subscriptions WHERE gone_at IS NULL AND enabled")
        .await;
    assert_eq!(templates, 1);
    let unseen = database.publish("acme", "t1", "more", "{}").await;
    let later = database.publish("acme", "t2", "more", "{}").await;
    database.reaches(later, "delivered").await;
    assert_eq!(database.deliveries(unseen).await.len(), 0);
    let log = worker.log();
    assert_eq!(
        log.matches("answered with one of disable_statuses").count(),
        1,
        "{log}"
    );
}
