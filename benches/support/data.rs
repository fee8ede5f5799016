//! The data of the events: JSON of 500 bytes that carries the event's number; and the bodies
//! that are made of it.

use clap::ValueEnum;
use serde_json::{Value, json};

/// The size that the issue's figures and the floor's bodies share.
const BYTES: usize = 500;

/// Stands for the event's number in the template, and is as long.
pub const NUMBER: &str = "@@@@@@@@@";

const HEAD: &str = r#"{"number":"@@@@@@@@@","type":"payment","status":"approved","amount":{"value":129.90,"currency":"EUR"},"card":{"brand":"visa","last4":"4242"},"description":""#;
const TAIL: &str = r#""}"#;

/// `data` with [`NUMBER`] in the place of the number; PostgreSQL fills it in as well.
pub fn template() -> String {
    [HEAD, &filler(BYTES - HEAD.len() - TAIL.len()), TAIL].concat()
}

pub fn data(template: &str, number: usize) -> String {
    template.replace(NUMBER, &format!("{number:0width$}", width = NUMBER.len()))
}

fn filler(bytes: usize) -> String {
    let text = "Order of 3 articles, paid in one amount; ";
    text.chars().cycle().take(bytes).collect()
}

/// What a subscription makes of the data, and the bare client sends as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// The data as it was published, with Basic authentication.
    Json,
    /// A field map in XML, with a Standard Webhooks signature.
    Xml,
}

impl Form {
    /// Of a subscription.
    pub fn settings(self) -> Value {
        match self {
            Self::Json => json!({"auth": "basic", "auth_secret": "env:CREDENTIALS"}),
            Self::Xml => json!({
                "encoding": "xml",
                "signing": "standard_webhooks",
                "signing_secrets": ["env:SIGNING"],
                "fields": [
                    {"name": "id", "source": "event_id"},
                    {"name": "number", "source": "/number"},
                    {"name": "kind", "source": "kind"},
                    {"name": "status", "source": "status", "map": {"approved": "Approved"}},
                    {"name": "amount", "source": "/amount/value", "format": "minor:2"},
                    {"name": "currency", "source": "/amount/currency"},
                    {"name": "time", "source": "created_at", "format": "rfc3339"},
                    {"name": "description", "source": "/description"},
                ],
            }),
        }
    }

    /// A body as the worker makes it, with [`NUMBER`] in it.
    pub fn body(self) -> String {
        match self {
            Self::Json => template(),
            Self::Xml => format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<notification>\
                 <id>0198c5f0-6a6e-7000-8000-000000000000</id><number>{NUMBER}</number>\
                 <kind>payment.approved</kind><status>Approved</status><amount>12990</amount>\
                 <currency>EUR</currency><time>2026-03-01T12:00:00Z</time>\
                 <description>{}</description></notification>",
                filler(BYTES - HEAD.len() - TAIL.len())
            ),
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Xml => "application/xml; charset=utf-8",
        }
    }
}
