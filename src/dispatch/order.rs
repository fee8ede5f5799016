//! Order: no delivery passes an older one of its [`Series`], and none that was superseded comes
//! back. Without I/O.
//!
//! Where order is asked for, the deliveries of a series are in these places, older ones to the
//! right, and at most one of them is in the air. Replays are outside of it: one was asked for,
//! whatever came after its event.
//!
//! ```text
//!              ┌──────── shelved ────────┐ ┌─── left, or failed ───┐
//!              │                         ▼ ▼                       │
//!             log                       rows ──refill──▶ queue ──▶ air
//!              └──────────────── fresh ──────────────────▲
//! ```
//!
//! Each way to the right could pass an older one, and is asked for here:
//!
//! | may it be | no, while an older one of its series may |
//! |---|---|
//! | queued when it is fresh ([`may_take_fresh`](OrderGuard::may_take_fresh)) | wait in a row |
//! | refilled ([`may_refill`](OrderGuard::may_refill)) | be in the log still (`log`), have been read from it and have no row yet (`log`), or have left memory and have no row yet, nor an end instead of it (`leaving`) |
//! | queued when a refill has found it ([`may_take`](OrderGuard::may_take)) | have left memory since the refill began (`is_spoiled`), or have failed since (`barred`); nor where it was superseded since (`barred`) |
//! | sent ([`may_send`](OrderGuard::may_send)) | be in the air (`in_the_air`) |
//!
//! To the left nothing is passed: what fails takes the newer ones in the queue along, and what
//! leaves for want of room leaves from the end. The query of a refill brings the oldest row of
//! each series only (`heads_only`).
//!
//! A lane that neither asks for order nor has newer events supersede older ones needs none of
//! this. What it needs all the same is on its [`Shelf`](super::shelf::Shelf): the rows that are
//! about to change, as a refill may have read them before, and how many entries are unrecorded.

use std::collections::HashSet;

use super::item::{Item, RowState, Series};
use crate::flow::input::RecordedKind;
use crate::model::{DeliveryKey, Order, Subscription};

/// Says what may move where order counts, or where newer events supersede older ones.
#[derive(Debug, Default)]
pub struct OrderGuard {
    /// Whether the order counts; else newer ones only supersede older ones.
    is_in_order: bool,
    in_the_air: HashSet<Series>,
    log: Log,
    leaving: HashSet<DeliveryKey>,
    is_spoiled: bool,
    barred: Vec<Barred>,
}

/// Whether events of the log are older than some of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Log {
    #[default]
    CaughtUp,
    /// They are still to be read.
    Behind,
    /// They were just read, and their own rows are on their way.
    Unsettled,
}

/// An event because of which rows of its series stay where they are, although a refill that
/// began before may bring them.
#[derive(Debug)]
struct Barred {
    by: Series,
    rows: Rows,
    /// Whether what bars them is recorded: a refill that begins now does not find them.
    is_recorded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    /// It has superseded them.
    Older,
    /// It failed, and they wait for it.
    Newer,
}

impl Barred {
    fn bars(&self, item: &Item) -> bool {
        match self.rows {
            Rows::Older => item.is_superseded_by(&self.by),
            Rows::Newer => item.supersedes(&self.by),
        }
    }
}

impl OrderGuard {
    /// Makes the guard that a subscription asks for, if it does.
    #[must_use]
    pub fn of(subscription: &Subscription, is_behind_log: bool) -> Option<Box<Self>> {
        is_asked_for(subscription).then(|| {
            Box::new(Self {
                is_in_order: subscription.order == Order::Transaction,
                log: if is_behind_log {
                    Log::Behind
                } else {
                    Log::CaughtUp
                },
                ..Self::default()
            })
        })
    }

    /// Takes a new revision of the subscription; false if nobody needs the guard any more.
    pub fn configure(&mut self, subscription: &Subscription) -> bool {
        self.is_in_order = subscription.order == Order::Transaction;
        is_asked_for(subscription) || !self.barred.is_empty()
    }

    /// Whether a fresh delivery may go into memory, beside so many rows: any of them may be an
    /// older one.
    #[must_use]
    pub const fn may_take_fresh(&self, rows: u64) -> bool {
        !self.is_in_order || rows == 0
    }

    /// Whether rows may be asked for.
    #[must_use]
    pub fn may_refill(&self) -> bool {
        !self.is_in_order || self.log == Log::CaughtUp && self.leaving.is_empty()
    }

    /// Whether a row that a refill has found may go into memory.
    #[must_use]
    pub fn may_take(&self, item: &Item) -> bool {
        !self.is_spoiled && !self.barred.iter().any(|barred| barred.bars(item))
    }

    /// Whether everything that the refill under way finds is to stay where it is.
    #[must_use]
    pub const fn is_spoiled(&self) -> bool {
        self.is_spoiled
    }

    /// Whether a delivery that waits in memory may go out.
    #[must_use]
    pub fn may_send(&self, item: &Item) -> bool {
        !self.is_in_order || self.in_the_air.is_empty() || !self.in_the_air.contains(&item.series())
    }

    /// Whether nothing is on its way that others wait for.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.log == Log::CaughtUp
            && !self.is_spoiled
            && self.in_the_air.is_empty()
            && self.leaving.is_empty()
            && self.barred.is_empty()
    }

    /// Events of the log that are older than some of the rows are still to be read.
    pub const fn falls_behind_log(&mut self) {
        self.log = Log::Behind;
    }

    /// The log has been read as far as the shard's last owner had read it; `is_unrecorded`: what
    /// was read last may have no row yet.
    pub const fn caught_up(&mut self, is_unrecorded: bool) {
        self.log = if is_unrecorded {
            Log::Unsettled
        } else {
            Log::CaughtUp
        };
    }

    /// A delivery goes out.
    pub fn sent(&mut self, item: &Item) {
        if self.is_in_order {
            let is_alone = self.in_the_air.insert(item.series());
            debug_assert!(is_alone, "two of a series in the air");
        }
    }

    /// A delivery has landed: it is the turn of the next of its series.
    pub fn landed(&mut self, item: &Item) {
        self.in_the_air.remove(&item.series());
    }

    /// What is in the air is cut off.
    pub fn cut_off(&mut self) {
        self.in_the_air.clear();
    }

    /// A delivery failed, and waits in a row for its next attempt: so do the newer ones.
    pub fn failed(&mut self, item: &Item) {
        if self.is_in_order && !item.key.is_replay() {
            self.barred.push(Barred {
                by: item.series(),
                rows: Rows::Newer,
                is_recorded: false,
            });
        }
    }

    /// A newer event has superseded the older ones; `in_rows`: in rows too, as the recorder is
    /// about to write.
    pub fn superseded(&mut self, newer: &Series, in_rows: bool) {
        self.barred.push(Barred {
            by: newer.clone(),
            rows: Rows::Older,
            is_recorded: !in_rows,
        });
    }

    /// A delivery leaves memory for a row. A newer one may be among those that a refill under
    /// way has found before the row was written.
    pub fn leaves(&mut self, item: &Item, is_refilling: bool) {
        if !self.is_in_order {
            return;
        }
        if item.row != RowState::Recorded {
            self.leaving.insert(item.key);
        }
        self.is_spoiled |= is_refilling;
    }

    /// A delivery that can have no row ends instead: the newer ones wait until that is recorded,
    /// as whoever takes over before would make it again.
    pub fn ends_for_want_of_a_row(&mut self, key: DeliveryKey, is_refilling: bool) {
        if self.is_in_order {
            self.leaving.insert(key);
            self.is_spoiled |= is_refilling;
        }
    }

    /// The recorder has dealt with an entry of the lane. `is_unrecorded`: others are on their
    /// way.
    pub fn recorded(
        &mut self,
        key: DeliveryKey,
        kind: RecordedKind,
        is_refilling: bool,
        is_unrecorded: bool,
    ) {
        if self.log == Log::Unsettled && !is_unrecorded {
            self.log = Log::CaughtUp;
        }
        self.leaving.remove(&key);
        let lifts = |rows: Rows| match kind {
            RecordedKind::Spilled => false,
            // Where the database refuses to keep it for another attempt, what failed has ended.
            RecordedKind::Finished(_) => rows == Rows::Newer,
            RecordedKind::SupersededOlder
            | RecordedKind::Retry(_)
            | RecordedKind::Refused
            | RecordedKind::Fenced => true,
        };
        for barred in &mut self.barred {
            barred.is_recorded |= barred.by.subscription_id == key.subscription_id
                && barred.by.event.id == key.event_id
                && lifts(barred.rows);
        }
        self.barred
            .retain(|barred| is_refilling || !barred.is_recorded);
    }

    /// What the refill has found was queued or left: the next one finds what is recorded.
    pub fn refill_ended(&mut self) {
        self.is_spoiled = false;
        self.barred.retain(|barred| !barred.is_recorded);
    }
}

fn is_asked_for(subscription: &Subscription) -> bool {
    subscription.supersede || subscription.order == Order::Transaction
}

#[cfg(test)]
mod tests;
