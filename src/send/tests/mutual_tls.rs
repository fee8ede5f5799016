//! A receiver that demands a client certificate, and certificates that nobody vouches for.

use rcgen::KeyPair;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::authority::Authority;
use super::receiver::{Receiver, answer_all};
use super::{
    CANARY, FailureClass, TlsSettings, Wire, answer, failure, loopback_sender, send, send_plainly,
    subscription,
};

/// Its own certificate and those that it demands are `authority`'s.
async fn demanding_receiver(authority: &Authority) -> Receiver {
    let acceptor = authority.demanding();
    Receiver::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            match acceptor.accept(stream).into_fallible().await {
                Ok(stream) => {
                    answer_all(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
                Err((_, stream)) => read_to_the_end(stream).await,
            }
        }
    })
    .await
}

/// As a server must that wants its alert to arrive: closing with unread data resets
/// the connection.
async fn read_to_the_end(mut stream: TcpStream) {
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

fn settings(identity: Option<Vec<u8>>, ca: Option<Vec<u8>>) -> TlsSettings {
    TlsSettings {
        client_identity: identity.map(Into::into),
        ca,
    }
}

#[tokio::test]
async fn a_client_certificate_and_a_ca_belong_to_one_subscription() {
    let authority = Authority::new("ours");
    let stranger = Authority::new("a stranger's");
    let receiver = demanding_receiver(&authority).await;
    let url = format!("https://{}/", receiver.address);
    let sender = loopback_sender();
    let trusted = Some(authority.pem());

    // One sender for all, and the good one first: its connection serves no other.
    let good = settings(Some(authority.identity()), trusted.clone());
    for (tls, expected) in [
        (good.clone(), None),
        (
            settings(None, trusted.clone()),
            Some("the receiver demands a client certificate"),
        ),
        (
            settings(Some(stranger.identity()), trusted.clone()),
            Some("the receiver refuses the client certificate: it does not know its authority"),
        ),
        (
            settings(Some(authority.identity()), Some(stranger.pem())),
            Some("the receiver's certificate is not signed by a trusted authority"),
        ),
        (
            settings(Some(authority.identity()), None),
            Some("the receiver's certificate is not signed by a trusted authority"),
        ),
        (good, None),
    ] {
        let outcome = send(&sender, &url, &subscription(tls)).await;
        match expected {
            None => assert_eq!(answer(outcome).status, 200),
            Some(reason) => {
                let (class, detail) = failure(outcome);
                assert_eq!(class, FailureClass::Tls, "{detail}");
                let expected = format!("{}: {reason}", receiver.address);
                assert!(detail.starts_with(&expected), "{detail}");
            }
        }
    }
    // The good one's second exchange found its connection kept.
    assert_eq!(receiver.connections(), 5);
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new("ours");
    let receiver = demanding_receiver(&authority).await;
    let url = format!("https://localhost:{}/", receiver.address.port());
    let tls = settings(Some(authority.identity()), Some(authority.pem()));
    let (class, detail) = failure(send(&loopback_sender(), &url, &subscription(tls)).await);
    assert_eq!(class, FailureClass::Tls, "{detail}");
    assert!(detail.contains("not valid for name"), "{detail}");
}

#[tokio::test]
async fn a_receiver_that_fails_the_handshake_is_a_tls_failure() {
    for (answer, reason) in [
        (
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
            "the receiver does not speak TLS",
        ),
        (
            "",
            "the receiver closed the connection during the TLS handshake",
        ),
    ] {
        let receiver = Receiver::start(move |mut stream| async move {
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            read_to_the_end(stream).await;
        })
        .await;
        let url = format!("https://{}/", receiver.address);
        assert_eq!(
            failure(send_plainly(&url).await),
            (FailureClass::Tls, format!("{}: {reason}", receiver.address))
        );
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "it is one table of cases")]
async fn bad_pem_is_a_reason_and_never_quoted() {
    let authority = Authority::new("ours");
    let (certificate, key) = authority.issue("posthorn");
    let stranger = KeyPair::generate().unwrap();
    let certificate = certificate.pem();
    for (identity, ca, reason) in [
        (
            Some(CANARY.to_owned()),
            None,
            "client_cert holds no certificate",
        ),
        (
            Some(format!("-----BEGIN {CANARY}\n{CANARY}")),
            None,
            "client_cert cannot be read as PEM",
        ),
        (
            Some(format!("-----BEGIN CERTIFICATE-----\n{CANARY}")),
            None,
            "client_cert cannot be read as PEM",
        ),
        (
            Some(certificate.clone()),
            None,
            "client_key holds no private key that can be read as PEM",
        ),
        (
            Some(key.serialize_pem()),
            None,
            "client_cert holds no certificate",
        ),
        (
            Some(certificate + &stranger.serialize_pem()),
            None,
            "client_key does not belong to client_cert",
        ),
        (
            None,
            Some(CANARY.to_owned()),
            "ca_cert holds no certificate",
        ),
        (
            None,
            Some(format!("-----BEGIN {CANARY}\n{CANARY}")),
            "ca_cert cannot be read as PEM",
        ),
        (
            None,
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()),
            "ca_cert cannot be trusted as an authority: ",
        ),
    ] {
        let tls = settings(identity.map(String::into_bytes), ca.map(String::into_bytes));
        let outcome = send(
            &loopback_sender(),
            "https://127.0.0.1:1/",
            &subscription(tls),
        )
        .await;
        let Wire::Failed { class, detail } = &outcome.wire else {
            panic!("answered");
        };
        assert_eq!(*class, FailureClass::Tls, "{detail}");
        assert!(
            detail.starts_with(&format!("127.0.0.1:1: {reason}")),
            "{detail}"
        );
        assert!(!format!("{outcome:?}").contains(CANARY), "{outcome:?}");
    }
}
