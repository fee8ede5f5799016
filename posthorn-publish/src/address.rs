//! Addresses that single transactions bring with them.

use serde::Serialize;
use sqlx::PgExecutor;

use crate::{Error, json};

/// An address is where one transaction wants its events sent, beside the merchant's own
/// subscriptions.
///
/// Everything that it does not say, it has from its template, a subscription of the merchant with
/// `scope = 'transaction'`. One that cannot be used fails no transaction: its deliveries say why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Address {
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<Method>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template: Option<String>,
}

impl Address {
    /// Makes an address with the method, the success rule and all else of the merchant's template.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            method: None,
            success_body: None,
            template: None,
        }
    }

    /// Chooses the method of its requests. Where the merchant has several templates and none is
    /// named, it also chooses the one of this method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = Some(method);
        self
    }

    /// Sets the text that the answer's body has to be for a delivery to count.
    #[must_use]
    pub fn success_body(mut self, text: impl Into<String>) -> Self {
        self.success_body = Some(text.into());
        self
    }

    /// Names the template, for a merchant that has several.
    #[must_use]
    pub fn template(mut self, name: impl Into<String>) -> Self {
        self.template = Some(name.into());
        self
    }
}

/// The method is how the requests to an address are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// The event travels in the request's body.
    Post,
    /// The event travels in the URL's query.
    Get,
}

/// Sends a transaction's events from now on to further addresses, without an event, and returns
/// how many of them are new. They are what [`Event::subscriptions`](crate::Event::subscriptions)
/// takes.
///
/// ```no_run
/// use posthorn_publish::{Address, Error, Method, subscribe_transaction};
///
/// # async fn example(tx: &mut sqlx::PgConnection) -> Result<(), Error> {
/// let address = Address::new("https://customer.example/hook").method(Method::Get);
/// subscribe_transaction(&mut *tx, "acme", "T-1", &address).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error::Refused`] if the merchant has no template for them, or an entry has keys that are not
/// known; [`Error::NotJson`], [`Error::NotAllowed`] and [`Error::NotInstalled`] as elsewhere.
pub async fn subscribe_transaction<'c, T: Serialize + ?Sized>(
    executor: impl PgExecutor<'c>,
    merchant: &str,
    transaction_id: &str,
    subscriptions: &T,
) -> Result<usize, Error> {
    let subscriptions = json::text_of("subscriptions", subscriptions)?;
    let made: i32 = sqlx::query_scalar("SELECT posthorn.subscribe_transaction($1, $2, $3::json)")
        .bind(merchant)
        .bind(transaction_id)
        .bind(subscriptions)
        .fetch_one(executor)
        .await?;
    Ok(usize::try_from(made).unwrap_or_default())
}
