//! Any bytes for an answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use posthorn::judge::judge;
use posthorn::mask::Mask;
use posthorn::model::{Credential, Settings, Wire};
use posthorn::send::{EgressPolicy, Network, Sender};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::text::{damaged, hostile};
use crate::{cases, event, resolved, shaped};

const CAP: usize = 1024;

/// Panics of any task, those of the HTTP library included.
static PANICS: AtomicUsize = AtomicUsize::new(0);

const PLAIN: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nretry-after: 120\r\nlocation: /x\r\n\r\nhello";
const CHUNKED: &str =
    "HTTP/1.1 302 Found\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nt: r\r\n\r\n";

/// Each connection gets the answer of the moment, whole, and ends.
async fn serve(listener: TcpListener, answer: Arc<Mutex<Vec<u8>>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let answer = answer.lock().unwrap().clone();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).await;
        let _ = stream.write_all(&answer).await;
        let _ = stream.shutdown().await;
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the time is only passed on")]
fn any_bytes_are_an_answer_or_a_failure() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let settings = Settings {
        url: Some(format!("http://{}/", listener.local_addr().unwrap())),
        timeout: Some(Duration::from_secs(5)),
        ..Settings::default()
    };
    let subscription = resolved(&settings, "").unwrap();
    let policy = EgressPolicy {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressPolicy::default()
    };
    let sender = Sender::new(
        Network {
            policy,
            ..Network::default()
        },
        CAP,
    );
    let answer: Arc<Mutex<Vec<u8>>> = Arc::default();
    runtime.spawn(serve(listener, Arc::clone(&answer)));
    let strategy = prop_oneof![
        2 => damaged(PLAIN).prop_map(String::into_bytes),
        2 => damaged(CHUNKED).prop_map(String::into_bytes),
        1 => hostile().prop_map(|text| format!("HTTP/1.1 200 {text}").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..2000),
    ];
    let (answers, failures) = (AtomicUsize::new(0), AtomicUsize::new(0));
    TestRunner::new(cases(4_000))
        .run(&strategy, |bytes| {
            let event = event("approved", "{}");
            let mut request = shaped(&event, &subscription).unwrap();
            *answer.lock().unwrap() = bytes;
            let outcome = runtime.block_on(sender.send(
                &mut request,
                &subscription,
                Credential::Current,
                Utc::now(),
            ));
            let judgement = judge(&outcome.wire, &subscription.success);
            let mask = Mask::of(&event, &subscription, &request, &outcome.wire);
            let reason = mask.line(&judgement.reason);
            prop_assert!(reason.chars().count() <= 200);
            prop_assert!(!reason.chars().any(char::is_control));
            match outcome.wire {
                Wire::Answer(answer) => {
                    prop_assert!(answer.body.len() <= CAP);
                    let kept = mask.body(&answer.body).unwrap_or_default();
                    prop_assert!(kept.len() <= 2048 && !kept.contains('\0'));
                    answers.fetch_add(1, Ordering::Relaxed);
                }
                Wire::Failed { .. } => {
                    failures.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        })
        .unwrap();
    println!("{answers:?} answers, {failures:?} failures");
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
    assert!(answers.into_inner() > 100 && failures.into_inner() > 100);
}
