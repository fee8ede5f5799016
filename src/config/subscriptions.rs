//! `[[profile]]`, `[[lock]]` and `[[subscription]]`.

use std::sync::Arc;

use super::document::Section;
use super::{builtin, instamed, settings, value};
use crate::model::Settings;
use crate::model::settings::{Layers, LockReach, Problem, quoted};

/// A named set of subscription defaults.
#[derive(Clone, Debug)]
pub struct FileProfile {
    pub name: String,
    pub settings: Settings,
}

/// Settings that the operator fixes.
#[derive(Clone, Debug)]
pub struct FileLock {
    pub name: String,
    pub reach: LockReach,
    pub settings: Settings,
}

/// A subscription as the file has it, profile and locks not yet merged in.
#[derive(Clone, Debug)]
pub struct FileSubscription {
    pub merchant: String,
    /// Unique within the merchant.
    pub name: String,
    /// A `[[profile]]` of the same file, or one that comes with Posthorn.
    pub profile: Option<String>,
    pub enabled: bool,
    pub paused: bool,
    pub settings: Settings,
    /// Where it stands in the file, for messages.
    pub line: usize,
}

impl FileSubscription {
    pub(super) fn profile_of<'p>(&self, profiles: &'p [FileProfile]) -> Option<&'p FileProfile> {
        let mut known = profiles.iter().chain(builtin::profiles());
        known.find(|profile| Some(&profile.name) == self.profile.as_ref())
    }

    pub(super) fn layers(&self, profiles: &[FileProfile], locks: &[FileLock]) -> Layers {
        let profile = self.profile_of(profiles);
        let mut locks: Vec<&FileLock> = locks
            .iter()
            .filter(|lock| lock.reach.covers(&self.merchant, self.profile.as_deref()))
            .collect();
        locks.sort_by_key(|lock| (lock.reach.breadth(), &lock.name));
        let shared =
            |name: &String, settings: &Settings| (name.clone(), Arc::new(settings.clone()));
        Layers {
            locks: locks
                .into_iter()
                .map(|lock| shared(&lock.name, &lock.settings))
                .collect(),
            own: self.settings.clone(),
            profile: profile.map(|profile| shared(&profile.name, &profile.settings)),
        }
    }
}

pub(super) struct Entries {
    pub profiles: Vec<FileProfile>,
    pub locks: Vec<FileLock>,
    pub subscriptions: Vec<FileSubscription>,
}

impl Entries {
    /// Profiles and locks first, wherever they stand: each subscription is checked together
    /// with its own.
    pub fn read(file: &mut Section<'_>) -> Self {
        let mut shared = Vec::new();
        let mut profiles = Vec::new();
        file.tables("profile", |section| {
            let name = shared_settings(section, &mut shared, "profile");
            if builtin::profiles().iter().any(|own| own.name == name.name) {
                section.refuse(
                    "name",
                    "a profile that comes with Posthorn; give another name",
                );
            }
            profiles.push(FileProfile {
                name: name.name,
                settings: name.settings,
            });
        });
        let mut locks = Vec::new();
        file.tables("lock", |section| {
            let lock = shared_settings(section, &mut shared, "lock");
            let reach = LockReach {
                merchant: section.read("merchant", value::name),
                profile: section.read("profile", value::name),
            };
            if let Some(profile) = &reach.profile {
                refuse_unknown_profile(section, profile, &profiles);
            }
            locks.push(FileLock {
                name: lock.name,
                reach,
                settings: lock.settings,
            });
        });
        let mut read = Self {
            profiles,
            locks,
            subscriptions: Vec::new(),
        };
        file.tables("subscription", |section| {
            let subscription = subscription(section, &read);
            read.check(section, &subscription, &shared);
            read.subscriptions.push(subscription);
        });
        read
    }

    /// Refuses what is wrong with the settings that take effect, each problem once.
    fn check(&self, section: &Section<'_>, subscription: &FileSubscription, shared: &[Shared]) {
        let settings = &subscription.settings;
        let layers = subscription.layers(&self.profiles, &self.locks);
        let is_known = match &subscription.profile {
            Some(profile) => refuse_unknown_profile(section, profile, &self.profiles),
            None => !section.has("profile"),
        };
        if !is_known {
            // What is absent may have stood in the profile.
            for problem in settings.profile_problems() {
                section.refuse(problem.key, problem.message);
            }
            return;
        }
        let unreadable = unreadable(section, settings);
        let locks = layers.locks.iter().map(|(name, _)| ("lock", name));
        let profile = layers.profile.iter().map(|(name, _)| ("profile", name));
        let bases: Vec<&Shared> = locks
            .chain(profile)
            .filter_map(|(kind, name)| shared.iter().find(|it| it.kind == kind && it.name == *name))
            .collect();
        for problem in layers.merged().problems() {
            let told = unreadable.contains(&problem.key)
                || bases.iter().any(|base| {
                    base.told.contains(&problem) || base.unreadable.contains(&problem.key)
                });
            if !told {
                section.refuse(problem.key, problem.message);
            }
        }
    }
}

/// What several subscriptions share, and what they need not hear again.
#[derive(Clone)]
struct Shared {
    kind: &'static str,
    name: String,
    settings: Settings,
    line: usize,
    told: Vec<Problem>,
    unreadable: Vec<&'static str>,
}

fn shared_settings(
    section: &mut Section<'_>,
    others: &mut Vec<Shared>,
    kind: &'static str,
) -> Shared {
    let name = required(section, "name");
    let settings = settings::read(section);
    let told = settings.profile_problems();
    for problem in &told {
        section.refuse(problem.key, problem.message.clone());
    }
    let twin = others
        .iter()
        .find(|other| other.kind == kind && named(&other.name, &name));
    if let Some(twin) = twin {
        section.refuse(
            "name",
            format!("the same name as in line {}; give another", twin.line),
        );
    }
    let shared = Shared {
        kind,
        unreadable: unreadable(section, &settings),
        line: section.line(),
        name,
        settings,
        told,
    };
    others.push(shared.clone());
    shared
}

fn subscription(section: &mut Section<'_>, read: &Entries) -> FileSubscription {
    let mut subscription = FileSubscription {
        merchant: required(section, "merchant"),
        name: required(section, "name"),
        profile: section.text("profile"),
        enabled: section.flag("enabled").unwrap_or(true),
        paused: section.flag("paused").unwrap_or(false),
        settings: settings::read(section),
        line: section.line(),
    };
    instamed::read(section, &mut subscription, &read.profiles);
    let twin = read.subscriptions.iter().find(|other| {
        named(&other.merchant, &subscription.merchant) && named(&other.name, &subscription.name)
    });
    if let Some(twin) = twin {
        section.refuse(
            "name",
            format!(
                "the same merchant and name as in line {}; give another name",
                twin.line
            ),
        );
    }
    subscription
}

/// Whether the profile is known.
fn refuse_unknown_profile(section: &Section<'_>, name: &str, profiles: &[FileProfile]) -> bool {
    let known = profiles
        .iter()
        .chain(builtin::profiles())
        .any(|profile| named(&profile.name, name));
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

/// A name that must be there; empty where it is refused.
fn required(section: &mut Section<'_>, key: &'static str) -> String {
    if !section.has(key) {
        section.refuse(key, "missing; give a name in quotes");
    }
    section.read(key, value::name).unwrap_or_default()
}

/// Two names that were readable are the same.
fn named(one: &str, other: &str) -> bool {
    !one.is_empty() && one == other
}
