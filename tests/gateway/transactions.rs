//! The status query (WIRE.md 4.7), and who may ask what.

use crate::client::{ask, http, json};
use crate::support::{Database, PATIENCE, Setup, posthorn, until};

#[tokio::test]
async fn a_merchant_asks_where_a_transaction_stands_and_how_it_came_there() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let gateway = running.gateway();
    let token = database.token("acme").await;
    let id = "8263a268-5388-492a-bca2-28e1ff4a69f0";
    for status in ["processing", "approved"] {
        database.publish("acme", id, status, "{}").await;
    }
    database.publish("other", id, "expired", "{}").await;
    for path in ["credit/transactions", "v1/transactions"] {
        let request = http()
            .get(format!("{gateway}/{path}/{id}"))
            .bearer_auth(&token);
        let answer = json(request).await;
        assert_eq!(answer["id"], id);
        assert_eq!(answer["status"], "approved");
        let history = answer["history"].as_array().unwrap();
        let statuses: Vec<_> = history.iter().map(|change| &change["status"]).collect();
        assert_eq!(statuses, ["processing", "approved"]);
        assert!(history[0]["created_at"].as_str() < history[1]["created_at"].as_str());
    }
    let odd = "a/b c?d";
    database.publish("acme", odd, "approved", "{}").await;
    let request = http()
        .get(format!("{gateway}/v1/transactions/a%2Fb%20c%3Fd"))
        .bearer_auth(&token);
    assert_eq!(json(request).await["id"], odd);
}

#[tokio::test]
async fn an_unknown_transaction_and_a_foreign_one_look_the_same() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let gateway = running.gateway();
    let token = database.token("acme").await;
    database.publish("other", "theirs", "approved", "{}").await;
    let mut answers = Vec::new();
    for id in ["theirs", "nobodys", "a%00b"] {
        let response = http()
            .get(format!("{gateway}/v1/transactions/{id}"))
            .bearer_auth(&token)
            .send()
            .await
            .unwrap();
        let mut headers = response.headers().clone();
        headers.remove("date");
        answers.push((response.status(), headers, response.text().await.unwrap()));
    }
    assert_eq!(answers[0].0, 404);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0], answers[2]);
}

#[tokio::test]
async fn a_token_is_good_until_it_is_revoked_or_its_time_is_over() {
    let database = Database::new().await;
    let running = Setup::gateway(&database).start().await;
    let gateway = running.gateway();
    database.publish("acme", "t1", "approved", "{}").await;
    let named = |action: &'static str, name: &'static str| {
        vec![
            "token",
            action,
            "--merchant",
            "acme",
            "--name",
            name,
            "--database-url",
            &database.url,
        ]
    };
    let (status, said) = posthorn(&named("issue", "crm")).await;
    assert!(status.success(), "{said}");
    let token = said.trim();
    let mut short = named("issue", "short");
    short.extend(["--lifetime", "1ms"]);
    let (_, expired) = posthorn(&short).await;
    let asks = async |token: &str| {
        let request = http()
            .get(format!("{gateway}/v1/transactions/t1"))
            .bearer_auth(token);
        ask(request).await.0
    };
    assert_eq!(asks(token).await, 200);
    assert_eq!(asks(expired.trim()).await, 401);
    assert_eq!(asks("pht_unknown").await, 401);
    let session = database.session("acme", "t1", "").await;
    assert_eq!(asks(&session).await, 401, "a session is no merchant");
    let without = http().get(format!("{gateway}/v1/transactions/t1"));
    assert_eq!(ask(without).await.0, 401);

    let (status, said) = posthorn(&named("issue", "crm")).await;
    assert!(
        !status.success() && said.contains("a token of this name already"),
        "{said}"
    );
    let (status, _) = posthorn(&named("revoke", "crm")).await;
    assert!(status.success());
    until(
        PATIENCE,
        "a token that opens nothing any more",
        async || (asks(token).await == 401).then_some(()),
    )
    .await;
    let (status, _) = posthorn(&named("revoke", "crm")).await;
    assert!(!status.success(), "there is none to revoke");
}
