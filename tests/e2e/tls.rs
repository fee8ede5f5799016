//! An endpoint that demands a client certificate, behind a private authority: alone, and
//! beside a password or a token.

use std::net::SocketAddr;
use std::path::Path;

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rcgen::CertificateParams;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::support::authority::{Authority, Issued};
use crate::support::{Database, Setup};

fn issue_expired(authority: &Authority, name: &str) -> Issued {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2001, 1, 1);
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    authority.sign(&params)
}

/// Answers those that have a certificate: a token at `/token`, else what proved them beside
/// it.
async fn demanding_server(authority: &Authority) -> SocketAddr {
    let acceptor = authority.demanding();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(acceptor.clone(), stream));
        }
    });
    address
}

async fn answer(acceptor: TlsAcceptor, stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(acceptor.accept(stream).await?);
    let (mut length, mut path, mut authorization) = (0, String::new(), String::new());
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if let Some(value) = line.strip_prefix("Authorization: ") {
            value.trim().clone_into(&mut authorization);
        }
        if let Some(target) = line.strip_prefix("POST ") {
            target.clone_into(&mut path);
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = if path.starts_with("/token ") {
        r#"{"access_token":"of-mtls","token_type":"Bearer","expires_in":60}"#.to_owned()
    } else {
        // Backwards: as it came, it would be masked.
        let backwards: String = authorization.chars().rev().collect();
        format!("welcome {backwards}")
    };
    let head = format!("connection: close\r\ncontent-length: {}", body.len());
    let stream = stream.get_mut();
    stream
        .write_all(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}").as_bytes())
        .await?;
    stream.shutdown().await
}

fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap();
    format!("file:{}", path.display())
}

/// The settings of a client certificate in PEM.
fn in_pem(directory: &Path, name: &str, issued: &Issued) -> Value {
    let (certificate, key) = issued;
    json!({
        "client_cert": write(directory, &format!("{name}.pem"), certificate.pem()),
        "client_key": write(directory, &format!("{name}.key"), key.serialize_pem()),
    })
}

/// The same in PKCS#12, opened by the environment variable `P12_PASSWORD`.
fn in_pkcs12(directory: &Path, issued: &Issued, password: &str) -> Value {
    let (certificate, key) = issued;
    let key = PrivateKey::from_der(&key.serialize_der()).unwrap();
    let certificate = Certificate::from_der(certificate.der()).unwrap();
    let mut store = KeyStore::new();
    let chain = PrivateKeyChain::new("1", key, [certificate]);
    store.add_entry("client", KeyStoreEntry::PrivateKeyChain(chain));
    let file = store.writer(password).write().unwrap();
    json!({
        "client_pkcs12": write(directory, "client.p12", file),
        "client_pkcs12_password": "env:P12_PASSWORD",
    })
}

#[tokio::test]
async fn a_client_certificate_opens_the_endpoint_that_demands_one() {
    let database = Database::new().await;
    let authority = Authority::new("private");
    let stranger = Authority::new("a stranger's");
    let server = demanding_server(&authority).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let ca = write(path, "ca.pem", authority.pem());
    let good = authority.issue("posthorn");
    let pem = in_pem(path, "good", &good);
    let with = |extra: &Value| {
        let mut settings =
            json!({"url": format!("https://{server}/hook"), "ca_cert": ca, "max_attempts": 1});
        let extra = extra.as_object().unwrap().clone();
        settings.as_object_mut().unwrap().extend(extra);
        settings
    };
    let mut with_basic = in_pkcs12(path, &good, "p12-secret");
    with_basic["auth"] = "basic".into();
    with_basic["auth_secret"] = "env:BASIC".into();
    let mut with_token = pem.clone();
    with_token["auth"] = "oauth2".into();
    with_token["auth_secret"] = "env:BASIC".into();
    with_token["oauth2_token_url"] = format!("https://{server}/token").into();
    let mut untrusting = with(&pem);
    untrusting.as_object_mut().unwrap().remove("ca_cert");
    let cases = [
        (
            "basic and PKCS#12",
            with(&with_basic),
            "ok 200 OK, welcome zNXYwpjclNXd cisaB",
        ),
        (
            "expired",
            with(&in_pem(path, "old", &issue_expired(&authority, "posthorn"))),
            "tls TLS failed: SERVER: the receiver refuses the client certificate: it has expired",
        ),
        (
            "missing",
            with(&json!({})),
            "tls TLS failed: SERVER: the receiver demands a client certificate",
        ),
        ("PEM", with(&pem), "ok 200 OK, welcome "),
        (
            "stranger",
            with(&in_pem(path, "stranger", &stranger.issue("posthorn"))),
            "tls TLS failed: SERVER: the receiver refuses the client certificate: it does not know its authority",
        ),
        (
            "token",
            with(&with_token),
            "ok 200 OK, welcome sltm-fo reraeB",
        ),
        (
            "untrusting",
            untrusting,
            "tls TLS failed: SERVER: the receiver's certificate is not signed by a trusted authority",
        ),
    ];
    for (name, settings, _) in &cases {
        database.subscribe("acme", name, settings.clone()).await;
    }
    let _worker = Setup::new(&database)
        .env("P12_PASSWORD", "p12-secret")
        .env("BASIC", "user:pass")
        .start()
        .await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.count_reaches("delivered", 3).await;
    database.count_reaches("posting_error", 4).await;
    let over: Vec<String> = database
        .value(
            "SELECT array_agg(DISTINCT host(peer) || ' ' || tls) FROM posthorn.attempts WHERE outcome = 'ok'",
        )
        .await;
    assert_eq!(over, ["127.0.0.1 13"]);
    for (name, _, expected) in cases {
        let said: String = database
            .value(&format!(
                "SELECT a.outcome || ' ' || a.reason || coalesce(', ' || a.body, '')
                   FROM posthorn.attempts a JOIN posthorn.subscriptions s ON s.id = a.subscription_id
                  WHERE a.event_id = '{event}' AND s.name = '{name}'"
            ))
            .await;
        assert_eq!(
            said.replace(&server.to_string(), "SERVER"),
            expected,
            "{name}"
        );
    }
}
