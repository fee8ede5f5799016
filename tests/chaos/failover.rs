//! The database's machine is gone, and its synchronous standby takes its place.

use std::time::Instant;

use posthorn::demo::postgres::{PrivatePostgres, SUPERUSER, Settings};

use crate::account::{Publisher, subscribe};
use crate::proxy::{Mode, Proxy};
use crate::rig::{Rig, wait_until};
use crate::support::processes::kill;
use crate::support::{Database, SHORT_LEASE, Setup};
use crate::table::report;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_to_a_synchronous_standby_loses_nothing() {
    let mut rig = Rig::set_up().await;
    let standby = tokio::task::block_in_place(|| {
        PrivatePostgres::standby_of(&rig.postgres, &Settings::fast())
    })
    .unwrap();
    let server = Database::connect("postgres", rig.database.url_of(SUPERUSER));
    server
        .execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        .await;
    server.execute("SELECT pg_reload_conf()").await;
    wait_until("the standby is synchronous", async || {
        server
            .value::<i64>("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
            .await
            == 1
    })
    .await;
    subscribe(&rig).await;
    let at = |port| format!("127.0.0.1:{port}").parse().unwrap();
    let proxy = Proxy::to(at(rig.postgres.port())).await;
    let url = proxy.url(&rig.database.url);
    let _one = Setup::with_url(&url)
        .toml("worker.name = 'one'")
        .toml(SHORT_LEASE)
        .start()
        .await;
    let _two = Setup::with_url(&url)
        .toml("worker.name = 'two'")
        .toml(SHORT_LEASE)
        .start()
        .await;
    let through = Database::connect("postgres", url);
    let publisher = Publisher::start(through.pool.clone(), 100.0);
    publisher.more(500).await;

    proxy.set(Mode::Cut);
    kill(rig.postgres.postmaster_pid());
    let promoted = Database::connect("postgres", standby.url("postgres"));
    promoted.as_superuser("SELECT pg_promote()").await;
    let back = Instant::now();
    proxy.set(Mode::To(at(standby.port())));
    // What is asked from here on is asked of the new one.
    rig.pool = promoted.pool.clone();
    rig.database = promoted;
    publisher.more(100).await;
    rig.until_requests_go_out().await;
    let recovery = back.elapsed();
    let account = publisher.settle(&rig).await;
    report(
        "failover to a synchronous standby",
        &account,
        recovery,
        "from the promotion to deliveries",
    );
}
