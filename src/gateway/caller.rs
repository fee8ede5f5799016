//! Whom a request comes from, also where it comes through trusted proxies.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::Request;
use axum::http::HeaderValue;

use super::Gateway;
use super::budget::Account;
use super::line::Talk;

/// The connection that a request comes by; the server puts it beside each.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: IpAddr,
    pub talk: Arc<Talk>,
}

/// Whom a request comes from, behind trusted proxies, and whose bytes it takes.
#[derive(Clone, Debug)]
pub struct Caller {
    pub address: IpAddr,
    pub account: Account,
}

/// The address that a request comes from. Hops are read from the right: what stands left of the
/// first address that is no trusted proxy may have been written by anybody. Where a proxy has
/// written what is no address, it is the proxy itself.
pub fn address(gateway: &Gateway, request: &Request) -> IpAddr {
    let peer = request.extensions().get::<Peer>();
    let mut address = peer.map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.address);
    let forwarded = request.headers().get_all("x-forwarded-for");
    // Bytes that are no text spoil the hop that they stand in, and no other.
    let values: Vec<_> = forwarded.iter().map(HeaderValue::as_bytes).collect();
    let mut hops = values
        .iter()
        .rev()
        .flat_map(|value| value.rsplit(|byte| *byte == b','));
    while gateway.trusts(address) {
        let Some(next) = hops.next().and_then(hop) else {
            break;
        };
        address = next;
    }
    address
}

/// Reads an address as proxies write it: some with the port beside it, and then IPv6 in brackets.
fn hop(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let in_brackets = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = match in_brackets {
        Some(address) => address.parse().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    };
    address.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hop_is_an_address_with_or_without_a_port_and_nothing_else() {
        for (text, address) in [
            ("192.0.2.7", "192.0.2.7"),
            (" 192.0.2.7:4711\t", "192.0.2.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7"),
        ] {
            assert_eq!(hop(text.as_bytes()), address.parse().ok(), "{text}");
        }
        for junk in [
            "",
            " ",
            "unknown",
            "_hidden",
            "192.0.2.7:",
            "192.0.2.7:x",
            "192.0.2.7:70000",
            "192.0.2",
            "[192.0.2.7]",
            "[2001:db8::7",
            "192.0.2.7 10.0.0.1",
            "\"192.0.2.7\"",
        ] {
            assert_eq!(hop(junk.as_bytes()), None, "{junk}");
        }
        assert_eq!(hop(b"192.0.2.7\xff"), None);
    }
}
