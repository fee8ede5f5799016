//! Another database where the worker's was: "the database is back", all shards taken, and
//! nothing delivered, for ever.

use std::process::Command;

use posthorn::config::builtin_profiles;
use posthorn::demo::postgres::OWNER;
use posthorn::receiver::Receiver;
use posthorn::store::schema::migrate;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Database, PATIENCE, Setup, Worker, receiver, until};

/// A worker that has delivered something, and what it stands on.
async fn at_work() -> (Database, Worker, Receiver) {
    let database = Database::new().await;
    let receiver = receiver().await;
    let worker = Worker::start(&database, "").await;
    for name in ["a", "b", "c"] {
        let url = receiver.url("/old");
        database
            .subscribe("acme", name, json!({ "url": url }))
            .await;
    }
    database.publish("acme", "t1", "approved", "{}").await;
    database.count_reaches("delivered", 3).await;
    (database, worker, receiver)
}

/// The database of the worker, asked from another one: nobody may be in it for what follows.
async fn server(database: &Database, statements: &[&str]) {
    database.pool.close().await;
    let url = database.url.replace(&database.name, "postgres");
    let server = Database::connect("postgres", url);
    for statement in statements {
        server
            .as_superuser(&statement.replace("{db}", &database.name))
            .await;
    }
}

async fn delivers(database: &Database, receiver: &Receiver, path: &str) {
    let url = receiver.url(path);
    database
        .subscribe("acme", "new", json!({ "url": url }))
        .await;
    let event = database.publish("acme", "t2", "settled", "{}").await;
    until(PATIENCE, "every delivery of it", async || {
        let ended = database.deliveries(event).await;
        let here = ended.iter().any(|delivery| delivery.subscription == "new");
        (here && ended.iter().all(|delivery| delivery.state == "delivered")).then_some(())
    })
    .await;
    assert!(paths(receiver).iter().any(|came| came == path));
}

fn paths(receiver: &Receiver) -> Vec<String> {
    let requests = receiver.requests();
    requests.iter().map(|r| r.path_and_query.clone()).collect()
}

/// Drops the database, and makes one of its name.
async fn made_anew(database: &Database) -> Database {
    let create = format!("CREATE DATABASE {{db}} OWNER {OWNER} TEMPLATE template0");
    server(database, &["DROP DATABASE {db} WITH (FORCE)", &create]).await;
    let anew = Database::connect(&database.name, database.url.clone());
    make_schema(&anew).await;
    anew
}

async fn make_schema(database: &Database) {
    migrate(&database.url.clone().into(), None, &builtin_profiles())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_database_that_is_dropped_and_made_anew_is_delivered_from() {
    let (database, worker, receiver) = at_work().await;
    let anew = made_anew(&database).await;
    delivers(&anew, &receiver, "/new").await;
    worker.logs("starting over with that one").await;
}

#[tokio::test]
async fn a_copy_that_takes_the_place_of_the_database_is_delivered_from() {
    let (database, worker, receiver) = at_work().await;
    server(
        &database,
        &[
            "ALTER DATABASE {db} ALLOW_CONNECTIONS false",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{db}'",
            &format!("CREATE DATABASE {{db}}_copy OWNER {OWNER} TEMPLATE {{db}}"),
            "DROP DATABASE {db} WITH (FORCE)",
            "ALTER DATABASE {db}_copy RENAME TO {db}",
        ],
    )
    .await;
    let copy = Database::connect(&database.name, database.url.clone());
    delivers(&copy, &receiver, "/new").await;
    worker.logs("starting over with that one").await;
    let came = paths(&receiver);
    let old = came.iter().filter(|path| *path == "/old").count();
    assert_eq!(old, 3 + 3, "what was delivered is not sent again");
}

#[tokio::test]
async fn a_schema_that_is_dropped_and_made_anew_is_delivered_from() {
    let (database, worker, receiver) = at_work().await;
    // With the connections open all the time.
    database.execute("DROP SCHEMA posthorn CASCADE").await;
    make_schema(&database).await;
    delivers(&database, &receiver, "/new").await;
    worker.logs("starting over with that one").await;
}

#[tokio::test]
async fn a_dump_that_is_restored_brings_its_settings_back() {
    let (database, worker, receiver) = at_work().await;
    let dump = tempfile::NamedTempFile::new().unwrap();
    let dumped = Command::new("pg_dump")
        .args(["--format=custom", "--schema=posthorn", "--file"])
        .arg(dump.path())
        .arg(&database.url)
        .status();
    assert!(dumped.unwrap().success());
    let gone = receiver.url("/gone");
    database
        .execute(&format!("UPDATE posthorn.subscriptions SET url = '{gone}'"))
        .await;
    database.publish("acme", "t9", "approved", "{}").await;
    database.count_reaches("delivered", 6).await;

    database.execute("DROP SCHEMA posthorn CASCADE").await;
    let restored = Command::new("pg_restore")
        .args(["--exit-on-error", "--dbname", &database.url])
        .arg(dump.path())
        .status();
    assert!(restored.unwrap().success());
    database.publish("acme", "t2", "settled", "{}").await;
    worker.logs("starting over with that one").await;
    database.count_reaches("delivered", 6).await;
    assert_eq!(
        paths(&receiver),
        [
            "/old", "/old", "/old", "/gone", "/gone", "/gone", "/old", "/old", "/old"
        ]
    );
}

#[tokio::test]
async fn a_gateway_answers_from_the_database_that_is_there_now() {
    let database = Database::new().await;
    let gateway = Setup::gateway(&database).start().await;
    database.publish("acme", "t1", "old", "{}").await;
    let anew = made_anew(&database).await;
    gateway.logs("starting over with that one").await;
    anew.publish("acme", "t1", "new", "{}").await;
    let token: String = anew
        .value("SELECT posthorn.issue_token('acme', 'test')")
        .await;
    let page = until(PATIENCE, "the new database's events", async || {
        let log = gateway.log();
        let at = log
            .rsplit_once("gateway address=")?
            .1
            .lines()
            .next()?
            .trim();
        let mut stream = TcpStream::connect(at).await.ok()?;
        let request = format!(
            "GET /v1/events?after=start HTTP/1.1\r\nHost: gateway\r\n\
             Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut page = String::new();
        stream.read_to_string(&mut page).await.ok()?;
        page.contains("\"new\"").then_some(page)
    })
    .await;
    assert!(!page.contains("\"old\""), "{page}");
}
