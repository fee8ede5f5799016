//! Says why no complete answer came, by the types of the causes and never by their text.
//!
//! Only causes whose text is known to hold no payload and no URL are quoted.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};

use super::egress::Refusal;
use super::resolver::LookupError;
use super::tls::TlsError;
use crate::model::{FailureClass, Wire};

const CUT_SHORT: &str = "the connection was closed before the answer was complete";

#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) class: FailureClass,
    pub(super) cause: String,
}

impl Failure {
    fn new(class: FailureClass, cause: impl Into<String>) -> Self {
        Self {
            class,
            cause: cause.into(),
        }
    }

    /// The token server answered with something else than a token.
    pub(super) fn token(refused: bool, cause: impl Into<String>) -> Self {
        Self::new(FailureClass::Token { refused }, cause)
    }

    /// `place` is what an operator may see of where it happened.
    pub(super) fn at(self, place: &str) -> Wire {
        Wire::Failed {
            class: self.class,
            detail: format!("{place}: {}", self.cause),
        }
    }

    /// The total deadline passed; `what` is what had not happened by then.
    pub(super) fn timeout(what: &str, limit: Duration) -> Self {
        Self::new(
            FailureClass::Timeout,
            format!("{what} within {}", humantime::format_duration(limit)),
        )
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::new(FailureClass::Refused, refusal.to_string())
    }
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        Self::new(FailureClass::Tls, error.to_string())
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        for cause in causes(&error) {
            if let Some(refusal) = cause.downcast_ref::<Refusal>() {
                return refusal.clone().into();
            }
            if let Some(lookup) = cause.downcast_ref::<LookupError>() {
                return Self::new(
                    FailureClass::Dns,
                    format!("the name look-up failed: {lookup}"),
                );
            }
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                return Self::new(FailureClass::Tls, tls_cause(tls));
            }
        }
        if error.is_connect() {
            return connect_failure(&error);
        }
        Self::new(FailureClass::Protocol, protocol_cause(&error))
    }
}

/// An error and its causes, outermost first. An `io::Error` hides the error that it
/// wraps: its `source` is already the wrapped error's own.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        match error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

/// The innermost cause of a type: what is wrapped says more than its wrapping.
fn innermost<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<E>())
        .last()
}

fn tls_cause(error: &rustls::Error) -> String {
    use rustls::Error::{AlertReceived, InvalidCertificate, InvalidMessage};

    match error {
        InvalidCertificate(CertificateError::UnknownIssuer) => {
            "the receiver's certificate is not signed by a trusted authority".to_owned()
        }
        InvalidCertificate(reason) => format!("the receiver's certificate is refused: {reason}"),
        AlertReceived(AlertDescription::CertificateRequired) => {
            "the receiver demands a client certificate".to_owned()
        }
        AlertReceived(AlertDescription::CertificateExpired) => {
            "the receiver refuses the client certificate: it has expired".to_owned()
        }
        AlertReceived(AlertDescription::UnknownCA) => {
            "the receiver refuses the client certificate: it does not know its authority".to_owned()
        }
        AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied),
        ) => format!("the receiver refuses the client certificate: {alert:?}"),
        AlertReceived(alert) => format!("the receiver ended the TLS handshake: {alert:?}"),
        InvalidMessage(_) => "the receiver does not speak TLS".to_owned(),
        other => format!("TLS failed: {other}"),
    }
}

fn connect_failure(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::new(
            FailureClass::Connect,
            "no connection within the connect timeout",
        );
    }
    match innermost::<io::Error>(error).map(io::Error::kind) {
        // A dial cannot end so: this comes from the handshake that follows it.
        Some(io::ErrorKind::UnexpectedEof) => Failure::new(
            FailureClass::Tls,
            "the receiver closed the connection during the TLS handshake",
        ),
        Some(kind) => Failure::new(FailureClass::Connect, format!("no connection: {kind}")),
        None => Failure::new(FailureClass::Connect, "no connection"),
    }
}

fn protocol_cause(error: &reqwest::Error) -> String {
    match innermost::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof) => return CUT_SHORT.to_owned(),
        Some(kind) => return format!("the connection broke: {kind}"),
        None => {}
    }
    let cause = match innermost::<hyper::Error>(error) {
        Some(hyper) if hyper.is_incomplete_message() => CUT_SHORT,
        Some(hyper) if hyper.is_parse_too_large() => "the answer's headers are too large",
        Some(hyper) if hyper.is_parse() => "the answer is not HTTP/1.1",
        Some(hyper) if hyper.is_canceled() || hyper.is_closed() => {
            "the connection was closed before the request was sent"
        }
        Some(_) => "the exchange broke off",
        None => "the request cannot be sent",
    };
    cause.to_owned()
}
