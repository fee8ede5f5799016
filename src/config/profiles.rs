//! The profiles that come with Posthorn. Each is a `[[profile]]` as anybody could write it;
//! the files say where each value comes from.

use super::document::Document;
use super::subscriptions::{FileProfile, Subscriptions};

const FILES: [&str; 6] = [
    include_str!("profiles/alphatrust.toml"),
    include_str!("profiles/idpay.toml"),
    include_str!("profiles/instamed.toml"),
    include_str!("profiles/sensepass.toml"),
    include_str!("profiles/sensepass-get.toml"),
    include_str!("profiles/standard.toml"),
];

/// By name.
#[must_use]
pub fn builtin_profiles() -> Vec<FileProfile> {
    let read = |text| Document::new(text).read(Subscriptions::read);
    let files = FILES.into_iter().filter_map(read);
    files.flat_map(|file| file.profiles).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::config::Config;

    /// A file that could not be read would be missing in silence.
    #[test]
    fn each_file_is_one_profile_that_is_valid() {
        for text in FILES {
            let config = Config::parse("profile", text).unwrap();
            assert_eq!(config.profiles.len(), 1);
        }
        let profiles = builtin_profiles();
        let names: Vec<_> = profiles.iter().map(|it| it.name.as_str()).collect();
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
        for profile in profiles {
            let mut settings = profile.settings;
            settings.url = Some("https://merchant.example/hook".to_owned());
            if settings.signing.is_some() {
                settings.signing_secrets = Some(vec!["env:KEY".to_owned()]);
            }
            assert_eq!(settings.problems(), [], "{}", profile.name);
        }
    }
}
