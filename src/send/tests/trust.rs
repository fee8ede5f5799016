//! Which certificates and versions of TLS are taken, and what is not shared.

use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::authority::{self, Authority, Issued};
use super::receiver::{Receiver, answer_all};
use super::{
    FailureClass, TlsSettings, answer, failure, loopback_sender, send, send_plainly, subscription,
};
use crate::model::Subscription;

const CLOSING: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Speaks TLS with a certificate, and writes down how each handshake went.
async fn receiver(issued: &Issued) -> (Receiver, Arc<Mutex<Vec<HandshakeKind>>>) {
    let acceptor = authority::server(issued);
    let handshakes = Arc::new(Mutex::new(Vec::new()));
    let kinds = Arc::clone(&handshakes);
    let receiver = Receiver::start(move |stream| {
        let (acceptor, kinds) = (acceptor.clone(), Arc::clone(&kinds));
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            kinds
                .lock()
                .unwrap()
                .extend(stream.get_ref().1.handshake_kind());
            answer_all(stream, CLOSING).await;
        }
    })
    .await;
    (receiver, handshakes)
}

fn trusting(authority: &Authority, merchant: &str) -> Subscription {
    let tls = TlsSettings {
        ca: Some(authority.pem()),
        ..TlsSettings::default()
    };
    Subscription {
        merchant: merchant.to_owned(),
        ..subscription(tls)
    }
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_is_refused() {
    let authority = Authority::new("ours");
    let stranger = Authority::new("a stranger's");
    let params = || CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let mut expired = params();
    expired.not_after = date_time_ymd(2020, 1, 1);
    let mut of_the_future = params();
    of_the_future.not_before = date_time_ymd(4000, 1, 1);
    let own_key = KeyPair::generate().unwrap();
    let self_signed = params().self_signed(&own_key).unwrap();
    for (certificate, reason) in [
        (authority.sign(&expired), "expired"),
        (authority.sign(&of_the_future), "not valid yet"),
        ((self_signed, own_key), "not signed by a trusted authority"),
        (authority.issue("127.0.0.2"), "not valid for name"),
        (
            stranger.issue("127.0.0.1"),
            "not signed by a trusted authority",
        ),
    ] {
        let (receiver, _) = receiver(&certificate).await;
        let url = format!("https://{}/", receiver.address);
        let outcome = send(&loopback_sender(), &url, &trusting(&authority, "acme")).await;
        let (class, detail) = failure(outcome);
        assert_eq!(class, FailureClass::Tls, "{detail}");
        assert!(detail.contains(reason), "{reason}: {detail}");
    }
}

/// A server that knows nothing newer answers so, whatever the client offers (RFC 4346).
#[tokio::test]
async fn a_version_before_tls_1_2_is_refused() {
    for minor in [0, 1, 2] {
        let receiver = Receiver::start(move |mut stream| async move {
            let mut hello = [0; 4096];
            let _ = stream.read(&mut hello).await;
            let mut body = vec![3, minor];
            body.extend([7; 32]);
            // No session, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
            body.extend([0, 0, 0x2f, 0]);
            let length = u8::try_from(body.len()).unwrap();
            let mut record = vec![22, 3, minor, 0, length + 4, 2, 0, 0, length];
            record.extend(body);
            stream.write_all(&record).await.unwrap();
            let _ = stream.read(&mut hello).await;
        })
        .await;
        let url = format!("https://{}/", receiver.address);
        let (class, detail) = failure(send_plainly(&url).await);
        assert_eq!(class, FailureClass::Tls, "{detail}");
        assert!(
            detail.contains("TLS failed: peer is incompatible"),
            "{detail}"
        );
    }
}

/// Two merchants with the same settings and the same endpoint.
#[tokio::test]
async fn no_session_and_no_connection_is_shared_between_merchants() {
    let authority = Authority::new("ours");
    let (receiver, handshakes) = receiver(&authority.issue("127.0.0.1")).await;
    let url = format!("https://{}/", receiver.address);
    let sender = loopback_sender();
    for (merchant, expected) in [
        ("acme", HandshakeKind::Full),
        ("acme", HandshakeKind::Resumed),
        ("other", HandshakeKind::Full),
        ("other", HandshakeKind::Resumed),
    ] {
        answer(send(&sender, &url, &trusting(&authority, merchant)).await);
        assert_eq!(
            handshakes.lock().unwrap().last(),
            Some(&expected),
            "{merchant}"
        );
    }

    let kept = Receiver::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    for (merchant, connections) in [("acme", 1), ("acme", 1), ("other", 2), ("acme", 2)] {
        answer(send(&sender, &kept.url(), &trusting(&authority, merchant)).await);
        assert_eq!(kept.connections(), connections, "{merchant}");
    }
}
