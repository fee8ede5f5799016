//! Where requests may go. Merchants choose the URLs, so the default is to refuse.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use url::{Host, Url};

use super::address;

/// By default only globally routable unicast addresses, and those only by TLS.
///
/// The allow list opens further networks, for tests and private receivers; it is also
/// the only place to which plain `http` may go. An IPv4 network in the list does not
/// open the IPv6 addresses that carry its addresses.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    allowed: Arc<[IpNet]>,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Channel {
    Tls,
    Plain,
}

/// Why the policy forbids a request; the text is for an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the egress policy forbids {address} ({range})")]
    SpecialAddress {
        address: IpAddr,
        range: &'static str,
    },
    #[error("the egress policy allows plain http to allow-listed addresses only, not to {address}")]
    PlainHttp { address: IpAddr },
    #[error("the URL's scheme is neither https nor http")]
    Scheme,
    #[error("the URL holds a user name or a password; use the auth setting")]
    UserInfo,
    #[error("the URL has no host")]
    NoHost,
}

impl EgressPolicy {
    #[must_use]
    pub fn new(allowed: &[IpNet]) -> Self {
        Self {
            allowed: allowed.into(),
        }
    }

    /// Checks what can be known before a name is looked up. An address written into
    /// the URL must be checked here, because it never reaches the resolver; the URL
    /// parser has already turned spellings such as `0x7f.1` into addresses.
    pub(super) fn admit(&self, url: &Url) -> Result<Channel, Refusal> {
        let channel = match url.scheme() {
            "https" => Channel::Tls,
            "http" => Channel::Plain,
            _ => return Err(Refusal::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::UserInfo);
        }
        match url.host() {
            Some(Host::Ipv4(address)) => self.check(address.into(), channel)?,
            Some(Host::Ipv6(address)) => self.check(address.into(), channel)?,
            Some(Host::Domain(_)) => {}
            None => return Err(Refusal::NoHost),
        }
        Ok(channel)
    }

    pub(super) fn check(&self, address: IpAddr, channel: Channel) -> Result<(), Refusal> {
        if self.allowed.iter().any(|net| net.contains(&address)) {
            return Ok(());
        }
        if let Some(range) = address::special_range(address) {
            return Err(Refusal::SpecialAddress { address, range });
        }
        match channel {
            Channel::Tls => Ok(()),
            Channel::Plain => Err(Refusal::PlainHttp { address }),
        }
    }
}
