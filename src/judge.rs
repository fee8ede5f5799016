//! Judge: what a subscription's rule says of what happened on the wire. Pure.

use crate::model::{Answer, FailureClass, Judgement, OutcomeClass, SuccessRule, Verdict, Wire};

/// Says what an outcome means by the subscription's rule. Success is a status in the ranges and, if
/// the rule asks for one, the body text (WIRE.md 5.3). A redirect is a failure whatever the rule
/// says: it is not followed, so nobody has taken the message. A status that gives up ends the
/// delivery, one that disables its subscription too; everything else is retried, a forbidden
/// address as well, because the policy and the DNS may change.
#[must_use]
pub fn judge(wire: &Wire, rule: &SuccessRule) -> Judgement {
    match wire {
        Wire::Answer(answer) => judge_answer(answer, rule),
        Wire::Failed { class, detail } => Judgement {
            verdict: Verdict::Retry,
            class: (*class).into(),
            reason: format!("{}: {detail}", failure(*class)),
        },
    }
}

fn judge_answer(answer: &Answer, rule: &SuccessRule) -> Judgement {
    let line = format!("{} {}", answer.status, answer.reason);
    let line = line.trim_end();
    let redirect = (300..400).contains(&answer.status);
    let status_fits = rule.statuses.contains(answer.status) && !redirect;
    let missed = rule
        .body
        .as_deref()
        .and_then(|text| why_not_the_text(answer, text));
    let (class, reason) = match (status_fits, missed) {
        (true, None) => (OutcomeClass::Ok, with_its_end(line, answer)),
        (true, Some(why)) => (OutcomeClass::BodyRule, format!("{line}, but {why}")),
        (false, _) => match &answer.redirects_to {
            Some(host) => (
                OutcomeClass::Status,
                format!("{line}, a redirect to {host}, which is not followed"),
            ),
            None => (OutcomeClass::Status, with_its_end(line, answer)),
        },
    };
    let verdict = if class == OutcomeClass::Ok {
        Verdict::Delivered
    } else if rule.disable.contains(answer.status) {
        Verdict::Disable
    } else if rule.give_up.contains(answer.status) {
        Verdict::GiveUp
    } else {
        Verdict::Retry
    };
    Judgement {
        verdict,
        class,
        reason,
    }
}

/// Adds to the line that the body has no end, where only the status was asked for.
fn with_its_end(line: &str, answer: &Answer) -> String {
    match &answer.incomplete {
        Some(why) => format!("{line} (its body is incomplete: {why})"),
        None => line.to_owned(),
    }
}

/// Why the body is not the text that the rule asks for; none where it is. A body without its end is
/// not, whatever is there of it: the rest could say something else.
fn why_not_the_text(answer: &Answer, text: &str) -> Option<String> {
    if let Some(why) = &answer.incomplete {
        return Some(format!("the body is incomplete: {why}"));
    }
    if is_same_text(&answer.body, text) {
        return None;
    }
    Some(match (&answer.coding, &answer.unreadable) {
        (Some(coding), _) => format!("the body is in the coding {coding}, and nothing is decoded"),
        (None, Some(cause)) => format!("the body {cause}"),
        (None, None) => "the body is not the required text".to_owned(),
    })
}

/// Whether the body is the text, letter case and surrounding white space ignored.
fn is_same_text(body: &[u8], text: &str) -> bool {
    let body = String::from_utf8_lossy(body);
    body.trim().to_lowercase() == text.trim().to_lowercase()
}

const fn failure(class: FailureClass) -> &'static str {
    match class {
        FailureClass::Dns => "name look-up failed",
        FailureClass::Connect => "connection failed",
        FailureClass::Tls => "TLS failed",
        FailureClass::Timeout => "timeout",
        FailureClass::Protocol => "broken exchange",
        FailureClass::Refused => "refused by the egress policy, tried again in case it changes",
        FailureClass::Token { .. } => "no access token",
    }
}

/// Says what a refused credential means while another one is left to try: not even a status that
/// gives up is the end.
#[must_use]
pub fn with_another_left(judgement: Judgement) -> Judgement {
    let verdict = match judgement.verdict {
        Verdict::Delivered => Verdict::Delivered,
        Verdict::Retry | Verdict::GiveUp | Verdict::Disable => Verdict::Retry,
    };
    Judgement {
        verdict,
        ..judgement
    }
}

/// Whether it is the credential that was refused, by the receiver (RFC 9110, sections 15.5.2 and
/// 15.5.4) or by the token server.
#[must_use]
pub fn refuses_credential(wire: &Wire) -> bool {
    match wire {
        Wire::Answer(answer) => matches!(answer.status, 401 | 403),
        Wire::Failed { class, .. } => *class == FailureClass::Token { refused: true },
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::model::StatusRanges;

    fn rule(body: Option<&str>) -> SuccessRule {
        SuccessRule {
            statuses: StatusRanges(vec![(200, 299)]),
            body: body.map(str::to_owned),
            give_up: StatusRanges(vec![(404, 410)]),
            disable: StatusRanges(vec![(410, 410)]),
        }
    }

    fn answer(status: u16, reason: &str, body: &'static [u8]) -> Wire {
        Wire::Answer(Answer {
            status,
            reason: reason.to_owned(),
            body: Bytes::from_static(body),
            ..Answer::default()
        })
    }

    #[test]
    fn an_answer_is_judged_by_status_and_body() {
        use OutcomeClass::{BodyRule, Ok, Status};
        use Verdict::{Delivered, Disable, GiveUp, Retry};
        const BODY: Option<&str> = Some("RECEIVED");
        for (wire, body, verdict, class, reason) in [
            (answer(200, "OK", b""), None, Delivered, Ok, "200 OK"),
            (answer(299, "", b""), None, Delivered, Ok, "299"),
            (answer(199, "Odd", b""), None, Retry, Status, "199 Odd"),
            (answer(302, "Found", b""), None, Retry, Status, "302 Found"),
            (
                answer(503, "Service Unavailable", b""),
                None,
                Retry,
                Status,
                "503 Service Unavailable",
            ),
            (answer(409, "", b""), None, GiveUp, Status, "409"),
            (answer(410, "Gone", b""), None, Disable, Status, "410 Gone"),
            (
                answer(200, "OK", b"\r\n received "),
                BODY,
                Delivered,
                Ok,
                "200 OK",
            ),
            (
                answer(200, "OK", b"RECEIVED, thanks"),
                BODY,
                Retry,
                BodyRule,
                "200 OK, but the body is not the required text",
            ),
            (
                answer(200, "OK", b"\xff\xfe"),
                BODY,
                Retry,
                BodyRule,
                "200 OK, but the body is not the required text",
            ),
            (
                answer(500, "No", b"RECEIVED"),
                BODY,
                Retry,
                Status,
                "500 No",
            ),
        ] {
            let expected = Judgement {
                verdict,
                class,
                reason: reason.to_owned(),
            };
            assert_eq!(judge(&wire, &rule(body)), expected);
        }
    }

    #[test]
    fn a_body_without_its_end_matters_only_where_the_body_is_asked_for() {
        use OutcomeClass::{BodyRule, Ok, Status};
        use Verdict::{Delivered, Disable, GiveUp, Retry};
        let broken = |status| Answer {
            status,
            body: Bytes::from_static(b"RECEIVED"),
            incomplete: Some("it was cut".to_owned()),
            ..Answer::default()
        };
        for (status, body, verdict, class, reason) in [
            (
                200,
                None,
                Delivered,
                Ok,
                "200 (its body is incomplete: it was cut)",
            ),
            (
                503,
                None,
                Retry,
                Status,
                "503 (its body is incomplete: it was cut)",
            ),
            (
                404,
                None,
                GiveUp,
                Status,
                "404 (its body is incomplete: it was cut)",
            ),
            (
                410,
                None,
                Disable,
                Status,
                "410 (its body is incomplete: it was cut)",
            ),
            (
                200,
                Some("RECEIVED"),
                Retry,
                BodyRule,
                "200, but the body is incomplete: it was cut",
            ),
        ] {
            let expected = Judgement {
                verdict,
                class,
                reason: reason.to_owned(),
            };
            assert_eq!(judge(&Wire::Answer(broken(status)), &rule(body)), expected);
        }
    }

    #[test]
    fn a_coding_that_nobody_asked_for_is_named() {
        let zipped = Wire::Answer(Answer {
            status: 200,
            body: Bytes::from_static(b"\x1f\x8b"),
            coding: Some("gzip".to_owned()),
            ..Answer::default()
        });
        assert_eq!(
            judge(&zipped, &rule(Some("RECEIVED"))).reason,
            "200, but the body is in the coding gzip, and nothing is decoded"
        );
        assert_eq!(judge(&zipped, &rule(None)).reason, "200");
    }

    #[test]
    fn a_narrow_range_is_held_to() {
        let mut only_200 = rule(None);
        only_200.statuses = StatusRanges(vec![(200, 200)]);
        let judgement = judge(&answer(201, "Created", b""), &only_200);
        assert_eq!(judgement.verdict, Verdict::Retry);
    }

    #[test]
    fn a_redirect_is_a_failure_that_says_where_it_points() {
        let mut lenient = rule(None);
        lenient.statuses = StatusRanges(vec![(100, 599)]);
        let mut redirect = answer(302, "Found", b"");
        let judgement = judge(&redirect, &lenient);
        assert_eq!(judgement.verdict, Verdict::Retry);
        assert_eq!(judgement.reason, "302 Found");
        if let Wire::Answer(answer) = &mut redirect {
            answer.redirects_to = Some("elsewhere.example".to_owned());
        }
        assert_eq!(
            judge(&redirect, &lenient).reason,
            "302 Found, a redirect to elsewhere.example, which is not followed"
        );
    }

    #[test]
    fn every_failure_is_retried_and_says_what_failed() {
        for (class, expected) in [
            (FailureClass::Dns, "name look-up failed: x"),
            (FailureClass::Connect, "connection failed: x"),
            (FailureClass::Tls, "TLS failed: x"),
            (FailureClass::Timeout, "timeout: x"),
            (FailureClass::Protocol, "broken exchange: x"),
            (
                FailureClass::Refused,
                "refused by the egress policy, tried again in case it changes: x",
            ),
            (FailureClass::Token { refused: true }, "no access token: x"),
        ] {
            let wire = Wire::Failed {
                class,
                detail: "x".to_owned(),
            };
            let judgement = judge(&wire, &rule(None));
            assert_eq!(judgement.verdict, Verdict::Retry);
            assert_eq!(judgement.class, class.into());
            assert_eq!(judgement.reason, expected);
        }
    }

    #[test]
    fn a_refused_credential_is_told_from_other_failures() {
        let failed = |class| Wire::Failed {
            class,
            detail: String::new(),
        };
        for (wire, refused) in [
            (answer(401, "", b""), true),
            (answer(403, "", b""), true),
            (answer(400, "", b""), false),
            (answer(407, "", b""), false),
            (answer(503, "", b""), false),
            (failed(FailureClass::Token { refused: true }), true),
            (failed(FailureClass::Token { refused: false }), false),
            (failed(FailureClass::Tls), false),
        ] {
            assert_eq!(refuses_credential(&wire), refused, "{wire:?}");
        }
    }
}
