//! After a restore or an upgrade, transaction ids mean something else: what was delivered is
//! not sent again, what was not is.

use std::time::Duration;

use serde_json::json;

use crate::rig::{Rig, behaviour, wait_until};

const MERCHANTS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_another_cluster_what_is_open_is_delivered_and_nothing_else() {
    let rig = Rig::set_up().await;
    for merchant in 0..MERCHANTS {
        let merchant = format!("m{merchant}");
        rig.subscribe(&merchant, "all", json!({})).await;
        let waits = json!({ "retry": "fixed", "retry_interval": "3s" });
        rig.subscribe(&merchant, "later", waits).await;
        let later = format!("/{merchant}/later");
        rig.receiver.on(&later, behaviour("503,times=5,then=200"));
    }
    let mut worker = rig.worker("before", "").await;
    rig.publish(MERCHANTS, 200.0, Duration::from_secs(2)).await;
    assert!(worker.sigterm().await.success());
    let before = rig.seen.counts();
    // Committed while no worker ran, or in the old cluster's last moments.
    rig.publish(MERCHANTS, 400.0, Duration::from_secs(1)).await;
    rig.database
        .execute(
            "UPDATE posthorn.shards SET cluster = 'other/1', checkpoint = '9000000:9000000:';
             UPDATE posthorn.events SET xid = (4000000000 + row_number)::text::xid8
               FROM (SELECT id, row_number() OVER (ORDER BY id) FROM posthorn.events) AS numbered
              WHERE numbered.id = events.id",
        )
        .await;

    let worker = rig.worker("after", "").await;
    rig.publish(MERCHANTS, 200.0, Duration::from_secs(1)).await;
    rig.until_all_have_ended().await;
    rig.assert_ledger_is_exact().await;
    let seen = rig.seen.counts();
    for pair in rig.wanted().await {
        assert!(seen.contains_key(&pair), "{pair:?} never arrived");
    }
    let all = seen.iter().filter(|((path, _), _)| path.ends_with("/all"));
    let repeats: u32 = all.map(|(_, count)| count - 1).sum();
    assert_eq!(repeats, 0, "what had been delivered was not sent again");
    println!(
        "{} had been sent before, {} after",
        before.len(),
        seen.len() - before.len()
    );
    worker.logs("comparing events with deliveries").await;
    let here = "SELECT count(*) FROM posthorn.shards WHERE cluster = posthorn.cluster()";
    wait_until("the checkpoints are this cluster's", async || {
        rig.number(here).await == 64
    })
    .await;
    let future =
        "SELECT count(*) FROM posthorn.events WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())";
    assert_eq!(rig.number(future).await, 0);
}
