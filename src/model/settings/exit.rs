//! From where a subscription's connections come.

use std::net::IpAddr;

use super::problem::{note, quoted};
use super::{Problem, Settings};
use crate::model::subscription::Exit;

pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) -> Option<Exit> {
    let given = settings.source_addresses.as_deref();
    let source_addresses = addresses(given, problems);
    let proxy_pool = settings.proxy_pool.clone();
    if proxy_pool
        .as_ref()
        .is_some_and(|name| name.trim().is_empty())
    {
        problems.push(Problem::new(
            "proxy_pool",
            "text without content; give the name of an [[egress.proxy_pool]], or leave it out",
        ));
    }
    Some(Exit {
        source_addresses: source_addresses?,
        proxy_pool,
    })
}

impl Exit {
    /// Tells what is wrong with the settings where the worker's configuration has these proxy
    /// pools.
    #[must_use]
    pub fn problem_with(&self, proxy_pools: &[String]) -> Option<Problem> {
        let missing = self.proxy_pool.as_ref();
        let missing = missing.filter(|name| !proxy_pools.contains(name))?;
        let text = format!(
            "{} is no proxy pool of this worker's; name an [[egress.proxy_pool]] of its \
             configuration, or add one",
            quoted(missing)
        );
        Some(Problem::new("proxy_pool", text))
    }
}

fn addresses(given: Option<&[String]>, problems: &mut Vec<Problem>) -> Option<Vec<IpAddr>> {
    const KEY: &str = "source_addresses";
    if given.is_some_and(<[_]>::is_empty) {
        problems.push(Problem::new(
            KEY,
            "an empty list; give addresses of the worker's machine, or leave it out",
        ));
        return None;
    }
    let addresses = given.unwrap_or_default().iter();
    // Gathered before it is looked at whether all are there: each that is not has its message.
    let addresses: Vec<_> = addresses
        .map(|text| note(KEY, address(text), problems))
        .collect();
    addresses.into_iter().collect()
}

fn address(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| {
        format!(
            "{} is not an IP address; give one of the worker's machine, such as \"192.0.2.10\"",
            quoted(text)
        )
    })?;
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!(
            "{address} is not the address of one machine; give one of the worker's"
        ));
    }
    Ok(address)
}
