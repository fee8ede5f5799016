//! Client certificates that prove nothing, and certificates that are not as TLS libraries
//! like them.

use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::tls_server::{TlsServer, write};
use crate::support::{Database, PATIENCE, Setup, until};

fn self_signed(name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.self_signed(&key).unwrap(), key)
}

fn in_pem(directory: &TempDir, certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Value {
    let number = std::fs::read_dir(directory.path()).unwrap().count();
    json!({
        "client_cert": write(directory, &format!("{number}.pem"), certificate),
        "client_key": write(directory, &format!("{number}.key"), key),
    })
}

/// A file whose key is another certificate's, as exports by hand are.
fn in_pkcs12(directory: &TempDir, certificate: &rcgen::Certificate, key: &KeyPair) -> Value {
    let certificate = Certificate::from_der(certificate.der()).unwrap();
    let key = PrivateKey::from_der(&key.serialize_der()).unwrap();
    let mut store = KeyStore::new();
    let chain = PrivateKeyChain::new("client", key, [certificate]);
    store.add_entry("client", KeyStoreEntry::PrivateKeyChain(chain));
    let file = store.writer("").write().unwrap();
    json!({ "client_pkcs12": write(directory, "client.p12", file) })
}

/// Each burned its deliveries, attempt by attempt, and showed nowhere.
#[tokio::test]
async fn a_certificate_that_proves_nothing_leaves_deliveries_pending() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = self_signed("posthorn");
    let (other, _) = self_signed("posthorn");
    let chained_wrongly = format!("{}{}", other.pem(), certificate.pem());
    let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases = [
        (
            in_pem(&directory, other.pem(), key.serialize_pem()),
            "does not belong to the certificate",
        ),
        (
            in_pem(&directory, chained_wrongly, key.serialize_pem()),
            "first certificate",
        ),
        (
            in_pkcs12(&directory, &other, &key),
            "does not belong to the certificate",
        ),
        (
            in_pem(
                &directory,
                include_bytes!("pem/p521.pem"),
                include_bytes!("pem/p521.key"),
            ),
            "P-256 or P-384",
        ),
        (
            in_pem(
                &directory,
                include_bytes!("pem/v1.pem"),
                include_bytes!("pem/encrypted.key"),
            ),
            "unencrypted",
        ),
        (
            in_pem(
                &directory,
                include_bytes!("pem/v1.pem"),
                include_bytes!("pem/encrypted_old.key"),
            ),
            "unencrypted",
        ),
        (
            in_pem(
                &directory,
                include_bytes!("pem/v1.pem"),
                key.serialize_pem(),
            ),
            "does not belong",
        ),
        (
            json!({"ca_cert": write(&directory, "ca.pem", not_der)}),
            "not a certificate",
        ),
    ];
    for (mut settings, reason) in cases {
        let database = Database::new().await;
        settings["url"] = "https://127.0.0.1:9/".into();
        database.subscribe("acme", "orders", settings).await;
        let worker = Setup::new(&database).start().await;
        let event = database.publish("acme", "t1", "approved", "{}").await;
        worker.logs(reason).await;
        database.reaches(event, "pending").await;
        let series = "posthorn_subscriptions{settings=\"invalid\"} 1\n";
        until(PATIENCE, series, async || {
            worker.metrics().await.contains(series).then_some(())
        })
        .await;
        let attempts: i64 = database
            .value("SELECT count(*) FROM posthorn.attempts")
            .await;
        assert_eq!(attempts, 0, "{reason}");
    }
}

async fn is_delivered(settings: Value) {
    let database = Database::new().await;
    database.subscribe("acme", "orders", settings).await;
    let _worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "delivered").await;
}

/// Old appliances make no others, and curl sends them.
#[tokio::test]
async fn a_client_certificate_of_version_1_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let (server, server_key) = self_signed("127.0.0.1");
    let client = CertificateDer::from_pem_slice(include_bytes!("pem/v1.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("pem/v1.key")).unwrap();
    let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
    let spki = key.public_key().unwrap().to_vec();
    let receiver = TlsServer::demanding(client, spki, server.der(), &server_key).await;
    let mut settings = in_pem(
        &directory,
        include_bytes!("pem/v1.pem"),
        include_bytes!("pem/v1.key"),
    );
    settings["url"] = format!("https://{}/", receiver.address).into();
    settings["ca_cert"] = write(&directory, "ca.pem", server.pem()).into();
    is_delivered(settings).await;
}

/// The receiver decides whether it has expired, as with curl.
#[tokio::test]
async fn a_client_certificate_that_has_expired_is_sent() {
    let directory = tempfile::tempdir().unwrap();
    let (server, server_key) = self_signed("127.0.0.1");
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["posthorn".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let client = params.self_signed(&key).unwrap();
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    let receiver =
        TlsServer::demanding(client.der().clone(), spki, server.der(), &server_key).await;
    let mut settings = in_pem(&directory, client.pem(), key.serialize_pem());
    settings["url"] = format!("https://{}/", receiver.address).into();
    settings["ca_cert"] = write(&directory, "ca.pem", server.pem()).into();
    is_delivered(settings).await;
}

/// A receiver's own certificate as `openssl req -x509` makes it: marked as an authority's.
fn marked(
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    (params.self_signed(&key).unwrap(), key)
}

#[tokio::test]
async fn a_receivers_own_certificate_can_be_its_authority() {
    let directory = tempfile::tempdir().unwrap();
    let (own, key) = marked("127.0.0.1", |_| {});
    let (other, _) = marked("example.com", |_| {});
    let receiver = TlsServer::with(&[own.der()], &key).await;
    // Beside another one, in a file of several.
    let file = format!("{}{}", other.pem(), own.pem());
    is_delivered(json!({
        "url": format!("https://{}/", receiver.address),
        "ca_cert": write(&directory, "ca.pem", file),
    }))
    .await;
}

/// What the exception leaves as it is: another certificate of the same name, a wrong name,
/// an end of its time.
#[tokio::test]
async fn a_receivers_own_certificate_is_looked_at_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let (good, good_key) = marked("127.0.0.1", |_| {});
    let (twin, _) = marked("127.0.0.1", |_| {});
    let (named, named_key) = marked("example.com", |_| {});
    let (old, old_key) = marked("127.0.0.1", |params| {
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    });
    for (shown, key, trusted, reason) in [
        (
            &good,
            &good_key,
            &twin,
            "the receiver's certificate is refused",
        ),
        (&named, &named_key, &named, "not valid for name"),
        (&old, &old_key, &old, "expired"),
    ] {
        let database = Database::new().await;
        let receiver = TlsServer::with(&[shown.der()], key).await;
        let settings = json!({
            "url": format!("https://{}/", receiver.address),
            "ca_cert": write(&directory, "ca.pem", trusted.pem()),
            "max_attempts": 1,
        });
        database.subscribe("acme", "orders", settings).await;
        let _worker = Setup::new(&database).start().await;
        let event = database.publish("acme", "t1", "approved", "{}").await;
        database.reaches(event, "posting_error").await;
        let said: String = database
            .value("SELECT outcome || ' ' || reason FROM posthorn.attempts")
            .await;
        assert!(said.starts_with("tls ") && said.contains(reason), "{said}");
    }
}
