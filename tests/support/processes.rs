//! Processes of the system: who is there, who runs this, and kill -9.

use std::fmt::Display;
use std::process::Command;
use std::time::{Duration, Instant};

/// Kills a whole PostgreSQL: the postmaster first, so that it starts nothing again; then its
/// children, which hold its shared memory.
pub fn kill(postmaster: u32) {
    let children = Command::new("ps")
        .args(["-o", "pid=", "--ppid", &postmaster.to_string()])
        .output()
        .unwrap();
    let children = String::from_utf8(children.stdout).unwrap();
    let mut all = vec![postmaster.to_string()];
    all.extend(children.split_whitespace().map(str::to_owned));
    // A child may have ended by itself.
    let _ = Command::new("kill").arg("-9").args(&all).status().unwrap();
    let killed = Instant::now();
    while !all.iter().all(has_died) {
        assert!(
            killed.elapsed() < Duration::from_secs(10),
            "it does not die"
        );
        std::thread::yield_now();
    }
}

/// Also where nobody has waited for it yet.
pub fn has_died(pid: impl Display) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    status.is_err() || status.is_ok_and(|status| status.contains(") Z "))
}

pub fn we_are_root() -> bool {
    let user = Command::new("id").arg("-u").output().unwrap();
    user.stdout == b"0\n"
}
