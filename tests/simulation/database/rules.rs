//! Rules that somebody has added to the tables: what the database refuses to have recorded.

use posthorn::flow::entry::{Change, Entry};
use posthorn::model::State;

/// Of so many deliveries one has a rule against it, if any has. Which rule it is, the ids say:
/// it is the same at every try.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules(Option<u128>);

impl Rules {
    pub const fn for_one_of(deliveries: Option<u128>) -> Self {
        Self(deliveries)
    }

    /// Nothing is refused that a delivery cannot end without: a final state of one that was
    /// tried is taken, without the attempt at least.
    pub fn refuse(self, entry: &Entry) -> bool {
        let Some(deliveries) = self.0 else {
            return false;
        };
        let key = entry.key;
        let number = key.event_id.as_u128() ^ key.subscription_id.as_u128();
        if number % deliveries > 0 {
            return false;
        }
        let attempt = entry.attempt.as_ref();
        match number / deliveries % 5 {
            0 => attempt.is_some_and(|attempt| !attempt.reason.contains("the database refuses")),
            1 => attempt.is_some(),
            2 => matches!(entry.change, Change::Retry { .. }),
            3 => matches!(entry.change, Change::Spill | Change::SupersedeOlder { .. }),
            _ => matches!(
                entry.change,
                Change::Finish {
                    state: State::Superseded,
                    ..
                }
            ),
        }
    }
}
