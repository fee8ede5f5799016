//! Where an answer's body ends (RFC 9112, section 6.3).

use http::StatusCode;

use super::Broken;
use super::field::Field;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// The body has so many bytes: zero for an answer that has no body.
    Length(u64),
    Chunked,
    UntilClosed,
}

const LENGTH: Broken = Broken::Malformed("the answer's Content-Length is malformed");
const CODING: Broken = Broken::Malformed("the answer's Transfer-Encoding is malformed");

/// The codings that may stand before `chunked`. None of them is undone: nobody asked for one.
const CODINGS: &[&str] = &[
    "br",
    "compress",
    "deflate",
    "gzip",
    "identity",
    "x-compress",
    "x-gzip",
    "zstd",
];

/// Every header that could say it is held to its form, whether it decides or not.
pub(super) fn of(status: StatusCode, fields: &[Field]) -> Result<Framing, Broken> {
    if fields
        .iter()
        .any(|field| is_meant(&field.name, b"contentlength"))
    {
        return Err(LENGTH);
    }
    if fields
        .iter()
        .any(|field| is_meant(&field.name, b"transferencoding"))
    {
        return Err(CODING);
    }
    let length = length(values(fields, "content-length"))?;
    let chunked = chunked(values(fields, "transfer-encoding"))?;
    Ok(match (status.as_u16(), chunked, length) {
        (100..200 | 204 | 304, ..) => Framing::Length(0),
        (_, Some(true), _) => Framing::Chunked,
        (_, Some(false), _) | (_, None, None) => Framing::UntilClosed,
        (_, None, Some(length)) => Framing::Length(length),
    })
}

/// Whether a name that is none becomes one of these where all but its letters is left out. Another
/// reader may see one there.
fn is_meant(name: &[u8], letters: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let alphabetic = name.iter().filter(|byte| byte.is_ascii_alphabetic());
    !name.iter().all(token)
        && alphabetic
            .map(u8::to_ascii_lowercase)
            .eq(letters.iter().copied())
}

fn values<'a>(fields: &'a [Field], name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let fields = fields
        .iter()
        .filter(move |field| field.name.eq_ignore_ascii_case(name.as_bytes()));
    fields.flat_map(|field| {
        let items = field.value.split(|&byte| byte == b',');
        items.map(<[u8]>::trim_ascii)
    })
}

/// Said twice it has to be the same.
fn length<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Option<u64>, Broken> {
    let mut known = None;
    for value in values {
        let digits = std::str::from_utf8(value).map_err(|_| LENGTH)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(LENGTH);
        }
        let length: u64 = digits.parse().map_err(|_| LENGTH)?;
        if known.is_some_and(|known| known != length) {
            return Err(LENGTH);
        }
        known = Some(length);
    }
    Ok(known)
}

/// Whether `chunked` is the last coding; none without a coding, or with `identity`, which says that
/// there is none.
fn chunked<'a>(values: impl Iterator<Item = &'a [u8]>) -> Result<Option<bool>, Broken> {
    let mut codings = Vec::new();
    for value in values {
        let coding = std::str::from_utf8(value).map_err(|_| CODING)?;
        codings.push(coding.to_ascii_lowercase());
    }
    let Some((last, before)) = codings.split_last() else {
        return Ok(None);
    };
    let known = |coding: &String| CODINGS.contains(&coding.as_str());
    if !before.iter().all(known) || !(last == "chunked" || known(last)) {
        return Err(CODING);
    }
    if codings.iter().all(|coding| coding == "identity") {
        return Ok(None);
    }
    Ok(Some(last == "chunked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(status: u16, headers: &[(&str, &str)]) -> Result<Framing, String> {
        let fields: Vec<Field> = headers
            .iter()
            .map(|(name, value)| Field {
                name: name.as_bytes().to_vec(),
                value: value.as_bytes().to_vec(),
            })
            .collect();
        let status = StatusCode::from_u16(status).unwrap_or_default();
        of(status, &fields).map_err(|broken| broken.to_string())
    }

    #[test]
    fn the_body_ends_where_its_headers_say() {
        const LENGTH: &str = "content-length";
        const CODING: &str = "Transfer-Encoding";
        for (status, headers, expected) in [
            (200, &[][..], Framing::UntilClosed),
            (204, &[], Framing::Length(0)),
            (304, &[(LENGTH, "9")], Framing::Length(0)),
            (200, &[(LENGTH, "9")], Framing::Length(9)),
            (200, &[(LENGTH, "9, 9"), (LENGTH, "9")], Framing::Length(9)),
            (200, &[(CODING, "Chunked")], Framing::Chunked),
            (
                200,
                &[(CODING, "gzip"), (CODING, "chunked")],
                Framing::Chunked,
            ),
            (200, &[(CODING, "gzip")], Framing::UntilClosed),
            (
                200,
                &[(CODING, "identity"), (LENGTH, "3")],
                Framing::Length(3),
            ),
            (200, &[(CODING, "chunked"), (LENGTH, "3")], Framing::Chunked),
            (200, &[("content_length", "x")], Framing::UntilClosed),
        ] {
            assert_eq!(framing(status, headers), Ok(expected), "{headers:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_never_overlooked() {
        for (name, value) in [
            ("content-length", ""),
            ("content-length", "-1"),
            ("content-length", "+1"),
            ("content-length", "1 1"),
            ("content-length", "1, 2"),
            ("content-length", "0x9"),
            ("content-length", "99999999999999999999999"),
            ("content length", "1"),
            ("Content-Length\u{b}", "1"),
        ] {
            let expected = Err("the answer's Content-Length is malformed".to_owned());
            assert_eq!(framing(200, &[(name, value)]), expected, "{name}: {value}");
            assert_eq!(framing(204, &[(name, value)]), expected, "{name}: {value}");
        }
        for (name, value) in [
            ("transfer-encoding", ""),
            ("transfer-encoding", "xchunked"),
            ("transfer-encoding", "chunked, gzip"),
            ("transfer-encoding", "chunked, chunked"),
            ("transfer-encoding", "chunked\u{b}"),
            ("Transfer Encoding", "chunked"),
        ] {
            let expected = Err("the answer's Transfer-Encoding is malformed".to_owned());
            assert_eq!(framing(200, &[(name, value)]), expected, "{name}: {value}");
        }
    }
}
