//! The settings of a subscription as people write them, in TOML or SQL: every one
//! may be absent, and then the profile's holds, and after it the engine's default.

mod column;
mod credentials;
pub mod defaults;
mod events;
mod exit;
mod fields;
mod fixed;
mod form;
mod format;
mod headers;
mod labels;
mod layers;
mod limits;
mod problem;
mod resolve;
mod retry;
mod signing;
mod spelled;
mod success;
#[cfg(test)]
mod tests;
pub(crate) mod url;

use std::fmt;
use std::time::Duration;

use super::Field;

pub use headers::OF_THE_CONNECTION;
pub use layers::{Layers, LockReach, Origin};
pub use problem::Problem;
pub(crate) use problem::{duration_text, quoted, within};
pub use resolve::{Identity, resolve, resolve_matching};

/// Writes the struct once, and from the same list what must know every key of it.
macro_rules! settings {
    ($($(#[$doc:meta])* $key:ident: $type:ty,)*) => {
        /// One value per key of `[[subscription]]`, and per column of
        /// `posthorn.subscriptions` and `posthorn.profiles`; the names are the same in
        /// all three.
        #[derive(Clone, Default, PartialEq)]
        pub struct Settings {
            $($(#[$doc])* pub $key: Option<$type>,)*
        }

        impl Settings {
            /// Every key, in the order in which the documentation shows them.
            pub const KEYS: &[&str] = &[$(stringify!($key)),*];

            /// These settings, and the base's where these are absent: a subscription's
            /// over its profile's.
            #[must_use]
            pub fn or(self, base: &Self) -> Self {
                Self {
                    $($key: self.$key.or_else(|| base.$key.clone()),)*
                }
            }

            /// The given settings as a JSON object that `jsonb_populate_record` takes for
            /// a row: durations are intervals in seconds.
            #[must_use]
            pub fn to_row(&self) -> serde_json::Map<String, serde_json::Value> {
                let columns = [$((stringify!($key), self.$key.as_ref().map(column::Column::to_json))),*];
                let given = columns.into_iter();
                given.filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
            }

            /// The settings of a row: the other way round. What a row cannot hold is left
            /// out; the columns' types and rules keep such values away.
            #[must_use]
            pub fn of_row(row: &serde_json::Value) -> Self {
                Self {
                    $($key: row.get(stringify!($key)).and_then(column::Column::of_json),)*
                }
            }

            /// The keys whose values here and there are not the same.
            pub fn differences(&self, other: &Self) -> impl Iterator<Item = &'static str> {
                let same = [$((stringify!($key), self.$key == other.$key)),*];
                same.into_iter().filter_map(|(key, same)| (!same).then_some(key))
            }

            /// The key's value in the spelling of the config file.
            #[must_use]
            pub fn to_toml(&self, key: &str) -> Option<toml::Value> {
                match key {
                    $(stringify!($key) => self.$key.as_ref().map(column::Column::to_toml),)*
                    _ => None,
                }
            }

            /// Whether the key is given here.
            #[must_use]
            pub fn has(&self, key: &str) -> bool {
                match key {
                    $(stringify!($key) => self.$key.is_some(),)*
                    _ => false,
                }
            }
        }
    };
}

settings! {
    /// `merchant` or `transaction`.
    scope: String,
    url: String,
    /// `POST` or `GET`.
    method: String,
    /// `json`, `xml`, `nvp` or `query`.
    encoding: String,
    /// A JSON array of `{"name", "source", "map"?, "format"?, "omit_when"?}`.
    fields: serde_json::Value,
    /// `dotted`, `brackets`, `json` or `refuse`.
    nested: String,
    /// `+` or `%20`.
    space: String,
    /// `unsaid`, `utf-8`, `iso-8859-1` or `windows-1252`.
    charset: String,
    xml_root: String,
    /// `replace` or `refuse`.
    xml_illegal: String,
    /// `identity` or `none`.
    accept_encoding: String,
    /// A header's name or `none`, as are the next two.
    id_header: String,
    timestamp_header: String,
    attempt_header: String,
    user_agent: String,
    /// A JSON object from headers' names to their values: a text, a
    /// [`SecretRef`](crate::model::secret::SecretRef), or `literal:` and a text.
    headers: serde_json::Value,
    kinds: Vec<String>,
    statuses: Vec<String>,
    /// `every` or `change`.
    emit: String,
    /// Ranges such as `200-299` or single statuses such as `204`.
    success_statuses: Vec<String>,
    success_body: String,
    give_up_statuses: Vec<String>,
    disable_statuses: Vec<String>,
    /// `none`, `basic`, `api_key` or `oauth2`.
    auth: String,
    /// A [`SecretRef`](crate::model::secret::SecretRef), as is all that a secret stands for.
    auth_secret: String,
    auth_secret_previous: String,
    /// The header of an API key.
    auth_header: String,
    oauth2_token_url: String,
    /// `basic` or `body`.
    oauth2_client_auth: String,
    oauth2_scope: String,
    oauth2_audience: String,
    /// `none`, `standard_webhooks` or `sensepass_hmac`.
    signing: String,
    signing_secrets: Vec<String>,
    client_cert: String,
    client_key: String,
    client_pkcs12: String,
    client_pkcs12_password: String,
    ca_cert: String,
    /// IP addresses.
    source_addresses: Vec<String>,
    proxy_pool: String,
    /// `fixed`, `exponential` or `list`.
    retry: String,
    retry_interval: Duration,
    retry_factor: f64,
    retry_cap: Duration,
    retry_jitter: f64,
    retry_delays: Vec<Duration>,
    max_attempts: i32,
    max_age: Duration,
    retry_after: bool,
    timeout: Duration,
    connect_timeout: Duration,
    max_in_flight: i32,
    rate: f64,
    /// `none` or `transaction`.
    order: String,
    supersede: bool,
    /// A JSON object from states to the vendor's words.
    labels: serde_json::Value,
}

/// The fields of a map that stands outside of a subscription.
pub fn check_fields(value: &serde_json::Value) -> Result<Vec<Field>, String> {
    let mut problems = Vec::new();
    let fields = fields::check(value, false, &mut problems);
    let messages: Vec<_> = problems
        .into_iter()
        .map(|problem| problem.message)
        .collect();
    fields.ok_or_else(|| messages.join("; "))
}

impl Settings {
    /// Everything that keeps these settings, already merged with their profile's, from
    /// taking effect. Secrets are not read: a reference to one that is not there shows
    /// in [`resolve`] only.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        resolve::check(self, &mut problems);
        problems
    }

    /// The same for a profile, where whatever is absent may still come from the
    /// subscription: only values that stand here can be wrong.
    #[must_use]
    pub fn profile_problems(&self) -> Vec<Problem> {
        let mut problems = self.problems();
        problems.retain(|problem| self.has(problem.key));
        problems
    }
}

/// Names the keys that are given, without their values: a URL may carry a token, and a
/// secret may stand where its reference belongs.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = Self::KEYS.iter().filter(|key| self.has(key));
        f.write_str("Settings")?;
        f.debug_set().entries(given).finish()
    }
}
