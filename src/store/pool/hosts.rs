//! Which hosts a URL names, and which of them will do: as libpq reads several hosts and
//! `target_session_attrs` (PostgreSQL's documentation, 34.1.1), which the driver does not know.

use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Executor, Row};
use tokio::time::timeout;

const ATTRIBUTES: &str = "target_session_attrs";

#[derive(Debug)]
pub(super) struct Hosts {
    named: Vec<PgConnectOptions>,
    wanted: Wanted,
    /// The one that was right the last time.
    last: AtomicUsize,
}

/// Which server will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Any,
    Primary,
    Standby,
}

/// A value of `target_session_attrs` that means nothing here.
#[derive(Debug, thiserror::Error)]
#[error(
    "target_session_attrs in the database URL is none of any, read-write, primary, read-only and standby"
)]
struct UnknownSessions;

impl Hosts {
    pub(super) fn one(host: PgConnectOptions) -> Self {
        Self {
            named: vec![host],
            wanted: Wanted::Any,
            last: AtomicUsize::new(0),
        }
    }

    pub(super) fn read(url: &SecretString) -> Result<Self, sqlx::Error> {
        let url = url.expose_secret();
        let urls = urls_of(url);
        let hosts: Result<Vec<_>, _> = urls
            .iter()
            .map(|url| PgConnectOptions::from_str(url))
            .collect();
        let hosts = hosts?;
        Ok(Self {
            wanted: wanted(url, hosts.len())
                .map_err(|error| sqlx::Error::Configuration(Box::new(error)))?,
            named: hosts,
            last: AtomicUsize::new(0),
        })
    }

    pub(super) fn each(mut self, change: impl Fn(PgConnectOptions) -> PgConnectOptions) -> Self {
        self.named = self.named.into_iter().map(change).collect();
        self
    }

    /// Tries one after the other, beginning with the one that was right the last time; a host
    /// that is silent leaves the others their share of the time.
    pub(super) async fn connect(&self, within: Duration) -> Result<PgConnection, sqlx::Error> {
        let count = self.named.len();
        let share = within / u32::try_from(count).unwrap_or(u32::MAX);
        let first = self.last.load(Ordering::Relaxed);
        let mut failed = sqlx::Error::PoolTimedOut;
        for at in (first..count).chain(0..first) {
            let tried = timeout(share, self.wanted.connect(&self.named[at])).await;
            match tried.unwrap_or(Err(sqlx::Error::PoolTimedOut)) {
                Ok(connection) => {
                    self.last.store(at, Ordering::Relaxed);
                    return Ok(connection);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}

impl Wanted {
    async fn connect(self, host: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
        let mut connection = host.connect().await?;
        if self == Self::Any {
            return Ok(connection);
        }
        // In one exchange, as a pooler needs it.
        let asked = sqlx::raw_sql("SELECT pg_catalog.pg_is_in_recovery()");
        let is_standby: bool = connection.fetch_one(asked).await?.try_get(0)?;
        match (self, is_standby) {
            (Self::Primary, true) => Err(not("takes writes")),
            (Self::Standby, false) => Err(not("is a standby")),
            _ => Ok(connection),
        }
    }
}

fn not(wanted: &str) -> sqlx::Error {
    sqlx::Error::Configuration(format!("no host of the database URL answers that {wanted}").into())
}

/// One host will do whatever it is, as it stands. Of several it is the one that takes writes,
/// unless the URL says otherwise: libpq would take any, and Posthorn always writes.
fn wanted(url: &str, hosts: usize) -> Result<Wanted, UnknownSessions> {
    match parameter(url, ATTRIBUTES) {
        None if hosts > 1 => Ok(Wanted::Primary),
        None | Some("any") => Ok(Wanted::Any),
        Some("read-write" | "primary") => Ok(Wanted::Primary),
        Some("read-only" | "standby") => Ok(Wanted::Standby),
        Some(_) => Err(UnknownSessions),
    }
}

fn parameter<'u>(url: &'u str, name: &str) -> Option<&'u str> {
    let (_, query) = url.split_once('?')?;
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let mut last_first = pairs.rev();
    last_first.find_map(|(key, value)| (key == name).then_some(value))
}

/// The URL with the first of its hosts alone.
#[must_use]
pub fn first_of(url: &str) -> String {
    urls_of(url).swap_remove(0)
}

/// A URL for each host: `postgres://user@a:1,b:2/db`, or `?host=a,b&port=1,2`.
fn urls_of(url: &str) -> Vec<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return vec![url.to_owned()];
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let at = authority.rfind('@').map_or(0, |at| at + 1);
    let (user, named) = authority.split_at(at);
    let by_parameter = parameter(url, "host").filter(|hosts| hosts.contains(','));
    match by_parameter {
        Some(hosts) => {
            let ports = parameter(url, "port").unwrap_or_default();
            let ports: Vec<&str> = ports.split(',').collect();
            let one = |(at, host): (usize, &str)| {
                let port = ports.get(at).or_else(|| ports.last()).unwrap_or(&"");
                let tail = with(&with(tail, "host", host), "port", port);
                format!("{scheme}://{user}{named}{tail}")
            };
            hosts.split(',').enumerate().map(one).collect()
        }
        None => named
            .split(',')
            .map(|host| format!("{scheme}://{user}{host}{tail}"))
            .collect(),
    }
}

/// The path and the query with another value of a parameter; one without a value goes.
fn with(tail: &str, name: &str, value: &str) -> String {
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let pairs = query
        .split('&')
        .filter_map(|pair| match pair.split_once('=') {
            Some((key, _)) if key == name && value.is_empty() => None,
            Some((key, _)) if key == name => Some(format!("{name}={value}")),
            _ => Some(pair.to_owned()),
        });
    let pairs: Vec<String> = pairs.collect();
    format!("{path}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_stays_as_it_stands() {
        for url in [
            "postgres://u:p@h:5432/db?sslmode=require",
            "postgresql:///db?host=/run/postgresql",
            "postgres://u@[::1]:5432/db",
            "no url",
        ] {
            assert_eq!(urls_of(url), [url]);
            assert_eq!(wanted(url, 1).ok(), Some(Wanted::Any));
        }
    }

    #[test]
    fn several_hosts_are_tried_one_after_the_other() {
        assert_eq!(
            urls_of("postgres://u:p%40@a:1,b,[::1]:3/db?target_session_attrs=any"),
            [
                "postgres://u:p%40@a:1/db?target_session_attrs=any",
                "postgres://u:p%40@b/db?target_session_attrs=any",
                "postgres://u:p%40@[::1]:3/db?target_session_attrs=any",
            ]
        );
        assert_eq!(
            urls_of("postgres:///db?host=a,b,/run&port=1,2&user=u"),
            [
                "postgres:///db?host=a&port=1&user=u",
                "postgres:///db?host=b&port=2&user=u",
                "postgres:///db?host=/run&port=2&user=u",
            ]
        );
    }

    #[test]
    fn of_several_hosts_the_one_that_takes_writes_is_meant() {
        for (url, hosts, expected) in [
            ("postgres://a,b/db", 2, Wanted::Primary),
            ("postgres://a,b/db?target_session_attrs=any", 2, Wanted::Any),
            (
                "postgres://a/db?target_session_attrs=read-write",
                1,
                Wanted::Primary,
            ),
            (
                "postgres://a/db?x=1&target_session_attrs=standby",
                1,
                Wanted::Standby,
            ),
        ] {
            assert_eq!(wanted(url, hosts).ok(), Some(expected), "{url}");
        }
        let refused = wanted("postgres://a/db?target_session_attrs=hunter2", 1);
        assert!(refused.is_err_and(|error| !error.to_string().contains("hunter2")));
    }
}
