//! A transaction's own endpoint over the template that lends it the rest.

use super::{MAX_URL_BYTES, Unsendable};
use crate::model::settings::url;
use crate::model::{Encoding, Endpoint, Method, Signing, Subscription};

/// Gives the subscription that holds for the endpoint: its URL, method and success text where it
/// gives them and no operator's lock does, the template's settings of this moment for all else. A
/// GET carries its values in the query (WIRE.md 5.1), and so the encoding follows the method.
pub fn over(endpoint: &Endpoint, template: &Subscription) -> Result<Subscription, Unsendable> {
    let mut subscription = template.clone();
    let Subscription {
        locked,
        form,
        signing,
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
        // As the settings' check says of a subscription of its own.
        if &**method == "GET" && matches!(signing, Signing::StandardWebhooks(_)) {
            return Err(Unsendable::UnsignedQuery);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::samples;
    use crate::model::subscription::Locked;
    use crate::shape::tests::shaped;

    fn endpoint(url: Option<&str>, method: Option<&str>, body: Option<&str>) -> Endpoint {
        Endpoint {
            template_id: samples::subscription().id,
            url: url.map(Into::into),
            method: method.map(Into::into),
            success_body: body.map(Into::into),
        }
    }

    fn template() -> Subscription {
        let mut template = samples::subscription();
        template.form.url = None;
        template
    }

    #[test]
    fn what_the_endpoint_says_wins_over_the_template() {
        let own = endpoint(
            Some("https://own.example/?a=1"),
            Some("GET"),
            Some("RECEIVED"),
        );
        let subscription = over(&own, &samples::subscription()).unwrap();
        assert_eq!(
            subscription.form.url.as_ref().unwrap().as_str(),
            "https://own.example/?a=1"
        );
        assert_eq!(subscription.success.body.as_deref(), Some("RECEIVED"));
        let request = shaped(&samples::event(), &subscription, 1).unwrap();
        assert_eq!(
            request.url.as_str(),
            "https://own.example/?a=1&amount=1234.50"
        );
        assert!(request.body.is_empty());

        let silent = over(&endpoint(None, None, None), &samples::subscription()).unwrap();
        let its_own = samples::subscription();
        assert_eq!(format!("{silent:?}"), format!("{its_own:?}"));
    }

    #[test]
    fn a_post_over_a_get_template_is_a_form() {
        let mut get = samples::subscription();
        get.form.method = Method::Get;
        get.form.encoding = Encoding::Query;
        let subscription = over(&endpoint(None, Some("POST"), None), &get).unwrap();
        assert_eq!(subscription.form.encoding, Encoding::Nvp);
    }

    #[test]
    fn an_operators_lock_holds_for_transactions_too() {
        let mut template = samples::subscription();
        template.locked = Locked {
            url: true,
            method: true,
            success_body: true,
        };
        let own = endpoint(Some("nowhere"), Some("PUT"), Some("RECEIVED"));
        let subscription = over(&own, &template).unwrap();
        assert_eq!(format!("{subscription:?}"), format!("{template:?}"));
    }

    #[test]
    fn what_a_customer_wrote_wrongly_is_told_without_being_shown() {
        let long = format!("https://h/{}", "s3cret".repeat(11_000));
        for (own, expected) in [
            (
                endpoint(None, None, None),
                "neither the transaction's subscription nor its template has a url",
            ),
            (
                endpoint(Some("s3cret"), None, None),
                "url of the transaction's subscription: not an http:// or https:// URL; give one such as https://example.com/hook",
            ),
            (
                endpoint(Some(""), None, None),
                "url of the transaction's subscription: not an http:// or https:// URL; give one such as https://example.com/hook",
            ),
            (
                endpoint(Some("https://u:s3cret@h/"), None, None),
                "url of the transaction's subscription: a URL with a user name or password; take it out, and give auth = \"basic\" and auth_secret",
            ),
            (
                endpoint(Some(&long), None, None),
                "the URL with its query would be longer than 65534 bytes",
            ),
            (
                endpoint(Some("https://h/"), Some("S3CRET"), None),
                "the transaction's subscription has a method other than POST and GET",
            ),
        ] {
            let sent = over(&own, &template()).and_then(|its| shaped(&samples::event(), &its, 1));
            assert_eq!(sent.unwrap_err().to_string(), expected);
        }
        let mut certified = template();
        certified.tls.client_identity = Some(b"pem".to_vec().into());
        let refused = over(&endpoint(Some("http://h/"), None, None), &certified);
        assert_eq!(refused.unwrap_err(), Unsendable::PlainHttp);
        let mut signed = template();
        signed.signing = Signing::StandardWebhooks(Vec::new());
        let refused = over(&endpoint(None, Some("GET"), None), &signed);
        assert_eq!(refused.unwrap_err(), Unsendable::UnsignedQuery);
    }
}
