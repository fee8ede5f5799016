//! The profiles that come with Posthorn. Each is a `[[profile]]` as anybody could write it;
//! the files say where each value comes from.

use std::sync::LazyLock;

use super::document::{Document, Section};
use super::entry::FileProfile;
use super::settings;

const FILES: [&str; 6] = [
    include_str!("builtin/alphatrust.toml"),
    include_str!("builtin/idpay.toml"),
    include_str!("builtin/instamed.toml"),
    include_str!("builtin/sensepass.toml"),
    include_str!("builtin/sensepass-get.toml"),
    include_str!("builtin/standard.toml"),
];

static PROFILES: LazyLock<Vec<FileProfile>> = LazyLock::new(|| {
    let files = FILES
        .into_iter()
        .filter_map(|text| Document::new(text).read(read));
    files.flatten().collect()
});

/// The profiles that come with Posthorn, by name.
pub fn profiles() -> &'static [FileProfile] {
    &PROFILES
}

fn read(file: &mut Section<'_>) -> Vec<FileProfile> {
    file.tables("profile", |section| FileProfile {
        name: section.text("name").unwrap_or_default(),
        settings: settings::read(section),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that could not be read would be missing in silence.
    #[test]
    fn each_file_is_one_profile_that_is_valid() {
        for text in FILES {
            let document = Document::new(text);
            let profiles = document.read(read).unwrap_or_default();
            assert_eq!(document.into_problems(), []);
            assert_eq!(profiles.len(), 1);
        }
        let names: Vec<_> = profiles().iter().map(|it| it.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "alphatrust",
                "idpay",
                "instamed",
                "sensepass",
                "sensepass-get",
                "standard"
            ]
        );
        // With an address and, where it signs, a key, each makes a subscription.
        for profile in profiles() {
            let mut settings = profile.settings.clone();
            settings.url = Some("https://merchant.example/hook".to_owned());
            if settings.signing.is_some() {
                settings.signing_secrets = Some(vec!["env:KEY".to_owned()]);
            }
            assert_eq!(settings.problems(), [], "{}", profile.name);
        }
    }
}
