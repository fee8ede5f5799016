//! Where one transaction wants its events sent, beside the merchant's subscriptions.

use std::fmt;

use uuid::Uuid;

/// A row of `posthorn.transaction_subscriptions`, in the customer's own text: what cannot
/// be used shows when something is sent. It has everything else of its template, a
/// subscription of [`Scope::Transaction`](super::subscription::Scope), and its lane.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub template_id: Uuid,
    /// None: the template's, as are the next two.
    pub url: Option<Box<str>>,
    pub method: Option<Box<str>>,
    pub success_body: Option<Box<str>>,
}

impl Endpoint {
    /// What it weighs in the memory limits.
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
