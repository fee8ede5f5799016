//! Where requests may go. Merchants choose the URLs, so the default is to refuse.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv6Net};
use url::{Host, Url};

use super::address::{self, carried_v4, is_metadata};

/// Where requests may go. By default only to globally routable unicast addresses, by TLS alone, at
/// any port.
#[derive(Clone, Debug, Default)]
pub struct EgressPolicy {
    /// Further networks that may be reached, for tests and private receivers; also the only places
    /// to which plain `http` may go. An IPv4 network does not open the IPv6 addresses that carry
    /// its addresses, and a cloud's metadata address is opened by an entry of its own alone.
    pub allow: Vec<IpNet>,
    /// The ports that may be used; empty for all.
    pub ports: Vec<RangeInclusive<u16>>,
    /// The prefixes by which this network reaches IPv4 addresses over IPv6 (RFC 6052): what
    /// lies in one is judged by the IPv4 address that it carries.
    pub nat64_prefixes: Vec<Ipv6Net>,
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Tls,
    Plain,
}

/// Why the policy forbids a request; the text is for an operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The address lies in a range that is not open.
    #[error("the egress policy forbids {address} ({range})")]
    SpecialAddress {
        /// The address that was found.
        address: IpAddr,
        /// The name of the range.
        range: &'static str,
    },
    /// The address may be reached by TLS alone.
    #[error("the egress policy allows plain http to allow-listed addresses only, not to {address}")]
    PlainHttp {
        /// The address that was found.
        address: IpAddr,
    },
    /// The port may not be used.
    #[error("the egress policy forbids port {0}")]
    Port(u16),
    /// The URL asks for another protocol.
    #[error("the URL's scheme is neither https nor http")]
    Scheme,
    /// The URL has credentials in it, where they would show.
    #[error("the URL holds a user name or a password; use the auth setting")]
    UserInfo,
    /// The URL names nobody to ask.
    #[error("the URL has no host")]
    NoHost,
    /// The subscription asks for a proxy pool that the operator has not set up.
    #[error("the egress policy has no proxy pool of the name {0}")]
    NoProxyPool(String),
}

impl Channel {
    /// The channel of a URL's scheme; none for one that is neither `https` nor `http`.
    pub(super) fn of(scheme: &str) -> Option<Self> {
        match scheme {
            "https" => Some(Self::Tls),
            "http" => Some(Self::Plain),
            _ => None,
        }
    }
}

impl EgressPolicy {
    /// Refuses at once what can be told without a look-up. Everything is vetted again
    /// where connections are made.
    pub(super) fn admit(&self, url: &Url) -> Result<(), Refusal> {
        let channel = Channel::of(url.scheme()).ok_or(Refusal::Scheme)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::UserInfo);
        }
        let port = url.port_or_known_default().unwrap_or_default();
        // The parser has turned spellings such as `0x7f.1` into addresses.
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::from(address),
            Some(Host::Ipv6(address)) => IpAddr::from(address),
            Some(Host::Domain(_)) => return self.check_port(port),
            None => return Err(Refusal::NoHost),
        };
        self.check(SocketAddr::new(address, port), channel)
    }

    /// Refuses a connection to an address that the policy forbids.
    pub(super) fn check(&self, target: SocketAddr, channel: Channel) -> Result<(), Refusal> {
        self.check_port(target.port())?;
        let address = target.ip();
        if self.is_allowed(address) {
            return Ok(());
        }
        if let Some(range) = self.special_range(address) {
            return Err(Refusal::SpecialAddress { address, range });
        }
        match channel {
            Channel::Tls => Ok(()),
            Channel::Plain => Err(Refusal::PlainHttp { address }),
        }
    }

    fn check_port(&self, port: u16) -> Result<(), Refusal> {
        let open = self.ports.is_empty() || self.ports.iter().any(|range| range.contains(&port));
        if open {
            Ok(())
        } else {
            Err(Refusal::Port(port))
        }
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        let alone = is_metadata(address);
        self.allow.iter().any(|net| {
            net.contains(&address) && (!alone || net.prefix_len() == net.max_prefix_len())
        })
    }

    /// The name of the special range; none for an address that is open to all.
    fn special_range(&self, address: IpAddr) -> Option<&'static str> {
        if is_metadata(address) {
            return Some("cloud metadata");
        }
        if let IpAddr::V6(outer) = address
            && let Some(&prefix) = self.nat64_prefixes.iter().find(|net| net.contains(&outer))
        {
            let carried = IpAddr::V4(carried_v4(prefix, outer));
            if self.is_allowed(carried) {
                return None;
            }
            return self.special_range(carried);
        }
        address::special_range(address)
    }
}

#[cfg(test)]
mod tests {
    use super::{Channel, EgressPolicy};

    fn policy() -> EgressPolicy {
        EgressPolicy {
            allow: ["10.1.0.0/16", "0.0.0.0/1", "fd00::/8"]
                .map(|net| net.parse().unwrap())
                .to_vec(),
            ports: vec![443..=443, 8000..=8999],
            nat64_prefixes: ["64:ff9b::/96", "2a00:64::/32"]
                .map(|net| net.parse().unwrap())
                .to_vec(),
        }
    }

    #[test]
    fn an_address_is_judged_by_list_range_port_and_channel() {
        for (target, channel, allowed) in [
            ("198.41.0.4:443", Channel::Tls, true),
            ("198.41.0.4:443", Channel::Plain, false),
            ("10.1.2.3:443", Channel::Tls, true),
            ("10.1.2.3:8080", Channel::Plain, true),
            ("192.168.0.1:443", Channel::Tls, false),
            ("[::ffff:10.1.2.3]:443", Channel::Tls, false),
            // Ports.
            ("198.41.0.4:442", Channel::Tls, false),
            ("10.1.2.3:80", Channel::Plain, false),
            ("198.41.0.4:9000", Channel::Tls, false),
            // A network opens no metadata service by the way.
            ("100.100.100.200:443", Channel::Tls, false),
            ("[fd00:ec2::254]:443", Channel::Tls, false),
            ("[fd00:ec2::253]:443", Channel::Tls, true),
            // Behind NAT64, the address that is carried counts.
            ("[64:ff9b::198.41.0.4]:443", Channel::Tls, true),
            ("[64:ff9b::198.41.0.4]:443", Channel::Plain, false),
            ("[64:ff9b::192.168.0.1]:443", Channel::Tls, false),
            ("[64:ff9b::169.254.169.254]:443", Channel::Tls, false),
            ("[64:ff9b::10.1.2.3]:443", Channel::Tls, true),
            ("[2a00:64:c0a8:1::]:443", Channel::Tls, false),
            ("[2a00:64:c629:4::]:443", Channel::Tls, true),
            ("[64:ff9b:1::198.41.0.4]:443", Channel::Tls, false),
        ] {
            let checked = policy().check(target.parse().unwrap(), channel);
            assert_eq!(
                checked.is_ok(),
                allowed,
                "{target} by {channel:?}: {checked:?}"
            );
        }
    }

    #[test]
    fn a_metadata_service_is_opened_by_its_own_address() {
        let policy = EgressPolicy {
            allow: vec!["169.254.169.254/32".parse().unwrap()],
            ..EgressPolicy::default()
        };
        let service = "169.254.169.254:80".parse().unwrap();
        assert!(policy.check(service, Channel::Plain).is_ok());
    }
}
