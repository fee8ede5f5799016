//! What the gateway does not let one client do.

use serde_json::Value;

use crate::client::{Stream, ask, http};
use crate::support::{Database, Setup, Worker};

async fn started(database: &Database, toml: &str) -> Worker {
    Setup::gateway(database)
        .toml(&format!("[gateway]\n{toml}"))
        .start()
        .await
}

#[tokio::test]
async fn each_token_and_each_address_has_its_rate() {
    let database = Database::new().await;
    let token = database.token("acme").await;
    let other = database.token("acme").await;
    let running = started(&database, "rate_per_token = 2").await;
    let asks = async |token: &str| {
        let request = http()
            .get(format!("{}/v1/transactions/t1", running.gateway()))
            .bearer_auth(token);
        let response = request.send().await.unwrap();
        let after = response.headers().get("retry-after").cloned();
        (response.status().as_u16(), after)
    };
    let mut refused = None;
    for _ in 0..10 {
        let (status, after) = asks(&token).await;
        if status == 429 {
            refused = after;
            break;
        }
    }
    assert_eq!(refused.unwrap(), "1");
    assert_eq!(asks(&other).await.0, 404);
    assert!(
        running
            .metric("posthorn_gateway_refused_total{reason=\"too_many\"}")
            .await
            >= 1.0
    );

    let running = started(
        &database,
        "rate_per_address = 2\ntrusted_proxies = ['127.0.0.0/8']",
    )
    .await;
    let from = async |forwarded: &'static str| {
        let request = http()
            .get(format!("{}/v1/session", running.gateway()))
            .header("X-Forwarded-For", forwarded);
        ask(request).await.0
    };
    let mut statuses = Vec::new();
    for _ in 0..10 {
        // What a client writes there itself does not make it another one.
        statuses.push(from("198.51.100.7, 203.0.113.5").await);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(from("203.0.113.6").await, 401);
}

#[tokio::test]
async fn a_token_has_so_many_streams_open_and_no_more() {
    let database = Database::new().await;
    let token = database.token("acme").await;
    let running = started(&database, "max_open_per_token = 2").await;
    let request = || {
        http()
            .get(format!("{}/v1/events?after=now", running.gateway()))
            .bearer_auth(&token)
    };
    let mut first = Stream::open(request()).await;
    let mut second = Stream::open(request()).await;
    first.message().await.unwrap();
    second.message().await.unwrap();
    let third = request().header("Accept", "text/event-stream");
    assert_eq!(ask(third).await.0, 429);
}

#[tokio::test]
async fn what_is_too_large_or_no_request_is_refused() {
    let database = Database::new().await;
    let running = started(&database, "").await;
    let gateway = running.gateway();
    let large = "x".repeat(100_000);
    for (path, form) in [
        ("payment/NVP.aspx", "responseCode=too_large"),
        ("v1/security-token", "\"too_large\""),
        ("Forms/WebServices/SSOService.asmx", "<faultcode>s:Client"),
    ] {
        let request = http().post(format!("{gateway}/{path}")).body(large.clone());
        let (status, body) = ask(request).await;
        assert_eq!(status, 413, "{path}: {body}");
        assert!(body.contains(form), "{path}: {body}");
    }
    let long = http().get(format!("{gateway}/v1/session?token={}", &large[..30_000]));
    assert_eq!(ask(long).await.0, 431);
    let nowhere = ask(http().get(format!("{gateway}/admin"))).await;
    assert_eq!(nowhere.0, 404);
    let error: Value = serde_json::from_str(&nowhere.1).unwrap();
    assert_eq!(error["error"]["code"], "not_found");
    let method = http().delete(format!("{gateway}/v1/events"));
    assert_eq!(ask(method).await.0, 405);
}

#[tokio::test]
async fn only_pages_of_allowed_origins_may_read_answers() {
    let database = Database::new().await;
    let running = started(&database, "allowed_origins = ['https://shop.example']").await;
    let asked_by = async |origin: &'static str| {
        let request = http()
            .get(format!("{}/v1/session", running.gateway()))
            .header("Origin", origin);
        let response = request.send().await.unwrap();
        let allowed = response.headers().get("access-control-allow-origin");
        allowed.map(|origin| origin.to_str().unwrap().to_owned())
    };
    assert_eq!(
        asked_by("https://shop.example").await.as_deref(),
        Some("https://shop.example")
    );
    assert_eq!(asked_by("https://evil.example").await, None);
    for (origin, expected) in [
        ("https://shop.example", 200),
        ("https://evil.example", 400),
        ("*", 400),
    ] {
        let page = http().get(format!("{}/v1/listen?origin={origin}", running.gateway()));
        assert_eq!(ask(page).await.0, expected, "{origin}");
    }
}

/// Neither a token nor what an event holds is anybody's to read in a log.
#[tokio::test]
async fn no_token_and_no_payload_reaches_the_log_or_the_metrics() {
    let database = Database::new().await;
    let running = Setup::gateway(&database)
        .toml("[log]\nlevel = 'trace'")
        .start()
        .await;
    let gateway = running.gateway();
    let token = database.session("acme", "t1", "").await;
    let merchant = database.token("acme").await;
    database
        .publish("acme", "t1", "approved", r#"{"patient": "Hunter Two"}"#)
        .await;
    for request in [
        http().get(format!("{gateway}/v1/session?wait=30s&token={token}")),
        http().get(format!("{gateway}/v1/session/events?token={token}")),
        http()
            .get(format!("{gateway}/v1/events"))
            .bearer_auth(&merchant),
        http()
            .post(format!("{gateway}/payment/NVP.aspx"))
            .body(format!(
                "transactionAction=ViewReceipt&singleSignOnToken={token}"
            )),
    ] {
        assert_eq!(ask(request).await.0, 200);
    }
    let seen = running.log() + &running.metrics().await;
    for secret in [&token[4..], &merchant[4..], "Hunter"] {
        assert!(!seen.contains(secret));
    }
}
