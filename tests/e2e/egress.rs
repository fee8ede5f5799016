//! What a worker's configuration says of where requests may go.

use serde_json::json;

use crate::support::{Database, Setup, receiver};

#[tokio::test]
async fn loopback_is_refused_where_nothing_is_allowed_and_ports_where_they_are_not() {
    for (lines, url, reason) in [
        (
            "[egress]\nallow = []",
            "https://127.0.0.1:9/",
            "127.0.0.1:9: the egress policy forbids 127.0.0.1 (loopback)",
        ),
        (
            "[egress]\nallow = []",
            "https://localhost/",
            "localhost:443: the egress policy forbids",
        ),
        (
            "[egress]\nports = ['443', '8000-8999']",
            "http://127.0.0.1:9/",
            "127.0.0.1:9: the egress policy forbids port 9",
        ),
    ] {
        let database = Database::new().await;
        let once = json!({"url": url, "max_attempts": 1});
        database.subscribe("acme", "orders", once).await;
        let _worker = Setup::new(&database).toml(lines).start().await;
        let event = database.publish("acme", "t1", "approved", "{}").await;
        let found = database.reaches(event, "posting_error").await;
        let said = found.reason.unwrap();
        assert!(said.contains("1 of 1 attempts used"), "{said}");
        let attempt: String = database
            .value("SELECT outcome || ' ' || reason FROM posthorn.attempts")
            .await;
        assert!(
            attempt.starts_with("refused ") && attempt.contains(reason),
            "{attempt}"
        );
    }
}

#[tokio::test]
async fn no_environment_variable_sets_a_proxy() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let url = json!({"url": receiver.url("/hook"), "max_attempts": 1});
    database.subscribe("acme", "orders", url).await;
    let mut setup = Setup::new(&database);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        // Nobody listens there.
        setup = setup
            .env(name, "http://127.0.0.1:1")
            .env(&name.to_lowercase(), "http://127.0.0.1:1");
    }
    let _worker = setup.start().await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "delivered").await;
}

#[tokio::test]
async fn deliveries_wait_for_a_proxy_pool_that_the_worker_does_not_have() {
    let database = Database::new().await;
    let proxied = json!({"url": "https://receiver.example/", "proxy_pool": "dmz"});
    database.subscribe("acme", "orders", proxied).await;
    let worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    worker
        .logs("\"dmz\" is no proxy pool of this worker's; name an [[egress.proxy_pool]]")
        .await;
    database.reaches(event, "pending").await;
    let attempts: i64 = database
        .value("SELECT count(*) FROM posthorn.attempts")
        .await;
    assert_eq!(attempts, 0);
}
