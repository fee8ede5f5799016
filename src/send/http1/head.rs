//! The head of an answer: what curl takes is taken, and what says where the body ends is
//! never overlooked.
//!
//! A head with something odd in it (a name with a space, a folded line, a control character)
//! says what it says, but its connection is not used again: whoever writes such heads may
//! mean another end of the body than the one that is read here.

use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Version};
use memchr::memchr_iter;

use super::Broken;
use super::field::Field;
use super::framing::{self, Framing};

/// The longest head that is read, bytes. What web servers send is shorter by far.
pub(super) const LONGEST: usize = 32 * 1024;

/// How much sooner than the receiver a kept connection is given up: what is sent in its last
/// moment arrives when it is closed.
const MARGIN: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(in crate::send) struct Head {
    pub(in crate::send) status: StatusCode,
    /// The reason phrase as it came, in whichever encoding.
    pub(in crate::send) reason: Vec<u8>,
    pub(in crate::send) headers: HeaderMap,
    pub(super) framing: Framing,
    /// How long its connection may lie idle after the answer, if the head says so.
    pub(super) keep: Keep,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    Closed,
    For(Duration),
    /// Nothing is said.
    AsLongAsUsual,
}

/// Finds where the head ends, behind its empty line, from a place on before which there is no end.
pub(super) fn end(bytes: &[u8], from: usize) -> Option<usize> {
    memchr_iter(b'\n', &bytes[from..]).find_map(|feed| {
        let next = from + feed + 1;
        match &bytes[next..] {
            [b'\n', ..] => Some(next + 1),
            [b'\r', b'\n', ..] => Some(next + 2),
            _ => None,
        }
    })
}

/// Whether the bytes can become a status line of HTTP/1.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/1.";
    let known = bytes.len().min(START.len());
    bytes[..known] == START[..known]
}

impl Head {
    /// Reads a head from its bytes, up to and with the empty line.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Broken> {
        let mut lines = bytes
            .split(|&byte| byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let (version, status, reason) =
            status_line(lines.next().unwrap_or_default()).ok_or(Broken::NotHttp)?;
        let (fields, mut odd) = fields(lines.filter(|line| !line.is_empty()))?;
        let framing = framing::of(status, &fields)?;
        let mut headers = HeaderMap::with_capacity(fields.len().min(64));
        for Field { name, value } in &fields {
            match (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                (Ok(name), Ok(value)) => {
                    odd |= headers.try_append(name, value).is_err();
                }
                _ => odd = true,
            }
        }
        // With both, one of the two is wrong (RFC 9112, section 6.3).
        let two_ends =
            headers.contains_key("content-length") && headers.contains_key("transfer-encoding");
        let keep = if odd || two_ends || framing == Framing::UntilClosed {
            Keep::Closed
        } else {
            keep(version, &headers)
        };
        Ok(Self {
            status,
            reason: reason.to_vec(),
            headers,
            framing,
            keep,
        })
    }

    /// Whether another one follows that is the answer (RFC 9110, section 15.2). After 101 no
    /// HTTP would follow.
    pub(super) fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }
}

/// Some leave the space before an empty reason phrase out.
fn status_line(line: &[u8]) -> Option<(Version, StatusCode, &[u8])> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let (version, rest) = match rest.split_first()? {
        (b'0', rest) => (Version::HTTP_10, rest),
        (b'1', rest) => (Version::HTTP_11, rest),
        _ => return None,
    };
    let (status, reason) = rest
        .strip_prefix(b" ")?
        .trim_ascii_start()
        .split_at_checked(3)?;
    let status = StatusCode::from_bytes(status).ok()?;
    match reason.first() {
        None | Some(b' ' | b'\t') => Some((version, status, reason.trim_ascii())),
        Some(_) => None,
    }
}

/// The headers, and whether there is anything odd about them.
fn fields<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<Field>, bool), Broken> {
    let mut fields: Vec<Field> = Vec::new();
    let mut odd = false;
    for line in lines {
        if line.contains(&0) {
            return Err(Broken::Malformed("the answer has a NUL in a header"));
        }
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            // A folded line (RFC 9112, section 5.2).
            odd = true;
            if let Some(folded) = fields.last_mut() {
                if !folded.value.is_empty() {
                    folded.value.push(b' ');
                }
                folded.value.extend_from_slice(line.trim_ascii());
            }
            continue;
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return Err(Broken::Malformed("the answer has a header without a colon"));
        };
        let name = line[..colon].trim_ascii_end();
        odd |= name.len() < colon;
        fields.push(Field {
            name: name.to_vec(),
            value: line[colon + 1..].trim_ascii().to_vec(),
        });
    }
    Ok((fields, odd))
}

/// RFC 9112, section 9.3, and the parameters of `Keep-Alive` that servers send.
fn keep(version: Version, headers: &HeaderMap) -> Keep {
    let said = |word: &str| {
        items(headers, "connection").any(|item| item.eq_ignore_ascii_case(word.as_bytes()))
    };
    if said("close") || (version == Version::HTTP_10 && !said("keep-alive")) {
        return Keep::Closed;
    }
    let parameter = |name: &str| {
        items(headers, "keep-alive").find_map(|item| {
            let (given, value) = std::str::from_utf8(item).ok()?.split_once('=')?;
            let value: u64 = value.trim().trim_matches('"').parse().ok()?;
            given.trim().eq_ignore_ascii_case(name).then_some(value)
        })
    };
    if parameter("max") == Some(0) {
        return Keep::Closed;
    }
    match parameter("timeout").map(|seconds| Duration::from_secs(seconds).saturating_sub(MARGIN)) {
        None => Keep::AsLongAsUsual,
        Some(Duration::ZERO) => Keep::Closed,
        Some(idle) => Keep::For(idle),
    }
}

/// The members of a list, over all headers of the name.
fn items<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).into_iter();
    values.flat_map(|value| {
        let items = value.as_bytes().split(|&byte| byte == b',');
        items.map(<[u8]>::trim_ascii)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(rest: &str) -> Head {
        Head::parse(format!("HTTP/1.1 200 OK\r\n{rest}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn what_is_odd_is_taken_and_its_connection_closed() {
        for odd in [
            "X Bad: 1\r\n",
            "X-Space : 1\r\n",
            "X-Folded: a\r\n b\r\n",
            " folded before anything\r\n",
            "X-Bell: a\u{7}b\r\n",
            ": nameless\r\n",
            "X\u{e4}: 1\r\n",
        ] {
            let head = parsed(&format!("{odd}content-length: 2\r\n"));
            assert_eq!(head.status, 200, "{odd}");
            assert_eq!(head.framing, Framing::Length(2), "{odd}");
            assert_eq!(head.keep, Keep::Closed, "{odd}");
        }
        assert_eq!(parsed("X-Folded: a\r\n\tb\r\n").headers["x-folded"], "a b");
        let bare = Head::parse(b"HTTP/1.1 200\ncontent-length: 2\n\n").unwrap();
        assert_eq!(bare.framing, Framing::Length(2));
    }

    #[test]
    fn the_status_line_is_held_to() {
        for line in [
            "HTTP/2 200 OK",
            "HTTP/1.2 200 OK",
            "HTTP/1.1 20 OK",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 099 Low",
            "HTTP/1.1200 OK",
            "HTTP/1.1 -20 OK",
            "ICY 200 OK",
        ] {
            let head = format!("{line}\r\n\r\n");
            assert!(Head::parse(head.as_bytes()).is_err(), "{line}");
        }
        let (_, status, reason) = status_line("HTTP/1.0 299  Pëculiar ".as_bytes()).unwrap();
        assert_eq!((status.as_u16(), reason), (299, "Pëculiar".as_bytes()));
    }

    #[test]
    fn a_connection_is_kept_for_as_long_as_the_receiver_says() {
        for (headers, keep) in [
            ("", Keep::AsLongAsUsual),
            ("Connection: close\r\n", Keep::Closed),
            ("Connection: x, Close\r\n", Keep::Closed),
            (
                "Keep-Alive: timeout=5\r\n",
                Keep::For(Duration::from_secs(4)),
            ),
            (
                "Keep-Alive: max=99, Timeout=\"3\"\r\n",
                Keep::For(Duration::from_secs(2)),
            ),
            ("Keep-Alive: timeout=1\r\n", Keep::Closed),
            ("Keep-Alive: timeout=0\r\n", Keep::Closed),
            ("Keep-Alive: timeout=60, max=0\r\n", Keep::Closed),
            ("Keep-Alive: timeout=soon\r\n", Keep::AsLongAsUsual),
        ] {
            let head = parsed(&format!("content-length: 0\r\n{headers}"));
            assert_eq!(head.keep, keep, "{headers}");
        }
        let old = |more: &str| {
            let head = format!("HTTP/1.0 200 OK\r\ncontent-length: 0\r\n{more}\r\n");
            Head::parse(head.as_bytes()).unwrap().keep
        };
        assert_eq!(old(""), Keep::Closed);
        assert_eq!(old("connection: Keep-Alive\r\n"), Keep::AsLongAsUsual);
    }

    #[test]
    fn an_end_is_found_wherever_the_bytes_are_cut() {
        for head in ["HTTP/1.1 200\r\na: b\r\n\r\n", "HTTP/1.1 200\na: b\n\n"] {
            let whole = format!("{head}body\r\n\r\n");
            for cut in 0..head.len() {
                assert_eq!(end(&whole.as_bytes()[..cut], 0), None);
                assert!(may_begin(&whole.as_bytes()[..cut]));
                let from = cut.saturating_sub(3);
                assert_eq!(end(whole.as_bytes(), from), Some(head.len()), "{cut}");
            }
        }
    }
}
