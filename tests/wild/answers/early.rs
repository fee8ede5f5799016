//! Receivers that answer before they have read the request, and close with data unread.

use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::once;
use super::raw::Raw;
use crate::support::authority;
use crate::support::{Database, Setup, Worker, alone_among_the_heavy};

/// What such receivers keep of a request, bytes.
const BUFFER: u32 = 4 * 1024;

/// Events for each answer.
const EVENTS: i64 = 100;

/// No more than the head is read.
async fn head(stream: &mut (impl AsyncRead + Unpin)) {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(_) => return,
        }
    }
}

fn saying(line: &str) -> String {
    format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

async fn plain(line: &'static str) -> Raw {
    Raw::with_buffer(Some(BUFFER), move |mut caller| async move {
        head(&mut caller.stream).await;
        let _ = caller.stream.write_all(saying(line).as_bytes()).await;
    })
    .await
}

/// The receiver, and its certificate in PEM.
async fn by_tls(line: &'static str) -> (Raw, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let pem = certificate.pem();
    let acceptor = authority::server(&(certificate, key));
    let receiver = Raw::with_buffer(Some(BUFFER), move |caller| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(caller.stream).await else {
                return;
            };
            head(&mut stream).await;
            let _ = stream.write_all(saying(line).as_bytes()).await;
            let _ = stream.flush().await;
        }
    })
    .await;
    (receiver, pem)
}

/// 256 kB.
fn large() -> String {
    format!("{{\"text\": \"{}\"}}", "x".repeat(255 * 1024))
}

async fn publish_many(database: &Database, merchant: &str) {
    let data = large();
    for _ in 0..EVENTS {
        database.publish(merchant, "t1", "approved", &data).await;
    }
}

/// Each delivery had one attempt, whose status was read.
async fn assert_all_answered(database: &Database, status: i16) {
    let answered: i64 = database
        .value(&format!(
            "SELECT count(*) FROM posthorn.attempts WHERE http_status = {status}"
        ))
        .await;
    let others: Vec<(String,)> =
        sqlx::query_as("SELECT DISTINCT reason FROM posthorn.attempts WHERE http_status IS NULL")
            .fetch_all(&database.pool)
            .await
            .unwrap();
    assert_eq!((answered, &others[..]), (EVENTS, &[][..]));
}

/// Seen with a receiver behind nginx with `client_max_body_size`: a tenth to a half of its
/// 413s were "connection reset".
#[tokio::test]
async fn an_answer_before_the_request_was_read_counts() {
    let _turn = alone_among_the_heavy().await;
    let database = Database::new().await;
    let refuses = plain("413 Content Too Large").await;
    let settings = once(&refuses.url(), json!({"give_up_statuses": ["413"]}));
    database.subscribe("refused", "orders", settings).await;
    let takes = plain("200 OK").await;
    database
        .subscribe("taken", "orders", once(&takes.url(), json!({})))
        .await;
    let _worker = Worker::start(&database, "").await;
    publish_many(&database, "refused").await;
    database.count_reaches("posting_error", EVENTS).await;
    assert_all_answered(&database, 413).await;
    publish_many(&database, "taken").await;
    database.count_reaches("delivered", EVENTS).await;
    assert_all_answered(&database, 200).await;
}

#[tokio::test]
async fn and_by_tls() {
    let _turn = alone_among_the_heavy().await;
    let database = Database::new().await;
    let (refuses, pem) = by_tls("413 Content Too Large").await;
    let url = format!("https://{}/hook", refuses.address);
    let settings = json!({"give_up_statuses": ["413"], "ca_cert": "env:CA"});
    database
        .subscribe("refused", "orders", once(&url, settings))
        .await;
    let _worker = Setup::new(&database).env("CA", pem).start().await;
    publish_many(&database, "refused").await;
    database.count_reaches("posting_error", EVENTS).await;
    assert_all_answered(&database, 413).await;
}
