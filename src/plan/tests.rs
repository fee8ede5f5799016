use proptest::prelude::*;

use super::*;
use crate::model::OutcomeClass;
use crate::model::samples::time;

const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

fn judgement(verdict: Verdict, reason: &str) -> Judgement {
    Judgement {
        verdict,
        class: OutcomeClass::Status,
        reason: reason.to_owned(),
    }
}

fn after(attempt: u32) -> Circumstances {
    Circumstances {
        attempt,
        turned_away: 0,
        status: None,
        age: Duration::ZERO,
        retry_after: None,
        other_credential: false,
        chance: 0.5,
    }
}

fn policy(schedule: Schedule) -> RetryPolicy {
    RetryPolicy {
        schedule,
        max_attempts: None,
        max_age: None,
        cap: DAY,
        honour_retry_after: true,
    }
}

fn exponential(factor: f64, jitter: f64) -> RetryPolicy {
    policy(Schedule::Exponential {
        interval: MINUTE,
        factor,
        jitter,
    })
}

fn retry(now: Circumstances, policy: &RetryPolicy) -> Next {
    plan(
        &judgement(Verdict::Retry, "503 Service Unavailable"),
        now,
        policy,
    )
}

#[test]
fn success_ends_well_and_a_giving_up_status_ends_at_once() {
    let policy = policy(Schedule::Fixed(MINUTE));
    let delivered = plan(&judgement(Verdict::Delivered, "200 OK"), after(9), &policy);
    assert_eq!(delivered, Next::Delivered);
    for (verdict, answer, words) in [
        (
            Verdict::GiveUp,
            "404 Not Found",
            "status 404 Not Found ends it at once",
        ),
        (
            Verdict::Disable,
            "410 Gone",
            "status 410 Gone ends it and disables the subscription",
        ),
    ] {
        let ended = plan(&judgement(verdict, answer), after(1), &policy);
        let Next::PostingError(ending) = ended else {
            panic!("{ended:?}");
        };
        assert_eq!(ending.to_string(), words);
    }
}

#[test]
fn instamed_sends_five_times_thirty_minutes_apart() {
    let mut policy = policy(Schedule::Fixed(30 * MINUTE));
    policy.max_attempts = Some(5);
    for attempt in 1..=4 {
        assert_eq!(retry(after(attempt), &policy), Next::RetryIn(30 * MINUTE));
    }
    let ending = Ending::AttemptsUsed {
        used: 5,
        allowed: 5,
    };
    assert_eq!(ending.to_string(), "5 of 5 attempts used");
    assert_eq!(retry(after(5), &policy), Next::PostingError(ending));
}

#[test]
fn exponential_delays_grow_to_the_cap() {
    for (attempt, expected) in [
        (1, MINUTE),
        (2, 2 * MINUTE),
        (3, 4 * MINUTE),
        (11, 1024 * MINUTE),
        (12, DAY),
        (u32::MAX, DAY),
    ] {
        let next = retry(after(attempt), &exponential(2.0, 0.0));
        assert_eq!(next, Next::RetryIn(expected), "attempt {attempt}");
    }
    let steep = retry(after(1_000_000), &exponential(1e9, 0.0));
    assert_eq!(steep, Next::RetryIn(DAY));
}

#[test]
fn jitter_spreads_to_both_sides_but_not_past_the_cap() {
    for (attempt, chance, expected) in [
        (1, 0.0, 30.0),
        (1, 0.5, 60.0),
        (1, 1.0, 90.0),
        (40, 0.0, 43_200.0),
        (40, 1.0, 86_400.0),
    ] {
        let now = Circumstances {
            chance,
            ..after(attempt)
        };
        let expected = Next::RetryIn(Duration::from_secs_f64(expected));
        assert_eq!(retry(now, &exponential(2.0, 0.5)), expected);
    }
}

#[test]
fn a_list_ends_after_its_last_delay() {
    let policy = policy(Schedule::List(vec![MINUTE, 5 * MINUTE]));
    assert_eq!(retry(after(1), &policy), Next::RetryIn(MINUTE));
    assert_eq!(retry(after(2), &policy), Next::RetryIn(5 * MINUTE));
    let ending = Ending::DelaysUsed { attempts: 3 };
    assert_eq!(
        ending.to_string(),
        "3 attempts used, the list has no further delay"
    );
    assert_eq!(retry(after(3), &policy), Next::PostingError(ending));
}

#[test]
fn no_retry_is_planned_past_the_greatest_age() {
    let mut policy = policy(Schedule::Fixed(MINUTE));
    policy.max_age = Some(3 * DAY);
    let aged = |age| Circumstances { age, ..after(2) };
    let last = retry(aged(2 * DAY + 1439 * MINUTE), &policy);
    assert_eq!(last, Next::RetryIn(MINUTE));
    let ending = Ending::TooOld { max_age: 3 * DAY };
    assert_eq!(ending.to_string(), "older than 3 days by the next attempt");
    let late = retry(aged(2 * DAY + 1439 * MINUTE + MINUTE / 2), &policy);
    assert_eq!(late, Next::PostingError(ending));
}

#[test]
fn retry_after_only_lengthens_and_only_to_the_cap() {
    let mut policy = policy(Schedule::Fixed(MINUTE));
    for (asked, honoured, expected) in [
        (10 * MINUTE, true, 10 * MINUTE),
        (Duration::ZERO, true, MINUTE),
        (30 * DAY, true, DAY),
        (10 * MINUTE, false, MINUTE),
    ] {
        policy.honour_retry_after = honoured;
        let now = Circumstances {
            retry_after: Some(asked),
            ..after(1)
        };
        assert_eq!(retry(now, &policy), Next::RetryIn(expected));
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now = time("2026-03-01T12:00:00Z");
    for (text, expected) in [
        ("120", Some(120)),
        (" 0 ", Some(0)),
        ("99999999999999999999999999", Some(u64::MAX)),
        ("Sun, 01 Mar 2026 12:05:00 GMT", Some(300)),
        ("Sunday, 01-Mar-26 12:05:00 GMT", Some(300)),
        ("Sun, 01 Mar 2026 11:00:00 GMT", Some(0)),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("Sun, 99 Mar 2026 12:05:00 GMT", None),
        ("１２", None),
    ] {
        let expected = expected.map(Duration::from_secs);
        assert_eq!(parse_retry_after(text, now), expected, "{text}");
    }
}

#[test]
fn an_age_reads_as_people_say_it() {
    for (duration, expected) in [
        (DAY, "1 day"),
        (90 * MINUTE, "90 minutes"),
        (2 * MINUTE * 60, "2 hours"),
        (Duration::from_secs(1), "1 second"),
        (Duration::from_millis(1_500), "1500 milliseconds"),
        (Duration::ZERO, "0 milliseconds"),
    ] {
        assert_eq!(in_words(duration), expected);
    }
}

#[test]
fn another_credential_is_tried_at_once_within_the_limits() {
    let refused = |attempt| Circumstances {
        other_credential: true,
        retry_after: Some(MINUTE),
        ..after(attempt)
    };
    let mut policy = policy(Schedule::Fixed(MINUTE));
    policy.max_attempts = Some(3);
    assert_eq!(retry(refused(2), &policy), Next::RetryIn(Duration::ZERO));
    let ending = Ending::AttemptsUsed {
        used: 3,
        allowed: 3,
    };
    assert_eq!(retry(refused(3), &policy), Next::PostingError(ending));
    policy.schedule = Schedule::List(vec![MINUTE]);
    assert_eq!(
        retry(refused(2), &policy),
        Next::PostingError(Ending::DelaysUsed { attempts: 2 })
    );
}

proptest! {
    #[test]
    fn no_setting_leads_to_a_panic_or_past_the_cap(
        attempt: u32,
        factor: f64,
        jitter: f64,
        chance: f64,
        interval: Duration,
        cap: Duration,
        age: Duration,
        retry_after: Option<Duration>,
    ) {
        let policy = RetryPolicy {
            cap,
            ..policy(Schedule::Exponential { interval, factor, jitter })
        };
        let now = Circumstances { attempt, age, retry_after, chance, ..after(1) };
        let Next::RetryIn(delay) = retry(now, &policy) else {
            panic!("without limits there is always a retry");
        };
        prop_assert!(delay <= cap);
    }
}

#[test]
fn an_attempt_that_was_turned_away_does_not_count_and_waits_as_it_was_told() {
    let policy = RetryPolicy {
        cap: MINUTE * 10,
        ..policy(Schedule::List(vec![MINUTE * 5]))
    };
    let told = |attempt, status, seconds| Circumstances {
        status: Some(status),
        turned_away: attempt - 1,
        retry_after: Some(Duration::from_secs(seconds)),
        ..after(attempt)
    };
    for (now, next) in [
        (told(1, 429, 20), Next::RetryIn(Duration::from_secs(20))),
        (told(9, 503, 20), Next::RetryIn(Duration::from_secs(20))),
        (told(9, 429, 86_400), Next::RetryIn(MINUTE * 10)),
        // The first that counts, and its wait is the plan's.
        (told(9, 429, 0), Next::RetryIn(MINUTE * 5)),
        (told(9, 500, 20), Next::RetryIn(MINUTE * 5)),
    ] {
        assert_eq!(retry(now, &policy), next, "{now:?}");
    }
    let second = Circumstances {
        turned_away: 7,
        ..told(9, 500, 20)
    };
    assert_eq!(
        retry(second, &policy),
        Next::PostingError(Ending::DelaysUsed { attempts: 2 })
    );
    let deaf = RetryPolicy {
        honour_retry_after: false,
        ..policy.clone()
    };
    assert_eq!(retry(told(1, 429, 20), &deaf), Next::RetryIn(MINUTE * 5));
    let old = Circumstances {
        age: MAX_AGE,
        ..told(1, 429, 20)
    };
    let ending = Ending::TooOld { max_age: MAX_AGE };
    assert_eq!(
        retry(old, &policy),
        Next::PostingError(ending),
        "no max_age"
    );
}
