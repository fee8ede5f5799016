//! The credentials of a subscription's requests.

use std::fmt;

use secrecy::SecretString;
use url::Url;

/// Which of two credentials a request carries while one takes the other's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Credential {
    /// The credential of `auth_secret`.
    #[default]
    Current,
    /// The credential of `auth_secret_previous`.
    Previous,
}

impl Credential {
    /// The one that this is not.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Current => Self::Previous,
            Self::Previous => Self::Current,
        }
    }
}

/// How the request proves who sends it.
#[derive(Clone)]
pub enum Auth {
    /// By nothing.
    None,
    /// By a user name and a password: `user:password` (RFC 7617).
    Basic(SecretString),
    /// By a key in a header.
    ApiKey {
        /// The header's name, as it is to be written.
        header: String,
        /// The header's value.
        value: SecretString,
        /// The secret as it stands, where the header's name was read out of it and could as well be
        /// the beginning of the key.
        guessed_from: Option<SecretString>,
    },
    /// By a bearer token, had for the client's credentials before the request.
    OAuth2(Box<OAuth2Client>),
}

impl Auth {
    /// The name of the header that may be a part of the secret itself.
    #[must_use]
    pub fn guessed_header(&self) -> Option<&str> {
        match self {
            Self::ApiKey {
                header,
                guessed_from: Some(_),
                ..
            } => Some(header),
            _ => None,
        }
    }

    /// How a secret was read that could mean two things, and what to do where the other one was
    /// meant; shows nothing of it.
    #[must_use]
    pub fn guess(&self) -> Option<&'static str> {
        match self {
            Self::ApiKey {
                guessed_from: Some(_),
                ..
            } => Some(
                "the secret has a colon: what is before it is sent as the header's name, and what \
                 is behind it as the value; where all of it is the value, give auth_header, such \
                 as \"authorization\", and where it is right, give the name there and the value \
                 alone as the secret",
            ),
            _ => None,
        }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic(_) => "Basic([redacted])",
            Self::ApiKey { .. } => "ApiKey([redacted])",
            Self::OAuth2(_) => "OAuth2([redacted])",
        })
    }
}

/// A client of the grant "client credentials" (RFC 6749, section 4.4).
#[derive(Clone)]
pub struct OAuth2Client {
    /// Where a token is asked for.
    pub token_url: Url,
    /// The client's id.
    pub id: String,
    /// The client's secret.
    pub secret: SecretString,
    /// Where in the token request id and secret stand.
    pub sent_in: ClientAuth,
    /// The scope that is asked for, if the token server wants one.
    pub scope: Option<String>,
    /// The audience that is asked for: no part of RFC 6749, but many token servers want it.
    pub audience: Option<String>,
}

/// How the client proves itself to the token server (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// In an `Authorization` header, the one way that every token server must know.
    Basic,
    /// As `client_id` and `client_secret` beside the other parameters.
    Body,
}
