//! Looks names up. What it finds is vetted by the connector, its only caller.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, select};
use futures::stream;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::warn;

use super::in_turn::first_to_succeed;

/// The most look-ups over TCP that one name server is asked at a time, where its answer did not fit
/// into a datagram. More than a worker has in the air is as good as no limit.
const TCP_LOOKUPS: usize = 4096;

/// How long the addresses of one family wait for those of the other (RFC 8305, section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// Why a name has no addresses; the worse stand behind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(super) enum LookupError {
    #[error("the name does not exist or has no address")]
    NoAddress,
    #[error("it is not a name that the DNS can hold")]
    NotAName,
    #[error("the name servers cannot say")]
    Server,
    #[error("no name server answers in time")]
    Timeout,
}

type Addresses = Result<Vec<IpAddr>, LookupError>;

/// What a name has.
pub(super) struct Found {
    /// The addresses that were found, at least one.
    pub(super) addresses: Vec<IpAddr>,
    /// The other family's, where its look-up takes longer; none where it fails.
    pub(super) late: Option<BoxFuture<'static, Vec<IpAddr>>>,
}

/// Asks the DNS, and the system's hosts file.
///
/// Not the system's resolver: that blocks a thread for as long as a name server likes, so
/// that the slow names of one merchant could take every thread that look-ups have. Answers
/// are used once and never kept.
pub(super) struct Names {
    /// A resolver for each name server. A name server that is silent or broken then costs the next
    /// one's head start; asked together, its refusal would count like an answer.
    servers: Vec<TokioResolver>,
    /// What a short name can stand in.
    domains: Vec<Name>,
    /// A name with so many dots is looked up as it is before it is looked for in the domains.
    dots: usize,
}

impl Names {
    /// Asks these name servers, or the system's where none are given.
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        let (config, mut options) = if servers.is_empty() {
            system()
        } else {
            (of_servers(servers), ResolverOpts::default())
        };
        options.cache_size = 0;
        options.positive_max_ttl = Some(Duration::ZERO);
        options.negative_max_ttl = Some(Duration::ZERO);
        options.max_active_requests = TCP_LOOKUPS;
        let domains = config.domain().into_iter().chain(config.search());
        Self {
            domains: domains.cloned().collect(),
            dots: options.ndots,
            servers: config
                .name_servers()
                .iter()
                .map(|server| resolver(server, &options))
                .collect(),
        }
    }

    /// Every IPv4 and IPv6 address of the name, at least one. A family that has not been
    /// found at `deadline` is none.
    pub(super) async fn look_up(
        &self,
        name: &str,
        deadline: Instant,
    ) -> Result<Found, LookupError> {
        let candidates = self.candidates(name)?;
        let looking = async {
            for candidate in candidates {
                match self.families(&candidate, deadline).await {
                    // Only a name that is sure not to be there is looked for elsewhere: who
                    // answers for a domain with a wildcard is not who was meant.
                    Err(LookupError::NoAddress) => {}
                    ended => return ended,
                }
            }
            Err(LookupError::NoAddress)
        };
        timeout_at(deadline, looking)
            .await
            .unwrap_or(Err(LookupError::Timeout))
    }

    /// The full names that a name can mean, in the order of `resolv.conf(5)`.
    fn candidates(&self, name: &str) -> Result<Vec<Name>, LookupError> {
        // Already in ASCII. Nothing more is asked of it than that the DNS can hold it: many
        // a receiver has an underscore in its name.
        let name = Name::from_ascii(name).map_err(|_| LookupError::NotAName)?;
        let mut full = name.clone();
        full.set_fqdn(true);
        if name.is_fqdn() {
            return Ok(vec![full]);
        }
        let within = |domain: &Name| name.clone().append_domain(domain).ok();
        let mut candidates: Vec<_> = self.domains.iter().filter_map(within).collect();
        let as_it_is = if usize::from(name.num_labels()) > self.dots {
            0
        } else {
            candidates.len()
        };
        candidates.insert(as_it_is, full);
        Ok(candidates)
    }

    /// Asks for both families at once. The first that is found waits for the other no longer than
    /// for its delay: there are name servers that drop every question of one kind.
    async fn families(&self, name: &Name, deadline: Instant) -> Result<Found, LookupError> {
        let [v4, v6] = [RecordType::A, RecordType::AAAA].map(|kind| self.ask(name, kind).boxed());
        let (first, mut other) = select(v4, v6).await.factor_first();
        match first {
            Err(error) => match other.await {
                Ok(addresses) => Ok(Found {
                    addresses,
                    late: None,
                }),
                Err(other) => Err(error.max(other)),
            },
            Ok(mut addresses) => {
                let waited = timeout(RESOLUTION_DELAY, &mut other).await;
                let late = match waited {
                    Ok(more) => {
                        addresses.extend(more.unwrap_or_default());
                        None
                    }
                    Err(_) => Some(until(deadline, other).boxed()),
                };
                Ok(Found { addresses, late })
            }
        }
    }

    /// The addresses of one family, at least one, from the first name server that knows.
    fn ask(&self, name: &Name, kind: RecordType) -> impl Future<Output = Addresses> + use<> {
        let name = name.clone();
        let asked = self.servers.clone().into_iter().map(move |server| {
            let name = name.clone();
            async move { asked(&server, name, kind).await }
        });
        let answered = first_to_succeed(stream::iter(asked), LookupError::Server);
        answered.map(|answered| match answered {
            Ok(addresses) if addresses.is_empty() => Err(LookupError::NoAddress),
            answered => answered,
        })
    }
}

/// That there is no address is an answer too.
async fn asked(server: &TokioResolver, name: Name, kind: RecordType) -> Addresses {
    match server.lookup(name, kind).await {
        Ok(found) => {
            let records = found.answers().iter();
            Ok(records.filter_map(|record| record.data.ip_addr()).collect())
        }
        Err(error) if error.is_no_records_found() => Ok(Vec::new()),
        Err(NetError::Timeout) => Err(LookupError::Timeout),
        Err(_) => Err(LookupError::Server),
    }
}

async fn until(deadline: Instant, looking: impl Future<Output = Addresses>) -> Vec<IpAddr> {
    let found = timeout_at(deadline, looking).await;
    found.ok().and_then(Result::ok).unwrap_or_default()
}

#[expect(clippy::expect_used, reason = "the invariant is stated")]
fn resolver(server: &NameServerConfig, options: &ResolverOpts) -> TokioResolver {
    let config = ResolverConfig::from_name_servers(vec![server.clone()]);
    let provider = TokioRuntimeProvider::default();
    let builder = TokioResolver::builder_with_config(config, provider);
    builder
        .with_options(options.clone())
        .build()
        .expect("nothing is loaded without DNSSEC and DNS over TLS")
}

/// What `/etc/resolv.conf` says; without it, a name server on this machine, as with the C
/// library.
fn system() -> (ResolverConfig, ResolverOpts) {
    hickory_resolver::system_conf::read_system_conf().unwrap_or_else(|_| {
        warn!("the system's resolver configuration cannot be read; asking 127.0.0.1");
        let local = SocketAddr::from(([127, 0, 0, 1], 53));
        (of_servers(&[local]), ResolverOpts::default())
    })
}

fn of_servers(servers: &[SocketAddr]) -> ResolverConfig {
    let servers = servers.iter().map(|server| {
        let mut config = NameServerConfig::udp_and_tcp(server.ip());
        for connection in &mut config.connections {
            connection.port = server.port();
        }
        config
    });
    ResolverConfig::from_name_servers(servers.collect())
}
