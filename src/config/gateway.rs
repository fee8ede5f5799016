//! `[gateway]`: where and for whom the gateway answers.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use serde_json::json;
use toml::de::DeValue;
use url::{Origin, Url};

use super::document::Section;
use super::{egress, http, value};
use crate::model::Field;
use crate::model::settings::check_fields;

/// The fields of a transaction's details, in the page's order (WIRE.md 2.4).
const RECEIPT: [&str; 17] = [
    "IsEMVVerifiedByPIN",
    "isEMVTransaction",
    "EMVCardEntryMode",
    "cardBrand",
    "cardExpirationMonth",
    "cardExpirationYear",
    "cardBINNumber",
    "cardHolderName",
    "lastFourDigits",
    "authorizationNumber",
    "responseCode",
    "responseMessage",
    "transactionStatus",
    "primaryTransactionID",
    "authorizationText",
    "transactionID",
    "transactionDate",
];

/// How the gateway listens, and what it allows its clients: the section `[gateway]`.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// The address at which it listens for clients.
    pub listen: SocketAddr,
    /// The address at which a gateway that is a process of its own answers for metrics and health.
    pub health_listen: SocketAddr,
    /// The URL by which clients reach it, for addresses that it hands out; none for the one that
    /// they asked by.
    pub url: Option<Url>,
    /// The origins of pages that may read answers and embed the page that listens.
    pub allowed_origins: Vec<String>,
    /// The proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// The most requests a second with one token.
    pub rate_per_token: NonZeroU32,
    /// The most requests a second from one address.
    pub rate_per_address: NonZeroU32,
    /// The most streams and waits that one token may have open.
    pub max_open_per_token: usize,
    /// The most connections at once, over all clients.
    pub max_connections: usize,
    /// The most connections of one address, requests that it has under way, and sessions of
    /// Socket.IO, each of them.
    pub max_connections_per_address: usize,
    /// The most bytes that all clients together have sent and are not understood yet, or that wait
    /// to be taken by them.
    pub buffer_bytes: usize,
    /// The share of `buffer_bytes` that one address may take.
    pub buffer_bytes_per_address: usize,
    /// The share of `buffer_bytes` that one token may take.
    pub buffer_bytes_per_token: usize,
    /// The longest that a request may wait for events.
    pub max_wait: Duration,
    /// The JSON pointer to the device's id in an event's data; none where events have no devices.
    pub device: Option<String>,
    /// The field map of what `ViewReceipt` answers.
    pub receipt: Vec<Field>,
    /// How long after a notification its security token is good.
    pub security_token_lifetime: Duration,
    /// The most events of the newest that are held in memory.
    pub memory_events: usize,
    /// The most bytes of the newest events that are held in memory.
    pub memory_bytes: usize,
}

impl Default for Gateway {
    #[expect(
        clippy::expect_used,
        reason = "the fields are constant, and a test reads them"
    )]
    fn default() -> Self {
        let field =
            |name| json!({"name": name, "source": format!("/{name}"), "omit_when": "missing"});
        let receipt = RECEIPT.into_iter().map(field).collect();
        Self {
            // Loopback: what reaches the world is a proxy that speaks TLS.
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8090)),
            health_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9465)),
            url: None,
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            rate_per_token: NonZeroU32::MIN.saturating_add(19),
            rate_per_address: NonZeroU32::MIN.saturating_add(99),
            max_open_per_token: 100,
            max_connections: 20_000,
            max_connections_per_address: 1_000,
            buffer_bytes: 268_435_456,
            buffer_bytes_per_address: 33_554_432,
            buffer_bytes_per_token: 16_777_216,
            max_wait: Duration::from_mins(1),
            device: None,
            receipt: check_fields(&receipt).expect("legal fields"),
            security_token_lifetime: Duration::from_mins(15),
            memory_events: 65_536,
            memory_bytes: 67_108_864,
        }
    }
}

impl Gateway {
    #[expect(clippy::too_many_lines, reason = "it is one list of settings")]
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        const MINUTE: Duration = Duration::from_mins(1);
        let default = Self::default();
        let rate = |section: &mut Section<'_>, key, default| {
            let rate = section.whole::<u32>(key, 1..=1_000_000);
            rate.and_then(NonZeroU32::new).unwrap_or(default)
        };
        // The largest event fits, as it is and as it is sent.
        let bytes = |section: &mut Section<'_>, key, default| {
            let bytes = section.whole(key, 4_194_304..=68_719_476_736);
            bytes.unwrap_or(default)
        };
        Self {
            listen: section
                .read("listen", http::address)
                .unwrap_or(default.listen),
            health_listen: section
                .read("health_listen", http::address)
                .unwrap_or(default.health_listen),
            url: section.read("url", url),
            allowed_origins: section.list("allowed_origins", origin).unwrap_or_default(),
            trusted_proxies: section
                .list("trusted_proxies", egress::network)
                .unwrap_or_default(),
            rate_per_token: rate(section, "rate_per_token", default.rate_per_token),
            rate_per_address: rate(section, "rate_per_address", default.rate_per_address),
            max_open_per_token: section
                .whole("max_open_per_token", 1..=1_000_000)
                .unwrap_or(default.max_open_per_token),
            max_connections: section
                .whole("max_connections", 1..=1_000_000)
                .unwrap_or(default.max_connections),
            max_connections_per_address: section
                .whole("max_connections_per_address", 1..=1_000_000)
                .unwrap_or(default.max_connections_per_address),
            buffer_bytes: bytes(section, "buffer_bytes", default.buffer_bytes),
            buffer_bytes_per_address: bytes(
                section,
                "buffer_bytes_per_address",
                default.buffer_bytes_per_address,
            ),
            buffer_bytes_per_token: bytes(
                section,
                "buffer_bytes_per_token",
                default.buffer_bytes_per_token,
            ),
            max_wait: section
                .duration("max_wait", Duration::from_secs(1)..=10 * MINUTE)
                .unwrap_or(default.max_wait),
            device: section.read("device", pointer),
            receipt: section
                .read("receipt", |found| check_fields(&value::json(found)?))
                .unwrap_or(default.receipt),
            security_token_lifetime: section
                .duration("security_token_lifetime", MINUTE..=1_440 * MINUTE)
                .unwrap_or(default.security_token_lifetime),
            memory_events: section
                .whole("memory_events", 1_000..=10_000_000)
                .unwrap_or(default.memory_events),
            memory_bytes: section
                .whole("memory_bytes", 1_048_576..=68_719_476_736)
                .unwrap_or(default.memory_bytes),
        }
    }
}

fn url(value: &DeValue<'_>) -> Result<Url, String> {
    let text = value::text(value)?;
    let url = Url::parse(&text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.query().is_none());
    url.ok_or_else(|| {
        "text that is not an address of the web; give one such as \"https://pay.example.com\""
            .to_owned()
    })
}

/// Reads an origin as browsers spell it in the header `Origin`.
fn origin(value: &DeValue<'_>) -> Result<String, String> {
    const REMEDY: &str = "give scheme and host, and a port that is not the usual one, such as \"https://shop.example.com\"";
    let text = value::text(value)?;
    let origin = match Url::parse(&text).map(|url| url.origin()) {
        Ok(origin @ Origin::Tuple(..)) => origin.ascii_serialization(),
        _ => return Err(format!("text that is not an origin; {REMEDY}")),
    };
    if origin != text {
        return Err(format!("text that browsers spell {origin}; {REMEDY}"));
    }
    Ok(origin)
}

/// Reads a JSON pointer (RFC 6901, section 3).
fn pointer(value: &DeValue<'_>) -> Result<String, String> {
    let text = value::text(value)?;
    let escapes = text.split('~').skip(1);
    let mut escapes = escapes.map(|escape| escape.starts_with(['0', '1']));
    if text.starts_with('/') && escapes.all(|is_one| is_one) {
        return Ok(text);
    }
    Err("text that is not a JSON pointer; give one such as \"/posData/device\"".to_owned())
}
