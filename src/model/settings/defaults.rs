//! The engine's defaults: what holds where neither the subscription nor its profile
//! says anything. From the table of WIRE.md, "Where they conflict: one model"; what the
//! table leaves open says its reason here.

use std::time::Duration;

use http::HeaderName;

use super::Settings;
use crate::model::subscription::{Nested, Space, XmlIllegal};
use crate::model::{Emit, Encoding, Method, Order, Scope};

/// A subscription is for all of the merchant's transactions.
pub const SCOPE: Scope = Scope::Merchant;

/// A subscription gets every event that matches.
pub const EMIT: Emit = Emit::Every;

/// The payload travels in the body.
pub const METHOD: Method = Method::Post;

/// The encoding of a POST is JSON. A GET has one possible encoding, `query`.
pub const ENCODING: Encoding = Encoding::Json;

/// The name of an XML document's outermost element: the payload tells a receiver of a change.
pub const XML_ROOT: &str = "notification";

/// Objects and lists in a form become dotted names: every value has a name of its own, and what was
/// flat stays flat.
pub const NESTED: Nested = Nested::Dotted;

/// A space in a form is a `+`, as browsers write forms.
pub const SPACE: Space = Space::Plus;

/// A character that XML cannot carry becomes U+FFFD: a control character in a comment must not keep
/// a payment's status from its receiver.
pub const XML_ILLEGAL: XmlIllegal = XmlIllegal::Replace;

/// Requests ask for an answer that is not compressed, because answers are read as they come.
pub const ASKS_FOR_IDENTITY: bool = true;

/// The header of the event's id, by the name of Standard Webhooks.
pub const ID_HEADER: HeaderName = HeaderName::from_static("webhook-id");
/// The header of the attempt's time, by the name of Standard Webhooks.
pub const TIMESTAMP_HEADER: HeaderName = HeaderName::from_static("webhook-timestamp");
/// The header of the attempt's number: Standard Webhooks has none, so it is in its style.
pub const ATTEMPT_HEADER: HeaderName = HeaderName::from_static("webhook-attempt");

/// The statuses that count as delivered.
pub const SUCCESS_STATUSES: &[(u16, u16)] = &[(200, 299)];

/// The first delay of an exponential schedule: long enough for a receiver's restart to be over
/// after a few tries.
pub const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Each delay is twice as long as the one before.
pub const RETRY_FACTOR: f64 = 2.0;

/// Each delay is spread by a tenth of itself to either side, so that deliveries that failed
/// together are not tried together.
pub const RETRY_JITTER: f64 = 0.1;

/// The longest delay: a receiver that is back after a long outage hears of it within the hour. A
/// schedule whose own delays are longer raises it to its longest.
pub const RETRY_CAP: Duration = Duration::from_hours(1);

/// How long after the event's insertion retries are made where nothing else ends them. With
/// `max_attempts` or a list of delays, only a `max_age` that is given counts, so that a pause does
/// not use up a delivery.
pub const MAX_AGE: Duration = Duration::from_hours(72);

/// A receiver's `Retry-After` puts the next attempt off.
pub const RETRY_AFTER: bool = true;

/// How long a whole exchange may take.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may take to be made. Half of the timeout: an address that does not answer
/// leaves time for the next one.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The most requests in the air at once.
pub const MAX_IN_FLIGHT: u16 = 10;

/// Deliveries are sent each on its own.
pub const ORDER: Order = Order::None;

/// Every event is sent, also those that a newer one has overtaken.
pub const SUPERSEDE: bool = false;

/// Gives the defaults beside these settings as settings of their own, for people to see. Defaults
/// that mean "none" or "all", which no value stands for, are left out.
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
