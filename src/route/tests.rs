use super::*;
use crate::model::{Field, FieldSource, OmitWhen, Step, samples};

fn routes(subscriptions: impl IntoIterator<Item = Subscription>) -> Routes {
    let mut routes = Routes::default();
    for subscription in subscriptions {
        routes.upsert(Arc::new(subscription));
    }
    routes
}

fn numbered(number: u16) -> Subscription {
    Subscription {
        id: Uuid::from_u128(number.into()),
        name: format!("endpoint {number}"),
        ..samples::subscription()
    }
}

fn matched(routes: &Routes, event: &Event) -> Vec<u128> {
    let mut ids: Vec<_> = routes
        .matches(event, None, &Versions::default())
        .map(|it| it.id.as_u128())
        .collect();
    ids.sort_unstable();
    ids
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one table of cases")]
fn an_event_goes_to_those_who_want_it() {
    type Change = fn(&mut Subscription);
    let cases: [(&str, Change, bool); 17] = [
        ("everything", |_| {}, true),
        ("disabled", |it| it.enabled = false, false),
        ("paused", |it| it.paused = true, true),
        ("template", |it| it.scope = Scope::Transaction, false),
        ("changes", |it| it.emit = Emit::Change, true),
        ("no kind", |it| it.kinds = Some(vec![]), false),
        ("no status", |it| it.statuses = Some(vec![]), false),
        (
            "other merchant",
            |it| it.merchant = "Acme".to_owned(),
            false,
        ),
        (
            "its kind",
            |it| it.kinds = Some(vec![Pattern::new("x"), Pattern::new("payment.*")]),
            true,
        ),
        (
            "other kind",
            |it| it.kinds = Some(vec![Pattern::new("refund.*")]),
            false,
        ),
        (
            "its status",
            |it| it.statuses = Some(vec![Pattern::new("approved")]),
            true,
        ),
        (
            "other status",
            |it| it.statuses = Some(vec![Pattern::new("declined")]),
            false,
        ),
        (
            "both",
            |it| {
                it.kinds = Some(vec![Pattern::new("payment.*")]);
                it.statuses = Some(vec![Pattern::new("appr*")]);
            },
            true,
        ),
        (
            "only the kind fits",
            |it| {
                it.kinds = Some(vec![Pattern::new("payment.*")]);
                it.statuses = Some(vec![Pattern::new("x")]);
            },
            false,
        ),
        (
            "older",
            |it| it.created_at = samples::time("2026-03-01T12:00:00Z"),
            true,
        ),
        (
            "of the same moment",
            |it| it.created_at = samples::event().created_at,
            true,
        ),
        (
            "newer",
            |it| it.created_at = samples::time("2026-03-01T12:00:00.000002Z"),
            false,
        ),
    ];
    for (what, change, expected) in cases {
        let mut subscription = samples::subscription();
        change(&mut subscription);
        let routes = routes([subscription]);
        let count = routes
            .matches(&samples::event(), None, &Versions::default())
            .count();
        assert_eq!(count, usize::from(expected), "{what}");
    }
}

#[test]
fn an_event_that_changes_nothing_goes_to_those_who_want_every_one() {
    let changes = Subscription {
        emit: Emit::Change,
        ..numbered(1)
    };
    let routes = routes([changes, numbered(2)]);
    assert_eq!(matched(&routes, &samples::event()), [1, 2]);
    let repeated = samples::event();
    let ids: Vec<_> = routes
        .matches(&repeated, Some(&repeated.status), &Versions::default())
        .map(|it| it.id)
        .collect();
    assert_eq!(ids, [Uuid::from_u128(2)]);
}

#[test]
fn what_is_sent_alike_is_no_change() {
    let status = |map: &[(&str, &str)], format: Vec<Step>, omit_when| Field {
        name: "TXStatus".to_owned(),
        source: FieldSource::Status,
        map: map
            .iter()
            .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
            .collect(),
        format,
        omit_when,
    };
    let mapped = || {
        status(
            &[("Pending", "2"), ("Waiting", "2"), ("", "0")],
            vec![],
            OmitWhen::Never,
        )
    };
    let raw = || status(&[], vec![], OmitWhen::Never);
    let lower = || status(&[], vec![Step::Lower], OmitWhen::Never);
    let number = || status(&[], vec![Step::Number], OmitWhen::Never);
    let other = || Field {
        source: FieldSource::Kind,
        ..raw()
    };
    for (fields, before, now, changed) in [
        (None, "Pending", "2", true),
        (Some(vec![mapped()]), "Pending", "2", false),
        (Some(vec![mapped()]), "Pending", "Waiting", false),
        (Some(vec![mapped()]), "Pending", "Complete", true),
        // The receiver sees both fields.
        (Some(vec![mapped(), raw()]), "Pending", "2", true),
        (Some(vec![lower()]), "APPROVED", "Approved", false),
        // Without a field of it, the status itself counts.
        (Some(vec![other()]), "Pending", "2", true),
        // What cannot be sent is told of.
        (Some(vec![number()]), "1", "one", true),
        (Some(vec![number()]), "1", "1", false),
    ] {
        let mut subscription = Subscription {
            emit: Emit::Change,
            ..numbered(1)
        };
        subscription.form.fields = fields;
        let event = Event {
            status: now.into(),
            ..samples::event()
        };
        assert_eq!(
            gets(&subscription, &event, Some(before)),
            changed,
            "{before} {now}"
        );
    }
}

#[test]
fn a_template_lets_through_what_it_wants_of_its_merchant() {
    type Change = fn(&mut Subscription);
    let cases: [(&str, Change, bool); 6] = [
        ("template", |_| {}, true),
        (
            "its kind",
            |it| it.kinds = Some(vec![Pattern::new("payment.*")]),
            true,
        ),
        (
            "other kind",
            |it| it.kinds = Some(vec![Pattern::new("x")]),
            false,
        ),
        ("disabled", |it| it.enabled = false, false),
        (
            "other merchant",
            |it| it.merchant = "Acme".to_owned(),
            false,
        ),
        (
            "no template any more",
            |it| it.scope = Scope::Merchant,
            false,
        ),
    ];
    for (what, change, expected) in cases {
        let mut template = Subscription {
            scope: Scope::Transaction,
            ..numbered(1)
        };
        change(&mut template);
        let routes = routes([template]);
        let event = samples::event();
        let found = routes.template(Uuid::from_u128(1), &event, None, &Versions::default());
        assert_eq!(found.is_some(), expected, "{what}");
    }
}

#[test]
fn an_update_takes_the_place_of_the_earlier_revision() {
    let mut routes = routes([numbered(1), numbered(2)]);
    assert_eq!(matched(&routes, &samples::event()), [1, 2]);

    let mut moved = numbered(1);
    moved.merchant = "other".to_owned();
    moved.shard = Shard(8);
    moved.revision = 2;
    routes.upsert(Arc::new(moved));
    assert_eq!(matched(&routes, &samples::event()), [2]);
    assert_eq!(routes.len(), 2);
    let known = routes.get(Uuid::from_u128(1)).map(|it| it.revision);
    assert_eq!(known, Some(2));

    assert!(routes.remove(Uuid::from_u128(2)).is_some());
    assert!(routes.remove(Uuid::from_u128(2)).is_none());
    assert!(matched(&routes, &samples::event()).is_empty());
}

#[test]
fn a_shard_goes_as_a_whole() {
    let elsewhere = Subscription {
        shard: Shard(8),
        merchant: "other".to_owned(),
        ..numbered(3)
    };
    let mut routes = routes([numbered(1), numbered(2), elsewhere]);
    routes.remove_shard(Shard(7));
    assert!(matched(&routes, &samples::event()).is_empty());
    assert!(routes.get(Uuid::from_u128(1)).is_none());
    assert!(routes.get(Uuid::from_u128(3)).is_some());
    assert_eq!(routes.len(), 1);
    routes.remove_shard(Shard(8));
    assert!(routes.is_empty());
}
