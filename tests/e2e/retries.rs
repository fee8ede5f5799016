//! What becomes of a delivery that does not arrive at first.

use std::time::Duration;

use chrono::{DateTime, Utc};
use posthorn::receiver::Behaviour;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Database, Delivery, PATIENCE, Worker, receiver, until};

#[derive(Debug, sqlx::FromRow)]
struct Attempt {
    number: i32,
    started_at: DateTime<Utc>,
    duration_us: i32,
    outcome: String,
    http_status: Option<i16>,
    reason: String,
    body: Option<String>,
}

async fn attempts(database: &Database, event: Uuid) -> Vec<Attempt> {
    sqlx::query_as(
        "SELECT number, started_at, duration_us, outcome::text, http_status, reason, body
           FROM posthorn.attempts WHERE event_id = $1 ORDER BY number",
    )
    .bind(event)
    .fetch_all(&database.pool)
    .await
    .unwrap()
}

/// What one case of the tables comes to.
struct Case {
    delivery: Delivery,
    attempts: Vec<Attempt>,
}

impl Case {
    /// Of each attempt its outcome and status.
    fn outcomes(&self) -> Vec<(&str, i16)> {
        let outcomes = self.attempts.iter();
        outcomes
            .map(|attempt| (attempt.outcome.as_str(), attempt.http_status.unwrap_or(0)))
            .collect()
    }

    /// The waits between the starts of the attempts.
    fn waits(&self) -> Vec<Duration> {
        let pairs = self.attempts.windows(2);
        pairs
            .map(|pair| (pair[1].started_at - pair[0].started_at).to_std().unwrap())
            .collect()
    }
}

/// One event, to an endpoint that behaves so, until it is in the state.
async fn case(behaviour: &str, settings: Value, state: &str) -> Case {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/hook", behaviour.parse().unwrap());
    let mut settings = settings;
    settings["url"] = receiver.url("/hook").into();
    if settings.get("retry").is_none() {
        settings["retry"] = "fixed".into();
        settings["retry_interval"] = "200ms".into();
    }
    database.subscribe("acme", "hook", settings).await;
    let _worker = Worker::start(&database, "").await;
    let event = database
        .publish("acme", "t1", "approved", r#"{"n": 1}"#)
        .await;
    let delivery = database.reaches(event, state).await;
    let attempts = attempts(&database, event).await;
    // Final is final, and told once.
    if state != "pending_retry" {
        assert_eq!(receiver.received(), attempts.len() as u64);
        assert_eq!(usize::try_from(delivery.attempts).unwrap(), attempts.len());
    }
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.number).collect();
    let expected: Vec<_> = (1..=delivery.attempts).collect();
    assert_eq!(numbers, expected);
    assert_eq!(database.deliveries(event).await.len(), 1);
    // A retry is the same message, byte for byte.
    for request in receiver.requests() {
        assert_eq!(request.body, r#"{"n": 1}"#);
        assert_eq!(request.headers["webhook-id"], event.to_string());
    }
    Case { delivery, attempts }
}

#[tokio::test]
async fn a_failure_is_retried_until_it_is_delivered() {
    let case = case("503,times=1,then=204", json!({}), "delivered").await;
    assert_eq!(case.outcomes(), [("status", 503), ("ok", 204)]);
    assert_eq!(case.delivery.reason, None);
    assert_eq!(case.attempts[0].reason, "503 Service Unavailable");
    assert!(
        case.waits()[0] >= Duration::from_millis(200),
        "{:?}",
        case.waits()
    );
}

#[tokio::test]
async fn fixed_retries_end_in_a_posting_error() {
    let case = case(
        "500",
        json!({"max_attempts": 5, "retry": "fixed", "retry_interval": "100ms"}),
        "posting_error",
    )
    .await;
    assert_eq!(case.outcomes(), [("status", 500); 5]);
    assert!(
        case.waits()
            .iter()
            .all(|wait| *wait >= Duration::from_millis(100))
    );
    let reason = case.delivery.reason.unwrap();
    assert!(reason.contains("5 of 5 attempts used"), "{reason}");
    assert!(case.attempts.iter().all(|attempt| attempt.duration_us > 0));
}

#[tokio::test]
async fn a_list_has_one_wait_after_each_attempt() {
    let delays = json!(["100ms", "800ms"]);
    let case = case(
        "500",
        json!({"retry": "list", "retry_delays": delays}),
        "posting_error",
    )
    .await;
    assert_eq!(case.outcomes(), [("status", 500); 3]);
    assert!(
        case.waits()[1] >= Duration::from_millis(800),
        "{:?}",
        case.waits()
    );
}

#[tokio::test]
async fn retry_after_lengthens_a_wait_within_the_cap() {
    let asks = "429,header=Retry-After: 2,times=1,then=200";
    let settings = json!({"retry": "fixed", "retry_interval": "50ms", "retry_cap": "1min"});
    let (honoured, capped, ignored) = tokio::join!(
        case(asks, settings.clone(), "delivered"),
        case(
            asks,
            json!({"retry": "fixed", "retry_interval": "50ms", "retry_cap": "1s"}),
            "delivered"
        ),
        case(
            "429,header=Retry-After: 3600,times=1,then=200",
            json!({"retry": "fixed", "retry_interval": "50ms", "retry_after": false}),
            "delivered"
        ),
    );
    assert!(
        honoured.waits()[0] >= Duration::from_secs(2),
        "{:?}",
        honoured.waits()
    );
    assert!(
        capped.waits()[0] >= Duration::from_secs(1),
        "{:?}",
        capped.waits()
    );
    assert_eq!(ignored.outcomes(), [("status", 429), ("ok", 200)]);
}

#[tokio::test]
async fn an_answer_that_gives_up_ends_it_at_once() {
    let case = case(
        "410",
        json!({"give_up_statuses": ["404", "410"]}),
        "posting_error",
    )
    .await;
    assert_eq!(case.outcomes(), [("status", 410)]);
    let reason = case.delivery.reason.unwrap();
    assert!(reason.contains("410 Gone"), "{reason}");
}

#[tokio::test]
async fn the_body_must_say_so_where_the_rule_asks() {
    let case = case(
        "200,body=no,times=1,then=500,body=RECEIVED,times=1,then=200,body= received\n",
        json!({"success_body": "RECEIVED"}),
        "delivered",
    )
    .await;
    assert_eq!(
        case.outcomes(),
        [("body_rule", 200), ("status", 500), ("ok", 200)]
    );
}

#[tokio::test]
async fn only_the_statuses_of_the_rule_are_a_success() {
    let case = case(
        "204,times=1,then=200",
        json!({"success_statuses": ["200"]}),
        "delivered",
    )
    .await;
    assert_eq!(case.outcomes(), [("status", 204), ("ok", 200)]);
}

#[tokio::test]
async fn no_retry_is_planned_beyond_max_age() {
    let settings = json!({"retry": "fixed", "retry_interval": "400ms", "max_age": "1s"});
    let case = case("500", settings, "posting_error").await;
    assert!(
        (1..=3).contains(&case.attempts.len()),
        "{:?}",
        case.outcomes()
    );
    let reason = case.delivery.reason.unwrap();
    assert!(reason.contains("older than 1 second"), "{reason}");
}

#[tokio::test]
async fn a_delivery_that_waits_says_when_it_is_due() {
    let case = case(
        "503",
        json!({"retry": "fixed", "retry_interval": "30min"}),
        "pending_retry",
    )
    .await;
    assert_eq!(case.delivery.attempts, 1);
    let reason = case.delivery.reason.unwrap();
    assert!(reason.contains("503"), "{reason}");
    let due = case.delivery.next_attempt_at.unwrap() - case.attempts[0].started_at;
    assert!((1800..1900).contains(&due.num_seconds()), "{due}");
}

#[tokio::test]
async fn what_the_endpoint_answered_is_kept() {
    let text = "an apology. ".repeat(400);
    let behaviour = format!(
        "drop,times=1,then=500,reason=Out for lunch,body={text},times=1,then=hang,times=1,then=200"
    );
    let case = case(
        &behaviour,
        json!({"retry": "fixed", "retry_interval": "50ms", "timeout": "500ms"}),
        "delivered",
    )
    .await;
    assert_eq!(
        case.outcomes(),
        [
            ("protocol", 0),
            ("status", 500),
            ("timeout", 0),
            ("ok", 200)
        ]
    );
    let [dropped, failed, hung, delivered] = &case.attempts[..] else {
        panic!()
    };
    assert_eq!(failed.reason, "500 Out for lunch");
    assert_eq!(failed.body.as_deref(), Some(&text[..2048]));
    assert!(!dropped.reason.is_empty());
    assert!(hung.reason.contains("time"), "{}", hung.reason);
    assert!(hung.duration_us >= 500_000, "{}", hung.duration_us);
    assert_eq!(delivered.body, None);
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_told_from_a_forbidden_one() {
    let database = Database::new().await;
    // Nobody listens on the port of a receiver that is gone.
    let gone = receiver().await.url("/");
    for (name, url) in [
        ("gone", gone.as_str()),
        ("private", "http://10.0.0.1/hook"),
        ("nowhere", "http://nowhere.invalid/hook"),
    ] {
        database
            .subscribe("acme", name, json!({"url": url, "max_attempts": 1}))
            .await;
    }
    let _worker = Worker::start(&database, "").await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.count_reaches("posting_error", 3).await;
    let outcomes: Vec<String> = database
        .value(&format!(
            "SELECT array_agg(s.name || ' ' || a.outcome ORDER BY s.name)
               FROM posthorn.attempts a JOIN posthorn.subscriptions s ON s.id = a.subscription_id
              WHERE event_id = '{event}'"
        ))
        .await;
    assert_eq!(outcomes, ["gone connect", "nowhere dns", "private refused"]);
}

#[tokio::test]
async fn an_endpoint_that_fails_for_long_recovers_by_itself() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let hook = receiver.on("/hook", Behaviour::status(http::StatusCode::BAD_GATEWAY));
    let settings =
        json!({"url": receiver.url("/hook"), "retry": "fixed", "retry_interval": "200ms"});
    database.subscribe("acme", "hook", settings).await;
    let worker = Worker::start(&database, "[lanes]\nbreaker_failures = 3").await;
    for number in 0..50 {
        database
            .publish("acme", &format!("t{number}"), "approved", "{}")
            .await;
    }
    // The breaker opens: not each of the fifty is tried again and again.
    hook.wait_for(5, PATIENCE).await.unwrap();
    until(PATIENCE, "an open breaker", async || {
        (worker.metric("posthorn_breakers_open").await > 0.0).then_some(())
    })
    .await;
    hook.behave(Behaviour::status(http::StatusCode::OK));
    database.count_reaches("delivered", 50).await;
    until(PATIENCE, "a closed breaker", async || {
        (worker.metric("posthorn_breakers_open").await < 0.5).then_some(())
    })
    .await;
}
