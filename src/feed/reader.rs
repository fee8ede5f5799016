//! The loop that reads the log: live windows for the shards at hand, and catching up for
//! those just taken.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use super::catch_up::{CatchUp, Reading};
use super::floor::Floor;
use super::look_up::LookUps;
use super::poll::Poll;
use super::window::Window;
use crate::config::secrets;
use crate::dispatch::input::Input;
use crate::http::health::Health;
use crate::http::metrics::Metrics;
use crate::model::{Event, Shard, Snapshot, Subscription};
use crate::store::events::read_page;
use crate::store::pending::count_waiting;
use crate::store::shards::Taken;
use crate::store::subscriptions::{SubscriptionRow, load_opener, load_subscriptions, resolve_row};
use crate::store::{AWAY, DbClock, STATEMENT, StoreError, within};
use crate::vault::Keyring;

/// How often the lanes are told what waits in the database, in case hand-run SQL has made
/// something due, and unusable subscriptions are tried again.
const RECOUNT: Duration = Duration::from_secs(15);

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
    pub keys: Arc<Keyring>,
    /// By name.
    pub proxy_pools: Vec<String>,
    pub dispatcher: UnboundedSender<Input>,
    pub room: watch::Receiver<bool>,
    pub clock: DbClock,
    pub metrics: Metrics,
    pub health: Health,
}

pub struct Reader {
    pub(super) with: Inlets,
    pub(super) settings: ReaderSettings,
    poll: Poll,
    floor: Floor,
    /// The newest configuration that the dispatcher knows.
    pub(super) revision: Option<i64>,
    to_adopt: VecDeque<(Vec<Taken>, String)>,
    pub(super) catch_ups: VecDeque<CatchUp>,
    pub(super) live: Live,
    recount_at: Instant,
    counting: Option<JoinHandle<()>>,
    /// Subscriptions whose settings cannot be used; a secret may appear later.
    unusable: Vec<SubscriptionRow>,
    pub(super) look_ups: LookUps,
    /// Whether the last statement failed: said once.
    away: bool,
}

/// The shards whose events are read as they are committed, all to the same snapshot.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) shards: Vec<Shard>,
    pub(super) at: Option<Snapshot>,
    pub(super) window: Option<Window>,
    /// Shards that have caught up to the end of `window` and join there.
    pub(super) joining: Vec<Shard>,
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
            counting: None,
            unusable: Vec::new(),
            look_ups: LookUps::default(),
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

    pub(super) async fn turn(
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
            let subscriptions = self.resolve(rows).await?;
            self.tell(Input::Subscriptions(subscriptions));
            self.revision = Some(page.revision);
        }
        let turned = window.turn(page);
        Ok((turned.events, turned.complete))
    }

    /// Counts beside the reading: with a million rows it takes a moment.
    async fn recount(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        let is_counting = self
            .counting
            .as_ref()
            .is_some_and(|task| !task.is_finished());
        if now < self.recount_at || is_counting || self.live.shards.is_empty() {
            return Ok(());
        }
        self.recount_at = now + RECOUNT;
        let (pool, shards) = (self.with.pool.clone(), self.live.shards.clone());
        let dispatcher = self.with.dispatcher.clone();
        self.counting = Some(tokio::spawn(async move {
            match within(STATEMENT * 3, count_waiting(&pool, &shards)).await {
                // The dispatcher is gone only when the worker ends.
                Ok(waiting) => drop(dispatcher.send(Input::Waiting(waiting))),
                Err(error) => debug!(%error, "cannot count what waits; the next time will do"),
            }
        }));
        let subscriptions = self.resolve(self.unusable.clone()).await?;
        self.tell(Input::Subscriptions(subscriptions));
        Ok(())
    }

    /// Rows that cannot be used are kept, to be tried again.
    pub(super) async fn resolve(
        &mut self,
        rows: Vec<SubscriptionRow>,
    ) -> Result<Vec<Arc<Subscription>>, StoreError> {
        let keys = Arc::clone(&self.with.keys);
        let opener = within(STATEMENT, load_opener(&self.with.pool, &keys, &rows)).await?;
        let proxy_pools = &self.with.proxy_pools;
        let mut subscriptions = Vec::with_capacity(rows.len());
        for row in rows {
            let id = row.identity.id;
            self.unusable.retain(|kept| kept.identity.id != id);
            let Some(subscription) = resolve_row(&row, &opener, &secrets::read, proxy_pools) else {
                continue;
            };
            if !subscription.usable {
                self.unusable.push(row);
            }
            self.look_ups.note(&subscription);
            subscriptions.push(subscription);
        }
        Ok(subscriptions)
    }

    pub(super) fn tell(&self, input: Input) {
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

    pub(super) fn failed(&mut self, error: &StoreError) {
        self.with.metrics.database_error();
        self.with.health.set_database(false);
        if !self.away {
            warn!(%error, "cannot read events; trying until the database is back");
        }
        self.away = true;
    }
}
