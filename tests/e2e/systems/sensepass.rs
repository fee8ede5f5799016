//! SensePass's callback (WIRE.md 3).

use std::io::Write;
use std::process::{Command, Stdio};

use posthorn::receiver::Received;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{arrived, header};
use crate::support::{Database, Setup, receiver};

const KEY: &str = "sensepass callback key";

/// The page's Transaction entity, shortened; its keys, numbers and spelling stay.
fn entity(settlement: u8) -> String {
    let confirmation = if settlement == 2 {
        r#", "confirmation": "091239831""#
    } else {
        ""
    };
    format!(
        r#"{{
  "TransactionNumber": "14a4334a32c852aeb0cfae52cbff1314649da7f175a8e140b35c147c",
  "amount": 1234.50,
  "status": 0,
  "statusName": "Transaction Approved",
  "posData": {{ "foo": "bar", "hello": [ "world" ] }},
  "paymentCommit": {{ "messsage": "Payment commit is enabled", "secondsToCommit": 60 }},
  "confirmations": [ {{ "paymentType": "Regular", "settlement": {{ "status": {settlement}{confirmation} }} }} ]
}}"#
    )
}

async fn publish(database: &Database, merchant: &str, data: &str, callback: Option<Value>) -> Uuid {
    sqlx::query_scalar(
        "SELECT posthorn.publish($1, 'transaction', '14a4334a', '0', $2::json, $3::json)",
    )
    .bind(merchant)
    .bind(data)
    .bind(callback.map(|callback| callback.to_string()))
    .fetch_one(&database.pool)
    .await
    .unwrap()
}

/// HMAC-SHA256 over the random key and the body, by Python's library.
fn signature(request: &Received) -> String {
    let program = "import hashlib, hmac, sys\n\
                   print(hmac.new(sys.argv[1].encode(), sys.stdin.buffer.read(), hashlib.sha256).hexdigest())";
    let mut python = Command::new("python3")
        .args(["-c", program, KEY])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let message = [header(request, "hmac-random-key").as_bytes(), &request.body].concat();
    python.stdin.take().unwrap().write_all(&message).unwrap();
    let output = python.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn every_event_is_called_back_as_it_was_published_and_signed() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/callback", "500,times=1,then=200".parse().unwrap());
    let settings = json!({
        "profile": "sensepass", "url": receiver.url("/callback"), "signing_secrets": ["env:KEY"], "retry_interval": "100ms",
    });
    database.subscribe("cafe", "callback", settings).await;
    let _worker = Setup::new(&database).env("KEY", KEY).start().await;
    // The status stays as it is while the settlement moves on: both notify.
    for settlement in [0, 2] {
        let event = publish(&database, "cafe", &entity(settlement), None).await;
        database.reaches(event, "delivered").await;
    }
    let requests = arrived(&receiver, "/callback");
    assert_eq!(requests.len(), 3);
    for (request, settlement) in requests.iter().zip([0, 0, 2]) {
        assert_eq!(request.body, entity(settlement), "byte for byte");
        assert_eq!(header(request, "content-type"), "application/json");
        assert_eq!(header(request, "hmac-authorization"), signature(request));
        assert!(header(request, "hmac-random-key").len() >= 16);
    }
    assert_ne!(
        header(&requests[0], "hmac-random-key"),
        header(&requests[1], "hmac-random-key"),
        "a fresh key for each attempt"
    );
}

#[tokio::test]
async fn a_transaction_brings_its_callback_url() {
    let database = Database::new().await;
    let receiver = receiver().await;
    for (name, profile) in [("post", "sensepass"), ("get", "sensepass-get")] {
        let settings =
            json!({"profile": profile, "scope": "transaction", "signing_secrets": ["env:KEY"]});
        database.subscribe("cafe", name, settings).await;
    }
    let _worker = Setup::new(&database).env("KEY", KEY).start().await;
    let by_get = json!({"callbackURL": receiver.url("/get?order=5"), "callbackMethod": "GET"});
    let event = publish(&database, "cafe", &entity(0), Some(by_get)).await;
    database.reaches(event, "delivered").await;
    let get = &arrived(&receiver, "/get")[0];
    assert_eq!(get.method, "GET");
    assert_eq!(
        get.path_and_query,
        "/get?order=5&TransactionNumber=14a4334a&callbackType=transaction_status"
    );
    assert!(get.body.is_empty());
    assert_eq!(header(get, "hmac-authorization"), signature(get));

    let by_post = json!({"callbackURL": receiver.url("/post")});
    let event: Uuid = sqlx::query_scalar(
        "SELECT posthorn.publish('cafe', 'transaction', 'another', '0', $1::json, $2::json)",
    )
    .bind(entity(1))
    .bind(by_post.to_string())
    .fetch_one(&database.pool)
    .await
    .unwrap();
    database.reaches(event, "delivered").await;
    let post = &arrived(&receiver, "/post")[0];
    assert_eq!(post.body, entity(1));
    assert_eq!(header(post, "hmac-authorization"), signature(post));
    assert_eq!(receiver.received(), 2);
}
