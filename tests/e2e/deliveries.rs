//! `posthorn deliveries`: support's question, by every filter, and by plain SQL.

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};
use uuid::Uuid;

use crate::support::{Database, PATIENCE, Setup, posthorn, receiver, until};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/SUPPORT.md");

async fn ask(database: &Database, arguments: &[&str]) -> String {
    let url = ["--database-url", &database.url];
    let (status, said) = posthorn(&[&["deliveries"], arguments, &url].concat()).await;
    assert!(status.success(), "{said}");
    said
}

/// The transactions of the deliveries that are listed, in their order.
async fn transactions(database: &Database, arguments: &[&str]) -> Vec<String> {
    let said = ask(database, &[arguments, &["--json"]].concat()).await;
    let lines = said.lines().map(serde_json::from_str::<Value>);
    lines
        .map(|line| line.unwrap()["transaction_id"].as_str().unwrap().to_owned())
        .collect()
}

/// Ledger rows without a worker: an event each, the first one oldest.
async fn ended(database: &Database, merchant: &str, subscription: Uuid, states: &[&str]) {
    for (number, state) in states.iter().enumerate() {
        let event = database
            .publish(merchant, &format!("T-{}", number + 1), "approved", "{}")
            .await;
        let reason = if *state == "delivered" {
            "NULL"
        } else {
            "'gave up'"
        };
        let (outcome, http) = match *state {
            "delivered" => ("ok", "200"),
            _ => ("status", "503"),
        };
        database
            .execute(&format!(
                "INSERT INTO posthorn.deliveries (event_id, subscription_id, attempts, state, reason)
                 VALUES ('{event}', '{subscription}', 1, '{state}', {reason});
                 INSERT INTO posthorn.attempts (event_id, subscription_id, number, started_at,
                        duration_us, outcome, http_status, reason)
                 VALUES ('{event}', '{subscription}', 1, now(), 1, '{outcome}', {http}, 'because')"
            ))
            .await;
    }
}

#[tokio::test]
async fn support_sees_what_the_merchant_got_and_when() {
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/down", "503".parse().unwrap());
    let up = json!({"url": receiver.url("/"), "labels": {"delivered": "posted"}});
    let down = json!({"url": receiver.url("/down"), "retry": "fixed", "retry_interval": "1h"});
    database.subscribe("acme", "orders", up).await;
    database.subscribe("acme", "down\u{1b}[31m", down).await;
    let _worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "T-1", "approved", "{}").await;
    until(PATIENCE, "both tried", async || {
        let states = database.deliveries(event).await;
        (states.len() == 2 && states.iter().all(|it| it.attempts == 1)).then_some(())
    })
    .await;

    let said = ask(&database, &["--merchant", "acme", "--transaction", "T-1"]).await;
    let line = |name: &str| said.lines().find(|line| line.contains(name)).unwrap();
    let delivered: Vec<&str> = line("orders").split_whitespace().collect();
    assert_eq!(
        delivered[1..8],
        ["acme", "orders", "T-1", "approved", "posted", "1", "200"]
    );
    let year: i32 = database.value("SELECT extract(year FROM now())::int").await;
    assert!(delivered[8].starts_with(&year.to_string()), "when: {said}");
    assert!(
        line("down").contains("pending_retry  1      503   due "),
        "{said}"
    );
    assert!(line("down").contains("503 Service Unavailable"), "{said}");
    assert!(!said.contains('\u{1b}'), "{said:?}");

    let listed = transactions(&database, &["--state", "POSTED", "--merchant", "acme"]).await;
    assert_eq!(listed, ["T-1"]);
    let both = ["--state", "posted", "--state", "pending_retry"];
    assert_eq!(transactions(&database, &both).await, ["T-1", "T-1"]);
    let open = ask(&database, &["--state", "pending_retry", "--json"]).await;
    let open: Value = serde_json::from_str(open.trim()).unwrap();
    assert_eq!(open["last_http_status"], 503);
    assert_eq!(open["event_id"], event.to_string());
    assert_eq!(open["finished_at"], Value::Null);
}

#[tokio::test]
async fn each_filter_narrows_and_pages_go_on_where_the_last_one_ended() {
    let database = Database::new().await;
    let acme = database
        .subscribe("acme", "orders", json!({"url": "http://a/"}))
        .await;
    let other = database
        .subscribe("other", "orders", json!({"url": "http://a/"}))
        .await;
    let states = ["delivered", "posting_error", "cancelled", "delivered"];
    ended(&database, "acme", acme, &states).await;
    ended(&database, "other", other, &["superseded"]).await;

    let id = acme.to_string();
    for (arguments, expected) in [
        (
            &["--merchant", "acme"][..],
            &["T-4", "T-3", "T-2", "T-1"][..],
        ),
        (&["--subscription", &id], &["T-4", "T-3", "T-2", "T-1"]),
        (
            &["--subscription", "orders", "--transaction", "T-1"],
            &["T-1", "T-1"],
        ),
        (&["--transaction", "T-1", "--merchant", "other"], &["T-1"]),
        (
            &[
                "--merchant",
                "acme",
                "--state",
                "posting_error",
                "--state",
                "cancelled",
            ],
            &["T-3", "T-2"],
        ),
        (&["--state", "superseded"], &["T-1"]),
        (
            &["--merchant", "acme", "--http-status", "200"],
            &["T-4", "T-1"],
        ),
        (
            &["--merchant", "acme", "--http-status", "500-599"],
            &["T-3", "T-2"],
        ),
        (&["--merchant", "acme", "--outcome", "ok"], &["T-4", "T-1"]),
        (&["--outcome", "timeout"], &[]),
        (
            &[
                "--merchant",
                "acme",
                "--since",
                "1h",
                "--until",
                "2100-01-01",
            ],
            &["T-4", "T-3", "T-2", "T-1"],
        ),
        (&["--until", "1h"], &[]),
        (&["--state", "pending"], &[]),
    ] {
        assert_eq!(
            transactions(&database, arguments).await,
            expected,
            "{arguments:?}"
        );
    }

    // By pages of one, as the table tells it.
    let mut seen = vec![];
    let mut after: Vec<String> = vec![];
    loop {
        let mut arguments = vec!["--merchant", "acme", "--limit", "1"];
        arguments.extend(after.iter().map(String::as_str));
        let said = ask(&database, &arguments).await;
        let Some((_, cursor)) = said.split_once("next page: --after ") else {
            assert_eq!(said, "no delivery is like that\n");
            break;
        };
        seen.push(
            said.lines()
                .nth(1)
                .unwrap()
                .split_whitespace()
                .nth(3)
                .unwrap()
                .to_owned(),
        );
        after = vec!["--after".to_owned(), cursor.trim().to_owned()];
    }
    assert_eq!(seen, ["T-4", "T-3", "T-2", "T-1"]);
}

#[tokio::test]
async fn what_cannot_be_looked_for_is_named_with_its_remedy() {
    let database = Database::new().await;
    database
        .subscribe("acme", "orders", json!({"url": "http://a/"}))
        .await;
    for (arguments, code, expected) in [
        (
            &["--merchant", "acmee"][..],
            1,
            "the merchant \"acmee\" has no subscription",
        ),
        (
            &["--merchant", "acme", "--subscription", "order"],
            1,
            "no subscription \"order\"; there is orders",
        ),
        (
            &["--state", "lost"],
            1,
            "give one of pending, pending_retry, delivered",
        ),
        (&["--event", "7"], 2, "--event"),
        (&["--http-status", "5xx"], 2, "a range such as 500-599"),
        (&["--outcome", "slow"], 2, "give one of ok, status"),
        (&["--since", "yesterday"], 2, "an age such as 2h"),
        (
            &["--since", "1h", "--until", "2h"],
            1,
            "--since is not before --until",
        ),
        (&["--limit", "0"], 2, "1..=10000"),
        (&["--after", "x"], 2, "as a page ends with it"),
    ] {
        let url = ["--database-url", &database.url];
        let (status, said) = posthorn(&[&["deliveries"], arguments, &url].concat()).await;
        assert_eq!(status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn every_query_of_the_support_page_runs_with_a_viewers_rights() {
    let database = Database::new().await;
    let acme = database
        .subscribe("acme", "orders", json!({"url": "http://a/"}))
        .await;
    ended(&database, "acme", acme, &["delivered", "posting_error"]).await;
    database
        .execute("CREATE SCHEMA shop; CREATE TABLE shop.payments (id text PRIMARY KEY, merchant text, status text)")
        .await;
    let attach = "source attach shop.payments --merchant merchant --id id --status status";
    let attach: Vec<&str> = attach.split(' ').collect();
    let (status, said) =
        posthorn(&[&attach[..], &["--database-url", &database.url]].concat()).await;
    assert!(status.success(), "{said}");
    database
        .execute(
            "INSERT INTO posthorn.source_comparisons (source, started_at) VALUES ('payments', now());
             INSERT INTO posthorn.source_differences (source, merchant, transaction_id, kind, status)
             VALUES ('payments', 'acme', 'T-1', 'payments', 'paid')",
        )
        .await;
    let role = database.login("support").await;
    database.grant("--viewer", &role).await;
    let mut connection = PgConnection::connect(&database.url_of(&role))
        .await
        .unwrap();
    let page = std::fs::read_to_string(DOCUMENT).unwrap();
    let queries: Vec<&str> = page
        .split("```sql\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(queries.len() >= 8, "{}", queries.len());
    for query in queries {
        let rows = connection
            .fetch_all(sqlx::raw_sql(AssertSqlSafe(query.to_owned())))
            .await;
        let rows = rows.unwrap_or_else(|error| panic!("{query}: {error}"));
        if query.contains("'T-1'") {
            assert_eq!(rows.len(), 1, "{query}");
            assert_eq!(rows[0].get::<String, _>("transaction_id"), "T-1");
        }
    }
}
