//! Receivers that read Latin-1 or windows-1252, and dialects of forms.

use serde_json::{Value, json};

use super::sent;

/// The settings, the content type that is expected, and the body or the reason of the refusal.
type Case<'a> = (Value, String, Result<&'a [u8], &'a str>);

#[tokio::test]
async fn a_form_and_xml_are_written_in_the_charset_that_is_said() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let data = r#"{"name": "Jörg", "price": "5 €"}"#;
    let field = |name: &str| json!([{"name": name, "source": format!("/{name}")}]);
    let with = |encoding: &str, charset: Option<&str>, name: &str| {
        let mut settings = json!({"encoding": encoding, "fields": field(name)});
        if let Some(charset) = charset {
            settings["charset"] = charset.into();
        }
        settings
    };
    let form = |charset: &str| format!("{FORM}; charset={charset}");
    let xml = |charset: &str| format!("application/xml; charset={charset}");
    let latin_1 = [
        &b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><notification><name>J\xF6rg</name></notification>"[..],
    ];
    let cases: Vec<Case<'_>> = vec![
        (with("nvp", None, "name"), FORM.to_owned(), Ok(b"name=J%C3%B6rg")),
        (with("nvp", Some("unsaid"), "name"), FORM.to_owned(), Ok(b"name=J%C3%B6rg")),
        (with("nvp", Some("utf-8"), "name"), form("utf-8"), Ok(b"name=J%C3%B6rg")),
        (with("nvp", Some("iso-8859-1"), "name"), form("iso-8859-1"), Ok(b"name=J%F6rg")),
        (with("nvp", Some("windows-1252"), "price"), form("windows-1252"), Ok(b"price=5+%80")),
        (
            with("nvp", Some("iso-8859-1"), "price"),
            String::new(),
            Err("field `price`: U+20AC, which the charset iso-8859-1 does not have"),
        ),
        (with("xml", Some("iso-8859-1"), "name"), xml("iso-8859-1"), Ok(latin_1[0])),
        (
            with("xml", Some("unsaid"), "name"),
            "application/xml".to_owned(),
            Ok("<?xml version=\"1.0\" encoding=\"UTF-8\"?><notification><name>Jörg</name></notification>".as_bytes()),
        ),
        (
            with("xml", Some("windows-1252"), "price"),
            xml("windows-1252"),
            Ok(b"<?xml version=\"1.0\" encoding=\"WINDOWS-1252\"?><notification><price>5 \x80</price></notification>"),
        ),
        (
            with("xml", Some("iso-8859-1"), "price"),
            String::new(),
            Err("field `price`: U+20AC, which the charset iso-8859-1 does not have"),
        ),
        (
            with("json", Some("utf-8"), "name"),
            "application/json; charset=utf-8".to_owned(),
            Ok("{\"name\":\"Jörg\"}".as_bytes()),
        ),
    ];
    let settings = cases
        .iter()
        .map(|(settings, ..)| settings.clone())
        .collect();
    for (found, (settings, content_type, body)) in sent(data, settings).await.into_iter().zip(cases)
    {
        match (found, body) {
            (Ok(found), Ok(body)) => {
                assert_eq!(found.body, body, "{settings}");
                assert_eq!(found.content_type, content_type, "{settings}");
            }
            (Err(found), Err(reason)) => assert!(found.starts_with(reason), "{found}"),
            (found, body) => panic!("{settings}: {:?} and not {body:?}", found.map(|it| it.body)),
        }
    }
}

#[tokio::test]
async fn a_form_is_written_in_the_receivers_dialect() {
    let data = r#"{"a b": {"c": "x +y", "d": [1, {"e": null}], "f": []}}"#;
    let cases = [
        (json!({}), "a+b.c=x+%2By&a+b.d.0=1&a+b.d.1.e=&a+b.f="),
        (
            json!({"nested": "brackets"}),
            "a+b%5Bc%5D=x+%2By&a+b%5Bd%5D%5B0%5D=1&a+b%5Bd%5D%5B1%5D%5Be%5D=&a+b%5Bf%5D=",
        ),
        (
            json!({"space": "%20"}),
            "a%20b.c=x%20%2By&a%20b.d.0=1&a%20b.d.1.e=&a%20b.f=",
        ),
    ];
    let (mut settings, mut expected) = (Vec::new(), Vec::new());
    for (dialect, form) in cases {
        for of_body in [true, false] {
            let mut one = dialect.clone();
            if of_body {
                one["encoding"] = "nvp".into();
            } else {
                one["method"] = "GET".into();
            }
            settings.push(one);
            expected.push((of_body, form));
        }
    }
    for (found, (of_body, form)) in sent(data, settings).await.into_iter().zip(expected) {
        let found = found.unwrap();
        let text = if of_body { found.text() } else { &found.query };
        assert_eq!(text, form);
    }
}
