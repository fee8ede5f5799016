//! The places for connections, and who gets one when there are more clients than places: not
//! whoever came first and sits, but whoever has few.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The places of a listener, shared out among its clients.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    most_of_address: usize,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    /// The number of what happened last: of two numbers the smaller one was earlier.
    now: u64,
    taken: usize,
    networks: HashMap<IpAddr, Network>,
}

#[derive(Debug, Default)]
struct Network {
    /// Whether the address stands for many clients, as a proxy does: it has no limit of its own,
    /// and nothing that works is taken away from it.
    is_many: bool,
    seats: BTreeMap<u64, Taken>,
    /// The connections on which nothing is answered: since when, and their numbers.
    idle: BTreeSet<(u64, u64)>,
}

#[derive(Debug)]
struct Taken {
    /// Since when nothing is answered on the connection; none where something is.
    idle_since: Option<u64>,
    lost: CancellationToken,
}

/// A connection's place; free again once this is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    network: IpAddr,
    number: u64,
    lost: CancellationToken,
}

impl Seats {
    /// Makes so many places, and so many of them for one address (of IPv6, a /64).
    #[must_use]
    pub fn new(most: usize, most_of_address: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_address,
            book: Mutex::default(),
        })
    }

    /// Gives a place to a connection from this address, if need be that of another one: of the
    /// address with the most connections the one that has been idle longest, or, where none is idle
    /// and the newcomer has fewer by two, the youngest.
    pub fn take(self: &Arc<Self>, address: IpAddr, is_many: bool) -> Option<Seat> {
        let network = network(address);
        let mut book = self.book();
        let own = book.networks.get(&network).map_or(0, |own| own.seats.len());
        if own >= self.most_of_address && !is_many {
            let idlest = book.networks.get(&network)?.idlest()?;
            book.give_up(network, idlest);
        } else if book.taken >= self.most {
            let (of, number) = book.idlest().or_else(|| book.youngest(own))?;
            book.give_up(of, number);
        }
        book.now += 1;
        let number = book.now;
        let lost = CancellationToken::new();
        let taken = Taken {
            idle_since: Some(number),
            lost: lost.clone(),
        };
        book.taken += 1;
        let entry = book.networks.entry(network).or_default();
        entry.is_many = is_many;
        entry.seats.insert(number, taken);
        entry.idle.insert((number, number));
        drop(book);
        Some(Seat {
            seats: Arc::clone(self),
            network,
            number,
            lost,
        })
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Network {
    fn idlest(&self) -> Option<u64> {
        self.idle.first().map(|(_, number)| *number)
    }
}

impl Book {
    fn idlest(&self) -> Option<(IpAddr, u64)> {
        let networks = self.networks.iter();
        let idle =
            networks.filter_map(|(network, of)| Some((of.seats.len(), *network, of.idlest()?)));
        let (_, network, number) = idle.max_by_key(|(count, ..)| *count)?;
        Some((network, number))
    }

    fn youngest(&self, own: usize) -> Option<(IpAddr, u64)> {
        let networks = self.networks.iter().filter(|(_, of)| !of.is_many);
        let (network, of) = networks.max_by_key(|(_, of)| of.seats.len())?;
        if of.seats.len() < own + 2 {
            return None;
        }
        Some((*network, *of.seats.last_key_value()?.0))
    }

    fn give_up(&mut self, network: IpAddr, number: u64) {
        let Some(of) = self.networks.get_mut(&network) else {
            return;
        };
        if let Some(taken) = of.seats.remove(&number) {
            taken.lost.cancel();
            self.taken -= 1;
            if let Some(since) = taken.idle_since {
                of.idle.remove(&(since, number));
            }
        }
        if of.seats.is_empty() {
            self.networks.remove(&network);
        }
    }
}

impl Seat {
    /// Notes whether the connection is one to be ended before others, as nothing is answered on it.
    pub fn set_idle(&self, is_idle: bool) {
        let mut book = self.seats.book();
        book.now += 1;
        let now = book.now;
        let Some(Network { seats, idle, .. }) = book.networks.get_mut(&self.network) else {
            return;
        };
        let Some(taken) = seats.get_mut(&self.number) else {
            return;
        };
        let since = is_idle.then_some(now);
        if let Some(before) = std::mem::replace(&mut taken.idle_since, since) {
            idle.remove(&(before, self.number));
        }
        idle.extend(since.map(|since| (since, self.number)));
    }

    /// Resolves when somebody else has been given the place: the connection is to end at once.
    pub fn lost(&self) -> WaitForCancellationFutureOwned {
        self.lost.clone().cancelled_owned()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.book().give_up(self.network, self.number);
    }
}

/// Whom an address stands for: a household has a /64 of IPv6 addresses, and takes a new one
/// whenever it likes.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn is_lost(seat: &Seat) -> bool {
        seat.lost().now_or_never().is_some()
    }

    fn taken(seats: &Arc<Seats>, address: &str) -> Option<Seat> {
        seats.take(address.parse().unwrap(), false)
    }

    #[test]
    fn a_new_address_gets_the_place_that_was_idle_longest_of_whoever_has_most() {
        let seats = Seats::new(4, 10);
        let busy = taken(&seats, "10.0.0.1").unwrap();
        let first = taken(&seats, "10.0.0.1").unwrap();
        let second = taken(&seats, "10.0.0.1").unwrap();
        let other = taken(&seats, "10.0.0.2").unwrap();
        busy.set_idle(false);
        first.set_idle(false);
        first.set_idle(true);
        let _new = taken(&seats, "10.0.0.3").unwrap();
        assert!(is_lost(&second));
        assert!(![&busy, &first, &other].into_iter().any(is_lost));
    }

    #[test]
    fn where_none_is_idle_the_youngest_goes_until_all_have_the_same() {
        let seats = Seats::new(3, 10);
        let busy: Vec<Seat> = (0..3).map(|_| taken(&seats, "10.0.0.1").unwrap()).collect();
        for seat in &busy {
            seat.set_idle(false);
        }
        let new = taken(&seats, "10.0.0.2").unwrap();
        new.set_idle(false);
        let lost: Vec<bool> = busy.iter().map(is_lost).collect();
        assert_eq!(lost, [false, false, true]);
        assert!(taken(&seats, "10.0.0.2").is_none());
        assert!(taken(&seats, "10.0.0.1").is_none());
        drop(busy);
        assert!(taken(&seats, "10.0.0.2").is_some());
    }

    #[test]
    fn an_address_has_so_many_and_its_own_idle_ones_make_room() {
        let seats = Seats::new(10, 2);
        let first = taken(&seats, "2001:db8::1").unwrap();
        let second = taken(&seats, "2001:db8::2").unwrap();
        let third = taken(&seats, "2001:db8::3").unwrap();
        assert!(is_lost(&first) && !is_lost(&second));
        second.set_idle(false);
        third.set_idle(false);
        assert!(taken(&seats, "2001:db8::4").is_none());
        assert!(taken(&seats, "2001:db8:0:1::4").is_some());
    }

    #[test]
    fn a_proxy_stands_for_many() {
        let seats = Seats::new(3, 1);
        let proxy = "10.0.0.1".parse().unwrap();
        let behind: Vec<Seat> = (0..3).map(|_| seats.take(proxy, true).unwrap()).collect();
        for seat in &behind {
            seat.set_idle(false);
        }
        assert!(taken(&seats, "10.0.0.2").is_none());
        assert!(!behind.iter().any(is_lost));
    }
}
