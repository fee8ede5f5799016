//! Where a subscription's requests go.

use url::Url;

use super::problem::note;
use super::{Problem, Settings};

/// Reads the URL of the subscription: none where there need not be one, and none inside where it is
/// refused.
#[expect(clippy::option_option, reason = "absent is not refused")]
pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) -> Option<Option<Url>> {
    match &settings.url {
        Some(text) => Some(note("url", parse(text), problems)),
        // The transactions bring their own.
        None if settings.scope.as_deref() == Some("transaction") => None,
        None => {
            problems.push(Problem::new(
                "url",
                "missing; give the endpoint's address, such as https://example.com/hook",
            ));
            Some(None)
        }
    }
}

/// Reads the URL of the token server; none where it is refused.
pub(super) fn check_token_url(text: &str, problems: &mut Vec<Problem>) -> Option<Url> {
    note("oauth2_token_url", parse(text), problems)
}

/// Puts `***` for a user name and a password before the host: [`parse`] refuses a URL that has
/// them, but rows of another hand can. Whether it is a URL otherwise does not matter.
#[must_use]
pub fn without_credentials(text: &str) -> String {
    let start = text.find("//").map_or(0, |at| at + "//".len());
    let (scheme, rest) = text.split_at(start);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{scheme}***{}", &rest[at..]),
        None => text.to_owned(),
    }
}

/// Reads a URL more strictly than [`Url::parse`], which repairs what it reads: it drops control
/// characters and takes `https:///hook` for the host `hook`. No message repeats the text: its path
/// or query may hold a token.
pub fn parse(text: &str) -> Result<Url, &'static str> {
    if text.chars().any(char::is_control) {
        return Err("a URL with a control character; write it percent-encoded, such as %0A");
    }
    if text.chars().any(char::is_whitespace) || text.contains('\\') {
        return Err("a URL with a space or a backslash; write them as %20 and %5C");
    }
    let after_scheme = ["http://", "https://"].iter().find_map(|scheme| {
        let head = text.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme)
            .then(|| &text[scheme.len()..])
    });
    let Some(after_scheme) = after_scheme else {
        return Err("not an http:// or https:// URL; give one such as https://example.com/hook");
    };
    let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or("");
    if authority.contains('@') {
        return Err(
            "a URL with a user name or password; take it out, and give auth = \"basic\" and auth_secret",
        );
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err("a URL without a host; give one such as https://example.com/hook");
    }
    if text.contains('#') {
        return Err("a URL with a fragment, which is never sent; take the # and the rest out");
    }
    let url = Url::parse(text)
        .map_err(|_| "a URL whose host or port cannot be read; give one such as https://example.com:8443/hook")?;
    if url.port() == Some(0) {
        return Err("a URL with port 0; give a port from 1 to 65535, or none");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_a_url_do_not_show() {
        for (text, shown) in [
            ("https://acme:s3cret@h/a@b", "https://***@h/a@b"),
            ("https://s3cret@h", "https://***@h"),
            ("HTTP://a:p@ss@h?x", "HTTP://***@h?x"),
            ("acme:s3cret@h", "***@h"),
            ("https://h/a@b?c@d", "https://h/a@b?c@d"),
            ("https://h", "https://h"),
            ("", ""),
        ] {
            assert_eq!(without_credentials(text), shown);
        }
    }
}
