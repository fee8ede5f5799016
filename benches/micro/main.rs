//! `cargo bench --bench micro`: the pure parts of a delivery's way, one by one.

#[path = "../support/mod.rs"]
mod support;

mod samples;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use criterion::Criterion;
use posthorn::judge::judge;
use posthorn::mask::Mask;
use posthorn::model::attempt::Answer;
use posthorn::model::{Subscription, TokenKey, Wire};
use posthorn::plan::{Circumstances, plan};
use posthorn::route::Routes;
use posthorn::route::versions::Versions;
use posthorn::shape::shape;
use serde_json::{Value, json};

use support::data::Form;
use support::figures::Row;
use support::{NoOptions, Size};

/// Subscriptions among which an event finds its own.
const SUBSCRIPTIONS: u32 = 100_000;

fn main() -> anyhow::Result<()> {
    support::main("micro", async |_: NoOptions, size: Size| measure(size))
}

fn measure(size: Size) -> anyhow::Result<Vec<Row>> {
    let directory = tempfile::tempdir()?;
    let mut criterion = Criterion::default()
        .output_directory(directory.path())
        .without_plots()
        .warm_up_time(Duration::from_millis(size.of(1, 500, 3000)))
        .measurement_time(Duration::from_millis(size.of(10, 2000, 5000)))
        .sample_size(size.of(10, 50, 100));
    route(&mut criterion, size)?;
    for (name, settings) in [
        ("shape: JSON as published", Form::Json.settings()),
        ("shape: JSON, field map", mapped(&json!({}))),
        (
            "shape: JSON, field map, signed",
            mapped(&json!({"signing": "standard_webhooks", "signing_secrets": ["env:SIGNING"]})),
        ),
        ("shape: XML, field map", mapped(&json!({"encoding": "xml"}))),
        ("shape: XML, field map, signed", Form::Xml.settings()),
        ("shape: NVP, field map", mapped(&json!({"encoding": "nvp"}))),
        ("shape: query, field map", mapped(&json!({"method": "GET"}))),
    ] {
        shape_one(&mut criterion, name, &settings)?;
    }
    decide(&mut criterion, size)?;
    mask(&mut criterion)?;
    estimates(directory.path())
}

/// The field map of the XML drain, with other settings beside it.
fn mapped(others: &Value) -> Value {
    let mut settings = json!({"fields": Form::Xml.settings()["fields"]});
    for (name, value) in others.as_object().into_iter().flatten() {
        settings[name] = value.clone();
    }
    settings
}

fn route(criterion: &mut Criterion, size: Size) -> anyhow::Result<()> {
    let mut routes = Routes::default();
    for n in 0..size.of(100, SUBSCRIPTIONS, SUBSCRIPTIONS) {
        let subscription = samples::subscription(n, &json!({"kinds": ["payment.*"]}))?;
        routes.upsert(Arc::new(subscription));
    }
    let event = samples::event(7);
    let versions = Versions::default();
    criterion.bench_function("route: one of 100,000 subscriptions", |bencher| {
        bencher.iter(|| {
            black_box(&routes)
                .matches(black_box(&event), None, &versions)
                .count()
        });
    });
    Ok(())
}

fn shape_one(criterion: &mut Criterion, name: &str, settings: &Value) -> anyhow::Result<()> {
    let subscription = samples::subscription(7, settings)?;
    let event = samples::event(7);
    let token_key = TokenKey::new(&[7; 32]);
    let moment = samples::moment(&event, &subscription, &token_key);
    shape(&event, &subscription, &moment).map_err(|it| anyhow::anyhow!("{name}: {it}"))?;
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| shape(black_box(&event), black_box(&subscription), &moment));
    });
    Ok(())
}

fn decide(criterion: &mut Criterion, _: Size) -> anyhow::Result<()> {
    let Subscription { success, retry, .. } =
        samples::subscription(7, &json!({"success_body": "RECEIVED"}))?;
    let answer = Wire::Answer(Answer {
        status: 200,
        reason: "OK".to_owned(),
        body: Bytes::from_static(b"RECEIVED"),
        ..Answer::default()
    });
    let failed = Wire::Answer(Answer {
        status: 503,
        reason: "Service Unavailable".to_owned(),
        ..Answer::default()
    });
    criterion.bench_function("judge: an answer and its text", |bencher| {
        bencher.iter(|| judge(black_box(&answer), &success));
    });
    let judgement = judge(&failed, &success);
    let circumstances = Circumstances {
        attempt: 3,
        turned_away: 0,
        status: Some(503),
        age: Duration::from_mins(30),
        retry_after: None,
        other_credential: false,
        chance: 0.5,
    };
    criterion.bench_function("plan: a retry", |bencher| {
        bencher.iter(|| plan(black_box(&judgement), black_box(circumstances), &retry));
    });
    Ok(())
}

/// What an answer costs that comes back with all that was sent, and one of two letters.
fn mask(criterion: &mut Criterion) -> anyhow::Result<()> {
    let mut subscription = samples::subscription(7, &json!({}))?;
    subscription.unsent = (0..10)
        .map(|n| {
            format!("secret-{n}-of-32-characters-or-so")
                .into_bytes()
                .into()
        })
        .collect();
    let event = samples::event(7);
    let token_key = TokenKey::new(&[7; 32]);
    let moment = samples::moment(&event, &subscription, &token_key);
    let request = shape(&event, &subscription, &moment)?;
    let echo = request.body.repeat(64 * 1024 / request.body.len());
    for (name, body) in [
        ("mask: an answer of two letters", Bytes::from_static(b"OK")),
        ("mask: the payload comes back", request.body.clone()),
        ("mask: 64 KiB come back, ten secrets", echo.into()),
    ] {
        let came = Wire::Answer(Answer {
            status: 200,
            reason: "OK".to_owned(),
            body: body.clone(),
            ..Answer::default()
        });
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mask = Mask::of(&event, &subscription, &request, black_box(&came));
                (mask.line("200 OK"), mask.body(black_box(&body)))
            });
        });
    }
    Ok(())
}

/// What criterion has written down, in the order of the names.
fn estimates(directory: &Path) -> anyhow::Result<Vec<Row>> {
    let mut rows = vec![];
    for entry in fs::read_dir(directory)? {
        let new = entry?.path().join("new");
        let read = |file: &str| -> anyhow::Result<Value> {
            Ok(serde_json::from_slice(&fs::read(new.join(file))?)?)
        };
        let name = read("benchmark.json")?["title"].as_str().map(str::to_owned);
        let ns = read("estimates.json")?["median"]["point_estimate"].as_f64();
        let (name, ns) = name.zip(ns).context("criterion's estimates")?;
        rows.push(Row::new(name, ns / 1000.0, "µs"));
    }
    rows.sort_by(|one, other| one.measure.cmp(&other.measure));
    Ok(rows)
}
