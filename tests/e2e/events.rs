//! Events that can never be sent end at once with a reason, and hold up nobody.

use serde_json::json;

use crate::support::{Database, Worker, receiver};

#[tokio::test]
async fn a_bad_event_is_a_posting_error_at_once_while_others_go_on() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let settings = json!({
        "url": receiver.url("/hook"), "order": "transaction", "max_in_flight": 1,
        "fields": [{"name": "amount", "source": "/payment/amount"}],
    });
    database.subscribe("acme", "hook", settings).await;
    let xml = json!({"url": receiver.url("/xml"), "encoding": "xml"});
    database.subscribe("xml", "hook", xml).await;
    let _worker = Worker::start(&database, "[worker]\nmax_data_bytes = 1000").await;

    let large = format!(
        r#"{{"payment": {{"amount": 1}}, "rest": "{}"}}"#,
        "x".repeat(1000)
    );
    let deep = format!(r#"{{"payment": {}1{}}}"#, "[".repeat(400), "]".repeat(400));
    let good = r#"{"payment": {"amount": 1.50}}"#;
    // merchant, data, what the reason says
    let bad = [
        ("acme", large.as_str(), "1000"),
        ("acme", "{}", "field `amount`: nothing at /payment/amount"),
        (
            "acme",
            r#"{"payment": 5}"#,
            "field `amount`: nothing at /payment/amount",
        ),
        (
            "acme",
            "[1, 2]",
            "field `amount`: nothing at /payment/amount",
        ),
        ("acme", deep.as_str(), "deeper than"),
        ("xml", "[1, 2]", "needs an object"),
        ("xml", "null", "needs an object"),
    ];
    let mut goods = vec![];
    let mut bads = vec![];
    for (merchant, data, reason) in bad {
        goods.push(database.publish("acme", "t1", "approved", good).await);
        let event = database.publish(merchant, "t1", "approved", data).await;
        bads.push((event, data, reason));
    }
    goods.push(database.publish("acme", "t1", "approved", good).await);

    for (event, data, reason) in bads {
        let delivery = database.reaches(event, "posting_error").await;
        assert_eq!(delivery.attempts, 0, "{data}");
        let said = delivery.reason.unwrap();
        assert!(said.contains(reason), "{data}: {said}");
    }
    for event in &goods {
        database.reaches(*event, "delivered").await;
    }
    assert_eq!(receiver.received(), goods.len() as u64);
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM posthorn.pending_deliveries")
            .await,
        0
    );
}

#[tokio::test]
async fn an_event_that_cannot_be_is_refused_without_a_value_of_it() {
    let database = Database::new().await;
    let canary = "canary-payload-31";
    let long = format!("{canary}{}", "x".repeat(1000));
    let data = format!("'{{\"{canary}\": \"{}\"}}'", "y".repeat(1_048_576));
    let cases = [
        (
            "NULL, 'k', 't', 's', '{}'",
            "the merchant of an event is NULL; it needs 1 to 1000 bytes",
        ),
        (
            "'', 'k', 't', 's', '{}'",
            "the merchant of an event is 0 bytes long",
        ),
        (
            &format!("'m', '{long}', 't', 's', '{{}}'"),
            "the kind of an event is 1017 bytes long",
        ),
        (
            &format!("'m', 'k', '{long}', 's', '{{}}'"),
            "the transaction_id of an event is 1017 bytes long",
        ),
        (
            &format!("'m', 'k', 't', '{long}', '{{}}'"),
            "the status of an event is 1017 bytes long",
        ),
        (
            &format!("'m', 'k', 't', 's', {data}"),
            "the data of an event is 10486",
        ),
        (
            "'m', 'k', 't', 's', NULL",
            "the data of an event is NULL; it needs 1 to 1048576 bytes",
        ),
    ];
    for (values, message) in cases {
        for insert in [
            format!(
                "INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data) VALUES ({values})"
            ),
            format!("SELECT posthorn.publish({values})"),
        ] {
            let error = database.try_execute(&insert).await.unwrap_err();
            let told = format!("{:?}", error.as_database_error().unwrap());
            assert!(told.contains(message), "{told}");
            // Nor with what PostgreSQL adds, which goes into its log.
            assert!(!told.contains(canary), "{told}");
            assert!(!told.contains("Failing row"), "{told}");
        }
    }
    let events: i64 = database.value("SELECT count(*) FROM posthorn.events").await;
    assert_eq!(events, 0);
}
