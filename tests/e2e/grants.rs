//! Each part of the system has just the rights that it needs.

use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::support::{Database, PATIENCE, Setup, posthorn, receiver, until};

/// Makes a role, and grants it a part with the command that operators use.
async fn role(database: &Database, part: &str) -> String {
    let role = database.login(part).await;
    // Twice, as after each migration.
    for _ in 0..2 {
        database.grant(&format!("--{part}"), &role).await;
    }
    role
}

/// Which of the statements the role may not run.
async fn refused<'a>(database: &Database, role: &str, statements: &[&'a str]) -> Vec<&'a str> {
    let mut connection = PgConnection::connect(&database.url_of(role)).await.unwrap();
    let mut refused = vec![];
    for statement in statements {
        let sql = sqlx::raw_sql(AssertSqlSafe((*statement).to_owned()));
        match connection.execute(sql).await {
            Ok(_) => {}
            // insufficient_privilege
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => {
                refused.push(*statement);
            }
            Err(error) => panic!("{statement}: {error}"),
        }
    }
    refused
}

#[tokio::test]
async fn a_part_that_is_not_remembered_is_not_given() {
    let database = Database::new().await;
    let role = database.login("forgotten").await;
    database
        .execute(
            "CREATE FUNCTION posthorn.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
             CREATE TRIGGER swallow BEFORE INSERT ON posthorn.grantees FOR EACH ROW EXECUTE FUNCTION posthorn.swallow()",
        )
        .await;
    let (status, said) =
        posthorn(&["grant", "--viewer", &role, "--database-url", &database.url]).await;
    assert!(!status.success(), "{said}");
    let expected = "of 1 rows of posthorn.grantees that were to change, the database changed 0";
    assert!(said.contains(expected), "{said}");
    let look = ["SELECT count(*) FROM posthorn.deliveries"];
    assert_eq!(refused(&database, &role, &look).await, look);
}

#[tokio::test]
async fn a_publisher_may_append_events_and_nothing_else() {
    let database = Database::new().await;
    let role = role(&database, "publisher").await;
    let allowed = [
        "SELECT posthorn.publish('acme', 'k', 't', 's')",
        "SELECT posthorn.publish('acme', 'k', 't', 's', '{\"a\": 1}')",
        "INSERT INTO posthorn.events (merchant, kind, transaction_id, status, data) VALUES ('acme', 'k', 't', 's', '{}')",
        "INSERT INTO posthorn.events (merchant, kind, transaction_id, status) VALUES ('acme', 'k', 't', 's')",
    ];
    assert_eq!(
        refused(&database, &role, &allowed).await,
        Vec::<&str>::new()
    );
    let forbidden = [
        "INSERT INTO posthorn.events (id, merchant, kind, transaction_id, status) VALUES (gen_random_uuid(), 'acme', 'k', 't', 's')",
        "INSERT INTO posthorn.events (xid, merchant, kind, transaction_id, status) VALUES ('3', 'acme', 'k', 't', 's')",
        "INSERT INTO posthorn.events (created_at, merchant, kind, transaction_id, status) VALUES (now(), 'acme', 'k', 't', 's')",
        "INSERT INTO posthorn.events_default (merchant, kind, transaction_id, status) VALUES ('acme', 'k', 't', 's')",
        "SELECT id FROM posthorn.events",
        "UPDATE posthorn.events SET status = 's'",
        "DELETE FROM posthorn.events",
        "TRUNCATE posthorn.events",
        "SELECT FROM posthorn.subscriptions",
        "SELECT FROM posthorn.delivery_status",
        "SELECT FROM posthorn.deliveries",
        "SELECT FROM posthorn.secrets",
        "SELECT FROM posthorn.token_key",
        "DELETE FROM posthorn.pending_deliveries",
        "UPDATE posthorn.shards SET epoch = 0",
        "INSERT INTO posthorn.subscriptions (merchant, name) VALUES ('a', 'b')",
        "SELECT posthorn.drop_partitions(1)",
        "CREATE TABLE posthorn.mine ()",
    ];
    assert_eq!(refused(&database, &role, &forbidden).await, forbidden);
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM posthorn.events")
            .await,
        4
    );
}

#[tokio::test]
async fn a_worker_runs_whole_with_the_rights_of_its_role() {
    let database = Database::new().await;
    let role = role(&database, "worker").await;
    let receiver = receiver().await;
    receiver.on("/flaky", "503,times=1,then=200".parse().unwrap());
    let toml = format!(
        "[[subscription]]\nmerchant = 'acme'\nname = 'file'\nurl = '{}'\nretry = 'fixed'\nretry_interval = '300ms'\n\
         [maintenance]\nschedule = '* * * * * *'\npartitions_ahead_days = 9\naudit_schedule = '* * * * * *'",
        receiver.url("/flaky")
    );
    let mut worker = Setup::with_url(&database.url_of(&role))
        .toml(&toml)
        .start()
        .await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    assert_eq!(database.reaches(event, "delivered").await.attempts, 2);
    let settings = json!({"url": receiver.url("/sql"), "paused": true});
    database.subscribe("other", "sql", settings).await;
    let event = database.publish("other", "t1", "approved", "{}").await;
    database.reaches(event, "pending").await;
    database
        .execute("UPDATE posthorn.subscriptions SET enabled = false WHERE name = 'sql'")
        .await;
    database.reaches(event, "cancelled").await;
    until(PATIENCE, "partitions nine days ahead", async || {
        let made: bool = database
            .value("SELECT to_regclass('posthorn.attempts_' || to_char(current_date + 9, 'YYYYMMDD')) IS NOT NULL")
            .await;
        made.then_some(())
    })
    .await;
    worker.logs("audited the deliveries").await;
    assert!(worker.sigterm().await.success());
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM posthorn.shards WHERE owner IS NOT NULL")
            .await,
        0
    );
    let log = worker.log();
    assert!(!log.contains("denied"), "{log}");
    // The ledger is append-only for it too, and a worker publishes nothing.
    let forbidden = [
        "UPDATE posthorn.token_key SET key = key",
        "DELETE FROM posthorn.deliveries",
        "UPDATE posthorn.deliveries SET attempts = 9",
        "UPDATE posthorn.attempts SET number = 9",
        "INSERT INTO posthorn.secrets (merchant, name, key_id, nonce, ciphertext) VALUES ('a', 'b', 'c', '', '')",
        "UPDATE posthorn.secrets SET name = 'n'",
        "DELETE FROM posthorn.secrets",
        "DELETE FROM posthorn.events",
        "UPDATE posthorn.events SET status = 's'",
        "INSERT INTO posthorn.events (merchant, kind, transaction_id, status) VALUES ('acme', 'k', 't', 's')",
    ];
    assert_eq!(refused(&database, &role, &forbidden).await, forbidden);
}

#[tokio::test]
async fn a_viewer_reads_what_became_of_it_but_no_payload_and_no_secret() {
    let database = Database::new().await;
    let role = role(&database, "viewer").await;
    let allowed = [
        "SELECT * FROM posthorn.delivery_status",
        "SELECT id, merchant, kind, transaction_id, status, created_at FROM posthorn.events",
        "SELECT * FROM posthorn.subscriptions",
        "SELECT event_id, number, outcome, http_status, reason, recorded_at FROM posthorn.attempts",
        "SELECT * FROM posthorn.workers",
        "SELECT * FROM posthorn.seals",
        "SELECT * FROM posthorn.config_at(gen_random_uuid(), 1)",
    ];
    assert_eq!(
        refused(&database, &role, &allowed).await,
        Vec::<&str>::new()
    );
    let event = database.publish("acme", "t1", "approved", r#"{"patient": "Doe"}"#);
    let event = event.await.to_string();
    let url = database.url_of(&role);
    for call in [
        &["audit", "--since", "1 hour"][..],
        &["audit", "--seals"],
        &["evidence", &event, "--payload"],
    ] {
        let (status, said) = posthorn(&[call, &["--database-url", &url]].concat()).await;
        assert!(status.success(), "{said}");
        assert!(!said.contains("Doe"), "{said}");
    }
    let forbidden = [
        "SELECT data FROM posthorn.events",
        "SELECT * FROM posthorn.events",
        "SELECT data FROM posthorn.events_default",
        "SELECT body FROM posthorn.attempts",
        "SELECT * FROM posthorn.attempts",
        "SELECT name FROM posthorn.secrets",
        "SELECT key FROM posthorn.token_key",
        "SELECT posthorn.publish('acme', 'k', 't', 's')",
        "UPDATE posthorn.subscriptions SET paused = true",
        "DELETE FROM posthorn.pending_deliveries",
    ];
    assert_eq!(refused(&database, &role, &forbidden).await, forbidden);
    let payloads: i64 = database
        .value(
            "SELECT count(*) FROM information_schema.columns
              WHERE table_schema = 'posthorn' AND table_name = 'delivery_status'
                AND (data_type LIKE 'json%' OR column_name IN ('data', 'body', 'ciphertext'))",
        )
        .await;
    assert_eq!(payloads, 0);
}

#[tokio::test]
async fn a_role_that_is_not_there_is_named() {
    let database = Database::new().await;
    for part in ["--publisher", "--worker", "--viewer"] {
        let (status, said) = posthorn(&[
            "grant",
            part,
            "no one\"; --",
            "--database-url",
            &database.url,
        ])
        .await;
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("has no role"), "{said}");
        assert!(said.contains("CREATE ROLE it first"), "{said}");
    }
}

#[tokio::test]
async fn a_viewer_sees_the_bodies_of_answers_where_the_operator_allows_it() {
    let database = Database::new().await;
    let role = role(&database, "viewer").await;
    let body = ["SELECT body FROM posthorn.attempts"];
    assert_eq!(refused(&database, &role, &body).await, body);
    for (answers, expected) in [(&["--answers"][..], &[][..]), (&[], &body)] {
        let grant = [
            &["grant", "--viewer", &role, "--database-url", &database.url],
            answers,
        ];
        let (status, said) = posthorn(&grant.concat()).await;
        assert!(status.success(), "{said}");
        assert_eq!(refused(&database, &role, &body).await, expected);
    }
}

#[tokio::test]
async fn a_publisher_of_some_merchants_publishes_for_them_alone() {
    let database = Database::new().await;
    let receiver = receiver().await;
    let settings = json!({"scope": "transaction"});
    database.subscribe("acme", "callbacks", settings).await;
    let role = format!("some_{}", database.name);
    let other = format!("inherits_{}", database.name);
    database
        .as_superuser(&format!(
            "CREATE ROLE \"{role} Ü\"; CREATE ROLE {role} LOGIN; CREATE ROLE {other} LOGIN IN ROLE {role}"
        ))
        .await;
    let grant = [
        "grant",
        "--publisher",
        &role,
        "--database-url",
        &database.url,
    ];
    // All, at first; then these.
    for merchants in [&[][..], &["--merchant", "acme", "--merchant", "globex"]] {
        let (status, said) = posthorn(&[&grant[..], merchants].concat()).await;
        assert!(status.success(), "{said}");
    }
    let odd = format!("{role} Ü");
    let grant = [
        "grant",
        "--publisher",
        &odd,
        "--merchant",
        "acme",
        "--database-url",
        &database.url,
    ];
    let (status, said) = posthorn(&grant).await;
    assert!(status.success(), "{said}");
    for role in [&role, &other] {
        let mut session = PgConnection::connect(&database.url_of(role)).await.unwrap();
        let id: uuid::Uuid = sqlx::query_scalar(AssertSqlSafe(format!(
            "INSERT INTO posthorn.own_events (merchant, kind, transaction_id, status, data, subscriptions)
             VALUES ('acme', 'payment', '{role}', 'paid', '{{\"a\":  1.50}}', '{{\"url\": \"{}\"}}') RETURNING id",
            receiver.url("/hook")
        )))
        .fetch_one(&mut session)
        .await
        .unwrap();
        let data: String = database
            .value(&format!(
                "SELECT data::text FROM posthorn.events WHERE id = '{id}'"
            ))
            .await;
        assert_eq!(data, "{\"a\":  1.50}");
    }
    let addresses: i64 = database
        .value("SELECT count(*) FROM posthorn.transaction_subscriptions")
        .await;
    assert_eq!(addresses, 2);
    let allowed = [
        "INSERT INTO posthorn.own_events (merchant, kind, transaction_id, status) VALUES ('globex', 'k', 't', 's')",
    ];
    assert_eq!(
        refused(&database, &role, &allowed).await,
        Vec::<&str>::new()
    );
    let forbidden = [
        "INSERT INTO posthorn.own_events (merchant, kind, transaction_id, status) VALUES ('initech', 'k', 't', 's')",
        "INSERT INTO posthorn.own_events (merchant, kind, transaction_id, status) VALUES (NULL, 'k', 't', 's')",
        "INSERT INTO posthorn.own_events (publisher, merchant, kind, transaction_id, status) VALUES ('posthorn', 'acme', 'k', 't', 's')",
        "INSERT INTO posthorn.own_events VALUES (NULL, 'posthorn', 'acme', 'k', 't', 's')",
        "INSERT INTO posthorn.own_events DEFAULT VALUES",
        "INSERT INTO posthorn.events (merchant, kind, transaction_id, status) VALUES ('acme', 'k', 't', 's')",
        "SELECT posthorn.publish('acme', 'k', 't', 's')",
        "SELECT posthorn.issue_session('acme', 't')",
        "SELECT merchant FROM posthorn.own_events",
        "SELECT * FROM posthorn.grantees",
    ];
    assert_eq!(refused(&database, &role, &forbidden).await, forbidden);
    // What it gave away is gone with the grant that takes its place.
    database
        .execute(&format!(
            "DELETE FROM posthorn.grantees WHERE role_name = '{role}'"
        ))
        .await;
    assert_eq!(refused(&database, &role, &allowed).await, allowed);
}
