//! How a subscription's requests prove who sends them, and whom they trust. Checking
//! the references needs no secret; opening them reads each once.

mod auth;
mod certificate;
mod oauth2;
mod pkcs12;

use http::HeaderName;

use super::headers::is_reserved;
use super::problem::{choose, note};
use super::{Problem, Settings};
use crate::model::Auth;
use crate::model::secret::{ReadSecret, SecretRef, as_text};
use certificate::Certificates;
use oauth2::Grant;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    None,
    Basic,
    ApiKey,
    OAuth2,
}

/// The references of a subscription's credentials, checked but not read.
pub(super) struct Credentials {
    kind: Kind,
    auth_secret: Option<SecretRef>,
    auth_secret_previous: Option<SecretRef>,
    /// The header of an API key; none where none is named, or the name was refused.
    header: Option<String>,
    /// What a token request needs beside the credentials; none where it was refused, or not wanted.
    grant: Option<Grant>,
    pub certificates: Certificates,
}

pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) -> Credentials {
    let kind = choose(
        "auth",
        settings.auth.as_deref(),
        &[
            ("none", Kind::None),
            ("basic", Kind::Basic),
            ("api_key", Kind::ApiKey),
            ("oauth2", Kind::OAuth2),
        ],
        Kind::None,
        problems,
    )
    .unwrap_or(Kind::None);
    needs_auth_secret(settings, kind, problems);
    Credentials {
        kind,
        auth_secret: reference("auth_secret", settings.auth_secret.as_deref(), problems),
        auth_secret_previous: reference(
            "auth_secret_previous",
            settings.auth_secret_previous.as_deref(),
            problems,
        ),
        header: header(settings, problems),
        grant: oauth2::check(settings, kind == Kind::OAuth2, problems),
        certificates: certificate::check(settings, problems),
    }
}

fn needs_auth_secret(settings: &Settings, kind: Kind, problems: &mut Vec<Problem>) {
    let Settings {
        auth,
        auth_secret,
        auth_secret_previous,
        ..
    } = settings;
    if kind != Kind::None && auth_secret.is_none() {
        problems.push(Problem::new(
            "auth_secret",
            "missing, and auth needs it; give env:NAME, file:PATH or secret:NAME",
        ));
    }
    if auth.is_none() && auth_secret.is_some() {
        problems.push(Problem::new(
            "auth",
            "missing, and auth_secret is given; give \"basic\", \"api_key\" or \"oauth2\"",
        ));
    }
    if kind == Kind::None && auth_secret.is_none() && auth_secret_previous.is_some() {
        problems.push(Problem::new(
            "auth_secret_previous",
            "given without auth_secret, which takes its place; give both, or take it out",
        ));
    }
    if auth_secret.is_some() && auth_secret == auth_secret_previous {
        problems.push(Problem::new(
            "auth_secret_previous",
            "the same as auth_secret; give the one that was there before, or take it out",
        ));
    }
}

fn header(settings: &Settings, problems: &mut Vec<Problem>) -> Option<String> {
    const KEY: &str = "auth_header";
    let text = settings.auth_header.as_deref()?;
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        "text that is not a header's name; give one of letters, digits and -, such as \"x-api-key\""
    });
    let name = name.and_then(|name| {
        if is_reserved(&name) {
            return Err("a header that the request needs for itself; give another name");
        }
        Ok(text.to_owned())
    });
    note(KEY, name.map_err(str::to_owned), problems)
}

pub(super) const NO_REFERENCE: &str = "text that is not a reference; give env:NAME, file:PATH or secret:NAME, and keep the value there";

pub(super) fn reference(
    key: &'static str,
    text: Option<&str>,
    problems: &mut Vec<Problem>,
) -> Option<SecretRef> {
    let reference = SecretRef::parse(text?);
    if reference.is_none() {
        // The text is left out: it is most likely the secret itself.
        problems.push(Problem::new(key, NO_REFERENCE));
    }
    reference
}

impl Credentials {
    /// Reads the credential and, while a rotation lasts, the previous one.
    pub fn auth(
        &self,
        read: &ReadSecret<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<(Auth, Option<Auth>)> {
        if self.kind == Kind::None {
            return Some((Auth::None, None));
        }
        let current = self.open("auth_secret", self.auth_secret.as_ref()?, read, problems);
        let previous = self
            .auth_secret_previous
            .as_ref()
            .map(|from| self.open("auth_secret_previous", from, read, problems));
        match previous {
            None => Some((current?, None)),
            Some(previous) => Some((current?, Some(previous?))),
        }
    }

    fn open(
        &self,
        key: &'static str,
        from: &SecretRef,
        read: &ReadSecret<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<Auth> {
        let text = read(from).and_then(|bytes| as_text(from, &bytes));
        let text = note(key, text.map_err(|e| e.to_string()), problems)?;
        let auth = match self.kind {
            Kind::None => Ok(Auth::None),
            Kind::Basic => auth::basic(text),
            Kind::ApiKey => auth::api_key(&text, self.header.as_deref()),
            Kind::OAuth2 => auth::oauth2(&text, self.grant.as_ref()?),
        };
        note(key, content(from, auth), problems)
    }
}

/// Puts the place of a content that was refused in front of why, and never the content.
pub(super) fn content<T>(from: &SecretRef, result: Result<T, &'static str>) -> Result<T, String> {
    result.map_err(|remedy| format!("the content of {from} {remedy}"))
}

impl Settings {
    /// Every reference to a secret that the settings have, with the setting's key.
    #[must_use]
    pub fn references(&self) -> Vec<(&'static str, &str)> {
        let single = [
            ("auth_secret", &self.auth_secret),
            ("auth_secret_previous", &self.auth_secret_previous),
            ("client_cert", &self.client_cert),
            ("client_key", &self.client_key),
            ("client_pkcs12", &self.client_pkcs12),
            ("client_pkcs12_password", &self.client_pkcs12_password),
            ("ca_cert", &self.ca_cert),
        ];
        let single = single
            .into_iter()
            .filter_map(|(key, text)| Some((key, text.as_deref()?)));
        let signing = self.signing_secrets.iter().flatten();
        single
            .chain(signing.map(|text| ("signing_secrets", text.as_str())))
            .chain(self.references_of_headers().map(|text| ("headers", text)))
            .collect()
    }

    /// Whether the reference points to a secret that no request carries, and that is text.
    pub(super) fn names_unsent(&self, reference: &str) -> bool {
        let signing = self.signing_secrets.iter().flatten();
        signing
            .chain(&self.client_pkcs12_password)
            .any(|text| text == reference)
    }

    /// Every reference to a row of `posthorn.secrets` that the settings have: the key, and the
    /// secret's name.
    #[must_use]
    pub fn stored_secrets(&self) -> Vec<(&'static str, String)> {
        let stored =
            self.references()
                .into_iter()
                .filter_map(|(key, text)| match SecretRef::parse(text)? {
                    SecretRef::Stored(name) => Some((key, name)),
                    SecretRef::Env(_) | SecretRef::File(_) => None,
                });
        stored.collect()
    }
}
