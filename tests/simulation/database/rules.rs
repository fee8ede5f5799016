//! Rules that somebody has added to the tables: what the database refuses to have recorded.

use posthorn::flow::entry::{Change, Entry};
use posthorn::model::{DeliveryKey, State};

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
        let attempt = entry.attempt.as_ref();
        match self.against(entry.key) {
            None => false,
            Some(0) => {
                attempt.is_some_and(|attempt| !attempt.reason.contains("the database refuses"))
            }
            Some(1) => attempt.is_some(),
            Some(2) => matches!(entry.change, Change::Retry { .. }),
            Some(3) => matches!(entry.change, Change::Spill | Change::SupersedeOlder { .. }),
            Some(_) => matches!(
                entry.change,
                Change::Finish {
                    state: State::Superseded,
                    ..
                }
            ),
        }
    }

    /// Whether some rule is against the delivery.
    pub fn are_against(self, key: DeliveryKey) -> bool {
        self.against(key).is_some()
    }

    /// Which rule is against the delivery, if one is.
    fn against(self, key: DeliveryKey) -> Option<u128> {
        let deliveries = self.0?;
        let number = key.event_id.as_u128() ^ key.subscription_id.as_u128();
        number
            .is_multiple_of(deliveries)
            .then_some(number / deliveries % 5)
    }
}
