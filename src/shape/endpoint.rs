//! A transaction's own endpoint over the template that lends it the rest.

use super::unsendable::{MAX_URL_BYTES, Unsendable};
use crate::model::settings::url;
use crate::model::{Encoding, Endpoint, Method, Subscription};

/// The subscription that holds for the endpoint: its URL, method and success text where it
/// gives them and no operator's lock does, the template's settings of this moment for all
/// else. A GET carries its values in the query (WIRE.md 5.1), and so the encoding follows
/// the method.
pub fn over(endpoint: &Endpoint, template: &Subscription) -> Result<Subscription, Unsendable> {
    let mut subscription = template.clone();
    let Subscription {
        locked,
        form,
        success,
        tls,
        ..
    } = &mut subscription;
    if let Some(text) = &endpoint.url
        && !locked.url
    {
        if text.len() > MAX_URL_BYTES {
            return Err(Unsendable::UrlTooLong);
        }
        form.url = Some(url::parse(text).map_err(Unsendable::EndpointUrl)?);
    }
    if let Some(method) = &endpoint.method
        && !locked.method
    {
        (form.method, form.encoding) = match (&**method, form.encoding) {
            ("GET", _) => (Method::Get, Encoding::Query),
            ("POST", Encoding::Query) => (Method::Post, Encoding::Nvp),
            ("POST", encoding) => (Method::Post, encoding),
            _ => return Err(Unsendable::EndpointMethod),
        };
    }
    if endpoint.success_body.is_some() && !locked.success_body {
        success.body = endpoint.success_body.as_deref().map(str::to_owned);
    }
    let is_plain = form.url.as_ref().is_some_and(|url| url.scheme() == "http");
    if is_plain && tls.client_identity.is_some() {
        return Err(Unsendable::PlainHttp);
    }
    Ok(subscription)
}
