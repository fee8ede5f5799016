//! `[egress]`: to which addresses requests may go, and how.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv6Net};
use toml::de::DeValue;
use url::Url;

use super::document::Section;
use super::value;
use crate::model::secret::SecretRef;

const DNS_PORT: u16 = 53;

/// The lengths that a NAT64 prefix can have, in bits (RFC 6052, section 2.2).
pub const NAT64_LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

/// To which addresses requests may go, and how: the section `[egress]`.
#[derive(Clone, Debug, Default)]
pub struct Egress {
    /// Networks that are allowed although they are not public: private, loopback and
    /// link-local addresses are refused otherwise.
    pub allow: Vec<IpNet>,
    /// Ports that may be used; empty for all.
    pub ports: Vec<RangeInclusive<u16>>,
    /// Networks by which IPv4 addresses are reached over IPv6: each address in one stands for the
    /// IPv4 address that it carries.
    pub nat64_prefixes: Vec<Ipv6Net>,
    /// The name servers to ask; empty for the system's.
    pub name_servers: Vec<SocketAddr>,
    /// The sections `[[egress.proxy_pool]]`.
    pub proxy_pools: Vec<ProxyPool>,
}

#[derive(Clone, Debug)]
pub struct ProxyPool {
    pub name: String,
    /// The host and the port of each proxy.
    pub proxies: Vec<(String, u16)>,
    /// Where `user:password` for all of the proxies is kept.
    pub credentials: Option<SecretRef>,
}

impl Egress {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            allow: section.list("allow", network).unwrap_or_default(),
            ports: section.list("ports", ports).unwrap_or_default(),
            nat64_prefixes: section.list("nat64_prefixes", prefix).unwrap_or_default(),
            name_servers: section.list("name_servers", server).unwrap_or_default(),
            proxy_pools: proxy_pools(section),
        }
    }

    /// The names of the proxy pools, which subscriptions may choose from.
    #[must_use]
    pub fn proxy_pool_names(&self) -> Vec<String> {
        let pools = self.proxy_pools.iter();
        pools.map(|pool| pool.name.clone()).collect()
    }
}

pub(super) fn network(value: &DeValue<'_>) -> Result<IpNet, String> {
    let text = value::text(value)?;
    let network: IpNet = text.parse().map_err(|_| {
        "text that is not a network; give one such as \"10.0.0.0/8\" or \"fd00::/8\", \
         for one address \"10.0.0.1/32\""
    })?;
    // Someone who writes 10.0.0.1/8 means either; the wrong guess opens 16 million addresses.
    if network.trunc() != network {
        return Err(format!(
            "{network} has address bits beyond its prefix; give {}, or a longer prefix",
            network.trunc()
        ));
    }
    Ok(network)
}

fn prefix(value: &DeValue<'_>) -> Result<Ipv6Net, String> {
    let remedy = || {
        let lengths = NAT64_LENGTHS.map(|length| length.to_string()).join(", ");
        format!(
            "give an IPv6 network with one of the prefix lengths {lengths}, such as \"64:ff9b::/96\""
        )
    };
    match network(value)? {
        IpNet::V6(network) if NAT64_LENGTHS.contains(&network.prefix_len()) => Ok(network),
        _ => Err(format!(
            "a network that cannot be a NAT64 prefix; {}",
            remedy()
        )),
    }
}

fn ports(value: &DeValue<'_>) -> Result<RangeInclusive<u16>, String> {
    const REMEDY: &str = "not a range of ports; give entries such as \"443\" or \"8000-8999\"";
    let text = value::text(value)?;
    let (low, high) = text.split_once('-').unwrap_or((&text, &text));
    let port = |text: &str| text.parse().ok().filter(|&port: &u16| port > 0);
    match (port(low), port(high)) {
        (Some(low), Some(high)) if low <= high => Ok(low..=high),
        _ => Err(format!("text that is {REMEDY}, within 1 to 65535")),
    }
}

fn server(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    let text = value::text(value)?;
    let plain = text
        .parse()
        .map(|address: IpAddr| SocketAddr::new(address, DNS_PORT));
    plain.or_else(|_| text.parse()).map_err(|_| {
        "text that is not an address; give one such as \"192.0.2.53\", or with its port \"192.0.2.53:5353\"".to_owned()
    })
}

fn proxy_pools(section: &mut Section<'_>) -> Vec<ProxyPool> {
    let mut names: Vec<String> = Vec::new();
    let pools = section.tables("proxy_pool", |pool| {
        let name = pool.read("name", value::name);
        let proxies = pool.list("proxies", proxy);
        let credentials = pool.read("credentials", |found| {
            SecretRef::parse(&value::text(found)?).ok_or_else(|| {
                "text that is not a reference; give env:NAME or file:PATH, and keep user:password there".to_owned()
            })
        });
        for key in ["name", "proxies"] {
            if !pool.has(key) {
                pool.refuse(key, "missing; a proxy pool has a name and its proxies");
            }
        }
        if proxies.as_ref().is_some_and(Vec::is_empty) {
            pool.refuse("proxies", "an empty array; give at least one, such as \"http://proxy.example:3128\"");
        }
        if let Some(name) = &name {
            if names.contains(name) {
                pool.refuse("name", "given twice; give each pool its own name");
            }
            names.push(name.clone());
        }
        Some(ProxyPool {
            name: name?,
            proxies: proxies?,
            credentials,
        })
    });
    pools.into_iter().flatten().collect()
}

/// Reads a proxy's host and port. No message repeats the text: it may hold a password.
fn proxy(value: &DeValue<'_>) -> Result<(String, u16), String> {
    const REMEDY: &str = "give http://HOST:PORT, such as \"http://proxy.example:3128\"";
    let url = Url::parse(&value::text(value)?)
        .map_err(|_| format!("text that is not a URL; {REMEDY}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!(
            "a URL with a user name or password; {REMEDY}, and put them where credentials points to"
        ));
    }
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    match (url.scheme(), url.host_str(), url.port_or_known_default()) {
        ("http", Some(host), Some(port)) if bare => Ok((host.to_owned(), port)),
        _ => Err(format!("a URL that is not a plain HTTP proxy's; {REMEDY}")),
    }
}
