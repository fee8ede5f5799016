//! What a worker would not send is not said to be sendable.

use serde_json::json;

use crate::support::{Database, Setup, posthorn, receiver};

#[tokio::test]
async fn commands_and_replays_hold_to_the_largest_payload() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let id = database
        .subscribe("acme", "hook", json!({"url": receiver.url("/")}))
        .await;
    let data = format!("{{\"text\": \"{}\"}}", "x".repeat(2_000));
    let event = database
        .publish("acme", "T-1", "approved", &data)
        .await
        .to_string();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.toml");
    let bound = "[worker]\nmax_data_bytes = 1000\n[egress]\nallow = ['127.0.0.0/8']\n";
    std::fs::write(
        &path,
        format!("[database]\nurl = '{}'\n{bound}", database.url),
    )
    .unwrap();
    let config = path.to_str().unwrap();
    let reason = "the event's data has 2012 bytes; worker.max_data_bytes allows 1000";
    for command in ["render", "send-test"] {
        for what in [["--event", &event], ["--data", &data]] {
            let (status, said) =
                posthorn(&[command, "acme/hook", "--config", config, what[0], what[1]]).await;
            assert_eq!(status.code(), Some(1), "{said}");
            assert!(said.contains(reason), "{said}");
        }
    }

    // A row that is open already comes from the database, and not by the feed.
    database
        .execute(&format!(
            "INSERT INTO posthorn.pending_deliveries (event_id, subscription_id, state, due_at, shard, transaction_id)
             SELECT id, '{id}', 'pending', now(), shard, transaction_id FROM posthorn.events"
        ))
        .await;
    let _worker = Setup::new(&database)
        .toml("worker.max_data_bytes = 1000")
        .start()
        .await;
    let delivery = database
        .reaches(event.parse().unwrap(), "posting_error")
        .await;
    assert_eq!(delivery.reason.as_deref(), Some(reason));
    assert_eq!(receiver.received(), 0);
}
