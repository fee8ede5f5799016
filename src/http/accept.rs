//! Taking connections, until told to stop.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How a server takes its connections.
#[derive(Clone, Copy, Debug)]
pub struct Accepting {
    /// What they are for, in the log.
    pub what: &'static str,
    /// Beyond so many clients wait in the listener's queue.
    pub most: usize,
    /// After a failed accept, such as one for want of file descriptors: trying again at once
    /// would only spin.
    pub pause: Duration,
    /// For the answers under way once it is told to stop.
    pub grace: Duration,
}

impl Accepting {
    /// Converses with each client until `stop`, then waits for the conversations to end, and
    /// ends those that do not.
    pub async fn run<C>(
        self,
        listener: TcpListener,
        stop: CancellationToken,
        converse: impl Fn(TcpStream, SocketAddr) -> C,
    ) where
        C: Future<Output = ()> + Send + 'static,
    {
        let Self {
            what,
            most,
            pause,
            grace,
        } = self;
        let mut connections = JoinSet::new();
        loop {
            let room = connections.len() < most;
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if room => match accepted {
                    Ok((stream, peer)) => {
                        connections.spawn(converse(stream, peer));
                    }
                    Err(error) => {
                        warn!(%error, "cannot accept a connection for {what}");
                        tokio::time::sleep(pause).await;
                    }
                }
            }
        }
        drop(listener);
        let ended = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, ended).await.is_err() {
            debug!("closing connections for {what} that do not end");
        }
    }
}
