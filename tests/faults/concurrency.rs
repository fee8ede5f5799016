//! The limit of a subscription holds over all workers, and while shards change hands.

use serde_json::json;

use crate::rig::{CALM, Rig, behaviour, wait_until};

/// Merchants and the limits of their subscriptions.
const LIMITS: [u64; 16] = [1, 1, 1, 2, 2, 2, 3, 3, 5, 5, 5, 8, 8, 13, 20, 20];

/// Per unit of the limit: at 30 ms a request the endpoints are busy for some 12 seconds.
const EVENTS: u64 = 400;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_subscription_ever_passes_its_limit() {
    let rig = Rig::set_up().await;
    let mut endpoints = Vec::new();
    for (merchant, limit) in LIMITS.iter().enumerate() {
        let merchant = format!("m{merchant}");
        let settings = json!({ "max_in_flight": limit });
        rig.subscribe(&merchant, "busy", settings).await;
        let endpoint = rig
            .receiver
            .on(&format!("/{merchant}"), behaviour("200,delay=30ms"));
        endpoints.push((*limit, endpoint));
    }
    let mut one = rig.worker("one", CALM).await;
    wait_until("the first has all shards", async || {
        rig.shards_of(&["one"]).await == 64
    })
    .await;
    for (merchant, limit) in LIMITS.iter().enumerate() {
        let events = format!(
            "INSERT INTO posthorn.events (merchant, kind, transaction_id, status)
             SELECT 'm{merchant}', 'payment', n::text, 'approved'
               FROM generate_series(1, {}) AS n",
            EVENTS * limit
        );
        rig.database.execute(&events).await;
    }
    // Each start and stop moves shards while their lanes are full.
    let _two = rig.worker("two", CALM).await;
    wait_until("the second has its share", async || {
        rig.shards_of(&["two"]).await == 32
    })
    .await;
    let _three = rig.worker("three", CALM).await;
    wait_until("the third has its share", async || {
        rig.shards_of(&["three"]).await >= 20
    })
    .await;
    assert!(one.sigterm().await.success());
    wait_until("the other two have all", async || {
        rig.shards_of(&["two", "three"]).await == 64
    })
    .await;
    let ended = rig.number("SELECT count(*) FROM posthorn.deliveries").await;
    let all = i64::try_from(LIMITS.iter().sum::<u64>() * EVENTS).unwrap();
    println!("{ended} of {all} were delivered when the last shard moved");
    assert!(ended < all, "the endpoints were busy throughout");

    rig.until_all_have_ended().await;
    rig.assert_ledger_is_exact().await;
    let most: Vec<(u64, u64)> = endpoints
        .iter()
        .map(|(limit, endpoint)| (*limit, endpoint.max_in_flight()))
        .collect();
    println!(
        "limit and most at once: {most:?}, {} repeats",
        rig.seen.repeats()
    );
    for (limit, most) in most {
        assert_eq!(most, limit, "reached, and never passed");
    }
    assert_eq!(
        rig.seen.repeats(),
        0,
        "an orderly hand-over repeats nothing"
    );
}
