//! A gateway needs no more rights than `posthorn grant --gateway` gives.

use serde_json::json;

use crate::client::{ask, http, json};
use crate::support::{Database, Setup};

#[tokio::test]
async fn a_gateway_does_all_it_does_with_its_own_roles_rights() {
    let database = Database::new().await;
    let role = database.login("gateway_of").await;
    database.grant("--gateway", &role).await;
    let url = database.url_of(&role);
    let running = Setup::gateway(&database)
        .toml(&format!("[database]\nurl = '{url}'"))
        .start()
        .await;
    let gateway = running.gateway();
    let token = database.token("acme").await;
    let data = r#"{"transactionID": "t1"}"#;
    let subscription = database
        .subscribe("acme", "s", json!({ "url": "https://acme.example/" }))
        .await;
    let event = database.publish("acme", "t1", "approved", data).await;

    let page = json(
        http()
            .get(format!("{gateway}/v1/events?wait=30s"))
            .bearer_auth(&token),
    );
    assert_eq!(page.await["events"][0]["id"], event.to_string());
    let found = http()
        .get(format!("{gateway}/v1/transactions/t1"))
        .bearer_auth(&token);
    assert_eq!(json(found).await["status"], "approved");
    let issue = http()
        .post(format!("{gateway}/v1/sessions"))
        .bearer_auth(&token)
        .body(json!({ "transaction": "t1" }).to_string());
    let (status, issued) = ask(issue).await;
    assert_eq!(status, 201, "{issued}");
    let issued: serde_json::Value = serde_json::from_str(&issued).unwrap();
    let session = issued["token"].as_str().unwrap();
    let details = http()
        .post(format!("{gateway}/payment/NVP.aspx"))
        .body(format!(
            "transactionAction=ViewReceipt&singleSignOnToken={session}"
        ));
    assert_eq!(ask(details).await, (200, "transactionID=t1".to_owned()));
    let nothing = http()
        .post(format!("{gateway}/v1/security-token"))
        .body(format!("TransID=t1&ps_securitytoken={subscription}"));
    assert_eq!(ask(nothing).await.0, 404);
    for forbidden in [
        "SELECT url FROM posthorn.subscriptions",
        "SELECT * FROM posthorn.secrets",
        "INSERT INTO posthorn.events (merchant, kind, transaction_id, status) VALUES ('a', 'b', 'c', 'd')",
        "SELECT posthorn.issue_token('acme', 'more')",
    ] {
        let theirs = Database::connect(&database.name, url.clone());
        assert!(theirs.try_execute(forbidden).await.is_err(), "{forbidden}");
    }
}
