//! What an application sees of the crate `posthorn-publish`.

use std::time::Duration;

use posthorn_publish::{
    Address, Error, Event, Method, Session, issue_session, publish, publish_own,
    subscribe_transaction,
};
use serde_json::{Value, json};

use crate::application;
use crate::support::http::{ask, http};
use crate::support::{Database, PATIENCE, Setup, Worker, receiver, until};

fn event(transaction: &str) -> Event {
    Event::new("acme", "payment.approved", transaction, "approved")
}

#[tokio::test]
async fn what_commits_is_delivered_and_what_rolls_back_is_not() {
    let database = Database::new().await;
    let application = application(&database, &[]).await;
    let receiver = receiver().await;
    let settings = json!({ "url": receiver.url("/hook") });
    database.subscribe("acme", "hook", settings).await;
    let _worker = Worker::start(&database, "").await;

    let mut tx = application.pool.begin().await.unwrap();
    publish(&mut *tx, &event("never")).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = application.pool.begin().await.unwrap();
    let text = r#"{"b": 12.50, "a": 9007199254740993}"#;
    let kept = event("kept").data_text(text).unwrap();
    let id = publish(&mut *tx, &kept).await.unwrap();
    tx.commit().await.unwrap();

    receiver.wait_for(1, PATIENCE).await.unwrap();
    database.reaches(id, "delivered").await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].headers["webhook-id"], id.to_string());
    let events: Vec<(String, String)> =
        sqlx::query_as("SELECT transaction_id, data::text FROM posthorn.events")
            .fetch_all(&database.pool)
            .await
            .unwrap();
    assert_eq!(events, [("kept".to_owned(), text.to_owned())]);
}

#[tokio::test]
async fn data_is_whatever_serde_writes() {
    let database = Database::new().await;
    let application = application(&database, &[]).await;
    let data = json!({ "currency": "EUR", "cents": 1250 });
    let with_data = event("t").data(&data).unwrap();
    for event in [&with_data, &event("t")] {
        publish(&application.pool, event).await.unwrap();
    }
    let told: Vec<Value> = database
        .value("SELECT array_agg(data ORDER BY id) FROM posthorn.events")
        .await;
    assert_eq!(told, [data, json!({})]);
}

#[tokio::test]
async fn a_transaction_brings_addresses_with_an_event_and_without() {
    let database = Database::new().await;
    let application = application(&database, &[]).await;
    let receiver = receiver().await;
    for (name, method) in [("posts", "POST"), ("gets", "GET")] {
        let template = json!({ "scope": "transaction", "method": method });
        database.subscribe("acme", name, template).await;
    }
    let _worker = Worker::start(&database, "").await;

    let get = Address::new(receiver.url("/get")).method(Method::Get);
    let named = Address::new(receiver.url("/named")).template("posts");
    let mut tx = application.pool.begin().await.unwrap();
    let made = subscribe_transaction(&mut *tx, "acme", "t", &[&get, &named]).await;
    assert_eq!(made.unwrap(), 2);
    let again = subscribe_transaction(&mut *tx, "acme", "t", &get).await;
    assert_eq!(again.unwrap(), 0);
    // As a customer of SensePass gives it.
    let theirs = json!({ "callbackURL": receiver.url("/theirs"), "callbackMethod": "POST" });
    let event = event("t").subscriptions(&theirs).unwrap();
    publish(&mut *tx, &event).await.unwrap();
    tx.commit().await.unwrap();

    receiver.wait_for(3, PATIENCE).await.unwrap();
    let requests = receiver.requests();
    let mut seen: Vec<_> = requests
        .iter()
        .map(|request| {
            let path = request.path_and_query.split('?').next().unwrap();
            format!("{} {path}", request.method)
        })
        .collect();
    seen.sort();
    assert_eq!(seen, ["GET /get", "POST /named", "POST /theirs"]);
}

#[tokio::test]
async fn a_session_token_opens_the_gateway() {
    let database = Database::new().await;
    let application = application(&database, &[]).await;
    let running = Setup::gateway(&database).start().await;
    let session = Session::new("acme", "t1")
        .lifetime(Duration::from_millis(3_600_500))
        .complete_on(["approved"])
        .complete_as("done");
    let token = issue_session(&application.pool, &session).await.unwrap();
    let default = issue_session(&application.pool, &Session::new("acme", "t2")).await;
    assert!(default.unwrap().starts_with("phs_"));

    let state = async |token: &str| {
        let url = format!("{}/v1/session", running.gateway());
        let (status, said) = ask(http().get(url).bearer_auth(token)).await;
        assert_eq!(status, 200, "{said}");
        serde_json::from_str::<Value>(&said).unwrap()["state"].take()
    };
    assert_eq!(state("phs_unknown").await, "EXPIRED");
    assert_eq!(state(&token).await, "NEW");
    publish(&application.pool, &event("t1")).await.unwrap();
    let done = async || (state(&token).await == "done").then_some(());
    until(PATIENCE, "a session that is done", done).await;
    let lives: Vec<f64> = database
        .value(
            "SELECT array_agg(extract(epoch FROM expires_at - issued_at)::float8 ORDER BY transaction_id)
               FROM posthorn.sessions",
        )
        .await;
    assert!((lives[0] - 3600.5).abs() < 1.0, "{lives:?}");
    assert!((lives[1] - 900.0).abs() < 1.0, "{lives:?}");
}

/// The code and the text of a refusal of what was given.
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> (String, String) {
    match result {
        Err(Error::Refused(refusal)) => (refusal.code.clone(), refusal.to_string()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_refused_is_told_in_the_words_of_the_schema() {
    let database = Database::new().await;
    let application = application(&database, &[]).await;
    let pool = &application.pool;

    let nobodys = Event::new("", "payment.approved", "t", "approved");
    let (code, said) = refused(publish(pool, &nobodys).await);
    assert_eq!(code, "23514");
    assert_eq!(
        said,
        "the merchant of an event is 0 bytes long; it needs 1 to 1000 bytes"
    );

    let address = Address::new("https://customer.example/hook");
    let (code, said) = refused(subscribe_transaction(pool, "acme", "t", &address).await);
    assert_eq!(code, "42704");
    assert!(
        said.starts_with("merchant 'acme' has no subscription with scope = \"transaction\" (Make the template first"),
        "{said}"
    );
    let odd = json!({ "uri": "https://customer.example/hook" });
    let (_, said) = refused(subscribe_transaction(pool, "acme", "t", &odd).await);
    assert!(said.contains("keys that are not known: 'uri'"), "{said}");

    let long = Session::new("acme", "t").lifetime(Duration::from_hours(24 * 400));
    let (_, said) = refused(issue_session(pool, &long).await);
    assert!(said.contains("sessions_lives_for_a_year_at_most"), "{said}");

    let error = event("t").data_text("{").unwrap_err();
    assert!(matches!(error, Error::NotJson { what: "data", .. }));
    assert!(
        error
            .to_string()
            .starts_with("the data cannot be sent as JSON: EOF"),
        "{error}"
    );
    let events: i64 = database.value("SELECT count(*) FROM posthorn.events").await;
    assert_eq!(events, 0);
}

#[tokio::test]
async fn a_publisher_of_some_merchants_publishes_for_them_alone() {
    let database = Database::new().await;
    let application = application(&database, &["--merchant", "acme"]).await;
    let id = publish_own(&application.pool, &event("t")).await.unwrap();
    let theirs: bool = database
        .value(&format!(
            "SELECT count(*) = 1 FROM posthorn.events WHERE id = '{id}'"
        ))
        .await;
    assert!(theirs);
    let foreign = Event::new("globex", "payment.approved", "t", "approved");
    for (said, expected) in [
        (
            publish_own(&application.pool, &foreign).await,
            "may not publish for this merchant",
        ),
        (
            publish(&application.pool, &event("t")).await,
            "posthorn grant --publisher ROLE",
        ),
    ] {
        let error = said.unwrap_err();
        assert!(matches!(error, Error::NotAllowed(_)), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_database_without_the_schema_is_told_from_a_refusal() {
    let database = Database::empty().await;
    let error = publish(&database.pool, &event("t")).await.unwrap_err();
    assert!(matches!(error, Error::NotInstalled(_)), "{error:?}");
    assert!(error.to_string().contains("posthorn migrate"), "{error}");
}
