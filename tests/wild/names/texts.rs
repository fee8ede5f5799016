//! Answers in the encodings that servers have.

use std::net::SocketAddr;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::tls_server::write;
use crate::support::{Database, Setup, receiver};

/// Answers every request with these bytes.
async fn saying(content_type: &str, body: &[u8]) -> SocketAddr {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\n{content_type}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = Vec::new();
                // To the end of the body: `{}`, or a form of the token request.
                while !request.ends_with(b"}") && !request.ends_with(b"client_credentials") {
                    stream.read_buf(&mut request).await?;
                }
                stream.write_all(&answer).await?;
                stream.shutdown().await
            });
        }
    });
    address
}

fn utf16(text: &str, mark: bool, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mark = mark.then_some(0xfeff);
    let units = mark.into_iter().chain(text.encode_utf16());
    units.flat_map(to_bytes).collect()
}

/// Each was a message that was received, and was sent again for days.
#[tokio::test]
async fn the_required_text_is_found_in_the_encoding_that_it_has() {
    let cyrillic = [0xcf, 0xf0, 0xe8, 0xed, 0xff, 0xf2, 0xee];
    let in_xml = "<?xml version='1.0' encoding='ISO-8859-1'?><r>REÇU</r>";
    let latin = |text: &str| {
        text.chars()
            .map(|it| u8::try_from(it).unwrap())
            .collect::<Vec<_>>()
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("", b"\xef\xbb\xbfRECEIVED\r\n".to_vec(), "RECEIVED"),
        (
            "",
            utf16("RECEIVED\r\n", true, u16::to_le_bytes),
            "RECEIVED",
        ),
        ("", utf16("RECEIVED", true, u16::to_be_bytes), "RECEIVED"),
        (
            "text/plain; charset=utf-16",
            utf16("RECEIVED", false, u16::to_le_bytes),
            "RECEIVED",
        ),
        (
            "text/plain; charset=UTF-16BE",
            utf16("RECEIVED", false, u16::to_be_bytes),
            "RECEIVED",
        ),
        ("", b"RECEIVED\0".to_vec(), "RECEIVED"),
        ("", b"\xef\xbb\xbfRECEIVED\r\n\0\0".to_vec(), "RECEIVED"),
        ("text/plain; charset=\"ISO-8859-1\"", latin("reçu"), "REÇU"),
        (
            "text/html;Charset=windows-1251",
            cyrillic.to_vec(),
            "принято",
        ),
        ("application/xml", latin(in_xml), in_xml),
        // What is declared is not what is sent, and is read all the same.
        ("text/xml; charset=utf-16", b"RECEIVED".to_vec(), "RECEIVED"),
        (
            "text/plain; charset=x-unheard-of",
            b"RECEIVED".to_vec(),
            "RECEIVED",
        ),
        (
            "text/plain; charset=iso-8859-1",
            b"\xef\xbb\xbfRECEIVED".to_vec(),
            "RECEIVED",
        ),
    ];
    let database = Database::new().await;
    for (index, (content_type, body, required)) in cases.iter().enumerate() {
        let header = match *content_type {
            "" => String::new(),
            content_type => format!("content-type: {content_type}\r\n"),
        };
        let address = saying(&header, body).await;
        let settings = json!({
            "url": format!("http://{address}/"), "success_body": required, "max_attempts": 1,
        });
        database
            .subscribe("acme", &format!("n{index}"), settings)
            .await;
    }
    let _worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database
        .count_reaches("delivered", i64::try_from(cases.len()).unwrap())
        .await;
    for delivery in database.deliveries(event).await {
        assert_eq!(delivery.state, "delivered", "{delivery:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_said_with_its_encoding() {
    for (content_type, body, reason) in [
        (
            "content-type: text/plain; charset=IBM037\r\n",
            &b"\xd9\xc5\xc3\xc5\xc9\xe5\xc5\xc4"[..],
            "is in the charset \"IBM037\", which is not known",
        ),
        ("", b"\xff\xfe\0\0R\0\0\0", "is in UTF-32"),
        ("", b"RE\xc7U", "is not UTF-8"),
        (
            "content-type: a/b; charset=utf-16be\r\n",
            b"\0R\xd8\0\0x",
            "is not the UTF-16BE",
        ),
    ] {
        let database = Database::new().await;
        let address = saying(content_type, body).await;
        let settings = json!({
            "url": format!("http://{address}/"), "success_body": "RECEIVED", "max_attempts": 1,
        });
        database.subscribe("acme", "orders", settings).await;
        let _worker = Setup::new(&database).start().await;
        let event = database.publish("acme", "t1", "approved", "{}").await;
        database.reaches(event, "posting_error").await;
        let said: String = database.value("SELECT reason FROM posthorn.attempts").await;
        assert!(said.contains(reason), "{said}");
    }
}

/// What is kept of such an answer can be read, and is masked as any other.
#[tokio::test]
async fn an_echo_in_another_encoding_is_masked() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::new().await;
    let address = saying("", &utf16("sorry, hunter2canary é", true, u16::to_le_bytes)).await;
    let settings = json!({
        "url": format!("http://{address}/"), "success_statuses": ["204"], "max_attempts": 1,
        "auth": "basic", "auth_secret": write(&directory, "key", "user:hunter2canary"),
    });
    database.subscribe("acme", "orders", settings).await;
    let _worker = Setup::new(&database).start().await;
    let event = database.publish("acme", "t1", "approved", "{}").await;
    database.reaches(event, "posting_error").await;
    let kept: String = database.value("SELECT body FROM posthorn.attempts").await;
    assert_eq!(kept, "sorry, [secret] é");
}

#[tokio::test]
async fn a_token_is_read_in_the_encoding_that_it_has() {
    const TOKEN: &str = r#"{"access_token":"t1","token_type":"Bearer","expires_in":3600}"#;
    let directory = tempfile::tempdir().unwrap();
    let marked = [b"\xef\xbb\xbf", TOKEN.as_bytes()].concat();
    for body in [
        marked,
        utf16(TOKEN, true, u16::to_le_bytes),
        [TOKEN.as_bytes(), b"\0"].concat(),
    ] {
        let database = Database::new().await;
        let receiver = receiver().await;
        let issuer = saying("content-type: application/json\r\n", &body).await;
        let settings = json!({
            "url": receiver.url("/hook"), "auth": "oauth2", "max_attempts": 1,
            "oauth2_token_url": format!("http://{issuer}/token"),
            "auth_secret": write(&directory, "client", "id:secret"),
        });
        database.subscribe("acme", "orders", settings).await;
        let _worker = Setup::new(&database).start().await;
        let event = database.publish("acme", "t1", "approved", "{}").await;
        database.reaches(event, "delivered").await;
        assert_eq!(receiver.requests()[0].headers["authorization"], "Bearer t1");
    }
}
