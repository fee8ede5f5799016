//! Bytes on their way: what clients have sent and is not understood yet, and what waits until
//! they take it. Of each token, of each address and of the process there are so many and no
//! more, however many sockets they come by.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::seats::network;
use crate::store::tokens::TokenHash;

/// The most bytes that there may be on their way.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    pub process: usize,
    pub address: usize,
    pub token: usize,
}

#[derive(Debug)]
pub struct Budget {
    most: Most,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    process: usize,
    addresses: HashMap<IpAddr, usize>,
    tokens: HashMap<TokenHash, usize>,
}

/// Whom bytes in memory are charged to: an address, and a token once it is known.
#[derive(Clone, Debug)]
pub struct Account {
    budget: Arc<Budget>,
    network: IpAddr,
    token: Option<TokenHash>,
}

/// Bytes of an account, until this is dropped.
#[derive(Debug)]
pub struct Held {
    account: Account,
    bytes: usize,
}

impl Budget {
    #[must_use]
    pub fn new(most: Most) -> Arc<Self> {
        Arc::new(Self {
            most,
            used: Mutex::default(),
        })
    }

    /// Opens the account of an address (of IPv6, a /64), as long as no token is known.
    #[must_use]
    pub fn account(self: &Arc<Self>, address: IpAddr) -> Account {
        Account {
            budget: Arc::clone(self),
            network: network(address),
            token: None,
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    #[must_use]
    pub fn with_token(&self, token: TokenHash) -> Self {
        Self {
            token: Some(token),
            ..self.clone()
        }
    }

    /// Charges so many bytes to the account, until what is returned is dropped; none where these
    /// would be too many.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Option<Held> {
        let most = self.budget.most;
        let mut used = self.budget.used();
        let fits = |used: Option<&usize>, most: usize| {
            bytes <= most.saturating_sub(used.copied().unwrap_or_default())
        };
        let token = self.token.as_ref();
        if !fits(Some(&used.process), most.process)
            || !fits(used.addresses.get(&self.network), most.address)
            || !token.is_none_or(|token| fits(used.tokens.get(token), most.token))
        {
            return None;
        }
        used.process += bytes;
        *used.addresses.entry(self.network).or_default() += bytes;
        if let Some(token) = self.token {
            *used.tokens.entry(token).or_default() += bytes;
        }
        drop(used);
        Some(Held {
            account: self.clone(),
            bytes,
        })
    }
}

impl Held {
    /// Charges so many bytes more to the account; false where these would be too many.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let Some(mut more) = self.account.take(bytes) else {
            return false;
        };
        self.bytes += std::mem::take(&mut more.bytes);
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut used = self.account.budget.used();
        used.process -= self.bytes;
        give_back(&mut used.addresses, self.account.network, self.bytes);
        if let Some(token) = self.account.token {
            give_back(&mut used.tokens, token, self.bytes);
        }
    }
}

/// Takes bytes off an account; one that nobody uses any more is forgotten.
fn give_back<K: Eq + Hash>(used: &mut HashMap<K, usize>, key: K, bytes: usize) {
    if let Entry::Occupied(mut entry) = used.entry(key) {
        *entry.get_mut() -= bytes;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_addresses_and_tokens_have_their_bytes_each() {
        let budget = Budget::new(Most {
            process: 100,
            address: 60,
            token: 30,
        });
        let address = |text: &str| budget.account(text.parse().unwrap());
        let one = address("10.0.0.1").with_token([1; 32]);
        let mut held = one.take(20).unwrap();
        assert!(held.grow(10) && !held.grow(1));
        assert!(address("10.0.0.2").with_token([1; 32]).take(1).is_none());
        let other = address("10.0.0.1").with_token([2; 32]).take(30).unwrap();
        assert!(address("10.0.0.1").take(1).is_none());
        let last = address("10.0.0.3").take(40).unwrap();
        assert!(address("10.0.0.4").take(1).is_none());
        drop(other);
        drop(last);
        drop(held);
        let used = budget.used();
        assert!(used.process == 0 && used.addresses.is_empty() && used.tokens.is_empty());
    }
}
