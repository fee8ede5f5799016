//! Reading the published JSON.

use proptest::prelude::*;
use serde::de::IgnoredAny;

use crate::shape::parser::parse;

/// Texts of JSON values with what the usual parsers lose: number text, repeated keys,
/// escapes, white space.
pub fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?",
        quoted(),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(|items| format!("[{} ]", items.join(", "))),
            object(inner),
        ]
    })
}

pub fn object_text() -> impl Strategy<Value = String> {
    object(json_text())
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    prop::collection::vec((quoted(), value), 0..5).prop_map(|members| {
        let members: Vec<_> = members
            .iter()
            .map(|(name, value)| format!("{name} :{value}"))
            .collect();
        format!("{{{}\n}}", members.join(","))
    })
}

fn quoted() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| serde_json::json!(text).to_string()),
        "\"(a|\\\\n|\\\\/|\\\\\"|\\\\u[0-9a-f]{4}|\\\\ud83d\\\\ude00){0,4}\"",
        "\"(a|b|xml|x:y)\"",
    ]
}

#[test]
fn a_pointer_finds_what_rfc_6901_says() {
    // The document of RFC 6901, section 5, with a repeated key and a nested list.
    let text = r#"{"foo":["bar",["baz"]],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,
        "k\"l":6," ":7,"m~n":8,"~1":9,"twice":1,"twice":2,"\u00e9":10}"#;
    let json = parse(text).unwrap();
    for (pointer, expected) in [
        ("", Some(text)),
        ("/foo", Some(r#"["bar",["baz"]]"#)),
        ("/foo/0", Some("\"bar\"")),
        ("/foo/1/0", Some("\"baz\"")),
        ("/", Some("0")),
        ("/a~1b", Some("1")),
        ("/c%d", Some("2")),
        ("/e^f", Some("3")),
        ("/g|h", Some("4")),
        ("/i\\j", Some("5")),
        ("/k\"l", Some("6")),
        ("/ ", Some("7")),
        ("/m~0n", Some("8")),
        ("/~01", Some("9")),
        ("/twice", Some("2")),
        ("/é", Some("10")),
        ("foo", None),
        ("/foo/2", None),
        ("/foo/00", None),
        ("/foo/-", None),
        ("/foo/", None),
        ("/foo/99999999999999999999999", None),
        ("/foo/0/0", None),
        ("/bar", None),
    ] {
        let found = json.at(pointer).map(|value| value.raw);
        assert_eq!(found, expected, "{pointer}");
    }
}

#[test]
fn escapes_are_read_and_half_a_pair_is_no_character() {
    for (text, expected) in [
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
        (r#""\u0041\u00e9x""#, "Aéx"),
        (r#""\ud83d\ude00!""#, "😀!"),
        (r#""\ud83d""#, "\u{FFFD}"),
        (r#""\ud83d\u0041""#, "\u{FFFD}A"),
        (r#""\ude00\ud83d""#, "\u{FFFD}\u{FFFD}"),
        (r#""\ud83d\n""#, "\u{FFFD}\n"),
        (r#""\u0000""#, "\0"),
        (r#""\u0041\ud83d\ude00""#, "A😀"),
    ] {
        assert_eq!(parse(text).unwrap().text().unwrap(), expected, "{text}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(128)).is_ok());
    assert!(parse(&nested(129)).is_err());
    assert!(parse(&"{\"a\":".repeat(1_000_000)).is_err());
}

proptest! {
    #[test]
    fn good_json_is_kept_to_the_byte(text in json_text()) {
        prop_assert_eq!(parse(&text).unwrap().raw, &*text);
    }

    #[test]
    fn strings_are_read_as_serde_json_reads_them(text: String) {
        let quoted = serde_json::json!(text).to_string();
        prop_assert_eq!(parse(&quoted).unwrap().text().unwrap(), text);
    }

    /// Short texts of JSON's own characters: about one in a few is valid.
    #[test]
    fn the_same_texts_are_valid_as_for_serde_json(
        text in "([\\[\\]{}:,\" ]|\\\\|\\\\u|0|1|-|\\+|\\.|e|E|true|false|null|\"\"|\"a\":|é){0,9}",
    ) {
        let theirs = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        prop_assert_eq!(parse(&text).is_ok(), theirs, "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text: String) {
        let theirs = serde_json::from_str::<IgnoredAny>(&text).is_ok();
        prop_assert_eq!(parse(&text).is_ok(), theirs);
    }
}
