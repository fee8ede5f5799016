//! Subscriptions that single transactions bring.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Database, PATIENCE, SHORT_LEASE, Setup, Worker, receiver, until};

/// Publishes an event whose transaction brings subscriptions.
async fn publish(
    database: &Database,
    merchant: &str,
    transaction: &str,
    status: &str,
    subscriptions: Value,
) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar("SELECT posthorn.publish($1, 'payment', $2, $3, '{\"n\": 1}', $4::json)")
        .bind(merchant)
        .bind(transaction)
        .bind(status)
        .bind(subscriptions.to_string())
        .fetch_one(&database.pool)
        .await
}

fn template(more: &Value) -> Value {
    let mut template = json!({"scope": "transaction", "retry": "fixed", "retry_interval": "100ms"});
    template
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    template
}

/// State and reason of each delivery of an event, by the path that it goes to.
async fn by_path(database: &Database, event: Uuid) -> Vec<(String, String, Option<String>)> {
    sqlx::query_as(
        "SELECT substring(t.url FROM '/[a-z0-9-]+$'), d.state::text, d.reason
           FROM posthorn.delivery_status d JOIN posthorn.transaction_subscriptions t ON t.id = d.subscription_id
          WHERE d.event_id = $1 ORDER BY 1",
    )
    .bind(event)
    .fetch_all(&database.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_transaction_brings_its_own_endpoints_and_others_do_not_notice() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let settings = template(&json!({"auth": "basic", "auth_secret": "env:SECRET"}));
    let template = database.subscribe("acme", "template", settings).await;
    database
        .subscribe("acme", "all", json!({"url": receiver.url("/all")}))
        .await;
    let worker = Setup::new(&database)
        .env("SECRET", "user:pass")
        .start()
        .await;

    let before = database.publish("acme", "t1", "new", "{}").await;
    let own = json!([
        {"url": receiver.url("/post")},
        {"url": receiver.url("/get?q=1"), "method": "GET"},
    ]);
    let first = publish(&database, "acme", "t1", "open", own.clone())
        .await
        .unwrap();
    // Publishing them again adds nothing.
    let second = publish(&database, "acme", "t1", "done", own).await.unwrap();
    let other = database.publish("acme", "t2", "open", "{}").await;
    database.count_reaches("delivered", 4 + 2 * 2).await;

    let count = |event: Uuid, path: &'static str| {
        let requests = receiver.requests();
        let of_event = requests.iter().filter(|request| {
            request.path_and_query.starts_with(path)
                && request.headers["webhook-id"] == event.to_string()
        });
        of_event.count()
    };
    for (event, brought) in [(before, 0), (first, 1), (second, 1), (other, 0)] {
        assert_eq!(count(event, "/all"), 1);
        assert_eq!(count(event, "/post"), brought);
        assert_eq!(count(event, "/get?q=1&n=1"), brought);
    }
    for request in receiver.requests() {
        let own = !request.path_and_query.starts_with("/all");
        assert_eq!(
            request.headers.contains_key("authorization"),
            own,
            "the template's"
        );
        assert_eq!(
            request.method,
            if request.path_and_query.starts_with("/get") {
                "GET"
            } else {
                "POST"
            }
        );
    }
    // People see the template's name, and ids of their own.
    let seen = database.deliveries(first).await;
    let names: Vec<_> = seen
        .iter()
        .map(|delivery| &*delivery.subscription)
        .collect();
    assert_eq!(names, ["all", "template", "template"]);
    let distinct: i64 = database
        .value(&format!(
            "SELECT count(DISTINCT subscription_id) FROM posthorn.deliveries
              WHERE subscription_id <> '{template}'"
        ))
        .await;
    assert_eq!(distinct, 3);
    assert!(!worker.log().contains("ERROR"), "{}", worker.log());
}

#[tokio::test]
async fn what_a_customer_wrote_wrongly_is_a_posting_error_and_fails_no_publisher() {
    let database = Database::new().await;
    let receiver = receiver().await;
    database
        .subscribe("acme", "template", template(&json!({})))
        .await;
    let _worker = Worker::start(&database, "").await;
    for (brought, reason) in [
        (
            json!({"url": "nowhere"}),
            "url of the transaction's subscription: not an http:// or https:// URL",
        ),
        (
            json!({"Url": "https://u:p@h/"}),
            "a URL with a user name or password",
        ),
        (json!({"callbackURL": "https://h/ x"}), "a URL with a space"),
        (
            json!({"url": format!("https://h/{}", "x".repeat(70_000))}),
            "longer than 65534 bytes",
        ),
        (
            json!({"url": "https://h/\u{0}"}),
            "not an http:// or https:// URL",
        ),
        (json!({"url": 7}), "not an http:// or https:// URL"),
        (
            json!({}),
            "neither the transaction's subscription nor its template has a url",
        ),
        (
            json!({"Type": "SendMail", "Url": "https://h/"}),
            "a method other than POST and GET",
        ),
    ] {
        let shown = brought.to_string();
        let event = publish(&database, "acme", "t1", "open", brought).await;
        let event = event.unwrap_or_else(|error| panic!("{shown}: {error}"));
        let delivery = database.reaches(event, "posting_error").await;
        assert_eq!(delivery.attempts, 0, "{shown}");
        let said = delivery.reason.unwrap();
        assert!(said.contains(reason), "{shown}: {said}");
        database
            .execute("UPDATE posthorn.transaction_subscriptions SET ended_at = now()")
            .await;
    }
    // The lane goes on.
    let good = publish(
        &database,
        "acme",
        "t1",
        "open",
        json!({"url": receiver.url("/good")}),
    )
    .await
    .unwrap();
    database.reaches(good, "delivered").await;
}

/// Merchants with several templates, with a disabled one, with none, and with two of a
/// profile whose method a lock changes.
async fn merchants() -> Database {
    let database = Database::new().await;
    for (name, more) in [
        ("post", json!({})),
        ("get", json!({"method": "GET"})),
        ("get-old", json!({"method": "GET", "enabled": false})),
    ] {
        database.subscribe("two", name, template(&more)).await;
    }
    database
        .subscribe("off", "off", template(&json!({"enabled": false})))
        .await;
    database
        .subscribe("none", "hook", json!({"url": "https://h/"}))
        .await;
    database
        .execute(
            "INSERT INTO posthorn.profiles (name, scope, method) VALUES ('by-profile', 'transaction', 'GET');
             INSERT INTO posthorn.subscriptions (merchant, name, profile) VALUES
                 ('profile', 'one', 'by-profile'), ('profile', 'two', 'by-profile');
             INSERT INTO posthorn.locks (name, profile, method, merchant) VALUES ('l', 'by-profile', 'POST', 'profile')",
        )
        .await;
    database
}

#[tokio::test]
async fn a_publisher_is_told_when_there_is_no_template_or_more_than_one() {
    let database = merchants().await;
    let long: Vec<Value> = (0..101)
        .map(|n| json!({"url": format!("https://h/{n}")}))
        .collect();
    for (merchant, brought, words) in [
        (
            "none",
            json!([{"url": "https://h/"}]),
            "merchant 'none' has no subscription with scope = \"transaction\"",
        ),
        (
            "two",
            json!([{"url": "https://h/", "template": "nix"}]),
            "merchant 'two' has no subscription 'nix' with",
        ),
        (
            "profile",
            json!([{"url": "https://h/", "method": "POST"}]),
            "not just one of them has method POST",
        ),
        ("two", json!("https://h/"), "subscriptions is a JSON string"),
        (
            "two",
            json!(["https://h/"]),
            "an entry of subscriptions is a JSON string",
        ),
        ("two", json!(long), "subscriptions has 101 entries"),
    ] {
        let refused = publish(&database, merchant, "t", "s", brought)
            .await
            .unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
    }
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM posthorn.events")
            .await,
        0,
        "rolled back"
    );
    for nothing in ["NULL", "'null'", "'[]'"] {
        database
            .execute(&format!(
                "SELECT posthorn.publish('none', 'k', 't', 's', '{{}}', {nothing})"
            ))
            .await;
    }
}

#[tokio::test]
async fn the_template_is_the_one_named_or_the_one_that_fits() {
    let database = merchants().await;
    for (merchant, brought, template) in [
        ("two", json!({"url": "https://h/1"}), "post"),
        ("two", json!({"url": "https://h/2", "method": "get"}), "get"),
        (
            "two",
            json!({"url": "https://h/3", "template": "get-old"}),
            "get-old",
        ),
        (
            "two",
            json!({"callbackURL": "https://h/4", "callbackMethod": "GET"}),
            "get",
        ),
        (
            "two",
            json!({"Type": "SubscribeToStatusChangeNotificationsByGet", "Url": "https://h/5"}),
            "get",
        ),
        (
            "profile",
            json!({"url": "https://h/6", "template": "two"}),
            "two",
        ),
        ("off", json!({"url": "https://h/7"}), "off"),
    ] {
        let shown = brought.to_string();
        let made: i32 =
            sqlx::query_scalar("SELECT posthorn.subscribe_transaction($1, 't', $2::json)")
                .bind(merchant)
                .bind(&shown)
                .fetch_one(&database.pool)
                .await
                .unwrap_or_else(|error| panic!("{shown}: {error}"));
        assert_eq!(made, 1, "{shown}");
        let taken: String = database
            .value(
                "SELECT s.name FROM posthorn.transaction_subscriptions t
                   JOIN posthorn.subscriptions s ON s.id = t.template_id ORDER BY t.id DESC LIMIT 1",
            )
            .await;
        assert_eq!(taken, template, "{shown}");
    }
}

#[tokio::test]
async fn retries_and_restarts_keep_each_endpoint_apart() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/flaky", "503,times=2,then=200".parse().unwrap());
    let settings = template(&json!({"retry_interval": "1s", "order": "transaction"}));
    database.subscribe("acme", "template", settings).await;
    let own = json!([{"url": receiver.url("/flaky")}, {"url": receiver.url("/well")}]);
    let mut worker = Worker::start(&database, SHORT_LEASE).await;
    let first = publish(&database, "acme", "t1", "open", own).await.unwrap();
    let second = database.publish("acme", "t1", "done", "{}").await;
    // The endpoint that is well gets both while the other's first waits in the database.
    for event in [first, second] {
        until(PATIENCE, "the endpoint that is well", async || {
            let (path, state, _) = by_path(&database, event).await.pop()?;
            (path == "/well" && state == "delivered").then_some(())
        })
        .await;
    }
    assert_eq!(by_path(&database, first).await[0].1, "pending_retry");
    worker.kill9().await;

    let _second = Worker::start(&database, "").await;
    for event in [first, second] {
        until(PATIENCE, "both endpoints reached", async || {
            let found = by_path(&database, event).await;
            (found.len() == 2 && found.iter().all(|(_, state, _)| state == "delivered"))
                .then_some(())
        })
        .await;
    }
    let ids_at = |path: &str| -> Vec<String> {
        receiver
            .requests()
            .iter()
            .filter(|request| request.path_and_query == path)
            .map(|request| request.headers["webhook-id"].to_str().unwrap().to_owned())
            .collect()
    };
    let flaky = ids_at("/flaky");
    assert_eq!(ids_at("/well").len(), 2, "no repeats");
    let (first, second) = (first.to_string(), second.to_string());
    assert_eq!(
        flaky,
        [&first, &first, &first, &second].map(Clone::clone),
        "in order, after its retries"
    );
}

#[tokio::test]
async fn a_newer_event_replaces_what_waits_for_the_same_endpoint_only() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let settings = template(&json!({"supersede": true, "retry_interval": "30min"}));
    database.subscribe("acme", "template", settings).await;
    receiver.on("/down", "503".parse().unwrap());
    let _worker = Worker::start(&database, "").await;
    let own = json!([{"url": receiver.url("/down")}, {"url": receiver.url("/up")}]);
    let first = publish(&database, "acme", "t1", "open", own).await.unwrap();
    until(PATIENCE, "a retry that waits", async || {
        (by_path(&database, first).await.first()?.1 == "pending_retry").then_some(())
    })
    .await;
    let only = json!({"url": receiver.url("/down")});
    let other = publish(&database, "acme", "t2", "open", only)
        .await
        .unwrap();
    let second = database.publish("acme", "t1", "done", "{}").await;
    until(PATIENCE, "the older one superseded", async || {
        let states: Vec<_> = by_path(&database, first)
            .await
            .into_iter()
            .map(|(path, state, _)| (path, state))
            .collect();
        (states
            == [
                ("/down".to_owned(), "superseded".to_owned()),
                ("/up".to_owned(), "delivered".to_owned()),
            ])
        .then_some(())
    })
    .await;
    until(PATIENCE, "the newer one waits", async || {
        (by_path(&database, second).await.first()?.1 == "pending_retry").then_some(())
    })
    .await;
    database.reaches(other, "pending_retry").await;
}

#[tokio::test]
async fn what_happens_to_the_template_happens_to_its_transactions() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let settings = template(&json!({"paused": true, "kinds": ["payment"]}));
    database.subscribe("acme", "template", settings).await;
    let _worker = Worker::start(&database, "").await;
    let own = json!({"url": receiver.url("/hook")});
    let first = publish(&database, "acme", "t1", "open", own).await.unwrap();
    database.reaches(first, "pending").await;
    assert_eq!(receiver.received(), 0);
    database
        .execute("UPDATE posthorn.subscriptions SET paused = false")
        .await;
    database.reaches(first, "delivered").await;
    // Not a kind that the template wants.
    database
        .execute("SELECT posthorn.publish('acme', 'refund', 't1', 'refunded')")
        .await;
    // Its settings of the moment hold.
    database
        .execute("UPDATE posthorn.subscriptions SET encoding = 'nvp'")
        .await;
    until(PATIENCE, "a form", async || {
        let event = database.publish("acme", "t1", "open", r#"{"a": 1}"#).await;
        database.reaches(event, "delivered").await;
        let requests = receiver.requests();
        (requests.last()?.body == "a=1").then_some(())
    })
    .await;
    let kinds: i64 = database
        .value("SELECT count(*) FROM posthorn.delivery_status WHERE kind = 'refund'")
        .await;
    assert_eq!(kinds, 0);
    database
        .execute("UPDATE posthorn.subscriptions SET paused = true")
        .await;
    let waiting = until(PATIENCE, "a delivery that waits", async || {
        let event = database.publish("acme", "t1", "open", "{}").await;
        let paused = until(PATIENCE, "an end or a row", async || {
            let found = database.deliveries(event).await.into_iter().next()?;
            Some(found.state == "pending")
        })
        .await;
        paused.then_some(event)
    })
    .await;
    database
        .execute("UPDATE posthorn.subscriptions SET enabled = false")
        .await;
    let cancelled = database.reaches(waiting, "cancelled").await;
    assert_eq!(cancelled.reason.unwrap(), "the subscription was disabled");
}

#[tokio::test]
async fn transactions_without_events_are_forgotten_after_the_retention() {
    let database = Database::new().await;
    database
        .subscribe("acme", "template", template(&json!({})))
        .await;
    for (merchant, transaction) in [("acme", "old"), ("acme", "old-with-event"), ("acme", "new")] {
        database
            .execute(&format!(
                "SELECT posthorn.subscribe_transaction('{merchant}', '{transaction}', '{{\"url\": \"https://h/\"}}')"
            ))
            .await;
    }
    database
        .publish("acme", "old-with-event", "open", "{}")
        .await;
    // Another merchant's transaction of the same name keeps nothing alive.
    database.publish("other", "old", "open", "{}").await;
    database
        .execute(
            "UPDATE posthorn.transaction_subscriptions
                SET id = (overlay(id::text PLACING left(posthorn.uuid_floor(now() - interval '6 days')::text, 13) FROM 1 FOR 13))::uuid
              WHERE transaction_id LIKE 'old%'",
        )
        .await;
    let _worker = Worker::start(&database, "[maintenance]\nretention_days = 5").await;
    until(PATIENCE, "the old one gone", async || {
        let left: Vec<String> = database
            .value("SELECT array_agg(transaction_id ORDER BY 1) FROM posthorn.transaction_subscriptions")
            .await;
        (left == ["new", "old-with-event"]).then_some(())
    })
    .await;
    let refused = database
        .try_execute("SELECT posthorn.drop_transaction_subscriptions(0)")
        .await;
    assert!(refused.unwrap_err().to_string().contains("give 1 or more"));
}
