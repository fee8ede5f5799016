//! `[egress]`: to which addresses requests may go.

use ipnet::IpNet;
use toml::de::DeValue;

use super::document::Section;
use super::value;

#[derive(Clone, Debug, Default)]
pub struct Egress {
    /// Networks that are allowed although they are not public: private, loopback and
    /// link-local addresses are refused otherwise.
    pub allow: Vec<IpNet>,
}

impl Egress {
    pub(super) fn read(section: &mut Section<'_>) -> Self {
        Self {
            allow: section.list("allow", network).unwrap_or_default(),
        }
    }
}

fn network(value: &DeValue<'_>) -> Result<IpNet, String> {
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
