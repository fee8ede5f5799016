use serde_json::json;

use super::{given, resolved};
use crate::model::{Decimals, FieldSource, Step};

#[test]
fn a_format_is_one_step_or_several() {
    for (format, expected) in [
        (json!("number"), vec![Step::Number]),
        (json!("minor:2"), vec![Step::Minor(2.into())]),
        (
            json!("minor:/payment/currency"),
            vec![Step::Minor(Decimals::OfCurrency(
                "/payment/currency".to_owned(),
            ))],
        ),
        (json!("rfc3339"), vec![Step::Rfc3339(0)]),
        (json!("rfc3339:6"), vec![Step::Rfc3339(6)]),
        (
            json!("time:%d.%m.%Y %H:%M"),
            vec![Step::Time("%d.%m.%Y %H:%M".to_owned())],
        ),
        (
            json!(["decimal:3", "text"]),
            vec![Step::Decimal(3.into()), Step::Text],
        ),
    ] {
        let fields = json!([{"name": "a", "source": "time", "format": format}]);
        let settings = given(|s| s.fields = Some(fields));
        let fields = resolved(&settings, "").unwrap().form.fields.unwrap();
        assert_eq!(fields[0].source, FieldSource::Time);
        assert_eq!(fields[0].format, expected);
        // The spelling of an error is the spelling of the setting.
        let spelled: Vec<_> = expected.iter().map(Step::to_string).collect();
        let given = format
            .as_str()
            .map_or_else(|| format.clone(), |it| json!([it]));
        assert_eq!(json!(spelled), given);
    }
}

#[test]
fn a_format_that_nothing_fits_is_refused() {
    for (format, words) in [
        (json!("cents"), "\"cents\" is not known; give text, number"),
        (json!("number:2"), "is not known"),
        (json!("decimal"), "is not known"),
        (json!("rfc3339:2"), "is not known"),
        (json!("minor:x"), "\"minor:x\" has no number of decimals"),
        (json!("minor:/~2"), "nor a JSON pointer to the currency"),
        (json!("minor:"), "nor a JSON pointer to the currency"),
        (json!("minor:19"), "19 is more than 18"),
        (json!("time:"), "is not one of strftime"),
        (json!("time:%Q"), "\"%Q\" is not one of strftime"),
        (json!([]), "an empty array"),
        (json!(["text", 2]), "the format is not text"),
        (json!({}), "the format is not text"),
        (json!(null), "the format is not text"),
    ] {
        let fields = json!([{"name": "a", "source": "status", "format": format}]);
        let problems = given(|s| s.fields = Some(fields)).problems();
        assert_eq!(problems.len(), 1, "{format}: {problems:?}");
        let told = problems[0].to_string();
        assert!(told.starts_with("fields: field 1: "), "{told}");
        assert!(told.contains(words), "{format}: {told}");
    }
}
