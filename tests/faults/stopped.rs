//! A worker that was stopped (SIGSTOP, a suspended machine) and wakes after its lease has
//! run out changes nothing, sends nothing for the shards that it lost, and works again.

use std::time::Duration;

use serde_json::json;

use crate::rig::{Rig, behaviour, wait_until};

const MERCHANTS: usize = 20;
const ROUNDS: usize = 3;

/// Everything a worker could have changed by then.
const STATE: &str = "
    SELECT (SELECT count(*) FROM posthorn.deliveries) * 1000000
         + (SELECT count(*) FROM posthorn.attempts)
         + (SELECT count(*) FROM posthorn.pending_deliveries) * 1000";

/// Requests that a worker may have decided upon without having written them, when it is stopped
/// at a few hundred a second. Hundreds wait in its lanes.
const ON_THE_WAY: u64 = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_wakes_after_its_lease_changes_nothing() {
    let rig = Rig::set_up().await;
    for merchant in 0..MERCHANTS {
        let merchant = format!("m{merchant}");
        // Slow, so that it sleeps with requests in the air and deliveries in its lanes.
        rig.subscribe(&merchant, "slow", json!({ "max_in_flight": 3 }))
            .await;
        rig.receiver
            .on(&format!("/{merchant}"), behaviour("200,delay=100ms"));
    }
    let sleeper = rig.worker("sleeper", "").await;
    let _other = rig.worker("other", "").await;
    for round in 0..ROUNDS {
        wait_until("the shards are shared", async || {
            rig.shards_of(&["sleeper"]).await == 32 && rig.shards_of(&["other"]).await == 32
        })
        .await;
        rig.publish(MERCHANTS, 400.0, Duration::from_secs(2)).await;
        sleeper.signal("STOP");
        wait_until("the other has all shards", async || {
            rig.shards_of(&["other"]).await == 64
        })
        .await;
        rig.until_all_have_ended().await;
        wait_until("the other's lanes are empty", async || {
            rig.receiver
                .endpoints()
                .iter()
                .all(|endpoint| endpoint.in_flight() == 0)
        })
        .await;
        let before = (rig.number(STATE).await, rig.receiver.received());
        let logged = sleeper.log().len();

        sleeper.signal("CONT");
        wait_until("it has its share again", async || {
            rig.shards_of(&["sleeper"]).await == 32
        })
        .await;
        let after = (rig.number(STATE).await, rig.receiver.received());
        println!(
            "round {round}: {} repeats so far\n{}",
            rig.seen.repeats(),
            &sleeper.log()[logged..]
        );
        assert_eq!(after.0, before.0, "rows of round {round}");
        // What was decided upon before it was stopped, and not on the wire yet, goes out when it
        // wakes: at least once allows it. Nothing is decided upon any more.
        let late = after.1 - before.1;
        assert!(late <= ON_THE_WAY, "{late} requests of round {round}");
        rig.assert_ledger_is_exact().await;
    }
    let before = rig.number("SELECT count(*) FROM posthorn.deliveries").await;
    let count = rig.publish(MERCHANTS, 100.0, Duration::from_secs(1)).await;
    rig.until_all_have_ended().await;
    rig.assert_ledger_is_exact().await;
    let delivered = rig.number("SELECT count(*) FROM posthorn.deliveries").await - before;
    assert_eq!(usize::try_from(delivered).unwrap(), count, "it works again");
}
