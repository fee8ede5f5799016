//! Makes connections, and is the one place that does: a name is looked up, every address
//! that it has is vetted, and one of those very addresses is dialled. A name that is bound
//! anew in between has no window, and no other code has a socket to open.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, ProtocolVersion};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tower_service::Service;

use super::dial::{self, Dial, DialError, Targets, any, first_to_open};
use super::egress::{Channel, EgressPolicy, Refusal};
use super::meter::Metered;
use super::proxy::Proxy;
use super::resolver::{LookupError, Names};
use crate::model::subscription::Exit;
use crate::model::{Peer, TlsVersion};

/// The share of the connect timeout that a look-up may take: what fails then is said to be the
/// look-up.
const LOOK_UP_SHARE: f64 = 0.8;

/// What the operator says of the network that requests go out to.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// To which addresses requests may go.
    pub policy: EgressPolicy,
    /// The name servers to ask; empty for the system's.
    pub name_servers: Vec<SocketAddr>,
    /// The proxies, by the name that subscriptions have in `proxy_pool`.
    pub proxy_pools: HashMap<String, Vec<Proxy>>,
}

/// What all connectors share: the network, and how names and addresses are reached.
pub(super) struct Outside {
    pub(super) policy: EgressPolicy,
    names: Names,
    proxy_pools: HashMap<String, Vec<Proxy>>,
    dial: Dial,
}

impl Outside {
    pub(super) fn new(network: Network) -> Self {
        Self::dialling(network, dial::tcp())
    }

    pub(super) fn dialling(network: Network, dial: Dial) -> Self {
        Self {
            names: Names::new(&network.name_servers),
            policy: network.policy,
            proxy_pools: network.proxy_pools,
            dial,
        }
    }
}

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no connection. The message names hosts, addresses and causes, never a URL.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the name look-up failed: {0}")]
    Lookup(#[from] LookupError),
    #[error("no connection: {0}")]
    Dial(#[from] DialError),
    #[error("no connection to the proxy {0}: {1}")]
    NoProxy(String, Box<ConnectError>),
    #[error("no way through the proxy {0}: {1}")]
    Proxy(String, BoxError),
    #[error("no connection within the connect timeout")]
    Late,
}

/// Connects to the host of a URI by TCP.
#[derive(Clone)]
pub(super) struct Vetting {
    outside: Arc<Outside>,
    exit: Exit,
    limit: Duration,
}

impl Vetting {
    async fn connect(self, target: Uri) -> Result<TokioIo<Metered>, ConnectError> {
        let found_by = Instant::now() + self.limit.mul_f64(LOOK_UP_SHARE);
        let vetted = self.vetted(&target, found_by).await?;
        let metered = match &self.exit.proxy_pool {
            None => {
                let stream = self.dial(vetted).await?;
                let address = dialled(&stream)?;
                Metered::new(stream, address, None)
            }
            Some(pool) => self.through(pool, &vetted.ready, found_by).await?,
        };
        Ok(TokioIo::new(metered))
    }

    /// Looks up the host's addresses, all of which the policy allows. One that it forbids spoils
    /// those that were found with it: they may be bait.
    async fn vetted(&self, target: &Uri, found_by: Instant) -> Result<Targets, ConnectError> {
        let scheme = target.scheme_str().unwrap_or_default();
        let channel = Channel::of(scheme).ok_or(Refusal::Scheme)?;
        let host = target.host().ok_or(Refusal::NoHost)?;
        let port = target.port_u16().unwrap_or(match channel {
            Channel::Tls => 443,
            Channel::Plain => 80,
        });
        let outside = Arc::clone(&self.outside);
        let vet = move |found: &[SocketAddr]| {
            let mut found = found.iter();
            found.try_for_each(|&address| outside.policy.check(address, channel))
        };
        let found = self.addresses(host, port, found_by).await?;
        vet(&found.ready)?;
        let late = found.late.map(|late| {
            late.map(move |found| found.and_then(|found| vet(&found).map(|()| found)))
                .boxed()
        });
        Ok(Targets { late, ..found })
    }

    async fn addresses(
        &self,
        host: &str,
        port: u16,
        found_by: Instant,
    ) -> Result<Targets, LookupError> {
        let at_port = move |found: Vec<IpAddr>| {
            let found = found.into_iter();
            found
                .map(|address| SocketAddr::new(address, port))
                .collect()
        };
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse::<IpAddr>() {
            return Ok(Targets {
                ready: at_port(vec![address]),
                late: None,
            });
        }
        let found = self.outside.names.look_up(host, found_by).await?;
        let late = found.late;
        Ok(Targets {
            ready: at_port(found.addresses),
            late: late.map(|late| late.map(move |found| Ok(at_port(found))).boxed()),
        })
    }

    async fn dial(&self, targets: Targets) -> Result<TcpStream, DialError> {
        first_to_open(&self.outside.dial, targets, &self.exit.source_addresses).await
    }

    /// Connects through a proxy of the pool, any one, so that all are used alike; the retry of a
    /// delivery takes another one by and by.
    async fn through(
        &self,
        pool: &str,
        vetted: &[SocketAddr],
        found_by: Instant,
    ) -> Result<Metered, ConnectError> {
        let proxies = self.outside.proxy_pools.get(pool);
        let proxy = proxies
            .and_then(|proxies| any(proxies.iter()))
            .ok_or_else(|| Refusal::NoProxyPool(pool.to_owned()))?;
        let unreachable =
            |cause: ConnectError| ConnectError::NoProxy(proxy.to_string(), Box::new(cause));
        let at = self.addresses(&proxy.host, proxy.port, found_by).await;
        let at = at.map_err(|error| unreachable(error.into()))?;
        let stream = self
            .dial(at)
            .await
            .map_err(|error| unreachable(error.into()))?;
        let at = dialled(&stream)?;
        let target = any(vetted.iter()).ok_or(LookupError::NoAddress)?;
        let tunnel = proxy
            .tunnel(stream, *target)
            .await
            .map_err(|error| ConnectError::Proxy(proxy.to_string(), error))?;
        Ok(Metered::new(tunnel, target.ip(), Some(at)))
    }
}

/// The very address that a connection was made to.
fn dialled(stream: &TcpStream) -> Result<IpAddr, DialError> {
    Ok(stream.peer_addr()?.ip())
}

impl Service<Uri> for Vetting {
    type Response = TokioIo<Metered>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        self.clone().connect(target).boxed()
    }
}

/// A connection to a receiver, by TLS or without.
pub(super) type Stream = TokioIo<MaybeHttpsStream<TokioIo<Metered>>>;

/// Connects to the host of a URI, by TLS where the URI says so, within the connect timeout.
#[derive(Clone)]
pub(super) struct Connector {
    https: HttpsConnector<Vetting>,
    limit: Duration,
}

impl Connector {
    pub(super) fn new(
        outside: Arc<Outside>,
        exit: Exit,
        tls: ClientConfig,
        limit: Duration,
    ) -> Self {
        Self {
            https: HttpsConnector::from((
                Vetting {
                    outside,
                    exit,
                    limit,
                },
                tls,
            )),
            limit,
        }
    }

    /// Makes a new connection to the host of a URI, and tells where it leads.
    pub(super) async fn connect(&self, target: Uri) -> Result<(Stream, Peer), BoxError> {
        let connecting = timeout(self.limit, self.https.clone().call(target));
        let stream = connecting.await.map_err(|_| ConnectError::Late)??;
        let peer = peer(&stream);
        Ok((TokioIo::new(stream), peer))
    }
}

/// The other end of a connection, known whole once the handshake is over.
fn peer(stream: &MaybeHttpsStream<TokioIo<Metered>>) -> Peer {
    let tls = match stream {
        MaybeHttpsStream::Http(tcp) => return tcp.inner().peer,
        MaybeHttpsStream::Https(tls) => tls,
    };
    let (tcp, session) = tls.inner().get_ref();
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => TlsVersion::V1_2,
        // The only other one that is allowed.
        _ => TlsVersion::V1_3,
    };
    Peer {
        tls: Some(version),
        ..tcp.inner().inner().peer
    }
}
