//! Is every event accounted for? Pure.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::model::{DeliveryKey, State};

/// A row of `posthorn.deliveries` or `posthorn.pending_deliveries`, as far as the account needs it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub key: DeliveryKey,
    pub state: State,
}

/// What became of the deliveries, and what should not have.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Account {
    pub expected: usize,
    pub delivered: usize,
    pub posting_errors: usize,
    /// How many deliveries have an open row.
    pub waiting: usize,
    pub faults: Vec<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An event was committed and is wanted, and there is no row.
    Missing(DeliveryKey),
    /// There is more than one row.
    Repeated(DeliveryKey),
    /// There is a row for what nobody committed, or nobody wants.
    Unexpected(DeliveryKey),
    /// The row says that it is delivered, and no request arrived.
    NeverArrived(DeliveryKey),
    /// The delivery was superseded or cancelled, which nothing in the demo asks for.
    Withdrawn(DeliveryKey),
}

impl Account {
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Compares what was committed and what arrived with the rows. Each delivery has to have
/// one row: in the ledger or, still open, in `pending_deliveries`.
#[must_use]
pub fn account<A, B>(
    expected: &HashMap<DeliveryKey, A>,
    arrived: &HashMap<DeliveryKey, B>,
    rows: &[Row],
) -> Account {
    let mut account = Account {
        expected: expected.len(),
        ..Account::default()
    };
    let mut seen = HashSet::new();
    for Row { key, state } in rows {
        // A replay would be a second delivery too: the demo asks for none.
        let first = DeliveryKey {
            generation: 0,
            ..*key
        };
        if !seen.insert(first) {
            account.faults.push(Fault::Repeated(*key));
            continue;
        }
        if !expected.contains_key(&first) {
            account.faults.push(Fault::Unexpected(*key));
            continue;
        }
        match state {
            State::Delivered => {
                account.delivered += 1;
                if !arrived.contains_key(&first) {
                    account.faults.push(Fault::NeverArrived(*key));
                }
            }
            State::PostingError => account.posting_errors += 1,
            State::Pending | State::PendingRetry => account.waiting += 1,
            State::Superseded | State::Cancelled => account.faults.push(Fault::Withdrawn(*key)),
        }
    }
    let missing = expected.keys().filter(|key| !seen.contains(key));
    account.faults.extend(missing.copied().map(Fault::Missing));
    account.faults.sort_unstable();
    account
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, key) = match self {
            Self::Missing(key) => ("missing", key),
            Self::Repeated(key) => ("there twice", key),
            Self::Unexpected(key) => ("not expected", key),
            Self::NeverArrived(key) => ("delivered but never arrived", key),
            Self::Withdrawn(key) => ("withdrawn", key),
        };
        let (event, subscription) = (key.event_id, key.subscription_id);
        write!(f, "{what}: event {event}, subscription {subscription}")
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const fn key(event: u128) -> DeliveryKey {
        DeliveryKey {
            event_id: Uuid::from_u128(event),
            subscription_id: Uuid::nil(),
            generation: 0,
        }
    }

    const fn row(event: u128, state: State) -> Row {
        Row {
            key: key(event),
            state,
        }
    }

    fn keys(events: &[u128]) -> HashMap<DeliveryKey, bool> {
        events.iter().map(|event| (key(*event), true)).collect()
    }

    #[test]
    fn everything_with_one_row_is_accounted_for() {
        let rows = [
            row(1, State::Delivered),
            row(2, State::PostingError),
            row(3, State::Pending),
            row(4, State::PendingRetry),
        ];
        let account = account(&keys(&[1, 2, 3, 4]), &keys(&[1, 2, 4]), &rows);
        assert!(account.is_complete());
        assert_eq!(
            (account.delivered, account.posting_errors, account.waiting),
            (1, 1, 2)
        );
    }

    #[test]
    fn every_kind_of_fault_is_found() {
        const REPLAYED: Row = Row {
            key: DeliveryKey {
                generation: 1,
                ..key(1)
            },
            state: State::Delivered,
        };
        let delivered = row(1, State::Delivered);
        for (expected, arrived, rows, fault) in [
            (
                &[1, 2][..],
                &[1, 2][..],
                &[delivered][..],
                Fault::Missing(key(2)),
            ),
            (&[1], &[1], &[delivered, delivered], Fault::Repeated(key(1))),
            (
                &[1],
                &[1],
                &[delivered, row(1, State::PendingRetry)],
                Fault::Repeated(key(1)),
            ),
            (
                &[1],
                &[1],
                &[delivered, REPLAYED],
                Fault::Repeated(REPLAYED.key),
            ),
            (
                &[1],
                &[1, 2],
                &[delivered, row(2, State::Delivered)],
                Fault::Unexpected(key(2)),
            ),
            (&[1], &[2], &[delivered], Fault::NeverArrived(key(1))),
            (
                &[1],
                &[1],
                &[row(1, State::Cancelled)],
                Fault::Withdrawn(key(1)),
            ),
        ] {
            let account = account(&keys(expected), &keys(arrived), rows);
            assert_eq!(account.faults, [fault]);
            assert!(!account.is_complete());
        }
    }
}
