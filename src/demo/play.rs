//! The demo from its first event to the last account.
//!
//! The worker runs in this process: however the demo ends, kill -9 included, the worker
//! ends with it. As a process of its own it would do what it is built for, and wait for
//! its database to come back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::account::{Account, account};
use super::board::{Board, Role};
use super::ledger;
use super::publish::{Published, publish};
use super::report::{end_of_log, summary, where_to_look};
use super::screen::{self, Screen};
use super::script::{Conduct, MERCHANTS};
use super::stage::{OUT_OF_ORDER, Stage, conduct, endpoints};
use super::table::Line;
use crate::receiver::Received;
use crate::store::{Pool, StoreError, connect, demo};
use crate::worker;

/// The connections that the publishers and the table share.
const CONNECTIONS: u32 = 8;

/// How long the worker may take until it owns every shard, on a machine under load.
const READY: Duration = Duration::from_mins(1);

/// How long it may take to stop: its grace, handing over, and a margin.
const STOPPED: Duration = Duration::from_mins(1);

/// How long before the end of a timed run publishing stops, or a quarter of the run.
const QUIET: Duration = Duration::from_secs(3);

/// The endpoint that fails for a while does so at the beginning of each such period.
const PERIOD: Duration = Duration::from_secs(30);
const OUTAGE: Duration = Duration::from_secs(6);

/// How often the demo looks whether something is to be done.
const TICK: Duration = Duration::from_millis(100);

/// The requests that the receiver gets.
type Arrivals = mpsc::Receiver<Arc<Received>>;

/// Plays until `end`, or for a time; tells whether every event was accounted for.
pub async fn play(
    stage: Stage,
    length: Option<Duration>,
    end: impl Future<Output = ()>,
) -> anyhow::Result<bool> {
    let stop = CancellationToken::new();
    let (_reload, reloads) = mpsc::channel(1);
    let worker = tokio::spawn(worker::run(
        stage.config.clone(),
        false,
        None,
        reloads,
        stop.clone(),
    ));
    let mut play = Play {
        pool: connect(&stage.database.clone().into(), CONNECTIONS)?,
        screen: Screen::new(),
        board: Board::new(Vec::new()),
        began: Instant::now(),
        stage,
        worker,
        stop,
    };
    let played = play.run(length, end).await;
    if played.as_ref().is_ok_and(Account::is_complete) {
        return Ok(true);
    }
    screen::say(&end_of_log(&play.stage.log_file))?;
    played.map(|_| false)
}

struct Play {
    stage: Stage,
    pool: Pool,
    screen: Screen,
    board: Board,
    began: Instant,
    worker: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Play {
    async fn run(
        &mut self,
        length: Option<Duration>,
        end: impl Future<Output = ()>,
    ) -> anyhow::Result<Account> {
        tokio::pin!(end);
        let ready = tokio::select! {
            ready = timeout(READY, self.wait_until_ready()) => ready,
            () = &mut end => return Ok(Account::default()),
        };
        self.board = Board::new(ready.context("the worker does not get ready")??);
        screen::say(&where_to_look(&self.stage))?;

        let mut arrivals = self.stage.receiver.watch();
        let (news, mut published) = mpsc::unbounded_channel();
        let quiet = CancellationToken::new();
        let mut publishers = JoinSet::new();
        for merchant in MERCHANTS {
            publishers.spawn(publish(
                self.pool.clone(),
                merchant,
                news.clone(),
                quiet.clone(),
            ));
        }
        self.began = Instant::now();
        self.watch(
            &mut published,
            &mut arrivals,
            &mut publishers,
            &quiet,
            length,
            end,
        )
        .await?;

        quiet.cancel();
        while let Some(ended) = publishers.join_next().await {
            ended??;
        }
        while let Ok(event) = published.try_recv() {
            self.board.published(&event);
        }
        self.stop_worker(&mut arrivals).await?;
        self.sum_up().await
    }

    /// Shows what happens until the end, whatever brings it.
    async fn watch(
        &mut self,
        published: &mut UnboundedReceiver<Published>,
        arrivals: &mut Arrivals,
        publishers: &mut JoinSet<Result<(), StoreError>>,
        quiet: &CancellationToken,
        length: Option<Duration>,
        mut end: impl Future<Output = ()> + Unpin,
    ) -> anyhow::Result<()> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut show_at = Instant::now();
        let mut out_of_order = false;
        loop {
            tokio::select! {
                () = &mut end => return Ok(()),
                Some(event) = published.recv() => self.board.published(&event),
                Some(request) = arrivals.recv() => self.arrived(&request),
                ended = &mut self.worker => {
                    ended.context("the worker ended in a panic")??;
                    bail!("the worker ended by itself");
                }
                Some(ended) = publishers.join_next(), if !quiet.is_cancelled() => ended??,
                _ = tick.tick() => {
                    let elapsed = self.began.elapsed();
                    if let Some(length) = length {
                        if elapsed >= length {
                            return Ok(());
                        }
                        if elapsed + QUIET.min(length / 4) >= length {
                            quiet.cancel();
                        }
                    }
                    if is_outage(elapsed) != out_of_order {
                        out_of_order = !out_of_order;
                        self.act(out_of_order)?;
                    }
                    if Instant::now() >= show_at {
                        let lines = self.lines(out_of_order).await?;
                        self.screen.show(&lines, elapsed)?;
                        show_at = Instant::now() + self.screen.pace();
                    }
                }
            }
        }
    }

    /// Waits until every shard has its owner and every subscription its row: an event that is older
    /// than its subscription would not be for it.
    async fn wait_until_ready(&mut self) -> anyhow::Result<Vec<Role>> {
        loop {
            tokio::select! {
                ended = &mut self.worker => {
                    ended.context("the worker ended in a panic")??;
                    bail!("the worker ended by itself");
                }
                () = tokio::time::sleep(TICK) => {}
            }
            let (owned, shards) = demo::owned_shards(&self.pool).await?;
            if owned == shards
                && let Some(roles) = roles(&demo::subscription_ids(&self.pool).await?)
            {
                return Ok(roles);
            }
        }
    }

    fn act(&self, out_of_order: bool) -> anyhow::Result<()> {
        for (merchant, endpoint) in endpoints() {
            if endpoint.conduct == Conduct::FailsForAWhile {
                let path = endpoint.path(merchant);
                self.stage
                    .receiver
                    .endpoint(&path)
                    .behave(conduct(endpoint, out_of_order)?);
            }
        }
        Ok(())
    }

    fn arrived(&mut self, request: &Received) {
        let path = request.path_and_query.split('?').next().unwrap_or_default();
        let id = request.headers.get("webhook-id");
        if let Some(event) = id.and_then(|id| Uuid::try_parse_ascii(id.as_bytes()).ok()) {
            self.board.arrived(path, event, request.arrived);
        }
    }

    /// Stops the worker. What is in the air lands, and is noted, meanwhile.
    async fn stop_worker(&mut self, arrivals: &mut Arrivals) -> anyhow::Result<()> {
        self.stop.cancel();
        let deadline = tokio::time::sleep(STOPPED);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                ended = &mut self.worker => {
                    ended.context("the worker ended in a panic")??;
                    break;
                }
                Some(request) = arrivals.recv() => self.arrived(&request),
                () = &mut deadline => bail!("the worker does not stop"),
            }
        }
        while let Ok(request) = arrivals.try_recv() {
            self.arrived(&request);
        }
        Ok(())
    }

    async fn sum_up(&mut self) -> anyhow::Result<Account> {
        let lines = self.lines(is_outage(self.began.elapsed())).await?;
        let rows = ledger::all_rows(&self.pool).await?;
        let account = account(&self.board.expected, &self.board.arrived, &rows);
        self.screen.finish(&lines)?;
        screen::say(&summary(&account, self.board.events))?;
        self.pool.close().await;
        Ok(account)
    }

    async fn lines(&self, out_of_order: bool) -> anyhow::Result<Vec<Line>> {
        let counts = ledger::count_by_subscription(&self.pool).await?;
        let lines = self.board.roles.iter().map(|role| {
            let counts = counts.get(&role.subscription).copied().unwrap_or_default();
            Line {
                endpoint: format!("{}/{}", role.merchant.name, role.endpoint.name),
                about: role.endpoint.about.to_owned(),
                published: self.board.published_to(role.subscription),
                delivered: counts.delivered,
                waiting: counts.waiting,
                posting_errors: counts.posting_errors,
                percentiles: self.board.percentiles(role.subscription),
                answers: match role.endpoint.conduct {
                    Conduct::FailsForAWhile if out_of_order => OUT_OF_ORDER,
                    _ => role.endpoint.answer.split(',').next().unwrap_or_default(),
                },
            }
        });
        Ok(lines.collect())
    }
}

fn is_outage(elapsed: Duration) -> bool {
    elapsed.as_secs() % PERIOD.as_secs() < OUTAGE.as_secs()
}

/// The script's endpoints with their ids; none while one is not there yet.
fn roles(ids: &HashMap<(String, String), Uuid>) -> Option<Vec<Role>> {
    endpoints()
        .map(|(merchant, endpoint)| {
            let name = (merchant.name.to_owned(), endpoint.name.to_owned());
            Some(Role {
                merchant,
                endpoint,
                subscription: *ids.get(&name)?,
            })
        })
        .collect()
}
