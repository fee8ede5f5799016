//! `[[profile]]` and `[[subscription]]`.

use super::document::Section;
use super::{settings, value};
use crate::model::Settings;
use crate::model::settings::{Problem, quoted};

/// A named set of subscription defaults.
#[derive(Clone, Debug)]
pub struct FileProfile {
    pub name: String,
    pub settings: Settings,
}

/// A subscription as the file has it, its profile not yet merged in.
#[derive(Clone, Debug)]
pub struct FileSubscription {
    pub merchant: String,
    /// Unique within the merchant.
    pub name: String,
    /// The name of a `[[profile]]` of the same file.
    pub profile: Option<String>,
    pub enabled: bool,
    pub paused: bool,
    pub settings: Settings,
    /// Where it stands in the file, for messages.
    pub line: usize,
}

impl FileSubscription {
    pub(super) fn settings_over(&self, profiles: &[FileProfile]) -> Settings {
        let profile = profiles
            .iter()
            .find(|profile| Some(&profile.name) == self.profile.as_ref());
        let settings = self.settings.clone();
        match profile {
            Some(profile) => settings.or(&profile.settings),
            None => settings,
        }
    }
}

pub(super) struct Subscriptions {
    pub profiles: Vec<FileProfile>,
    pub subscriptions: Vec<FileSubscription>,
}

impl Subscriptions {
    /// Profiles first, wherever they stand: each subscription is checked with its own.
    pub fn read(file: &mut Section<'_>) -> Self {
        let mut profiles = Vec::new();
        file.tables("profile", |section| {
            let profile = Profile::read(section, &profiles);
            profiles.push(profile);
        });
        let mut subscriptions = Vec::new();
        file.tables("subscription", |section| {
            let subscription = subscription(section, &profiles, &subscriptions);
            subscriptions.push(subscription);
        });
        Self {
            profiles: profiles.into_iter().map(|profile| profile.read).collect(),
            subscriptions,
        }
    }
}

/// A profile, and what its subscriptions need not hear again.
struct Profile {
    read: FileProfile,
    line: usize,
    told: Vec<Problem>,
    unreadable: Vec<&'static str>,
}

impl Profile {
    fn read(section: &mut Section<'_>, others: &[Self]) -> Self {
        let name = required(section, "name");
        let settings = settings::read(section);
        let told = settings.profile_problems();
        for problem in &told {
            section.refuse(problem.key, problem.message.clone());
        }
        if let Some(other) = others.iter().find(|other| named(&other.read.name, &name)) {
            section.refuse(
                "name",
                format!("the same name as in line {}; give another", other.line),
            );
        }
        Self {
            unreadable: unreadable(section, &settings),
            read: FileProfile { name, settings },
            line: section.line(),
            told,
        }
    }
}

fn subscription(
    section: &mut Section<'_>,
    profiles: &[Profile],
    others: &[FileSubscription],
) -> FileSubscription {
    let subscription = FileSubscription {
        merchant: required(section, "merchant"),
        name: required(section, "name"),
        profile: section.text("profile"),
        enabled: section.flag("enabled").unwrap_or(true),
        paused: section.flag("paused").unwrap_or(false),
        settings: settings::read(section),
        line: section.line(),
    };
    let twin = others.iter().find(|other| {
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
    match &subscription.profile {
        None if section.has("profile") => check_alone(section, &subscription.settings),
        None => check(section, &subscription.settings, None),
        Some(name) => {
            let profile = profiles
                .iter()
                .find(|profile| named(&profile.read.name, name));
            if let Some(profile) = profile {
                check(section, &subscription.settings, Some(profile));
            } else {
                section.refuse(
                    "profile",
                    format!(
                        "no [[profile]] is named {}; add it, or give another",
                        quoted(name)
                    ),
                );
                check_alone(section, &subscription.settings);
            }
        }
    }
    subscription
}

/// Refuses what is wrong with the settings together with their profile's, each once.
fn check(section: &Section<'_>, settings: &Settings, profile: Option<&Profile>) {
    let unreadable = unreadable(section, settings);
    let merged = match profile {
        Some(profile) => settings.clone().or(&profile.read.settings),
        None => settings.clone(),
    };
    for problem in merged.problems() {
        let told = unreadable.contains(&problem.key)
            || profile.is_some_and(|profile| {
                !settings.has(problem.key)
                    && (profile.told.contains(&problem)
                        || profile.unreadable.contains(&problem.key))
            });
        if !told {
            section.refuse(problem.key, problem.message);
        }
    }
}

/// The same where the profile is not known: what is absent may have stood there.
fn check_alone(section: &Section<'_>, settings: &Settings) {
    for problem in settings.profile_problems() {
        section.refuse(problem.key, problem.message);
    }
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
