//! A request as a person wants to read it. Printing payloads is this tool's purpose;
//! credentials in `Authorization` headers are masked all the same, since terminals are
//! copied into tickets.

use std::fmt::{Display, Write};
use std::sync::Arc;

use chrono::{DateTime, TimeZone};
use http::{HeaderName, HeaderValue};

use crate::cli::printable::Printable;
use crate::receiver::{Endpoint, Received, Reply};

pub fn request<Zone: TimeZone>(request: &Received, at: &DateTime<Zone>) -> String
where
    Zone::Offset: Display,
{
    let mut text = format!(
        "\n{}  {} {}  ->  {}\n",
        at.format("%H:%M:%S%.3f"),
        request.method,
        Printable(&request.path_and_query),
        reply(request.reply),
    );
    // Writing to a String cannot fail.
    for (name, value) in &request.headers {
        let _ = writeln!(text, "  {name}: {}", Printable(&header_value(name, value)));
    }
    match std::str::from_utf8(&request.body) {
        Ok("") => {}
        Ok(body) => {
            let _ = write!(text, "\n{}\n", Printable(body));
        }
        Err(_) => {
            let _ = write!(text, "\n({} bytes that are not text)\n", request.body.len());
        }
    }
    text
}

/// One line for each path: how many requests, and how many at once at most.
pub fn summary(endpoints: &[Arc<Endpoint>]) -> String {
    let mut text = format!("\n{:>10} {:>8}  path\n", "requests", "at once");
    for endpoint in endpoints {
        let _ = writeln!(
            text,
            "{:>10} {:>8}  {}",
            endpoint.received(),
            endpoint.max_in_flight(),
            Printable(endpoint.path())
        );
    }
    text
}

fn reply(reply: Reply) -> String {
    match reply {
        Reply::Status(status) => status.as_u16().to_string(),
        Reply::Hang => "hang".to_owned(),
        Reply::Drop => "drop".to_owned(),
    }
}

/// `Basic dXNlcjpwYXNz` becomes `Basic ***`, and a value without a scheme `***`. The
/// name is looked for inside too: `Proxy-Authorization`, `HMAC-Authorization`.
fn header_value(name: &HeaderName, value: &HeaderValue) -> String {
    let value = String::from_utf8_lossy(value.as_bytes());
    if !name.as_str().contains("authorization") {
        return value.into_owned();
    }
    match value.split_once(' ') {
        Some((scheme, _)) => format!("{scheme} ***"),
        None => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use bytes::Bytes;
    use http::{HeaderMap, Method, StatusCode};

    use super::*;

    fn received(body: &'static [u8]) -> Received {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "application/json"),
            ("authorization", "Basic dXNlcjpwYXNz"),
            ("hmac-authorization", "abcdef"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Received {
            arrived: Instant::now(),
            method: Method::POST,
            path_and_query: "/hook?x=1".into(),
            headers,
            body: Bytes::from_static(body),
            reply: Reply::Status(StatusCode::OK),
        }
    }

    #[test]
    fn a_request_is_readable_and_its_credentials_are_masked() {
        let at = DateTime::from_timestamp(45_296, 789_000_000).unwrap();
        assert_eq!(
            request(&received(b"{\"id\":\"\x1b[2J\"}"), &at),
            "\n12:34:56.789  POST /hook?x=1  ->  200\n  content-type: application/json\n  \
             authorization: Basic ***\n  hmac-authorization: ***\n\n{\"id\":\"\\u{1b}[2J\"}\n"
        );
    }

    #[test]
    fn a_body_that_is_no_text_is_only_measured() {
        let printed = request(&received(b"\xff\xfe\x00"), &DateTime::UNIX_EPOCH);
        assert!(
            printed.ends_with("\n(3 bytes that are not text)\n"),
            "{printed}"
        );
    }
}
