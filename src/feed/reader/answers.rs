//! What the reader makes of the database's answers.

use std::sync::Arc;
use std::time::Instant;

use super::handing::Handing;
use super::{Answer, Doing, Question, Reader};
use crate::feed::progress::{self, Found, Turn};
use crate::flow::input;
use crate::flow::subscriptions::Resolved;
use crate::flow::window::WindowPage;
use crate::model::Subscription;

impl Reader {
    pub(super) fn answered(&mut self, answer: Answer, now: Instant) {
        debug_assert!(self.asked, "an answer to what was not asked");
        self.asked = false;
        let Some(doing) = self.doing.take() else {
            return;
        };
        match (doing, answer) {
            (Doing::Adopting(mut adopting), answer) => {
                adopting.take(answer, self, now);
                self.adopt(adopting, now);
            }
            (Doing::Retrying, Answer::Subscriptions(rows)) => {
                let subscriptions = self.resolved(rows, now);
                self.tell(input::Input::Subscriptions(subscriptions));
                self.look(now);
            }
            (Doing::Looking(read), Answer::Read(progress::Answer::Snapshot(snapshot))) => {
                if read == snapshot {
                    self.finish(now);
                } else {
                    self.take_turns(now);
                }
            }
            (Doing::Reading(turn), Answer::Read(answer)) => match answer {
                progress::Answer::Page(page) => self.page_read(turn, page, now),
                progress::Answer::Snapshot(_) => {
                    self.take_in(turn, answer, now);
                    self.read(turn, now);
                }
                progress::Answer::ById { .. } => self.turned(turn, answer, now),
            },
            (Doing::CatchingUp(turn, page, None), Answer::Subscriptions(rows)) => {
                let subscriptions = self.resolved(rows, now);
                let doing = Doing::CatchingUp(turn, page, Some(subscriptions));
                self.ask(doing, Question::NewestChange);
            }
            (Doing::CatchingUp(turn, page, Some(subscriptions)), Answer::Changed(at)) => {
                self.changed_at = at;
                self.tell(input::Input::Subscriptions(subscriptions));
                self.revision = Some(page.revision);
                self.turned(turn, progress::Answer::Page(page), now);
            }
            (Doing::Handing(mut handing), answer) => {
                handing.take(answer);
                self.hand_on(handing, now);
            }
            (doing, answer) => debug_assert!(false, "{answer:?} is no answer to {doing:?}"),
        }
    }

    /// No event meets a configuration that is older than itself.
    fn page_read(&mut self, turn: Turn, page: WindowPage, now: Instant) {
        match self.revision {
            Some(known) if known < page.revision => {
                let question = Question::Subscriptions {
                    after: known,
                    // Those of a shard that is taken later are all read then.
                    shards: self.held.iter().copied().collect(),
                };
                self.ask(Doing::CatchingUp(turn, page, None), question);
            }
            _ => self.turned(turn, progress::Answer::Page(page), now),
        }
    }

    /// From here on nothing about what was read may fail: it is not read again.
    fn turned(&mut self, turn: Turn, answer: progress::Answer, now: Instant) {
        let found = self.take_in(turn, answer, now);
        self.hand_on(Handing::of(found), now);
    }

    fn take_in(&mut self, turn: Turn, answer: progress::Answer, now: Instant) -> Found {
        let time = self.clock.at(now);
        let limit = self.limit();
        self.progress.answered(turn, answer, limit, time)
    }

    /// Takes note of rows, and returns the subscriptions that take effect. Rows that cannot be
    /// used are kept, to be tried again.
    pub(super) fn resolved(&mut self, rows: Vec<Resolved>, now: Instant) -> Vec<Arc<Subscription>> {
        let mut subscriptions = Vec::with_capacity(rows.len());
        for Resolved {
            row,
            subscription,
            why,
        } in rows
        {
            // Its shard may have been lost since it was asked for.
            if self.held.contains(&row.identity.shard) {
                self.unusable.note(row, why, now);
            }
            if let Some(subscription) = subscription {
                self.look_ups.note(&subscription);
                subscriptions.push(subscription);
            }
        }
        subscriptions
    }
}
