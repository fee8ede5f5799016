//! The paths that have a behaviour of their own, and what each of them counts.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;

use super::behaviour::Behaviour;
use super::tally::{Tally, TooFew};

/// One path and what is below it, except where a longer path has its own.
#[derive(Debug)]
pub struct Endpoint {
    path: String,
    behaviour: ArcSwap<Behaviour>,
    tally: Tally,
    in_flight: AtomicU64,
    max_in_flight: AtomicU64,
}

impl Endpoint {
    fn new(path: &str, behaviour: Behaviour) -> Self {
        Self {
            path: path.to_owned(),
            behaviour: ArcSwap::from_pointee(behaviour),
            tally: Tally::default(),
            in_flight: AtomicU64::new(0),
            max_in_flight: AtomicU64::new(0),
        }
    }

    /// The path that it answers.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Answers in this way from the next request on; those that wait already are not changed.
    pub fn behave(&self, behaviour: Behaviour) {
        self.behaviour.store(Arc::new(behaviour));
    }

    /// How many requests have arrived whole.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.tally.count()
    }

    /// How many requests are waiting for their answer now.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// The most requests that were ever here at once. An answered request stops counting
    /// before its answer leaves, so a sender within its limit is never counted above it.
    /// One that the sender gave up counts until its connection is seen to be closed.
    #[must_use]
    pub fn max_in_flight(&self) -> u64 {
        self.max_in_flight.load(Ordering::SeqCst)
    }

    /// Waits until this many requests have arrived on this path, those before the call included.
    pub async fn wait_for(&self, requests: u64, within: Duration) -> Result<(), TooFew> {
        self.tally.wait_for(requests, within).await
    }

    pub(super) fn behaviour(&self) -> Arc<Behaviour> {
        self.behaviour.load_full()
    }

    pub(super) fn count(&self) {
        self.tally.add_one();
    }

    pub(super) fn enter(&self) -> InFlight<'_> {
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.max_in_flight.fetch_max(now, Ordering::SeqCst);
        InFlight(self)
    }
}

/// Held while a request waits for its answer, however that ends.
pub(super) struct InFlight<'a>(&'a Endpoint);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The endpoints by path: read by every request without a lock; copied by the rare change.
#[derive(Debug)]
pub(super) struct Endpoints {
    root: Arc<Endpoint>,
    by_path: ArcSwap<HashMap<String, Arc<Endpoint>>>,
}

impl Default for Endpoints {
    fn default() -> Self {
        Self {
            root: Arc::new(Endpoint::new("/", Behaviour::status(StatusCode::OK))),
            by_path: ArcSwap::default(),
        }
    }
}

impl Endpoints {
    pub fn on(&self, path: &str, behaviour: Behaviour) -> Arc<Endpoint> {
        let path = path.trim_end_matches('/');
        if let Some(known) = self.exactly(path) {
            known.behave(behaviour);
            return known;
        }
        let new = Arc::new(Endpoint::new(path, behaviour));
        self.by_path.rcu(|by_path| {
            let mut by_path = HashMap::clone(by_path);
            by_path.insert(path.to_owned(), Arc::clone(&new));
            by_path
        });
        new
    }

    fn exactly(&self, path: &str) -> Option<Arc<Endpoint>> {
        if path.is_empty() {
            return Some(Arc::clone(&self.root));
        }
        self.by_path.load().get(path).cloned()
    }

    /// The endpoint that answers the path. Whole segments count: `/a` answers `/a/b`, and not
    /// `/ab`.
    pub fn of(&self, path: &str) -> Arc<Endpoint> {
        let by_path = self.by_path.load();
        let mut prefix = path.trim_end_matches('/');
        while !prefix.is_empty() && !by_path.is_empty() {
            if let Some(endpoint) = by_path.get(prefix) {
                return Arc::clone(endpoint);
            }
            prefix = prefix.rsplit_once('/').map_or("", |(shorter, _)| shorter);
        }
        Arc::clone(&self.root)
    }

    pub fn all(&self) -> Vec<Arc<Endpoint>> {
        let mut all: Vec<_> = self.by_path.load().values().cloned().collect();
        all.push(Arc::clone(&self.root));
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_of_whole_segments_answers() {
        let endpoints = Endpoints::default();
        for path in ["/a", "/a/b/", "/deep/down"] {
            endpoints.on(path, Behaviour::hang());
        }
        for (path, expected) in [
            ("/a", "/a"),
            ("/a/", "/a"),
            ("/a/c/d", "/a"),
            ("/a/b/c", "/a/b"),
            ("/ab", "/"),
            ("/deep", "/"),
            ("/deep/down", "/deep/down"),
            ("/", "/"),
            ("*", "/"),
        ] {
            assert_eq!(endpoints.of(path).path(), expected, "{path}");
        }
    }
}
