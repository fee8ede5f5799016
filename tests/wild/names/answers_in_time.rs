//! Name servers that are silent or broken in part.

use std::net::SocketAddr;

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use posthorn::receiver::Receiver;
use serde_json::json;

use super::name_server::{Says, name_server};
use crate::support::{Database, Setup, Worker};

/// A worker that asks these name servers.
async fn worker(database: &Database, servers: &[SocketAddr], allow: &str) -> Worker {
    let servers: Vec<_> = servers.iter().map(|it| format!("'{it}'")).collect();
    let servers = servers.join(", ");
    Setup::new(database)
        .toml(&format!(
            "[egress]\nallow = [{allow}]\nname_servers = [{servers}]"
        ))
        .start()
        .await
}

const LOOPBACK: &str = "'127.0.0.0/8', '::1/128'";

async fn is_delivered_to(name: &str, servers: &[SocketAddr], listen: &str) {
    let database = Database::new().await;
    let receiver = Receiver::bind(listen.parse().unwrap()).await.unwrap();
    let port = receiver.address().port();
    let url = format!("http://{name}:{port}/");
    let settings = json!({"url": url, "max_attempts": 1});
    database.subscribe("acme", "orders", settings).await;
    let _worker = worker(&database, servers, LOOPBACK).await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    let duration: f64 = database
        .value("SELECT duration_us / 1e6::float8 FROM posthorn.attempts")
        .await;
    assert!(duration < 3.0, "the answer took {duration} s");
}

/// A firewall that knows no AAAA, in front of a merchant's name server: A was answered in a
/// millisecond, and every attempt failed after five seconds.
#[tokio::test]
async fn a_name_whose_aaaa_is_never_answered_is_reached_by_its_a() {
    let server = name_server(|_, kind| match kind {
        RecordType::A => Says::Addresses(vec!["127.0.0.1"]),
        _ => Says::Nothing,
    })
    .await;
    is_delivered_to("pay.test", &[server], "127.0.0.1:0").await;
}

#[tokio::test]
async fn a_name_whose_a_is_never_answered_is_reached_by_its_aaaa() {
    let server = name_server(|_, kind| match kind {
        RecordType::AAAA => Says::Addresses(vec!["::1"]),
        _ => Says::Nothing,
    })
    .await;
    is_delivered_to("pay.test", &[server], "[::1]:0").await;
}

/// Nobody listens at the address that comes first. The one that comes after the head start
/// is dialled all the same.
#[tokio::test]
async fn an_address_that_comes_late_is_tried_too() {
    let server = name_server(|_, kind| {
        if kind == RecordType::A {
            return Says::Addresses(vec!["127.0.0.9"]);
        }
        std::thread::sleep(std::time::Duration::from_millis(400));
        Says::Addresses(vec!["::1"])
    })
    .await;
    is_delivered_to("pay.test", &[server], "[::1]:0").await;
}

#[tokio::test]
async fn one_name_server_of_several_is_enough() {
    let good = || name_server(|_, _| Says::Addresses(vec!["127.0.0.1"]));
    let silent = || name_server(|_, _| Says::Nothing);
    let refusing = name_server(|_, _| Says::Code(ResponseCode::Refused)).await;
    let broken = name_server(|_, _| Says::Code(ResponseCode::ServFail)).await;
    for servers in [
        vec![silent().await, good().await],
        vec![silent().await, silent().await, good().await],
        vec![refusing, good().await],
        vec![broken, good().await],
    ] {
        is_delivered_to("pay.test", &servers, "127.0.0.1:0").await;
    }
}

/// The class and reason of the only attempt at `http://pay.test:9/`.
async fn fails(server: SocketAddr, allow: &str) -> String {
    let database = Database::new().await;
    let settings = json!({
        "url": "http://pay.test:9/", "max_attempts": 1, "connect_timeout": "2 seconds"
    });
    database.subscribe("acme", "orders", settings).await;
    let _worker = worker(&database, &[server], allow).await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "posting_error").await;
    database
        .value("SELECT outcome || ' ' || reason FROM posthorn.attempts")
        .await
}

/// It was told as a receiver that does not answer, class `connect`.
#[tokio::test]
async fn a_silent_name_server_is_a_failure_of_the_look_up() {
    let silent = name_server(|_, _| Says::Nothing).await;
    let said = fails(silent, LOOPBACK).await;
    assert!(
        said.starts_with("dns ")
            && said.contains("the name look-up failed: no name server answers in time"),
        "{said}"
    );
}

/// The other kind's answer says that there is nothing, so it is the silent one that counts.
#[tokio::test]
async fn half_a_silence_is_told_as_silence() {
    let server = name_server(|_, kind| match kind {
        RecordType::A => Says::Addresses(vec![]),
        _ => Says::Nothing,
    })
    .await;
    let said = fails(server, LOOPBACK).await;
    assert!(
        said.starts_with("dns ") && said.contains("in time"),
        "{said}"
    );
}

/// What comes late is vetted like the rest.
#[tokio::test]
async fn a_late_address_that_is_forbidden_is_refused() {
    let server = name_server(|_, kind| {
        if kind == RecordType::A {
            // Allowed, and nobody listens.
            return Says::Addresses(vec!["127.0.0.1"]);
        }
        std::thread::sleep(std::time::Duration::from_millis(400));
        Says::Addresses(vec!["::1"])
    })
    .await;
    let said = fails(server, "'127.0.0.0/8'").await;
    assert!(
        said.starts_with("refused ") && said.contains("forbids ::1 (loopback)"),
        "{said}"
    );
}
