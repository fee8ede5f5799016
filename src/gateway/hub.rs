//! The newest events in memory, and who is to be woken for them: one reader fills it, every
//! client of the process looks into it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use tokio::sync::watch;

use super::cursor::ClusterMark;
use super::position::{Position, Stretch};
use super::topic::{Keys, LogEvent, Topic};

/// Events that a client is given at a time, and bytes of their data; one at least.
const MOST: usize = super::position::STRETCH as usize;
pub const MOST_BYTES: usize = 256 * 1024;

/// What memory may hold.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub events: usize,
    pub bytes: usize,
}

#[derive(Debug)]
pub struct Hub {
    room: Room,
    keys: Keys,
    log: RwLock<Log>,
    topics: Mutex<HashMap<u64, watch::Sender<()>>>,
}

#[derive(Debug, Default)]
struct Log {
    /// The cluster that the positions belong to; none until the reader has read for the first time.
    cluster: Option<ClusterMark>,
    /// Whether the hub has been read up to the present: until then nobody is told anything.
    is_current: bool,
    taken_ms: u64,
    /// Each begins where the one before it ends.
    stretches: VecDeque<Arc<Kept>>,
    /// The position where the oldest event begins, and the one where the newest ends.
    start: Option<Position>,
    head: Option<Position>,
    events: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    end: Position,
    events: Vec<SeenEvent>,
}

/// An event with the position of a reader that has just seen it.
#[derive(Clone, Debug)]
pub struct SeenEvent {
    pub event: Arc<LogEvent>,
    pub behind: Position,
}

/// What the hub knows of a position.
#[derive(Debug)]
pub enum Look {
    /// There are new events; `end` is behind them. Where they were cut, there are more.
    New {
        entries: Vec<SeenEvent>,
        end: Position,
        is_cut: bool,
    },
    /// Nothing is new, up to here.
    Nothing(Position),
    /// The position lies too far back, or the reader has not read yet: the database knows.
    Unknown,
}

impl Hub {
    #[must_use]
    pub fn new(room: Room) -> Self {
        Self {
            room,
            keys: Keys::default(),
            log: RwLock::default(),
            topics: Mutex::default(),
        }
    }

    /// Begins anew at a position of this cluster: what is held does not join on to it.
    pub fn restart(&self, cluster: ClusterMark, at: Position, taken_ms: u64) {
        let mut log = self.write();
        *log = Log {
            cluster: Some(cluster),
            taken_ms,
            start: Some(at.clone()),
            head: Some(at),
            ..Log::default()
        };
        drop(log);
        for listeners in self.topics().values() {
            listeners.send_replace(());
        }
    }

    /// Takes the stretch behind the head, and wakes who listens to its events.
    pub fn add(&self, stretch: Stretch, device: Option<&str>, taken_ms: u64) {
        let behind: Vec<Position> = (0..stretch.events.len())
            .map(|at| stretch.position_behind(at))
            .collect();
        let events: Vec<SeenEvent> = stretch
            .events
            .into_iter()
            .zip(behind)
            .map(|((xid, event), behind)| SeenEvent {
                event: Arc::new(LogEvent::new(xid, event, device)),
                behind,
            })
            .collect();
        let kept = Arc::new(Kept {
            end: stretch.end,
            events,
        });
        self.keep(&kept, stretch.is_all, taken_ms);
        if kept.events.is_empty() {
            return;
        }
        let topics = self.topics();
        for entry in &kept.events {
            for key in self.keys.of_event(&entry.event) {
                if let Some(listeners) = topics.get(&key) {
                    listeners.send_replace(());
                }
            }
        }
    }

    fn keep(&self, kept: &Arc<Kept>, is_all: bool, taken_ms: u64) {
        let mut log = self.write();
        log.taken_ms = taken_ms;
        log.is_current |= is_all;
        log.head = Some(kept.end.clone());
        if kept.events.is_empty() {
            // Where nothing happened, the newest stretch just reaches further.
            if log.stretches.is_empty() {
                log.start = Some(kept.end.clone());
            }
            return;
        }
        log.events += kept.events.len();
        log.bytes += kept.bytes();
        log.stretches.push_back(Arc::clone(kept));
        while log.stretches.len() > 1
            && (log.events > self.room.events || log.bytes > self.room.bytes)
        {
            if let Some(oldest) = log.stretches.pop_front() {
                log.events -= oldest.events.len();
                log.bytes -= oldest.bytes();
                log.start = Some(oldest.end.clone());
            }
        }
    }

    /// The cluster that its positions belong to, and the time of its head in milliseconds; none
    /// before the hub has been read up to the present.
    #[must_use]
    pub fn moment(&self) -> Option<(ClusterMark, u64)> {
        let log = self.read();
        let cluster = log.cluster.filter(|_| log.is_current)?;
        Some((cluster, log.taken_ms))
    }

    #[must_use]
    pub fn head(&self) -> Option<Position> {
        self.read().head.clone()
    }

    /// Whoever listens is woken by each new event of the topic from now on.
    #[must_use]
    pub fn listen(self: &Arc<Self>, topic: &Topic) -> Listener {
        let key = self.keys.of(topic);
        let woken = self
            .topics()
            .entry(key)
            .or_insert_with(|| watch::Sender::new(()))
            .subscribe();
        Listener {
            hub: Arc::clone(self),
            key,
            woken: Some(woken),
        }
    }

    /// What is new of a topic since a position.
    #[must_use]
    pub fn look(&self, at: &Position, topic: &Topic) -> Look {
        let (stretches, head) = {
            let log = self.read();
            let (Some(start), Some(head)) = (&log.start, &log.head) else {
                return Look::Unknown;
            };
            if !at.includes(start) || !(head.includes(at) || at.includes(head)) {
                return Look::Unknown;
            }
            let newer = log.stretches.iter().rev();
            let newer = newer.take_while(|kept| !at.includes(&kept.end)).cloned();
            (newer.collect::<Vec<_>>(), head.clone())
        };
        let mut entries: Vec<SeenEvent> = Vec::new();
        let mut bytes = 0;
        for kept in stretches.iter().rev() {
            for entry in &kept.events {
                let LogEvent { xid, event, .. } = &*entry.event;
                if !topic.matches(&entry.event) || at.has_seen(*xid, event.id) {
                    continue;
                }
                bytes += event.data.len();
                if let Some(last) = entries.last()
                    && (entries.len() == MOST || bytes > MOST_BYTES)
                {
                    let end = last.behind.clone();
                    return Look::New {
                        entries,
                        end,
                        is_cut: true,
                    };
                }
                entries.push(entry.clone());
            }
        }
        let end = if head.includes(at) { head } else { at.clone() };
        if entries.is_empty() {
            Look::Nothing(end)
        } else {
            Look::New {
                entries,
                end,
                is_cut: false,
            }
        }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Log> {
        self.log.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Log> {
        self.log.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<u64, watch::Sender<()>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        let size = |entry: &SeenEvent| entry.event.event.data.len();
        self.events.iter().map(size).sum()
    }
}

/// Wakes for the events of one topic.
#[derive(Debug)]
pub struct Listener {
    hub: Arc<Hub>,
    key: u64,
    /// Wakes the client; none only while it is dropped.
    woken: Option<watch::Receiver<()>>,
}

impl Listener {
    /// Events from here on wake it; those before do not any more.
    pub fn reset(&mut self) {
        if let Some(woken) = &mut self.woken {
            woken.mark_unchanged();
        }
    }

    /// Resolves when there may be something new since `reset`.
    pub async fn woken(&mut self) {
        if let Some(woken) = &mut self.woken {
            // The hub keeps the sender for as long as there is a receiver.
            let _ = woken.changed().await;
        }
    }
}

/// The last listener of a topic takes it away.
impl Drop for Listener {
    fn drop(&mut self) {
        let mut topics = self.hub.topics();
        self.woken = None;
        if topics
            .get(&self.key)
            .is_some_and(|listeners| listeners.receiver_count() == 0)
        {
            topics.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests;
