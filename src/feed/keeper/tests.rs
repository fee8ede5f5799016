use std::time::{Duration, Instant};

use chrono::DateTime;

use super::*;
use crate::flow::Away;
use crate::flow::shards::{FleetView, Renewed, Taken};
use crate::model::Epoch;
use crate::model::Snapshot;

const LEASE: Duration = Duration::from_secs(9);
const HERE: &str = "1/1/1";

/// A keeper, and what the test answers for the database.
struct Played {
    keeper: Keeper,
    now: Instant,
    free: Vec<Shard>,
    asked: Vec<String>,
    orders: Vec<ShardOrder>,
}

impl Played {
    fn new(shards: i16) -> Self {
        let now = Instant::now();
        let settings = KeeperSettings {
            lease: LEASE,
            checkpoint_every: Duration::from_secs(1),
            grace: Duration::from_secs(1),
        };
        let (lease, clock) = (
            Lease::new(now),
            DbClock::anchored(now, DateTime::UNIX_EPOCH),
        );
        let backlog = Backlog::default();
        Self {
            keeper: Keeper::new(settings, HERE.to_owned(), lease, backlog, clock, now),
            now,
            free: (0..shards).map(Shard).collect(),
            asked: Vec::new(),
            orders: Vec::new(),
        }
    }

    /// Steps once, and returns the errands, those for the reader apart.
    fn step(&mut self, input: Option<Input>) -> Vec<Errand> {
        self.keeper.step(input, self.now);
        let (orders, others): (Vec<Errand>, Vec<Errand>) = self
            .keeper
            .take_errands()
            .into_iter()
            .partition(|errand| matches!(errand, Errand::Order(_)));
        self.orders
            .extend(orders.into_iter().filter_map(|errand| match errand {
                Errand::Order(order) => Some(order),
                _ => None,
            }));
        others
    }

    fn answer(&mut self, errand: Errand) -> Option<Input> {
        match errand {
            Errand::Renew(renewal, _) => {
                let ours = renewal.named.iter().map(|(shard, _)| *shard).collect();
                let cluster = HERE.to_owned();
                Some(Input::Renewed(renewal, Ok(Renewed { cluster, ours })))
            }
            Errand::Ask(statement, _) => Some(Input::Answered(Ok(self.execute(statement)))),
            Errand::Collect => Some(Input::Collected(Vec::new())),
            Errand::Tell(_) | Errand::Order(_) | Errand::SayWhatItWaitsFor { .. } => None,
        }
    }

    fn execute(&mut self, statement: Statement) -> Answer {
        let name = format!("{statement:?}");
        let name = name.split([' ', '(']).next().unwrap_or_default();
        self.asked.push(name.to_owned());
        match statement {
            Statement::Heartbeat => Answer::Time(DateTime::UNIX_EPOCH),
            Statement::LookAtFleet => Answer::Fleet(FleetView {
                live_workers: 1,
                shards: 4,
                takeable: self.free.clone(),
            }),
            Statement::TakeShards { cluster, shards } => {
                self.free.retain(|shard| !shards.contains(shard));
                let taken = shards.into_iter().map(|shard| Taken {
                    shard,
                    epoch: Epoch(1),
                    checkpoint: Snapshot {
                        xmin: 1,
                        xmax: 1,
                        running: Vec::new(),
                    },
                    checkpoint_at: DateTime::UNIX_EPOCH,
                    cluster: cluster.clone(),
                });
                Answer::Taken(taken.collect())
            }
            _ => Answer::Done,
        }
    }

    /// Answers everything at once, until there is nothing to do at this moment.
    fn settle(&mut self, input: Option<Input>) {
        let mut errands = self.step(input);
        while !errands.is_empty() {
            let answers: Vec<Input> = errands
                .into_iter()
                .filter_map(|it| self.answer(it))
                .collect();
            errands = Vec::new();
            for answer in answers {
                errands.extend(self.step(Some(answer)));
            }
        }
    }

    fn pass(&mut self, span: Duration) {
        self.now += span;
        self.settle(None);
    }
}

fn is_renewal(errand: &Errand) -> bool {
    matches!(errand, Errand::Renew(..))
}

#[test]
fn a_worker_says_that_it_is_alive_before_it_takes_shards() {
    let mut played = Played::new(4);
    played.settle(None);
    assert_eq!(played.asked, ["Heartbeat", "LookAtFleet", "TakeShards"]);
    assert_eq!(played.keeper.shards_held(), 4);
    assert!(matches!(&played.orders[..], [ShardOrder::Adopt { taken, .. }] if taken.len() == 4));
}

#[test]
fn a_statement_that_hangs_delays_no_renewal_and_no_renewal_the_next() {
    let mut played = Played::new(4);
    played.settle(None);
    // The look at the fleet gets no answer from here on.
    played.now += LOOK;
    let looking = played.step(None);
    assert!(matches!(
        looking[..],
        [Errand::Ask(Statement::LookAtFleet, _)]
    ));
    for _ in 0..2 {
        played.now += LEASE / 3;
        let errands = played.step(None);
        assert!(
            matches!(&errands[..], [renewal] if is_renewal(renewal)),
            "{errands:?}"
        );
    }
}

#[test]
fn shards_are_lost_when_no_renewal_was_answered_in_time() {
    let mut played = Played::new(4);
    played.settle(None);
    let mut unanswered = Vec::new();
    while played.keeper.shards_held() > 0 {
        played.now = played.keeper.next_wake().max(played.now);
        let errands = played.step(None);
        unanswered.extend(errands.into_iter().filter(is_renewal));
        // What has been waited for as long as a lease lasts is answered by an error.
        let lasts = played.keeper.ownership.lasts();
        let (over, rest): (Vec<Errand>, Vec<Errand>) = unanswered.into_iter().partition(
            |it| matches!(it, Errand::Renew(renewal, _) if renewal.asked + lasts <= played.now),
        );
        unanswered = rest;
        for errand in over {
            if let Errand::Renew(renewal, _) = errand {
                let away = Away("no answer".to_owned());
                let more = played.step(Some(Input::Renewed(renewal, Err(away))));
                unanswered.extend(more.into_iter().filter(is_renewal));
            }
        }
        assert!(played.now < played.keeper.renew_at + LEASE * 2, "it ends");
    }
    assert!(matches!(played.orders.last(), Some(ShardOrder::Lose(lost)) if lost.len() == 4));
}

#[test]
fn whoever_stops_hands_its_shards_over_before_it_ends() {
    let mut played = Played::new(2);
    played.settle(None);
    played.asked.clear();
    played.settle(Some(Input::Stop));
    assert!(matches!(played.orders.last(), Some(ShardOrder::Leave(left)) if left.len() == 2));
    assert_eq!(played.keeper.ended(), None);
    for shard in [Shard(0), Shard(1)] {
        let drained = Drained {
            shard,
            epoch: Epoch(1),
            checkpoint: None,
        };
        played.settle(Some(Input::Drained(drained)));
    }
    assert_eq!(played.keeper.ended(), Some(Ended::Stopped));
    let release = ["WriteLastCheckpoints", "ReleaseShards"];
    assert_eq!(
        played.asked[..],
        [&release[..], &release, &["ForgetWorker"]].concat()
    );
}

#[test]
fn a_worker_that_cannot_hand_over_in_time_ends_all_the_same() {
    let mut played = Played::new(2);
    played.settle(None);
    played.settle(Some(Input::Stop));
    for _ in 0..12 {
        played.pass(Duration::from_secs(1));
    }
    assert_eq!(played.keeper.ended(), Some(Ended::Stopped));
    assert_eq!(
        played.keeper.shards_held(),
        2,
        "they are free when their lease ends"
    );
}
