//! A worker dies at each named point of its flow, while another one works beside it.

use std::time::{Duration, Instant};

use posthorn::crash::Point;

use crate::account::{Publisher, subscribe};
use crate::rig::{Rig, wait_until};
use crate::table::report;

const LEASE: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_point_loses_nothing() {
    let rig = Rig::set_up().await;
    subscribe(&rig).await;
    let _steady = rig.worker("steady", "").await;
    let publisher = Publisher::start(rig.pool.clone(), 100.0);
    let mut slowest = Duration::ZERO;
    for point in Point::ALL {
        let hands_over = matches!(
            point,
            Point::Drained | Point::BeforeRelease | Point::AfterRelease
        );
        // Shards may come all at once, and go all at once: no second time.
        let once = hands_over || matches!(point, Point::ShardsTaken | Point::Adopted);
        let fatal = format!("{}:{}", point.as_str(), if once { 1 } else { 2 });
        let mut victim = rig
            .setup("victim", "")
            .env("POSTHORN_CRASH", fatal)
            .launch()
            .await;
        let ends = async {
            if hands_over {
                wait_until("it has shards to hand over", async || {
                    rig.shards_of(&["victim"]).await == 32
                })
                .await;
                victim.signal("TERM");
            }
            victim.ended().await
        };
        let status = ends.await;
        assert!(!status.success(), "it dies at {}", point.as_str());
        let died = Instant::now();
        wait_until("the other one has all", async || {
            rig.shards_of(&["steady"]).await == 64
        })
        .await;
        slowest = slowest.max(died.elapsed());
        println!(
            "{}: taken over after {:.1?}",
            point.as_str(),
            died.elapsed()
        );
    }
    let account = publisher.settle(&rig).await;
    let fault = format!("{} crash points", Point::ALL.len());
    report(&fault, &account, slowest, "to the take-over");
    assert!(slowest < LEASE + Duration::from_secs(3), "{slowest:?}");
}
