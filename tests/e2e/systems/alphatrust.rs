//! AlphaTrust's event subscriptions (WIRE.md 5).

use serde_json::{Value, json};
use uuid::Uuid;

use super::{arrived, attempts, header};
use crate::support::{Database, PATIENCE, Worker, receiver, until};

/// Publishes a status as AlphaTrust's platform would, with the transaction's workflow
/// actions as they stand when it is created.
async fn publish(
    database: &Database,
    transaction: &str,
    status: &str,
    actions: Option<Value>,
) -> Uuid {
    sqlx::query_scalar("SELECT posthorn.publish('signer', 'transaction', $1, $2, '{}', $3::json)")
        .bind(transaction)
        .bind(status)
        .bind(actions.map(|actions| actions.to_string()))
        .fetch_one(&database.pool)
        .await
        .unwrap()
}

fn action(method: &str, url: &str) -> Value {
    json!({
        "Type": format!("SubscribeToStatusChangeNotificationsBy{method}"),
        "Data": "required-response-text=RECEIVED;timeout=90;retry=1",
        "Url": url,
    })
}

/// The fields of a message, its token apart.
fn fields(text: &str) -> (Vec<(String, String)>, String) {
    let mut pairs: Vec<(String, String)> = url::form_urlencoded::parse(text.as_bytes())
        .into_owned()
        .collect();
    let (name, token) = pairs.pop().unwrap();
    assert_eq!(name, "ps_securitytoken");
    (pairs, token)
}

fn expected(transaction: &str, status: &str) -> Vec<(String, String)> {
    [
        ("TransID", transaction),
        ("TXStatus", status),
        ("EventType", "transaction"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

#[tokio::test]
async fn a_transaction_subscribes_by_its_workflow_actions() {
    let database = Database::new().await;
    let receiver = receiver().await;
    for path in ["/statuslistener.php", "/statuslistener.aspx"] {
        receiver.on(
            path,
            "200,times=1,then=200,body=received\n".parse().unwrap(),
        );
    }
    let settings = json!({"profile": "alphatrust", "retry_interval": "200ms"});
    database
        .subscribe("signer", "notifications", settings)
        .await;
    let _worker = Worker::start(&database, "").await;
    let actions = json!([
        action("Post", &receiver.url("/statuslistener.php")),
        action("Get", &receiver.url("/statuslistener.aspx?shop=7")),
    ]);
    let created = publish(&database, "1234567890", "Pending", Some(actions)).await;
    let both = async |event: Uuid| {
        until(PATIENCE, "both delivered", async || {
            let seen = database.deliveries(event).await;
            (seen.len() == 2 && seen.iter().all(|delivery| delivery.state == "delivered"))
                .then_some(())
        })
        .await;
    };
    both(created).await;
    // 200 without the text is a failure, and the text counts in any letter case.
    let mut outcomes: Vec<_> = attempts(&database, created, "notifications").await;
    outcomes.sort();
    let of = |outcome: &str, reason: &str| (outcome.to_owned(), reason.to_owned());
    let failed = of("body_rule", "200 OK, but the body is not the required text");
    assert_eq!(
        outcomes,
        [
            failed.clone(),
            failed,
            of("ok", "200 OK"),
            of("ok", "200 OK")
        ]
    );

    // A suspend leaves the status as it is, and sends nothing; a cancel notifies.
    let suspended = publish(&database, "1234567890", "Pending", None).await;
    let cancelled = publish(&database, "1234567890", "Cancelled", None).await;
    // A transaction without actions is nobody's.
    let other = publish(&database, "1000123456", "Complete", None).await;
    both(cancelled).await;
    assert_eq!(database.deliveries(suspended).await.len(), 0);
    assert_eq!(database.deliveries(other).await.len(), 0);

    let posts = arrived(&receiver, "/statuslistener.php");
    assert_eq!(posts.len(), 3);
    for (post, status) in posts.iter().zip(["2", "2", "8"]) {
        assert_eq!(post.method, "POST");
        assert_eq!(
            header(post, "content-type"),
            "application/x-www-form-urlencoded"
        );
        let (pairs, token) = fields(std::str::from_utf8(&post.body).unwrap());
        assert_eq!(pairs, expected("1234567890", status));
        assert!(Uuid::parse_str(&token).is_ok(), "{token} is no GUID");
    }
    assert_eq!(posts[0].body, posts[1].body, "the same message again");
    let gets = arrived(&receiver, "/statuslistener.aspx");
    assert_eq!(gets.len(), 3);
    for (get, status) in gets.iter().zip(["2", "2", "8"]) {
        assert_eq!(get.method, "GET");
        assert!(get.body.is_empty());
        let query = get
            .path_and_query
            .strip_prefix("/statuslistener.aspx?shop=7&")
            .unwrap();
        assert_eq!(fields(query).0, expected("1234567890", status));
    }
}
