//! One client's way through the log: from the position that it brings to each new event of
//! its topic. Every channel that waits for events stands on this.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use super::Gateway;
use super::budget::{Account, Held};
use super::cursor::{ClusterMark, Cursor};
use super::desk::Away;
use super::hub::{Listener, Look, MOST_BYTES, SeenEvent};
use super::position::{Position, Stretch};
use super::topic::{LogEvent, Of, Topic};
use crate::model::event::first_id_at;
use crate::store::merchant_feed::{FeedPage, FeedRequest};

/// Transaction numbers of another cluster say nothing. What a client has not seen is then at
/// most this much older than what it has seen: a transaction that stayed open for longer
/// ended with its server.
const LONGEST_TRANSACTION: TimeDelta = TimeDelta::hours(1);

/// Reading through what is not the client's puts an answer off by no more than this: it then
/// says how far it came.
const CATCH_UP: Duration = Duration::from_secs(5);

/// How long to wait before the database is asked again about what the hub does not know yet.
const AGAIN: Duration = Duration::from_millis(10);

/// What an event takes while it waits for a socket: its size as it was read and as it is sent,
/// and bytes of what stands around it.
const TIMES: usize = 2;
const AROUND: usize = 1024;

/// How long to wait before an account that has no room is asked again.
const ROOM: Duration = Duration::from_millis(250);

/// The place where a client wants to begin.
#[derive(Clone, Debug)]
pub enum Start {
    /// It begins with the oldest event that is kept.
    Oldest,
    Now,
    At(Cursor),
}

/// Events for one client, with what they take of its account until they are with it.
#[derive(Debug, Default)]
pub struct Batch {
    pub entries: Vec<SeenEvent>,
    pub held: Option<Arc<Held>>,
}

pub struct Follow {
    gateway: Arc<Gateway>,
    topic: Topic,
    listener: Listener,
    cluster: ClusterMark,
    floor: Uuid,
    position: Position,
    /// Milliseconds since 1970 of `position`.
    as_of_ms: u64,
    is_behind: bool,
    /// None: the events are looked at, and go nowhere.
    account: Option<Account>,
}

/// The place where a follow stood.
struct Mark {
    cluster: ClusterMark,
    floor: Uuid,
    position: Position,
    as_of_ms: u64,
}

impl Follow {
    pub fn begin(gateway: &Arc<Gateway>, topic: Topic, start: Start) -> Result<Self, Away> {
        let (cluster, now_ms) = gateway.hub.moment().ok_or(Away)?;
        let head = gateway.hub.head().ok_or(Away)?;
        let begins = match start {
            Start::Oldest => Cursor {
                cluster,
                taken_ms: 0,
                floor: Uuid::nil(),
                position: Position::start(),
            },
            Start::Now => Cursor {
                cluster,
                taken_ms: now_ms,
                floor: Uuid::nil(),
                position: head,
            },
            Start::At(cursor) => cursor,
        };
        let mut follow = Self {
            listener: gateway.hub.listen(&topic),
            gateway: Arc::clone(gateway),
            topic,
            cluster: begins.cluster,
            floor: begins.floor,
            position: begins.position,
            as_of_ms: begins.taken_ms,
            is_behind: false,
            account: None,
        };
        follow.anchor(cluster);
        Ok(follow)
    }

    /// What waits for the client counts as this account's from now on.
    #[must_use]
    pub fn charged_to(mut self, account: Account) -> Self {
        self.account = Some(account);
        self
    }

    /// The cursor of a client once it has everything that `next` returned.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        self.cursor_at(self.position.clone(), self.as_of_ms)
    }

    /// The cursor of a client that has seen the events up to this one, which `next` returned last.
    #[must_use]
    pub fn cursor_behind(&self, entry: &SeenEvent) -> Cursor {
        self.cursor_at(entry.behind.clone(), millis(entry))
    }

    /// Whether there is known to be more than `next` returned last.
    #[must_use]
    pub const fn is_behind(&self) -> bool {
        self.is_behind
    }

    fn cursor_at(&self, position: Position, taken_ms: u64) -> Cursor {
        Cursor {
            cluster: self.cluster,
            taken_ms,
            floor: self.floor,
            position,
        }
    }

    /// The next events of the topic, as soon as there are any; none when the wait is over or
    /// the gateway stops, or if it takes long to catch up. While its account has no room for
    /// them they are not held.
    pub async fn next(&mut self, wait: Duration) -> Result<Batch, Away> {
        let began = Instant::now();
        loop {
            let mark = Mark {
                cluster: self.cluster,
                floor: self.floor,
                position: self.position.clone(),
                as_of_ms: self.as_of_ms,
            };
            let entries = self.find(wait.saturating_sub(began.elapsed())).await?;
            let Some(account) = self.account.as_ref().filter(|_| !entries.is_empty()) else {
                return Ok(Batch {
                    entries,
                    held: None,
                });
            };
            let bytes = entries.iter().map(size).sum();
            if let Some(held) = account.take(bytes) {
                return Ok(Batch {
                    entries,
                    held: Some(Arc::new(held)),
                });
            }
            drop(entries);
            let Mark {
                cluster,
                floor,
                position,
                as_of_ms,
            } = mark;
            (self.cluster, self.floor) = (cluster, floor);
            self.reach(position, as_of_ms);
            if began.elapsed() > wait.max(CATCH_UP) {
                return Ok(Batch::default());
            }
            sleep(ROOM).await;
        }
    }

    async fn find(&mut self, wait: Duration) -> Result<Vec<SeenEvent>, Away> {
        let began = Instant::now();
        loop {
            self.listener.reset();
            let Some((cluster, now_ms)) = self.gateway.hub.moment() else {
                // After a failover memory is filled anew.
                if began.elapsed() > CATCH_UP {
                    return Err(Away);
                }
                sleep(AGAIN).await;
                continue;
            };
            self.anchor(cluster);
            match self.gateway.hub.look(&self.position, &self.topic) {
                Look::New {
                    entries,
                    end,
                    is_cut,
                } => {
                    self.is_behind = is_cut;
                    let entries = self.above_floor(entries);
                    self.reach(end, entries.last().map_or(self.as_of_ms, millis));
                    if !entries.is_empty() {
                        return Ok(entries);
                    }
                    continue;
                }
                Look::Nothing(end) => {
                    self.is_behind = false;
                    self.reach(end, now_ms);
                }
                Look::Unknown => {
                    let stretch = self.ask().await?;
                    self.is_behind = !stretch.is_all;
                    let mut entries = self.entries(stretch);
                    self.cut(&mut entries);
                    if !entries.is_empty() || began.elapsed() > CATCH_UP {
                        return Ok(entries);
                    }
                    if !self.is_behind {
                        sleep(AGAIN).await;
                    }
                    continue;
                }
            }
            let woken = async {
                tokio::select! {
                    () = self.listener.woken() => true,
                    () = self.gateway.stop.cancelled() => false,
                }
            };
            if timeout_at(began + wait, woken).await != Ok(true) {
                return Ok(Vec::new());
            }
        }
    }

    /// A position of another cluster becomes a time: everything since then is given again.
    fn anchor(&mut self, cluster: ClusterMark) {
        if self.cluster == cluster {
            return;
        }
        let seen = i64::try_from(self.as_of_ms).ok();
        let seen = seen.and_then(DateTime::<Utc>::from_timestamp_millis);
        let since = seen.and_then(|seen| seen.checked_sub_signed(LONGEST_TRANSACTION));
        let floor = since.map_or(Uuid::nil(), first_id_at);
        self.floor = self.floor.max(floor);
        self.position = Position::start();
        self.cluster = cluster;
    }

    fn reach(&mut self, position: Position, as_of_ms: u64) {
        self.position = position;
        self.as_of_ms = as_of_ms;
    }

    /// What the database has next.
    async fn ask(&self) -> Result<Stretch, Away> {
        let merchant = self.topic.merchant.clone();
        let Of::Transaction(transaction) = &self.topic.of else {
            let request = FeedRequest {
                merchant,
                part: self.position.part(),
                floor: self.floor,
            };
            let page = self.gateway.feeds.ask(request).await?;
            return Ok(self.position.stretch(page));
        };
        let asked = (merchant, transaction.clone());
        let page = self.gateway.transactions.ask(asked).await?;
        let FeedPage {
            until, mut events, ..
        } = page;
        let until = self.position.part().until.unwrap_or(until);
        events
            .retain(|(xid, event)| until.includes(*xid) && !self.position.has_seen(*xid, event.id));
        // All of it at once: a transaction has a handful of events.
        Ok(self.position.stretch(FeedPage {
            until,
            events,
            reached: None,
        }))
    }

    /// The stretch's events that belong to the topic; the position moves behind them.
    fn entries(&mut self, stretch: Stretch) -> Vec<SeenEvent> {
        let behind: Vec<Position> = (0..stretch.events.len())
            .map(|at| stretch.position_behind(at))
            .collect();
        let device = self.gateway.settings.device.as_deref();
        let last = stretch.events.last().map(|(_, event)| millis_of(event.id));
        let entries = stretch.events.into_iter().zip(behind);
        let mut entries: Vec<SeenEvent> = entries
            .map(|((xid, event), behind)| SeenEvent {
                event: Arc::new(LogEvent::new(xid, event, device)),
                behind,
            })
            .collect();
        entries.retain(|entry| self.topic.matches(&entry.event));
        self.reach(stretch.end, last.unwrap_or(self.as_of_ms));
        self.above_floor(entries)
    }

    /// Takes away what is too much at a time; the position is behind the rest then.
    fn cut(&mut self, entries: &mut Vec<SeenEvent>) {
        let mut bytes = 0;
        let fit = entries.iter().take_while(|entry| {
            bytes += entry.event.event.data.len();
            bytes <= MOST_BYTES
        });
        let fit = fit.count().max(1);
        if fit < entries.len() {
            entries.truncate(fit);
            if let Some(last) = entries.last() {
                self.reach(last.behind.clone(), millis(last));
            }
            self.is_behind = true;
        }
    }

    fn above_floor(&self, mut entries: Vec<SeenEvent>) -> Vec<SeenEvent> {
        entries.retain(|entry| entry.event.event.id >= self.floor);
        entries
    }
}

fn size(entry: &SeenEvent) -> usize {
    TIMES * entry.event.event.data.len() + AROUND
}

fn millis(entry: &SeenEvent) -> u64 {
    millis_of(entry.event.event.id)
}

/// The time in a UUID of version 7.
fn millis_of(id: Uuid) -> u64 {
    u64::try_from(id.as_u128() >> 80).unwrap_or_default()
}
