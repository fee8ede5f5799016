//! What the reader makes of the database's answers.

use std::sync::Arc;
use std::time::Instant;

use super::handing::Handing;
use super::{Answer, Doing, Question, Reader};
use crate::feed::progress::{self, Found, Turn};
use crate::flow::input;
use crate::flow::subscriptions::{Loaded, Resolved};
use crate::flow::window::WindowPage;
use crate::model::{Shard, Subscription};

impl Reader {
    pub(super) fn answered(&mut self, answer: Answer, now: Instant) {
        debug_assert!(self.asked, "an answer to what was not asked");
        self.asked = false;
        let Some(doing) = self.doing.take() else {
            return;
        };
        match (doing, answer) {
            (Doing::Adopting(mut adopting), answer) => {
                adopting.take(answer);
                self.adopt(adopting, now);
            }
            (Doing::Retrying, Answer::Subscriptions(loaded)) => {
                // The rows are those of before: whose settings are stale stay so.
                let subscriptions = self.note(loaded.rows, now);
                self.tell(input::Input::Subscriptions(subscriptions));
                self.look(now);
            }
            (Doing::Opening(found), Answer::Subscriptions(loaded)) => {
                self.learn_and_tell(&[], loaded, now);
                self.tell(found);
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
            (Doing::CatchingUp(turn, page), Answer::Changed(changed)) => {
                self.merchants.changed(changed);
                self.revision = Some(page.revision);
                self.refresh(turn, page, now);
            }
            (Doing::Refreshing(turn, page, asked), Answer::Subscriptions(loaded)) => {
                self.learn_and_tell(&asked, loaded, now);
                self.turned(turn, progress::Answer::Page(page), now);
            }
            (Doing::Handing(mut handing), Answer::Subscriptions(loaded)) => {
                let asked = std::mem::take(&mut handing.unread);
                self.learn_and_tell(&asked, loaded, now);
                self.hand_on(handing, now);
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
                self.ask(Doing::CatchingUp(turn, page), Question::Changed(known));
            }
            _ => self.turned(turn, progress::Answer::Page(page), now),
        }
    }

    /// Changes of a few merchants hold before the page does. Where there are many, those of the
    /// page's own merchants do, and all others are read beside the events.
    fn refresh(&mut self, turn: Turn, page: WindowPage, now: Instant) {
        let stale = self.merchants.few_stale();
        if stale.is_empty() {
            return self.turned(turn, progress::Answer::Page(page), now);
        }
        let merchants = stale.iter().map(|(merchant, _)| merchant.clone()).collect();
        let doing = Doing::Refreshing(turn, page, stale);
        self.ask(doing, Question::OfMerchants(merchants));
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

    fn learn_and_tell(&mut self, asked: &[(String, Shard)], loaded: Loaded, now: Instant) {
        let subscriptions = self.learn(asked, loaded, now);
        self.tell(input::Input::Subscriptions(subscriptions));
    }

    /// Takes note of all subscriptions of the merchants that were asked for, and of others that
    /// were found; returns those that take effect.
    pub(super) fn learn(
        &mut self,
        asked: &[(String, Shard)],
        loaded: Loaded,
        now: Instant,
    ) -> Vec<Arc<Subscription>> {
        self.changed_at = self.changed_at.max(loaded.changed_at);
        let rows = self.merchants.learn(asked, loaded.rows);
        self.note(rows, now)
    }

    /// Takes note of rows, and returns the subscriptions that take effect. Rows that cannot be
    /// used are kept, to be tried again.
    pub(super) fn note(&mut self, rows: Vec<Resolved>, now: Instant) -> Vec<Arc<Subscription>> {
        let mut subscriptions = Vec::with_capacity(rows.len());
        for resolved in rows {
            self.unusable.note(&resolved, now);
            if let Some(subscription) = resolved.subscription {
                self.look_ups.note(&subscription);
                subscriptions.push(subscription);
            }
        }
        subscriptions
    }
}
