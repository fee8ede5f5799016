//! kill -9 of PostgreSQL, all of it, and a start.

use std::time::{Duration, Instant};

use posthorn::demo::postgres::Settings;

use crate::account::{Publisher, subscribe};
use crate::rig::{Rig, is_full};
use crate::support::processes::kill;
use crate::table::report;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_the_database_lose_no_committed_event() {
    let kills = if is_full() { 20 } else { 3 };
    // It is the processes that die, not the kernel: what was written is in its cache.
    let settings = Settings::fast().with("synchronous_commit", "on");
    let mut rig = Rig::set_up_with(settings).await;
    subscribe(&rig).await;
    let _one = rig.worker("one", "").await;
    let _two = rig.worker("two", "").await;
    let publisher = Publisher::start(rig.pool.clone(), 150.0);
    let mut slowest = Duration::ZERO;
    for _ in 0..kills {
        publisher.more(300).await;
        kill(rig.postgres.postmaster_pid());
        tokio::task::block_in_place(|| rig.postgres.start_again()).unwrap();
        let back = Instant::now();
        publisher.more(1).await;
        rig.until_requests_go_out().await;
        slowest = slowest.max(back.elapsed());
    }
    let account = publisher.settle(&rig).await;
    let fault = format!("{kills} kill -9 of PostgreSQL");
    report(&fault, &account, slowest, "from its start to deliveries");
}
