//! Names that are bound anew between one look-up and the next.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::rr::RecordType;
use tokio::net::TcpListener;

use super::dns::{Entry, NameServer};
use super::receiver::Receiver;
use super::{ANSWER_CAP, Network, Sender, TlsSettings, allowing, send, subscription};
use crate::model::{FailureClass, Wire};

const TRIES: usize = 10_000;

/// Real sockets: one listens at the allowed address, one at the forbidden one, both at the
/// same port. The name is the one or the other by turns, with every look-up.
#[tokio::test]
async fn a_name_that_is_bound_anew_never_leads_to_the_forbidden_address() {
    let allowed =
        Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
    let at: SocketAddr = ([127, 0, 0, 2], allowed.address.port()).into();
    let forbidden = TcpListener::bind(at).await.unwrap();
    let reached = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&reached);
    tokio::spawn(async move {
        while forbidden.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    let asked = AtomicUsize::new(0);
    let server = NameServer::answering(move |_, wanted| {
        let last = match wanted {
            RecordType::A => 1 + asked.fetch_add(1, Ordering::SeqCst) % 2,
            _ => return Some(Entry::Addresses(Vec::new())),
        };
        let address = format!("127.0.0.{last}").parse().unwrap();
        Some(Entry::Addresses(vec![address]))
    })
    .await;
    let network = Network {
        name_servers: vec![server.address],
        ..allowing(&["127.0.0.1/32"])
    };
    let sender = Sender::new(network, ANSWER_CAP);
    let url = format!("http://rebinding.test:{}/", allowed.address.port());

    let subscription = subscription(TlsSettings::default());

    // One after the other: requests at the same time would share a look-up.
    let (mut answered, mut refused) = (0, 0);
    for _ in 0..TRIES {
        match send(&sender, &url, &subscription).await.wire {
            Wire::Answer(_) => answered += 1,
            Wire::Failed {
                class: FailureClass::Refused,
                ..
            } => refused += 1,
            Wire::Failed { class, detail } => panic!("{class:?}: {detail}"),
        }
    }
    println!("{answered} answered, {refused} refused, 0 at the forbidden address");
    assert_eq!((answered, refused), (TRIES / 2, TRIES / 2));
    assert_eq!(allowed.connections(), answered);
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}
