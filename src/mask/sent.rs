//! What an answer must not show: the credentials of the exchange, and what it sent.

use std::borrow::Cow;

use secrecy::ExposeSecret;

use super::prints::{Letters, Prints, WORD};
use super::reading::without_escapes;
use crate::model::{Auth, Charset, Event, Subscription};
use crate::shape::Request;

/// How many bytes of a payload and of a query are looked for: most of them whole.
const MOST_SENT: usize = 64 * 1024;

/// How many values are looked for by themselves; further ones are found as parts of the payload
/// alone.
const MOST_VALUES: usize = 1000;

/// Takes the fingerprints of what was sent; `request` is the one that went out, with its access
/// token. No text is searched that is longer than `longest`, in bytes.
pub(super) fn prints(
    event: &Event,
    subscription: &Subscription,
    request: &Request,
    longest: usize,
) -> Prints {
    let mut prints = Prints::new(longest);
    for secret in secrets(subscription, request) {
        prints.secret(&secret);
        if let Cow::Owned(plain) = without_escapes(&secret) {
            prints.secret(&plain);
        }
    }
    if longest >= WORD {
        let known = known(event);
        let query = request.url.query().unwrap_or_default().as_bytes();
        for sent in [&request.body, query] {
            let sent = in_utf8(
                &sent[..sent.len().min(MOST_SENT)],
                subscription.form.charset,
            );
            let plain = without_escapes(&sent);
            prints.sent(&plain, &known);
            for value in values(&sent).into_iter().take(MOST_VALUES) {
                prints.value(value.as_bytes(), &known);
                if let Cow::Owned(plain) = without_escapes(value.as_bytes()) {
                    prints.value(&plain, &known);
                }
            }
        }
    }
    prints
}

/// Gives what was sent in another charset in the one in which answers are read: its bytes, and a
/// form's escapes of bytes.
fn in_utf8(sent: &[u8], charset: Charset) -> Cow<'_, [u8]> {
    if charset == Charset::Utf8 {
        return Cow::Borrowed(sent);
    }
    let mut text = String::with_capacity(sent.len());
    let mut rest = sent;
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let escaped = escaped.filter(|byte| !byte.is_ascii());
        let length = if escaped.is_some() { "%FF".len() } else { 1 };
        text.push(charset.character(escaped.unwrap_or(*first)));
        rest = &rest[length..];
    }
    Cow::Owned(text.into_bytes())
}

/// Every credential that the exchange could have shown to the receiver, and every other one
/// that the receiver knows: whole, and without the name before it. A user name or a client's
/// id is no secret.
fn secrets(subscription: &Subscription, request: &Request) -> Vec<Vec<u8>> {
    let mut secrets: Vec<Vec<u8>> = Vec::new();
    let mut add = |secret: &[u8]| secrets.push(secret.to_vec());
    for value in request.headers.values().filter(|it| it.is_sensitive()) {
        // A scheme, such as `Bearer`, is no part of the secret.
        let value = value.as_bytes();
        let bare = value.iter().position(|byte| *byte == b' ');
        add(bare.map_or(value, |space| &value[space + 1..]));
    }
    for auth in [
        Some(&subscription.auth),
        subscription.auth_previous.as_ref(),
    ] {
        match auth {
            None | Some(Auth::None) => {}
            Some(Auth::Basic(pair)) => {
                let pair = pair.expose_secret();
                add(pair.as_bytes());
                if let Some((_, password)) = pair.split_once(':') {
                    add(password.as_bytes());
                }
            }
            Some(Auth::ApiKey {
                header,
                value,
                guessed_from,
            }) => {
                // What was taken for the header's name may be half of the key.
                if let Some(whole) = guessed_from {
                    add(whole.expose_secret().as_bytes());
                    add(header.as_bytes());
                }
                let value = value.expose_secret();
                add(value.as_bytes());
                if let Some((_, bare)) = value.split_once(' ') {
                    add(bare.as_bytes());
                }
            }
            Some(Auth::OAuth2(client)) => add(client.secret.expose_secret().as_bytes()),
        }
    }
    for unsent in &subscription.unsent {
        let unsent = unsent.expose_secret();
        add(unsent);
        if let Some(bare) = unsent
            .strip_prefix(b"whsec_")
            .or(unsent.strip_prefix(b"whsk_"))
        {
            add(bare);
        }
    }
    secrets
}

/// What stands beside the answer in the same tables, and tells support what it speaks of.
fn known(event: &Event) -> Vec<Vec<u8>> {
    let id = event.id.to_string();
    let known = [
        &*id,
        &event.merchant,
        &event.transaction_id,
        &event.kind,
        &event.status,
    ];
    let letters = known.map(|text| without_escapes(text.as_bytes()));
    letters
        .iter()
        .flat_map(|text| Letters::all_of(text))
        .map(|letters| letters.bytes)
        .filter(|known| known.len() >= WORD)
        .collect()
}

/// The values of a form, of JSON or of XML, whichever it is, and of what stands in one of them as
/// JSON.
fn values(sent: &[u8]) -> Vec<Cow<'_, str>> {
    // Whole but for a character at the cut.
    let text = sent.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    match text.trim_start().as_bytes().first() {
        None => Vec::new(),
        Some(b'{' | b'[' | b'"') => json_values(text),
        Some(b'<') => text
            .split(['<', '>'])
            .skip(2)
            .step_by(2)
            .map(Cow::from)
            .collect(),
        Some(_) => {
            let pairs = form_urlencoded::parse(sent).map(|(_, value)| value);
            let nested = |value: Cow<'_, str>| {
                let within = json_values_of(&value);
                within.into_iter().chain([value.into_owned()])
            };
            pairs.flat_map(nested).map(Cow::from).collect()
        }
    }
}

fn json_values_of(value: &str) -> Vec<String> {
    if value.starts_with(['{', '[']) {
        json_values(value)
            .into_iter()
            .map(Cow::into_owned)
            .collect()
    } else {
        Vec::new()
    }
}

/// The texts and numbers of JSON that is known to be well-formed, names left out.
fn json_values(text: &str) -> Vec<Cow<'_, str>> {
    let mut values = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|it: char| it == '"' || it == '-' || it.is_ascii_digit()) {
        rest = &rest[start..];
        let end = match rest.strip_prefix('"') {
            Some(inside) => end_of_text(inside) + 1,
            None => rest
                .find(|it: char| !it.is_ascii_digit() && !"-+.eE".contains(it))
                .unwrap_or(rest.len()),
        };
        let (token, behind) = rest.split_at(end.min(rest.len()));
        let behind = behind.strip_prefix('"').unwrap_or(behind);
        if !behind.trim_start().starts_with(':') {
            values.push(Cow::from(token.trim_start_matches('"')));
        }
        rest = behind;
    }
    values
}

/// The place of the quotation mark that ends the text of JSON that begins here.
fn end_of_text(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_each_form_are_found() {
        for (sent, expected) in [
            ("", &[][..]),
            (
                r#"{"a":"x\"y","b" : [1.5e3, "z", {"c":null}],"d":{}}"#,
                &[r#"x\"y"#, "1.5e3", "z"],
            ),
            (r#""alone""#, &["alone"]),
            ("a=1+2&b=%41&c=", &["1 2", "A", ""]),
            (r#"a={"b":"c","d":7}"#, &["c", "7", r#"{"b":"c","d":7}"#]),
            (
                "<?xml version=\"1.0\"?><r><a>x &amp; y</a><b/></r>",
                &["", "", "x &amp; y", "", "", ""],
            ),
            // Not what was sent, and no harm.
            (r#"{"a":"open"#, &["open"]),
            (r#"{"a":"open\"#, &[r"open\"]),
        ] {
            assert_eq!(values(sent.as_bytes()), expected, "{sent}");
        }
    }

    #[test]
    fn what_was_sent_in_another_charset_is_read_in_it() {
        let form = in_utf8(b"a=J%F6rg+%80%2B", Charset::Windows1252);
        assert_eq!(values(&form), ["J\u{f6}rg \u{20ac}+"]);
        let xml = in_utf8(b"<?xml?><r><a>J\xF6rg %zz</a></r>", Charset::Latin1);
        assert!(values(&xml).contains(&"J\u{f6}rg %zz".into()));
    }
}
