//! Names that nobody would choose, and that receivers have.

use std::net::SocketAddr;

use hickory_resolver::proto::rr::RecordType;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use super::name_server::{Says, name_server};
use super::tls_server::{TlsServer, write};
use crate::support::{Database, Setup, Worker, receiver};

/// A worker that asks this name server.
async fn asking(server: &SocketAddr, database: &Database) -> Worker {
    Setup::new(database)
        .toml(&format!("egress.name_servers = ['{server}']"))
        .start()
        .await
}

/// curl reaches each of them. An underscore was "not a name that the DNS can hold".
#[tokio::test]
async fn names_are_looked_up_as_they_are() {
    let longest = format!("{}.test", "a".repeat(63));
    // As it is written, and as the DNS has it.
    let names = [
        ("pay_hooks.test", "pay_hooks.test"),
        ("_pay.test", "_pay.test"),
        ("pay_.test", "pay_.test"),
        ("Pay__Hooks.Test", "pay__hooks.test"),
        ("pay.test.", "pay.test"),
        ("1pay.9.test", "1pay.9.test"),
        ("pay--hooks.test", "pay--hooks.test"),
        ("b\u{fc}cher_1.test", "xn--bcher_1-n2a.test"),
        ("xn--bcher-kva.test", "xn--bcher-kva.test"),
        (&longest, &longest),
    ];
    let known: Vec<_> = names.iter().map(|(_, name)| (*name).to_owned()).collect();
    let server = name_server(move |name, kind| match kind {
        RecordType::A if known.iter().any(|known| known == name) => {
            Says::Addresses(vec!["127.0.0.1"])
        }
        _ => Says::Addresses(vec![]),
    })
    .await;
    let database = Database::new().await;
    let receiver = receiver().await;
    for (index, (name, _)) in names.iter().enumerate() {
        let url = format!("http://{name}:{}/", receiver.address().port());
        let settings = json!({"url": url, "max_attempts": 1});
        database
            .subscribe("acme", &format!("n{index}"), settings)
            .await;
    }
    let _worker = asking(&server, &database).await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database
        .count_reaches("delivered", i64::try_from(names.len()).unwrap())
        .await;
    for delivery in database.deliveries(event).await {
        assert_eq!(delivery.state, "delivered", "{delivery:?}");
    }
}

/// The certificate's name is compared as well.
#[tokio::test]
async fn tls_knows_names_with_an_underscore_and_with_a_dot_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let server = name_server(|_, kind| match kind {
        RecordType::A => Says::Addresses(vec!["127.0.0.1"]),
        _ => Says::Addresses(vec![]),
    })
    .await;
    let database = Database::new().await;
    for (index, (certified, name)) in [
        ("pay_hooks.test", "pay_hooks.test"),
        ("pay.test", "pay.test."),
        ("*.pay_hooks.test", "a_b.pay_hooks.test"),
    ]
    .into_iter()
    .enumerate()
    {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![certified.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let receiver = TlsServer::with(&[certificate.der()], &key).await;
        let settings = json!({
            "url": format!("https://{name}:{}/", receiver.address.port()),
            "ca_cert": write(&directory, &format!("{index}.pem"), certificate.pem()),
            "max_attempts": 1,
        });
        database
            .subscribe("acme", &format!("n{index}"), settings)
            .await;
    }
    let _worker = asking(&server, &database).await;
    database.publish("acme", "t1", "approved", "{}").await;
    database.count_reaches("delivered", 3).await;
}
