//! A rolling upgrade: the schema first, then one worker after the other, under load.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use crate::rig::{PATIENCE, Rig, behaviour, publish_one};

const MERCHANTS: usize = 10;
const SETTINGS: &str = "worker.lease = '2s'";

/// What the next version adds, as docs/UPGRADING.md has it: nothing that is there goes, and what
/// comes has a default. In one transaction, as `posthorn migrate` runs it.
const EXPAND: &str = "
    BEGIN;
    SET LOCAL lock_timeout = '500ms';
    ALTER TABLE posthorn.events ADD COLUMN trace text;
    ALTER TABLE posthorn.deliveries ADD COLUMN cost bigint NOT NULL DEFAULT 0;
    ALTER TABLE posthorn.attempts ADD COLUMN trace text;
    ALTER TABLE posthorn.pending_deliveries ADD COLUMN priority smallint NOT NULL DEFAULT 0;
    ALTER TABLE posthorn.subscriptions ADD COLUMN colour text;
    ALTER TABLE posthorn.profiles ADD COLUMN colour text;
    ALTER TABLE posthorn.locks ADD COLUMN colour text;
    ALTER TABLE posthorn.transaction_subscriptions ADD COLUMN colour text;
    ALTER TABLE posthorn.shards ADD COLUMN zone text;
    ALTER TABLE posthorn.workers ADD COLUMN zone text;
    ALTER TABLE posthorn.sources ADD COLUMN colour text;
    CREATE TABLE posthorn.zones (name text PRIMARY KEY);
    CREATE INDEX pending_deliveries_priority ON posthorn.pending_deliveries (priority);
    INSERT INTO posthorn.migrations (version, description, success, checksum, execution_time)
    SELECT max(version) + 1, 'the next one', true, '', 0 FROM posthorn.migrations;
    COMMIT;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_go_on_and_start_again_over_the_next_versions_schema() {
    let rig = Rig::set_up().await;
    for merchant in 0..MERCHANTS {
        let merchant = format!("m{merchant}");
        let retries = json!({ "retry": "fixed", "retry_interval": "300ms" });
        rig.subscribe(&merchant, "flaky", retries).await;
        let flaky = "503,times=1,then=200,times=3,then=503,times=1,then=200";
        let path = format!("/{merchant}/flaky");
        rig.receiver.on(&path, behaviour(flaky));
    }
    let mut workers = [
        rig.worker("w0", SETTINGS).await,
        rig.worker("w1", SETTINGS).await,
    ];
    let pool = rig.pool.clone();
    let load = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        for count in 0_usize.. {
            tick.tick().await;
            publish_one(&pool, &format!("m{}", count % MERCHANTS)).await;
        }
    });
    rig.until_requests_go_out().await;
    expand(&rig).await;
    // Those that run go on.
    rig.until_requests_go_out().await;
    for (victim, name) in [(0, "w2"), (1, "w3")] {
        workers[victim].kill9().await;
        workers[victim] = rig.setup(name, SETTINGS).start().await;
        rig.until_requests_go_out().await;
    }
    // Both at once, so that only the schema is there before them.
    for worker in &mut workers {
        worker.kill9().await;
    }
    for (victim, name) in [(0, "w4"), (1, "w5")] {
        workers[victim] = rig.setup(name, SETTINGS).start().await;
    }
    rig.until_requests_go_out().await;
    load.abort();
    workers[0].logs("one migration newer").await;
    for endpoint in rig.receiver.endpoints() {
        endpoint.behave(behaviour("200"));
    }
    rig.until_all_have_ended().await;
    rig.assert_ledger_is_exact().await;
    let seen = rig.seen.counts();
    for pair in rig.wanted().await {
        assert!(seen.contains_key(&pair), "{pair:?} never arrived");
    }
    let failed = "SELECT count(*) FROM posthorn.deliveries WHERE state <> 'delivered'";
    assert_eq!(rig.number(failed).await, 0);
}

/// Tries until no statement of the load or of a worker stands in the way.
async fn expand(rig: &Rig) {
    let expanding = async {
        loop {
            let mut session = PgConnection::connect(&rig.database.url).await.unwrap();
            match session.execute(sqlx::raw_sql(EXPAND)).await {
                Ok(_) => return,
                // lock_not_available
                Err(error) => {
                    let code = error
                        .as_database_error()
                        .and_then(sqlx::error::DatabaseError::code);
                    assert_eq!(code.as_deref(), Some("55P03"), "{error}");
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, expanding).await.unwrap();
}
