//! Forms and XML, message by message. `properties` reads any message back.

use proptest::prelude::*;

use super::*;
use crate::model::subscription::{Nested, XmlIllegal};

const PUBLISHED: &str = r#"{"a":{"b":1.50,"c":[true,{"d":"x y"}]},"e":null,"f":[],"g":{},
    "h":[[1,2],[]],"a":"ä&="}"#;

fn identity(encoding: Encoding) -> Subscription {
    let mut subscription = samples::subscription();
    subscription.form.encoding = encoding;
    subscription.form.says_charset = encoding == Encoding::Xml;
    subscription
}

fn encoded(encoding: Encoding, data: &str) -> String {
    payload(&with_data(data), &identity(encoding)).unwrap()
}

#[test]
fn a_form_names_what_is_nested_with_dots() {
    assert_eq!(
        encoded(Encoding::Nvp, PUBLISHED),
        "a.b=1.50&a.c.0=true&a.c.1.d=x+y&e=&f=&g=&h.0.0=1&h.0.1=2&h.1=&a=%C3%A4%26%3D"
    );
}

#[test]
fn a_form_takes_nested_values_as_json_or_not_at_all() {
    let mut subscription = identity(Encoding::Nvp);
    subscription.form.nested = Nested::Json;
    assert_eq!(
        payload(&with_data(PUBLISHED), &subscription).unwrap(),
        "a=%7B%22b%22%3A1.50%2C%22c%22%3A%5Btrue%2C%7B%22d%22%3A%22x+y%22%7D%5D%7D&e=&f=%5B%5D&g=%7B%7D\
         &h=%5B%5B1%2C2%5D%2C%5B%5D%5D&a=%C3%A4%26%3D"
    );
    subscription.form.nested = Nested::Refuse;
    assert_eq!(
        payload(&with_data(PUBLISHED), &subscription)
            .unwrap_err()
            .to_string(),
        "member 1 of the event's data: an object or a list, and the setting nested is \"refuse\""
    );
    assert_eq!(
        payload(&with_data(r#"{"a":null}"#), &subscription).unwrap(),
        "a="
    );
    subscription.form.fields = Some(vec![literal("x", "y"), pointer("list", "/f")]);
    assert_eq!(
        payload(&with_data(PUBLISHED), &subscription)
            .unwrap_err()
            .to_string(),
        "field `list`: an object or a list, and the setting nested is \"refuse\""
    );
}

/// WIRE.md 2.4: a space is `+`, `$` is `%24`, `:` is `%3A`.
#[test]
fn a_form_escapes_as_instamed_does() {
    let body = encoded(Encoding::Nvp, r#"{"amount":"$1,234.50 at 10:30"}"#);
    assert_eq!(body, "amount=%241%2C234.50+at+10%3A30");
}

#[test]
fn xml_nests_objects_and_repeats_lists() {
    let request = shaped(&with_data(PUBLISHED), &identity(Encoding::Xml), 1).unwrap();
    assert_eq!(
        header(&request, "content-type"),
        "application/xml; charset=utf-8"
    );
    assert_eq!(
        std::str::from_utf8(&request.body).unwrap(),
        concat!(
            r#"<?xml version="1.0" encoding="UTF-8"?><event>"#,
            "<a><b>1.50</b><c>true</c><c><d>x y</d></c></a><e></e><g></g>",
            "<h><item>1</item><item>2</item></h><h></h><a>ä&amp;=</a></event>"
        )
    );
}

#[test]
fn xml_names_are_made_safe() {
    for (name, expected) in [
        ("amount", "amount"),
        ("é.x-1_y", "é.x-1_y"),
        ("1st", "_1st"),
        ("-a", "_-a"),
        ("", "_"),
        ("a b", "a_b"),
        (" a", "_a"),
        ("ns:a", "ns_a"),
        ("a><b/", "a__b_"),
        ("xmlns", "_xmlns"),
        ("XmL", "_XmL"),
        ("xm", "xm"),
        ("$", "_"),
        ("\u{0}\u{FFFE}", "__"),
        ("名", "名"),
    ] {
        let mut subscription = mapped(Encoding::Xml, vec![literal(name, "")]);
        subscription.form.xml_root = name.to_owned();
        let body = payload(&samples::event(), &subscription).unwrap();
        let original = match name {
            "a><b/" => " name=\"a&gt;&lt;b/\"".to_owned(),
            "\u{0}\u{FFFE}" => " name=\"\u{FFFD}\u{FFFD}\"".to_owned(),
            _ if name == expected => String::new(),
            _ => format!(" name=\"{name}\""),
        };
        let expected = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><{expected}><{expected}{original}></{expected}></{expected}>"#
        );
        assert_eq!(body, expected);
    }
}

#[test]
fn xml_text_is_escaped_and_legal() {
    let body = encoded(
        Encoding::Xml,
        r#"{"t":"<]]>&\"'\r\n\t\u0000\uffff\ud800😀"}"#,
    );
    let text = "&lt;]]&gt;&amp;\"'&#13;\n\t\u{FFFD}\u{FFFD}\u{FFFD}😀";
    assert!(body.contains(&format!("<t>{text}</t>")), "{body}");
}

#[test]
fn xml_can_refuse_what_it_cannot_carry() {
    let mut subscription = identity(Encoding::Xml);
    subscription.form.xml_illegal = XmlIllegal::Refuse;
    for (data, code_point) in [
        (r#"{"s":"a\u0000b"}"#, "U+0000"),
        (r#"{"s":[{"t":"\ufffe"}]}"#, "U+FFFE"),
        (r#"{"s":"\ud800"}"#, "U+D800"),
        (r#"{"\u001f":1}"#, "U+001F"),
        (r#"{"s":{"\udfff":[]}}"#, "U+DFFF"),
    ] {
        let error = payload(&with_data(data), &subscription).unwrap_err();
        let expected = format!(
            "member 1 of the event's data: {code_point}, which XML cannot carry, and the setting xml_illegal is \"refuse\""
        );
        assert_eq!(error.to_string(), expected);
    }
    let fine = r#"{"a b":"\ufffd\ud83d\ude00\t<"}"#;
    let sent = payload(&with_data(fine), &subscription).unwrap();
    assert!(
        sent.contains("<a_b name=\"a b\">\u{FFFD}😀\t&lt;</a_b>"),
        "{sent}"
    );
    subscription.form.fields = Some(vec![literal("x", "\u{1}")]);
    let error = payload(&with_data(fine), &subscription).unwrap_err();
    assert!(
        error.to_string().starts_with("field `x`: U+0001"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn flat_forms_read_back_as_they_were(pairs: Vec<(String, String)>) {
        let fields = pairs.iter().map(|(name, text)| literal(name, text)).collect();
        let body = payload(&samples::event(), &mapped(Encoding::Nvp, fields)).unwrap();
        let read: Vec<_> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
        prop_assert_eq!(read, pairs);
    }

    #[test]
    fn queries_read_back_behind_what_was_there(name in "[^\0]{1,9}", value: String) {
        let mut subscription = mapped(Encoding::Query, vec![literal(&name, &value)]);
        subscription.form.method = Method::Get;
        subscription.form.url = Some("https://m.example/p?old=%20'x'&y#f".parse().unwrap());
        let request = shaped(&samples::event(), &subscription, 1).unwrap();
        let query = request.url.query().unwrap();
        let old = subscription.form.url.as_ref().unwrap().query().unwrap();
        prop_assert!(query.starts_with(old));
        let (read_name, read_value) = request.url.query_pairs().last().unwrap();
        prop_assert_eq!((&*read_name, &*read_value), (&*name, &*value));
        prop_assert_eq!(request.url.fragment(), Some("f"));
    }
}
