//! Says in the log which endpoints keep failing and which answer again: once for each, and of
//! very many at once no more than a screenful.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use tracing::{info, warn};
use uuid::Uuid;

use crate::flow::entry::Attempt;

/// One that comes and goes is said to fail this often.
const AGAIN: Duration = Duration::from_mins(10);

/// So many lines are written in each [`SPAN`]; where the network is away, every endpoint fails.
const LINES: usize = 20;
const SPAN: Duration = Duration::from_mins(1);

/// The merchant and the subscription that an endpoint belongs to, as people call them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whose<'a> {
    pub merchant: &'a str,
    pub subscription: &'a str,
}

#[derive(Debug, Default)]
pub(super) struct Announcer {
    /// Those that were said to fail, and when; true: and that they answer again.
    said: HashMap<Uuid, (Instant, bool)>,
    span: Option<Instant>,
    lines: usize,
    left_out: HashSet<Uuid>,
}

impl Announcer {
    /// An attempt has failed, and the lane's breaker is open.
    pub fn fails(&mut self, lane: Uuid, whose: Whose<'_>, last: &Attempt, now: Instant) {
        let is_known = self.said.get(&lane).is_some_and(|(at, answers)| {
            // What was not said to be over goes on.
            !answers || now < *at + AGAIN
        });
        if is_known || !self.has_room(lane, now) {
            return;
        }
        self.said.insert(lane, (now, false));
        warn!(
            merchant = %whose.merchant,
            subscription = %whose.subscription,
            outcome = last.outcome.as_str(),
            http_status = last.http_status,
            "this endpoint keeps failing; it is probed until it answers"
        );
    }

    /// An attempt was answered as it should be.
    pub fn answers(&mut self, lane: Uuid, whose: Whose<'_>, now: Instant) {
        let Some((at, answers)) = self.said.get_mut(&lane) else {
            return;
        };
        if *answers {
            return;
        }
        *answers = true;
        let seconds = now.saturating_duration_since(*at).as_secs();
        info!(
            merchant = %whose.merchant,
            subscription = %whose.subscription,
            seconds,
            "this endpoint answers again"
        );
    }

    fn has_room(&mut self, lane: Uuid, now: Instant) -> bool {
        if self.span.is_none_or(|since| now >= since + SPAN) {
            if !self.left_out.is_empty() {
                warn!(
                    endpoints = self.left_out.len(),
                    "so many more kept failing; posthorn status names them"
                );
            }
            (self.span, self.lines) = (Some(now), 0);
            self.left_out.clear();
            // What is over, and could be said again, need not be kept.
            self.said
                .retain(|_, (at, answers)| !*answers || now < *at + AGAIN);
        }
        let has_room = self.lines < LINES;
        if has_room {
            self.lines += 1;
        } else {
            self.left_out.insert(lane);
        }
        has_room
    }
}
