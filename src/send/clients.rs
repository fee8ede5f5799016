//! One HTTP client, with its connections, per distinct TLS set-up.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Client, redirect, retry};
use secrecy::ExposeSecret;

use super::egress::{Channel, EgressPolicy};
use super::resolver::{Lookups, VettingResolver};
use super::tls::{TlsError, TlsFactory};
use crate::model::Subscription;
use crate::model::subscription::TlsSettings;

/// Many receivers close an idle connection after 5 s; a request that is sent into a
/// closing connection costs the delivery an attempt.
const IDLE_CONNECTION: Duration = Duration::from_secs(4);

/// The largest `max_in_flight` (WIRE.md 4.3): no connection of a busy subscription is
/// closed only to be opened again.
const IDLE_CONNECTIONS_PER_HOST: usize = 500;

/// Bounds the memory for certificates, of which a client with its own CA needs most:
/// about 100 kB for its copy of the system's roots.
const MAX_CLIENTS: usize = 512;

/// A client unused for so long is let go, and with it the certificates and the key of
/// a subscription that was changed or removed.
const KEEP_UNUSED: Duration = Duration::from_mins(10);

/// How often unused clients are looked for.
const SWEEP: Duration = Duration::from_mins(1);

pub(super) struct Clients {
    egress: EgressPolicy,
    tls: TlsFactory,
    lookups: Lookups,
    hasher: RandomState,
    cache: Mutex<Cache>,
}

struct Cache {
    entries: HashMap<u64, Entry>,
    swept: Instant,
}

struct Entry {
    key: Key,
    client: Client,
    used: Instant,
}

/// Everything that makes a connection trusted, by its contents: two set-ups share
/// connections only if nothing distinguishes them.
struct Key {
    channel: Channel,
    connect_timeout: Duration,
    tls: TlsSettings,
}

impl Clients {
    pub(super) fn new(egress: EgressPolicy) -> Self {
        Self {
            egress,
            tls: TlsFactory::new(),
            lookups: Lookups::default(),
            hasher: RandomState::new(),
            cache: Mutex::new(Cache {
                entries: HashMap::new(),
                swept: Instant::now(),
            }),
        }
    }

    /// The client for this subscription, built at its first use.
    ///
    /// It is built under the lock: that takes well under a millisecond, and no second
    /// task builds the same one.
    pub(super) fn client_for(
        &self,
        channel: Channel,
        subscription: &Subscription,
    ) -> Result<Client, TlsError> {
        let now = Instant::now();
        let fingerprint = self.fingerprint(channel, subscription);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.sweep(now);

        if let Some(entry) = cache.entries.get_mut(&fingerprint)
            && entry.key.fits(channel, subscription)
        {
            entry.used = now;
            return Ok(entry.client.clone());
        }
        let key = Key {
            channel,
            connect_timeout: subscription.connect_timeout,
            tls: subscription.tls.clone(),
        };
        let client = self.build(&key)?;
        cache.make_room();
        cache.entries.insert(
            fingerprint,
            Entry {
                key,
                client: client.clone(),
                used: now,
            },
        );
        Ok(client)
    }

    /// Finds the entry; `Key::fits` then decides. Keyed at random for each process, so
    /// that it tells nothing about the secret that goes into it.
    fn fingerprint(&self, channel: Channel, subscription: &Subscription) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        channel.hash(&mut hasher);
        subscription.connect_timeout.hash(&mut hasher);
        identity(&subscription.tls).hash(&mut hasher);
        subscription.tls.ca.hash(&mut hasher);
        hasher.finish()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place where clients are built"
    )]
    fn build(&self, key: &Key) -> Result<Client, TlsError> {
        Client::builder()
            .tls_backend_preconfigured(self.tls.config(&key.tls)?)
            .https_only(key.channel == Channel::Tls)
            .dns_resolver(VettingResolver {
                egress: self.egress.clone(),
                channel: key.channel,
                lookups: self.lookups.clone(),
            })
            // HTTP/2 has no reason phrase (WIRE.md 1.10).
            .http1_only()
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            // One attempt is one exchange. Without copies for resending, too; what is
            // left is hyper's own second try on another connection when a kept one
            // turns out to be closed before the first byte was written to it.
            .retry(retry::never().max_retries_per_request(0))
            .connect_timeout(key.connect_timeout)
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE_CONNECTION)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_PER_HOST)
            .build()
            .map_err(|_| TlsError::Client)
    }
}

impl Cache {
    fn sweep(&mut self, now: Instant) {
        if now.duration_since(self.swept) >= SWEEP {
            self.swept = now;
            self.entries
                .retain(|_, entry| now.duration_since(entry.used) < KEEP_UNUSED);
        }
    }

    /// Lets the client go that was unused for longest. Its exchanges in the air end
    /// normally: they hold it themselves.
    fn make_room(&mut self) {
        if self.entries.len() < MAX_CLIENTS {
            return;
        }
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
        if let Some((&fingerprint, _)) = oldest {
            self.entries.remove(&fingerprint);
        }
    }
}

impl Key {
    fn fits(&self, channel: Channel, subscription: &Subscription) -> bool {
        self.channel == channel
            && self.connect_timeout == subscription.connect_timeout
            && identity(&self.tls) == identity(&subscription.tls)
            && self.tls.ca == subscription.tls.ca
    }
}

fn identity(tls: &TlsSettings) -> Option<&[u8]> {
    tls.client_identity
        .as_ref()
        .map(ExposeSecret::expose_secret)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]
mod tests {
    use std::time::Duration;

    use super::{Channel, Clients, EgressPolicy, KEEP_UNUSED, MAX_CLIENTS, SWEEP};
    use crate::model::Subscription;
    use crate::model::subscription::TlsSettings;
    use crate::send::tests::subscription;

    fn connecting_within(milliseconds: usize) -> Subscription {
        let mut subscription = subscription(TlsSettings::default());
        subscription.connect_timeout = Duration::from_millis(milliseconds.try_into().unwrap());
        subscription
    }

    fn count(clients: &Clients) -> usize {
        clients.cache.lock().unwrap().entries.len()
    }

    #[test]
    fn there_is_one_client_for_each_set_up() {
        let clients = Clients::new(EgressPolicy::default());
        for (channel, milliseconds, expected) in [
            (Channel::Tls, 10, 1),
            (Channel::Tls, 10, 1),
            (Channel::Plain, 10, 2),
            (Channel::Tls, 20, 3),
            (Channel::Tls, 10, 3),
        ] {
            let subscription = connecting_within(milliseconds);
            clients.client_for(channel, &subscription).unwrap();
            assert_eq!(count(&clients), expected);
        }
    }

    #[test]
    fn clients_are_bounded_and_the_unused_let_go() {
        let clients = Clients::new(EgressPolicy::default());
        for milliseconds in 1..=MAX_CLIENTS + 20 {
            let subscription = connecting_within(milliseconds);
            clients.client_for(Channel::Plain, &subscription).unwrap();
        }
        assert_eq!(count(&clients), MAX_CLIENTS);

        let mut cache = clients.cache.lock().unwrap();
        let newest = cache.entries.values().map(|entry| entry.used).max();
        cache.sweep(newest.unwrap() + KEEP_UNUSED + SWEEP);
        assert!(cache.entries.is_empty());
    }
}
