//! `[http]`: where the worker answers for metrics and health.

use std::net::{Ipv4Addr, SocketAddr};

use toml::de::DeValue;

use super::document::Section;
use super::value;

/// Where a worker answers for metrics and health: the section `[http]`.
#[derive(Clone, Debug)]
pub struct Http {
    /// The address at which it listens.
    pub listen: SocketAddr,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            // Loopback: who may see the metrics is the operator's choice. 9464 is where
            // OpenTelemetry's Prometheus exporters listen by default.
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)),
        }
    }
}

impl Http {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        let listen = section.read("listen", address);
        listen.map_or_else(Self::default, |listen| Self { listen })
    }
}

pub(super) fn address(value: &DeValue<'_>) -> Result<SocketAddr, String> {
    value::text(value)?.parse().map_err(|_| {
        "text that is not an address and port; give one such as \"127.0.0.1:9464\" or \"[::]:9464\"".to_owned()
    })
}
