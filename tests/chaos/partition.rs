//! One worker is cut off from the database: connections that break, and ones that hang.

use std::time::{Duration, Instant};

use crate::account::{Publisher, subscribe};
use crate::proxy::{Mode, Proxy};
use crate::rig::{Rig, is_full, wait_until};
use crate::support::Setup;
use crate::table::report;

const PER_SECOND: f64 = 150.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partitioned_worker_is_replaced_and_comes_back() {
    let long = if is_full() {
        Duration::from_mins(10)
    } else {
        Duration::from_secs(8)
    };
    let rig = Rig::set_up().await;
    subscribe(&rig).await;
    let database = format!("127.0.0.1:{}", rig.postgres.port());
    let database = database.parse().unwrap();
    let proxy = Proxy::to(database).await;
    let far = Setup::with_url(&proxy.url(&rig.database.url)).toml("worker.name = 'far'");
    let _far = far.start().await;
    let _near = rig.worker("near", "").await;
    wait_until("the shards are shared", async || {
        rig.shards_of(&["near"]).await == 32
    })
    .await;
    let publisher = Publisher::start(rig.pool.clone(), PER_SECOND);
    for (mode, span) in [
        (Mode::Cut, Duration::from_secs(5)),
        (Mode::Stalled(database), long),
    ] {
        proxy.set(mode);
        let cut = Instant::now();
        wait_until("the other one has all", async || {
            rig.shards_of(&["near"]).await == 64
        })
        .await;
        println!("{mode:?}: taken over after {:.1?}", cut.elapsed());
        tokio::time::sleep(span.saturating_sub(cut.elapsed())).await;
        proxy.set(Mode::To(database));
        let healed = Instant::now();
        wait_until("it has its share again", async || {
            rig.shards_of(&["far"]).await == 32
        })
        .await;
        println!(
            "{mode:?}: its share is back {:.1?} after healing",
            healed.elapsed()
        );
    }
    // What arrives in the seconds 5 to 10 after healing.
    let healed = Instant::now();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (first, began) = (publisher.committed(), rig.receiver.received());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let committed = publisher.committed() - first;
    let arrived = rig.receiver.received() - began;
    println!("{committed} committed and {arrived} requests in 5 s");
    // Each event goes to a good endpoint and a flaky one.
    let share = f64::from(u32::try_from(arrived).unwrap())
        / f64::from(u32::try_from(committed * 2).unwrap());
    assert!(share > 0.9, "{share} of the throughput is back");
    let account = publisher.settle(&rig).await;
    let measure = format!("after {long:?} until 90 % were seen to be back");
    report(
        "partition of one worker",
        &account,
        healed.elapsed(),
        &measure,
    );
}
