//! Opens TCP connections to addresses that were vetted.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures::future::{BoxFuture, ready};
use futures::stream::{self, StreamExt};
use futures::{FutureExt, TryFutureExt};
use tokio::net::{TcpSocket, TcpStream};

use super::egress::Refusal;
use super::in_turn::first_to_succeed;

/// The most addresses of a name that are tried: whoever answers for the name decides how many it
/// has. What comes late counts for itself.
const MOST_TRIED: usize = 8;

/// How many bytes the kernel keeps of an answer that is not read yet: about as much as is read of
/// one. Left to itself the kernel lets it grow to megabytes, which receivers that pour would fill
/// for each of thousands of connections.
const RECEIVE_BUFFER: u32 = 64 * 1024;

/// A way to dial one address, from a source address if one is given. The product's is [`tcp`]; the
/// tests of the egress policy put in one that only writes down what it is asked for.
pub(super) type Dial = Arc<
    dyn Fn(SocketAddr, Option<IpAddr>) -> BoxFuture<'static, io::Result<TcpStream>> + Send + Sync,
>;

#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("{}", .0.kind())]
    Io(#[from] io::Error),
    #[error("this machine does not have the source address {0}")]
    NotOurs(IpAddr),
    #[error("no source address is of the same family as the receiver's addresses")]
    OtherFamily,
    #[error(transparent)]
    Refused(#[from] Refusal),
}

pub(super) fn tcp() -> Dial {
    Arc::new(|target, source| open(target, source).boxed())
}

async fn open(target: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = match target {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Where a connection can be made to: what there is, and what a slow look-up may add to it.
pub(super) struct Targets {
    pub(super) ready: Vec<SocketAddr>,
    pub(super) late: Option<BoxFuture<'static, Result<Vec<SocketAddr>, Refusal>>>,
}

/// Gives the first connection that opens.
pub(super) async fn first_to_open(
    dial: &Dial,
    targets: Targets,
    sources: &[IpAddr],
) -> Result<TcpStream, DialError> {
    let at_once = stream::once(ready(Ok(targets.ready)));
    let late = stream::iter(targets.late).then(|late| late);
    let dials = at_once.chain(late).flat_map(|targets| {
        let dials: Vec<_> = match targets {
            Ok(targets) => routes(&targets, sources)
                .into_iter()
                .map(|(target, source)| {
                    let opening = dial(target, source);
                    opening
                        .map_err(move |error| explained(error, source))
                        .boxed()
                })
                .collect(),
            Err(refusal) => vec![ready(Err(refusal.into())).boxed()],
        };
        stream::iter(dials)
    });
    first_to_succeed(dials, DialError::OtherFamily).await
}

/// Pairs each target with the source address of its family, IPv4 and IPv6 in turn. IPv4 comes
/// first: the addresses that receivers allow-list are most often those.
fn routes(targets: &[SocketAddr], sources: &[IpAddr]) -> Vec<(SocketAddr, Option<IpAddr>)> {
    let of_family = |v4: bool| {
        let source = any(sources.iter().filter(|source| source.is_ipv4() == v4));
        let reachable = sources.is_empty() || source.is_some();
        let targets = targets
            .iter()
            .filter(move |target| target.is_ipv4() == v4 && reachable);
        targets.map(move |&target| (target, source.copied()))
    };
    let (mut v4, mut v6) = (of_family(true), of_family(false));
    let pairs = std::iter::from_fn(|| {
        let pair = [v4.next(), v6.next()];
        pair.iter().any(Option::is_some).then_some(pair)
    });
    pairs.flatten().flatten().take(MOST_TRIED).collect()
}

/// Picks one of them at random, so that all are used alike.
pub(super) fn any<T>(of: impl Iterator<Item = T>) -> Option<T> {
    let mut of: Vec<T> = of.collect();
    if of.is_empty() {
        return None;
    }
    Some(of.swap_remove(rand::random_range(0..of.len())))
}

fn explained(error: io::Error, source: Option<IpAddr>) -> DialError {
    match source {
        Some(source) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            DialError::NotOurs(source)
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::send::in_turn::HEAD_START;

    fn at<const N: usize>(ready: [SocketAddr; N]) -> Targets {
        Targets {
            ready: ready.to_vec(),
            late: None,
        }
    }

    fn addresses<const N: usize>(texts: [&str; N]) -> Vec<SocketAddr> {
        texts.map(|text| text.parse().unwrap()).to_vec()
    }

    #[test]
    fn families_take_turns_and_have_their_own_source() {
        let targets = addresses(["[2a00::1]:443", "[2a00::2]:443", "198.41.0.4:443"]);
        let plain: Vec<_> = routes(&targets, &[])
            .into_iter()
            .map(|(to, _)| to)
            .collect();
        assert_eq!(
            plain,
            addresses(["198.41.0.4:443", "[2a00::1]:443", "[2a00::2]:443"])
        );
        let source: IpAddr = "2a00::9".parse().unwrap();
        assert_eq!(
            routes(&targets, &[source]),
            [(targets[0], Some(source)), (targets[1], Some(source))]
        );
    }

    #[test]
    fn a_name_with_a_thousand_addresses_is_tried_at_a_few() {
        let many = vec![SocketAddr::from(([198, 41, 0, 4], 443)); 1000];
        assert_eq!(routes(&many, &[]).len(), MOST_TRIED);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_holds_the_next_one_up_for_a_moment() {
        let (listener, open) = listening().await;
        let silent: SocketAddr = "198.51.100.1:443".parse().unwrap();
        let dial: Dial = Arc::new(move |target, _| match target {
            _ if target == silent => futures::future::pending().boxed(),
            _ => TcpStream::connect(target).boxed(),
        });
        let started = tokio::time::Instant::now();
        first_to_open(&dial, at([silent, silent, open]), &[])
            .await
            .unwrap();
        assert!(started.elapsed() >= 2 * HEAD_START);
        drop(listener);
    }

    #[tokio::test]
    async fn a_source_address_of_another_machine_is_named() {
        let (listener, open) = listening().await;
        let foreign = "192.0.2.1".parse().unwrap();
        let failed = first_to_open(&tcp(), at([open]), &[foreign])
            .await
            .unwrap_err();
        assert_eq!(
            failed.to_string(),
            "this machine does not have the source address 192.0.2.1"
        );
        let of_the_other_family = "::1".parse().unwrap();
        let failed = first_to_open(&tcp(), at([open]), &[of_the_other_family]).await;
        assert!(matches!(failed, Err(DialError::OtherFamily)));
        drop(listener);
    }

    async fn listening() -> (tokio::net::TcpListener, SocketAddr) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }
}
