//! What arrives at the merchant, byte for byte.

use posthorn::receiver::Receiver;
use serde_json::json;

use crate::support::{Database, PATIENCE, Worker};

#[tokio::test]
async fn post_json_travels_byte_for_byte() {
    let database = Database::new().await;
    let receiver = Receiver::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    receiver.record(100);
    database
        .subscribe("acme", "hook", json!({"url": receiver.url("/hook")}))
        .await;
    let _worker = Worker::start(&database, "").await;
    let data = r#"{ "z": 1234.50,  "a": [1e3, null] }"#;
    let event = database.publish("acme", "t1", "approved", data).await;
    receiver.wait_for(1, PATIENCE).await.unwrap();
    database.reaches(event, "delivered").await;
    assert_eq!(receiver.requests()[0].body, data);
}
