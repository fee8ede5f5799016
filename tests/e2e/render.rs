//! `posthorn render` and `posthorn send-test`: what would be sent, and a send now.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Database, posthorn, receiver};

/// A file that allows loopback.
fn config(directory: &tempfile::TempDir, database: &Database) -> String {
    let path = directory.path().join("config.toml");
    let text = format!(
        "[database]\nurl = '{}'\n[egress]\nallow = ['127.0.0.0/8']\n",
        database.url
    );
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn secret(directory: &tempfile::TempDir, text: &str) -> String {
    let path = directory.path().join("secret");
    std::fs::write(&path, text).unwrap();
    format!("file:{}", path.display())
}

/// What a command says of the second attempt to send the event to `acme/hook`.
async fn second_attempt(command: &str, event: &str, config: &str) -> String {
    let delivery = [command, "acme/hook", "--attempt", "2"];
    let (status, said) =
        posthorn(&[&delivery[..], &["--event", event, "--config", config]].concat()).await;
    assert!(status.success(), "{said}");
    said
}

#[tokio::test]
async fn what_is_rendered_is_what_a_receiver_gets_byte_for_byte() {
    let database = Database::new().await;
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory, &database);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?a=1", listener.local_addr().unwrap());
    let settings = json!({
        "url": url, "encoding": "nvp", "auth": "basic", "auth_secret": secret(&directory, "user:hunter2"),
        "fields": [{"name": "id", "source": "transaction_id"}, {"name": "amount", "source": "/amount"}],
        "timestamp_header": "none",
    });
    database.subscribe("acme", "hook", settings).await;
    let event = database
        .publish("acme", "T-1", "approved", r#"{"amount": 12.50}"#)
        .await;
    let event = event.to_string();

    let rendered = second_attempt("render", &event, &config).await;
    assert!(
        rendered.ends_with("\r\n\r\nid=T-1&amount=12.50"),
        "{rendered}"
    );
    assert!(
        rendered.contains("Authorization: Basic ***\r\n"),
        "{rendered}"
    );
    assert!(rendered.contains("Webhook-Attempt: 2\r\n"), "{rendered}");
    let (_, body) = posthorn(&[
        "render",
        "acme/hook",
        "--event",
        &event,
        "--config",
        &config,
        "--body",
    ])
    .await;
    assert_eq!(body, "id=T-1&amount=12.50");

    let receive = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut got = vec![0; 65_536];
        let mut length = 0;
        while !got[..length].ends_with(b"amount=12.50") {
            length += stream.read(&mut got[length..]).await.unwrap();
        }
        stream
            .write_all(b"HTTP/1.1 202 Taken\r\ncontent-length: 2\r\n\r\nok")
            .await
            .unwrap();
        String::from_utf8(got[..length].to_vec()).unwrap()
    });
    let said = second_attempt("send-test", &event, &config).await;
    assert!(
        said.contains("\n202 Taken\n\nok\n\ndelivered: 202 Taken, after "),
        "{said}"
    );
    let received = receive.await.unwrap();
    assert!(
        received.contains("Authorization: Basic dXNlcjpodW50ZXIy\r\n"),
        "{received}"
    );
    assert_eq!(received.replace("dXNlcjpodW50ZXIy", "***"), rendered);
}

#[tokio::test]
async fn a_test_says_why_it_would_not_count_and_leaves_no_trace() {
    let database = Database::new().await;
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory, &database);
    let receiver = receiver().await;
    receiver.on("/hook", "503".parse().unwrap());
    database
        .subscribe("acme", "hook", json!({"url": receiver.url("/hook")}))
        .await;
    let test = async |more: &[&str]| {
        let mut arguments = vec!["send-test", "acme/hook", "--config", &config];
        arguments.extend(more);
        posthorn(&arguments).await
    };
    let data = ["--data", r#"{"amount": 1234.50}"#, "--status", "approved"];
    let (status, said) = test(&data).await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("would be tried again: 503 Service Unavailable"),
        "{said}"
    );
    assert_eq!(receiver.requests()[0].body, r#"{"amount": 1234.50}"#);
    for table in ["events", "deliveries", "attempts", "pending_deliveries"] {
        let count = format!("SELECT count(*) FROM posthorn.{table}");
        assert_eq!(database.value::<i64>(&count).await, 0, "{table}");
    }

    for (more, told) in [
        (
            vec!["--data", "{amount}"],
            "the data is not JSON (line 1, column 2)",
        ),
        (vec!["--data-file", "/nowhere"], "cannot read /nowhere"),
        (
            vec!["--event", "00000000-0000-7000-8000-000000000000"],
            "there is no event 00000000",
        ),
    ] {
        let (status, said) = test(&more).await;
        assert_eq!(status.code(), Some(1));
        assert!(said.contains(told), "{said}");
    }

    // Not by another way than deliveries: the same policy, the same mandatory fields.
    let strict = ["send-test", "acme/hook", "--database-url", &database.url];
    let (status, said) = posthorn(&strict).await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("egress policy forbids 127.0.0.1"), "{said}");
    database
        .execute(
            r#"UPDATE posthorn.subscriptions SET fields = '[{"name": "id", "source": "/id"}]'"#,
        )
        .await;
    let (status, said) = test(&[]).await;
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains("posting error at once: field `id`: nothing at /id"),
        "{said}"
    );
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_named_and_a_templates_url_is_given() {
    let database = Database::new().await;
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory, &database);
    let settings = json!({"scope": "transaction", "auth": "basic", "auth_secret": "env:POSTHORN_TEST_NOT_SET"});
    database.subscribe("acme", "hook", settings).await;
    let (status, said) = posthorn(&["render", "acme/hook", "--config", &config]).await;
    assert_eq!(status.code(), Some(1));
    assert!(
        said.contains("the environment variable POSTHORN_TEST_NOT_SET is not set"),
        "{said}"
    );

    database
        .execute("UPDATE posthorn.subscriptions SET auth = NULL, auth_secret = NULL")
        .await;
    let (status, said) = posthorn(&["render", "acme/hook", "--config", &config]).await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("nor its template has a url"), "{said}");
    let url = "https://customer.example/mine";
    let (status, said) =
        posthorn(&["render", "acme/hook", "--config", &config, "--url", url]).await;
    assert!(status.success(), "{said}");
    assert!(
        said.starts_with("POST /mine HTTP/1.1\r\n") && said.contains("Host: customer.example\r\n"),
        "{said}"
    );
}
