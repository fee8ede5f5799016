//! Access tokens: kept while they hold, had anew before they run out, asked for once at a
//! time however many sends want one.

mod grant;
mod slot;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use http::HeaderValue;
use tokio::time::timeout;
use uuid::Uuid;

use self::slot::{Slot, Step, Token};
use super::failure::Failure;
use super::http1::Client;
use crate::model::subscription::OAuth2Client;
use crate::model::{Credential, Subscription};

/// A subscription that was changed or removed leaves a slot behind; one that sends nothing
/// for so long asks anew.
const KEEP_UNUSED: Duration = Duration::from_mins(10);

/// How often unused slots are looked for.
const SWEEP: Duration = Duration::from_mins(1);

/// The access tokens, with one slot for each credential of each subscription: nothing is shared
/// between two, even where they name the same client.
#[derive(Default)]
pub(super) struct Tokens {
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    of: HashMap<(Uuid, Credential), Kept>,
    swept: Option<Instant>,
}

struct Kept {
    /// The revision of the configuration that the slot's contents belong to.
    revision: i64,
    slot: Slot,
    request: Option<Pending>,
    used: Instant,
}

/// A request to the token server; it goes on when the send that began it is given up.
type Pending = Shared<BoxFuture<'static, Result<Token, Failure>>>;

/// Who asks for a token, and by which way.
pub(super) struct Asking<'a> {
    pub(super) client: &'a OAuth2Client,
    pub(super) http: Client,
    pub(super) subscription: &'a Subscription,
    pub(super) credential: Credential,
}

impl Tokens {
    /// The value of the `Authorization` header.
    pub(super) async fn bearer(
        self: &Arc<Self>,
        asking: Asking<'_>,
    ) -> Result<HeaderValue, Failure> {
        let pending = match self.step(&asking) {
            Ready::Now(answer) => return answer,
            Ready::After(pending) => pending,
        };
        // A token that has run out by now serves those who waited for it all the same.
        pending.await.map(|token| token.bearer)
    }

    fn step(self: &Arc<Self>, asking: &Asking<'_>) -> Ready {
        let now = Instant::now();
        let mut slots = self.lock();
        slots.sweep(now);
        let kept = slots.kept(asking, now);
        let running = kept.running();
        match (kept.slot.step(running.is_some(), now), running) {
            (Step::Use(bearer), _) => Ready::Now(Ok(bearer)),
            (Step::Fail(failure), _) => Ready::Now(Err(failure)),
            (Step::Refresh(bearer), _) => {
                kept.request = Some(self.request(asking, now));
                Ready::Now(Ok(bearer))
            }
            (Step::Wait, Some(pending)) => Ready::After(pending),
            (Step::Ask | Step::Wait, _) => {
                let pending = kept.request.insert(self.request(asking, now));
                Ready::After(pending.clone())
            }
        }
    }

    fn request(self: &Arc<Self>, asking: &Asking<'_>, asked_at: Instant) -> Pending {
        let Asking {
            client,
            http,
            subscription,
            credential,
        } = asking;
        let limit = subscription.timeout;
        let exchange = grant::exchange(http.clone(), client, asked_at);
        let (tokens, key) = (Arc::clone(self), (subscription.id, *credential));
        let revision = subscription.revision;
        let task = tokio::spawn(async move {
            let result = timeout(limit, exchange)
                .await
                .unwrap_or_else(|_| Err(Failure::timeout("no access token", limit)));
            if let Some(kept) = tokens.lock().of.get_mut(&key)
                && kept.revision == revision
            {
                kept.slot.answered(result.clone(), Instant::now());
            }
            result
        });
        task.map(|ended| {
            ended.unwrap_or_else(|_| Err(Failure::token(false, "the request was broken off")))
        })
        .boxed()
        .shared()
    }

    /// The receiver refused this token. One that has taken its place meanwhile stays.
    pub(super) fn refused(&self, id: Uuid, credential: Credential, bearer: &HeaderValue) {
        if let Some(kept) = self.lock().of.get_mut(&(id, credential)) {
            kept.slot.refused(bearer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Ready {
    Now(Result<HeaderValue, Failure>),
    After(Pending),
}

impl Slots {
    fn kept(&mut self, asking: &Asking<'_>, now: Instant) -> &mut Kept {
        let revision = asking.subscription.revision;
        let fresh = || Kept {
            revision,
            slot: Slot::default(),
            request: None,
            used: now,
        };
        match self.of.entry((asking.subscription.id, asking.credential)) {
            Entry::Vacant(place) => place.insert(fresh()),
            Entry::Occupied(found) => {
                let kept = found.into_mut();
                if kept.revision != revision {
                    *kept = fresh();
                }
                kept.used = now;
                kept
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        if self
            .swept
            .is_none_or(|swept| now.duration_since(swept) >= SWEEP)
        {
            self.swept = Some(now);
            self.of
                .retain(|_, kept| now.duration_since(kept.used) < KEEP_UNUSED);
        }
    }
}

impl Kept {
    /// The request that is under way.
    fn running(&self) -> Option<Pending> {
        let request = self.request.as_ref();
        request.filter(|pending| pending.peek().is_none()).cloned()
    }
}
