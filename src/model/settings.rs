//! The settings of a subscription as people write them, in TOML or SQL: every one
//! may be absent, and then the profile's holds, and after it the engine's default.

use std::fmt;
use std::time::Duration;

/// One value per key of `[[subscription]]`, and per column of `posthorn.subscriptions`
/// and `posthorn.profiles`; the names are the same in all three.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub url: Option<String>,
    /// `POST` or `GET`.
    pub method: Option<String>,
    /// `json`, `xml`, `nvp` or `query`.
    pub encoding: Option<String>,
    /// A JSON array of `{"name", "source", "map"?, "omit_when"?}`.
    pub fields: Option<serde_json::Value>,
    pub xml_root: Option<String>,
    pub kinds: Option<Vec<String>>,
    pub statuses: Option<Vec<String>>,
    /// Ranges such as `200-299` or single statuses such as `204`.
    pub success_statuses: Option<Vec<String>>,
    pub success_body: Option<String>,
    pub give_up_statuses: Option<Vec<String>>,
    /// `none`, `basic` or `api_key`.
    pub auth: Option<String>,
    /// `env:NAME` or `file:PATH`, as are the next three.
    pub auth_secret: Option<String>,
    pub client_cert: Option<String>,
    pub client_key: Option<String>,
    pub ca_cert: Option<String>,
    /// `fixed`, `exponential` or `list`.
    pub retry: Option<String>,
    pub retry_interval: Option<Duration>,
    pub retry_factor: Option<f64>,
    pub retry_cap: Option<Duration>,
    pub retry_jitter: Option<f64>,
    pub retry_delays: Option<Vec<Duration>>,
    pub max_attempts: Option<i32>,
    pub max_age: Option<Duration>,
    pub retry_after: Option<bool>,
    pub timeout: Option<Duration>,
    pub connect_timeout: Option<Duration>,
    pub max_in_flight: Option<i32>,
    pub rate: Option<f64>,
    /// `none` or `transaction`.
    pub order: Option<String>,
    pub supersede: Option<bool>,
}

/// What is wrong with one setting, in words that name the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub key: &'static str,
    /// Says the value's shape and the remedy; never the value of a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}
