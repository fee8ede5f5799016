//! Which rows of a slice were altered, added or removed. Pure.

use std::collections::HashSet;

use serde::Serialize;

use crate::model::seal::{Mark, Row, RowKey};

/// A change of a sealed row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum RowChange {
    /// The row is there, and holds something else than when it was sealed.
    Altered {
        /// The row's key.
        row: RowKey,
    },
    /// The row is there, and was not when the day was sealed.
    Added {
        /// The row's key.
        row: RowKey,
    },
    /// A row is gone. Its own key is not known, but its neighbours in the order of the keys are.
    Removed {
        /// The key of the row before it; none where it was the first.
        after: Option<RowKey>,
        /// The key of the row behind it; none where it was the last.
        before: Option<RowKey>,
    },
}

/// Finds what turns the rows that were sealed, by their marks, into those that are there, both in
/// the order of their keys. A row that is altered has another mark at its place; where its key was
/// altered, it shows as removed here and added there.
#[must_use]
pub fn difference(sealed: &[Mark], now: &[Row]) -> Vec<RowChange> {
    let were: HashSet<Mark> = sealed.iter().copied().collect();
    let are: HashSet<Mark> = now.iter().map(|row| row.mark).collect();
    let mut changes = Vec::new();
    let (mut old, mut new) = (0_usize, 0_usize);
    loop {
        let removed = RowChange::Removed {
            after: new
                .checked_sub(1)
                .and_then(|at| now.get(at))
                .map(|row| row.key),
            before: now.get(new).map(|row| row.key),
        };
        match (sealed.get(old), now.get(new)) {
            (None, None) => return changes,
            (Some(mark), Some(row)) if *mark == row.mark => {
                old += 1;
                new += 1;
            }
            (Some(_), None) => {
                changes.push(removed);
                old += 1;
            }
            (None, Some(row)) => {
                changes.push(RowChange::Added { row: row.key });
                new += 1;
            }
            (Some(mark), Some(row)) => match (are.contains(mark), were.contains(&row.mark)) {
                (true, false) => {
                    changes.push(RowChange::Added { row: row.key });
                    new += 1;
                }
                (false, true) => {
                    changes.push(removed);
                    old += 1;
                }
                (false, false) | (true, true) => {
                    changes.push(RowChange::Altered { row: row.key });
                    old += 1;
                    new += 1;
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn row(number: u8, mark: u8) -> Row {
        Row {
            key: RowKey {
                event_id: Uuid::from_u128(number.into()),
                subscription_id: Uuid::nil(),
                generation: 0,
                number: None,
            },
            mark: [mark; 4],
        }
    }

    #[test]
    fn the_very_row_is_named() {
        let sealed: Vec<Mark> = [1, 2, 3, 4].map(|mark| [mark; 4]).to_vec();
        let key = |number| row(number, 0).key;
        let altered = |number| RowChange::Altered { row: key(number) };
        let added = |number| RowChange::Added { row: key(number) };
        let removed = |after: Option<u8>, before: Option<u8>| RowChange::Removed {
            after: after.map(key),
            before: before.map(key),
        };
        for (now, expected) in [
            (vec![(1, 1), (2, 2), (3, 3), (4, 4)], vec![]),
            (vec![(1, 1), (2, 9), (3, 3), (4, 4)], vec![altered(2)]),
            (vec![(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)], vec![added(5)]),
            (vec![(0, 7), (1, 1), (2, 2), (3, 3), (4, 4)], vec![added(0)]),
            (
                vec![(1, 1), (3, 3), (4, 4)],
                vec![removed(Some(1), Some(3))],
            ),
            (vec![(2, 2), (3, 3), (4, 4)], vec![removed(None, Some(2))]),
            (vec![(1, 1), (2, 2), (3, 3)], vec![removed(Some(3), None)]),
            (
                vec![(1, 1), (2, 8), (3, 9), (4, 4)],
                vec![altered(2), altered(3)],
            ),
            (
                vec![(2, 2), (3, 3), (4, 4), (6, 8)],
                vec![removed(None, Some(2)), added(6)],
            ),
        ] {
            let now: Vec<Row> = now.into_iter().map(|(n, mark)| row(n, mark)).collect();
            assert_eq!(difference(&sealed, &now), expected);
        }
    }
}
