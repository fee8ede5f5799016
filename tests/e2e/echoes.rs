//! Receivers that send back what they got: nothing of it is stored, shown or logged.

use std::fmt::Write;
use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Database, PATIENCE, Setup, posthorn, until};

const PASSWORD: &str = "correct horse/battery+staple #7";
const KEY: &str = "key_live_0123456789abcdef";
const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhY21lIn0.c2lnbmF0dXJl";
const CLIENT_SECRET: &str = "client-secret-71c9-of-acme";
const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PAYER: &str = "Jane Q. Doe of Springfield";

/// How it writes what it sends back, by the end of the path.
const STYLES: &[&str] = &[
    "plain", "json", "twice", "escaped", "percent", "PERCENT", "form", "entities", "base64",
    "url64",
];

fn styled(style: &str, text: &str) -> String {
    let each = |of: fn(u8) -> String| text.bytes().map(of).collect::<String>();
    match style {
        "json" => serde_json::to_string(text).unwrap(),
        "twice" => serde_json::to_string(&serde_json::to_string(text).unwrap()).unwrap(),
        "escaped" => text.encode_utf16().fold(String::new(), |mut all, unit| {
            write!(all, "\\u{unit:04x}").unwrap();
            all
        }),
        "percent" => each(|byte| format!("%{byte:02x}")),
        "PERCENT" => each(|byte| format!("%{byte:02X}")),
        "form" => form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        "entities" => text.chars().fold(String::new(), |mut all, it| {
            write!(all, "&#x{:x};", u32::from(it)).unwrap();
            all
        }),
        "base64" => BASE64_STANDARD.encode(format!("x{text}")),
        "url64" => BASE64_URL_SAFE_NO_PAD.encode(text),
        _ => text.to_owned(),
    }
}

/// Says what it was sent and what else it knows of its client, in its reason phrase and its
/// body; gives out a token at `/token`. A path is whose it is, and the style.
async fn echoing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(echo(stream));
        }
    });
    address
}

async fn echo(mut stream: TcpStream) {
    let (head, body) = request(&mut stream).await;
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let answer = if path == "/token" {
        let granted = json!({"access_token": TOKEN, "token_type": "bearer", "expires_in": 600});
        answer("200 OK", &granted.to_string())
    } else if path == "/no-token" {
        answer(
            "400 client-secret-71c9-of-acme",
            &format!(r#"{{"error":"{CLIENT_SECRET}"}}"#),
        )
    } else {
        let mut parts = path.split(['/', '?']).skip(1);
        let (whose, style) = (parts.next().unwrap(), parts.next().unwrap());
        let lines = head.lines().filter(|line| !line.starts_with("Host"));
        let credential = lines
            .clone()
            .find(|line| line.starts_with("Authorization") || line.starts_with("X-Key"));
        let known = match whose {
            "basic" => [PASSWORD, SIGNING],
            "get" => [PASSWORD, ""],
            "key" => [KEY, ""],
            _ => [CLIENT_SECRET, TOKEN],
        };
        let said = [credential.unwrap_or_default(), known[0], known[1]];
        let said = said.map(|it| styled(style, it));
        let reason = format!("401 no: {}", said.join(" | "));
        let everything = format!("{}\r\n{body}", lines.collect::<Vec<_>>().join("\r\n"));
        let body = format!(
            "{}\n{}\npayer {}",
            said.join("\n"),
            styled(style, &everything),
            styled(style, PAYER)
        );
        answer(&reason, &body)
    };
    // The worker may have had enough.
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn request(stream: &mut TcpStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// What must not be found, in every style.
fn all_of_it() -> Vec<String> {
    let basic = BASE64_STANDARD.encode(format!("acme:{PASSWORD}"));
    let texts = [PASSWORD, KEY, TOKEN, CLIENT_SECRET, SIGNING, PAYER, &basic];
    let styles = STYLES.iter();
    styles
        .flat_map(|style| texts.map(|text| styled(style, text)))
        // What a text that stands behind another looks like in base64 is in the middle of it.
        .map(|text| text.trim_matches(['"', '\\']).to_owned())
        .collect()
}

#[tokio::test]
async fn what_a_receiver_sends_back_is_masked_before_it_is_stored() {
    let database = Database::new().await;
    let address = echoing().await;
    let url = |path: &str| format!("http://{address}{path}");
    let once = |settings: Value| {
        let mut settings = settings;
        settings["max_attempts"] = 1.into();
        settings
    };
    for style in STYLES {
        for (name, settings) in [
            (
                "basic",
                json!({"auth": "basic", "auth_secret": "env:BASIC",
                       "signing": "standard_webhooks", "signing_secrets": ["env:SIGNING"]}),
            ),
            ("key", json!({"auth": "api_key", "auth_secret": "env:KEY"})),
            (
                "oauth2",
                json!({"auth": "oauth2", "auth_secret": "env:CLIENT", "oauth2_token_url": url("/token")}),
            ),
            (
                "get",
                json!({"auth": "basic", "auth_secret": "env:BASIC", "method": "GET"}),
            ),
        ] {
            let mut settings = once(settings);
            settings["url"] = url(&format!("/{name}/{style}")).into();
            database
                .subscribe("acme", &format!("{name}-{style}"), settings)
                .await;
        }
    }
    let refused = json!({"url": url("/oauth2/plain"), "auth": "oauth2", "auth_secret": "env:CLIENT",
                         "oauth2_token_url": url("/no-token"), "retry": "fixed", "retry_interval": "1h"});
    database.subscribe("acme", "no token", refused).await;
    let mut worker = Setup::new(&database)
        .env("RUST_LOG", "trace")
        .env("BASIC", format!("acme:{PASSWORD}"))
        .env("KEY", format!("X-Key:{KEY}"))
        .env("CLIENT", format!("client:{CLIENT_SECRET}"))
        .env("SIGNING", SIGNING)
        .start()
        .await;
    let data = json!({"payer": PAYER, "amount": "12.50"}).to_string();
    let event = database
        .publish("acme", "order-0007", "approved", &data)
        .await;
    let expected = i64::try_from(STYLES.len() * 4).unwrap();
    until(PATIENCE, "all refused", async || {
        let ended: i64 = database
            .value("SELECT count(*) FROM posthorn.deliveries WHERE state = 'posting_error' AND attempts = 1")
            .await;
        let waiting: i64 = database
            .value("SELECT count(*) FROM posthorn.pending_deliveries WHERE state = 'pending_retry'")
            .await;
        (ended == expected && waiting == 1).then_some(())
    })
    .await;
    assert!(worker.sigterm().await.success());
    let stored: Vec<String> = sqlx::query_scalar(
        "SELECT concat_ws(E'\\n', s.name, a.reason, a.body)
           FROM posthorn.attempts a JOIN posthorn.subscriptions s ON s.id = a.subscription_id
          UNION ALL SELECT reason FROM posthorn.deliveries WHERE reason IS NOT NULL
          UNION ALL SELECT reason FROM posthorn.pending_deliveries WHERE reason IS NOT NULL",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap();
    let log = worker.log();
    for secret in all_of_it() {
        for text in &stored {
            assert!(!text.contains(&secret), "{secret} in {text}");
        }
        assert!(!log.contains(&secret), "{secret} in the log");
    }
    let plain = stored
        .iter()
        .find(|text| text.starts_with("basic-plain"))
        .unwrap();
    assert!(
        plain.contains("401 no: Authorization: Basic [secret] | [secret] | [secret]"),
        "{plain}"
    );
    // Support sees what it speaks of.
    assert!(
        plain.contains("payer [sent]") && plain.contains("Webhook-Id"),
        "{plain}"
    );
    assert!(plain.contains(&event.to_string()), "{plain}");
}

/// `send-test` shows an answer to people at once.
#[tokio::test]
async fn a_test_send_shows_no_secret_that_comes_back() {
    let database = Database::new().await;
    let address = echoing().await;
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, format!("acme:{PASSWORD}")).unwrap();
    let settings = json!({"url": format!("http://{address}/get/json"), "auth": "basic",
                          "auth_secret": format!("file:{}", secret.display())});
    database.subscribe("acme", "orders", settings).await;
    let config = directory.path().join("config.toml");
    std::fs::write(
        &config,
        format!(
            "[database]\nurl = '{}'\n[egress]\nallow = ['127.0.0.0/8']",
            database.url
        ),
    )
    .unwrap();
    let config = config.to_str().unwrap();
    let (status, said) = posthorn(&["send-test", "acme/orders", "--config", config]).await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.contains("401 no: \"Authorization: Basic [secret]"),
        "{said}"
    );
    assert!(!said.contains("battery"), "{said}");
    assert!(
        !said.contains(&BASE64_STANDARD.encode(format!("acme:{PASSWORD}"))),
        "{said}"
    );
}

/// A role that reads all of the attempts but what the answers' bodies said.
#[tokio::test]
async fn who_may_not_read_bodies_sees_the_masked_reason() {
    let database = Database::new().await;
    let address = echoing().await;
    let settings = json!({"url": format!("http://{address}/get/plain"), "auth": "basic",
                          "auth_secret": "env:BASIC", "max_attempts": 1});
    database.subscribe("acme", "orders", settings).await;
    let _worker = Setup::new(&database)
        .env("BASIC", format!("acme:{PASSWORD}"))
        .start()
        .await;
    let event = database.publish("acme", "T-1", "approved", "{}").await;
    database.reaches(event, "posting_error").await;
    let role = database.login("support").await;
    database.grant("--viewer", &role).await;
    let url = database.url_of(&role);

    let (status, said) =
        posthorn(&["deliveries", "--transaction", "T-1", "--database-url", &url]).await;
    assert!(status.success(), "{said}");
    assert!(
        said.contains("401 no: Authorization: Basic [secret]"),
        "{said}"
    );
    let told = async |url: &str| {
        let event = event.to_string();
        let call = ["evidence", &event, "--payload", "--database-url", url];
        let (status, said) = posthorn(&call).await;
        assert!(status.success(), "{said}");
        serde_json::from_str::<Value>(&said).unwrap()
    };
    let story = told(&url).await;
    assert_eq!(story["not_for_this_role"], json!(["payload", "answers"]));
    let attempt = &story["deliveries"][0]["attempts"][0];
    assert_eq!(attempt["answer"], Value::Null);
    assert!(attempt["reason"].as_str().unwrap().starts_with("401 no: "));
    // Whoever may sees them, masked.
    let story = told(&database.url).await;
    assert_eq!(story["not_for_this_role"], json!([]));
    let attempt = &story["deliveries"][0]["attempts"][0];
    assert!(attempt["answer"].as_str().unwrap().contains("[secret]"));
    let of_body: String = database
        .value("SELECT encode(sha256(convert_to(body, 'UTF8')), 'hex') FROM posthorn.attempts")
        .await;
    assert_eq!(attempt["answer_digest"], of_body);

    support_page(&url).await;
}

/// Every query of it.
async fn support_page(url: &str) {
    use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/SUPPORT.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut connection = PgConnection::connect(url).await.unwrap();
    for query in page.split("```sql\n").skip(1) {
        let query = query.split("```").next().unwrap();
        let found = connection
            .execute(sqlx::raw_sql(AssertSqlSafe(query.to_owned())))
            .await;
        if let Err(error) = found {
            panic!("{query}: {error}");
        }
    }
}
