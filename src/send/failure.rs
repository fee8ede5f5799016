//! Says why no answer came, by the types of the causes and never by their text.
//!
//! Only causes whose text is known to hold no payload and no URL are quoted.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::pki_types::InvalidDnsNameError;
use rustls::{AlertDescription, CertificateError};

use super::connector::ConnectError;
use super::dial::DialError;
use super::egress::Refusal;
use super::http1::Broken;
use super::meter::TooMuch;
use super::pinned::webpki_error;
use super::resolver::LookupError;
use super::tls::TlsError;
use crate::model::{FailureClass, Wire};

#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) class: FailureClass,
    pub(super) cause: String,
}

impl Failure {
    pub(super) fn new(class: FailureClass, cause: impl Into<String>) -> Self {
        Self {
            class,
            cause: cause.into(),
        }
    }

    /// Makes the failure of a token server that answered with something else than a token.
    pub(super) fn token(refused: bool, cause: impl Into<String>) -> Self {
        Self::new(FailureClass::Token { refused }, cause)
    }

    /// Makes of the failure what came over the wire; `place` is what an operator may see of where
    /// it happened.
    pub(super) fn at(self, place: &str) -> Wire {
        Wire::Failed {
            class: self.class,
            detail: format!("{place}: {}", self.cause),
        }
    }

    /// Makes the failure of a total deadline that passed; `what` is what had not happened by then.
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

impl From<&ConnectError> for Failure {
    fn from(error: &ConnectError) -> Self {
        Self::new(class_of(error), error.to_string())
    }
}

fn class_of(error: &ConnectError) -> FailureClass {
    match error {
        ConnectError::Refused(_) | ConnectError::Dial(DialError::Refused(_)) => {
            FailureClass::Refused
        }
        ConnectError::Lookup(_) => FailureClass::Dns,
        // The proxy's own name, or its address.
        ConnectError::NoProxy(_, cause) => class_of(cause),
        ConnectError::Dial(_) | ConnectError::Proxy(..) | ConnectError::Late => {
            FailureClass::Connect
        }
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        match &broken {
            Broken::Connect(error) => no_connection(error.as_ref()),
            Broken::Io(error) => match innermost::<rustls::Error>(error) {
                Some(tls) => Self::new(FailureClass::Tls, tls_cause(tls)),
                None => Self::new(FailureClass::Protocol, io_cause(error)),
            },
            said => Self::new(FailureClass::Protocol, said.to_string()),
        }
    }
}

fn no_connection(error: &(dyn Error + 'static)) -> Failure {
    for cause in causes(error) {
        if let Some(connect) = cause.downcast_ref::<ConnectError>() {
            return connect.into();
        }
        // TLS reads the name before anybody looks it up. What is no name for it is none
        // for the DNS either.
        if cause.is::<InvalidDnsNameError>() {
            return (&ConnectError::Lookup(LookupError::NotAName)).into();
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Failure::new(FailureClass::Tls, tls_cause(tls));
        }
    }
    // A dial cannot end so: this comes from the handshake that follows it.
    Failure::new(FailureClass::Tls, handshake_cause(error))
}

/// Gives an error and its causes, outermost first. An `io::Error` hides the error that it wraps:
/// its `source` is already the wrapped error's own.
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

/// Finds the innermost cause of a type: what is wrapped says more than its wrapping.
fn innermost<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
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
        InvalidCertificate(reason) => certificate_cause(reason),
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

fn certificate_cause(refused: &CertificateError) -> String {
    let cause = match (refused, webpki_error(refused)) {
        (CertificateError::NotValidForNameContext { presented, .. }, _) if presented.is_empty() => {
            "it names no host as its subjectAltName, and a common name is not enough; it has to be \
             issued anew with one"
        }
        (_, Some(webpki::Error::CaUsedAsEndEntity)) => {
            "it is marked as an authority's; name this very certificate in ca_cert, or have it \
             issued anew"
        }
        (_, Some(webpki::Error::UnsupportedCertVersion)) => {
            "it is of X.509 version 1, which names no host; it has to be issued anew as version 3"
        }
        _ => return format!("the receiver's certificate is refused: {refused}"),
    };
    format!("the receiver's certificate is refused: {cause}")
}

fn handshake_cause(error: &(dyn Error + 'static)) -> String {
    match innermost::<io::Error>(error).map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof) => {
            "the receiver closed the connection during the TLS handshake".to_owned()
        }
        Some(kind) => format!("the connection broke during the TLS handshake: {kind}"),
        None => "the TLS handshake failed".to_owned(),
    }
}

fn io_cause(error: &io::Error) -> String {
    if let Some(too_much) = innermost::<TooMuch>(error) {
        return too_much.to_string();
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Broken::Closed.to_string(),
        kind => format!("the connection broke: {kind}"),
    }
}
