//! What a subscription's requests look like.

use super::problem::{choose, note};
use super::spelled::is_xml_name;
use super::{Problem, Settings, defaults, fields, fixed, headers, quoted, url};
use crate::model::subscription::{Nested, RequestForm, Space, XmlIllegal};
use crate::model::{Charset, Encoding, Method};

#[expect(clippy::too_many_lines, reason = "it is one list of rules")]
pub(super) fn check(settings: &Settings, problems: &mut Vec<Problem>) -> Option<RequestForm> {
    let url = url::check(settings, problems);
    let method = choose(
        "method",
        settings.method.as_deref(),
        &[("POST", Method::Post), ("GET", Method::Get)],
        defaults::METHOD,
        problems,
    );
    let encoding = choose(
        "encoding",
        settings.encoding.as_deref(),
        &[
            ("json", Encoding::Json),
            ("xml", Encoding::Xml),
            ("nvp", Encoding::Nvp),
            ("query", Encoding::Query),
        ],
        match method {
            Some(Method::Get) => Encoding::Query,
            _ => defaults::ENCODING,
        },
        problems,
    );
    if let (Some(method), Some(encoding)) = (method, encoding) {
        combine(settings, method, encoding, problems);
    }
    let fields = settings
        .fields
        .as_ref()
        .map(|fields| fields::check(fields, encoding == Some(Encoding::Xml), problems));
    let nested = choose(
        "nested",
        settings.nested.as_deref(),
        &[
            ("dotted", Nested::Dotted),
            ("brackets", Nested::Brackets),
            ("json", Nested::Json),
            ("refuse", Nested::Refuse),
        ],
        defaults::NESTED,
        problems,
    );
    let xml_illegal = choose(
        "xml_illegal",
        settings.xml_illegal.as_deref(),
        &[
            ("replace", XmlIllegal::Replace),
            ("refuse", XmlIllegal::Refuse),
        ],
        defaults::XML_ILLEGAL,
        problems,
    );
    let space = choose(
        "space",
        settings.space.as_deref(),
        &[("+", Space::Plus), ("%20", Space::Percent)],
        defaults::SPACE,
        problems,
    );
    let charset = charset(settings, encoding, problems);
    let asks_for_identity = choose(
        "accept_encoding",
        settings.accept_encoding.as_deref(),
        &[("identity", true), ("none", false)],
        defaults::ASKS_FOR_IDENTITY,
        problems,
    );
    let identity = headers::check(settings, problems);
    let user_agent = settings.user_agent.as_deref().map(fixed::value).transpose();
    let user_agent = user_agent.map_err(|remedy| format!("text that {remedy}"));
    let user_agent = note("user_agent", user_agent, problems);
    let xml_root = xml_root(settings, problems);
    Some(RequestForm {
        url: match url {
            Some(url) => Some(url?),
            None => None,
        },
        method: method?,
        encoding: encoding?,
        fields: match fields {
            Some(fields) => Some(fields?),
            None => None,
        },
        nested: nested?,
        space: space?,
        charset: charset?.0,
        says_charset: charset?.1,
        xml_root,
        xml_illegal: xml_illegal?,
        asks_for_identity: asks_for_identity?,
        identity: identity?,
        user_agent: user_agent?,
        // They may be secrets, which are read elsewhere.
        fixed: Vec::new(),
    })
}

fn xml_root(settings: &Settings, problems: &mut Vec<Problem>) -> String {
    let name = settings.xml_root.as_deref().unwrap_or(defaults::XML_ROOT);
    if !is_xml_name(name) {
        problems.push(Problem::new(
            "xml_root",
            format!(
                "{} is not an XML name; give a letter or _, then letters, digits, - _ or .",
                quoted(name)
            ),
        ));
    }
    name.to_owned()
}

/// Reads the charset, and whether the content type names it. XML has always said so.
fn charset(
    settings: &Settings,
    encoding: Option<Encoding>,
    problems: &mut Vec<Problem>,
) -> Option<(Charset, bool)> {
    let (charset, says) = choose(
        "charset",
        settings.charset.as_deref(),
        &[
            ("unsaid", (Charset::Utf8, false)),
            ("utf-8", (Charset::Utf8, true)),
            ("iso-8859-1", (Charset::Latin1, true)),
            ("windows-1252", (Charset::Windows1252, true)),
        ],
        (Charset::Utf8, encoding == Some(Encoding::Xml)),
        problems,
    )?;
    if encoding == Some(Encoding::Json) && charset != Charset::Utf8 {
        let name = charset.name();
        problems.push(Problem::new(
            "charset",
            format!(
                "\"{name}\" with encoding \"json\", which is UTF-8 always; give \"utf-8\" or \"unsaid\", or another encoding"
            ),
        ));
        return None;
    }
    Some((charset, says))
}

/// Checks that method and encoding go together: a GET carries its values in the query, and nothing
/// else does (WIRE.md 5.1).
fn combine(settings: &Settings, method: Method, encoding: Encoding, problems: &mut Vec<Problem>) {
    match (method, encoding) {
        (Method::Get, Encoding::Query)
        | (Method::Post, Encoding::Json | Encoding::Xml | Encoding::Nvp) => {}
        (Method::Get, _) => problems.push(Problem::new(
            "encoding",
            "a body's encoding with method GET; give \"query\", or method = \"POST\"",
        )),
        (Method::Post, Encoding::Query) if settings.method.is_none() => {
            problems.push(Problem::new(
                "method",
                "missing, and encoding is \"query\", which only a GET has; give method = \"GET\"",
            ));
        }
        (Method::Post, Encoding::Query) => problems.push(Problem::new(
            "encoding",
            "\"query\" with method POST; give \"json\", \"xml\" or \"nvp\", or method = \"GET\"",
        )),
    }
}
