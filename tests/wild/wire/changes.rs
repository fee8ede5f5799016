//! `emit = "change"` is about what the receiver sees.

use serde_json::json;

use crate::support::{Database, PATIENCE, Worker, posthorn, receiver};

#[tokio::test]
async fn two_statuses_that_are_sent_alike_are_no_change() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let mapped = json!([{"name": "TXStatus", "source": "status", "map": {"Pending": 2, "Waiting": "2", "Complete": 4}}]);
    let lower = json!([{"name": "status", "source": "status", "format": "lower"}]);
    for (name, fields) in [
        ("mapped", Some(mapped)),
        ("lower", Some(lower)),
        ("raw", None),
    ] {
        let mut settings = json!({"url": receiver.url(&format!("/{name}")), "emit": "change", "order": "transaction"});
        if let Some(fields) = fields {
            settings["fields"] = fields;
        }
        database.subscribe("acme", name, settings).await;
    }
    let worker = Worker::start(&database, "").await;
    for status in [
        "Pending", "2", "Waiting", "waiting", "Complete", "Complete", "Pending",
    ] {
        database.publish("acme", "T-1", status, "{}").await;
    }
    database.count_reaches("delivered", 4 + 5 + 6).await;
    receiver.wait_for(15, PATIENCE).await.unwrap();
    let requests = receiver.requests();
    let bodies = |path: &str| {
        let of = requests.iter().filter(|it| it.path_and_query == path);
        of.map(|it| String::from_utf8(it.body.to_vec()).unwrap())
            .collect::<Vec<_>>()
    };
    // An unknown status travels as it is, and is another one.
    let status = |word: &str| format!("{{\"TXStatus\":\"{word}\"}}");
    assert_eq!(bodies("/mapped"), ["2", "waiting", "4", "2"].map(status));
    let status = |word: &str| format!("{{\"status\":\"{word}\"}}");
    assert_eq!(
        bodies("/lower"),
        ["pending", "2", "waiting", "complete", "pending"].map(status)
    );
    assert_eq!(bodies("/raw").len(), 6);

    // The audit asks the same question.
    drop(worker);
    let (status, said) =
        posthorn(&["audit", "--since", "1h", "--database-url", &database.url]).await;
    assert!(status.success(), "{said}");
}
