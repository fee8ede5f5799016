//! Of which characters an answer's body is made.

use bytes::Bytes;
use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};
use http::HeaderValue;

/// The names of charsets are shorter.
const LABEL_CHARS: usize = 40;

/// Within so many bytes an XML declaration says its encoding.
const DECLARATION: usize = 128;

/// The body in UTF-8, without a byte order mark before it and NULs behind it, and what keeps it
/// from being read where it stays as it came. A mark counts first, then the `charset` of the
/// `Content-Type`, then an XML declaration (RFC 7303, section 3). `is_whole` says that no
/// character was cut in two at its end.
pub(super) fn in_utf8(
    body: Bytes,
    content_type: Option<&HeaderValue>,
    is_whole: bool,
) -> (Bytes, Option<String>) {
    if body.starts_with(&[0xff, 0xfe, 0, 0]) || body.starts_with(&[0, 0, 0xfe, 0xff]) {
        return (body, Some("is in UTF-32, which is not read".to_owned()));
    }
    if let Some((encoding, mark)) = Encoding::for_bom(&body) {
        return decoded(&body.slice(mark..), encoding, is_whole);
    }
    let declared = content_type.and_then(charset);
    match declared.or_else(|| xml_encoding(&body)) {
        None => decoded(&body, UTF_8, is_whole),
        Some(label) => match Encoding::for_label(label.as_bytes()) {
            // Written by those who mean the strings of their own memory, and send others.
            Some(encoding) if [UTF_16LE, UTF_16BE].contains(&encoding) && !body.contains(&0) => {
                decoded(&body, UTF_8, is_whole)
            }
            Some(encoding) if encoding != REPLACEMENT => decoded(&body, encoding, is_whole),
            _ if body.is_ascii() => decoded(&body, UTF_8, is_whole),
            _ => {
                let label: String = label.chars().take(LABEL_CHARS).collect();
                let cause = format!("is in the charset {label:?}, which is not known");
                (body, Some(cause))
            }
        },
    }
}

fn decoded(body: &Bytes, encoding: &'static Encoding, is_whole: bool) -> (Bytes, Option<String>) {
    if encoding == UTF_8 {
        let (end, is_text) = match std::str::from_utf8(body) {
            Ok(_) => (body.len(), true),
            Err(cut) if cut.error_len().is_none() && !is_whole => (cut.valid_up_to(), true),
            Err(_) => (body.len(), false),
        };
        let cause = "is not UTF-8 and says of no other charset that it is in it";
        let read = without_nuls(&body.slice(..end));
        return (read, (!is_text).then(|| cause.to_owned()));
    }
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let room = decoder.max_utf8_buffer_length(body.len());
    let mut text = String::with_capacity(room.unwrap_or_default());
    let (_, _, is_broken) = decoder.decode_to_string(body, &mut text, is_whole);
    let cause = is_broken.then(|| format!("is not the {} that it says", encoding.name()));
    (without_nuls(&text.into()), cause)
}

/// Programs in C send the end of a string too.
fn without_nuls(body: &Bytes) -> Bytes {
    let end = body.iter().rposition(|byte| *byte != 0);
    body.slice(..end.map_or(0, |last| last + 1))
}

/// `text/plain; charset="iso-8859-1"`.
fn charset(content_type: &HeaderValue) -> Option<String> {
    let content_type = content_type.to_str().ok()?;
    let mut parameters = content_type.split(';').skip(1);
    let value = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    })?;
    let label = value.trim().trim_matches(['"', '\'']);
    (!label.is_empty()).then(|| label.to_owned())
}

/// `<?xml version="1.0" encoding="iso-8859-1"?>`.
fn xml_encoding(body: &[u8]) -> Option<String> {
    let start = &body[..body.len().min(DECLARATION)];
    let start: String = start.iter().copied().map(char::from).collect();
    let (declaration, _) = start.trim_start().strip_prefix("<?xml")?.split_once("?>")?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_start().strip_prefix('=')?.trim_start();
    let quote = value
        .chars()
        .next()
        .filter(|quote| ['"', '\''].contains(quote))?;
    let (label, _) = value[1..].split_once(quote)?;
    Some(label.to_owned())
}
