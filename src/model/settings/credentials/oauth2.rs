//! Where an access token is had, and what is asked for.

use url::Url;

use crate::model::settings::problem::choose;
use crate::model::settings::url::check_token_url;
use crate::model::settings::{Problem, Settings};
use crate::model::subscription::ClientAuth;

/// What a token request has beside the credentials: all else of an
/// [`OAuth2Client`](crate::model::subscription::OAuth2Client).
pub(super) struct Grant {
    pub token_url: Url,
    pub sent_in: ClientAuth,
    pub scope: Option<String>,
    pub audience: Option<String>,
}

/// Checks the settings of OAuth2, where another auth is chosen too, since they may be a profile's;
/// `wanted` says that it is this one.
pub(super) fn check(
    settings: &Settings,
    wanted: bool,
    problems: &mut Vec<Problem>,
) -> Option<Grant> {
    let sent_in = choose(
        "oauth2_client_auth",
        settings.oauth2_client_auth.as_deref(),
        &[("basic", ClientAuth::Basic), ("body", ClientAuth::Body)],
        ClientAuth::Basic,
        problems,
    );
    let given = settings.oauth2_token_url.as_ref();
    if given.is_none() && wanted {
        problems.push(Problem::new(
            "oauth2_token_url",
            "missing, and auth is \"oauth2\"; give the address that gives out tokens, such as https://example.com/oauth2/token",
        ));
    }
    let token_url = given.and_then(|text| check_token_url(text, problems));
    if settings.auth.is_none() && settings.oauth2_token_url.is_some() {
        problems.push(Problem::new(
            "auth",
            "missing, and oauth2_token_url is given; give \"oauth2\", or take that out",
        ));
    }
    for (key, given) in [
        ("oauth2_scope", &settings.oauth2_scope),
        ("oauth2_audience", &settings.oauth2_audience),
    ] {
        if given.as_ref().is_some_and(|text| is_blank(text)) {
            problems.push(Problem::new(
                key,
                "empty, or with a control character; give it as the token server names it, or take it out",
            ));
        }
    }
    Some(Grant {
        token_url: token_url?,
        sent_in: sent_in?,
        scope: settings.oauth2_scope.clone(),
        audience: settings.oauth2_audience.clone(),
    })
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty() || text.chars().any(char::is_control)
}
