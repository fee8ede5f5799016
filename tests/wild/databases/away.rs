//! Databases that are not there, or let nobody in; and what is said of a plain restart.

use std::time::Duration;

use posthorn::demo::postgres::{OWNER, Settings};

use crate::support::processes::kill;
use crate::support::{Database, PATIENCE, Setup, receiver, until};

#[tokio::test]
async fn health_answers_while_the_database_is_missing_and_the_log_says_what_to_do() {
    let server = Database::new().await;
    let url = server.url.replace(&server.name, "not_made_yet");
    let worker = Setup::with_url(&url).launch().await;
    assert_eq!(worker.get("/healthz").await.0, 200);
    assert_eq!(worker.ready().await, 503);
    worker.logs("the database refuses this process: ").await;
    let log = worker.log();
    assert!(
        log.contains("create the database first, or correct the URL"),
        "{log}"
    );
    server
        .as_superuser(&format!(
            "CREATE DATABASE not_made_yet OWNER {OWNER} TEMPLATE migrated"
        ))
        .await;
    until(PATIENCE, "a worker that is ready", async || {
        (worker.ready().await == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_role_that_is_not_let_in_and_a_server_that_is_not_there_are_told_apart() {
    let server = Database::new().await;
    let unknown = Setup::with_url(&server.url_of("nobody_s_role"))
        .launch()
        .await;
    unknown
        .logs("check the URL's user and password, and pg_hba.conf")
        .await;
    assert!(unknown.log().contains("the database refuses this process"));

    server.as_superuser("CREATE ROLE has_no_rights LOGIN").await;
    let bare = Setup::with_url(&server.url_of("has_no_rights"))
        .launch()
        .await;
    bare.logs("the database refuses this process").await;

    let nothing = Setup::with_url("postgres://posthorn@127.0.0.1:1/db")
        .launch()
        .await;
    nothing
        .logs("cannot reach the database, and tries again")
        .await;
    let log = nothing.log();
    assert!(
        log.contains("check that PostgreSQL runs at the URL's host and port"),
        "{log}"
    );

    let mut gateway = Setup::gateway(&Database::connect("x", server.url_of("nobody_s_role")))
        .launch()
        .await;
    gateway.logs("the database refuses this process").await;
    assert_eq!(gateway.get("/healthz").await.0, 200);
    assert!(gateway.sigterm().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_restart_is_told_in_quiet_and_true_lines() {
    let (database, mut postgres) = Database::alone(Settings::fast()).await;
    let receiver = receiver().await;
    let worker = Setup::new(&database).start().await;
    database.delivers_to(&receiver.url("/")).await;
    let before = worker.log().len();

    kill(postgres.postmaster_pid());
    worker.logs("trying until the database is back").await;
    tokio::task::block_in_place(|| postgres.start_again().unwrap());
    let event = until(PATIENCE, "an event after the restart", async || {
        let published = sqlx::query_scalar(
            "SELECT posthorn.publish('acme', 'payment', 't2', 'approved', '{}')",
        );
        published.fetch_one(&database.pool).await.ok()
    })
    .await;
    database.reaches(event, "delivered").await;
    worker.logs("comparing events with deliveries").await;
    // What is still to be said comes with the next renewals.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let log = worker.log().split_off(before);
    // Why a statement had no answer may be said in the server's words, "terminating connection
    // due to …"; what it tells every session, "terminating connection because of …", is not ours.
    for wrong in [
        "another",
        "sqlx",
        "Shard(",
        "on-release",
        "terminating connection because",
    ] {
        assert!(!log.contains(wrong), "{wrong}:\n{log}");
    }
    let warnings = log.lines().filter(|line| line.contains("WARN")).count();
    assert!(warnings <= 4, "{log}");
    println!("{log}");
}
