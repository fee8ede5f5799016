//! How often and how much one client may ask.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::refusal::Refusal;
use crate::http::seats::network;
use crate::store::tokens::TokenHash;

/// How often addresses and tokens are forgotten that were not heard of lately.
pub const SWEEP: Duration = Duration::from_mins(1);

/// A second's requests may come at once, and so may those of a page that opens several
/// channels.
const BURST_SECONDS: u32 = 2;

type Rate<K> = RateLimiter<K, HashMapStateStore<K>, governor::clock::DefaultClock>;

#[derive(Debug)]
pub struct Limits {
    tokens: Rate<TokenHash>,
    addresses: Rate<IpAddr>,
    open: Arc<Mutex<HashMap<TokenHash, usize>>>,
    max_open: usize,
}

impl Limits {
    /// Requests a second of each token and of each address, and streams and waits that a
    /// token may have open.
    #[must_use]
    pub fn new(per_token: NonZeroU32, per_address: NonZeroU32, max_open: usize) -> Self {
        Self {
            tokens: RateLimiter::hashmap(quota(per_token)),
            addresses: RateLimiter::hashmap(quota(per_address)),
            open: Arc::default(),
            max_open,
        }
    }

    pub fn address(&self, address: IpAddr) -> Result<(), Refusal> {
        check(&self.addresses, &network(address))
    }

    pub fn token(&self, token: &TokenHash) -> Result<(), Refusal> {
        check(&self.tokens, token)
    }

    /// Counts one more open channel of a token until what it returns is dropped.
    pub fn open(&self, token: &TokenHash) -> Result<Open, Refusal> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(*token).or_default();
        if *count >= self.max_open {
            return Err(Refusal::TooMany);
        }
        *count += 1;
        Ok(Open {
            token: *token,
            open: Arc::clone(&self.open),
        })
    }

    /// Forgets who has not asked lately.
    pub fn sweep(&self) {
        self.tokens.retain_recent();
        self.addresses.retain_recent();
    }
}

fn quota(per_second: NonZeroU32) -> Quota {
    let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1));
    Quota::per_second(per_second).allow_burst(burst)
}

fn check<K: Clone + Eq + Hash>(rate: &Rate<K>, key: &K) -> Result<(), Refusal> {
    rate.check_key(key).map_err(|_| Refusal::TooMany)
}

/// Places for what an address has under way at the same time.
#[derive(Debug)]
pub struct Places {
    most: usize,
    most_of_address: usize,
    taken: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

/// A channel that counts as open until this is dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    network: IpAddr,
}

impl Places {
    /// So many of the process, and so many of one address.
    #[must_use]
    pub fn new(most: usize, most_of_address: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_address,
            taken: Mutex::default(),
        })
    }

    pub fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, Refusal> {
        let network = network(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, addresses) = &mut *taken;
        if *all >= self.most {
            return Err(Refusal::Busy);
        }
        let of_address = addresses.entry(network).or_default();
        if *of_address >= self.most_of_address {
            return Err(Refusal::TooMany);
        }
        *of_address += 1;
        *all += 1;
        Ok(Place {
            places: Arc::clone(self),
            network,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = self.places.taken.lock();
        let mut taken = taken.unwrap_or_else(PoisonError::into_inner);
        let (all, addresses) = &mut *taken;
        *all -= 1;
        if let Some(of_address) = addresses.get_mut(&self.network) {
            *of_address -= 1;
            if *of_address == 0 {
                addresses.remove(&self.network);
            }
        }
    }
}

/// An open channel of a token.
#[derive(Debug)]
pub struct Open {
    token: TokenHash,
    open: Arc<Mutex<HashMap<TokenHash, usize>>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.token) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.token);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        let two = NonZeroU32::new(2).unwrap();
        Limits::new(two, two, 2)
    }

    #[test]
    fn each_token_and_each_network_has_its_own_rate() {
        let limits = limits();
        for _ in 0..4 {
            limits.token(&[1; 32]).unwrap();
            limits.address("2001:db8::1".parse().unwrap()).unwrap();
        }
        assert!(limits.token(&[1; 32]).is_err());
        limits.token(&[2; 32]).unwrap();
        assert!(limits.address("2001:db8::ffff".parse().unwrap()).is_err());
        limits.address("2001:db8:0:1::1".parse().unwrap()).unwrap();
        limits.address("10.0.0.1".parse().unwrap()).unwrap();
    }

    #[test]
    fn an_address_takes_so_many_places_and_leaves_the_others() {
        let places = Places::new(3, 2);
        let take = |address: &str| places.take(address.parse().unwrap());
        let first = take("10.0.0.1").unwrap();
        let _second = take("10.0.0.1").unwrap();
        assert_eq!(take("10.0.0.1").unwrap_err(), Refusal::TooMany);
        let _other = take("10.0.0.2").unwrap();
        assert_eq!(take("10.0.0.3").unwrap_err(), Refusal::Busy);
        drop(first);
        let _again = take("10.0.0.1").unwrap();
    }

    #[test]
    fn a_token_has_so_many_channels_open_and_no_more() {
        let limits = limits();
        let first = limits.open(&[1; 32]).unwrap();
        let _second = limits.open(&[1; 32]).unwrap();
        assert!(limits.open(&[1; 32]).is_err());
        let _other = limits.open(&[2; 32]).unwrap();
        drop(first);
        let _third = limits.open(&[1; 32]).unwrap();
    }
}
