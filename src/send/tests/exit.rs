//! From where connections come: source addresses, and proxies.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::dns::{Entry, NameServer, Zone};
use super::receiver::{Receiver, answer_all};
use super::{
    ANSWER_CAP, CANARY, FailureClass, Network, Sender, TlsSettings, allowing, answer, failure,
    send, subscription,
};
use crate::model::Subscription;
use crate::model::subscription::Exit;
use crate::send::{Proxy, basic_authorization};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

fn leaving_by(exit: Exit) -> Subscription {
    Subscription {
        exit,
        ..subscription(TlsSettings::default())
    }
}

#[tokio::test]
async fn a_request_comes_from_the_source_address_of_its_subscription() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let peers = Arc::clone(&seen);
    let receiver = Receiver::start(move |stream| {
        peers.lock().unwrap().push(stream.peer_addr().unwrap().ip());
        answer_all(stream, OK)
    })
    .await;
    let sender = Sender::new(allowing(&["127.0.0.0/8"]), ANSWER_CAP);
    let source: IpAddr = [127, 0, 0, 5].into();
    for source_addresses in [vec![], vec![source], vec!["::1".parse().unwrap(), source]] {
        let from = leaving_by(Exit {
            source_addresses,
            proxy_pool: None,
        });
        answer(send(&sender, &receiver.url(), &from).await);
    }
    let loopback = IpAddr::from([127, 0, 0, 1]);
    assert_eq!(*seen.lock().unwrap(), [loopback, source, source]);
}

/// Opens tunnels to those that know the password, and writes down what it is asked.
async fn proxy(asked: Arc<Mutex<Vec<String>>>) -> Receiver {
    Receiver::start(move |mut stream| {
        let asked = Arc::clone(&asked);
        async move {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                let byte = stream.read_u8().await.unwrap();
                head.push(char::from(byte));
            }
            asked.lock().unwrap().push(head.clone());
            if !head.contains("\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n") {
                let no = b"HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n";
                return stream.write_all(no).await.unwrap();
            }
            let target: SocketAddr = head.split(' ').nth(1).unwrap().parse().unwrap();
            let Ok(mut onward) = TcpStream::connect(target).await else {
                let no = b"HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n";
                return stream.write_all(no).await.unwrap();
            };
            stream
                .write_all(b"HTTP/1.1 200 Go on\r\n\r\n")
                .await
                .unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await
}

/// A pool of one proxy.
fn pool(at: SocketAddr, credentials: &str) -> HashMap<String, Vec<Proxy>> {
    let proxy = Proxy {
        host: at.ip().to_string(),
        port: at.port(),
        authorization: Some(basic_authorization(&credentials.to_owned().into())),
    };
    HashMap::from([("dmz".to_owned(), vec![proxy])])
}

fn through(pool: &str) -> Subscription {
    leaving_by(Exit {
        source_addresses: Vec::new(),
        proxy_pool: Some(pool.to_owned()),
    })
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "it is one conversation")]
async fn a_proxy_is_told_the_address_that_was_vetted() {
    let asked = Arc::default();
    let proxy = proxy(Arc::clone(&asked)).await;
    let receiver = Receiver::answering(OK).await;
    let receivers = Entry::Addresses(vec![receiver.address.ip()]);
    let private = Entry::Addresses(vec![[10, 0, 0, 1].into()]);
    let zone = [("receiver.test", receivers), ("private.test", private)];
    let names = NameServer::of(zone.map(|(name, entry)| (name.to_owned(), entry)).into()).await;
    let network = |credentials| Network {
        name_servers: vec![names.address],
        proxy_pools: pool(proxy.address, credentials),
        // The proxy's own address need not be open to subscriptions.
        ..allowing(&[&format!("{}/32", receiver.address.ip())])
    };
    let port = receiver.address.port();
    let sender = Sender::new(network("user:pass"), ANSWER_CAP);

    let url = format!("http://receiver.test:{port}/hook");
    let outcome = send(&sender, &url, &through("dmz")).await;
    let peer = outcome.sent.unwrap().peer;
    assert_eq!(peer.address, receiver.address.ip());
    assert_eq!(peer.proxy, Some(proxy.address.ip()));
    answer(outcome);
    let connect = std::mem::take(&mut *asked.lock().unwrap()).concat();
    assert!(connect.starts_with(&format!("CONNECT {} HTTP/1.1\r\n", receiver.address)));
    assert!(!connect.contains("receiver.test"), "{connect}");

    let wrong = Sender::new(network(CANARY), ANSWER_CAP);
    for (sender, url, pool, class, reason) in [
        (
            &sender,
            "https://private.test/".to_owned(),
            "dmz",
            FailureClass::Refused,
            "private.test:443: the egress policy forbids 10.0.0.1 (private)".to_owned(),
        ),
        (
            &sender,
            url.clone(),
            "other",
            FailureClass::Refused,
            format!("receiver.test:{port}: the egress policy has no proxy pool of the name other"),
        ),
        (
            &sender,
            format!("http://{}:1/", receiver.address.ip()),
            "dmz",
            FailureClass::Connect,
            format!(
                "127.0.0.1:1: no way through the proxy {}: tunnel error: unsuccessful",
                proxy.address
            ),
        ),
        (
            &wrong,
            url.clone(),
            "dmz",
            FailureClass::Connect,
            format!(
                "receiver.test:{port}: no way through the proxy {}: tunnel error: proxy \
                 authorization required",
                proxy.address
            ),
        ),
    ] {
        assert_eq!(
            failure(send(sender, &url, &through(pool)).await),
            (class, reason)
        );
    }
    // Neither the private address nor the unknown pool was brought before the proxy.
    assert_eq!(asked.lock().unwrap().len(), 2);
    assert!(!format!("{:?}", network(CANARY)).contains(CANARY));
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = free.local_addr().unwrap();
    drop(free);
    let names = NameServer::of(Zone::new()).await;
    let network = Network {
        name_servers: vec![names.address],
        proxy_pools: pool(at, "user:pass"),
        ..allowing(&["127.0.0.0/8"])
    };
    let sender = Sender::new(network, ANSWER_CAP);
    let (class, detail) = failure(send(&sender, "http://127.0.0.1:1/", &through("dmz")).await);
    assert_eq!(class, FailureClass::Connect);
    assert_eq!(
        detail,
        format!("127.0.0.1:1: no connection to the proxy {at}: no connection: connection refused")
    );
}
