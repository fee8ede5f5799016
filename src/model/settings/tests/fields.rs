use serde_json::json;

use super::{given, resolved, text};
use crate::model::{FieldSource, OmitWhen};

#[test]
fn field_maps_keep_their_order() {
    let settings = given(|s| {
        s.fields = Some(json!([
            {"name": "TransID", "source": "transaction_id"},
            {"name": "TXStatus", "source": "status", "map": {"complete": 4, "closed": "7"}},
            {"name": "EventType", "source": "literal:transaction"},
            {"name": "token", "source": "/a~1b/0", "omit_when": "null"},
        ]));
    });
    let fields = resolved(&settings, "").unwrap().form.fields.unwrap();
    let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["TransID", "TXStatus", "EventType", "token"]);
    assert!(
        fields[1]
            .map
            .contains(&("complete".to_owned(), "4".to_owned()))
    );
    assert!(
        fields[1]
            .map
            .contains(&("closed".to_owned(), "7".to_owned()))
    );
    assert_eq!(
        fields[2].source,
        FieldSource::Literal("transaction".to_owned())
    );
    assert_eq!(fields[3].source, FieldSource::Pointer("/a~1b/0".to_owned()));
    assert_eq!(fields[3].omit_when, OmitWhen::Null);
}

#[test]
fn a_field_map_that_cannot_be_followed_is_refused() {
    for (fields, words) in [
        (json!({}), "not an array"),
        (json!([]), "an empty array"),
        (json!(["id"]), "field 1: not an object"),
        (
            json!([{"source": "status"}]),
            "field 1: the name is missing",
        ),
        (
            json!([{"name": "", "source": "status"}]),
            "field 1: the name is missing, empty",
        ),
        (json!([{"name": "a"}]), "field 1: the source is missing"),
        (
            json!([{"name": "a", "source": "stat"}]),
            "field 1: the source is missing or not known",
        ),
        (json!([{"name": "a", "source": ""}]), "field 1: the source"),
        (
            json!([{"name": "a", "source": "/~2"}]),
            "field 1: the source",
        ),
        (
            json!([{"name": "a", "source": "status", "map": ["x"]}]),
            "the map is not an object",
        ),
        (
            json!([{"name": "a", "source": "status", "map": {"x": true}}]),
            "the map is not an object",
        ),
        (
            json!([{"name": "a", "source": "status", "omit_when": null}]),
            "omit_when is not a choice",
        ),
        (
            json!([{"name": "a", "source": "status", "omit": "null"}]),
            "\"omit\" is not known",
        ),
        (
            json!([{"name": "a", "source": "status"}, {"name": "a", "source": "kind"}]),
            "fields 1 and 2 are both named \"a\"",
        ),
    ] {
        let problems = given(|s| s.fields = Some(fields.clone())).problems();
        assert_eq!(problems.len(), 1, "{fields}: {problems:?}");
        assert!(
            problems[0].message.contains(words),
            "{fields}: {}",
            problems[0]
        );
    }
    let xml = given(|s| {
        s.encoding = text("xml");
        s.fields = Some(json!([{"name": "a b", "source": "status"}]));
    });
    assert!(xml.problems()[0].message.contains("is not an XML name"));
}
