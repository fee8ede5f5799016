//! The loop that reads the log into the hub: the one reader of the process, however many
//! clients it has.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::Gateway;
use super::cursor::ClusterMark;
use super::position::{Position, STRETCH};
use crate::feed::floor::Floor;
use crate::feed::poll::Poll;
use crate::flow::{AWAY, STATEMENT};
use crate::http::Health;
use crate::model::cluster::tables_of;
use crate::store::log::current_snapshot;
use crate::store::merchant_feed::{LogPage, read_log, snapshot_before};
use crate::store::shards::cluster_and_time;
use crate::store::{Pool, StoreError, within};

pub struct Reader {
    pub gateway: Arc<Gateway>,
    /// A connection of the reader's own: it must not wait behind its clients' questions.
    pub pool: Pool,
    pub health: Health,
    pub poll_min: Duration,
    pub poll_max: Duration,
}

/// The place where the reading stands.
struct Place {
    cluster: String,
    position: Position,
    floor: Floor,
    revision: Option<i64>,
    /// Whether memory has been filled up to the present.
    is_current: bool,
    /// When the log was read last.
    read_at: Instant,
}

/// How long it does to look whether any transaction has begun or ended: of another cluster,
/// only a page of the log tells.
const SURE: Duration = Duration::from_secs(1);

impl Reader {
    /// Reads until the gateway stops.
    pub async fn run(self) {
        let stop = self.gateway.stop.clone();
        stop.run_until_cancelled(self.read()).await;
    }

    async fn read(&self) {
        let mut poll = Poll::new(self.poll_min, self.poll_max, Instant::now());
        let mut place: Option<Place> = None;
        let mut away = false;
        loop {
            let began = Instant::now();
            let pause = match self.step(&mut place).await {
                Ok(step) => {
                    if std::mem::take(&mut away) {
                        info!("the database is back");
                    }
                    let pause = poll.pause(step.found, began, Instant::now());
                    if step.is_all { pause } else { Duration::ZERO }
                }
                Err(error) => {
                    self.gateway.metrics.database_error();
                    self.health.set_database(false);
                    if !std::mem::replace(&mut away, true) {
                        warn!(%error, "the gateway cannot read events; trying until the database is back");
                    }
                    AWAY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn step(&self, place: &mut Option<Place>) -> Result<Step, StoreError> {
        let here = match place {
            Some(here) => here,
            None => place.insert(self.begin().await?),
        };
        if self.is_nothing_new(here).await? {
            return Ok(Step {
                found: false,
                is_all: true,
            });
        }
        here.read_at = Instant::now();
        let hub = &self.gateway.hub;
        let part = here.position.part();
        let floor = here.floor.for_window(&here.position.from);
        self.gateway.metrics.gateway().query();
        let read = read_log(&self.pool, &part, floor, i64::from(STRETCH));
        let LogPage {
            page,
            revision,
            cluster,
            now,
        } = within(STATEMENT, read).await?;
        if cluster != here.cluster {
            self.is_another(&cluster, &here.cluster);
            *place = None;
            return Ok(Step {
                found: true,
                is_all: false,
            });
        }
        self.gateway.clock.anchor(Instant::now(), now);
        if here.revision.replace(revision) != Some(revision) {
            self.gateway.access.forget();
        }
        let stretch = here.position.stretch(page);
        let step = Step {
            found: !stretch.events.is_empty(),
            is_all: stretch.is_all,
        };
        here.position = stretch.end.clone();
        if step.is_all {
            here.is_current = true;
            self.health.set_database(true);
            here.floor.pass(now, &here.position.from);
        }
        // What memory is filled with at the beginning is not late.
        let news = here.is_current.then_some(&stretch.events);
        for (_, event) in news.into_iter().flatten() {
            let delay = (now - event.created_at).to_std().unwrap_or_default();
            self.gateway.metrics.gateway().read(delay);
        }
        let now_ms = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        hub.add(stretch, self.gateway.settings.device.as_deref(), now_ms);
        Ok(step)
    }

    /// Transaction ids say nothing of what was seen any more.
    fn is_another(&self, cluster: &str, before: &str) {
        if tables_of(cluster) == tables_of(before) {
            info!(
                "the server was restarted, or a standby took over; clients go on by the time of what they saw"
            );
        } else {
            // Its tokens, and the key of its clients' positions, are others too.
            warn!("another database is where the gateway's was; starting over with that one");
            self.gateway.stop.cancel();
        }
    }

    /// Whether no transaction has begun or ended since everything was read.
    async fn is_nothing_new(&self, here: &Place) -> Result<bool, StoreError> {
        if !here.is_current || here.read_at.elapsed() >= SURE {
            return Ok(false);
        }
        self.gateway.metrics.gateway().query();
        let now = within(STATEMENT, current_snapshot(&self.pool)).await?;
        Ok(here.position == Position::at(now))
    }

    /// Some way back: half of what memory holds. When a gateway has died, the clients that it
    /// had find their positions in the memory of another one, or of its successor.
    async fn begin(&self) -> Result<Place, StoreError> {
        let (cluster, now) = within(STATEMENT, cluster_and_time(&self.pool)).await?;
        let back = i64::try_from(self.gateway.settings.memory_events / 2).unwrap_or(i64::MAX);
        self.gateway.metrics.gateway().query();
        let snapshot = within(STATEMENT, snapshot_before(&self.pool, back)).await?;
        let now_ms = u64::try_from(now.timestamp_millis()).unwrap_or_default();
        let position = Position::at(snapshot);
        let mark = ClusterMark::of(&cluster);
        self.gateway.hub.restart(mark, position.clone(), now_ms);
        Ok(Place {
            cluster,
            position,
            floor: Floor::default(),
            revision: None,
            is_current: false,
            read_at: Instant::now(),
        })
    }
}

struct Step {
    found: bool,
    is_all: bool,
}
