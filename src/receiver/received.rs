//! The requests themselves, for those who want to look at them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::sync::mpsc;

use super::behaviour::Reply;

/// How many requests may wait to be looked at before senders have to wait too.
const WATCH_CAPACITY: usize = 1024;

/// One request that arrived whole.
#[derive(Clone)]
pub struct Received {
    /// When the last byte of the request was here.
    pub arrived: Instant,
    /// The HTTP method.
    pub method: Method,
    /// The path, with the query if there is one.
    pub path_and_query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, up to what is kept of one.
    pub body: Bytes,
    /// What the sender will get for it.
    pub reply: Reply,
}

/// Leaves out headers and body, which carry credentials and payload.
impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("method", &self.method)
            .field("path_and_query", &self.path_and_query)
            .field("body_bytes", &self.body.len())
            .field("reply", &self.reply)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
pub(super) struct Log(ArcSwap<Mode>);

#[derive(Debug, Default)]
enum Mode {
    #[default]
    CountOnly,
    Keep {
        limit: usize,
        last: Mutex<VecDeque<Arc<Received>>>,
    },
    PassOn(mpsc::Sender<Arc<Received>>),
}

impl Log {
    pub fn keep(&self, limit: usize) {
        let last = Mutex::default();
        self.0.store(Arc::new(Mode::Keep { limit, last }));
    }

    pub fn pass_on(&self) -> mpsc::Receiver<Arc<Received>> {
        let (sender, receiver) = mpsc::channel(WATCH_CAPACITY);
        self.0.store(Arc::new(Mode::PassOn(sender)));
        receiver
    }

    pub fn kept(&self) -> Vec<Arc<Received>> {
        match &**self.0.load() {
            Mode::Keep { last, .. } => {
                let last = last.lock().unwrap_or_else(PoisonError::into_inner);
                last.iter().cloned().collect()
            }
            Mode::CountOnly | Mode::PassOn(_) => vec![],
        }
    }

    /// Whether anybody wants the requests: if not, their bodies are not even kept.
    pub fn wants_requests(&self) -> bool {
        !matches!(**self.0.load(), Mode::CountOnly)
    }

    pub async fn take(&self, request: Received) {
        let mode = self.0.load_full();
        match &*mode {
            Mode::CountOnly => {}
            Mode::Keep { limit, last } => {
                let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
                last.push_back(Arc::new(request));
                if last.len() > *limit {
                    last.pop_front();
                }
            }
            // A watcher that is gone has seen enough.
            Mode::PassOn(watcher) => drop(watcher.send(Arc::new(request)).await),
        }
    }
}
