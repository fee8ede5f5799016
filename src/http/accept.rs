//! Taking connections, until told to stop.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::seats::{Seat, Seats};

/// How a server takes its connections.
#[derive(Clone, Copy, Debug)]
pub struct Accepting {
    /// What the connections are for, as the log has it.
    pub what: &'static str,
    /// The most connections at once.
    pub most: usize,
    /// The most connections at once of one address (of IPv6, a /64).
    pub most_of_address: usize,
    /// How long to wait after a failed accept, such as one for want of file descriptors: trying
    /// again at once would only spin.
    pub pause: Duration,
    /// How long the answers under way may take once the server is told to stop.
    pub grace: Duration,
}

/// What a server does with its connections.
pub trait Host {
    /// Whether an address stands for many clients, as a proxy does.
    fn stands_for_many(&self, address: IpAddr) -> bool;

    /// Converses with a client until it or its seat is gone. The seat may outlive the conversation,
    /// with what became of the connection.
    fn converse(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        seat: Seat,
    ) -> impl Future<Output = ()> + Send + 'static;

    /// Takes leave of a client for whom there is no seat.
    fn turn_away(&self, stream: TcpStream);
}

impl Accepting {
    /// Converses with each client until `stop`, then waits for the conversations to end, and
    /// ends those that do not.
    pub async fn run(self, listener: TcpListener, stop: CancellationToken, host: impl Host) {
        let Self {
            what,
            most,
            most_of_address,
            pause,
            grace,
        } = self;
        let seats = Seats::new(most, most_of_address);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let address = peer.ip();
                        match seats.take(address, host.stands_for_many(address)) {
                            Some(seat) => {
                                connections.spawn(host.converse(stream, peer, seat));
                            }
                            None => host.turn_away(stream),
                        }
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
