//! `Reader::run`, around the real `Progress` and `Poll`.

use std::collections::{BTreeSet, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use posthorn::feed::look_up::LookUps;
use posthorn::feed::poll::Poll;
use posthorn::feed::progress::{Answer, Ask, Progress, Turn};
use posthorn::flow::DbClock;
use posthorn::flow::input::{Adoption, Endpoints, Input, PageToRoute};
use posthorn::flow::shards::{Order, Taken};
use posthorn::model::event::StatusesBefore;
use posthorn::model::{DeliveryKey, Event, Shard, Subscription};
use posthorn::route::versions::Versions;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::{AWAY, Own, STATEMENT};
use crate::link::Away;

const POLL_MIN: Duration = Duration::from_millis(10);
const POLL_MAX: Duration = Duration::from_millis(50);
const RECOUNT: Duration = Duration::from_secs(15);

pub struct Reader {
    own: Rc<Own>,
    dispatcher: UnboundedSender<Input>,
    clock: DbClock,
    progress: Progress,
    poll: Poll,
    revision: Option<i64>,
    changed_at: Option<DateTime<Utc>>,
    look_ups: LookUps,
    recount_at: Instant,
}

impl Reader {
    pub fn new(own: Rc<Own>, dispatcher: UnboundedSender<Input>, clock: DbClock) -> Self {
        let now = own.now();
        Self {
            own,
            dispatcher,
            clock,
            progress: Progress::default(),
            poll: Poll::new(POLL_MIN, POLL_MAX, now),
            revision: None,
            changed_at: None,
            look_ups: LookUps::default(),
            recount_at: now + RECOUNT,
        }
    }

    pub async fn run(
        mut self,
        mut orders: UnboundedReceiver<Order>,
        mut room: watch::Receiver<bool>,
    ) {
        loop {
            let may_read = !self.progress.has_nothing_to_read();
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => {
                        self.obey(order);
                        continue;
                    }
                    None => return,
                },
                _ = room.wait_for(|room| *room), if may_read => {}
            }
            let pause = self.read().await;
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                () = self.own.sleep(pause) => {}
            }
        }
    }

    async fn read(&mut self) -> Duration {
        let began = self.own.now();
        let Ok(found) = self.step().await else {
            return AWAY;
        };
        let now = self.own.now();
        if found {
            self.poll.found_something(now);
        }
        if self.progress.is_behind() {
            Duration::ZERO
        } else {
            self.poll.pause(began, now)
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Adopt { taken, cluster } => self.progress.take_up(taken, cluster),
            Order::Leave(shards) => {
                let left: Vec<Shard> = shards.iter().map(|(shard, _)| *shard).collect();
                self.progress.let_go(&left);
                self.tell(Input::Drain(shards));
            }
            Order::Drop(shards) => {
                self.progress.let_go(&shards);
                self.tell(Input::Lost(shards));
            }
        }
    }

    async fn step(&mut self) -> Result<bool, Away> {
        if let Some((taken, cluster)) = self.progress.to_adopt().cloned() {
            self.adopt(taken, &cluster).await?;
            return Ok(true);
        }
        self.recount();
        let mut found = false;
        for turn in self.progress.turns() {
            found |= self.take_turn(*turn).await?;
        }
        Ok(found)
    }

    async fn adopt(&mut self, taken: Vec<Taken>, cluster: &str) -> Result<(), Away> {
        let shards: Vec<Shard> = taken.iter().map(|taken| taken.shard).collect();
        if !shards.is_empty() {
            let own = &self.own;
            let revision = own.ask("revision", STATEMENT, |database| database.revision);
            let revision = revision.await?;
            let of = shards.clone();
            let subscriptions = own.ask("subscriptions", STATEMENT * 3, move |database| {
                database.load_subscriptions(-1, Some(&of))
            });
            let subscriptions = subscriptions.await?;
            self.note(&subscriptions);
            self.changed_at = self.newest_change().await?;
            let own = &self.own;
            let waiting = own.ask("count what waits", STATEMENT * 3, move |database| {
                database.count_waiting(&shards)
            });
            let waiting = waiting.await?;
            self.revision.get_or_insert(revision);
            self.tell(Input::Adopt(Adoption {
                shards: taken
                    .into_iter()
                    .map(|taken| (taken.shard, taken.epoch))
                    .collect(),
                subscriptions,
                waiting,
            }));
        }
        for (start, shards) in self.progress.adopted() {
            let process = self.own.process;
            self.own.world.note(format_args!(
                "{process} begins with {shards} shards: {start:?} in {cluster}"
            ));
        }
        Ok(())
    }

    fn recount(&mut self) {
        let now = self.own.now();
        if now < self.recount_at || self.progress.live_shards().is_empty() {
            return;
        }
        self.recount_at = now + RECOUNT;
        let shards = self.progress.live_shards().to_vec();
        let (own, dispatcher) = (Rc::clone(&self.own), self.dispatcher.clone());
        self.own.spawn(async move {
            let waiting = own.ask("count what waits", STATEMENT * 3, move |database| {
                database.count_waiting(&shards)
            });
            if let Ok(waiting) = waiting.await {
                let _ = dispatcher.send(Input::Waiting(waiting));
            }
        });
    }

    async fn take_turn(&mut self, turn: Turn) -> Result<bool, Away> {
        let limit = i64::from(self.own.world.scenario.page_rows);
        let Some(ask) = self.progress.ask(turn, limit) else {
            return Ok(false);
        };
        let answer = self.answer(ask).await?;
        let now = self.clock.at(self.own.now());
        let found = self.progress.answered(turn, answer, limit, now);
        let known = if found.compare {
            self.known(&found.events).await
        } else {
            HashSet::new()
        };
        let any = !found.events.is_empty();
        self.hand_over(found.events, known).await;
        if let Some((shards, end)) = found.window_read {
            self.tell(Input::WindowRead { shards, end });
        }
        Ok(any)
    }

    async fn answer(&mut self, ask: Ask) -> Result<Answer, Away> {
        match ask {
            Ask::Page {
                request,
                shards,
                floor,
            } => {
                let page = self
                    .own
                    .ask_the_log("read a page", STATEMENT, move |database, plan| {
                        database.read_page(plan, &request, &shards, floor)
                    });
                let page = page.await?;
                self.catch_up_with_settings(page.revision).await?;
                Ok(Answer::Page(page))
            }
            Ask::ById {
                after,
                until,
                shards,
                limit,
            } => {
                let until = if let Some(until) = until {
                    until
                } else {
                    let own = &self.own;
                    own.ask("snapshot", STATEMENT, |database| database.snapshot())
                        .await?
                };
                let end = until.clone();
                let events =
                    self.own
                        .ask_the_log("read by id", STATEMENT * 3, move |database, plan| {
                            database.read_by_id(plan, &shards, after, &end, limit)
                        });
                let events = events.await?;
                Ok(Answer::ById { until, events })
            }
        }
    }

    async fn catch_up_with_settings(&mut self, newest: i64) -> Result<(), Away> {
        if let Some(known) = self.revision
            && known < newest
        {
            let rows = self
                .own
                .ask("subscriptions", STATEMENT * 3, move |database| {
                    database.load_subscriptions(known, None)
                });
            let rows = rows.await?;
            self.note(&rows);
            self.changed_at = self.newest_change().await?;
            self.tell(Input::Subscriptions(rows));
            self.revision = Some(newest);
        }
        Ok(())
    }

    async fn known(&self, events: &[Event]) -> HashSet<DeliveryKey> {
        let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
        loop {
            let ids = ids.clone();
            let known = self
                .own
                .ask("known deliveries", STATEMENT, move |database| {
                    database.find_known_deliveries(&ids)
                });
            match known.await {
                Ok(known) => return known,
                Err(Away) => self.own.sleep(AWAY).await,
            }
        }
    }

    async fn hand_over(&self, events: Vec<Event>, known: HashSet<DeliveryKey>) {
        if events.is_empty() {
            return;
        }
        let versions = self.versions_of(&events).await;
        let (endpoints, before) = self.look_up(&events, &versions).await;
        let (taken, is_taken) = oneshot::channel();
        self.tell(Input::Page(PageToRoute {
            events,
            known,
            endpoints,
            before,
            versions,
            taken,
        }));
        let _ = is_taken.await;
    }

    fn note(&mut self, subscriptions: &[Arc<Subscription>]) {
        for subscription in subscriptions {
            self.look_ups.note(subscription);
        }
    }

    async fn newest_change(&self) -> Result<Option<DateTime<Utc>>, Away> {
        let newest = self.own.ask("newest change", STATEMENT, |database| {
            database.newest_change()
        });
        newest.await
    }

    /// The settings of the events' time, where those of now may be others.
    async fn versions_of(&self, events: &[Event]) -> Versions {
        let older = |event: &&Event| self.changed_at.is_some_and(|at| event.created_at < at);
        let older: Vec<&Event> = events.iter().filter(older).collect();
        let Some(oldest) = older.iter().map(|event| event.created_at).min() else {
            return Versions::default();
        };
        let since = oldest - TimeDelta::minutes(1);
        let merchants: BTreeSet<_> = older.iter().map(|event| event.merchant.clone()).collect();
        let merchants: Vec<Box<str>> = merchants.into_iter().collect();
        loop {
            let merchants = merchants.clone();
            let versions = self.own.ask("versions", STATEMENT, move |database| {
                database.versions_since(&merchants, since)
            });
            match versions.await {
                Ok(versions) => return versions,
                Err(Away) => self.own.sleep(AWAY).await,
            }
        }
    }

    /// What routing must know of these events' transactions.
    async fn look_up(&self, events: &[Event], versions: &Versions) -> (Endpoints, StatusesBefore) {
        let those = |needed: &dyn Fn(&Event) -> bool| {
            let those = events.iter().filter(|event| needed(event));
            those.cloned().collect::<Vec<Event>>()
        };
        let look_ups = &self.look_ups;
        let with_endpoints =
            those(&|event| look_ups.for_endpoints(event) || versions.has_template(event));
        let mut endpoints = Endpoints::new();
        while !with_endpoints.is_empty() {
            let events = with_endpoints.clone();
            let found = self.own.ask("find endpoints", STATEMENT, move |database| {
                database.find_endpoints(&events)
            });
            match found.await {
                Ok(found) => {
                    endpoints = found;
                    break;
                }
                Err(Away) => self.own.sleep(AWAY).await,
            }
        }
        let of_changes =
            those(&|event| look_ups.for_statuses(event) || versions.wants_changes(event));
        let mut before = StatusesBefore::new();
        while !of_changes.is_empty() {
            let events = of_changes.clone();
            let found =
                self.own
                    .ask_the_log("find statuses before", STATEMENT, move |database, plan| {
                        database.find_statuses_before(plan, &events)
                    });
            match found.await {
                Ok(found) => {
                    before = found;
                    break;
                }
                Err(Away) => self.own.sleep(AWAY).await,
            }
        }
        (endpoints, before)
    }

    fn tell(&self, input: Input) {
        // The dispatcher is gone only when the process is.
        let _ = self.dispatcher.send(input);
    }
}
