//! Real exchanges with servers on loopback; no packet goes anywhere else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test ends where its set-up fails, and takes its times from the machine"
)]

mod exchanges;
mod failures;
mod mutual_tls;
mod receiver;

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use http::{HeaderMap, Method};
use url::Url;
use uuid::Uuid;

use super::{EgressPolicy, Sender};
use crate::model::subscription::{RequestForm, TlsSettings};
use crate::model::{
    Answer, Auth, Encoding, FailureClass, Order, Outcome, RetryPolicy, Schedule, Shard,
    StatusRanges, Subscription, SuccessRule, Wire,
};
use crate::shape::Request;

const ANSWER_CAP: usize = 64 * 1024;

/// Stands in the query of failing requests and in bad PEM, and must show up nowhere.
const CANARY: &str = "canary-8d1f";

fn loopback_sender() -> Sender {
    let loopback = ["127.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap());
    Sender::new(EgressPolicy::new(&loopback), ANSWER_CAP)
}

fn post(url: &str) -> Request {
    Request {
        method: Method::POST,
        url: Url::parse(url).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
    }
}

async fn send(sender: &Sender, url: &str, subscription: &Subscription) -> Outcome {
    sender.send(post(url), subscription, Utc::now()).await
}

fn answer(outcome: Outcome) -> Answer {
    match outcome.wire {
        Wire::Answer(answer) => answer,
        Wire::Failed { class, detail } => panic!("{class:?}: {detail}"),
    }
}

fn failure(outcome: Outcome) -> (FailureClass, String) {
    match outcome.wire {
        Wire::Failed { class, detail } => (class, detail),
        Wire::Answer(answer) => panic!("answered: {answer:?}"),
    }
}

/// Of a subscription, a sender sees the TLS settings and the timeouts.
pub(super) fn subscription(tls: TlsSettings) -> Subscription {
    Subscription {
        id: Uuid::nil(),
        merchant: "m1".into(),
        name: "hook".into(),
        shard: Shard(0),
        revision: 1,
        created_at: Utc::now(),
        enabled: true,
        paused: false,
        usable: true,
        kinds: Vec::new(),
        statuses: Vec::new(),
        form: RequestForm {
            url: Url::parse("https://receiver.example/").unwrap(),
            method: crate::model::Method::Post,
            encoding: Encoding::Json,
            fields: None,
            xml_root: "event".into(),
        },
        auth: Auth::None,
        tls,
        success: SuccessRule {
            statuses: StatusRanges(vec![(200, 299)]),
            body: None,
            give_up: StatusRanges::default(),
        },
        retry: RetryPolicy {
            schedule: Schedule::Fixed(Duration::from_mins(1)),
            max_attempts: Some(5),
            max_age: None,
            cap: Duration::from_hours(1),
            honour_retry_after: true,
        },
        timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(10),
        max_in_flight: 10,
        rate: None,
        order: Order::None,
        supersede: false,
    }
}
