//! Session tokens for the gateway.

use std::time::Duration;

use sqlx::PgExecutor;

use crate::Error;

/// A session lets whoever holds its token ask the gateway about one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    merchant: String,
    transaction_id: String,
    lifetime: Option<Duration>,
    complete_on: Option<Vec<String>>,
    complete_as: Option<String>,
}

impl Session {
    /// Makes a session of 15 minutes that any event completes. The transaction need not exist yet.
    #[must_use]
    pub fn new(merchant: impl Into<String>, transaction_id: impl Into<String>) -> Self {
        Self {
            merchant: merchant.into(),
            transaction_id: transaction_id.into(),
            lifetime: None,
            complete_on: None,
            complete_as: None,
        }
    }

    /// Sets how long the token is good for, at most 366 days.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Sets the statuses that complete the transaction: patterns, `*` for any run of characters.
    #[must_use]
    pub fn complete_on<S: Into<String>>(mut self, statuses: impl IntoIterator<Item = S>) -> Self {
        self.complete_on = Some(statuses.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the word that the client is told once the transaction is complete: 1 to 40 letters
    /// and underscores. Otherwise that is `complete`.
    #[must_use]
    pub fn complete_as(mut self, word: impl Into<String>) -> Self {
        self.complete_as = Some(word.into());
        self
    }
}

/// Issues a session and returns its token, this one time: the database keeps only a hash of it.
///
/// ```no_run
/// use posthorn_publish::{Error, Session, issue_session};
///
/// # async fn example(pool: &sqlx::PgPool) -> Result<(), Error> {
/// let session = Session::new("acme", "T-1").complete_on(["approved", "declined*"]);
/// let token = issue_session(pool, &session).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`Error::Refused`] if the schema refuses the session, such as one that is longer than a year;
/// [`Error::NotAllowed`] and [`Error::NotInstalled`] say what the database lacks.
pub async fn issue_session<'c>(
    executor: impl PgExecutor<'c>,
    session: &Session,
) -> Result<String, Error> {
    let lifetime = session.lifetime.map(|lifetime| lifetime.as_secs_f64());
    let token = sqlx::query_scalar(
        "SELECT posthorn.issue_session($1, $2, make_interval(secs => $3), $4, $5)",
    )
    .bind(&session.merchant)
    .bind(&session.transaction_id)
    .bind(lifetime)
    .bind(&session.complete_on)
    .bind(&session.complete_as)
    .fetch_one(executor)
    .await?;
    Ok(token)
}
