use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::model::{OutcomeClass, State};

const DOC: &str = include_str!("../../../docs/METRICS.md");

/// The names as Prometheus stores them.
fn names(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, _) => name.to_owned(),
        })
        .collect()
}

#[track_caller]
fn assert_shows(metrics: &Metrics, line: &str) {
    let text = metrics.render();
    assert!(text.lines().any(|found| found == line), "{line}\n{text}");
}

#[test]
fn each_name_is_documented_and_each_documented_name_is_there() {
    let registered = names(&Metrics::new().render());
    let rows: BTreeSet<_> = DOC
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(registered, rows);

    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for used in DOC
        .split(|c| !word(c))
        .filter(|text| text.starts_with("posthorn_"))
    {
        let series = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| used.strip_suffix(part))
            .unwrap_or(used);
        assert!(registered.contains(series), "{used}");
    }
}

#[test]
fn names_follow_the_conventions() {
    for name in names(&Metrics::new().render()) {
        let name = name.strip_prefix("posthorn_").unwrap();
        let legal = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.chars().all(legal), "{name}");
        assert_eq!(
            name.matches("total").count(),
            usize::from(name.ends_with("_total")),
            "{name}"
        );
    }
}

#[test]
fn each_outcome_is_counted_under_its_own_label() {
    for class in OutcomeClass::ALL {
        let metrics = Metrics::new();
        let label = class.as_str();
        assert_shows(
            &metrics,
            &format!(r#"posthorn_attempts_total{{outcome="{label}"}} 0"#),
        );
        metrics.attempt(class, Duration::from_millis(30));
        assert_shows(
            &metrics,
            &format!(r#"posthorn_attempts_total{{outcome="{label}"}} 1"#),
        );
        assert_shows(&metrics, "posthorn_attempt_duration_seconds_count 1");
    }
}

#[test]
fn each_final_state_is_counted_under_its_own_label_and_open_ones_are_not() {
    for state in State::ALL {
        let metrics = Metrics::new();
        metrics.finished(state);
        let line = format!(r#"posthorn_deliveries_finished_total{{state="{state}"}} 1"#);
        if matches!(state, State::Pending | State::PendingRetry) {
            assert!(!metrics.render().contains(&format!(r#"state="{state}""#)));
        } else {
            assert_shows(&metrics, &line);
        }
    }
}

#[test]
fn a_duration_counts_in_each_bucket_that_can_hold_it() {
    let metrics = Metrics::new();
    for millis in [4, 5, 6, 7_200_000] {
        metrics.first_attempt(Duration::from_millis(millis));
    }
    for (series, value) in [
        (r#"bucket{le="0.002"}"#, "0"),
        (r#"bucket{le="0.005"}"#, "2"),
        (r#"bucket{le="0.01"}"#, "3"),
        (r#"bucket{le="3600.0"}"#, "3"),
        (r#"bucket{le="+Inf"}"#, "4"),
        ("count", "4"),
        ("sum", "7200.015"),
    ] {
        assert_shows(
            &metrics,
            &format!("posthorn_first_attempt_delay_seconds_{series} {value}"),
        );
    }
}

#[test]
fn what_the_loops_say_is_what_an_operator_sees() {
    let metrics = Metrics::new();
    metrics.events_read(3);
    metrics.deliveries_routed(6);
    metrics.retry_planned();
    metrics.spilled(7);
    metrics.refilled(8);
    metrics.batch_written(9, Duration::from_millis(3));
    metrics.fenced_off(10);
    metrics.entry_refused();
    metrics.ledger_conflicts(11);
    metrics.database_error();
    metrics.set_shards_held(64);
    metrics.set_in_flight(12);
    metrics.over_limit();
    metrics.set_queued(13, 14);
    metrics.set_unrecorded(15);
    metrics.set_waiting(16);
    metrics.set_breakers_open(17);
    metrics.set_told_to_wait(2);
    metrics.set_subscriptions(18, 19);
    metrics.set_source_failures(20);
    metrics.set_sources_broken(21);
    metrics.set_checkpoint_age(Duration::from_millis(1_500));
    for line in [
        "posthorn_events_read_total 3",
        "posthorn_deliveries_routed_total 6",
        "posthorn_retries_planned_total 1",
        "posthorn_deliveries_spilled_total 7",
        "posthorn_deliveries_refilled_total 8",
        "posthorn_batch_entries_total 9",
        "posthorn_batch_duration_seconds_count 1",
        "posthorn_fenced_off_total 10",
        "posthorn_entries_refused_total 1",
        "posthorn_endpoints_told_to_wait 2",
        "posthorn_ledger_conflicts_total 11",
        "posthorn_in_flight_over_limit_total 1",
        "posthorn_database_errors_total 1",
        "posthorn_shards_held 64",
        "posthorn_deliveries_in_flight 12",
        "posthorn_deliveries_queued 13",
        "posthorn_queued_bytes 14",
        "posthorn_deliveries_unrecorded 15",
        "posthorn_deliveries_waiting 16",
        "posthorn_breakers_open 17",
        r#"posthorn_subscriptions{settings="valid"} 18"#,
        r#"posthorn_subscriptions{settings="invalid"} 19"#,
        "posthorn_checkpoint_age_seconds 1.5",
        "posthorn_source_failures 20",
        "posthorn_sources_broken 21",
    ] {
        assert_shows(&metrics, line);
    }
    assert!(metrics.render().ends_with("# EOF\n"));
}
