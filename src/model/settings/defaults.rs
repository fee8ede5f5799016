//! The engine's defaults: what holds where neither the subscription nor its profile
//! says anything. From the table of WIRE.md, "Where they conflict: one model"; what the
//! table leaves open says its reason here.

use std::time::Duration;

use http::HeaderName;

use super::Settings;
use crate::model::subscription::{Nested, Space, XmlIllegal};
use crate::model::{Emit, Encoding, Method, Order, Scope};

pub const SCOPE: Scope = Scope::Merchant;

pub const EMIT: Emit = Emit::Every;

pub const METHOD: Method = Method::Post;

/// Of a POST. A GET has one possible encoding, `query`.
pub const ENCODING: Encoding = Encoding::Json;

/// The payload tells a receiver of a change.
pub const XML_ROOT: &str = "notification";

/// Every value has a name of its own, and what was flat stays flat.
pub const NESTED: Nested = Nested::Dotted;

/// As browsers write forms.
pub const SPACE: Space = Space::Plus;

/// A control character in a comment must not keep a payment's status from its receiver.
pub const XML_ILLEGAL: XmlIllegal = XmlIllegal::Replace;

/// Answers are read as they come, so they had better not be compressed.
pub const ASKS_FOR_IDENTITY: bool = true;

/// The names of Standard Webhooks, and one in its style for what it has no header for.
pub const ID_HEADER: HeaderName = HeaderName::from_static("webhook-id");
pub const TIMESTAMP_HEADER: HeaderName = HeaderName::from_static("webhook-timestamp");
pub const ATTEMPT_HEADER: HeaderName = HeaderName::from_static("webhook-attempt");

pub const SUCCESS_STATUSES: &[(u16, u16)] = &[(200, 299)];

/// Long enough for a receiver's restart to be over after a few tries.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(5);

pub const RETRY_FACTOR: f64 = 2.0;

/// Spreads the retries of deliveries that failed together.
pub const RETRY_JITTER: f64 = 0.1;

/// A receiver that is back after a long outage hears of it within the hour. A schedule
/// whose own delays are longer raises it to its longest.
pub const RETRY_CAP: Duration = Duration::from_hours(1);

/// Holds where nothing else ends the retries: with `max_attempts` or a list of delays,
/// only a `max_age` that is given counts, so that a pause does not use up a delivery.
pub const MAX_AGE: Duration = Duration::from_hours(72);

pub const RETRY_AFTER: bool = true;

pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Half of the timeout: an address that does not answer leaves time for the next one.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub const MAX_IN_FLIGHT: u16 = 10;

pub const ORDER: Order = Order::None;

pub const SUPERSEDE: bool = false;

/// The defaults beside these settings as settings of their own: what people are shown.
/// Without those that mean "none" or "all", which no value stands for.
#[must_use]
pub fn written_out(given: &Settings) -> Settings {
    let text = |text: &str| Some(text.to_owned());
    let is_get = given.method.as_deref() == Some("GET");
    let is_xml = given.encoding.as_deref() == Some("xml");
    let is_fixed = given.retry.as_deref() == Some("fixed");
    let is_list = given.retry.as_deref() == Some("list");
    let is_exponential = !is_fixed && !is_list;
    let longest = given
        .retry_delays
        .iter()
        .flatten()
        .chain(&given.retry_interval)
        .max()
        .copied()
        .unwrap_or_default();
    let is_bounded = given.max_attempts.is_some() || is_list;
    Settings {
        scope: text("merchant"),
        method: text("POST"),
        encoding: text(if is_get { "query" } else { "json" }),
        nested: text("dotted"),
        space: text("+"),
        charset: text(if is_xml { "utf-8" } else { "unsaid" }),
        xml_root: text(XML_ROOT),
        xml_illegal: text("replace"),
        accept_encoding: text("identity"),
        id_header: text(ID_HEADER.as_str()),
        timestamp_header: text(TIMESTAMP_HEADER.as_str()),
        attempt_header: text(ATTEMPT_HEADER.as_str()),
        emit: text("every"),
        success_statuses: Some(
            SUCCESS_STATUSES
                .iter()
                .map(|(low, high)| format!("{low}-{high}"))
                .collect(),
        ),
        auth: text("none"),
        signing: text("none"),
        oauth2_client_auth: (given.auth.as_deref() == Some("oauth2")).then(|| "basic".to_owned()),
        retry: text("exponential"),
        retry_interval: is_exponential.then_some(RETRY_INTERVAL),
        retry_factor: is_exponential.then_some(RETRY_FACTOR),
        retry_jitter: is_exponential.then_some(RETRY_JITTER),
        retry_cap: Some(RETRY_CAP.max(longest)),
        max_age: (!is_bounded).then_some(MAX_AGE),
        retry_after: Some(RETRY_AFTER),
        timeout: Some(TIMEOUT),
        connect_timeout: Some(CONNECT_TIMEOUT),
        max_in_flight: Some(MAX_IN_FLIGHT.into()),
        order: text("none"),
        supersede: Some(SUPERSEDE),
        ..Settings::default()
    }
}
