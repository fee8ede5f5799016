//! Looks names up and vets every address before the connector sees any.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

use super::egress::{Channel, EgressPolicy};

/// Why a name has no addresses.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error("{0}")]
    System(Arc<io::Error>),
    #[error("the name has no address")]
    NoAddress,
}

/// The system's resolver behind the egress policy. The connector dials the very
/// addresses that were vetted here: a name that is bound anew in between has no window.
pub(super) struct VettingResolver {
    pub(super) egress: EgressPolicy,
    pub(super) channel: Channel,
    pub(super) lookups: Lookups,
}

impl Resolve for VettingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let egress = self.egress.clone();
        let channel = self.channel;
        let lookup = self.lookups.join(name.as_str(), system_lookup);
        Box::pin(async move {
            let found = lookup.await?;
            // One forbidden address spoils the name: the others may be bait.
            for address in &found {
                egress.check(address.ip(), channel)?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

type Found = Result<Vec<SocketAddr>, LookupError>;
type Lookup = BoxFuture<'static, Found>;

/// The look-ups in the air: requests for the same name wait for the same one.
///
/// The system's resolver blocks a thread for as long as a name server likes. Without
/// this, one merchant's slow name server could take every thread that look-ups have.
#[derive(Clone, Default)]
pub(super) struct Lookups {
    running: Arc<Mutex<HashMap<Box<str>, WeakShared<Lookup>>>>,
}

impl Lookups {
    fn join(&self, name: &str, start: impl FnOnce(Box<str>) -> Lookup) -> Shared<Lookup> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lookup) = running.get(name).and_then(in_the_air) {
            return lookup;
        }
        running.retain(|_, lookup| in_the_air(lookup).is_some());
        let lookup = start(name.into()).shared();
        if let Some(waiting) = lookup.downgrade() {
            running.insert(name.into(), waiting);
        }
        lookup
    }
}

/// Only a look-up that has not ended: an answer is used once and never kept.
fn in_the_air(lookup: &WeakShared<Lookup>) -> Option<Shared<Lookup>> {
    lookup.upgrade().filter(|lookup| lookup.peek().is_none())
}

fn system_lookup(name: Box<str>) -> Lookup {
    async move {
        // Port 0 stands for the URL's port; the connector fills it in.
        let found: Vec<SocketAddr> = lookup_host((&*name, 0))
            .await
            .map_err(|error| LookupError::System(Arc::new(error)))?
            .collect();
        if found.is_empty() {
            return Err(LookupError::NoAddress);
        }
        Ok(found)
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::sync::oneshot;

    use super::{LookupError, Lookups};

    #[tokio::test]
    async fn requests_for_a_name_share_a_lookup_while_it_runs() {
        let lookups = Lookups::default();
        let (answer, answered) = oneshot::channel::<()>();
        let slow = |_| answered.map(|_| Err(LookupError::NoAddress)).boxed();
        let never = |_| panic!("a second look-up of the same name");
        let at_once = |_| async { Ok(Vec::new()) }.boxed();

        let first = lookups.join("a.example", slow);
        let second = lookups.join("a.example", never);
        let other = lookups.join("b.example", at_once);
        assert!(other.await.is_ok(), "waited for another name");

        answer.send(()).ok();
        assert!(first.await.is_err());
        assert!(second.clone().await.is_err());
        let later = lookups.join("a.example", at_once);
        assert!(later.await.is_ok(), "an old answer was kept");
    }
}
