//! kill -9 at any moment loses nothing, repeats little, and another worker takes over soon.

use std::time::{Duration, Instant};

use crate::rig::{PATIENCE, Rig, behaviour, publish_one};

const KILLS: u32 = 20;
const LEASE: Duration = Duration::from_secs(2);
const MERCHANTS: usize = 20;
const MAX_IN_FLIGHT: u32 = 4;
const FLUSH_ROWS: u32 = 100;
const SETTINGS: &str = r#"
    [worker]
    lease = "2s"
    flush_rows = 100
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_under_load_lose_nothing() {
    let rig = Rig::set_up().await;
    rig.good_and_flaky(MERCHANTS, 3).await;
    let mut workers = [
        rig.worker("w0", SETTINGS).await,
        rig.worker("w1", SETTINGS).await,
    ];
    let mut names = ["w0".to_owned(), "w1".to_owned()];
    let pool = rig.pool.clone();
    let load = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(4));
        for count in 0_usize.. {
            tick.tick().await;
            publish_one(&pool, &format!("m{}", count % MERCHANTS)).await;
        }
    });
    let mut slowest = Duration::ZERO;
    for kill in 0..KILLS {
        let pause = Duration::from_millis(u64::from(rand::random::<u32>() % 1200));
        tokio::time::sleep(pause).await;
        let victim = kill as usize % 2;
        let killed = Instant::now();
        workers[victim].kill9().await;
        let dead = std::mem::replace(&mut names[victim], format!("w{}", kill + 2));
        workers[victim] = rig.setup(&names[victim], SETTINGS).launch().await;
        if kill % 5 == 4 {
            // Both at once: only the restarts are left.
            let other = 1 - victim;
            workers[other].kill9().await;
            names[other] = format!("x{kill}");
            workers[other] = rig.setup(&names[other], SETTINGS).launch().await;
        }
        slowest = slowest.max(taken_over(&rig, &dead, killed, &names).await);
    }
    load.abort();
    println!("slowest take-over: {slowest:?}");
    assert!(
        slowest < LEASE + Duration::from_secs(2),
        "took over after {slowest:?}"
    );

    let healed = Instant::now();
    for endpoint in rig.receiver.endpoints() {
        endpoint.behave(behaviour("200"));
    }
    rig.until_all_have_ended().await;
    rig.assert_ledger_is_exact().await;
    println!("all ended {:?} after the last kill", healed.elapsed());
    let failed = "SELECT count(*) FROM posthorn.deliveries WHERE state <> 'delivered'";
    assert_eq!(rig.number(failed).await, 0);

    let seen = rig.seen.counts();
    for pair in rig.wanted().await {
        assert!(seen.contains_key(&pair), "{pair:?} never arrived");
    }
    let good = seen.iter().filter(|((path, _), _)| path.ends_with("/good"));
    let repeats: u32 = good.map(|(_, count)| count - 1).sum();
    // Per kill: what was in the air, a batch being written and one being gathered.
    let in_flight = MAX_IN_FLIGHT * u32::try_from(MERCHANTS).unwrap();
    let killed = KILLS + KILLS / 5;
    println!(
        "{repeats} repeats of {} requests in {killed} kills",
        seen.len()
    );
    assert!(repeats <= killed * (in_flight + 2 * FLUSH_ROWS));
}

/// How long after the kill every shard has a living owner again.
async fn taken_over(rig: &Rig, dead: &str, killed: Instant, names: &[String]) -> Duration {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    loop {
        let took = killed.elapsed();
        if rig.shards_of(&names).await == 64 {
            return took;
        }
        assert!(took < PATIENCE, "nobody took the shards of {dead}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
