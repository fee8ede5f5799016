//! Why a delivery can never be sent.

/// It becomes a `posting_error` at once, with this text as its reason. Names fields and
/// shapes, never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    #[error("field `{field}`: nothing at {pointer} in the event's data")]
    Missing { field: String, pointer: String },
    #[error("field `{field}`: {found} does not fit its format {format}")]
    Unfit {
        field: String,
        found: &'static str,
        format: String,
    },
    #[error(
        "field `{field}`: {found} at {pointer}, where its format {format} needs an ISO 4217 code of a currency with a smaller unit"
    )]
    NoCurrency {
        field: String,
        found: &'static str,
        pointer: String,
        format: String,
    },
    #[error("{place}: an object or a list, and the setting nested is \"refuse\"")]
    Nested { place: String },
    #[error(
        "{place}: U+{code_point:04X}, which XML cannot carry, and the setting xml_illegal is \"refuse\""
    )]
    NotXml { place: String, code_point: u32 },
    #[error(
        "{place}: U+{code_point:04X}, which the charset {charset} does not have; give another charset, such as utf-8"
    )]
    NotInCharset {
        place: String,
        code_point: u32,
        charset: &'static str,
    },
    #[error("the event's data has {bytes} bytes; worker.max_data_bytes allows {most}")]
    TooLarge { bytes: usize, most: usize },
    #[error("the event's data was purged")]
    Purged,
    #[error("the event's data is not valid JSON at byte {at}")]
    Malformed { at: usize },
    #[error("the event's data is nested deeper than {} levels", MAX_DEPTH)]
    TooDeep,
    #[error("the event's data is {found}; without a field map this encoding needs an object")]
    NotAnObject { found: &'static str },
    #[error("the encoded fields would be longer than {MAX_ENCODED_BYTES} bytes")]
    EncodedTooLong,
    #[error("the URL with its query would be longer than {MAX_URL_BYTES} bytes")]
    UrlTooLong,
    #[error("neither the transaction's subscription nor its template has a url")]
    NoUrl,
    #[error("url of the transaction's subscription: {0}")]
    EndpointUrl(&'static str),
    #[error("the transaction's subscription has a method other than POST and GET")]
    EndpointMethod,
    #[error(
        "the transaction's subscription asks for GET, whose values standard_webhooks cannot sign"
    )]
    UnsignedQuery,
    #[error(
        "the transaction's subscription has an http:// URL, and its template a client certificate, which needs https://"
    )]
    PlainHttp,
    #[error("the API key's header name is not a legal header name")]
    HeaderName,
    #[error("the value of header `{header}` has characters that no header may carry")]
    HeaderValue { header: String },
}

/// Forms and XML repeat names (`list.0`, `<list>`), so that a long name above many
/// values can multiply the published size: far above any sound message, far below
/// what would hurt the worker.
pub(super) const MAX_ENCODED_BYTES: usize = 4 * 1024 * 1024;

/// The longest URI that the `http` crate, and with it the HTTP client, can hold.
pub(super) const MAX_URL_BYTES: usize = 65_534;

/// How deep published JSON may be nested, as `serde_json` has it by default: deeper data is an attack or a mistake, and
/// each level costs the stack a frame here and in the encodings.
pub(super) const MAX_DEPTH: usize = 128;
