//! Which of two credentials a lane uses while one takes the other's place. Without I/O.

use std::collections::HashSet;

use crate::dispatch::item::Trial;
use crate::model::{Credential, DeliveryKey, Verdict};

/// Second tries are due at once, so hardly more wait for theirs than were in the air
/// (`max_in_flight` is 500 at most).
const SECOND_TRIES: usize = 1000;

/// Stays with the credential that worked, until it is refused in turn.
///
/// A delivery whose credential is refused tries the other one at once, and after that waits
/// as its retry policy says: it never goes to and fro without a wait.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    in_use: Credential,
    /// Deliveries whose next attempt is the one with the other credential.
    second_tries: HashSet<DeliveryKey>,
}

impl Rotation {
    /// What a delivery that goes out now carries.
    pub(super) fn next(&mut self, key: DeliveryKey, has_previous: bool) -> Trial {
        if !has_previous {
            return Trial::default();
        }
        Trial {
            credential: self.in_use,
            other_left: !self.second_tries.remove(&key),
        }
    }

    /// Learns from an attempt; true if the delivery is to try the other credential at once.
    pub(super) fn landed(
        &mut self,
        key: DeliveryKey,
        trial: Trial,
        verdict: Verdict,
        refused: bool,
    ) -> bool {
        if verdict == Verdict::Delivered {
            self.in_use = trial.credential;
            return false;
        }
        if !refused {
            return false;
        }
        self.in_use = trial.credential.other();
        if trial.other_left {
            if self.second_tries.len() >= SECOND_TRIES {
                // Left behind by deliveries that ended otherwise. At worst one of the
                // others tries both once more.
                self.second_tries.clear();
            }
            self.second_tries.insert(key);
        }
        trial.other_left
    }
}
