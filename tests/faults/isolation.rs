//! An endpoint that hangs with a deep backlog costs its neighbours nothing.

use std::time::Duration;

use posthorn::receiver::Behaviour;
use serde_json::json;

use crate::rig::{Rig, backlog, is_full, wait_until};

const HEALTHY: usize = 50;

/// The is 50,000.
fn due() -> i64 {
    if is_full() { 50_000 } else { 10_000 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_healthy_endpoints_do_not_notice_one_that_hangs() {
    let rig = Rig::set_up().await;
    for merchant in 0..HEALTHY {
        rig.subscribe(&format!("m{merchant}"), "healthy", json!({}))
            .await;
    }
    let settings = json!({ "max_in_flight": 20, "timeout": "3s", "retry": "fixed",
                           "retry_interval": "5s" });
    let hung = rig.subscribe("hung", "hung", settings).await;
    rig.receiver.on("/hung", Behaviour::hang());
    let _worker = rig.worker("one", "").await;
    let alone = pickup(&rig).await;

    backlog(&rig, "hung", hung, due(), "0s").await;
    // A worker counts what waits only now and then, but a new event of the lane makes it
    // look.
    rig.publish_to("hung").await;
    let beside = pickup(&rig).await;
    let tried = rig.receiver.endpoint("/hung").received();
    println!("p50 and p99 in ms: alone {alone:?}, beside the hung one {beside:?}; it got {tried}");
    assert!(tried > 0, "the backlog was worked on");
    // The exact 10 % is for a quiet machine and a release build.
    assert!(beside.0 < alone.0 * 3.0 + 10.0, "p50");
    assert!(beside.1 < alone.1 * 3.0 + 50.0, "p99");
}

async fn pickup(rig: &Rig) -> (f64, f64) {
    rig.publish(HEALTHY, 200.0, Duration::from_secs(2)).await;
    let since = rig.mark().await;
    rig.publish(HEALTHY, 200.0, Duration::from_secs(8)).await;
    let behind = "SELECT count(*) FROM posthorn.events e WHERE e.merchant LIKE 'm%' AND NOT EXISTS
                (SELECT FROM posthorn.deliveries d WHERE d.event_id = e.id)";
    wait_until("the healthy ones have everything", async || {
        rig.number(behind).await == 0
    })
    .await;
    let p50 = rig.pickup_ms(0.5, since, "healthy").await;
    (p50, rig.pickup_ms(0.99, since, "healthy").await)
}
