//! The profiles that come with Posthorn. Each is a `[[profile]]` as anybody could write it;
//! the files say where each value comes from.

use std::sync::LazyLock;

use super::document::Document;
use super::subscriptions::{self, FileProfile};

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
pub fn builtin_profiles() -> &'static [FileProfile] {
    static PROFILES: LazyLock<Vec<FileProfile>> = LazyLock::new(|| {
        let read = |text| {
            Document::new(text).read(|file| subscriptions::profiles(file, &mut Vec::new(), &[]))
        };
        FILES.into_iter().filter_map(read).flatten().collect()
    });
    &PROFILES
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// A file that could not be read would be missing in silence.
    #[test]
    fn each_file_is_one_profile_that_is_valid() {
        for text in FILES {
            let document = Document::new(text);
            let read = document.read(|file| subscriptions::profiles(file, &mut Vec::new(), &[]));
            assert_eq!(read.unwrap().len(), 1);
            assert_eq!(document.into_problems(), []);
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
            let mut settings = profile.settings.clone();
            settings.url = Some("https://merchant.example/hook".to_owned());
            if settings.signing.is_some() {
                settings.signing_secrets = Some(vec!["env:KEY".to_owned()]);
            }
            assert_eq!(settings.problems(), [], "{}", profile.name);
        }
    }
}
