//! Workers are cut off from the database: connections that break, and ones that hang.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::account::{Publisher, subscribe};
use crate::proxy::{Mode, Proxy};
use crate::rig::{Rig, is_full, wait_until};
use crate::support::{SHORT_LEASE, Setup, Worker};
use crate::table::report;

const PER_SECOND: f64 = 150.0;

/// How soon after healing nine tenths of what is published arrive again.
const RECOVERY: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partitioned_worker_is_replaced_and_comes_back() {
    let long = span();
    let rig = Rig::set_up().await;
    subscribe(&rig).await;
    let database = database(&rig);
    let (proxy, _far) = far(&rig).await;
    let _near = rig.worker("near", "").await;
    let publisher = Publisher::start(rig.pool.clone(), PER_SECOND);
    let mut slowest = Duration::ZERO;
    for (mode, span) in [
        (Mode::Cut, Duration::from_secs(5)),
        (Mode::Stalled(database), long),
    ] {
        wait_until("the shards are shared", async || {
            rig.shards_of(&["near"]).await == 32 && rig.shards_of(&["far"]).await == 32
        })
        .await;
        proxy.set(mode);
        let cut = Instant::now();
        wait_until("the other one has all", async || {
            rig.shards_of(&["near"]).await == 64
        })
        .await;
        println!("{mode:?}: taken over after {:.1?}", cut.elapsed());
        tokio::time::sleep(span.saturating_sub(cut.elapsed())).await;
        proxy.set(Mode::To(database));
        slowest = slowest.max(until_it_is_back(&rig, &publisher).await);
    }
    wait_until("it has its share again", async || {
        rig.shards_of(&["far"]).await == 32
    })
    .await;
    let account = publisher.settle(&rig).await;
    let measure = format!("after {long:?} until 90 % arrive");
    report("partition of one worker", &account, slowest, &measure);
    assert!(slowest < RECOVERY, "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_of_all_workers_delays_and_nothing_more() {
    let long = span();
    let rig = Rig::set_up().await;
    subscribe(&rig).await;
    let database = database(&rig);
    let (proxy, _far) = far(&rig).await;
    let publisher = Publisher::start(rig.pool.clone(), PER_SECOND);
    publisher.more(100).await;
    proxy.set(Mode::Stalled(database));
    tokio::time::sleep(long).await;
    proxy.set(Mode::To(database));
    let recovery = until_it_is_back(&rig, &publisher).await;
    let account = publisher.settle(&rig).await;
    let measure = format!("after {long:?} until 90 % arrive");
    report("partition of all workers", &account, recovery, &measure);
    assert!(recovery < RECOVERY, "{recovery:?}");
}

fn span() -> Duration {
    if is_full() {
        Duration::from_mins(10)
    } else {
        Duration::from_secs(8)
    }
}

fn database(rig: &Rig) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], rig.postgres.port()))
}

/// A worker behind a proxy.
async fn far(rig: &Rig) -> (Proxy, Worker) {
    let proxy = Proxy::to(database(rig)).await;
    let far = Setup::with_url(&proxy.url(&rig.database.url))
        .toml("worker.name = 'far'")
        .toml(SHORT_LEASE);
    (proxy, far.start().await)
}

/// Waits for a second in which as many requests arrive at the endpoints that never fail as
/// nine tenths of the events that are committed meanwhile; each event is for one of them.
/// Returns when that second began, counted from now.
async fn until_it_is_back(rig: &Rig, publisher: &Publisher) -> Duration {
    let arrived = || -> u64 {
        let endpoints = rig.receiver.endpoints();
        let good = endpoints.iter().filter(|it| it.path().ends_with("/good"));
        good.map(|endpoint| endpoint.received()).sum()
    };
    let healed = Instant::now();
    loop {
        let second = healed.elapsed();
        let (committed, before) = (publisher.committed(), arrived());
        tokio::time::sleep(Duration::from_secs(1)).await;
        let committed = u64::try_from(publisher.committed() - committed).unwrap();
        if committed > 0 && (arrived() - before) * 10 >= committed * 9 {
            return second;
        }
        assert!(second < crate::rig::PATIENCE, "it does not come back");
    }
}
