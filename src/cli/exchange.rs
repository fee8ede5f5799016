//! An exchange as people read it: the request as it goes out, and what came of it.

use std::fmt::Write as _;
use std::io::{self, Write};

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue};

use super::printable::Printable;
use crate::mask::Mask;
use crate::model::{Auth, Judgement, Outcome, Subscription, Verdict, Wire};
use crate::shape::Request;

/// Stands for a credential.
const MASK: &str = "***";

/// The request byte for byte as HTTP/1.1 carries it, but for its credentials.
pub fn write_request(
    request: &Request,
    subscription: &Subscription,
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(head(request, subscription).as_bytes())?;
    out.write_all(&request.body)
}

/// With what the HTTP client adds, in the order in which it writes.
fn head(request: &Request, subscription: &Subscription) -> String {
    let mut target = request.url.path().to_owned();
    if let Some(query) = request.url.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut text = format!("{} {target} HTTP/1.1\r\n", request.method);
    for (name, value) in &request.headers {
        line(&mut text, name, &shown(value));
    }
    if let Auth::OAuth2(_) = subscription.auth {
        line(&mut text, &AUTHORIZATION, &format!("Bearer {MASK}"));
    }
    line(&mut text, &ACCEPT, "*/*");
    line(&mut text, &HOST, &host(request));
    if !request.body.is_empty() || request.method == http::Method::POST {
        line(&mut text, &CONTENT_LENGTH, &request.body.len().to_string());
    }
    text + "\r\n"
}

fn line(text: &mut String, name: &HeaderName, value: &str) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{name}: {value}\r\n");
}

/// Of a credential with a scheme, the scheme.
fn shown(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    if !value.is_sensitive() {
        return text.into_owned();
    }
    match text.split_once(' ') {
        Some((scheme @ ("Basic" | "Bearer"), _)) => format!("{scheme} {MASK}"),
        _ => MASK.to_owned(),
    }
}

fn host(request: &Request) -> String {
    let host = request.url.host_str().unwrap_or_default();
    match request.url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// The answer as it would be kept, and what the subscription's rule says of it.
pub fn outcome(outcome: &Outcome, judgement: &Judgement, mask: &Mask) -> String {
    let mut text = String::new();
    match &outcome.wire {
        Wire::Answer(answer) => {
            let _ = writeln!(text, "{} {}", answer.status, mask.line(&answer.reason));
            if let Some(retry_after) = &answer.retry_after {
                let _ = writeln!(text, "retry-after: {}", mask.line(retry_after));
            }
            if let Some(body) = mask.body(&answer.body) {
                let _ = writeln!(text, "\n{}", Printable(&body));
            }
        }
        Wire::Failed { detail, .. } => {
            let _ = writeln!(text, "no answer: {}", mask.line(detail));
        }
    }
    let verdict = match judgement.verdict {
        Verdict::Delivered => "delivered",
        Verdict::Retry => "would be tried again",
        Verdict::GiveUp => "would be given up",
        Verdict::Disable => "would be given up, and the subscription disabled",
    };
    let took = outcome.duration.as_secs_f64() * 1000.0;
    let _ = writeln!(
        text,
        "\n{verdict}: {}, after {took:.1} ms",
        mask.line(&judgement.reason)
    );
    text
}
