//! The field map: which values travel, under which names, and how they are written.

use std::fmt;

/// One entry of a field map, in the order of the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name that the receiver expects.
    pub name: String,
    /// Where the value comes from.
    pub source: FieldSource,
    /// The texts that take the place of found values: each found text, and the one to send; others
    /// pass through.
    pub map: Vec<(String, String)>,
    /// What is made of the value behind the map, step by step.
    pub format: Vec<Step>,
    /// When the field is left out instead of being sent.
    pub omit_when: OmitWhen,
}

/// Where the value of a field comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldSource {
    /// The event's id.
    EventId,
    /// The merchant's name.
    Merchant,
    /// The event's kind, such as `payment.approved`.
    Kind,
    /// The provider's name for the transaction.
    TransactionId,
    /// The transaction's new status.
    Status,
    /// The event's `created_at` in RFC 3339 with microseconds, UTC.
    CreatedAt,
    /// The id of the delivery: see [`delivery_id`](super::delivery::delivery_id).
    DeliveryId,
    /// The number of this attempt, from 1.
    Attempt,
    /// The time of this attempt, in the form of `CreatedAt`.
    Time,
    /// A token by which the receiver can ask whether the message is authentic: see
    /// [`TokenKey`](super::TokenKey).
    SecurityToken,
    /// What a JSON pointer (RFC 6901) finds in the published data.
    Pointer(String),
    /// A text that is the same in every message.
    Literal(String),
}

/// When a field is left out of the message instead of being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OmitWhen {
    /// Never: a missing source is a posting error.
    #[default]
    Never,
    /// The field is left out where its source is not there.
    Missing,
    /// The field is left out where its source is not there, or JSON `null`.
    Null,
    /// The field is left out where its source is not there, `null`, or the empty text.
    Empty,
}

/// One step of a field's format: what a value is made into. A value that does not fit, as `null`,
/// objects and lists fit nothing but [`Step::Json`], is a posting error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Text, in JSON too, where the value would be a number, `true` or `false` there.
    Text,
    /// A number in JSON, in the digits that it has.
    Number,
    /// `true` or `false` in JSON.
    Boolean,
    /// The JSON text of the value as it was published, as one text.
    Json,
    /// Text in capital letters.
    Upper,
    /// Text in small letters.
    Lower,
    /// A number with so many decimals, if it is exactly one.
    Decimal(Decimals),
    /// An amount in the currency's smaller unit, such as euros made into cents: a whole number, if
    /// the value times ten to the decimals is exactly one.
    Minor(Decimals),
    /// An amount in the currency's main unit, such as cents made into euros: a number with so many
    /// decimals.
    Major(Decimals),
    /// An RFC 3339 time in UTC, with so many digits of the second's fraction.
    Rfc3339(u8),
    /// A time as whole seconds since 1970.
    Unix,
    /// A time as whole milliseconds since 1970.
    UnixMillis,
    /// A time in UTC by a pattern of strftime.
    Time(String),
}

/// How many decimals an amount has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decimals {
    /// So many decimals, whatever the currency.
    Fixed(u8),
    /// As many as the currency has whose ISO 4217 code this pointer finds in the published
    /// data.
    OfCurrency(String),
}

impl Step {
    /// The pointer to the currency in the published data, where the step needs one.
    #[must_use]
    pub fn currency(&self) -> Option<&str> {
        match self {
            Self::Decimal(decimals) | Self::Minor(decimals) | Self::Major(decimals) => {
                match decimals {
                    Decimals::Fixed(_) => None,
                    Decimals::OfCurrency(pointer) => Some(pointer),
                }
            }
            _ => None,
        }
    }
}

impl From<u8> for Decimals {
    fn from(decimals: u8) -> Self {
        Self::Fixed(decimals)
    }
}

/// Writes the decimals as the setting spells them, as [`Step`] below.
impl fmt::Display for Decimals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(decimals) => decimals.fmt(f),
            Self::OfCurrency(pointer) => f.write_str(pointer),
        }
    }
}

/// Writes the step as the setting spells it.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Number => f.write_str("number"),
            Self::Boolean => f.write_str("boolean"),
            Self::Json => f.write_str("json"),
            Self::Upper => f.write_str("upper"),
            Self::Lower => f.write_str("lower"),
            Self::Decimal(decimals) => write!(f, "decimal:{decimals}"),
            Self::Minor(decimals) => write!(f, "minor:{decimals}"),
            Self::Major(decimals) => write!(f, "major:{decimals}"),
            Self::Rfc3339(0) => f.write_str("rfc3339"),
            Self::Rfc3339(digits) => write!(f, "rfc3339:{digits}"),
            Self::Unix => f.write_str("unix"),
            Self::UnixMillis => f.write_str("unix_ms"),
            Self::Time(pattern) => write!(f, "time:{pattern}"),
        }
    }
}
