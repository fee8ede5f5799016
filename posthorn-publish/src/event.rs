//! What an application publishes.

use std::fmt;

use serde::Serialize;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::{Error, json};

/// An event is one status change of one transaction of one merchant, with what is to be told
/// about it.
///
/// Each of the four names has 1 to 1000 bytes, the data at most 1 MiB as JSON.
///
/// ```
/// use posthorn_publish::{Address, Event};
/// use serde::Serialize;
///
/// #[derive(Serialize)]
/// struct Payment<'a> {
///     currency: &'a str,
///     cents: u64,
/// }
///
/// # fn main() -> Result<(), posthorn_publish::Error> {
/// let event = Event::new("acme", "payment.approved", "T-1", "approved")
///     .data(&Payment { currency: "EUR", cents: 1250 })?
///     .subscriptions(&Address::new("https://customer.example/hook"))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    merchant: String,
    kind: String,
    transaction_id: String,
    status: String,
    data: String,
    subscriptions: Option<String>,
}

impl Event {
    /// Makes an event whose data is the empty object `{}`.
    ///
    /// It takes the tenant that the transaction belongs to, the kind of change such as
    /// `payment.approved`, your own id of the transaction, and its new status in your spelling.
    #[must_use]
    pub fn new(
        merchant: impl Into<String>,
        kind: impl Into<String>,
        transaction_id: impl Into<String>,
        status: impl Into<String>,
    ) -> Self {
        Self {
            merchant: merchant.into(),
            kind: kind.into(),
            transaction_id: transaction_id.into(),
            status: status.into(),
            data: "{}".to_owned(),
            subscriptions: None,
        }
    }

    /// Gives the event its data: anything that serde can write as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::NotJson`] if serde cannot, such as for a map whose keys are no strings.
    pub fn data<T: Serialize + ?Sized>(mut self, data: &T) -> Result<Self, Error> {
        self.data = json::text_of("data", data)?;
        Ok(self)
    }

    /// Gives the event its data as JSON text, which is kept as it is written: the digits of
    /// numbers (`12.50`), the order of keys, and blanks.
    ///
    /// # Errors
    ///
    /// [`Error::NotJson`] if the text is not JSON.
    pub fn data_text(mut self, text: impl Into<String>) -> Result<Self, Error> {
        self.data = json::checked("data", text.into())?;
        Ok(self)
    }

    /// Lets the event's transaction have addresses of its own, which get this event and its later
    /// ones: an [`Address`], a list of them, or the customer's JSON in one of the forms that
    /// Posthorn reads.
    ///
    /// The merchant needs a template for them, a subscription with `scope = 'transaction'`.
    ///
    /// # Errors
    ///
    /// [`Error::NotJson`] if serde cannot write them as JSON.
    pub fn subscriptions<T: Serialize + ?Sized>(
        mut self,
        subscriptions: &T,
    ) -> Result<Self, Error> {
        self.subscriptions = Some(json::text_of("subscriptions", subscriptions)?);
        Ok(self)
    }
}

/// Shows neither the data nor the addresses, so that no payload gets into a log by accident.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("merchant", &self.merchant)
            .field("kind", &self.kind)
            .field("transaction_id", &self.transaction_id)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Publishes an event and returns its id, which deliveries carry as `webhook-id`. It is delivered
/// once the executor's transaction commits; over a pool, that is at once.
///
/// # Errors
///
/// [`Error::Refused`] if the schema refuses the event, such as a merchant without a name;
/// PostgreSQL has then failed the transaction. [`Error::NotAllowed`] and [`Error::NotInstalled`]
/// say what the database lacks.
pub async fn publish<'c>(executor: impl PgExecutor<'c>, event: &Event) -> Result<Uuid, Error> {
    append(
        "SELECT posthorn.publish($1, $2, $3, $4, $5::json, $6::json)",
        executor,
        event,
    )
    .await
}

/// Publishes an event by a role that may do so for some merchants only, which
/// `posthorn grant --publisher ROLE --merchant MERCHANT` made it.
///
/// # Errors
///
/// Those of [`publish`]; for another merchant's event that is [`Error::NotAllowed`].
pub async fn publish_own<'c>(executor: impl PgExecutor<'c>, event: &Event) -> Result<Uuid, Error> {
    append(
        "INSERT INTO posthorn.own_events (merchant, kind, transaction_id, status, data, subscriptions)
         VALUES ($1, $2, $3, $4, $5::json, $6::json) RETURNING id",
        executor,
        event,
    )
    .await
}

async fn append<'c>(
    statement: &'static str,
    executor: impl PgExecutor<'c>,
    event: &Event,
) -> Result<Uuid, Error> {
    let id = sqlx::query_scalar(statement)
        .bind(&event.merchant)
        .bind(&event.kind)
        .bind(&event.transaction_id)
        .bind(&event.status)
        .bind(&event.data)
        .bind(&event.subscriptions)
        .fetch_one(executor)
        .await?;
    Ok(id)
}
