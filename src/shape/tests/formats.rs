//! Formats and sources of a field map, in JSON, where the type of a value shows.

use super::*;
use crate::model::Step;

/// The value of a field that points at `value`, as JSON.
fn formatted(value: &str, format: Vec<Step>) -> Result<String, String> {
    let field = Field {
        format,
        ..pointer("f", "/v")
    };
    let subscription = mapped(Encoding::Json, vec![field]);
    let body = payload(&with_data(&format!("{{\"v\":{value}}}")), &subscription);
    let body = body.map_err(|error| error.to_string())?;
    let value = body
        .strip_prefix("{\"f\":")
        .and_then(|it| it.strip_suffix('}'));
    Ok(value.unwrap().to_owned())
}

#[test]
fn a_format_makes_what_the_receiver_wants() {
    use Step::{
        Boolean, Decimal, Json, Lower, Major, Minor, Number, Rfc3339, Text, Time, Unix, UnixMillis,
        Upper,
    };
    let time = r#""2016-01-15T22:37:21.5238539+02:00""#;
    for (value, format, expected) in [
        ("1234.50", vec![Text], r#""1234.50""#),
        ("true", vec![Text], r#""true""#),
        (r#""\u00e9""#, vec![Text], r#""é""#),
        (r#""1234.50""#, vec![Number], "1234.50"),
        ("1e400", vec![Number], "1e400"),
        (r#""true""#, vec![Boolean], "true"),
        ("false", vec![Boolean], "false"),
        (
            r#"{"a" : [1.0, "é"]}"#,
            vec![Json],
            r#""{\"a\" : [1.0, \"é\"]}""#,
        ),
        ("null", vec![Json], r#""null""#),
        (r#""Straße""#, vec![Upper], r#""STRASSE""#),
        (r#""APPROVED""#, vec![Lower], r#""approved""#),
        ("1234.5", vec![Decimal(2.into())], "1234.50"),
        (r#""1234.5""#, vec![Decimal(2.into()), Text], r#""1234.50""#),
        ("1234.50", vec![Minor(2.into())], "123450"),
        ("123450", vec![Major(2.into())], "1234.50"),
        (time, vec![Rfc3339(0)], r#""2016-01-15T20:37:21Z""#),
        (time, vec![Rfc3339(3)], r#""2016-01-15T20:37:21.523Z""#),
        (
            time,
            vec![Rfc3339(9)],
            r#""2016-01-15T20:37:21.523853900Z""#,
        ),
        (time, vec![Unix], "1452890241"),
        (time, vec![UnixMillis, Text], r#""1452890241523""#),
        (
            time,
            vec![Time("%d.%m.%Y %H:%M".to_owned())],
            r#""15.01.2016 20:37""#,
        ),
    ] {
        assert_eq!(formatted(value, format).as_deref(), Ok(expected), "{value}");
    }
}

/// A posting error that names the field and the shape, never the value.
#[test]
fn what_does_not_fit_is_never_sent() {
    use Step::{Boolean, Decimal, Minor, Number, Text, Time, Unix, Upper};
    for (value, step, found) in [
        (r#""s3cret""#, Number, "a value that is not a number"),
        (r#"" 1""#, Number, "a value that is not a number"),
        (r#""+1""#, Number, "a value that is not a number"),
        (
            r#""1,234.50""#,
            Decimal(2.into()),
            "a value that is not a number",
        ),
        (r#""NaN""#, Minor(2.into()), "a value that is not a number"),
        ("true", Number, "a value that is not a number"),
        ("1234.505", Minor(2.into()), "a number with more decimals"),
        (
            "1e999999999",
            Minor(2.into()),
            "a number with more than 100 digits",
        ),
        ("null", Number, "null"),
        ("null", Text, "null"),
        ("{}", Text, "an object"),
        ("[1]", Number, "a list"),
        ("1", Boolean, "a value that is neither true nor false"),
        ("12", Upper, "a number"),
        ("1452890241", Unix, "a number"),
        (
            r#""2016-01-15 20:37""#,
            Unix,
            "text that is not an RFC 3339 time with its offset",
        ),
        (
            r#""2016-01-15T20:37:21""#,
            Time("%Y".to_owned()),
            "text that is not an RFC 3339 time with its offset",
        ),
    ] {
        let expected = format!("field `f`: {found} does not fit its format {step}");
        assert_eq!(formatted(value, vec![step]), Err(expected), "{value}");
    }
}

#[test]
fn a_map_comes_before_the_format() {
    let field = Field {
        map: vec![("Complete".to_owned(), "4".to_owned())],
        format: vec![Step::Number],
        ..pointer("f", "/v")
    };
    let subscription = mapped(Encoding::Json, vec![field]);
    let body = payload(&with_data(r#"{"v":"Complete"}"#), &subscription);
    assert_eq!(body.unwrap(), r#"{"f":4}"#);
}

/// What `omit_when` leaves out has no format to fit.
#[test]
fn a_format_asks_nothing_of_what_is_left_out() {
    let field = Field {
        format: vec![Step::Minor(2.into())],
        omit_when: OmitWhen::Null,
        ..pointer("f", "/v")
    };
    let subscription = mapped(Encoding::Json, vec![field]);
    for data in ["{}", r#"{"v":null}"#] {
        assert_eq!(payload(&with_data(data), &subscription).unwrap(), "{}");
    }
}

#[test]
fn the_moment_and_the_delivery_are_sources() {
    let unix = Field {
        format: vec![Step::Unix],
        ..field("at", FieldSource::Time)
    };
    let subscription = mapped(
        Encoding::Json,
        vec![
            field("delivery", FieldSource::DeliveryId),
            field("token", FieldSource::SecurityToken),
            field("time", FieldSource::Time),
            unix,
            field("attempt", FieldSource::Attempt),
        ],
    );
    let sent = |attempt| {
        let request = shaped(&samples::event(), &subscription, attempt).unwrap();
        String::from_utf8(request.body.to_vec()).unwrap()
    };
    // The UUIDs are Python's uuid5 and hmac.
    let delivery = r#""delivery":"855a8a67-50cb-5193-accd-a5b440eb9c16","token":"a970b03f-7b4f-4a62-ae28-e0ef15ed151b""#;
    assert_eq!(
        sent(1),
        format!(
            r#"{{{delivery},"time":"2026-03-01T12:00:00.000002Z","at":1772366400,"attempt":1}}"#
        )
    );
    assert_eq!(
        sent(2),
        format!(
            r#"{{{delivery},"time":"2026-03-01T12:01:00.000002Z","at":1772366460,"attempt":2}}"#
        )
    );
}
