//! No secret shows anywhere.

use std::path::Path;

use serde_json::json;
use sqlx::AssertSqlSafe;

use super::{SECRET, Vault};
use crate::support::{Database, PATIENCE, Setup, receiver, until};

/// The rows of every table that hold a text, as it stands or in a bytea.
async fn rows_with(database: &Database, text: &str) -> Vec<String> {
    let tables: Vec<String> = database
        .value(
            "SELECT array_agg(oid::regclass::text) FROM pg_class
              WHERE relnamespace = 'posthorn'::regnamespace AND relkind IN ('r', 'p')",
        )
        .await;
    let mut found = vec![];
    for table in tables {
        let sql = format!(
            "SELECT t::text FROM {table} t
              WHERE strpos(t::text, $1) > 0 OR strpos(t::text, encode(convert_to($1, 'UTF8'), 'hex')) > 0"
        );
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(text)
            .fetch_all(&database.pool)
            .await
            .unwrap();
        found.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
    }
    found
}

fn write_key(path: &Path, key: &str) -> String {
    std::fs::write(path, key).unwrap();
    format!("file:{}", path.display())
}

#[tokio::test]
async fn no_secret_shows_in_a_log_a_metric_an_error_or_a_table() {
    let vault = Vault::new().await;
    let receiver = receiver().await;
    vault.make_key("key").await;
    let key = std::fs::read_to_string(vault.path("key")).unwrap();
    let key_in_config = write_key(&vault.path("copy"), &key);
    let client = format!("client:{SECRET}");
    for (name, value) in [
        ("basic", format!("user:{SECRET}")),
        ("key", format!("X-Key:{SECRET}")),
        ("client", client),
        // Neither a certificate nor a PKCS#12 file: the refusal must not quote it.
        ("junk", SECRET.to_owned()),
        ("password", SECRET.to_owned()),
    ] {
        vault.set("acme", name, &["key"], &value).await;
    }
    let denied = r#"401,body={"error":"invalid_client"}"#;
    receiver.on("/denied", denied.parse().unwrap());
    receiver.on("/refusing", "401".parse().unwrap());
    let url = receiver.url("/fine");
    for (name, settings) in [
        (
            "basic",
            json!({"url": url, "auth": "basic", "auth_secret": "secret:basic"}),
        ),
        (
            "key",
            json!({"url": receiver.url("/refusing"), "auth": "api_key",
            "auth_secret": "secret:key", "auth_secret_previous": "secret:basic"}),
        ),
        (
            "oauth2",
            json!({"url": url, "auth": "oauth2", "auth_secret": "secret:client",
            "oauth2_token_url": receiver.url("/denied")}),
        ),
        (
            "no colon",
            json!({"url": url, "auth": "basic", "auth_secret": "secret:junk"}),
        ),
        (
            "pem",
            json!({"url": "https://127.0.0.1:1/", "client_cert": "secret:junk", "client_key": "secret:junk"}),
        ),
        (
            "pkcs12",
            json!({"url": "https://127.0.0.1:1/", "client_pkcs12": "secret:junk",
            "client_pkcs12_password": "secret:password"}),
        ),
    ] {
        let mut settings = settings;
        settings["max_attempts"] = 2.into();
        settings["retry"] = "fixed".into();
        settings["retry_interval"] = "50ms".into();
        vault.database.subscribe("acme", name, settings).await;
    }
    let mut worker = Setup::new(&vault.database)
        .env("RUST_LOG", "trace")
        .toml(&format!("[secrets]\nkeys = ['{key_in_config}']"))
        .start()
        .await;
    let event = vault.database.publish("acme", "t1", "approved", "{}").await;
    for (name, state) in [
        ("basic", "delivered"),
        ("key", "posting_error"),
        ("oauth2", "posting_error"),
        ("no colon", "pending"),
        ("pem", "pending"),
        ("pkcs12", "pending"),
    ] {
        until(PATIENCE, &format!("{name} {state}"), async || {
            let found = vault.database.deliveries(event).await;
            found
                .iter()
                .any(|d| d.subscription == name && d.state == state)
                .then_some(())
        })
        .await;
    }
    let metrics = worker.metrics().await;
    assert!(worker.sigterm().await.success());
    let log = worker.log();
    assert!(
        log.contains("does not open") || log.contains("is not PKCS#12"),
        "{log}"
    );
    for text in [&metrics, &log] {
        for hidden in [SECRET, key.trim(), "dXNlcjp2YXVsd", "Y2xpZW50OnZhdWx0"] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
    assert_eq!(rows_with(&vault.database, SECRET).await, [""; 0]);
    assert_eq!(rows_with(&vault.database, key.trim()).await, [""; 0]);
    // The look itself would find it.
    assert_ne!(rows_with(&vault.database, "secret:junk").await, [""; 0]);
}
