//! What is known of one client's token. A state machine without I/O.

use std::time::{Duration, Instant};

use http::HeaderValue;

use crate::send::failure::Failure;

/// A token server that failed is left alone for so long: the sends of a busy lane would
/// otherwise ask it one after another.
const FAILURE_HELD: Duration = Duration::from_secs(2);

/// The share of a token's life after which a new one is asked for while this one still serves.
const REFRESH_AT: f64 = 0.8;

/// A token is not used in its last moments: the request takes time to arrive.
const LAST_MOMENTS: Duration = Duration::from_secs(10);

/// `expires_in` is only recommended (RFC 6749, section 5.1). A token that ran out earlier
/// costs an attempt, and its 401 brings a new one.
const UNKNOWN_LIFE: Duration = Duration::from_mins(5);

/// Longer than any that makes sense, and no overflow when it is added to a time.
const LONGEST_LIFE: Duration = Duration::from_hours(24);

#[derive(Clone, Debug)]
pub(super) struct Token {
    /// `Bearer` and the token, marked as sensitive.
    pub(super) bearer: HeaderValue,
    refresh_at: Instant,
    usable_until: Instant,
}

impl Token {
    /// `life` counts from when it was asked for: the token server cannot have begun earlier.
    pub(super) fn new(bearer: HeaderValue, life: Option<Duration>, asked_at: Instant) -> Self {
        let life = life.unwrap_or(UNKNOWN_LIFE).min(LONGEST_LIFE);
        Self {
            bearer,
            refresh_at: asked_at + life.mul_f64(REFRESH_AT),
            usable_until: asked_at + life.saturating_sub(LAST_MOMENTS.min(life / 10)),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    token: Option<Token>,
    failed: Option<(Failure, Instant)>,
}

/// What a send that wants the token is to do.
#[derive(Debug)]
pub(super) enum Step {
    Use(HeaderValue),
    /// Use it, and ask for a new one beside.
    Refresh(HeaderValue),
    /// A request is under way: wait for it.
    Wait,
    Ask,
    /// The token server failed a moment ago.
    Fail(Failure),
}

impl Slot {
    /// `asking`: a request is under way.
    pub(super) fn step(&self, asking: bool, now: Instant) -> Step {
        let failed = self.failed.as_ref().filter(|(_, until)| now < *until);
        match &self.token {
            Some(token) if now < token.usable_until => {
                if now < token.refresh_at || asking || failed.is_some() {
                    Step::Use(token.bearer.clone())
                } else {
                    Step::Refresh(token.bearer.clone())
                }
            }
            _ if asking => Step::Wait,
            _ => failed.map_or(Step::Ask, |(failure, _)| Step::Fail(failure.clone())),
        }
    }

    pub(super) fn answered(&mut self, result: Result<Token, Failure>, now: Instant) {
        match result {
            Ok(token) => {
                *self = Self {
                    token: Some(token),
                    failed: None,
                }
            }
            // The old token serves as long as it holds.
            Err(failure) => self.failed = Some((failure, now + FAILURE_HELD)),
        }
    }

    /// The receiver does not take this token: the next send gets another.
    pub(super) fn refused(&mut self, bearer: &HeaderValue) {
        self.token.take_if(|token| token.bearer == *bearer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn token(text: &'static str, life: Duration, asked_at: Instant) -> Token {
        Token::new(HeaderValue::from_static(text), Some(life), asked_at)
    }

    fn holding(text: &'static str, life: Duration, now: Instant) -> Slot {
        let mut slot = Slot::default();
        slot.answered(Ok(token(text, life, now)), now);
        slot
    }

    fn failure() -> Failure {
        Failure::token(false, "503")
    }

    #[test]
    fn the_first_asks_and_the_others_wait() {
        let now = Instant::now();
        let slot = Slot::default();
        assert!(matches!(slot.step(false, now), Step::Ask));
        assert!(matches!(slot.step(true, now), Step::Wait));
    }

    #[test]
    fn a_token_serves_and_is_had_anew_before_it_runs_out() {
        let start = Instant::now();
        let slot = holding("a", HOUR, start);
        let after = |share: f64| start + HOUR.mul_f64(share);
        assert!(matches!(slot.step(false, after(0.79)), Step::Use(_)));
        assert!(matches!(slot.step(false, after(0.81)), Step::Refresh(_)));
        assert!(matches!(slot.step(true, after(0.81)), Step::Use(_)), "once");
        assert!(matches!(slot.step(true, after(0.999)), Step::Wait));
        assert!(matches!(slot.step(false, after(0.999)), Step::Ask));
    }

    #[test]
    fn a_token_without_a_life_serves_for_minutes_and_one_of_none_not_at_all() {
        let start = Instant::now();
        let mut slot = Slot::default();
        let bearer = HeaderValue::from_static("a");
        slot.answered(Ok(Token::new(bearer.clone(), None, start)), start);
        let soon = start + Duration::from_mins(3);
        assert!(matches!(slot.step(false, soon), Step::Use(_)));
        assert!(matches!(slot.step(false, start + HOUR), Step::Ask));
        let endless = Token::new(bearer, Some(Duration::MAX), start);
        slot.answered(Ok(endless), start);
        assert!(matches!(slot.step(false, start + HOUR), Step::Use(_)));
        let none = holding("a", Duration::ZERO, start);
        assert!(matches!(none.step(false, start), Step::Ask));
    }

    #[test]
    fn a_failing_token_server_is_left_alone_for_a_moment() {
        let start = Instant::now();
        let mut slot = Slot::default();
        slot.answered(Err(failure()), start);
        let during = start + FAILURE_HELD / 2;
        assert!(matches!(slot.step(false, during), Step::Fail(_)));
        assert!(matches!(slot.step(false, start + FAILURE_HELD), Step::Ask));

        let mut slot = holding("a", HOUR, start);
        let late = start + HOUR.mul_f64(0.9);
        slot.answered(Err(failure()), late);
        assert!(matches!(slot.step(false, late), Step::Use(_)), "it holds");
        assert!(matches!(
            slot.step(false, late + FAILURE_HELD),
            Step::Refresh(_)
        ));
    }

    #[test]
    fn a_refused_token_is_dropped_and_one_that_took_its_place_is_not() {
        let now = Instant::now();
        let mut slot = holding("new", HOUR, now);
        slot.refused(&HeaderValue::from_static("old"));
        assert!(matches!(slot.step(false, now), Step::Use(_)));
        slot.refused(&HeaderValue::from_static("new"));
        assert!(matches!(slot.step(false, now), Step::Ask));
    }
}
