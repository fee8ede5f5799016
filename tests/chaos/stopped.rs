//! SIGSTOP of a worker past its lease, as of a suspended machine, while events are published.

use std::time::{Duration, Instant};

use crate::account::{Publisher, subscribe};
use crate::rig::{Rig, is_full, wait_until};
use crate::table::report;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stops_past_the_lease_lose_nothing() {
    let stops = if is_full() { 20 } else { 2 };
    let rig = Rig::set_up().await;
    subscribe(&rig).await;
    let names = ["one", "two"];
    let workers = [
        rig.worker(names[0], "").await,
        rig.worker(names[1], "").await,
    ];
    let publisher = Publisher::start(rig.pool.clone(), 150.0);
    let mut slowest = Duration::ZERO;
    for stop in 0..stops {
        let [sleeper, other] = [stop % 2, 1 - stop % 2];
        wait_until("the shards are shared", async || {
            rig.shards_of(&names[..1]).await == 32 && rig.shards_of(&names[1..]).await == 32
        })
        .await;
        publisher.more(100).await;
        workers[sleeper].signal("STOP");
        let stopped = Instant::now();
        wait_until("the other one has all", async || {
            rig.shards_of(&names[other..=other]).await == 64
        })
        .await;
        slowest = slowest.max(stopped.elapsed());
        publisher.more(100).await;
        workers[sleeper].signal("CONT");
    }
    let account = publisher.settle(&rig).await;
    let fault = format!("{stops} SIGSTOPs of workers past their leases");
    report(&fault, &account, slowest, "to the take-over");
}
