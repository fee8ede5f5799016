//! The loop that reads the log: live windows for the shards at hand, and catching up for
//! those just taken.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use sqlx::PgPool;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};
use uuid::Uuid;

use super::floor::{Floor, first_id_at};
use super::poll::Poll;
use super::window::Window;
use crate::config::secrets;
use crate::dispatch::input::{Adoption, Input, Page};
use crate::http::health::Health;
use crate::http::metrics::Metrics;
use crate::model::{DeliveryKey, Event, Shard, Snapshot, Subscription};
use crate::store::events::{current_snapshot, read_by_id, read_page, settle_foreign_events};
use crate::store::ledger::find_known_deliveries;
use crate::store::pending::count_waiting;
use crate::store::shards::Taken;
use crate::store::subscriptions::{
    SubscriptionRow, current_revision, load_subscriptions, resolve_row,
};
use crate::store::{DbClock, StoreError, within};

/// Longer than any page takes on a database that works.
const STATEMENT: Duration = Duration::from_secs(10);

/// Between two tries while the database is away.
const AWAY: Duration = Duration::from_millis(250);

/// How often the lanes are told what waits in the database, in case hand-run SQL has made
/// something due, and unusable subscriptions are tried again.
const RECOUNT: Duration = Duration::from_secs(15);

/// In another cluster, events from this long before the last checkpoint are compared: a
/// transaction that was open for longer does not outlive a restore.
const REANCHOR: TimeDelta = TimeDelta::hours(24);

#[derive(Clone, Copy, Debug)]
pub struct ReaderSettings {
    pub poll_min: Duration,
    pub poll_max: Duration,
    pub page_rows: u32,
}

/// What the keeper tells the reader.
#[derive(Debug)]
pub enum Order {
    /// These were taken, in the cluster named.
    Adopt { taken: Vec<Taken>, cluster: String },
    /// Hand these over.
    Leave(Vec<Shard>),
    /// These are lost.
    Drop(Vec<Shard>),
}

/// What the reader works with.
pub struct Inlets {
    pub pool: PgPool,
    pub dispatcher: UnboundedSender<Input>,
    pub room: watch::Receiver<bool>,
    pub clock: DbClock,
    pub metrics: Metrics,
    pub health: Health,
}

pub struct Reader {
    with: Inlets,
    settings: ReaderSettings,
    poll: Poll,
    floor: Floor,
    /// The newest configuration that the dispatcher knows.
    revision: Option<i64>,
    to_adopt: VecDeque<(Vec<Taken>, String)>,
    catch_ups: VecDeque<CatchUp>,
    live: Live,
    recount_at: Instant,
    /// Subscriptions whose settings cannot be used; a secret may appear later.
    unusable: Vec<SubscriptionRow>,
    /// Whether the last statement failed: said once.
    away: bool,
}

/// The shards whose events are read as they are committed, all to the same snapshot.
#[derive(Debug, Default)]
struct Live {
    shards: Vec<Shard>,
    at: Option<Snapshot>,
    window: Option<Window>,
    /// Shards that have caught up to the end of `window` and join there.
    joining: Vec<Shard>,
}

/// Shards that are being read from their last owner's checkpoint.
#[derive(Debug)]
struct CatchUp {
    shards: Vec<Shard>,
    reading: Reading,
}

#[derive(Debug)]
enum Reading {
    /// From the checkpoint; what the last owner recorded is left out.
    Behind(Window),
    /// In a new cluster: by id, comparing with what is recorded.
    Comparing {
        after: Uuid,
        until: Option<Snapshot>,
    },
    /// What came during the catch-up; the live shards then read to the same end.
    Approaching(Window),
}

impl Reader {
    #[must_use]
    pub fn new(with: Inlets, settings: ReaderSettings) -> Self {
        let now = Instant::now();
        Self {
            with,
            settings,
            poll: Poll::new(settings.poll_min, settings.poll_max, now),
            floor: Floor::default(),
            revision: None,
            to_adopt: VecDeque::new(),
            catch_ups: VecDeque::new(),
            live: Live::default(),
            recount_at: now + RECOUNT,
            unusable: Vec::new(),
            away: false,
        }
    }

    /// Reads until the keeper is gone. An order is obeyed whatever the reading waits for.
    pub async fn run(mut self, mut orders: UnboundedReceiver<Order>) {
        let mut room = self.with.room.clone();
        loop {
            let may_read = !self.has_nothing_to_read();
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => {
                        self.obey(order);
                        continue;
                    }
                    None => return,
                },
                // An error means that the worker ends.
                _ = room.wait_for(|room| *room), if may_read => {}
            }
            let pause = self.read().await;
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One step, and how long to wait before the next.
    async fn read(&mut self) -> Duration {
        match self.step().await {
            Ok(found) => {
                self.answered();
                let now = Instant::now();
                if found {
                    self.poll.found_something(now);
                }
                if self.is_behind() {
                    Duration::ZERO
                } else {
                    self.poll.pause(now)
                }
            }
            Err(error) => {
                self.failed(&error);
                AWAY
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Adopt { taken, cluster } => self.to_adopt.push_back((taken, cluster)),
            Order::Leave(shards) => {
                self.let_go(&shards);
                self.tell(Input::Drain(shards));
            }
            Order::Drop(shards) => self.let_go(&shards),
        }
    }

    fn let_go(&mut self, shards: &[Shard]) {
        let stays = |shard: &Shard| !shards.contains(shard);
        self.live.shards.retain(stays);
        self.live.joining.retain(stays);
        for catch_up in &mut self.catch_ups {
            catch_up.shards.retain(stays);
        }
        self.catch_ups
            .retain(|catch_up| !catch_up.shards.is_empty());
        for (taken, _) in &mut self.to_adopt {
            taken.retain(|taken| stays(&taken.shard));
        }
        if self.live.shards.is_empty() && self.live.joining.is_empty() {
            self.live = Live::default();
        }
    }

    /// One page, or two while catching up. Returns whether it had events.
    async fn step(&mut self) -> Result<bool, StoreError> {
        if let Some((taken, cluster)) = self.to_adopt.front().cloned() {
            self.adopt(taken, &cluster).await?;
            self.to_adopt.pop_front();
        }
        self.recount().await?;
        match self.catch_ups.front().map(|catch_up| &catch_up.reading) {
            Some(Reading::Approaching(_)) if self.live.window.is_none() => self.catch_up().await,
            Some(Reading::Behind(_) | Reading::Comparing { .. }) => {
                let caught = self.catch_up().await?;
                Ok(self.read_live().await? || caught)
            }
            Some(Reading::Approaching(_)) | None => self.read_live().await,
        }
    }

    fn is_behind(&self) -> bool {
        self.live.window.is_some() || !self.catch_ups.is_empty() || !self.to_adopt.is_empty()
    }

    fn has_nothing_to_read(&self) -> bool {
        self.live.shards.is_empty() && !self.is_behind()
    }

    // ── shards that come ──────────────────────────────────────────────────────────

    /// Loads what the dispatcher needs to know of new shards, and begins to catch up.
    async fn adopt(&mut self, taken: Vec<Taken>, cluster: &str) -> Result<(), StoreError> {
        let shards: Vec<Shard> = taken.iter().map(|taken| taken.shard).collect();
        if shards.is_empty() {
            return Ok(());
        }
        let pool = &self.with.pool;
        // Before the rows: a change in between is loaded again with the next page.
        let revision = within(STATEMENT, current_revision(pool)).await?;
        let rows = within(STATEMENT * 3, load_subscriptions(pool, -1, Some(&shards))).await?;
        let waiting = within(STATEMENT * 3, count_waiting(pool, &shards)).await?;
        let mut reanchored = 0;
        if taken.iter().any(|taken| taken.cluster != cluster) {
            reanchored = within(STATEMENT * 60, settle_foreign_events(pool)).await?;
        }
        self.revision.get_or_insert(revision);
        let subscriptions = self.resolve(rows);
        self.tell(Input::Adopt(Adoption {
            shards: taken
                .iter()
                .map(|taken| (taken.shard, taken.epoch, taken.checkpoint.clone()))
                .collect(),
            subscriptions,
            waiting,
        }));
        for (checkpoint, shards) in by_checkpoint(&taken, cluster) {
            let reading = match checkpoint {
                Ok(checkpoint) => Reading::Behind(Window::since(&checkpoint, None)),
                Err(since) => {
                    warn!(
                        ?shards,
                        cluster,
                        foreign_events = reanchored,
                        "the checkpoints are of another cluster; comparing events with deliveries"
                    );
                    Reading::Comparing {
                        after: since,
                        until: None,
                    }
                }
            };
            self.catch_ups.push_back(CatchUp { shards, reading });
        }
        Ok(())
    }

    /// One page for the shards that catch up first.
    async fn catch_up(&mut self) -> Result<bool, StoreError> {
        let Some(mut catch_up) = self.catch_ups.pop_front() else {
            return Ok(false);
        };
        let turned = self.turn_catch_up(&mut catch_up).await;
        let (found, complete) = match turned {
            Ok(turned) => turned,
            Err(error) => {
                self.catch_ups.push_front(catch_up);
                return Err(error);
            }
        };
        let Some(end) = complete else {
            self.catch_ups.push_front(catch_up);
            return Ok(found);
        };
        self.tell(Input::WindowRead {
            shards: catch_up.shards.clone(),
            end: end.clone(),
        });
        match (catch_up.reading, self.live.at.clone()) {
            (_, None) => {
                info!(shards = catch_up.shards.len(), "caught up");
                self.live = Live {
                    shards: catch_up.shards,
                    at: Some(end),
                    ..Live::default()
                };
            }
            (Reading::Approaching(_), Some(live)) => {
                info!(shards = catch_up.shards.len(), "caught up");
                self.live.window = Some(Window::since(&live, Some(end)));
                self.live.joining = catch_up.shards;
            }
            (Reading::Behind(_) | Reading::Comparing { .. }, Some(_)) => {
                let reading = Reading::Approaching(Window::since(&end, None));
                self.catch_ups.push_front(CatchUp {
                    shards: catch_up.shards,
                    reading,
                });
            }
        }
        Ok(found)
    }

    async fn turn_catch_up(
        &mut self,
        catch_up: &mut CatchUp,
    ) -> Result<(bool, Option<Snapshot>), StoreError> {
        let (events, complete, compare) = match &mut catch_up.reading {
            Reading::Behind(window) => {
                let (events, complete) = self.turn(window, &catch_up.shards).await?;
                (events, complete, true)
            }
            Reading::Approaching(window) => {
                let (events, complete) = self.turn(window, &catch_up.shards).await?;
                (events, complete, false)
            }
            Reading::Comparing { after, until } => {
                let (events, complete) = self.compare(after, until, &catch_up.shards).await?;
                (events, complete, true)
            }
        };
        let known = if compare {
            self.known(&events).await
        } else {
            HashSet::new()
        };
        let found = !events.is_empty();
        self.hand_over(events, known).await;
        Ok((found, complete))
    }

    async fn compare(
        &self,
        after: &mut Uuid,
        until: &mut Option<Snapshot>,
        shards: &[Shard],
    ) -> Result<(Vec<Event>, Option<Snapshot>), StoreError> {
        let pool = &self.with.pool;
        let end = match until {
            Some(end) => end.clone(),
            None => until
                .insert(within(STATEMENT, current_snapshot(pool)).await?)
                .clone(),
        };
        let limit = i64::from(self.settings.page_rows);
        let events = within(STATEMENT * 3, read_by_id(pool, shards, *after, &end, limit)).await?;
        let last = events.last().map(|event| event.id);
        *after = last.unwrap_or(*after);
        let full = events.len() >= self.settings.page_rows as usize;
        Ok((events, (!full).then_some(end)))
    }

    /// Which deliveries of these events were recorded before the shard changed hands. It
    /// must not fail once the page is turned: it is asked until it is answered.
    async fn known(&mut self, events: &[Event]) -> HashSet<DeliveryKey> {
        if events.is_empty() {
            return HashSet::new();
        }
        let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
        loop {
            match within(STATEMENT, find_known_deliveries(&self.with.pool, &ids)).await {
                Ok(known) => return known,
                Err(error) => {
                    self.failed(&error);
                    tokio::time::sleep(AWAY).await;
                }
            }
        }
    }

    // ── what comes live ───────────────────────────────────────────────────────────

    async fn read_live(&mut self) -> Result<bool, StoreError> {
        let Some(at) = &self.live.at else {
            return Ok(false);
        };
        let mut window = match self.live.window.take() {
            Some(window) => window,
            None => Window::since(at, None),
        };
        let shards = self.live.shards.clone();
        let (events, complete) = match self.turn(&mut window, &shards).await {
            Ok(turned) => turned,
            Err(error) => {
                self.live.window = Some(window);
                return Err(error);
            }
        };
        let found = !events.is_empty();
        self.hand_over(events, HashSet::new()).await;
        match complete {
            None => self.live.window = Some(window),
            Some(end) => {
                self.floor.pass(self.with.clock.now(), &end);
                self.tell(Input::WindowRead {
                    shards,
                    end: end.clone(),
                });
                self.live.at = Some(end);
                self.live.shards.append(&mut self.live.joining);
            }
        }
        Ok(found)
    }

    async fn turn(
        &mut self,
        window: &mut Window,
        shards: &[Shard],
    ) -> Result<(Vec<Event>, Option<Snapshot>), StoreError> {
        let floor = self.floor.for_window(window.from());
        let request = window.next_page(i64::from(self.settings.page_rows));
        let page = within(
            STATEMENT,
            read_page(&self.with.pool, request, shards, floor),
        )
        .await?;
        if let Some(known) = self.revision
            && known < page.revision
        {
            let rows = within(
                STATEMENT * 3,
                load_subscriptions(&self.with.pool, known, None),
            )
            .await?;
            let subscriptions = self.resolve(rows);
            self.tell(Input::Subscriptions(subscriptions));
            self.revision = Some(page.revision);
        }
        let turned = window.turn(page);
        Ok((turned.events, turned.complete))
    }

    /// Waits until the dispatcher has put the page into the lanes: whether there is room
    /// for the next one shows only then.
    async fn hand_over(&self, events: Vec<Event>, known: HashSet<DeliveryKey>) {
        if events.is_empty() {
            return;
        }
        let (taken, is_taken) = oneshot::channel();
        self.tell(Input::Page(Page {
            events,
            known,
            taken,
        }));
        // An error means that the worker ends.
        let _ = is_taken.await;
    }

    async fn recount(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        if now < self.recount_at || self.live.shards.is_empty() {
            return Ok(());
        }
        let waiting = within(
            STATEMENT * 3,
            count_waiting(&self.with.pool, &self.live.shards),
        )
        .await?;
        self.tell(Input::Waiting(waiting));
        let unusable = std::mem::take(&mut self.unusable);
        let subscriptions = self.resolve(unusable);
        self.tell(Input::Subscriptions(subscriptions));
        self.recount_at = now + RECOUNT;
        Ok(())
    }

    /// Rows that cannot be used are kept, to be tried again.
    fn resolve(&mut self, rows: Vec<SubscriptionRow>) -> Vec<Arc<Subscription>> {
        let mut subscriptions = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.identity.id;
            self.unusable.retain(|kept| kept.identity.id != id);
            let Some(subscription) = resolve_row(&row, &secrets::read) else {
                continue;
            };
            if !subscription.usable {
                self.unusable.push(row);
            }
            subscriptions.push(subscription);
        }
        subscriptions
    }

    fn tell(&self, input: Input) {
        // The dispatcher is gone only when the worker ends.
        let _ = self.with.dispatcher.send(input);
    }

    fn answered(&mut self) {
        if self.away {
            info!("the database is back");
        }
        self.away = false;
        self.with.health.set_database(true);
    }

    fn failed(&mut self, error: &StoreError) {
        self.with.metrics.database_error();
        self.with.health.set_database(false);
        if !self.away {
            warn!(%error, "cannot read events; trying until the database is back");
        }
        self.away = true;
    }
}

type Start = Result<Snapshot, Uuid>;

/// Shards with the same start are read together: those of a worker that died have the
/// same checkpoint as a rule. Where the checkpoint means nothing, the start is an id.
fn by_checkpoint(taken: &[Taken], cluster: &str) -> Vec<(Start, Vec<Shard>)> {
    let mut groups: Vec<(Start, Vec<Shard>)> = Vec::new();
    for taken in taken {
        let start = if taken.cluster == cluster {
            Ok(taken.checkpoint.clone())
        } else {
            Err(first_id_at(taken.checkpoint_at - REANCHOR))
        };
        match groups.iter_mut().find(|(other, _)| *other == start) {
            Some((_, shards)) => shards.push(taken.shard),
            None => groups.push((start, vec![taken.shard])),
        }
    }
    groups
}
