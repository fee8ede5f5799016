//! The two forms in which metrics are read: `OpenMetrics`, which the encoder writes, and the
//! older text format of Prometheus for whoever does not ask for it.

use std::fmt::Write;

use http::HeaderMap;
use http::header::ACCEPT;

/// Whether the client would rather have `OpenMetrics` than plain text (RFC 9110, section
/// 12.5.1). Who does not say has the older form.
pub fn wants_openmetrics(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter();
    let accepted: Vec<(String, f32)> = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(weighed)
        .collect();
    let weight = |media_type: &str| {
        let weights = accepted.iter().filter(|(it, _)| it == media_type);
        weights.map(|(_, weight)| *weight).fold(0.0, f32::max)
    };
    let openmetrics = weight("application/openmetrics-text");
    openmetrics > 0.0 && openmetrics >= weight("text/plain")
}

/// Splits a media type into itself without its parameters, and its weight.
fn weighed(range: &str) -> (String, f32) {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    (
        media_type,
        weight
            .map_or(Some(1.0), |it| it.parse().ok())
            .unwrap_or_default(),
    )
}

/// Writes the same metrics in the text format 0.0.4. The samples are the same in both; what is said
/// of a counter goes by the name that its samples have, and units and the end are not said.
pub fn of_openmetrics(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF" | "UNIT"), ..) => {}
            (Some("#"), Some("HELP"), Some(name), words) => help = Some((name, words)),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    "unknown" => ("", "untyped"),
                    kind => ("", kind),
                };
                if let Some((_, words)) = help.take().filter(|(of, _)| *of == name) {
                    let words = words.unwrap_or_default();
                    // Writing to a String cannot fail.
                    let _ = writeln!(plain, "# HELP {name}{suffix} {words}");
                }
                let _ = writeln!(plain, "# TYPE {name}{suffix} {kind}");
            }
            _ => {
                plain.push_str(line);
                plain.push('\n');
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn who_asks_for_openmetrics_has_it() {
        for (accept, expected) in [
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                true,
            ),
            ("application/openmetrics-text", true),
            ("Application/OpenMetrics-Text; version=1.0.0", true),
            ("text/plain;version=0.0.4", false),
            ("text/plain, application/openmetrics-text;q=0.5", false),
            ("application/openmetrics-text;q=0", false),
            ("*/*", false),
            ("", false),
        ] {
            let headers = [(ACCEPT, HeaderValue::from_static(accept))];
            let found = wants_openmetrics(&headers.into_iter().collect());
            assert_eq!(found, expected, "{accept}");
        }
        assert!(!wants_openmetrics(&HeaderMap::new()));
    }

    #[test]
    fn what_is_said_of_a_metric_stands_under_the_name_of_its_samples() {
        let text = "# HELP a What a is.\n# TYPE a counter\na_total{b=\"# c\"} 1\n\
                    # HELP d_seconds What d is.\n# TYPE d_seconds histogram\n# UNIT d_seconds seconds\n\
                    d_seconds_bucket{le=\"+Inf\"} 2\n# TYPE e gauge\ne 3\n# EOF\n";
        let expected = "# HELP a_total What a is.\n# TYPE a_total counter\na_total{b=\"# c\"} 1\n\
                        # HELP d_seconds What d is.\n# TYPE d_seconds histogram\n\
                        d_seconds_bucket{le=\"+Inf\"} 2\n# TYPE e gauge\ne 3\n";
        assert_eq!(of_openmetrics(text), expected);
    }
}
