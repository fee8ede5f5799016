//! kill -9 of workers at any moment.

use std::time::{Duration, Instant};

use crate::account::{Publisher, subscribe};
use crate::rig::{Rig, is_full, wait_until};
use crate::support::Worker;
use crate::table::report;

/// Looks at the workers until the time is over, and once at least: none has more requests in
/// the air than a subscription allows. Each counts its own: what a killed one has left open at
/// the receiver is nobody's any more.
async fn watch_the_limit(workers: &[Worker], span: Duration) {
    let began = Instant::now();
    loop {
        for worker in workers {
            let over = worker.metric("posthorn_in_flight_over_limit_total").await;
            assert!(over < 0.5, "{over} requests too many:\n{}", worker.log());
        }
        if began.elapsed() >= span {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Of a worker that has ended, or is looked at for the last time.
fn assert_kept_the_limit(worker: &Worker) {
    let log = worker.log();
    assert!(!log.contains("more requests in the air"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_kills_lose_nothing() {
    let kills = if is_full() { 100 } else { 8 };
    let rig = Rig::set_up().await;
    subscribe(&rig).await;
    let mut workers = vec![rig.worker("w0", "").await, rig.worker("w1", "").await];
    let publisher = Publisher::start(rig.pool.clone(), 150.0);
    let mut slowest = Duration::ZERO;
    for kill in 0..kills {
        let pause = Duration::from_millis(u64::from(rand::random::<u32>() % 1500));
        watch_the_limit(&workers, pause).await;
        let mut victim = workers.remove(0);
        victim.kill9().await;
        let killed = Instant::now();
        victim.ended().await;
        assert_kept_the_limit(&victim);
        let name = format!("w{}", kill + 2);
        workers.push(rig.setup(&name, "").launch().await);
        let names = [format!("w{}", kill + 1), name];
        let names = [names[0].as_str(), names[1].as_str()];
        wait_until("the living have all shards", async || {
            rig.shards_of(&names).await == 64
        })
        .await;
        slowest = slowest.max(killed.elapsed());
    }
    let account = publisher.settle(&rig).await;
    watch_the_limit(&workers, Duration::ZERO).await;
    workers.iter().for_each(assert_kept_the_limit);
    report(
        &format!("{kills} random kill -9 of workers"),
        &account,
        slowest,
        "to the take-over",
    );
    // Per kill: what was in the air, a batch being written and one being gathered.
    let most = kills * u32::try_from(crate::account::MERCHANTS * 4 + 2 * 500).unwrap();
    assert!(account.repeats <= most, "{} repeats", account.repeats);
}
