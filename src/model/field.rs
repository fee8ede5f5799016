//! The field map: which values travel, under which names, and how they are written.

use std::fmt;

/// One entry of a field map, in the order of the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub source: FieldSource,
    /// Replaces a value found here by the text beside it; others pass through.
    pub map: Vec<(String, String)>,
    /// What is made of the value behind the map, step by step.
    pub format: Vec<Step>,
    /// When the field is left out instead of being sent.
    pub omit_when: OmitWhen,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldSource {
    EventId,
    Merchant,
    Kind,
    TransactionId,
    Status,
    /// The event's `created_at` in RFC 3339 with microseconds, UTC.
    CreatedAt,
    /// See [`delivery_id`](super::delivery::delivery_id).
    DeliveryId,
    /// The number of this attempt, from 1.
    Attempt,
    /// The time of this attempt, in the form of `CreatedAt`.
    Time,
    /// See [`TokenKey`](super::TokenKey).
    SecurityToken,
    /// RFC 6901, into the published data.
    Pointer(String),
    Literal(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OmitWhen {
    /// Never: a missing source is a posting error.
    #[default]
    Never,
    /// The source is not there.
    Missing,
    /// It is not there, or JSON `null`.
    Null,
    /// It is not there, `null`, or the empty text.
    Empty,
}

/// What a value is made into. One that does not fit, as `null`, objects and lists fit
/// nothing but [`Step::Json`], is a posting error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Text in JSON too, where it would be a number, `true` or `false`.
    Text,
    /// A number in JSON, in the digits that it has.
    Number,
    /// `true` or `false` in JSON.
    Boolean,
    /// The JSON text of the value as it was published, as one text.
    Json,
    Upper,
    Lower,
    /// A number with so many decimals, if it is exactly one.
    Decimal(Decimals),
    /// From the unit to its part with so many decimals, such as euros to cents: a whole
    /// number, if it is exactly one.
    Minor(Decimals),
    /// The other way round: a number with so many decimals.
    Major(Decimals),
    /// An RFC 3339 time in UTC, with so many digits of the second's fraction.
    Rfc3339(u8),
    /// A time as whole seconds since 1970.
    Unix,
    /// The same in milliseconds.
    UnixMillis,
    /// A time in UTC by a pattern of strftime.
    Time(String),
}

/// How many decimals an amount has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decimals {
    Fixed(u8),
    /// As many as the currency has whose ISO 4217 code this pointer finds in the published
    /// data.
    OfCurrency(String),
}

impl Step {
    /// Where the published data has the currency that the step needs.
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

/// As the setting spells it, as [`Step`] below.
impl fmt::Display for Decimals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(decimals) => decimals.fmt(f),
            Self::OfCurrency(pointer) => f.write_str(pointer),
        }
    }
}

/// As the setting spells it.
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
