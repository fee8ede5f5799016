//! Forms and XML: read back by other people's parsers.

use proptest::prelude::*;
use quick_xml::events::Event as Xml;

use super::reading::{json_text, object_text};
use super::*;

const PUBLISHED: &str = r#"{"a":{"b":1.50,"c":[true,{"d":"x y"}]},"e":null,"f":[],"g":{},
    "h":[[1,2],[]],"a":"ä&="}"#;

fn identity(encoding: Encoding) -> Subscription {
    let mut subscription = samples::subscription();
    subscription.form.encoding = encoding;
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

/// Reads a document to its end and gives the text of its elements, run together.
fn read_xml(document: &str) -> String {
    let mut reader = quick_xml::Reader::from_str(document);
    reader.config_mut().check_end_names = true;
    let mut open = 0;
    let mut roots = 0;
    let mut text = String::new();
    loop {
        match reader.read_event().unwrap() {
            Xml::Decl(_) => assert_eq!((open, roots), (0, 0)),
            Xml::Start(_) => {
                roots += usize::from(open == 0);
                open += 1;
            }
            Xml::End(_) => open -= 1,
            Xml::Text(part) => text.push_str(&part.into_inner()),
            Xml::GeneralRef(name) => match name.resolve_char_ref().unwrap() {
                Some(character) => text.push(character),
                None => text
                    .push_str(quick_xml::escape::resolve_xml_entity(&name.into_inner()).unwrap()),
            },
            Xml::Eof => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((open, roots), (0, 1));
    text
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

    #[test]
    fn every_object_becomes_well_formed_xml_and_a_plain_ascii_form(data in object_text()) {
        read_xml(&encoded(Encoding::Xml, &data));
        let form = encoded(Encoding::Nvp, &data);
        prop_assert!(form.bytes().all(|byte| byte.is_ascii_graphic()), "{form}");
    }

    #[test]
    fn any_value_and_any_root_become_well_formed_xml(value in json_text(), root: String) {
        let mut subscription = mapped(Encoding::Xml, vec![pointer(&root, "/v")]);
        subscription.form.xml_root = root;
        let event = with_data(&format!("{{\"v\":{value}}}"));
        read_xml(&payload(&event, &subscription).unwrap());
    }

    #[test]
    fn xml_text_reads_back(text: String) {
        let subscription = mapped(Encoding::Xml, vec![literal("t", &text)]);
        let body = payload(&samples::event(), &subscription).unwrap();
        let expected: String = text
            .chars()
            .map(|it| match it {
                '\t' | '\n' | '\r' => it,
                '\0'..' ' | '\u{FFFE}' | '\u{FFFF}' => char::REPLACEMENT_CHARACTER,
                _ => it,
            })
            .collect();
        prop_assert_eq!(read_xml(&body), expected);
    }

    #[test]
    fn numbers_travel_digit_for_digit(
        number in "-?(0|[1-9][0-9]{0,60})(\\.[0-9]{1,60})?([eE][+-]?[0-9]{1,9})?",
    ) {
        let data = format!("{{\"n\": {number}}}");
        let json = payload(&with_data(&data), &mapped(Encoding::Json, vec![pointer("n", "/n")]));
        prop_assert_eq!(json.unwrap(), format!("{{\"n\":{number}}}"));
        prop_assert_eq!(read_xml(&encoded(Encoding::Xml, &data)), &*number);
        let form = encoded(Encoding::Nvp, &data);
        let (_, sent) = form_urlencoded::parse(form.as_bytes()).next().unwrap();
        prop_assert_eq!(&*sent, &*number);
    }
}
