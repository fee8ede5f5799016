//! The database's disk is full: statements fail, or the server dies. Then there is room
//! again.
//!
//! The disk is a small tmpfs in a mount namespace of its own, which ends with the test: this
//! binary runs itself again in there, with TMPDIR on that disk.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use posthorn::demo::postgres::SUPERUSER;

use crate::account::{Publisher, subscribe};
use crate::rig::{Rig, is_full, wait_until};
use crate::support::processes::{has_died, we_are_root};
use crate::support::{Database, alone_among_the_heavy};
use crate::table::report;

const INSIDE: &str = "POSTHORN_SMALL_DISK";
const MOUNT: &str =
    r#"mount -t tmpfs -o size=256m,mode=1777 none "$TMPDIR" || exit; [ $# = 0 ] || exec "$@""#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing() {
    if std::env::var_os(INSIDE).is_some() {
        return fill_the_disk().await;
    }
    let _alone = alone_among_the_heavy().await;
    let directory = tempfile::tempdir().unwrap();
    let on_a_disk = |command: &[&str]| {
        let mut unshare = Command::new("unshare");
        // Whoever is not root is allowed to mount in a user namespace only.
        if !we_are_root() {
            unshare.args(["--user", "--map-current-user", "--keep-caps"]);
        }
        unshare
            .args(["--mount", "sh", "-c", MOUNT, "sh"])
            .args(command)
            .envs([
                ("TMPDIR", directory.path().as_os_str()),
                (INSIDE, "1".as_ref()),
            ])
            .stdin(Stdio::null());
        tokio::task::block_in_place(|| unshare.output())
    };
    if !on_a_disk(&[]).is_ok_and(|tried| tried.status.success()) {
        println!(
            "SKIPPED: a file system of the test's own cannot be mounted here (unshare --mount)"
        );
        return;
    }
    let this = std::env::current_exe().unwrap();
    let name = "disk_full::a_full_disk_loses_nothing";
    let run = on_a_disk(&[this.to_str().unwrap(), "--exact", name, "--nocapture"]).unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    println!("{said}{}", String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && said.contains("1 passed"));
}

async fn fill_the_disk() {
    let (times, span) = if is_full() {
        (6, Duration::from_secs(30))
    } else {
        (2, Duration::from_secs(3))
    };
    let mut rig = Rig::set_up().await;
    let server = Database::connect("postgres", rig.database.url_of(SUPERUSER));
    subscribe(&rig).await;
    let one = rig.worker("one", "").await;
    let two = rig.worker("two", "").await;
    let publisher = Publisher::start(rig.pool.clone(), 150.0);
    let mut slowest = Duration::ZERO;
    let mut deaths = 0;
    let path = std::env::temp_dir().join("ballast");
    for time in 0..times {
        publisher.more(300).await;
        let refused = publisher.uncertain();
        let mut ballast = File::create(&path).unwrap();
        let began = Instant::now();
        // Whatever the server gives back is taken.
        wait_until("events are refused", async || {
            fill(&mut ballast);
            if time % 2 == 1 {
                // Without room for its log the server cannot live.
                let switch = server.try_execute("SELECT pg_switch_wal()");
                let _ = tokio::time::timeout(Duration::from_millis(500), switch).await;
            }
            publisher.uncertain() > refused + 5 && began.elapsed() > span
        })
        .await;
        drop(ballast);
        std::fs::remove_file(&path).unwrap();
        let room = Instant::now();
        let goal = publisher.committed() + 1;
        wait_until("events are taken again", async || {
            if has_died(rig.postgres.postmaster_pid()) {
                deaths += 1;
                tokio::task::block_in_place(|| rig.postgres.start_again()).unwrap();
            }
            publisher.committed() >= goal
        })
        .await;
        rig.until_requests_go_out().await;
        slowest = slowest.max(room.elapsed());
    }
    assert_eq!(deaths, times / 2, "of it");
    // At the slow endpoint something is always under way. Either of them may have its shard.
    let said = [one.log(), two.log()].concat();
    assert!(said.contains("cannot record; trying until"));
    let account = publisher.settle(&rig).await;
    let fault = format!("{times} times a full disk under the database");
    report(&fault, &account, slowest, "from room on it to deliveries");
}

/// To the last page.
fn fill(file: &mut File) {
    for size in [1 << 20, 1 << 12] {
        let block = vec![0; size];
        loop {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
