//! Where one transaction wants its events sent, beside the merchant's subscriptions.

use std::fmt;

use uuid::Uuid;

/// An address that one transaction brings for itself: a row of
/// `posthorn.transaction_subscriptions`, in the customer's own text, so that what cannot be used
/// shows when something is sent. It has everything else of its template, a subscription of
/// [`Scope::Transaction`](super::subscription::Scope), and its lane.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The subscription whose settings, credentials and lane it borrows.
    pub template_id: Uuid,
    /// Where to send; none for the template's URL.
    pub url: Option<Box<str>>,
    /// The HTTP method, in the customer's spelling; none for the template's.
    pub method: Option<Box<str>>,
    /// The text that the answer's body must be; none for the template's.
    pub success_body: Option<Box<str>>,
}

impl Endpoint {
    /// How many bytes the endpoint counts for in the memory limits.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = [&self.url, &self.method, &self.success_body];
        let lengths = texts.into_iter().flatten().map(|text| text.len());
        size_of::<Self>() + lengths.sum::<usize>()
    }
}

/// Leaves the URL out: its path or query may hold a token (invariant 9).
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("template_id", &self.template_id)
            .finish_non_exhaustive()
    }
}
