//! The gateway: the log for those who cannot be pushed to. Merchants behind firewalls poll,
//! follow a feed or hold a socket open; browsers and devices listen for their one transaction.
//!
//! ```text
//! events ──reader──▶ hub ──▶ follow ──▶ feed, socket, session ──▶ clients
//!  (SQL)    window  memory     ▲
//!                              └── desk ── one statement for all who are behind
//! ```
//!
//! One [`reader`] a process reads the log into the [`hub`], and every waiting client is a
//! [`follow`] on it: how often the database is asked does not depend on how many clients
//! there are. A gateway keeps nothing that another one needs: clients carry their position.

mod access;
mod bearer;
mod bodies;
mod budget;
mod caller;
pub mod cursor;
mod desk;
mod details;
mod door;
mod feed;
mod follow;
mod frames;
mod front;
mod guests;
mod hub;
mod limits;
mod line;
mod page;
pub mod position;
mod reader;
mod receive;
mod refusal;
mod security_token;
mod server;
mod session;
mod soap;
mod socket;
mod topic;
mod transaction;
mod upgrade;
mod wire;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use chrono::DateTime;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use crate::config::Gateway as Settings;
use crate::flow::DbClock;
use crate::http::{Health, Metrics};
use crate::model::TokenKey;
use crate::store::Pool;
use crate::store::merchant_feed::{FeedPage, FeedRequest, Slice, read_feeds, read_transactions};
use access::Access;
use budget::Budget;
use desk::Desk;
use guests::Guests;
use hub::{Hub, Room};
use limits::{Limits, Places};
use position::STRETCH;
use reader::Reader;

/// How many of a transaction's newest events are looked at: far more than one goes through.
const HISTORY: i64 = 1_000;

/// The part of the log that one question gets, for a client that lies so far back that memory does
/// not reach it: a few milliseconds of the database's time.
const SLICE: Slice = Slice {
    rows: 10_000,
    events: STRETCH,
    bytes: 2 * hub::MOST_BYTES,
};

/// How many slices a question's events may make, by the size that those of the last answers had.
const SLICES: usize = 4;

/// The fewest events that a question asks for, however large those of the last answers were.
const FEWEST: u16 = 8;

/// What the gateway stands on, and is given when it starts.
pub struct GatewayGround {
    /// Connections for what clients ask.
    pub pool: Pool,
    /// One connection for the reader alone.
    pub reader_pool: Pool,
    /// The key of cursors and of security tokens.
    pub token_key: TokenKey,
    /// How long the reader waits after a look that found events.
    pub poll_min: Duration,
    /// The longest that the reader waits between two looks.
    pub poll_max: Duration,
    /// Where it counts.
    pub metrics: Metrics,
    /// Where it notes whether it is ready.
    pub health: Health,
    /// The token that stops this gateway: it is cancelled as well where another database has taken
    /// the place of the one that it was opened for.
    pub stop: CancellationToken,
}

/// What all channels share.
pub struct Gateway {
    settings: Settings,
    pool: Pool,
    token_key: TokenKey,
    metrics: Metrics,
    hub: Arc<Hub>,
    clock: DbClock,
    access: Access,
    limits: Limits,
    /// The requests under way, by address.
    requests: Arc<Places>,
    /// The sessions of Socket.IO, by address.
    sessions: Arc<Places>,
    guests: Arc<Guests>,
    budget: Arc<Budget>,
    feeds: Desk<FeedRequest, FeedPage>,
    /// The questions for a transaction, by merchant and transaction id.
    transactions: Desk<(Box<str>, Box<str>), FeedPage>,
    stop: CancellationToken,
}

impl Gateway {
    fn new(settings: Settings, ground: &GatewayGround) -> Self {
        let (pool, metrics) = (&ground.pool, &ground.metrics);
        let (feeds, transactions) = (pool.clone(), pool.clone());
        let events = Arc::new(AtomicU16::new(STRETCH));
        Self {
            hub: Arc::new(Hub::new(Room {
                events: settings.memory_events,
                bytes: settings.memory_bytes,
            })),
            access: Access::new(pool, metrics),
            limits: Limits::new(
                settings.rate_per_token,
                settings.rate_per_address,
                settings.max_open_per_token,
            ),
            requests: Places::new(usize::MAX, settings.max_connections_per_address),
            sessions: Places::new(
                settings.max_connections,
                settings.max_connections_per_address,
            ),
            guests: Arc::default(),
            budget: Budget::new(budget::Most {
                process: settings.buffer_bytes,
                address: settings.buffer_bytes_per_address,
                token: settings.buffer_bytes_per_token,
            }),
            feeds: Desk::open(metrics.clone(), move |requests: Vec<FeedRequest>| {
                let (pool, events) = (feeds.clone(), Arc::clone(&events));
                async move {
                    let slice = Slice {
                        events: events.load(Ordering::Relaxed),
                        ..SLICE
                    };
                    let pages = read_feeds(&pool, &requests, slice).await?;
                    events.store(worth_asking(&pages), Ordering::Relaxed);
                    Ok(pages)
                }
            }),
            transactions: Desk::open(metrics.clone(), move |asked: Vec<_>| {
                let pool = transactions.clone();
                async move { read_transactions(&pool, &asked, HISTORY).await }
            }),
            // Until the reader has heard from the database, nothing is answered.
            clock: DbClock::anchored(Instant::now(), DateTime::UNIX_EPOCH),
            pool: pool.clone(),
            token_key: ground.token_key.clone(),
            metrics: metrics.clone(),
            stop: ground.stop.clone(),
            settings,
        }
    }

    fn trusts(&self, proxy: IpAddr) -> bool {
        let proxy = proxy.to_canonical();
        let mut trusted = self.settings.trusted_proxies.iter();
        trusted.any(|network| network.contains(&proxy))
    }
}

/// How many events the next question asks for.
fn worth_asking(pages: &[FeedPage]) -> u16 {
    let sizes = pages.iter().flat_map(|page| &page.events);
    let sizes = sizes.map(|(_, event)| event.data.len());
    let (count, bytes) = sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size));
    let fit = (SLICES * SLICE.bytes * count).checked_div(bytes);
    let fit = u16::try_from(fit.unwrap_or(usize::MAX)).unwrap_or(u16::MAX);
    fit.clamp(FEWEST, STRETCH)
}

/// Answers on `listener` until the ground's `stop`, and returns once every answer is out.
pub async fn run(settings: Settings, ground: GatewayGround, listener: TcpListener) {
    let gateway = Arc::new(Gateway::new(settings, &ground));
    let reader = Reader {
        gateway: Arc::clone(&gateway),
        pool: ground.reader_pool,
        health: ground.health,
        poll_min: ground.poll_min,
        poll_max: ground.poll_max,
    };
    let mut rooms = JoinSet::new();
    rooms.spawn(reader.run());
    rooms.spawn(sweep(Arc::clone(&gateway)));
    let router = front::router(&gateway);
    server::serve(listener, gateway, router).await;
    rooms.join_all().await;
}

async fn sweep(gateway: Arc<Gateway>) {
    let mut round = tokio::time::interval(limits::SWEEP);
    loop {
        tokio::select! {
            _ = round.tick() => gateway.limits.sweep(),
            () = gateway.stop.cancelled() => return,
        }
    }
}
