//! Real exchanges with servers on loopback; no packet goes anywhere else.

#![allow(
    clippy::disallowed_methods,
    reason = "a test takes its times from the machine"
)]

#[path = "../../../tests/support/authority.rs"]
mod authority;
mod dns;
mod exchanges;
mod exit;
mod failures;
mod hostile;
mod mutual_tls;
mod names;
mod oauth2;
mod rebinding;
mod receiver;
mod trust;
mod vectors;

use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use http::{HeaderMap, Method};
use url::Url;

use super::{EgressPolicy, Network, Sender};
use crate::model::subscription::TlsSettings;
use crate::model::{
    Answer, Credential, FailureClass, Outcome, Spelling, Subscription, Wire, samples,
};
use crate::shape::Request;

const ANSWER_CAP: usize = 64 * 1024;

/// Stands in the query of failing requests and in bad PEM, and must show up nowhere.
const CANARY: &str = "canary-8d1f";

/// What is said of a network in which these may be sent to.
fn allowing(networks: &[&str]) -> Network {
    let allow = networks.iter().map(|net| net.parse().unwrap());
    Network {
        policy: EgressPolicy {
            allow: allow.collect(),
            ..EgressPolicy::default()
        },
        ..Network::default()
    }
}

fn loopback_sender() -> Sender {
    Sender::new(allowing(&["127.0.0.0/8", "::1/128"]), ANSWER_CAP)
}

fn post(url: &str) -> Request {
    Request {
        method: Method::POST,
        url: Url::parse(url).unwrap(),
        headers: HeaderMap::new(),
        spelling: Spelling::default(),
        body: Bytes::from_static(b"{}"),
    }
}

async fn send(sender: &Sender, url: &str, subscription: &Subscription) -> Outcome {
    send_request(sender, &mut post(url), subscription).await
}

async fn send_request(
    sender: &Sender,
    request: &mut Request,
    subscription: &Subscription,
) -> Outcome {
    sender
        .send(request, subscription, Credential::Current, Utc::now())
        .await
}

/// Sends for a subscription without anything of its own.
async fn send_plainly(url: &str) -> Outcome {
    let subscription = subscription(TlsSettings::default());
    send(&loopback_sender(), url, &subscription).await
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
        tls,
        timeout: Duration::from_secs(20),
        connect_timeout: Duration::from_secs(10),
        ..samples::subscription()
    }
}
