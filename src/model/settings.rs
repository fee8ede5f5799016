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

/// Writes the struct [`Settings`], and from the same list what must know every key of it.
macro_rules! settings {
    ($($(#[$doc:meta])* $key:ident: $type:ty,)*) => {
        /// The settings that somebody gave: a value for each key of `[[subscription]]`, and for
        /// each column of `posthorn.subscriptions` and `posthorn.profiles`. The names are the
        /// same in all three.
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

            /// Writes the given settings as a JSON object that `jsonb_populate_record` takes for
            /// a row: durations are intervals in seconds.
            #[must_use]
            pub fn to_row(&self) -> serde_json::Map<String, serde_json::Value> {
                let columns = [$((stringify!($key), self.$key.as_ref().map(column::Column::to_json))),*];
                let given = columns.into_iter();
                given.filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
            }

            /// Reads the settings of a row that is given as a JSON object. What a row cannot hold
            /// is left out; the columns' types and rules keep such values away.
            #[must_use]
            pub fn of_row(row: &serde_json::Value) -> Self {
                Self {
                    $($key: row.get(stringify!($key)).and_then(column::Column::of_json),)*
                }
            }

            /// The keys whose values in the two settings are not the same.
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
    /// Which transactions it is for: `merchant` or `transaction`.
    scope: String,
    /// Where to send.
    url: String,
    /// The HTTP method: `POST` or `GET`.
    method: String,
    /// The encoding of the payload: `json`, `xml`, `nvp` or `query`.
    encoding: String,
    /// The fields that travel: a JSON array of
    /// `{"name", "source", "map"?, "format"?, "omit_when"?}`.
    fields: serde_json::Value,
    /// What a form makes of objects and lists: `dotted`, `brackets`, `json` or `refuse`.
    nested: String,
    /// How a form writes a space: `+` or `%20`.
    space: String,
    /// The charset of the body: `unsaid`, `utf-8`, `iso-8859-1` or `windows-1252`.
    charset: String,
    /// The name of the outermost element of an XML document.
    xml_root: String,
    /// What XML makes of characters that it cannot carry: `replace` or `refuse`.
    xml_illegal: String,
    /// The value of the header `Accept-Encoding`: `identity`, or `none` for no such header.
    accept_encoding: String,
    /// The name of the header with the event's id, or `none`.
    id_header: String,
    /// The name of the header with the attempt's time, or `none`.
    timestamp_header: String,
    /// The name of the header with the attempt's number, or `none`.
    attempt_header: String,
    /// The value of the header `User-Agent`.
    user_agent: String,
    /// Further headers: a JSON object from their names to their values, each a text, a
    /// [`SecretRef`](crate::model::secret::SecretRef), or `literal:` and a text.
    headers: serde_json::Value,
    /// The kinds of events that it gets, as patterns such as `payment.*`.
    kinds: Vec<String>,
    /// The statuses whose events it gets, as patterns such as `approv*`.
    statuses: Vec<String>,
    /// Whether it gets every event or only changes of the status: `every` or `change`.
    emit: String,
    /// The statuses that count as delivered: ranges such as `200-299`, or single statuses
    /// such as `204`.
    success_statuses: Vec<String>,
    /// The text that the answer's body must be to count as delivered.
    success_body: String,
    /// The statuses after which no retry is made.
    give_up_statuses: Vec<String>,
    /// The statuses after which the subscription is disabled.
    disable_statuses: Vec<String>,
    /// How requests prove who sends them: `none`, `basic`, `api_key` or `oauth2`.
    auth: String,
    /// The credential of `auth`: a [`SecretRef`](crate::model::secret::SecretRef).
    auth_secret: String,
    /// The credential that `auth_secret` takes the place of: a
    /// [`SecretRef`](crate::model::secret::SecretRef).
    auth_secret_previous: String,
    /// The name of the header that carries an API key.
    auth_header: String,
    /// Where OAuth2 access tokens are asked for.
    oauth2_token_url: String,
    /// Where a token request has the client's credentials: `basic` or `body`.
    oauth2_client_auth: String,
    /// The scope that a token request asks for.
    oauth2_scope: String,
    /// The audience that a token request asks for.
    oauth2_audience: String,
    /// How requests are signed: `none`, `standard_webhooks` or `sensepass_hmac`.
    signing: String,
    /// The keys of signatures: [`SecretRef`](crate::model::secret::SecretRef)s.
    signing_secrets: Vec<String>,
    /// The client's certificate chain in PEM: a
    /// [`SecretRef`](crate::model::secret::SecretRef).
    client_cert: String,
    /// The private key of `client_cert` in PEM: a
    /// [`SecretRef`](crate::model::secret::SecretRef).
    client_key: String,
    /// The client's certificate and key in one PKCS#12 file: a
    /// [`SecretRef`](crate::model::secret::SecretRef).
    client_pkcs12: String,
    /// The password of `client_pkcs12`: a [`SecretRef`](crate::model::secret::SecretRef).
    client_pkcs12_password: String,
    /// Further root certificates to trust, in PEM: a
    /// [`SecretRef`](crate::model::secret::SecretRef).
    ca_cert: String,
    /// The IP addresses of the worker's machine that connections come from.
    source_addresses: Vec<String>,
    /// The proxies to go through, by the name that the config file gives them.
    proxy_pool: String,
    /// How the delays between attempts grow: `fixed`, `exponential` or `list`.
    retry: String,
    /// The first delay, or every delay of a fixed schedule.
    retry_interval: Duration,
    /// What each delay of an exponential schedule is multiplied by for the next one.
    retry_factor: f64,
    /// The longest delay.
    retry_cap: Duration,
    /// How much of itself a delay is spread by, to either side: 0 to 1.
    retry_jitter: f64,
    /// The delays of a list, one for each retry.
    retry_delays: Vec<Duration>,
    /// The most attempts, the first send counted.
    max_attempts: i32,
    /// How long after the event's insertion retries may still be made.
    max_age: Duration,
    /// Whether a receiver's `Retry-After` puts the next attempt off.
    retry_after: bool,
    /// How long a whole exchange may take.
    timeout: Duration,
    /// How long a connection may take to be made.
    connect_timeout: Duration,
    /// The most requests in the air at once, over all workers.
    max_in_flight: i32,
    /// The most sends a second.
    rate: f64,
    /// In which order deliveries are sent: `none` or `transaction`.
    order: String,
    /// Whether a newer event of a transaction takes the place of one that still waits.
    supersede: bool,
    /// The vendor's words for states: a JSON object from states to words.
    labels: serde_json::Value,
}

/// Reads the fields of a map that stands outside of a subscription.
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

    /// Everything that is wrong with a profile's settings, where whatever is absent may still
    /// come from the subscription: only values that stand here can be wrong.
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
