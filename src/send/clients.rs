//! One HTTP client, with its connections and TLS sessions, for each merchant and each
//! set-up that makes a connection trusted.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::ExposeSecret;

use super::connector::{Connector, Outside};
use super::http1::Client;
use super::tls::{TlsError, TlsFactory};
use crate::model::Subscription;
use crate::model::subscription::{Exit, TlsSettings};

/// The most clients that are kept, which bounds their memory: one takes some 10 kB.
const MOST_CLIENTS: usize = 4096;

/// The most clients with a CA of their own: one takes about 100 kB for its copy of the system's
/// roots.
const MOST_WITH_CA: usize = 512;

/// How long an unused client is kept. With it go the certificates and the key of a subscription
/// that was changed or removed.
const KEEP_UNUSED: Duration = Duration::from_mins(10);

/// How often unused clients are looked for.
const SWEEP: Duration = Duration::from_mins(1);

pub(super) struct Clients {
    outside: Arc<Outside>,
    tls: TlsFactory,
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

/// What distinguishes connections: everything that makes one trusted, by its contents, and the
/// merchant. Two subscriptions share connections and TLS sessions only if nothing of it differs.
struct Key {
    merchant: String,
    connect_timeout: Duration,
    exit: Exit,
    tls: TlsSettings,
}

impl Clients {
    pub(super) fn new(outside: Arc<Outside>) -> Self {
        Self {
            outside,
            tls: TlsFactory::new(),
            hasher: RandomState::new(),
            cache: Mutex::new(Cache {
                entries: HashMap::new(),
                swept: Instant::now(),
            }),
        }
    }

    /// Gives the client for this subscription, built at its first use.
    ///
    /// It is built under the lock: that takes well under a millisecond, and no second task builds
    /// the same one.
    pub(super) fn client_for(&self, subscription: &Subscription) -> Result<Client, TlsError> {
        let now = Instant::now();
        let fingerprint = self.fingerprint(subscription);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.sweep(now);

        if let Some(entry) = cache.entries.get_mut(&fingerprint)
            && entry.key.fits(subscription)
        {
            entry.used = now;
            return Ok(entry.client.clone());
        }
        let key = Key {
            merchant: subscription.merchant.clone(),
            connect_timeout: subscription.connect_timeout,
            exit: subscription.exit.clone(),
            tls: subscription.tls.clone(),
        };
        let client = self.build(&key)?;
        cache.make_room(key.tls.ca.is_some());
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

    /// A number by which to find the entry; `Key::fits` then decides. It is keyed at random for
    /// each process, so that it tells nothing about the secret that goes into it.
    fn fingerprint(&self, subscription: &Subscription) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        subscription.merchant.hash(&mut hasher);
        subscription.connect_timeout.hash(&mut hasher);
        subscription.exit.hash(&mut hasher);
        identity(&subscription.tls).hash(&mut hasher);
        subscription.tls.ca.hash(&mut hasher);
        hasher.finish()
    }

    fn build(&self, key: &Key) -> Result<Client, TlsError> {
        let tls = self.tls.config(&key.tls)?;
        let (outside, exit) = (Arc::clone(&self.outside), key.exit.clone());
        let connector = Connector::new(outside, exit, tls, key.connect_timeout);
        Ok(Client::new(connector))
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

    /// Lets the client of its kind go that was unused for longest. Its exchanges in the air
    /// end normally: they hold it themselves.
    fn make_room(&mut self, with_ca: bool) {
        let most = if with_ca { MOST_WITH_CA } else { MOST_CLIENTS };
        let alike = || {
            let entries = self.entries.iter();
            entries.filter(|(_, entry)| entry.key.tls.ca.is_some() == with_ca)
        };
        if alike().count() < most {
            return;
        }
        let oldest = alike().min_by_key(|(_, entry)| entry.used);
        if let Some((&fingerprint, _)) = oldest {
            self.entries.remove(&fingerprint);
        }
    }
}

impl Key {
    fn fits(&self, subscription: &Subscription) -> bool {
        self.merchant == subscription.merchant
            && self.connect_timeout == subscription.connect_timeout
            && self.exit == subscription.exit
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
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::{Clients, KEEP_UNUSED, MOST_CLIENTS, SWEEP};
    use crate::model::Subscription;
    use crate::model::subscription::{Exit, TlsSettings};
    use crate::send::connector::{Network, Outside};
    use crate::send::tests::subscription;

    fn clients() -> Clients {
        Clients::new(Arc::new(Outside::new(Network::default())))
    }

    fn of_merchant(name: &str) -> Subscription {
        Subscription {
            merchant: name.to_owned(),
            ..subscription(TlsSettings::default())
        }
    }

    fn count(clients: &Clients) -> usize {
        clients.cache.lock().unwrap().entries.len()
    }

    #[test]
    fn there_is_one_client_for_each_merchant_and_set_up() {
        let clients = clients();
        let acme = of_merchant("acme");
        let slow = Subscription {
            connect_timeout: Duration::from_mins(1),
            ..acme.clone()
        };
        let elsewhere = Subscription {
            exit: Exit {
                source_addresses: vec!["127.0.0.2".parse().unwrap()],
                proxy_pool: None,
            },
            ..acme.clone()
        };
        let proxied = Subscription {
            exit: Exit {
                source_addresses: Vec::new(),
                proxy_pool: Some("dmz".to_owned()),
            },
            ..acme.clone()
        };
        for (subscription, expected) in [
            (&acme, 1),
            (&acme, 1),
            (&of_merchant("other"), 2),
            (&slow, 3),
            (&elsewhere, 4),
            (&proxied, 5),
            (&acme, 5),
        ] {
            clients.client_for(subscription).unwrap();
            assert_eq!(count(&clients), expected);
        }
    }

    #[test]
    fn clients_are_bounded_and_the_unused_let_go() {
        let clients = clients();
        for merchant in 1..=MOST_CLIENTS + 20 {
            let subscription = of_merchant(&merchant.to_string());
            clients.client_for(&subscription).unwrap();
        }
        assert_eq!(count(&clients), MOST_CLIENTS);

        let mut cache = clients.cache.lock().unwrap();
        let newest = cache.entries.values().map(|entry| entry.used).max();
        cache.sweep(newest.unwrap() + KEEP_UNUSED + SWEEP);
        assert!(cache.entries.is_empty());
    }
}
