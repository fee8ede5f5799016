//! Credentials that mean two things, and servers that want them elsewhere.

use serde_json::json;
use tempfile::TempDir;

use super::tls_server::write;
use crate::support::{Database, Setup, posthorn, receiver};

const KEY: &str = "live1:9f8ecanary";

/// The header that came, and what it was.
async fn header_that_came(settings: serde_json::Value, name: &str) -> Option<String> {
    let database = Database::new().await;
    let receiver = receiver().await;
    let mut settings = settings;
    settings["url"] = receiver.url("/hook").into();
    settings["auth"] = "api_key".into();
    database.subscribe("acme", "orders", settings).await;
    let _worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "delivered").await;
    let request = receiver.requests().remove(0);
    let value = request.headers.get(name)?;
    Some(value.to_str().unwrap().to_owned())
}

/// `live1:9f8e…`, meant for `Authorization`, became the header `live1`.
#[tokio::test]
async fn a_key_with_a_colon_goes_whole_into_the_header_that_is_named() {
    let directory = tempfile::tempdir().unwrap();
    for (header, secret, expected) in [
        (Some("authorization"), KEY, KEY),
        (Some("X-Api-Key"), KEY, KEY),
        // The seed's two forms stay.
        (None, "x-api-key:a:b", "a:b"),
        (None, "ApiKey-9f8e", "ApiKey-9f8e"),
    ] {
        let name = header.unwrap_or(match secret.split_once(':') {
            Some((name, _)) => name,
            None => "authorization",
        });
        let secret = write(&directory, "key", secret);
        let settings = json!({"auth_secret": secret, "auth_header": header});
        let came = header_that_came(settings, name).await;
        assert_eq!(came.as_deref(), Some(expected));
    }
}

fn config(directory: &TempDir, secret: &str, more: &str) -> String {
    let text = format!(
        "[[subscription]]\nmerchant = 'acme'\nname = 'orders'\nurl = 'https://example.com/'\n\
         auth = 'api_key'\nauth_secret = '{}'\n{more}",
        write(directory, "key", secret)
    );
    let path = directory.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn how_a_key_with_a_colon_was_read_is_said_and_shows_nothing_of_it() {
    const SAID: &str = "the secret has a colon";
    let directory = tempfile::tempdir().unwrap();
    for (secret, more, is_said) in [
        (KEY, "", true),
        ("sk-live:9f8ecanary", "", true),
        ("Apikey2:9f8ecanary", "", true),
        (KEY, "auth_header = 'authorization'", false),
        ("X-Acme1:9f8ecanary", "", false),
        ("Ocp-Apim-Subscription-Key:9f8ecanary", "", false),
        ("authorization:9f8ecanary", "", false),
    ] {
        let file = config(&directory, secret, more);
        let (status, said) = posthorn(&["config", "check", "--secrets", &file]).await;
        assert!(status.success(), "{said}");
        assert_eq!(said.contains(SAID), is_said, "{secret}: {said}");
        assert!(!said.contains("live") && !said.contains("9f8e"), "{said}");
    }
    // What could never be a header is refused, with the remedy.
    let file = config(&directory, "live 1:9f8ecanary", "");
    let (status, said) = posthorn(&["config", "check", "--secrets", &file]).await;
    assert!(!status.success() && said.contains("auth_header"), "{said}");
    // A header that nobody would look at is one too many.
    let file = config(&directory, KEY, "auth_header = 'host'");
    let (status, said) = posthorn(&["config", "check", &file]).await;
    assert!(!status.success() && said.contains("auth_header"), "{said}");
}

/// The receiver echoes all that it got; the log, the stored answer and `render` are looked at.
#[tokio::test]
async fn neither_half_of_such_a_key_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::new().await;
    let receiver = receiver().await;
    receiver.on("/hook", "500,body=live1".parse().unwrap());
    let settings = json!({
        "url": receiver.url("/hook"), "auth": "api_key",
        "auth_secret": write(&directory, "key", KEY), "max_attempts": 1,
    });
    database.subscribe("acme", "orders", settings).await;
    let worker = Setup::new(&database).start().await;
    worker.logs("the secret has a colon").await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "posting_error").await;
    let kept: String = database.value("SELECT body FROM posthorn.attempts").await;
    assert_eq!(kept, "[secret]");
    let (status, rendered) = posthorn(&[
        "render",
        "acme/orders",
        "--event",
        &event.to_string(),
        "--database-url",
        &database.url,
    ])
    .await;
    assert!(status.success(), "{rendered}");
    for said in [rendered, worker.log()] {
        assert!(!said.contains("live1") && !said.contains("9f8e"), "{said}");
    }
}

/// Seen as `401 invalid_client`, with an id and a secret that were right.
#[tokio::test]
async fn a_token_server_that_wants_the_credentials_elsewhere_is_pointed_to() {
    let directory = tempfile::tempdir().unwrap();
    for (sent_in, answer, pointed) in [
        (
            "basic",
            r#"401,body={"error":"invalid_client"}"#,
            Some("body"),
        ),
        (
            "body",
            r#"400,body={"error":"invalid_client"}"#,
            Some("basic"),
        ),
        (
            "basic",
            r#"400,body={"error":"invalid_request"}"#,
            Some("body"),
        ),
        ("basic", "401", Some("body")),
        ("basic", r#"400,body={"error":"invalid_scope"}"#, None),
    ] {
        let database = Database::new().await;
        let receiver = receiver().await;
        receiver.on("/token", answer.parse().unwrap());
        let settings = json!({
            "url": receiver.url("/hook"), "auth": "oauth2", "oauth2_client_auth": sent_in,
            "oauth2_token_url": receiver.url("/token"), "max_attempts": 1,
            "auth_secret": write(&directory, "client", "id:secret"),
        });
        database.subscribe("acme", "orders", settings).await;
        let _worker = Setup::new(&database).start().await;
        let event = database.publish("acme", "t1", "approved", "{}").await;
        database.reaches(event, "posting_error").await;
        let said: String = database.value("SELECT reason FROM posthorn.attempts").await;
        match pointed {
            Some(other) => {
                let hint = format!("oauth2_client_auth = \"{other}\"");
                assert!(said.ends_with(&hint), "{answer}: {said}");
            }
            None => assert!(!said.contains("oauth2_client_auth"), "{said}"),
        }
    }
}
