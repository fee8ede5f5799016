//! Why a delivery can never be sent.

/// Why a delivery can never be sent. It becomes a `posting_error` at once, with this text as its
/// reason, which names fields and shapes, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// The data has nothing at a field's pointer.
    #[error("field `{field}`: nothing at {pointer} in the event's data")]
    Missing {
        /// The field's name.
        field: String,
        /// The JSON pointer that finds nothing.
        pointer: String,
    },
    /// A field's value does not fit its format.
    #[error("field `{field}`: {found} does not fit its format {format}")]
    Unfit {
        /// The field's name.
        field: String,
        /// What was found, by its shape.
        found: &'static str,
        /// The step that the value does not fit, as it is spelled.
        format: String,
    },
    /// A step needs a currency, and the data has none.
    #[error(
        "field `{field}`: {found} at {pointer}, where its format {format} needs an ISO 4217 code of a currency with a smaller unit"
    )]
    NoCurrency {
        /// The field's name.
        field: String,
        /// What was found in place of a currency, by its shape.
        found: &'static str,
        /// The JSON pointer to the currency.
        pointer: String,
        /// The step that needs the currency, as it is spelled.
        format: String,
    },
    /// An object or a list is there, and the setting says to refuse such.
    #[error("{place}: an object or a list, and the setting nested is \"refuse\"")]
    Nested {
        /// The member that it is in.
        place: String,
    },
    /// A character is there that XML cannot carry, and the setting says to refuse such.
    #[error(
        "{place}: U+{code_point:04X}, which XML cannot carry, and the setting xml_illegal is \"refuse\""
    )]
    NotXml {
        /// The member that it is in.
        place: String,
        /// The character's number.
        code_point: u32,
    },
    /// A character is there that the charset does not have.
    #[error(
        "{place}: U+{code_point:04X}, which the charset {charset} does not have; give another charset, such as utf-8"
    )]
    NotInCharset {
        /// The member that it is in.
        place: String,
        /// The character's number.
        code_point: u32,
        /// The charset's name.
        charset: &'static str,
    },
    /// The data is larger than a worker sends.
    #[error("the event's data has {bytes} bytes; worker.max_data_bytes allows {most}")]
    TooLarge {
        /// The bytes of the data.
        bytes: usize,
        /// The most bytes that a worker sends.
        most: usize,
    },
    /// The data was purged.
    #[error("the event's data was purged")]
    Purged,
    /// The data is not JSON.
    #[error("the event's data is not valid JSON at byte {at}")]
    Malformed {
        /// The byte at which it stops being JSON, from 0.
        at: usize,
    },
    /// The data is nested too deep.
    #[error("the event's data is nested deeper than {} levels", MAX_DEPTH)]
    TooDeep,
    /// The data is no object, and there is no field map to make one.
    #[error("the event's data is {found}; without a field map this encoding needs an object")]
    NotAnObject {
        /// What the data is instead.
        found: &'static str,
    },
    /// The encoded payload would be too long.
    #[error("the encoded fields would be longer than {MAX_ENCODED_BYTES} bytes")]
    EncodedTooLong,
    /// The URL with the payload in it would be too long.
    #[error("the URL with its query would be longer than {MAX_URL_BYTES} bytes")]
    UrlTooLong,
    /// There is no URL to send to.
    #[error("neither the transaction's subscription nor its template has a url")]
    NoUrl,
    /// The URL that the transaction brought is none that can be used; the text says why.
    #[error("url of the transaction's subscription: {0}")]
    EndpointUrl(&'static str),
    /// The method that the transaction brought is none that can be used.
    #[error("the transaction's subscription has a method other than POST and GET")]
    EndpointMethod,
    /// The transaction asks for a GET, whose values a signature of Standard Webhooks does not
    /// cover.
    #[error(
        "the transaction's subscription asks for GET, whose values standard_webhooks cannot sign"
    )]
    UnsignedQuery,
    /// The transaction's URL is not `https://`, which the client's certificate needs.
    #[error(
        "the transaction's subscription has an http:// URL, and its template a client certificate, which needs https://"
    )]
    PlainHttp,
    /// The API key's secret begins with what is no header's name.
    #[error("the API key's header name is not a legal header name")]
    HeaderName,
    /// A header's value has characters that no header may carry.
    #[error("the value of header `{header}` has characters that no header may carry")]
    HeaderValue {
        /// The header's name.
        header: String,
    },
}

/// The most bytes of an encoded payload. Forms and XML repeat names (`list.0`, `<list>`), so that a
/// long name above many values can multiply the published size: far above any sound message, far
/// below what would hurt the worker.
pub(super) const MAX_ENCODED_BYTES: usize = 4 * 1024 * 1024;

/// The longest URI that the `http` crate, and with it the HTTP client, can hold.
pub(super) const MAX_URL_BYTES: usize = 65_534;

/// How deep published JSON may be nested, as `serde_json` has it by default: deeper data is an
/// attack or a mistake, and each level costs the stack a frame here and in the encodings.
pub(super) const MAX_DEPTH: usize = 128;
