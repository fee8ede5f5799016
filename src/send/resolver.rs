//! Looks names up. What it finds is vetted by the connector, its only caller.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tracing::warn;

/// Look-ups over TCP that one name server is asked at a time, where its answer did not fit
/// into a datagram. More than a worker has in the air is as good as no limit.
const TCP_LOOKUPS: usize = 4096;

/// Why a name has no addresses.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error("the name does not exist or has no address")]
    NoAddress,
    #[error("no name server answers in time")]
    Timeout,
    #[error("the name servers cannot say")]
    Server,
    #[error("it is not a name that the DNS can hold")]
    NotAName,
}

/// Asks the DNS, and the system's hosts file.
///
/// Not the system's resolver: that blocks a thread for as long as a name server likes, so
/// that the slow names of one merchant could take every thread that look-ups have. Answers
/// are used once and never kept.
#[derive(Clone)]
pub(super) struct Names(TokioResolver);

impl Names {
    /// Asks these name servers, or the system's where none are given.
    #[expect(clippy::expect_used, reason = "the invariant is stated")]
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
        let provider = TokioRuntimeProvider::default();
        let mut builder = TokioResolver::builder_with_config(config, provider);
        *builder.options_mut() = options;
        Self(
            builder
                .build()
                .expect("nothing is loaded without DNSSEC and DNS over TLS"),
        )
    }

    /// Every IPv4 and IPv6 address of the name, at least one.
    pub(super) async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, LookupError> {
        let found = self.0.lookup_ip(name).await.map_err(LookupError::from)?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() {
            return Err(LookupError::NoAddress);
        }
        Ok(addresses)
    }
}

impl From<NetError> for LookupError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Timeout => Self::Timeout,
            NetError::Proto(_) => Self::NotAName,
            error if error.is_no_records_found() => Self::NoAddress,
            _ => Self::Server,
        }
    }
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
