//! The merchants' endpoints: how they answer, and how many requests each has at a time.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use posthorn::model::{Answer, FailureClass, Wire};
use uuid::Uuid;

use crate::executor::Process;
use crate::scenario::Chance;

/// How an endpoint behaves while there are faults. Afterwards all answer soon, and well.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Milliseconds to an answer, from and to.
    delay: (u64, u64),
    fails: f64,
    /// No answer comes.
    hangs: f64,
    /// 404, which gives a delivery up.
    refuses: f64,
    /// 429: nothing for a second.
    turns_away: f64,
    /// 410, which ends an address.
    is_gone: f64,
}

impl Manner {
    pub fn of(chance: &mut Chance) -> Self {
        Self {
            delay: chance.one_of(&[(1, 3), (5, 50), (100, 400)]),
            fails: chance.one_of(&[0.0, 0.0, 0.1, 0.5, 1.0]),
            hangs: chance.one_of(&[0.0, 0.0, 0.02, 0.3]),
            refuses: chance.one_of(&[0.0, 0.0, 0.05]),
            turns_away: chance.one_of(&[0.0, 0.0, 0.05, 0.3]),
            is_gone: 0.0,
        }
    }

    /// Of addresses that may say that they are gone.
    pub fn with_ends(self, chance: &mut Chance) -> Self {
        Self {
            is_gone: chance.one_of(&[0.0, 0.02, 0.2]),
            ..self
        }
    }

    const WELL: Self = Self {
        delay: (1, 5),
        fails: 0.0,
        hangs: 0.0,
        refuses: 0.0,
        turns_away: 0.0,
        is_gone: 0.0,
    };
}

#[derive(Default)]
pub struct Receiver {
    manners: BTreeMap<Uuid, Manner>,
    in_the_air: BTreeMap<Uuid, Vec<Weak<Exchange>>>,
}

/// A request from its first byte on; ends when it is dropped.
pub struct Exchange {
    pub process: Process,
    /// Nothing more is on its way to the endpoint, or from it.
    pub is_over: Cell<bool>,
}

impl Receiver {
    pub fn open(&mut self, subscription: Uuid, manner: Manner) {
        self.manners.insert(subscription, manner);
    }

    pub fn heal(&mut self) {
        for manner in self.manners.values_mut() {
            *manner = Manner::WELL;
        }
    }

    /// A request begins. Returns it, and how many this endpoint has then.
    pub fn arrive(&mut self, subscription: Uuid, process: Process) -> (Rc<Exchange>, usize) {
        let exchange = Rc::new(Exchange {
            process,
            is_over: Cell::new(false),
        });
        let all = self.in_the_air.entry(subscription).or_default();
        all.retain(|one| one.upgrade().is_some_and(|one| !one.is_over.get()));
        all.push(Rc::downgrade(&exchange));
        let count = all.len();
        (exchange, count)
    }

    /// A process stands still: what it has in the air is beyond anyone's reach.
    pub fn forget(&mut self, process: Process) {
        for all in self.in_the_air.values_mut() {
            all.retain(|one| one.upgrade().is_some_and(|one| one.process != process));
        }
    }

    /// After how long the endpoint answers what; none: never.
    pub fn answer(&self, subscription: Uuid, chance: &mut Chance) -> Option<(Duration, Wire)> {
        let manner = &self.manners[&subscription];
        let after = chance.span(manner.delay.0, manner.delay.1);
        if manner.hangs > 0.0 && chance.happens(manner.hangs) {
            return None;
        }
        let status = if manner.is_gone > 0.0 && chance.happens(manner.is_gone) {
            410
        } else if chance.happens(manner.refuses) {
            404
        } else if chance.happens(manner.turns_away) {
            429
        } else if chance.happens(manner.fails) {
            503
        } else {
            200
        };
        Some((after, answered(status)))
    }
}

fn answered(status: u16) -> Wire {
    Wire::Answer(Answer {
        status,
        retry_after: (status == 429).then(|| "1".to_owned()),
        ..Answer::default()
    })
}

pub fn timed_out() -> Wire {
    Wire::Failed {
        class: FailureClass::Timeout,
        detail: "no answer".to_owned(),
    }
}
