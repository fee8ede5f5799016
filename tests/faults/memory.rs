//! Memory is bounded by configuration, not by backlog.

use std::time::Duration;

use posthorn::receiver::Behaviour;
use serde_json::json;

use crate::rig::{Rig, backlog, is_full, memory_mib, wait_until};

const HUNG: usize = 10;

/// Open deliveries in all; the first two are the issue's.
fn sizes() -> (i64, i64) {
    if is_full() {
        (100_000, 1_000_000)
    } else {
        (20_000, 200_000)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_times_the_backlog_takes_the_same_memory() {
    let rig = Rig::set_up().await;
    let mut hung = Vec::new();
    for merchant in 0..HUNG {
        let settings = json!({ "max_in_flight": 50, "timeout": "4s", "retry": "fixed",
                               "retry_interval": "1s" });
        let id = rig
            .subscribe(&format!("hung{merchant}"), "hung", settings)
            .await;
        rig.receiver
            .on(&format!("/hung{merchant}"), Behaviour::hang());
        hung.push(id);
    }
    let (few, many) = sizes();
    let each = few / 2 / i64::try_from(HUNG).unwrap();
    let add = async |times: i64| {
        for (merchant, id) in hung.iter().enumerate() {
            let merchant = format!("hung{merchant}");
            backlog(&rig, &merchant, *id, each * times, "0s").await;
            backlog(&rig, &merchant, *id, each * times, "1 hour").await;
        }
    };
    add(1).await;
    let small = peak(&rig, "small").await;
    add(many / few - 1).await;
    let open = "SELECT count(*) FROM posthorn.pending_deliveries";
    assert_eq!(rig.number(open).await, many);
    let large = peak(&rig, "large").await;
    println!("peak RSS, MiB: {small:.1} with {few} open, {large:.1} with {many}");
    assert!(small < 150.0 && large < 150.0);
    assert!(large < small * 1.25 + 5.0);
}

/// The most that a new worker takes, once it has made its rounds for a while.
async fn peak(rig: &Rig, name: &str) -> f64 {
    let before = rig.receiver.received();
    let worker = rig.worker(name, "").await;
    // Each endpoint's limit, some time-outs and the probes that follow.
    let some = before + 600;
    wait_until("it has sent what it may", async || {
        rig.receiver.received() > some
    })
    .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!("{name}: RSS {:.1} MiB", memory_mib(&worker, "VmRSS"));
    memory_mib(&worker, "VmHWM")
}
