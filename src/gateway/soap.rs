//! `GetSSOTokenStatus` in SOAP 1.1 and 1.2, and its WSDL (WIRE.md 2.2). The forms are those
//! that an ASMX service has, which is what the page's clients were made for.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use quick_xml::escape::{escape, unescape};
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use super::Gateway;
use super::receive::read_body;
use super::refusal::Refusal;
use super::session::SPELLED_EXPIRED;

const SOAP_11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const SOAP_12: &str = "http://www.w3.org/2003/05/soap-envelope";

const METHOD: &str = "GetSSOTokenStatus";

/// The service's description, which has the service's address in the place of `{address}`.
const WSDL: &str = include_str!("soap/SSOService.wsdl");

/// An envelope, its body, the call and its parameter are four levels.
const MAX_DEPTH: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V11,
    V12,
}

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    version: Version,
    /// The method's namespace, which the answer has too: whatever a client was made for, it
    /// finds its own.
    namespace: String,
    token: String,
}

/// `GET …/SSOService.asmx`, with or without `?WSDL`.
pub async fn describe(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response {
    let asked = || {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        Cow::Owned(format!("http://{}", host.unwrap_or("localhost")))
    };
    let url = gateway.settings.url.as_ref();
    let address = url.map_or_else(asked, |url| url.as_str().trim_end_matches('/').into());
    let wsdl = WSDL.replace("{address}", &escape(&*address));
    ([(CONTENT_TYPE, "text/xml; charset=utf-8")], wsdl).into_response()
}

pub async fn answer(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let assumed = match content_type {
        Some(text) if text.starts_with("application/soap+xml") => Version::V12,
        _ => Version::V11,
    };
    let call = async {
        let body = read_body(body).await?;
        let text = std::str::from_utf8(&body)
            .map_err(|_| Refusal::Malformed("the envelope is not UTF-8 text"))?;
        read(text).ok_or(Refusal::Malformed(
            "not a SOAP envelope with GetSSOTokenStatus and its token; see ?WSDL",
        ))
    };
    let call = match call.await {
        Ok(call) => call,
        Err(refusal) => return fault(assumed, refusal),
    };
    match state(&gateway, &call.token).await {
        Ok(state) => {
            let result = format!(
                "<{METHOD}Response xmlns=\"{}\"><{METHOD}Result>{}</{METHOD}Result></{METHOD}Response>",
                escape(&call.namespace),
                escape(&state),
            );
            envelope(call.version, StatusCode::OK, &result)
        }
        Err(refusal) => fault(call.version, refusal),
    }
}

async fn state(gateway: &Arc<Gateway>, token: &str) -> Result<String, Refusal> {
    let session = match gateway.session(Some(token)).await {
        Ok(session) => session,
        Err(Refusal::Unauthorized) => return Ok(SPELLED_EXPIRED.to_owned()),
        Err(refusal) => return Err(refusal),
    };
    let state = gateway.state_of(&session, Duration::ZERO).await?;
    Ok(session.spell(state).to_owned())
}

/// The call in an envelope; none where it is no envelope or no call that is known. A document
/// type is refused: what entities could do is nothing that a token needs.
#[expect(clippy::too_many_lines, reason = "it is one walk through a document")]
fn read(text: &str) -> Option<Call> {
    let mut reader = NsReader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let mut depth = 0;
    let mut version = None;
    let mut in_body = false;
    let mut namespace = None;
    let mut token = String::new();
    let mut has_token = false;
    loop {
        let (resolved, event) = reader.read_resolved_event().ok()?;
        match event {
            Event::Start(start) => {
                depth += 1;
                let of = match resolved {
                    ResolveResult::Bound(found) => found.0,
                    ResolveResult::Unbound => "",
                    ResolveResult::Unknown(_) => return None,
                };
                let name = start.local_name();
                match (depth, name.as_ref()) {
                    (1, "Envelope") => {
                        version = match of {
                            SOAP_11 => Some(Version::V11),
                            SOAP_12 => Some(Version::V12),
                            _ => return None,
                        }
                    }
                    (1, _) => return None,
                    (2, "Body") => in_body = true,
                    (3, name) if in_body => {
                        if name != METHOD || namespace.is_some() {
                            return None;
                        }
                        // As it stands in the attribute, with its escapes.
                        namespace = Some(unescape(of).ok()?.into_owned());
                    }
                    // Its one parameter, whatever its name.
                    (4, _) if in_body => {
                        if has_token {
                            return None;
                        }
                        has_token = true;
                    }
                    (depth, _) if depth > MAX_DEPTH || in_body => return None,
                    _ => {}
                }
            }
            Event::End(_) => {
                depth -= 1;
                in_body &= depth >= 2;
            }
            Event::Text(text) if in_body && depth == 4 => {
                token.push_str(&text.xml10_content());
            }
            Event::CData(text) if in_body && depth == 4 => {
                token.push_str(&text.xml10_content());
            }
            Event::GeneralRef(reference) if in_body && depth == 4 => {
                token.push(character(&reference)?);
            }
            Event::DocType(_) => return None,
            Event::Eof => break,
            _ => {}
        }
    }
    if depth != 0 || !has_token {
        return None;
    }
    Some(Call {
        version: version?,
        namespace: namespace?,
        // An empty one is no session's, as any other that is not known.
        token: token.trim().to_owned(),
    })
}

/// `&lt;`, `&#43;` and their like.
fn character(reference: &quick_xml::events::BytesRef<'_>) -> Option<char> {
    if let Some(character) = reference.resolve_char_ref().ok()? {
        return Some(character);
    }
    let text = quick_xml::escape::resolve_predefined_entity(reference)?;
    text.chars().next()
}

fn fault(version: Version, refusal: Refusal) -> Response {
    let is_ours = refusal.status().is_server_error();
    let message = escape(refusal.message());
    // SOAP 1.1, section 6.2: a fault is a 500. SOAP 1.2, part 2, table 20: a sender's is a 400.
    let (status, body) = match version {
        Version::V11 => {
            let code = if is_ours { "Server" } else { "Client" };
            let body = format!(
                "<s:Fault><faultcode>s:{code}</faultcode><faultstring>{message}</faultstring></s:Fault>"
            );
            (StatusCode::INTERNAL_SERVER_ERROR, body)
        }
        Version::V12 => {
            let code = if is_ours { "Receiver" } else { "Sender" };
            let body = format!(
                "<s:Fault><s:Code><s:Value>s:{code}</s:Value></s:Code><s:Reason><s:Text xml:lang=\"en\">{message}</s:Text></s:Reason></s:Fault>"
            );
            let status = if is_ours {
                StatusCode::INTERNAL_SERVER_ERROR
            } else {
                StatusCode::BAD_REQUEST
            };
            (status, body)
        }
    };
    let status = match refusal {
        Refusal::TooMany | Refusal::TooLarge => refusal.status(),
        _ => status,
    };
    let mut response = envelope(version, status, &body);
    response.extensions_mut().insert(refusal);
    response
}

fn envelope(version: Version, status: StatusCode, body: &str) -> Response {
    let (namespace, content_type) = match version {
        Version::V11 => (SOAP_11, "text/xml; charset=utf-8"),
        Version::V12 => (SOAP_12, "application/soap+xml; charset=utf-8"),
    };
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\
         <s:Envelope xmlns:s=\"{namespace}\"><s:Body>{body}</s:Body></s:Envelope>"
    );
    (status, [(CONTENT_TYPE, content_type)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(namespace: &str, body: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<e:Envelope xmlns:e=\"{namespace}\">\
             <e:Header><x:y xmlns:x=\"z\">1</x:y></e:Header>\n<e:Body>{body}</e:Body></e:Envelope>"
        )
    }

    #[test]
    fn a_call_is_read_whatever_its_prefixes() {
        for (namespace, version) in [(SOAP_11, Version::V11), (SOAP_12, Version::V12)] {
            for body in [
                "<GetSSOTokenStatus xmlns=\"urn:a\"><token>T&amp;&#43;1</token></GetSSOTokenStatus>",
                "<a:GetSSOTokenStatus xmlns:a=\"urn:a\">\n <a:ssoToken> <![CDATA[T&]]>+1\n</a:ssoToken></a:GetSSOTokenStatus>",
            ] {
                let call = read(&envelope(namespace, body));
                let expected = Call {
                    version,
                    namespace: "urn:a".to_owned(),
                    token: "T&+1".to_owned(),
                };
                assert_eq!(call, Some(expected), "{body}");
            }
        }
    }

    #[test]
    fn a_call_may_have_an_empty_token_and_an_escaped_namespace() {
        for token in [
            "<token/>",
            "<token></token>",
            "<token> </token>",
            "<token nil=\"true\"/>",
        ] {
            let call = format!(
                "<GetSSOTokenStatus xmlns=\"urn:a?b&amp;c=&quot;&#x31;\">{token}</GetSSOTokenStatus>"
            );
            let call = read(&envelope(SOAP_11, &call)).map(|call| (call.namespace, call.token));
            assert_eq!(
                call,
                Some(("urn:a?b&c=\"1".to_owned(), String::new())),
                "{token}"
            );
        }
    }

    #[test]
    fn what_is_no_call_is_refused() {
        let call = "<GetSSOTokenStatus><token>T</token></GetSSOTokenStatus>";
        for text in [
            String::new(),
            "x".to_owned(),
            "<a/>".to_owned(),
            envelope("urn:other", call),
            envelope(SOAP_11, ""),
            envelope(SOAP_11, "<Other><token>T</token></Other>"),
            envelope(SOAP_11, "<GetSSOTokenStatus/>"),
            envelope(SOAP_11, &format!("{call}{call}")),
            envelope(SOAP_11, &call.replace("<token>", "<token>a</token><token>")),
            envelope(SOAP_11, &call.replace("T</", "<b>T</b></")),
            envelope(SOAP_11, &call.replace('T', "&unknown;")),
            envelope(SOAP_11, call).replace("?>", "?><!DOCTYPE a [<!ENTITY t \"T\">]>"),
            envelope(SOAP_11, call)[..200].to_owned(),
            envelope(SOAP_11, &"<a>".repeat(100_000)),
        ] {
            assert_eq!(read(&text), None, "{text:.300}");
        }
    }
}
