//! Two credentials, while one takes the place of the other.

use super::*;

fn rotating(now: Instant) -> Lane {
    lane(
        |subscription| subscription.auth_previous = Some(Auth::None),
        now,
    )
}

/// Sends everything; the credentials that it carries, and whether the other is left.
fn trials(lane: &mut Lane, now: Instant) -> Vec<(Credential, bool)> {
    std::iter::from_fn(|| lane.next(now))
        .map(|item| (item.trial.credential, item.trial.other_left))
        .collect()
}

#[test]
fn a_lane_stays_with_the_credential_that_worked() {
    use Credential::{Current, Previous};
    let now = Instant::now();
    let mut lane = rotating(now);
    offer(&mut lane, 0..2, now);
    assert_eq!(trials(&mut lane, now), [(Current, true), (Current, true)]);
    refuse(&mut lane, 0, now);
    refuse(&mut lane, 1, now);
    offer(&mut lane, 0..3, now);
    assert_eq!(
        trials(&mut lane, now),
        [(Previous, false), (Previous, false), (Previous, true)],
        "the two try the other one, and what is new goes on with it"
    );
    land(&mut lane, 0, Verdict::Delivered, now);
    land(&mut lane, 1, Verdict::Delivered, now);
    // Now the receiver takes the new one only.
    refuse(&mut lane, 2, now);
    offer(&mut lane, 2..3, now);
    assert_eq!(trials(&mut lane, now), [(Current, false)]);
    land(&mut lane, 2, Verdict::Delivered, now);
    offer(&mut lane, 3..4, now);
    assert_eq!(trials(&mut lane, now), [(Current, true)]);
}

#[test]
fn a_delivery_that_both_credentials_fail_waits_and_counts_as_a_failure() {
    use Credential::{Current, Previous};
    let now = Instant::now();
    let mut lane = rotating(now);
    for number in 0..u128::from(SETTINGS.breaker.failures) {
        offer(&mut lane, number..number + 1, now);
        assert!(trials(&mut lane, now)[0].1);
        refuse(&mut lane, number, now);
        assert!(!lane.is_failing(), "the other one may work");
        offer(&mut lane, number..number + 1, now);
        assert!(!trials(&mut lane, now)[0].1);
        refuse(&mut lane, number, now);
    }
    assert!(lane.is_failing());
    let later = now + SETTINGS.breaker.probe_min;
    offer(&mut lane, 0..1, later);
    assert_eq!(trials(&mut lane, later), [(Current, true)], "after a wait");
    refuse(&mut lane, 0, later);
    let mut changed = (*lane.subscription).clone();
    changed.revision += 1;
    lane.configure(Arc::new(changed), later);
    offer(&mut lane, 0..1, later);
    assert_eq!(
        trials(&mut lane, later),
        [(Current, true)],
        "a new configuration starts with the new one"
    );
    refuse(&mut lane, 0, later);
    offer(&mut lane, 0..1, later);
    assert_eq!(trials(&mut lane, later), [(Previous, false)]);
}

#[test]
fn without_a_second_credential_a_refusal_is_a_failure() {
    let now = Instant::now();
    let mut lane = lane(|_| {}, now);
    offer(&mut lane, 0..3, now);
    assert_eq!(
        trials(&mut lane, now),
        vec![(Credential::Current, false); 3]
    );
    for number in 0..3 {
        refuse(&mut lane, number, now);
    }
    assert!(lane.is_failing());
}
