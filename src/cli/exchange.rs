//! An exchange as people read it: the request as it goes out, and what came of it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::printable::Printable;
use crate::mask::Mask;
use crate::model::{Auth, Judgement, Outcome, Subscription, Verdict, Wire};
use crate::send::head_of;
use crate::shape::Request;

/// The text that stands for a credential.
const MASK: &str = "***";

/// The name that stands for a header whose own name may be a part of a credential.
const UNTOLD: HeaderName = HeaderName::from_static(MASK);

/// Writes the request byte for byte as HTTP/1.1 carries it, but for its credentials.
pub fn write_request(
    request: &Request,
    subscription: &Subscription,
    out: &mut impl Write,
) -> io::Result<()> {
    out.write_all(&head(request, subscription))?;
    out.write_all(&request.body)
}

fn head(request: &Request, subscription: &Subscription) -> Vec<u8> {
    let mut request = request.clone();
    if let Auth::OAuth2(_) = subscription.auth {
        let mut bearer = HeaderValue::from_static("Bearer ");
        bearer.set_sensitive(true);
        request.headers.insert(AUTHORIZATION, bearer);
    }
    if let Some(name) = subscription.auth.guessed_header()
        && let Some(value) = request.headers.remove(name)
    {
        request.headers.insert(UNTOLD, value);
    }
    head_of(request, shown)
}

/// What is shown of a header's value: of a credential with a scheme, the scheme.
fn shown(value: &HeaderValue) -> Cow<'_, [u8]> {
    if !value.is_sensitive() {
        return value.as_bytes().into();
    }
    let text = String::from_utf8_lossy(value.as_bytes());
    let masked = match text.split_once(' ') {
        Some((scheme @ ("Basic" | "Bearer"), _)) => format!("{scheme} {MASK}"),
        _ => MASK.to_owned(),
    };
    masked.into_bytes().into()
}

/// Writes the answer as it would be kept, and what the subscription's rule says of it.
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
