//! `[[profile]]`, `[[lock]]` and `[[subscription]]`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::bases::Bases;
use super::document::Section;
use super::entry::{FileLock, FileProfile, FileSubscription};
use super::{builtin, instamed, settings, value};
use crate::model::Settings;
use crate::model::settings::{LockReach, Problem, quoted};

pub(super) struct Entries {
    pub profiles: Vec<FileProfile>,
    pub locks: Vec<FileLock>,
    pub subscriptions: Vec<FileSubscription>,
}

impl Entries {
    /// Reads profiles and locks first, wherever they stand: each subscription is checked together
    /// with its own.
    pub fn read(file: &mut Section<'_>) -> Self {
        let mut told = Told::default();
        let profiles = file.tables("profile", |section| {
            let (name, settings) = shared(section, &mut told.profiles);
            if builtin::profiles().iter().any(|own| own.name == name) {
                section.refuse(
                    "name",
                    "a profile that comes with Posthorn; give another name",
                );
            }
            FileProfile { name, settings }
        });
        let bases = Bases::of(&profiles, &[]);
        let locks = file.tables("lock", |section| {
            let (name, settings) = shared(section, &mut told.locks);
            let reach = LockReach {
                merchant: section.read("merchant", value::name),
                profile: section.read("profile", value::name),
            };
            if let Some(profile) = &reach.profile {
                refuse_unknown_profile(section, profile, &bases);
            }
            FileLock {
                name,
                reach,
                settings,
            }
        });
        let bases = Bases::of(&profiles, &locks);
        let mut lines = HashMap::new();
        let subscriptions = file.tables("subscription", |section| {
            let subscription = subscription(section, &bases, &mut lines);
            check(section, &subscription, &bases, &told);
            subscription
        });
        Self {
            profiles,
            locks,
            subscriptions,
        }
    }
}

/// Refuses what is wrong with the settings that take effect, each problem once.
fn check(section: &Section<'_>, subscription: &FileSubscription, bases: &Bases<'_>, told: &Told) {
    let settings = &subscription.settings;
    let is_known = match &subscription.profile {
        Some(profile) => refuse_unknown_profile(section, profile, bases),
        None => !section.has("profile"),
    };
    if !is_known {
        // What is absent may have stood in the profile.
        for problem in settings.profile_problems() {
            section.refuse(problem.key, problem.message);
        }
        return;
    }
    let layers = bases.layers(subscription);
    let unreadable = unreadable(section, settings);
    let locks = layers.locks.iter().map(|(name, _)| told.locks.get(name));
    let profile = layers.profile.iter();
    let profile = profile.map(|(name, _)| told.profiles.get(name));
    let shared: Vec<&Shared> = locks.chain(profile).flatten().collect();
    for problem in layers.merged().problems() {
        let told = unreadable.contains(&problem.key)
            || shared.iter().any(|shared| {
                shared.told.contains(&problem) || shared.unreadable.contains(&problem.key)
            });
        if !told {
            section.refuse(problem.key, problem.message);
        }
    }
}

/// What has been said of profiles and locks, by their names.
#[derive(Default)]
struct Told {
    profiles: HashMap<String, Shared>,
    locks: HashMap<String, Shared>,
}

/// What several subscriptions share, and what they need not be told again.
struct Shared {
    line: usize,
    told: Vec<Problem>,
    unreadable: Vec<&'static str>,
}

/// Reads the name and the settings of a profile or a lock.
fn shared(section: &mut Section<'_>, others: &mut HashMap<String, Shared>) -> (String, Settings) {
    let name = required(section, "name");
    let settings = settings::read(section);
    let told = settings.profile_problems();
    for problem in &told {
        section.refuse(problem.key, problem.message.clone());
    }
    let shared = Shared {
        line: section.line(),
        told,
        unreadable: unreadable(section, &settings),
    };
    match others.entry(name.clone()) {
        Entry::Occupied(twin) => section.refuse(
            "name",
            format!("the same name as in line {}; give another", twin.get().line),
        ),
        // A name that was refused is nobody's twin.
        Entry::Vacant(_) if name.is_empty() => {}
        Entry::Vacant(place) => {
            place.insert(shared);
        }
    }
    (name, settings)
}

/// Reads a subscription. `lines` has those of the others, by merchant and name.
fn subscription(
    section: &mut Section<'_>,
    bases: &Bases<'_>,
    lines: &mut HashMap<(String, String), usize>,
) -> FileSubscription {
    let mut subscription = FileSubscription {
        merchant: required(section, "merchant"),
        name: required(section, "name"),
        profile: section.text("profile"),
        enabled: section.flag("enabled").unwrap_or(true),
        paused: section.flag("paused").unwrap_or(false),
        settings: settings::read(section),
        line: section.line(),
    };
    instamed::read(section, &mut subscription, bases);
    let (merchant, name) = (&subscription.merchant, &subscription.name);
    if merchant.is_empty() || name.is_empty() {
        // A name that was refused is nobody's twin.
        return subscription;
    }
    match lines.entry((merchant.clone(), name.clone())) {
        Entry::Occupied(twin) => section.refuse(
            "name",
            format!(
                "the same merchant and name as in line {}; give another name",
                twin.get()
            ),
        ),
        Entry::Vacant(place) => {
            place.insert(subscription.line);
        }
    }
    subscription
}

/// Refuses a profile that is not known, and tells whether it is.
fn refuse_unknown_profile(section: &Section<'_>, name: &str, bases: &Bases<'_>) -> bool {
    let known = !name.is_empty() && bases.profile(name).is_some();
    if !known {
        section.refuse(
            "profile",
            format!(
                "no [[profile]] is named {}; add it, or give another",
                quoted(name)
            ),
        );
    }
    known
}

/// Keys that are there with a value of the wrong type, which has been told already.
fn unreadable(section: &Section<'_>, settings: &Settings) -> Vec<&'static str> {
    let keys = Settings::KEYS.iter().copied();
    keys.filter(|key| section.has(key) && !settings.has(key))
        .collect()
}

/// Reads a name that must be there; empty where it is refused.
fn required(section: &mut Section<'_>, key: &'static str) -> String {
    if !section.has(key) {
        section.refuse(key, "missing; give a name in quotes");
    }
    section.read(key, value::name).unwrap_or_default()
}
