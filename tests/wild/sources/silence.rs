//! Triggers that are gone are told of, with the command that mends it.

use std::process::Command;

use futures::future::join_all;

use crate::support::shop::{NOTHING, Shop};
use crate::support::{PATIENCE, Worker, until};

/// Runs what stands between backquotes, as an operator would.
fn run_as_told(shop: &Shop, line: &str) {
    for command in line.split('`').skip(1).step_by(2) {
        let binary = env!("CARGO_BIN_EXE_posthorn");
        let status = Command::new("sh")
            .args(["-c", &command.replacen("posthorn", binary, 1)])
            .env("DATABASE_URL", &shop.database.url)
            .status()
            .unwrap();
        assert!(status.success(), "{command}");
    }
}

/// Side by side, as a worker looks only now and then.
#[tokio::test]
async fn a_source_that_was_silenced_is_told_of_until_it_is_mended() {
    let cases = [
        (
            "ALTER TABLE shop.payments DISABLE TRIGGER USER",
            "shop.payments lacks a trigger, or it is switched off",
        ),
        (
            "DROP TRIGGER posthorn_payments_update ON shop.payments",
            "shop.payments lacks a trigger, or it is switched off",
        ),
        (
            "DROP TRIGGER posthorn_payments_update_open ON shop.payments",
            "shop.payments lacks a trigger, or it is switched off",
        ),
        (
            "CREATE TABLE shop.fresh (LIKE shop.payments INCLUDING ALL);
             ALTER TABLE shop.payments RENAME TO gone; ALTER TABLE shop.fresh RENAME TO payments",
            "shop.payments is another table than the one that was attached",
        ),
        (
            "DROP TABLE shop.payments;
             CREATE TABLE shop.payments (id bigint PRIMARY KEY, merchant_id text, status text, amount numeric, note text)",
            "shop.payments is another table than the one that was attached",
        ),
    ];
    join_all(cases.map(|(silence, expected)| is_told_of(silence, expected))).await;
}

async fn is_told_of(silence: &str, expected: &str) {
    let shop = Shop::new().await;
    shop.attach("shop.payments", &[]).await;
    let worker = Worker::start(&shop.database, "").await;
    shop.run(silence).await;
    let list = shop.list().await;
    let line = list
        .lines()
        .find(|line| line.contains(expected))
        .unwrap_or_else(|| panic!("{silence}: {list}"))
        .to_owned();
    until(PATIENCE, silence, async || {
        (worker.metric("posthorn_sources_broken").await > 0.0).then_some(())
    })
    .await;
    worker.logs(expected).await;
    run_as_told(&shop, &line);
    until(PATIENCE, "it is mended", async || {
        (worker.metric("posthorn_sources_broken").await < 1.0).then_some(())
    })
    .await;
    assert!(!shop.list().await.contains('!'), "{}", shop.list().await);
    shop.told().await;
    shop.run("INSERT INTO shop.payments VALUES (1, 'm', 'new'); UPDATE shop.payments SET status = 'paid'; DELETE FROM shop.payments")
        .await;
    assert_eq!(
        shop.told().await,
        ["m payments 1 new", "m payments 1 paid"],
        "{silence}"
    );
    worker.logs("every source has its triggers again").await;
}

#[tokio::test]
async fn a_role_whose_sessions_fire_no_triggers_is_told_of() {
    let shop = Shop::new().await;
    shop.attach("shop.payments", &[]).await;
    let role = format!("loader_{}", shop.database.name);
    shop.database
        .as_superuser(&format!(
            "CREATE ROLE {role} SUPERUSER LOGIN; ALTER ROLE {role} IN DATABASE {} SET session_replication_role = replica",
            shop.database.name
        ))
        .await;
    let worker = Worker::start(&shop.database, "").await;
    worker
        .logs(&format!(
            "ALTER ROLE {role} IN DATABASE {} RESET session_replication_role",
            shop.database.name
        ))
        .await;
    assert_eq!(shop.told().await, NOTHING);
}
