//! A small HTTP receiver to try things with: for people (`posthorn receiver`), for the
//! demo, and inside the tests and benches.
//!
//! It answers every path as it was told (`behaviour`), counts what arrives and how many
//! requests were in the air at once (`endpoint`), and keeps or passes on what it
//! received if asked to (`received`).

mod behaviour;
mod endpoint;
mod received;
mod serve;
mod tally;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

pub use behaviour::{Behaviour, BehaviourError, Reply, Rule, Step};
pub use endpoint::Endpoint;
pub use received::Received;
pub use tally::TooFew;

use endpoint::Endpoints;
use received::Log;
use tally::Tally;

/// A listening receiver. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    state: Arc<State>,
    accepting: AbortHandle,
}

/// What all connections share.
#[derive(Debug, Default)]
struct State {
    endpoints: Endpoints,
    log: Log,
    total: Tally,
}

impl Receiver {
    /// Listens, and answers on the current runtime; port 0 lets the kernel choose.
    /// Every path answers 200 with an empty body until [`Receiver::on`] says otherwise.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let accepting = tokio::spawn(serve::accept(listener, Arc::clone(&state))).abort_handle();
        Ok(Self {
            address,
            state,
            accepting,
        })
    }

    /// The address on which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path here, such as `http://127.0.0.1:8080/hook` for `/hook`.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Answers a path, and what is below it, in this way from now on. The counters of a
    /// path that had a behaviour already go on; the steps of the behaviour start anew.
    pub fn on(&self, path: &str, behaviour: Behaviour) -> Arc<Endpoint> {
        self.state.endpoints.on(path, behaviour)
    }

    /// The endpoint that answers a path; `/` is the one of all paths without their own.
    #[must_use]
    pub fn endpoint(&self, path: &str) -> Arc<Endpoint> {
        self.state.endpoints.of(path)
    }

    /// Every endpoint that was set up, and `/`, by path.
    #[must_use]
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.state.endpoints.all()
    }

    /// Keeps the last `limit` requests from now on. Off at first, as it costs a lock.
    pub fn record(&self, limit: usize) {
        self.state.log.keep(limit);
    }

    /// The requests that were kept, in order of arrival; empty without [`Self::record`].
    #[must_use]
    pub fn requests(&self) -> Vec<Arc<Received>> {
        self.state.log.kept()
    }

    /// Passes every request on from now on, instead of keeping it. A full channel makes
    /// the senders wait for their answer.
    #[must_use]
    pub fn watch(&self) -> mpsc::Receiver<Arc<Received>> {
        self.state.log.pass_on()
    }

    /// How many requests have arrived whole, over all paths.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.state.total.count()
    }

    /// Waits until this many requests have arrived in all, those before the call included.
    pub async fn wait_for(&self, requests: u64, within: Duration) -> Result<(), TooFew> {
        self.state.total.wait_for(requests, within).await
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        // The connections are tasks of the accepting task's set, and end with it.
        self.accepting.abort();
    }
}
