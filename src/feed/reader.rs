//! The loop that reads the log: live windows for the shards at hand, and catching up for
//! those just taken. What to read next is decided in [`super::progress`].

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::look_up::LookUps;
use super::poll::Poll;
use super::progress::{Answer, Ask, Progress, Turn};
use super::unusable::Unusable;
use crate::config::secrets;
use crate::crash::Point;
use crate::flow::input::Input;
use crate::flow::shards::Order;
use crate::flow::window::WindowPage;
use crate::flow::{AWAY, DbClock, STATEMENT};
use crate::http::health::Health;
use crate::http::metrics::Metrics;
use crate::model::{Shard, Subscription};
use crate::store::history::newest_change;
use crate::store::log::{current_snapshot, read_by_id, read_page};
use crate::store::pending::count_waiting;
use crate::store::subscriptions::{SubscriptionRow, load_opener, load_subscriptions, resolve_row};
use crate::store::{Pool, StoreError, within};
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

/// What the reader works with.
pub struct Inlets {
    pub pool: Pool,
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
    /// The newest configuration that the dispatcher knows.
    pub(super) revision: Option<i64>,
    /// When it was changed last: an event from before may have met other settings.
    pub(super) changed_at: Option<DateTime<Utc>>,
    pub(super) progress: Progress,
    recount_at: Instant,
    counting: Option<JoinHandle<()>>,
    /// The shards that this worker has, or is about to have.
    held: BTreeSet<Shard>,
    /// Of these.
    unusable: Unusable,
    pub(super) look_ups: LookUps,
    /// Whether the last statement failed: said once.
    away: bool,
    /// Whether the last reading found nothing.
    quiet: bool,
}

impl Reader {
    #[must_use]
    pub fn new(with: Inlets, settings: ReaderSettings) -> Self {
        let now = Instant::now();
        Self {
            with,
            settings,
            poll: Poll::new(settings.poll_min, settings.poll_max, now),
            revision: None,
            changed_at: None,
            progress: Progress::default(),
            recount_at: now + RECOUNT,
            counting: None,
            held: BTreeSet::new(),
            unusable: Unusable::default(),
            look_ups: LookUps::default(),
            away: false,
            quiet: false,
        }
    }

    /// Reads until the keeper is gone. An order is obeyed whatever the reading waits for.
    pub async fn run(mut self, mut orders: UnboundedReceiver<Order>) {
        let mut room = self.with.room.clone();
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
        let began = Instant::now();
        match self.step().await {
            Ok(found) => {
                self.answered();
                self.quiet = !found;
                let now = Instant::now();
                if found {
                    self.poll.found_something(now);
                }
                if self.progress.is_behind() {
                    Duration::ZERO
                } else {
                    self.poll.pause(began, now)
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
            Order::Adopt { taken, cluster } => {
                self.held.extend(taken.iter().map(|taken| taken.shard));
                self.progress.take_up(taken, cluster);
            }
            Order::Leave(shards) => {
                let left: Vec<Shard> = shards.iter().map(|(shard, _)| *shard).collect();
                self.let_go(&left);
                self.tell(Input::Drain(shards));
            }
            Order::Drop(shards) => {
                self.let_go(&shards);
                // The keeper has told it already, but it may have learnt of them since: while
                // this loop waited for what an adoption loads.
                self.tell(Input::Lost(shards));
            }
        }
    }

    fn let_go(&mut self, shards: &[Shard]) {
        self.progress.let_go(shards);
        self.held.retain(|shard| !shards.contains(shard));
        self.unusable.let_go(shards);
    }

    /// One page, or two while catching up. Returns whether it had events.
    async fn step(&mut self) -> Result<bool, StoreError> {
        if let Some((taken, cluster)) = self.progress.to_adopt().cloned() {
            self.adopt(taken, &cluster).await?;
            // That took a while: first see whether they are still ours.
            return Ok(true);
        }
        self.recount().await?;
        if self.nothing_has_happened().await? {
            return Ok(false);
        }
        let mut found = false;
        for turn in self.progress.turns() {
            found |= self.take_turn(*turn).await?;
        }
        Ok(found)
    }

    /// Whether no transaction has begun or ended since everything was read. After a reading that
    /// found nothing it is asked first, as it costs a tenth of the next one.
    async fn nothing_has_happened(&self) -> Result<bool, StoreError> {
        match self.progress.read_up_to() {
            Some(read) if self.quiet => {
                Ok(within(STATEMENT, current_snapshot(&self.with.pool)).await? == *read)
            }
            _ => Ok(false),
        }
    }

    async fn take_turn(&mut self, turn: Turn) -> Result<bool, StoreError> {
        let limit = i64::from(self.settings.page_rows);
        let Some(ask) = self.progress.ask(turn, limit) else {
            return Ok(false);
        };
        let answer = self.answer(ask).await?;
        Point::PageRead.pass();
        let now = self.with.clock.now();
        let found = self.progress.answered(turn, answer, limit, now);
        let known = if found.compare {
            self.known(&found.events).await
        } else {
            HashSet::new()
        };
        let any = !found.events.is_empty();
        self.hand_over(found.events, known).await;
        Point::PageRouted.pass();
        if let Some((shards, end)) = found.window_read {
            self.tell(Input::WindowRead { shards, end });
        }
        Ok(any)
    }

    async fn answer(&mut self, ask: Ask) -> Result<Answer, StoreError> {
        let pool = self.with.pool.clone();
        match ask {
            Ask::Page {
                request,
                shards,
                floor,
            } => {
                let page = within(STATEMENT, read_page(&pool, &request, &shards, floor)).await?;
                self.catch_up_with_settings(&page).await?;
                Ok(Answer::Page(page))
            }
            Ask::ById {
                after,
                until,
                shards,
                limit,
            } => {
                let until = match until {
                    Some(until) => until,
                    None => within(STATEMENT, current_snapshot(&pool)).await?,
                };
                let events = read_by_id(&pool, &shards, after, &until, limit);
                let events = within(STATEMENT * 3, events).await?;
                Ok(Answer::ById { until, events })
            }
        }
    }

    /// No event meets a configuration that is older than itself.
    async fn catch_up_with_settings(&mut self, page: &WindowPage) -> Result<(), StoreError> {
        if let Some(known) = self.revision
            && known < page.revision
        {
            // Those of a shard that is taken later are all read then.
            let held: Vec<Shard> = self.held.iter().copied().collect();
            let subscriptions = self.load(known, &held).await?;
            self.changed_at = within(STATEMENT, newest_change(&self.with.pool)).await?;
            self.tell(Input::Subscriptions(subscriptions));
            self.revision = Some(page.revision);
        }
        Ok(())
    }

    /// Counts beside the reading: with a million rows it takes a moment.
    async fn recount(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        let is_counting = self
            .counting
            .as_ref()
            .is_some_and(|task| !task.is_finished());
        if now < self.recount_at || is_counting || self.progress.live_shards().is_empty() {
            return Ok(());
        }
        self.recount_at = now + RECOUNT;
        let (pool, shards) = (self.with.pool.clone(), self.progress.live_shards().to_vec());
        let dispatcher = self.with.dispatcher.clone();
        self.counting = Some(tokio::spawn(async move {
            match within(STATEMENT * 3, count_waiting(&pool, &shards)).await {
                // The dispatcher is gone only when the worker ends.
                Ok(waiting) => drop(dispatcher.send(Input::Waiting(waiting))),
                Err(error) => debug!(%error, "cannot count what waits; the next time will do"),
            }
        }));
        let subscriptions = self.resolve(self.unusable.rows()).await?;
        self.tell(Input::Subscriptions(subscriptions));
        Ok(())
    }

    /// The subscriptions of some shards that changed after a revision. A page at a
    /// time: their rows take several times what stays of them.
    pub(super) async fn load(
        &mut self,
        revision: i64,
        shards: &[Shard],
    ) -> Result<Vec<Arc<Subscription>>, StoreError> {
        let mut subscriptions = Vec::new();
        let mut after = Some(Uuid::nil());
        while let Some(id) = after {
            let page = load_subscriptions(&self.with.pool, revision, Some(shards), id);
            let page = within(STATEMENT * 3, page).await?;
            after = page.next;
            subscriptions.extend(self.resolve(page.rows).await?);
        }
        Ok(subscriptions)
    }

    /// Rows that cannot be used are kept, to be tried again.
    async fn resolve(
        &mut self,
        rows: Vec<SubscriptionRow>,
    ) -> Result<Vec<Arc<Subscription>>, StoreError> {
        let keys = Arc::clone(&self.with.keys);
        let opener = within(STATEMENT, load_opener(&self.with.pool, &keys, &rows)).await?;
        let proxy_pools = &self.with.proxy_pools;
        let mut subscriptions = Vec::with_capacity(rows.len());
        for row in rows {
            let (subscription, why) = resolve_row(&row, &opener, &secrets::read, proxy_pools);
            // Its shard may have been lost while it was read.
            if self.held.contains(&row.identity.shard) {
                self.unusable.note(row, why, Instant::now());
            }
            if let Some(subscription) = subscription {
                self.look_ups.note(&subscription);
                subscriptions.push(subscription);
            }
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
