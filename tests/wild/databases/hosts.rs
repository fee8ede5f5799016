//! A host that goes silent, and one that becomes a standby: deliveries stopped for as long as
//! TCP waits, or for ever.

use std::time::{Duration, Instant};

use posthorn::demo::postgres::{PrivatePostgres, Settings};
use posthorn::receiver::Receiver;
use serde_json::json;

use super::name::Name;
use crate::support::{Database, PATIENCE, Setup, posthorn, receiver, until};

/// From the moment that a healthy server is to be had: a statement's deadline, and what a
/// machine under load needs.
const SECONDS: Duration = Duration::from_secs(30);

/// A server and its standby, side by side.
async fn pair() -> (Database, PrivatePostgres, PrivatePostgres) {
    let (database, primary) = Database::alone(Settings::fast()).await;
    let standby =
        tokio::task::block_in_place(|| PrivatePostgres::standby_of(&primary, &Settings::fast()));
    (database, primary, standby.unwrap())
}

async fn subscribed(database: &Database) -> Receiver {
    let receiver = receiver().await;
    let url = receiver.url("/");
    database
        .subscribe("acme", "all", json!({ "url": url }))
        .await;
    receiver
}

async fn delivers(database: &Database, transaction: &str) -> Duration {
    let began = Instant::now();
    let event = database
        .publish("acme", transaction, "approved", "{}")
        .await;
    database.reaches(event, "delivered").await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_falls_silent_is_left_within_seconds() {
    let (database, primary) = Database::alone(Settings::fast()).await;
    let _receiver = subscribed(&database).await;
    let name = Name::to(primary.port()).await;
    let worker = Setup::with_url(&name.url(&database.url)).start().await;
    delivers(&database, "t1").await;
    // The same server by another way: what is lost is the packets of the old one.
    name.lead_away_to(primary.port());
    let took = delivers(&database, "t2").await;
    assert!(took < SECONDS, "{took:?}\n{}", worker.log());
    println!("delivered {took:?} after the host fell silent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_primary_is_left_for_the_standby_that_was_promoted() {
    let (database, primary, standby) = pair().await;
    let _receiver = subscribed(&database).await;
    let name = Name::to(primary.port()).await;
    let worker = Setup::with_url(&name.url(&database.url)).start().await;
    delivers(&database, "t1").await;
    let promoted = Database::connect("postgres", standby.url("postgres"));
    let at: String = database.value("SELECT pg_current_wal_lsn()::text").await;
    until(PATIENCE, "a standby that has everything", async || {
        let there = format!("SELECT pg_last_wal_replay_lsn() >= '{at}'");
        promoted.value::<bool>(&there).await.then_some(())
    })
    .await;
    name.lead_away_to(standby.port());
    promoted.as_superuser("SELECT pg_promote()").await;
    let took = delivers(&promoted, "t2").await;
    assert!(took < SECONDS, "{took:?}\n{}", worker.log());
    println!("delivered {took:?} after the take-over");
    let log = worker.log();
    assert!(!log.contains("another database"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_on_a_standby_are_left_within_seconds() {
    let (database, primary, standby) = pair().await;
    let _receiver = subscribed(&database).await;
    let name = Name::to(primary.port()).await;
    let worker = Setup::with_url(&name.url(&database.url)).start().await;
    delivers(&database, "t1").await;
    // For a while the name leads to what is a standby now, and whoever connects stays there.
    name.lead_away_to(standby.port());
    worker.logs("trying until the database is back").await;
    until(PATIENCE, "sessions on the standby", async || {
        let there = Database::connect("postgres", standby.url("postgres"));
        let sessions: i64 = there
            .value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'posthorn'")
            .await;
        (sessions > 0).then_some(())
    })
    .await;
    name.lead_to(primary.port());
    let took = delivers(&database, "t2").await;
    assert!(took < SECONDS, "{took:?}\n{}", worker.log());
    println!("delivered {took:?} after the name led to the primary");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_leaves_a_silent_host() {
    let (database, primary) = Database::alone(Settings::fast()).await;
    let name = Name::to(primary.port()).await;
    let through = Database::connect("postgres", name.url(&database.url));
    let gateway = Setup::gateway(&through).start().await;
    name.lead_away_to(primary.port());
    gateway.logs("cannot read events").await;
    until(SECONDS, "a gateway that is ready", async || {
        (gateway.ready().await == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_the_primary_is_taken() {
    let (database, primary, standby) = pair().await;
    let _receiver = subscribed(&database).await;
    let several = |tail: &str| {
        let hosts = format!("127.0.0.1:{},127.0.0.1:{}", standby.port(), primary.port());
        format!("postgres://posthorn@{hosts}/postgres{tail}")
    };
    let _worker = Setup::with_url(&several("")).start().await;
    delivers(&database, "t1").await;
    for tail in [
        "",
        "?target_session_attrs=read-write",
        "?target_session_attrs=primary",
    ] {
        let (status, said) = posthorn(&["status", "--database-url", &several(tail)]).await;
        assert!(status.success(), "{said}");
    }
    let standby = several("?target_session_attrs=standby");
    let (_, said) = posthorn(&["migrate", "--database-url", &standby]).await;
    assert!(
        said.contains("read-only") || said.contains("recovery"),
        "{said}"
    );
    let (status, said) = posthorn(&[
        "status",
        "--database-url",
        &several("?target_session_attrs=hunter2"),
    ])
    .await;
    assert!(!status.success());
    assert!(
        said.contains("target_session_attrs in the database URL is none of"),
        "{said}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}
