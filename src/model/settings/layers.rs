//! Whose word holds: an operator's lock above the subscription above its profile above the
//! engine's default (WIRE.md, "Where they conflict: one model").

use std::sync::Arc;

use super::Settings;

/// The layers that make up one subscription's settings, and what each of them says.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// The locks that hold for it, each with its name; the first that gives a setting wins.
    pub locks: Vec<(String, Arc<Settings>)>,
    /// What the subscription itself says.
    pub own: Settings,
    /// What its profile says, with the profile's name.
    pub profile: Option<(String, Arc<Settings>)>,
}

/// Where an effective setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin<'a> {
    /// A lock, by its name.
    Lock(&'a str),
    /// The subscription itself.
    Subscription,
    /// The subscription's profile, by its name.
    Profile(&'a str),
    /// The engine's default: nobody gave the setting.
    Default,
}

impl Layers {
    /// The settings that hold when all layers are laid over each other, for
    /// [`resolve`](super::resolve).
    #[must_use]
    pub fn merged(&self) -> Settings {
        let upper = self
            .locks
            .iter()
            .fold(Settings::default(), |over, (_, lock)| over.or(lock));
        let merged = upper.or(&self.own);
        match &self.profile {
            Some((_, profile)) => merged.or(profile),
            None => merged,
        }
    }

    /// Which layer the setting of this key comes from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin<'_> {
        if let Some((name, _)) = self.locks.iter().find(|(_, lock)| lock.has(key)) {
            return Origin::Lock(name);
        }
        match &self.profile {
            _ if self.own.has(key) => Origin::Subscription,
            Some((name, profile)) if profile.has(key) => Origin::Profile(name),
            _ => Origin::Default,
        }
    }
}

/// For which subscriptions a lock holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockReach {
    /// The one merchant whose subscriptions it holds for; none for every merchant's.
    pub merchant: Option<String>,
    /// The one profile whose subscriptions it holds for; none for those with any profile, or with
    /// none.
    pub profile: Option<String>,
}

impl LockReach {
    /// Whether the lock holds for subscriptions of this merchant with this profile.
    #[must_use]
    pub fn covers(&self, merchant: &str, profile: Option<&str>) -> bool {
        self.merchant.as_deref().is_none_or(|own| own == merchant)
            && self
                .profile
                .as_deref()
                .is_none_or(|own| Some(own) == profile)
    }

    /// How many subscriptions the lock may reach, as a rank. The narrower lock wins: a merchant's
    /// over a profile's over everyone's. By this and then by name, locks are put in order.
    #[must_use]
    pub const fn breadth(&self) -> u8 {
        match (&self.merchant, &self.profile) {
            (Some(_), Some(_)) => 0,
            (Some(_), None) => 1,
            (None, Some(_)) => 2,
            (None, None) => 3,
        }
    }
}
